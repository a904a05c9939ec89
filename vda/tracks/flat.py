"""Flat records under names: CSV with a header, and JSON lists of objects, as supervision's sinks write them.

supervision writes ``x_min y_min x_max y_max class_id confidence tracker_id`` and whatever its user adds; the frame
number is one of those additions, so its name varies, and nothing but a 0 occurring in it says whether it counts
from 0 or from 1. Other spellings that trackers use are read as well. Pixels are taken as they are written.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vda.errors import InputError
from vda.files import atomic_writer
from vda.tracks.enriched import PREFIX, Enriched
from vda.tracks.jsonstream import Event, rewrite, stream
from vda.tracks.records import Asked, Header, Reading, Skip, TrackRecord, frame_of, number_of, position_of

NAME = "supervision"
FRAME_FIELDS = ("frame", "frame_index", "frame_number", "frame_id", "frame_idx", "frame_no")
_CORNERS = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
)
_SIZES = (("bb_left", "bb_top", "bb_width", "bb_height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_TRACKS = ("tracker_id", "track_id", "object_id", "id")
_CATEGORIES = ("class_name", "class", "label", "class_id", "category")


def has_box(names: Iterable[str]) -> bool:
    """Whether records with these fields say where a box is."""
    known = set(names)
    return any(known.issuperset(spelling) for spelling in (*_CORNERS, *_SIZES))


def read(path: Path, asked: Asked) -> Reading:
    return Reading(_records(path, asked), Header)


def _frame_field(path: Path, row: dict[str, Any], asked: Asked) -> str:
    if asked.frame_field is not None:
        return asked.frame_field
    found = next((name for name in FRAME_FIELDS if name in row), None)
    if found is None:
        raise InputError(
            f"No field of {path} is known to be the frame number: it has {', '.join(map(str, row))}.",
            "Name it with --frame-field NAME.",
        )
    return found


def _records(path: Path, asked: Asked) -> Iterator[TrackRecord]:
    name: str | None = None
    for row in _rows(path):
        if not isinstance(row, dict):
            yield TrackRecord(None, readable=False)
            continue
        name = name or _frame_field(path, row, asked)
        yield TrackRecord(
            frame=frame_of(row.get(name)),
            box=_box(row),
            track_id=_first(row, _TRACKS),
            category=_first(row, _CATEGORIES),
            mask=row.get("segmentation"),
            position=position_of(row),
        )


def _first(row: dict[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _box(row: dict[str, Any]) -> tuple[float, float, float, float] | None:
    for names in _CORNERS:
        if names[0] in row:
            x1, y1, x2, y2 = (number_of(row.get(name)) for name in names)
            return x1, y1, x2, y2
    for names in _SIZES:
        if names[0] in row:
            x, y, width, height = (number_of(row.get(name)) for name in names)
            return x, y, x + width, y + height
    return None


def _is_json(path: Path) -> bool:
    with path.open("rb") as handle:
        start = handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"[") or (not start and path.suffix.lower() == ".json")


def _rows(path: Path) -> Iterator[Any]:
    if _is_json(path):
        return (event.value for event in stream(path) if event.kind == "item")
    return _csv_rows(path)


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    lines = _csv_lines(path)
    header = next(lines, [])
    # A row with more values than the header has names cannot be told apart: it is read as far as the names go.
    return (dict(zip(header, line, strict=False)) for line in lines)


def _csv_lines(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file, blank lines left out; quoted values may hold line ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for line in csv.reader(handle):
                if line:
                    yield line
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} could not be read as CSV: {error}.", "Check the path and the file.") from error


def write(path: Path, output: Path, enriched: Enriched) -> None:
    """Write the file again with fields (JSON) or columns (CSV) added; counts are said in a file beside it."""
    if _is_json(path):
        _write_json(path, output, enriched)
    else:
        _write_csv(path, output, enriched)


def _write_json(path: Path, output: Path, enriched: Enriched) -> None:
    row = -1

    def change(event: Event) -> Any:
        nonlocal row
        row += 1
        return enriched.added_to(event.value, row)

    rewrite(path, output, (), change)


def _write_csv(path: Path, output: Path, enriched: Enriched) -> None:
    columns = enriched.columns()
    lines = _csv_lines(path)
    with atomic_writer(output) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        header = next(lines, [])
        kept = [place for place, name in enumerate(header) if not name.startswith(PREFIX)]
        writer.writerow([*(header[place] for place in kept), *columns, "vda_valid", "vda_reason"])
        for row, line in enumerate(lines):
            skip = Skip(enriched.skip[row])
            numbers = ["" if np.isnan(column[row]) else f"{float(column[row]):.7g}" for column in columns.values()]
            padded = line + [""] * (len(header) - len(line))
            added = [*numbers, str(skip == Skip.NONE).lower(), skip.text]
            writer.writerow([*(padded[place] for place in kept), *added, *padded[len(header) :]])
        text.flush()
        text.detach()
