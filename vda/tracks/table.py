"""The flat table of all records, whatever the format they came in: CSV or Parquet.

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

from vda.errors import UsageError
from vda.files import atomic_path, atomic_writer
from vda.tracks.enriched import Enriched
from vda.tracks.records import Skip, Tracks

# Memory follows a block, not the file. Parquet gets each as a row group, and small ones would bloat it.
_ROWS_AT_ONCE = 1 << 16


def write_table(tracks: Tracks, enriched: Enriched, output: Path) -> None:
    """Write a row per record to ``output``: frame, track, category, box, point, depth, position, validity, reason.

    The suffix says which: ``.parquet``, else CSV. Missing values are empty.
    """
    if output.suffix == ".parquet":
        _write_parquet(tracks, enriched, output)
    else:
        _write_csv(tracks, enriched, output)


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


def _write_csv(tracks: Tracks, enriched: Enriched, output: Path) -> None:
    with atomic_writer(output) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        for number, block in enumerate(_blocks(tracks, enriched)):
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
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow.", "Install it: pip install 'vda-toolkit[tracks]'.") from error
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
