"""The stage that scales, with the scaling itself done elsewhere: on the nodes of a cluster.

In: what ``scale`` takes, and who hands out rows. Out: the same folder. What is not there is looked for first, and
asked of the files again at the end; tasks scale ranges of rows, by the same command, and join as everybody does.
This file does not know engines.
"""

from collections.abc import Callable
from pathlib import Path

from vda.errors import WorkError
from vda.fvc.joined import finish, follow, keep
from vda.fvc.ledger import Ledger
from vda.fvc.makedepth import DepthMaker
from vda.fvc.paths import Places
from vda.fvc.request import Item, ScaleSettings
from vda.fvc.row import Workplace
from vda.fvc.scale import ScaleResult, refuse_other_settings, require_same_kind, rows_asked_for
from vda.fvc.selection import Selection
from vda.reporter import Reporter, Silence
from vda.shown import counted

HandOut = Callable[[range, Callable[[], set[int]], Reporter], None]
"""Given all rows asked for, and a look at which of them are missing: has these scaled."""


def scale_elsewhere(
    metadata: Path,
    folder: Path,
    settings: ScaleSettings,
    hand_out: HandOut,
    *,
    selection: Selection | None = None,
    root: Path | None = None,
    encoding: str | None = None,
    delete_existing: bool = False,
    keep_removed: bool = False,
    waits: bool = True,
    maker: DepthMaker | None = None,
    reporter: Reporter | None = None,
) -> ScaleResult:
    """As ``scale``; only rows of which something is missing, damaged or out of date are handed out.

    ``waits``: ``hand_out`` returns when all is done that can be. Raises ``WorkError`` where rows are missing then.
    """
    selection, reporter, places = selection or Selection(), reporter or Silence(), Places(metadata, root)
    items, chosen = rows_asked_for(metadata, folder, selection, encoding, reporter)
    with Ledger(folder) as ledger:
        if delete_existing:
            ledger.forget({item.name for item in chosen})
            if maker is not None:
                maker.forget(chosen, ledger.claim)
        require_same_kind(ledger, items, chosen, places, settings, maker)
        removed = follow(ledger, items, keep_removed, reporter)
        missing = _missing(ledger, chosen, Workplace(folder, places, settings))
        finish(ledger, None)
    if maker is not None:
        maker.require_possible(missing)
    if missing:
        look = _Look(folder, missing)
        hand_out(selection.rows(len(items)), look.missing, reporter)
    with Ledger(folder) as ledger:
        finish(ledger, None)
        # What tasks were told may have been changed by hand.
        refuse_other_settings(ledger, chosen, settings)
        found = {item.name: ledger.get(item.name) for item in chosen}
    absent = [item for item in missing if found[item.name] is None]
    if absent and waits:
        raise WorkError(
            f"{counted(len(absent), 'row')} of {len(chosen)} were not scaled: row {absent[0].row}"
            f"{' and others' if len(absent) > 1 else ''}.",
            f"The logs are in {folder / 'scaled_jobs'}; the same command again hands out just what is missing.",
        )
    failed = {name: record.reason for name, record in found.items() if record and record.state == "failed"}
    scaled = sum(item.name not in failed for item in missing) - len(absent)
    return ScaleResult(folder, len(chosen), scaled, len(chosen) - len(missing), removed, failed)


def _missing(ledger: Ledger, chosen: list[Item], workplace: Workplace) -> list[Item]:
    """The rows that need work, with their records forgotten: a record is then a row that was dealt with."""
    missing = []
    for item in chosen:
        if workplace.is_whole(item, ledger.get(item.name)):
            keep(ledger, item)
        else:
            missing.append(item)
    ledger.forget({item.name for item in missing})
    return missing


class _Look:
    """What of some rows is missing, looked at again and again: only what was written since is read."""

    def __init__(self, folder: Path, items: list[Item]) -> None:
        self._seen = Ledger(folder)
        self._items = items

    def missing(self) -> set[int]:
        self._seen.read_parts()
        return {item.row for item in self._items if self._seen.get(item.name) is None}
