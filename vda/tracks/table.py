"""The flat table of all records, whatever the format they came in: CSV or Parquet, and a sheet with units.

In go the columns of tracks and of what enriching found; out comes a file. Parquet needs pyarrow, which comes with
the ``tracks`` extra.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.files import atomic_path, atomic_writer
from vda.tracks.enriched import PREFIX, Enriched
from vda.tracks.records import Skip, Tracks

# Memory follows a block, not the file. Parquet gets each as a row group, and small ones would bloat it.
_ROWS_AT_ONCE = 1 << 16
# What Excel and LibreOffice open, without the header.
SHEET_MOST_ROWS = (1 << 20) - 1
_TITLES = {
    "category": "class",
    **dict(zip(("x1", "y1", "x2", "y2"), ("left [px]", "top [px]", "right [px]", "bottom [px]"), strict=True)),
    "point_x": "point x [px]",
    "point_y": "point y [px]",
}
_WITHOUT_UNIT = {"frame", "track", "share", "valid", "reason", "bridged"}
_SPEEDS = {"velocity", "speed"}


def write_table(tracks: Tracks, enriched: Enriched, output: Path) -> None:
    """Write a row per record to ``output``: frame, track, category, box, point, depth, position, validity, reason.

    The suffix says which: ``.parquet``, else CSV. Missing values are empty.
    """
    if output.suffix == ".parquet":
        _write_parquet(tracks, enriched, output)
    else:
        _write_csv(_blocks(tracks, enriched), output)


def write_sheet(tracks: Tracks, enriched: Enriched, times_s: NDArray[np.float64], output: Path) -> None:
    """Write the same for a spreadsheet: CSV with a time for each row, and titles with units (``x [m]``).

    ``times_s`` float64 [N] are seconds, NaN where a frame's time is not known. UTF-8 with the mark by which Excel
    knows it, decimal points, lines that end as RFC 4180 has it.
    """
    blocks = (
        {
            "frame": block.pop("frame"),
            "time [s]": times,
            **{_title(name): column for name, column in block.items()},
        }
        for block, times in zip(_blocks(tracks, enriched), _pieces(times_s), strict=True)
    )
    _write_csv(blocks, output, encoding="utf-8-sig", line_end="\r\n")


def _title(name: str) -> str:
    """What stands above a column: words, and the unit in brackets."""
    if name in _TITLES:
        return _TITLES[name]
    words = [word for word in name.removeprefix(PREFIX).split("_") if word != "relative"]
    words = ["spread" if word == "std" else word for word in words]
    unit = "m/s" if _SPEEDS & set(words) else "relative" if "relative" in name else "m"
    return " ".join(words) + ("" if words[-1] in _WITHOUT_UNIT else f" [{unit}]")


def _pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield from (values[start : start + _ROWS_AT_ONCE] for start in range(0, max(len(values), 1), _ROWS_AT_ONCE))


def _blocks(tracks: Tracks, enriched: Enriched) -> Iterator[dict[str, NDArray[Any]]]:
    """The table in pieces; texts are only made for the rows of a piece."""
    track = np.array([*map(str, tracks.track_names), None], object)
    category = np.array([*map(str, tracks.category_names), None], object)
    reasons = np.array([skip.text or None for skip in Skip], object)
    numbers = enriched.columns()
    for start in range(0, max(len(tracks), 1), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block: dict[str, NDArray[Any]] = {
            "frame": tracks.frame[rows],
            "track": track[tracks.track[rows]],
            "category": category[tracks.category[rows]],
        }
        block |= {name: tracks.box[rows, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))}
        block |= {name: tracks.point[rows, i] for i, name in enumerate(("point_x", "point_y"))}
        block |= {name: column[rows] for name, column in numbers.items()}
        block["vda_valid"] = enriched.skip[rows] == Skip.NONE
        block["vda_reason"] = reasons[enriched.skip[rows]]
        yield block


def _write_csv(
    blocks: Iterator[dict[str, NDArray[Any]]], output: Path, *, encoding: str = "utf-8", line_end: str = "\n"
) -> None:
    with atomic_writer(output) as handle:
        text = io.TextIOWrapper(handle, encoding=encoding, newline="")
        writer = csv.writer(text, lineterminator=line_end)
        for number, block in enumerate(blocks):
            if number == 0:
                writer.writerow(block)
            writer.writerows(zip(*(map(_cell, column.tolist()) for column in block.values()), strict=True))
        text.flush()
        text.detach()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.7g}"
    return value


def _write_parquet(tracks: Tracks, enriched: Enriched, output: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = {"track", "category", "vda_reason"}
    with atomic_path(output) as temporary:
        writer = None
        for block in _blocks(tracks, enriched):
            arrays = {
                name: pa.array(column, pa.string() if name in texts else None, from_pandas=True)
                for name, column in block.items()
            }
            table = pa.table(arrays)
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
