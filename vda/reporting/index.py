"""A page that leads to the reports of many scenes: the worst first, and those that have none yet at the end.

In: a line for each scene. Out: HTML. Lines are words and figures, so that a page of hundreds takes no memory; this
file does not know how they were made.
"""

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vda.evaluation.page import section, whole_page
from vda.evaluation.quality import in_digits
from vda.files import write_bytes
from vda.shown import printable

_COLUMNS = ("seam", "flicker", "drift", "invalid")
_WORST_FIRST = ("look at it", "not all measured", "steady, with remarks", "steady")


@dataclass(frozen=True)
class IndexRow:
    """A scene, by its name; ``report`` is None where there is none, and ``told`` then says why.

    Else ``told`` is the verdict in a word, and ``values`` are the figures by their names.
    """

    name: str
    told: str
    report: Path | None = None
    values: dict[str, float | None] | None = None


def write_index(path: Path, entries: Sequence[IndexRow]) -> None:
    """Write the page; links lead from where it lies. ``StorageError`` where it cannot be written."""
    rows = "".join(_row(entry, path) for entry in sorted(entries, key=_gravity))
    head = "".join(f"<th>{name}</th>" for name in ("scene", "", *_COLUMNS))
    without = sum(entry.report is None for entry in entries)
    note = f"{len(entries)} scenes, the worst first." + (f" {without} have no report." if without else "")
    body = f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'
    write_bytes(path, whole_page("Reports", [section("Scenes", body, note)]).encode())


def _gravity(entry: IndexRow) -> tuple[int, float, str]:
    place = _WORST_FIRST.index(entry.told) if entry.told in _WORST_FIRST else len(_WORST_FIRST)
    return place, -((entry.values or {}).get("seam") or 0.0), entry.name


def _row(entry: IndexRow, path: Path) -> str:
    name = html.escape(printable(entry.name, one_line=True))
    if entry.report is not None:
        there = Path(os.path.relpath(entry.report.resolve(), path.resolve().parent)).as_posix()
        name = f'<a href="{html.escape(quote(there))}">{name}</a>'
    values = entry.values or {}
    figures = "".join(f"<td>{in_digits(values[key]) if key in values else ''}</td>" for key in _COLUMNS)
    return f"<tr><td>{name}</td><td>{html.escape(printable(entry.told))}</td>{figures}</tr>"
