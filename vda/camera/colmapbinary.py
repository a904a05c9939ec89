"""Whether a binary model of COLMAP's is whole: what it counts against its bytes.

In goes the folder of a model, out comes the name of a damaged file. COLMAP's own reader believes every count: a
file of 75 bytes takes all memory there is, and what lies behind a file's end is 0 to it. The formats are in
COLMAP's documentation ("Output Format") and its ``scene/reconstruction_io_binary.cc``. This file does not know
what the numbers mean.
"""

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

_Data = bytes | mmap.mmap
# A pose is a quaternion and a translation, float64; a sensor a kind and a number, of 4 bytes each.
_POSE, _SENSOR = 56, 8
# How many a camera of each model has, in the order of COLMAP's ``sensor/models.h``.
_PARAMETERS: Final = (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12, 16)


def damaged_file(folder: Path) -> str | None:
    """The first file in ``folder`` that ends before what it counts; None where all are whole, or absent."""
    return next((name for name, end_of in _FILES.items() if _is_cut(folder / name, end_of)), None)


def _is_cut(path: Path, end_of: Callable[[_Data, int], int]) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = 8
            for _ in range(_count(data, 0)):
                # Each is longer than nothing, so that no count outlasts the file.
                at = end_of(data, at)
                if at > len(data):
                    return True
            return False
    except (struct.error, ValueError):  # an empty file, a count behind the end, a name without one
        return True


def _count(data: _Data, at: int) -> int:
    found: int = struct.unpack_from("<Q", data, at)[0]
    return found


def _short_count(data: _Data, at: int) -> int:
    found: int = struct.unpack_from("<I", data, at)[0]
    return found


def _camera_end(data: _Data, at: int) -> int:
    """Number, model, width and height, and the model's parameters, float64."""
    model = _short_count(data, at + 4)
    return at + 24 + 8 * (_PARAMETERS[model] if model < len(_PARAMETERS) else min(_PARAMETERS))


def _image_end(data: _Data, at: int) -> int:
    """Number, pose, camera; a name that ends with a zero; points of two float64 and a number."""
    name_end = data.find(b"\0", at + 4 + _POSE + 4)
    if name_end < 0:
        raise ValueError("a name does not end")
    return name_end + 9 + 24 * _count(data, name_end + 1)


def _point_end(data: _Data, at: int) -> int:
    """Number, three float64, three bytes of colour, an error; an image and a place for each time it was seen."""
    return at + 51 + 8 * _count(data, at + 43)


def _rig_end(data: _Data, at: int) -> int:
    """Number and a count of sensors: the first is the reference, each other says whether a pose follows."""
    sensors, at = _short_count(data, at + 4), at + 8
    if sensors:
        at += _SENSOR
    for _ in range(sensors - 1):
        at += _SENSOR + 1 + _POSE * bool(data[at + _SENSOR : at + _SENSOR + 1].strip(b"\0"))
        if at > len(data):
            break
    return at


def _frame_end(data: _Data, at: int) -> int:
    """Number, rig, pose; a sensor and a number of 8 bytes for each picture."""
    return at + 12 + _POSE + (_SENSOR + 8) * _short_count(data, at + 8 + _POSE)


_FILES: Final[dict[str, Callable[[_Data, int], int]]] = {
    "cameras.bin": _camera_end,
    "rigs.bin": _rig_end,
    "frames.bin": _frame_end,
    "images.bin": _image_end,
    "points3D.bin": _point_end,
}
