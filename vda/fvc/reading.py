"""A table as people have it: the bytes of a file in, columns out.

Parquet and Arrow (Feather) are known by content; else it is text in some encoding, as JSON (an object per line, or
one array) or with fields between commas, semicolons, tabs or bars. Any of it may be gzipped. What is guessed or
dropped is told to the reporter, and what cannot be read is said with its line and column. This file does not know
what columns mean.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from vda.errors import InputError
from vda.reporter import Reporter, Silence

_REMEDY = "Give metadata as CSV, JSON lines, Parquet or Arrow, whole; --encoding says how a text is stored."
_SEPARATORS = ",;\t|"
_LINE_END = re.compile(r"\r\n|\r|\n")
# What Excel writes, and reads, as a first line.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n)', re.IGNORECASE)
# Longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
_ZIP = b"PK\x03\x04"
_SHOWN = 5


def read_columns(path: Path, *, encoding: str | None = None, reporter: Reporter | None = None) -> pl.DataFrame:
    """The table in ``path``, of a text all as text, without rows that say exactly what an earlier one does.

    ``encoding`` (any that Python knows) is guessed where it is None. Raises ``InputError`` for what is no table.
    """
    reporter = reporter or Silence()
    try:
        data = path.read_bytes()
        if data.startswith(_ZIP):
            _refuse(path, "it is a ZIP archive, as Excel's workbooks are; its table is to be saved as CSV")
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        table = _packed(data)
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _refuse(path, said.strip().split("\n")[0].rstrip("."), error)
    if table is None:
        text = _decoded(path, data, encoding, reporter)
        begin = text.lstrip()[:1]
        readers = {"{": _of_json_lines, "[": _of_json_array}
        try:
            table = readers.get(begin, _of_fields)(path, text)
        except UnicodeEncodeError as error:
            _refuse(path, "a text in it holds half a surrogate pair, which is no letter", error)
    return _without_repeats(path, table, reporter)


def _refuse(path: Path, reason: str, error: Exception | None = None) -> NoReturn:
    raise InputError(f"{path} could not be read as a table: {reason}.", _REMEDY) from error


def _packed(data: bytes) -> pl.DataFrame | None:
    if data.startswith(b"PAR1"):
        return pl.read_parquet(io.BytesIO(data))
    if data.startswith(b"ARROW1"):
        return pl.read_ipc(io.BytesIO(data))
    return pl.read_ipc_stream(io.BytesIO(data)) if data.startswith(b"\xff\xff\xff\xff") else None


def _decoded(path: Path, data: bytes, encoding: str | None, reporter: Reporter) -> str:
    try:
        known = encoding or next((name for mark, name in _MARKS if data.startswith(mark)), None)
        text = data.decode(known or _guessed(path, data, reporter))
    except LookupError as error:
        raise InputError(
            f"There is no encoding {encoding}.", "Give one such as utf-8, cp1252 or utf-16."
        ) from error
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode(error.encoding, errors="replace"))
        # Python calls all encodings of one byte a letter charmap.
        name = (encoding or "cp1252") if error.encoding == "charmap" else error.encoding
        _refuse(path, f"line {line}, column {column} is not {name}", error)
    return text.removeprefix("\ufeff")


def _guessed(path: Path, data: bytes, reporter: Reporter) -> str:
    """UTF-8 where it is; UTF-16 where zeros tell it; else what Windows writes in Western Europe and America."""
    found = _utf16(data) if b"\x00" in data else None
    if found is None:
        try:
            data.decode()
        except UnicodeDecodeError:
            found = "cp1252"
    if found is not None:
        reporter.say(f"{path} is not UTF-8 and was read as {found}; --encoding says otherwise.")
    return found or "utf-8"


def _utf16(data: bytes) -> str | None:
    """The order of bytes by which the text has no zeros, and the most letters of ASCII."""
    texts = {}
    for name in ("utf-16-le", "utf-16-be"):
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            texts[name] = sum(letter.isascii() for letter in text)
    return max(texts, key=lambda name: texts[name], default=None)


def _place(before: str) -> tuple[int, int]:
    """The line and the column, from 1, of what comes after a text."""
    ends = list(_LINE_END.finditer(before))
    return len(ends) + 1, len(before) - (ends[-1].end() if ends else 0) + 1


def _of_json_lines(path: Path, text: str) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_LINE_END.split(text), 1):
        if not line.strip():
            continue
        row = _json(path, line, number)
        if not isinstance(row, dict):
            _refuse(path, f"line {number}, column 1 is no JSON object")
        rows.append(row)
    return _of_objects(rows)


def _of_json_array(path: Path, text: str) -> pl.DataFrame:
    rows = _json(path, text, 1)
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            _refuse(path, f"element {number} of the JSON array is no object")
    return _of_objects(rows)


def _json(path: Path, text: str, line: int) -> Any:
    """What ``text``, which begins in ``line``, holds."""
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _object(path, line, pairs))
    except json.JSONDecodeError as error:
        _refuse(path, f"line {line + error.lineno - 1}, column {error.colno} is not JSON: {error.msg}", error)
    except RecursionError as error:
        _refuse(path, f"line {line} is nested too deeply", error)
    except ValueError as error:  # a number of thousands of digits
        _refuse(path, f"line {line} has a number that is too long", error)


def _object(path: Path, line: int, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse(path, f"from line {line} on, an object has {twice!r} more than once")
    return found


def _of_objects(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([_series(name, [row.get(name) for row in rows]) for name in names])


def _series(name: str, values: list[Any]) -> pl.Series:
    """Values of one type as they are; of several, or of what is no text, number or truth, as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pl.Series(name, [None if value is None else float(value) for value in values])
    if len(kinds) == 1 and kinds <= {str, bool, int, float}:
        try:
            return pl.Series(name, values)
        except (OverflowError, pl.exceptions.PolarsError):
            # A whole number that no type of a table holds, such as an identifier of 20 digits.
            pass
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    return pl.Series(name, texts, pl.String)


def _of_fields(path: Path, text: str) -> pl.DataFrame:
    stated = _SEPARATOR_LINE.match(text)
    body = text[stated.end() :] if stated else text
    separator = stated[1] if stated else _separator(body)
    rows = list(_rows(path, text, body, separator))
    while rows and not any(rows[-1][1]):
        rows.pop()
    if not rows:
        _refuse(path, "it is empty")
    (_, header), *rows = rows
    width = len(header)
    for line, fields in rows:
        if any(fields[width:]):
            column = next(place for place in range(width, len(fields)) if fields[place])
            _refuse(path, f"line {line}, column {column + 1} ({fields[column]!r}) is beyond the header's {width}")
    columns = [
        [fields[place] or None if place < len(fields) else None for _, fields in rows] for place in range(width)
    ]
    return _named(path, header, columns)


def _separator(body: str) -> str:
    header = re.sub(r'"[^"]*"', "", _LINE_END.split(body.lstrip("\r\n"), maxsplit=1)[0])
    return max(_SEPARATORS, key=header.count)


def _rows(path: Path, text: str, body: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The line that each row begins in, and its fields; lines with nothing in them are none."""
    above = _place(text[: len(text) - len(body)])[0]
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    line = above
    try:
        for fields in reader:
            if any(field.strip() for field in fields) or len(fields) > 1:
                yield line, fields
            line = above + reader.line_num
    except csv.Error as error:
        begin = len(text) - len(body) + _unreadable(body, separator)
        place = "line {}, column {}".format(*_place(text[:begin]))
        _refuse(path, f"{place} begins a field that does not end as one ({error})", error)


def _unreadable(body: str, separator: str) -> int:
    """Where the first field begins that is not whole: a quote that nothing closes, or something behind it."""
    end = rf"(?:{re.escape(separator)}|\r\n|\r|\n|\Z)"
    field = re.compile(rf'(?:"(?:[^"]|"")*"|[^"{re.escape(separator)}\r\n][^{re.escape(separator)}\r\n]*|){end}')
    begin = 0
    while begin < len(body) and (found := field.match(body, begin)):
        begin = found.end()
    return begin


def _named(path: Path, header: Sequence[str], columns: Sequence[list[str | None]]) -> pl.DataFrame:
    """The columns by name; those without a name and a value are what a separator at the end of lines leaves."""
    kept = [place for place, name in enumerate(header) if name.strip() or any(columns[place])]
    places: dict[str, int] = {}
    for place in kept:
        if places.setdefault(header[place], place) != place:
            first = places[header[place]] + 1
            _refuse(path, f"line 1, column {place + 1} is named {header[place]!r}, and so is column {first}")
    return pl.DataFrame([pl.Series(name, columns[place], pl.String) for name, place in places.items()])


def _without_repeats(path: Path, table: pl.DataFrame, reporter: Reporter) -> pl.DataFrame:
    if table.is_empty():
        return table
    row = "\x00row"
    numbered = table.with_row_index(row)
    kept = numbered.unique(subset=table.columns, keep="first", maintain_order=True)
    if len(kept) < len(table):
        gone = sorted(set(range(len(table))) - set(kept[row]))
        shown = ", ".join(map(str, gone[:_SHOWN])) + ", ..." * (len(gone) > _SHOWN)
        reporter.say(
            f"{path} has {len(gone)} rows that say exactly what an earlier one does ({shown}, counted from 0); "
            "they are dropped, and rows are counted without them."
        )
    return kept.drop(row)
