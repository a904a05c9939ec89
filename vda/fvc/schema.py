"""The table of videos, checked where it enters: columns as they were read in, a table of known types out.

Every value that matters is brought to text first, so that ``0``, ``0.0`` and ``false`` mean the same from a CSV
and from a Parquet file; pandera then says which rows are wrong, and what is left is given its type. Rows are
counted from 0, without a header. This file does not know whether the videos exist.
"""

import re
from pathlib import Path

import pandera.polars as pa
import polars as pl

from vda.errors import InputError
from vda.fvc.ids import derived_ids
from vda.fvc.paths import scaled_name, tracks_name
from vda.fvc.reading import read_columns
from vda.reporter import Reporter

REQUIRED = ("video_path", "label")
OPTIONAL = (
    "original_video", "augmentation_idx", "is_original", "dup_group", "platform", "scene", "tracks", "video_id",
)  # fmt: skip
_KNOWN = {*REQUIRED, *OPTIONAL, "source_path", "fold", "split"}
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
_NOTHING = ("nan", "none", "null", "<na>")
_WORD = r"^[^\W_][\w :+&()-]*$"
_NUMBER = r"^\d+$"
_SHOWN = 5


def read_metadata(
    path: Path,
    *,
    may_be_empty: bool = False,
    outputs: bool = True,
    encoding: str | None = None,
    reporter: Reporter | None = None,
) -> pl.DataFrame:
    """The table in ``path``, one row a video to make, in its own order and with all its columns.

    ``row`` (UInt32) is the row's number in the file and ``video_id`` what its files are named by (a column of that
    name wins over the name of ``original_video``; ``stated_id`` is that column alone). ``label`` is text;
    ``is_original`` is always known; ``augmentation_idx`` (Int64) is null for originals; the other optional columns
    are text, null where absent. Rows that repeat an earlier one are dropped, and not counted. Without ``outputs``,
    rows may be named alike, for nothing is written by their names. ``reporter`` is told what was guessed or
    dropped. Raises ``InputError`` naming the rows that are wrong.
    """
    table = read_table(path, encoding=encoding, reporter=reporter)
    texts = _as_texts(path, table)
    if table.is_empty() and not may_be_empty:
        raise InputError(f"{path} has no rows.", "Give metadata with one row a video.")
    _check(path, _TEXTS, texts)
    typed = _typed(texts)
    _check(path, _ROWS, typed)
    if outputs:
        _check(path, _OUTPUTS, _with_outputs(typed))
    unknown = table.drop("row", *REQUIRED, *OPTIONAL, strict=False)
    return pl.concat([typed.with_row_index("row"), unknown], how="horizontal")


def read_table(path: Path, *, encoding: str | None = None, reporter: Reporter | None = None) -> pl.DataFrame:
    """The table in ``path`` as it is, but with known columns by their own names: not ``Video Path``."""
    table = read_columns(path, encoding=encoding, reporter=reporter)
    known = {name: plain for name in table.columns if (plain := _plain(name)) in _KNOWN}
    for plain in known.values():
        if len(same := [name for name in known if known[name] == plain]) > 1:
            raise InputError(
                f"{path} has the column {plain} more than once: {', '.join(map(repr, same))}.",
                "Rename the others.",
            )
    return table.rename(known)


def _plain(header: str) -> str:
    return re.sub(r"[\s-]+", "_", header.strip().lower())


def _as_texts(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    """The known columns as text, what is empty as null. Raises ``InputError`` for columns that hold no values."""
    if absent := [name for name in REQUIRED if name not in table.columns]:
        raise InputError(
            f"{path} has no column {' and no column '.join(absent)}; its columns are {', '.join(table.columns)}.",
            "Give metadata with the columns video_path and label.",
        )
    known = [name for name in (*REQUIRED, *OPTIONAL) if name in table.columns]
    for name in known:
        dtype = table.schema[name]
        if dtype.is_nested() or dtype.is_temporal() or dtype in (pl.Binary, pl.Object):
            raise InputError(
                f"The column {name} of {path} holds {dtype} in all {len(table)} rows, not texts or numbers.",
                "Write the column as text or numbers.",
            )
    nulls = [pl.lit(None, pl.String).alias(name) for name in OPTIONAL if name not in known]
    return table.select(*(_text(name, table.schema[name]) for name in known), *nulls)


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as text without outer blanks; whole numbers without a point, as tables with gaps have them."""
    value = pl.col(name)
    if dtype.is_float():
        value = value.fill_nan(None)
    text = value.cast(pl.String).str.strip_chars().str.replace(r"^(-?\d+)\.0*$", "$1")
    empty = (text == "") | text.str.to_lowercase().is_in(_NOTHING)
    return pl.when(~empty).then(text).alias(name)


def _typed(texts: pl.DataFrame) -> pl.DataFrame:
    """Texts that passed ``_TEXTS`` in their own types, and who is an original settled."""
    number = pl.col("augmentation_idx").cast(pl.Int64)
    stated = pl.col("is_original").str.to_lowercase().is_in(_TRUE)
    # Some tables number the original -1, others 0 and say so in is_original: that column has the last word.
    typed = texts.with_columns(is_original=pl.coalesce(stated, number.is_null() | (number < 0)))
    typed = typed.with_columns(
        augmentation_idx=pl.when(~pl.col("is_original") & (number >= 0)).then(number),
        stated_id=pl.col("video_id"),
    )
    return typed.with_columns(video_id=pl.Series(derived_ids(typed), dtype=pl.String))


def _with_outputs(typed: pl.DataFrame) -> pl.DataFrame:
    """``typed`` with the files that its rows would write: what must be unique."""
    rows = typed.select("video_id", "augmentation_idx", "tracks").rows()
    return typed.with_columns(
        output=pl.Series([scaled_name(name, number) for name, number, _ in rows], dtype=pl.String),
        tracks_output=pl.Series(
            [tracks and tracks_name(name, number) for name, number, tracks in rows], dtype=pl.String
        ),
    )


def _rule(error: str, passes: pl.Expr) -> pa.Check:
    """A check of every row of the whole table, by an expression; ``error`` completes "row ... "."""
    return pa.Check(lambda data: data.lazyframe.select(passes), error=error)


def _one_kind() -> pl.Expr:
    """Whether a label is a number or a word as most of the labels are."""
    label = pl.col("label")
    number = label.str.contains(_NUMBER)
    return ~label.str.contains(_WORD) | (number == (number.mean() >= 0.5))


def _one_spelling() -> pl.Expr:
    """Whether no label of another spelling is more frequent, or as frequent; case and blanks are spelling."""
    folded = pl.col("label").str.to_lowercase().str.replace_all(r"[\s_-]+", "")
    frequency = pl.len().over("label")
    most, least = frequency.max().over(folded), frequency.min().over(folded)
    alone = pl.col("label").n_unique().over(folded) == 1
    return alone | ((frequency == most) & (least < most))


def _text_column(*checks: pa.Check) -> pa.Column:
    return pa.Column(pl.String, list(checks), nullable=True)


def _matches(pattern: str, error: str) -> pa.Check:
    return pa.Check.str_matches(pattern, error=error)


_TEXTS = pa.DataFrameSchema(
    {
        "video_path": pa.Column(pl.String),
        "label": pa.Column(
            pl.String,
            [
                _matches(_WORD, "is no label (a word, or a whole number of 0 or more)"),
                _rule("is a number among words, or a word among numbers", _one_kind()),
                _rule("differs from another label only in case or blanks", _one_spelling()),
            ],
        ),
        "augmentation_idx": _text_column(_matches(r"^-?\d{1,18}$", "is no whole number")),
        "is_original": _text_column(
            _rule("is neither true nor false", pl.col("is_original").str.to_lowercase().is_in(_TRUE + _FALSE))
        ),
    }
)

_ROWS = pa.DataFrameSchema(
    {
        "is_original": pa.Column(
            pl.Boolean,
            _rule(
                "is false, but augmentation_idx is no number of 0 or more",
                pl.col("is_original") | pl.col("augmentation_idx").is_not_null(),
            ),
        ),
    }
)

_OUTPUTS = pa.DataFrameSchema(
    {
        "video_id": pa.Column(pl.String, _matches(r"^[^./\\\x00][^/\\\x00]*$", "cannot begin the name of a file")),
        "output": pa.Column(
            pl.String, _rule("would be written by more than one row", pl.col("output").is_unique())
        ),
        "tracks_output": _text_column(
            _rule(
                "would be written by more than one row",
                pl.col("tracks_output").is_null() | pl.col("tracks_output").is_unique(),
            )
        ),
    }
)


def _check(path: Path, schema: pa.DataFrameSchema, table: pl.DataFrame) -> None:
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.sort("failure_case", "index", maintain_order=True)
        complaints = [
            f"{column} {_WORDING.get(check, check)} in {_rows(found)}"
            for (column, check), found in cases.group_by("column", "check", maintain_order=True)
        ]
        raise InputError(
            f"{path} cannot be used: {'; '.join(complaints)}.",
            "Correct these rows (counted from 0, without the header); a column video_id names files apart.",
        ) from error


_WORDING = {"not_nullable": "is empty"}


def _rows(found: pl.DataFrame) -> str:
    """``3 rows (row 4: 'x', ...)``: the first handful, and how many there are."""
    pairs = found.select("index", "failure_case").rows()
    shown = ", ".join(f"row {index}: {value!r}" if value else f"row {index}" for index, value in pairs[:_SHOWN])
    more = ", ..." if len(pairs) > _SHOWN else ""
    return f"{len(pairs)} row{'s' * (len(pairs) != 1)} ({shown}{more})"
