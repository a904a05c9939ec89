"""MOTChallenge text: ``frame, id, left, top, width, height, confidence, ...``, one record per line.

Frames, ids and pixels count from 1: the top-left pixel is (1, 1). An id of -1 is a detection that belongs to no
track. The definition has ten columns, the last four being confidence and a place in the world. What they hold
differs from year to year and is left alone. Shorter lines are filled up, so that no column of ours stands for one
of these.
"""

import configparser
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from vda.tracks.enriched import Enriched
from vda.tracks.records import (
    Asked,
    Header,
    Position,
    Reading,
    TrackRecord,
    frame_of,
    number_of,
    position_of,
    rate_of,
    size_of,
)
from vda.tracks.textfiles import added_columns, added_to, read_lines, rewrite_lines, without_added

NAME = "mot"
# frame, id, left, top, width, height, confidence, x, y, z
_COLUMNS = 10
# What the definition writes where there is nothing: a detection counts, and has no place in the world.
_FILL = ("1", "-1", "-1", "-1")
_RECTANGLE, _POLYGON = 4, 8


def looks_like(line: str) -> bool:
    """Whether ``line`` is six numbers or more, the first a frame and the second an id."""
    numbers = [number_of(word) for word in _words(line)]
    named = all(number == number // 1 for number in numbers[:2]) and len(numbers) >= 6 and numbers[0] >= 0
    return named and not any(math.isnan(number) for number in numbers) and len(numbers) != _POLYGON


def looks_like_region(line: str) -> bool:
    """Whether ``line`` is what VOT writes: a rectangle or a polygon per line, and no frame."""
    numbers = [number_of(word) for word in _words(line)]
    return len(numbers) in (_RECTANGLE, _POLYGON) and not any(math.isnan(number) for number in numbers)


def read(path: Path, asked: Asked) -> Reading:
    return Reading(_records(path, added_columns(path)), lambda: _header(path))


def _header(path: Path) -> Header:
    """Size and rate from the ``seqinfo.ini`` that the benchmark puts beside the file or its folder."""
    parser = configparser.ConfigParser()
    for folder in (path.parent, path.parent.parent):
        try:
            if parser.read(folder / "seqinfo.ini") and parser.has_section("Sequence"):
                sequence = parser["Sequence"]
                size = size_of(sequence.get("imWidth"), sequence.get("imHeight"))
                if size is None and "imWidth" in sequence:
                    raise ValueError("the size is none")
                return Header(1, size, rate_of(sequence.get("frameRate")))
        except (configparser.Error, ValueError):
            return Header(1, notes=(f"{folder / 'seqinfo.ini'} cannot be read and is ignored.",))
    return Header(frame_base=1)


def _records(path: Path, added: Sequence[str]) -> Iterator[TrackRecord]:
    for line in read_lines(path):
        if _is_record(line):
            words = _words(line)
            yield _record(without_added(words, added), position_of(added_to(words, added)))


def _is_record(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.split(",")] if "," in line else line.split()


def _record(words: list[str], position: Position | None) -> TrackRecord:
    if len(words) < 6:
        return TrackRecord(None, readable=False)
    left, top, width, height = (number_of(word) for word in words[2:6])
    box = (left - 1, top - 1, left - 1 + width, top - 1 + height)
    track = frame_of(words[1]) if words[1].isdigit() else None
    category = words[7] if len(words) == 9 else None
    return TrackRecord(frame_of(number_of(words[0])), box, track_id=track, category=category, position=position)


def write(path: Path, output: Path, enriched: Enriched) -> None:
    """Append columns to every line, NaN where there is no position; which and why is said in a file beside it."""
    names, added = enriched.columns(), added_columns(path)
    row = -1

    def change(line: str) -> str:
        nonlocal row
        if not _is_record(line):
            return line
        row += 1
        values = (f"{float(column[row]):.7g}" for column in names.values())
        separator = "," if "," in line else " "
        own = without_added(_words(line.rstrip(", ")), added)
        filled = [*own, *_FILL[len(own) - _COLUMNS :]] if 6 <= len(own) < _COLUMNS else own
        return separator.join([*filled, *values, str(int(enriched.skip[row]))])

    rewrite_lines(path, output, change)
