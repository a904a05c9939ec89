"""Which frames files are of, by the numbers in their names.

In: names of one folder, in any order. Out: a ``Numbering``: the names' order, and a frame index or a time for
each. Names of the kind ``cam1_depth_000003`` are told by the one number that varies; where none does, or several
do, nothing is guessed. This file does not open files, and does not know what is in them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from vda.errors import InputError

# A time in seconds stands for itself, "1305031102.175304", or has the many digits of one; the "10.0003" of
# "sh10.0003" are a shot and a frame.
_NUMBER: Final = re.compile(r"(?<![A-Za-z\d])\d+\.\d+(?=\D|$)|\d{9,}\.\d+|\d+")
# Above this no frame counts, and below it no clock does: seconds since 1970 reached it in 2001.
_FIRST_CLOCK: Final = 10**9
# Seconds, milliseconds, microseconds and nanoseconds since 1970, by how large they are.
_CLOCKS: Final = ((10**11, 1.0), (10**14, 1e3), (10**17, 1e6))
_NANOSECONDS: Final = 1e9
# No file system has longer ones; names in other programs' records can have any length.
_LONGEST_NAME: Final = 255
_REMEDY: Final = "Give --by-order to take the files in the order of their names, if not one of them is missing."


@dataclass(frozen=True)
class Numbering:
    """The places of names in the order of their frames, ``frames`` [n] in that order, and times where names are
    times: ``times_s`` [n] in seconds, ``frames`` then being the order alone."""

    places: tuple[int, ...]
    frames: tuple[int, ...]
    times_s: tuple[float, ...] | None = None


def number_names(names: Sequence[str], where: object, *, by_order: bool = False, timed: bool = False) -> Numbering:
    """Find the frame index of each of ``names``: the number that varies from one to the next.

    Endings do not count. A single name may have no number: it is frame 0. ``by_order`` takes their order, numbers
    compared as numbers, whatever they say; ``timed`` allows names that are times (else refused, for nothing says
    which frames those are). Raises ``InputError``, which names ``where``, if the names tell no frames.
    """
    stems = [PurePath(name).stem for name in names]
    if any(len(stem) > _LONGEST_NAME for stem in stems):
        raise InputError(f"There are names in {where} that are too long for any file.", _REMEDY)
    if by_order or (len(stems) == 1 and not _NUMBER.search(stems[0])):
        return _in_order(stems)
    numbers = _varying(stems, where)
    if any("." in number for number in numbers) or max(map(int, numbers), default=0) >= _FIRST_CLOCK:
        if not timed:
            raise InputError(f"The names in {where} are times ({stems[0]}), which tell no frames.", _REMEDY)
        return _by_time([_seconds(number) for number in numbers])
    frames = [int(number) for number in numbers]
    places = _sorted_places(frames)
    return Numbering(places, tuple(frames[place] for place in places))


def _in_order(stems: Sequence[str]) -> Numbering:
    keys = [[(int(part), "") if part.isdecimal() else (-1, part) for part in _parts(stem)] for stem in stems]
    return Numbering(_sorted_places(keys), tuple(range(len(stems))))


def _parts(stem: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", stem) if part]


def _varying(stems: Sequence[str], where: object) -> list[str]:
    """The number of each stem that varies; numbers that are the same as another in every stem count once."""
    found = [_NUMBER.findall(stem) for stem in stems]
    if len({len(numbers) for numbers in found}) != 1 or not found[0]:
        raise InputError(f"Nothing in the names in {where} tells their frames ({_some(stems)}).", _REMEDY)
    columns = list(dict.fromkeys(zip(*found, strict=True)))
    varying = columns if len(stems) == 1 else [column for column in columns if len(set(column)) > 1]
    if not varying:
        raise InputError(f"No number in the names in {where} differs from file to file ({_some(stems)}).", _REMEDY)
    if len(varying) > 1:
        raise InputError(
            f"{len(varying)} numbers in the names in {where} may be the frame's ({_some(stems)}).", _REMEDY
        )
    if len({float(number) if "." in number else int(number) for number in varying[0]}) != len(stems):
        raise InputError(f"Several files in {where} have one frame's number ({_some(stems)}).", _REMEDY)
    return list(varying[0])


def _some(stems: Sequence[str]) -> str:
    return ", ".join(sorted(stems)[:2]) + (" ..." if len(stems) > 2 else "")


def _by_time(times_s: Sequence[float]) -> Numbering:
    places = _sorted_places(times_s)
    return Numbering(places, tuple(range(len(places))), tuple(times_s[place] for place in places))


def _seconds(number: str) -> float:
    if "." in number:
        return float(number)
    whole = int(number)
    return whole / next((ticks for limit, ticks in _CLOCKS if whole < limit), _NANOSECONDS)


def _sorted_places(keys: Sequence[object]) -> tuple[int, ...]:
    return tuple(sorted(range(len(keys)), key=keys.__getitem__))  # type: ignore[arg-type]
