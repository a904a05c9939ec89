"""Makes folders of images for tests with OpenCV, Pillow and OpenEXR alone, without the code under test."""

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import clips
import cv2
import numpy as np


def write_picture(path: Path, rgb: np.ndarray) -> Path:
    """Write RGB, or RGBA, of any depth that the format has, with OpenCV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = [2, 1, 0, 3][: rgb.shape[2]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., order]))
    return path


def write_light(path: Path, light: np.ndarray, fps: Fraction | None = None, **header: object) -> Path:
    """Write linear light, float [height, width, 3], with OpenEXR."""
    import OpenEXR

    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"compression": OpenEXR.NO_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(about, {"RGB": np.ascontiguousarray(light, np.float32)}).write(str(path))
    if fps is not None:
        _state_rate(path, fps, len(light))
    return path


def _state_rate(path: Path, fps: Fraction, rows: int) -> None:
    """Put ``framesPerSecond`` first into the header, which the package cannot write, and move the offsets."""
    data = path.read_bytes()
    stated = b"framesPerSecond\0rational\0" + struct.pack("<iiI", 8, fps.numerator, fps.denominator)
    # Rows that are not compressed are chunks of their own, and the last row's offset ends where the first begins.
    first = next(at for at in range(8, len(data)) if struct.unpack_from("<Q", data, at)[0] == at + 8 * rows)
    offsets = [offset + len(stated) for offset in struct.unpack_from(f"<{rows}Q", data, first)]
    table = struct.pack(f"<{rows}Q", *offsets)
    path.write_bytes(data[:8] + stated + data[8:first] + table + data[first + len(table) :])


def make_folder(folder: Path, numbers: Iterable[int], name: str = "shot.{:04d}.png", side: int = 80) -> Path:
    """Write a picture for each number, which ``clips.number_in`` reads from it again."""
    for number in numbers:
        write_picture(folder / name.format(number), clips.picture(number, side, side * 3 // 5))
    return folder
