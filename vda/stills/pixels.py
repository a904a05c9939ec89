"""An image file to RGB as it is shown: bytes in, uint8 pixels out.

Sixteen bits become eight by rounding v / 257. Floats are linear light, shown as ``exr`` says. Alpha is dropped:
colours stay as they are stored. EXIF's orientation is applied; profiles of colours are not. A file that is cut
short is an error, never half a picture. This file does not know where images come from.
"""

import io
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from vda.errors import VideoError
from vda.picture.orientation import Orientation
from vda.stills import exr

_EXIF_ORIENTATION: Final = 0x0112
_BITS_PER_SAMPLE: Final = 258
# EXIF 2.32, table 4: which way up a picture is stored.
_ORIENTATIONS: Final = {
    2: Orientation(0, mirrored=True),
    3: Orientation(180),
    4: Orientation(180, mirrored=True),
    5: Orientation(270, mirrored=True),
    6: Orientation(90),
    7: Orientation(90, mirrored=True),
    8: Orientation(270),
}
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
# Where a PNG's first chunk says how many bits a sample has.
_PNG_BITS: Final = 24
# Phones keep a smaller picture, or a map of depth, behind the one that is meant.
_FIRST_COUNTS: Final = {"MPO"}


def read_image(path: Path, data: bytes | None = None) -> np.ndarray:
    """Return the picture in ``path`` (``data``: its bytes), upright, RGB uint8 [height, width, 3], contiguous.

    Raises ``VideoError`` where there is none, where the file is damaged, and where it holds several pictures.
    """
    try:
        data = path.read_bytes() if data is None else data
        if data[:4] == exr.MAGIC:
            return np.ascontiguousarray(exr.displayed(exr.read_light(path)))
        return _decoded(path, data)
    except VideoError:
        raise
    # Pillow's decoders raise whatever their formats' rules are broken by.
    except Exception as error:
        raise VideoError(
            f"{path} cannot be read as an image: {error}.", "Check that it is whole, or make it again."
        ) from error


def fitted(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a picture of another size at (width, height): as large as it can be, in the middle, black around."""
    if rgb.shape[:2] == (height, width):
        return rgb
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    inner = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    whole = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = cv2.resize(rgb, inner, interpolation=how)
    return whole


def _decoded(path: Path, data: bytes) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        if data[:4] not in _TIFF:
            raise
        # Floats in several channels, which Pillow does not know.
        return _deep(path, data, Orientation())
    with image:
        pictures = getattr(image, "n_frames", 1)
        if pictures > 1 and image.format not in _FIRST_COUNTS:
            raise VideoError(f"{path} holds {pictures} pictures.", "Give one picture a file.")
        if _is_deep(image, data):
            # OpenCV turns a TIFF by itself, and nothing else as it is asked here.
            orientation = Orientation() if image.format == "TIFF" else _stated_orientation(image)
            # It checks every part's sum, which OpenCV tells of on standard error only.
            Image.open(io.BytesIO(data)).verify()
            return _deep(path, data, orientation)
        # Loading turns a TIFF, and nothing else; what is stated afterwards is still to be done.
        rgb = np.asarray(image.convert("RGB"))
        return _stated_orientation(image).upright(rgb)


def _stated_orientation(image: Image.Image) -> Orientation:
    return _ORIENTATIONS.get(image.getexif().get(_EXIF_ORIENTATION, 1), Orientation())


def _is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether samples have more than the eight bits that Pillow keeps."""
    if data.startswith(_PNG):
        return data[_PNG_BITS] > 8
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return max(bits if isinstance(bits, tuple) else (bits,)) > 8


def _deep(path: Path, data: bytes, orientation: Orientation) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise VideoError(f"{path} cannot be read as an image.", "Check that it is whole, or make it again.")
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], -1)[..., :1], 3, axis=2)
    return orientation.upright(_eight_bits(path, pixels[..., 2::-1]))


def _eight_bits(path: Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if np.issubdtype(pixels.dtype, np.floating):
        return exr.displayed(pixels)
    raise VideoError(f"{path} has samples of {pixels.dtype}.", "Give images of 8 or 16 bits, or floats.")
