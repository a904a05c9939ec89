"""The tables that others read: what was made, and what is to be said of it.

In: records. Out: ``scaled_metadata.csv``, a row for each scaled video; ``scaled_log.csv``, a row for each thing
said and one at least for each video. They appear whole and can be made again from the records at any time. This
file does not know how many processes write records.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl

from vda.errors import InputError
from vda.files import write_bytes
from vda.fvc.record import Record

METADATA_NAME: Final = "scaled_metadata.csv"
LOG_NAME: Final = "scaled_log.csv"
LOGS_FOLDER: Final = "scaled_logs"

# Names and types of all columns: a table without a row has them too. Paths are relative to the table.
COLUMNS: Final = {
    "video_path": pl.String,
    "label": pl.String,
    "original_video": pl.String,
    "augmentation_idx": pl.Int64,
    "is_original": pl.Boolean,
    "original_width": pl.Int64,
    "original_height": pl.Int64,
    "video_id": pl.String,
    "dup_group": pl.String,
    "platform": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "frames": pl.Int64,
    "fps": pl.Float64,
    "is_vfr": pl.Boolean,
    "duration_seconds": pl.Float64,
    "padding_left": pl.Int64,
    "padding_top": pl.Int64,
    "padding_right": pl.Int64,
    "padding_bottom": pl.Int64,
    "method": pl.String,
    "fallback": pl.String,
    "depth_path": pl.String,
    "tracks_path": pl.String,
    "times_path": pl.String,
    "source_path": pl.String,
    "metadata_row": pl.Int64,
    "removed": pl.Boolean,
}
_LOG_COLUMNS: Final = {
    "metadata_row": pl.Int64,
    "source_path": pl.String,
    "video_path": pl.String,
    "state": pl.String,
    "message": pl.String,
}


def write_metadata(folder: Path, records: Iterable[Record]) -> None:
    _write(folder / METADATA_NAME, metadata_table(records))


def metadata_table(records: Iterable[Record]) -> pl.DataFrame:
    """The table of the videos that are done."""
    return _typed(record.columns for record in records if record.state == "done")


def as_texts(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """``rows`` of some of the columns as the written table has them: all of it text, null where empty."""
    return pl.read_csv(_typed(rows).write_csv().encode(), infer_schema=False)


def _typed(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    try:
        return pl.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows], schema=COLUMNS)
    # Records come from files, and what they tell of a video may be of any type.
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"The records of the data set hold no such table: {str(error).splitlines()[0]}.",
            "Remove the folder scaled_state and scale again.",
        ) from error


def write_log(path: Path, records: Iterable[Record]) -> None:
    """Write what there is to say of each video: ``note`` by note, then ``done``, or ``failed`` with the reason."""
    rows = [
        (record.row, record.inputs.get("video_path"), record.name, state, message)
        for record in records
        for state, message in (*(("note", note) for note in record.notes), (record.state, record.reason))
    ]
    _write(path, pl.DataFrame(rows, schema=_LOG_COLUMNS, orient="row"))


def _write(path: Path, table: pl.DataFrame) -> None:
    data = table.write_csv().encode()
    # Whoever makes something of the table sees by its time whether there is anything new in it.
    if not (path.is_file() and path.read_bytes() == data):
        write_bytes(path, data)
