"""What the formats read into: one row per record, in columns, so that tens of millions fit in memory.

In go single records as a format's reader meets them; out come arrays, with a reason for every record that has no
place in the image. This file does not know any format, nor depth.
"""

import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.records import require_sound

NOWHERE = float("nan")
Position = tuple[float, float, float]
NO_NUMBERS = (NOWHERE, NOWHERE, NOWHERE, NOWHERE)
# The last number of a name, whatever its ending: 12 of "cam2/frame_0012.jpg". 18 digits always fit into int64.
_LARGEST_SIDE = 1 << 20
_FRAME_NAME = re.compile(r"(?:^|\D)(\d{1,18})(?:\.[^.\d][^.]*)?\s*$")
# No frame has it, whichever number the file begins with.
UNNUMBERED = np.iinfo(np.int64).min
NAMELESS = -1
# "3", "-1", and "3.0" as tables write it.
_WHOLE = re.compile(r"([+-]?\d{1,18})(?:\.0*)?")
_NO_TRACK = -1
# A 0 in MOTChallenge's pixels, which count from 1.
_LOWEST = -1
_FALSE = {"", "0", "0.0", "false", "f", "no", "n", "none", "null", "nan"}
_NO_NAME = {"", "none", "null", "nan", "na", "n/a"}


class Skip(IntEnum):
    """Why a record has no position; 0 where it has one."""

    NONE = 0
    UNDETECTED = 1
    UNREADABLE = 2
    NO_FRAME = 3
    NO_PLACE = 4
    NOT_A_NUMBER = 5
    INSIDE_OUT = 6
    OUTSIDE = 7
    NO_MASK = 8
    NO_DEPTH = 9
    FEW_VALID = 10
    BEYOND_CALIBRATION = 11
    NO_RAY = 12

    @property
    def text(self) -> str:
        return _SKIP_TEXTS[self]


_SKIP_TEXTS = {
    Skip.NONE: "",
    Skip.UNDETECTED: "not detected",
    Skip.UNREADABLE: "the record cannot be read",
    Skip.NO_FRAME: "no frame number",
    Skip.NO_PLACE: "neither a point nor a box",
    Skip.NOT_A_NUMBER: "a coordinate is not a finite number",
    Skip.INSIDE_OUT: "the box is turned inside out",
    Skip.OUTSIDE: "outside the image",
    Skip.NO_MASK: "no mask",
    Skip.NO_DEPTH: "no depth for the frame",
    Skip.FEW_VALID: "too few valid depth pixels",
    Skip.BEYOND_CALIBRATION: "farther than the calibration reaches",
    Skip.NO_RAY: "outside what the lens model covers",
}


@dataclass(slots=True)
class TrackRecord:
    """One record as its format wrote it: ``frame`` counted from the format's base, pixels in our Convention.

    ``box`` is (x1, y1, x2, y2) and ``point`` (x, y); None where the record has none, NaN where it has nonsense.
    """

    frame: int | None
    box: tuple[float, float, float, float] | None = None
    point: tuple[float, float] | None = None
    detected: bool = True
    track_id: Any = None
    category: Any = None
    mask: Any = None
    readable: bool = True
    position: Position | None = None


@dataclass(frozen=True)
class Header:
    """What a file says about itself besides its records; None where it says nothing.

    ``frame_base`` is the number of the first frame in this file, ``size`` the (width, height) its pixels are for.
    """

    frame_base: int | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    focal: tuple[float, float, float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What the user said about the file: it wins over what the file says.

    ``size`` is the video's (width, height), for formats that write fractions of it.
    """

    frame_base: Literal[0, 1] | None = None
    frame_field: str | None = None
    size: tuple[int, int] | None = None
    masks: bool = False
    positions: bool = False

    def __post_init__(self) -> None:
        require_sound(self, size="track-size")


@dataclass
class Tracks:
    """All records of a file, in its order: N rows.

    ``frame`` int64 [N], zero-based frame index; ``box`` float64 [N, 4] and ``point`` float64 [N, 2] in pixels, NaN
    where there is none; ``track`` and ``category`` int64 [N], indices into the lists of names, -1 for none;
    ``skip`` uint8 [N] (``Skip``). Where asked for, ``masks`` are the segmentations of the records that have one,
    and ``position`` float64 [N, 3] is what an earlier enrichment found: metres of the camera, NaN for nothing.
    """

    path: Path
    format: str
    header: Header
    frame: NDArray[np.int64]
    box: NDArray[np.float64]
    point: NDArray[np.float64]
    track: NDArray[np.int64]
    category: NDArray[np.int64]
    skip: NDArray[np.uint8]
    track_names: list[Any]
    category_names: list[Any]
    masks: dict[int, Any] = field(default_factory=dict)
    position: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def intrinsics(self, width: int, height: int) -> Intrinsics | None:
        """The file's own camera: for its own image size, or for the ``width`` x ``height`` of the video."""
        if self.header.focal is None:
            return None
        return Intrinsics(*(self.header.size or (width, height)), *self.header.focal)


@dataclass(frozen=True)
class Reading:
    """A file being read: its records, and what it says about itself, to be asked for after the last of them."""

    records: Iterable[TrackRecord]
    header: Callable[[], Header]


def collect(path: Path, name: str, reading: Reading, asked: Asked) -> Tracks:
    """Read all records into columns, frames counted from 0.

    Raises ``InputError`` where neither the format nor the user says whether frames count from 0 or from 1.
    """
    numbers, states = array("q"), array("B")
    boxes, points = array("d"), array("d")
    track, category = _Names(), _Names()
    masks: dict[int, Any] = {}
    positions = array("d")
    for row, record in enumerate(reading.records):
        numbers.append(UNNUMBERED if record.frame is None else record.frame)
        states.append(_first_reason(record))
        boxes.extend(record.box or NO_NUMBERS)
        points.extend(record.point or NO_NUMBERS[:2])
        track.append(track_name(record.track_id))
        category.append(category_name(record.category))
        if asked.masks and record.mask is not None:
            masks[row] = record.mask
        if asked.positions:
            positions.extend(record.position or NO_NUMBERS[:3])
    tracks = Tracks(
        path=path,
        format=name,
        header=reading.header(),
        frame=np.array(numbers, np.int64),
        box=np.array(boxes, np.float64).reshape(-1, 4),
        point=np.array(points, np.float64).reshape(-1, 2),
        track=np.array(track.codes, np.int64),
        category=np.array(category.codes, np.int64),
        skip=np.array(states, np.uint8),
        track_names=list(track.names),
        category_names=list(category.names),
        masks=masks,
        position=np.array(positions, np.float64).reshape(-1, 3) if asked.positions else None,
    )
    _refuse_fractions(tracks)
    _count_from_zero(tracks, asked.frame_base)
    _find_inside_out(tracks)
    return tracks


class _Names:
    """Ids as small numbers: tracks are called 7, "7" or "person-7"."""

    def __init__(self) -> None:
        self.names: dict[Any, int] = {}
        self.codes = array("q")

    def append(self, name: Any) -> None:
        self.codes.append(NAMELESS if name is None else self.names.setdefault(name, len(self.names)))


def track_name(value: Any) -> int | str | None:
    """An id as a name: 7, "7" or "person-7"; None for what belongs to no track.

    Detectors write -1 (MOTChallenge's ``det.txt``, supervision) or leave the field empty, and tables write whole
    numbers as 3.0 as soon as one id is missing.
    """
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    if whole and int(whole[1]) == _NO_TRACK:
        return None
    if value is None or text.lower() in _NO_NAME:
        return None
    if whole is None:
        return text
    return int(whole[1]) if not isinstance(value, str) else whole[1]


def category_name(value: Any) -> int | float | str | None:
    """A class as its format names it; None where there is none."""
    if value is None or value == "":
        return None
    return value if isinstance(value, int | float | str) else str(value)


def _first_reason(record: TrackRecord) -> Skip:
    if not record.readable:
        return Skip.UNREADABLE
    if record.frame is None:
        return Skip.NO_FRAME
    if not record.detected:
        return Skip.UNDETECTED
    place = record.point or record.box
    if place is None:
        return Skip.NO_PLACE
    return Skip.NONE if all(map(math.isfinite, place)) else Skip.NOT_A_NUMBER


def _refuse_fractions(tracks: Tracks) -> None:
    """Places that all lie within 0 and 1 are fractions of an image, and would all be in its first pixel."""
    places = np.concatenate([tracks.box.ravel(), tracks.point.ravel()])
    known = places[np.isfinite(places)]
    if known.size and known.min() >= _LOWEST and known.max() <= 1 and (known % 1 != 0).any():
        raise InputError(
            f"The places in {tracks.path} are fractions of an image, not pixels.",
            "Write them in pixels: multiply x by the image's width and y by its height.",
        )


def _count_from_zero(tracks: Tracks, asked_base: int | None) -> None:
    numbered = tracks.frame != UNNUMBERED
    lowest = int(tracks.frame[numbered].min()) if numbered.any() else 0
    base = asked_base if asked_base is not None else tracks.header.frame_base
    if base is None and numbered.any() and lowest > 0:
        raise InputError(
            f"{tracks.path} does not say whether its frames count from 0 or from 1 (its lowest is {lowest}).",
            "Say it with --frame-base 0 or --frame-base 1.",
        )
    base = base or 0
    if numbered.any() and lowest < base:
        raise InputError(
            f"{tracks.path} has a frame {lowest}, but {tracks.format} frames count from {base}.",
            "Say how this file counts with --frame-base 0 or --frame-base 1."
            if lowest >= 0
            else "Frames cannot be negative: check the file.",
        )
    tracks.frame[numbered] -= base
    tracks.frame[~numbered] = -1


def _find_inside_out(tracks: Tracks) -> None:
    """A box whose right edge lies left of its left one says nothing about where the object is."""
    used = np.isnan(tracks.point[:, 0])
    inside_out = (tracks.box[:, 2] < tracks.box[:, 0]) | (tracks.box[:, 3] < tracks.box[:, 1])
    tracks.skip[used & inside_out & (tracks.skip == Skip.NONE)] = Skip.INSIDE_OUT


def numbers_of(values: Any, count: int) -> tuple[float, ...] | None:
    """``count`` numbers from a list; None where there is no value, NaN where one is not a number."""
    if values is None:
        return None
    if not isinstance(values, list | tuple) or len(values) < count:
        return (NOWHERE,) * count
    return tuple(number_of(value) for value in values[:count])


def position_of(record: Mapping[str, Any]) -> Position | None:
    """Where an earlier enrichment put ``record``, as an object or in columns of its own; None where it did not."""
    place = record.get("vda_position_3d")
    if isinstance(place, dict):
        numbers = tuple(number_of(place.get(axis)) for axis in "xyz")
    elif "vda_x" in record:
        numbers = tuple(number_of(record.get(f"vda_{axis}")) for axis in "xyz")
    else:
        return None
    return numbers  # type: ignore[return-value]


def number_of(value: Any) -> float:
    """A number, or NaN. JSON may hold integers that no float can."""
    try:
        return float(value) if value is not None and not isinstance(value, bool) else NOWHERE
    except (TypeError, ValueError, OverflowError):
        return NOWHERE


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """The size of an image in whole pixels; None where a file states none that an image can have."""
    sides = number_of(width), number_of(height)
    return (round(sides[0]), round(sides[1])) if all(1 <= side <= _LARGEST_SIDE for side in sides) else None


def rate_of(value: Any) -> float | None:
    """Frames per second; None where a file states none that frames can have."""
    rate = number_of(value)
    return rate if 0 < rate < math.inf else None


def is_true(value: Any) -> bool:
    """Whether a flag is set, as JSON, CSV and people write it: false, 0, null, "no" and "" are not."""
    if isinstance(value, str):
        return value.strip().lower() not in _FALSE
    return bool(value)


def frame_of(value: Any) -> int | None:
    """The frame's number: an integer, a whole float, digits, or a name that ends in digits ("frame_00012.png")."""
    number = number_of(value)
    if math.isnan(number) and isinstance(value, str):
        match = _FRAME_NAME.search(value)
        return int(match[1]) if match else None
    return int(number) if math.isfinite(number) and number == int(number) and abs(number) < 2**62 else None
