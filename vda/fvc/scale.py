"""The stage that brings a data set to one size: a table of videos in, scaled videos and joined tables out.

Each video is scaled by one process, and one that cannot be used becomes a row in the log while the others go on.
Several processes work on one output directory without knowing of each other. This file does not know pictures,
nor how records are kept.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vda.errors import UsageError, VdaError, WorkError
from vda.files import require_writable
from vda.fvc.autoencoder import load_autoencoder
from vda.fvc.clip import Through
from vda.fvc.depthkind import Facts, OneKind, facts_of
from vda.fvc.hands import KILLED, Hands, Task, hands_of
from vda.fvc.joined import finish, follow, join, keep
from vda.fvc.ledger import Ledger
from vda.fvc.makedepth import DepthMaker
from vda.fvc.paths import Places
from vda.fvc.rate import Cadence
from vda.fvc.record import Record
from vda.fvc.request import Item, ScaleSettings, items_of
from vda.fvc.row import Outcome, Workplace
from vda.fvc.schema import read_metadata
from vda.fvc.selection import Selection
from vda.fvc.source import scene_of
from vda.fvc.tables import LOG_NAME, METADATA_NAME
from vda.reporter import Reporter, Silence
from vda.scene.scene import Scene
from vda.shown import counted

# How often a row that another process has in hand is asked for again.
_POLL_SECONDS = 0.1


class ScaleStoppedError(WorkError):
    """Some rows were dealt with, and the others are once the same is started again."""

    # As of tasks of chunks (sysexits.h: EX_TEMPFAIL).
    exit_code = 75


@dataclass(frozen=True)
class ScaleResult:
    """What there is of the rows that were asked for: ``failed`` are the reasons, by the name of the output.

    ``removed`` are videos of rows that the metadata has no more.
    """

    folder: Path
    rows: int
    scaled: int
    kept: int
    removed: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "output_dir": str(self.folder),
            "metadata": str(self.folder / METADATA_NAME),
            "log": str(self.folder / LOG_NAME),
            "rows": self.rows,
            "scaled": self.scaled,
            "kept": self.kept,
            "removed": self.removed,
            "failed": self.failed,
        }


def scale(
    metadata: Path,
    folder: Path,
    settings: ScaleSettings,
    *,
    selection: Selection | None = None,
    root: Path | None = None,
    encoding: str | None = None,
    delete_existing: bool = False,
    keep_removed: bool = False,
    jobs: int = 1,
    through: Through | None = None,
    autoencoder_device: str = "auto",
    maker: DepthMaker | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    reporter: Reporter | None = None,
) -> ScaleResult:
    """Scale the videos of the rows selected into ``folder``; those that are there and whole are kept.

    What was made of rows that the metadata has no more is removed, or kept and marked (``keep_removed``). ``jobs``
    are processes that scale beside each other; where there is but this one, ``through`` may be the autoencoder,
    loaded already. ``maker`` computes depth that is not there. Raises ``InputError`` for metadata that cannot be
    used, ``UsageError`` where rows were scaled with other settings, or none of them belongs to the metadata, and
    ``StorageError`` where the disk refuses. Once it ``should_stop``, what is in hand is finished, and
    ``ScaleStoppedError`` raised; ``WorkError`` where that was nothing.
    """
    selection, reporter, places = selection or Selection(), reporter or Silence(), Places(metadata, root)
    items, chosen = rows_asked_for(metadata, folder, selection, encoding, reporter)
    rows = selection.rows(len(items))
    jobs = max(1, min(jobs, len(chosen)))
    if settings.autoencoder is not None and through is None and jobs == 1:
        through = load_autoencoder(settings.autoencoder, autoencoder_device)
    with Ledger(folder) as ledger:
        if delete_existing:
            ledger.forget({item.name for item in chosen})
            if maker is not None:
                maker.forget(chosen, ledger.claim)
        kind = require_same_kind(ledger, items, chosen, places, settings, maker)
        removed = follow(ledger, items, keep_removed, reporter)
        workplace = Workplace(folder, places, settings, threads_of(jobs))
        try:
            if maker is not None:
                needed = [item for item in chosen if workplace.needs_work(item, ledger.get(item.name))]
                maker.make(needed, ledger.claim, should_stop)
            with hands_of(jobs, workplace, through, autoencoder_device) as hands:
                work = _Work(ledger, hands, maker, kind, settings, reporter, should_stop)
                work.do(chosen)
        finally:
            # Interrupted, what was done is in the tables as well.
            finish(ledger, None if len(rows) == len(items) else rows)
        mine = [record for item in chosen if (record := ledger.get(item.name)) is not None]
    if should_stop() and work.done < len(chosen):
        raise _stopped(len(chosen) - work.done, has_come_on=work.scaled > 0 or bool(maker and maker.has_computed))
    failed = {record.name: record.reason for record in mine if record.state == "failed"}
    kept = len(chosen) - work.scaled - len(failed)
    return ScaleResult(folder, len(chosen), work.scaled, kept, removed, failed)


def _stopped(left: int, *, has_come_on: bool) -> WorkError:
    said = f"It was told to end, with {counted(left, 'row')} left"
    if not has_come_on:
        return WorkError(
            f"{said}, before one video was done.",
            "Give its jobs more time, such as --slurm time=2:00:00, or fewer rows.",
        )
    return ScaleStoppedError(f"{said}.", "Give the same command again: it goes on with these.")


def rows_asked_for(
    metadata: Path, folder: Path, selection: Selection, encoding: str | None, reporter: Reporter
) -> tuple[list[Item], list[Item]]:
    """All rows of the metadata, and in the order of working those that are asked for."""
    items = list(items_of(read_metadata(metadata, encoding=encoding, reporter=reporter)))
    chosen = [items[row] for row in selection.in_order(len(items))]
    require_writable(folder)
    return items, chosen


def require_same_kind(
    ledger: Ledger,
    items: list[Item],
    chosen: list[Item],
    places: Places,
    settings: ScaleSettings,
    maker: DepthMaker | None,
) -> OneKind | None:
    """What all depth is made with, where it is wanted; ``UsageError`` where rows were made with other settings."""
    refuse_other_settings(ledger, chosen, settings)
    return _kind_of_depth(ledger, items, chosen, places, maker) if settings.wants_depth else None


def threads_of(jobs: int) -> int | None:
    """A decoder's threads in each of so many processes; alone it has as many as FFmpeg thinks fit."""
    return None if jobs == 1 else max(1, len(os.sched_getaffinity(0)) // jobs)


def refuse_other_settings(ledger: Ledger, items: list[Item], settings: ScaleSettings) -> None:
    """Raise ``UsageError`` where rows were made with other settings."""
    for item in items:
        record = ledger.get(item.name)
        if record is None or record.state == "failed":
            continue
        if differences := settings.differences(record.settings):
            raise UsageError(
                f"{ledger.folder / item.name} was made with other settings: {'; '.join(differences)}.",
                "Give another --output-dir, or --delete-existing to start over.",
            )


def _kind_of_depth(
    ledger: Ledger, items: list[Item], chosen: list[Item], places: Places, maker: DepthMaker | None
) -> OneKind:
    """What all depth in the folder is made with. Raises ``UsageError`` where some of what is there is not."""
    kind = OneKind(None if maker is None else maker.settings)
    for record in (ledger.get(item.name) for item in items):
        if record is not None and record.state == "done":
            kind.require(record.settings.get("depth"), str(ledger.folder / record.name))
    for item in chosen:
        facts: Facts | None = None
        with suppress(VdaError, OSError):  # a row without a scene that can be read is told of in its turn
            scene = scene_of(item, places) if maker is None else Scene(maker.place_of(item))
            facts = facts_of(scene)
        kind.require(facts, f"The scene of {item.video_path}")
    return kind


@dataclass
class _Work:
    """Gives rows out and writes down what comes back: ``scaled`` counts the videos made, ``done`` all rows."""

    ledger: Ledger
    hands: Hands
    maker: DepthMaker | None
    kind: OneKind | None
    settings: ScaleSettings
    reporter: Reporter
    should_stop: Callable[[], bool]
    scaled: int = 0
    done: int = 0
    _claims: dict[str, ExitStack] = field(default_factory=dict)
    _cadence: Cadence = field(default_factory=Cadence)

    def do(self, items: list[Item]) -> None:
        """Scale what is not there yet; videos that another process has in hand are looked at again at the end."""
        self.reporter.begin("scaling", len(items))
        try:
            busy = [item for item in items if not self.should_stop() and not self._given(item)]
            self._take_all()
            for item in busy:
                # Whoever waits must have nothing in hand that the other may be waiting for.
                while not self.should_stop() and not self._given(item):
                    time.sleep(_POLL_SECONDS)
                self._take_all()
        finally:
            for claim in self._claims.values():
                claim.close()

    def _given(self, item: Item) -> bool:
        """Give ``item`` to whoever is free, unless another process has it."""
        if self._was_just_done(item):
            return True
        while not self.hands.has_room:
            self._take()
        claim = ExitStack()
        if not claim.enter_context(self.ledger.claim(item.row)):
            claim.close()
            return False
        self._claims[item.name] = claim
        if self._was_just_done(item):
            return True
        try:
            scene = self._scene(item)
        except VdaError as error:
            self._note(item, Outcome(state="failed", reason=error.problem))
            return True
        self.hands.give(Task(item, self.ledger.get(item.name), scene))
        return True

    def _was_just_done(self, item: Item) -> bool:
        """Whether another process dealt with the same row while this one was at work; it is then over."""
        record = self.ledger.news(item.name)
        if record is None or record.inputs != item.inputs:
            return False
        if record.state == "done":
            keep(self.ledger, item)
        self._over(item)
        return True

    def _scene(self, item: Item) -> Path | None:
        """Where the depth is that was made for ``item``."""
        if self.maker is None:
            return None
        scene = self.maker.scene_root(item)
        if self.kind is not None:
            self.kind.require(facts_of(Scene(scene)), str(scene))
        return scene

    def _take_all(self) -> None:
        while self.hands.is_at_work:
            self._take()

    def _take(self) -> None:
        item, outcome = self.hands.take()
        if outcome.reason == KILLED and self.should_stop():
            # Who ends a task ends all its processes, which says nothing of the row.
            self._claims.pop(item.name, ExitStack()).close()
            return
        for sentence in outcome.said:
            self.reporter.say(f"{item.video_path}: {sentence}")
        self._note(item, outcome)

    def _note(self, item: Item, outcome: Outcome) -> None:
        if outcome.kept:
            keep(self.ledger, item)
        else:
            self._write_down(item, outcome)
            self._cadence.maybe(self._join_now, self.ledger.folder / METADATA_NAME)
        self._over(item)

    def _over(self, item: Item) -> None:
        self._claims.pop(item.name, ExitStack()).close()
        self.done += 1
        self.reporter.at(self.done)

    def _write_down(self, item: Item, outcome: Outcome) -> None:
        if outcome.state == "failed":
            self.reporter.say(f"{item.video_path} is left out: {outcome.reason}")
        self.scaled += outcome.state == "done"
        self.reporter.count(outcome.columns.get("frames", 0), "frame")
        self.ledger.note(
            Record(
                item.name,
                item.row,
                item.inputs,
                outcome.state,
                {**self.settings.to_json(), "depth": outcome.depth},
                outcome.sources,
                outcome.files,
                outcome.columns,
                outcome.notes,
                outcome.reason,
            )
        )

    def _join_now(self) -> None:
        with self.ledger.frozen(wait=False) as had:
            if had:
                join(self.ledger)
