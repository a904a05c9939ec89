"""Subtitles and logos that are laid over a picture: a mask image in, pictures with those pixels filled in out.

A pixel of the mask that is white, or lighter than half of it, is filled in; where the image has an alpha channel
it has to be opaque as well. The filling is Telea's (2004, *An image inpainting technique based on the fast
marching method*; OpenCV's, radius 3): a function of the one picture alone. This file does not know which video has
a mask.
"""

import hashlib
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.errors import InputError, UsageError

Overlay = NDArray[np.bool_]

_RADIUS: Final = 3
_HALF: Final = 128
# As for cameras and tracks: sides are rounded to whole pixels.
_ASPECT_TOLERANCE: Final = 0.01


def read_overlay(path: Path, size: tuple[int, int]) -> Overlay:
    """Return what the image at ``path`` covers of a picture of ``size`` (width, height): bool [height, width].

    A mask of another size is brought to it; a pixel that is covered in part is covered. Raises ``InputError`` for
    what is no image, ``UsageError`` for one of another shape, and where it covers nothing or everything.
    """
    image = _decoded(path)
    if image is None:
        raise InputError(f"{path} is not an image.", "Give --mask a PNG, white where the picture is covered.")
    height, width = image.shape[:2]
    if abs(width * size[1] / (height * size[0]) - 1) > _ASPECT_TOLERANCE:
        raise UsageError(
            f"The mask {path} is {width}x{height}, the video {size[0]}x{size[1]}: they have not the same shape.",
            "Give a mask of the video's size, as the video is shown.",
        )
    overlay = _at_size(_covered(image), size)
    if overlay.all() or not overlay.any():
        raise UsageError(
            f"The mask {path} covers {'all' if overlay.any() else 'nothing'} of the picture.",
            "Make white what is to be filled in, and black all else.",
        )
    return overlay


def overlay_sha256(overlay: Overlay) -> str:
    """A hash of what is covered, however the image was stored."""
    height, width = overlay.shape
    return hashlib.sha256(f"{width}x{height}:".encode() + np.packbits(overlay).tobytes()).hexdigest()


def overlay_png(overlay: Overlay) -> bytes:
    """The overlay as an image that ``read_overlay`` reads back."""
    return bytes(cv2.imencode(".png", overlay.astype(np.uint8) * 255)[1])


def shrunk(overlay: Overlay, size: tuple[int, int]) -> Overlay:
    """The overlay of the same picture at a ``size`` no larger: covered wherever a part of a pixel is."""
    if overlay.shape == (size[1], size[0]):
        return overlay
    return np.asarray(cv2.resize(overlay.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0)


def filled(rgb: NDArray[np.uint8], overlay: Overlay) -> NDArray[np.uint8]:
    """The picture, uint8 [height, width, 3], with what ``overlay`` covers made of what is around it."""
    rows, columns = np.flatnonzero(overlay.any(1)), np.flatnonzero(overlay.any(0))
    if not len(rows):
        return rgb
    # What is farther away has no part in the filling, and would only take time.
    places = tuple(
        slice(max(int(near[0]) - 2 * _RADIUS, 0), int(near[-1]) + 2 * _RADIUS) for near in (rows, columns)
    )
    made = rgb.copy()
    # OpenCV leaves the outermost pixels as they are.
    part, mask = (
        cv2.copyMakeBorder(image, *(_RADIUS,) * 4, cv2.BORDER_REPLICATE)
        for image in (rgb[places], overlay[places].astype(np.uint8))
    )
    inner = slice(_RADIUS, -_RADIUS)
    made[places] = cv2.inpaint(part, mask, _RADIUS, cv2.INPAINT_TELEA)[inner, inner]
    return made


def _decoded(path: Path) -> NDArray[np.integer] | None:
    try:
        data = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        return None if image is None or image.dtype.kind != "u" else image  # type: ignore[return-value]
    except cv2.error:
        return None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", "Check the path that --mask gives."
        ) from error


def _covered(image: NDArray[np.integer]) -> Overlay:
    if image.dtype == np.uint16:
        image = image >> 8
    planes = image.reshape(*image.shape[:2], -1)
    # One plane, or one and alpha, or three, or three and alpha.
    colours = planes[..., :3] if planes.shape[2] >= 3 else planes[..., :1]
    light = (colours >= _HALF).any(-1)
    opaque = planes[..., -1] >= _HALF if planes.shape[2] in (2, 4) else True
    return np.asarray(light & opaque)


def _at_size(overlay: Overlay, size: tuple[int, int]) -> Overlay:
    if overlay.shape[1] >= size[0]:
        return shrunk(overlay, size)
    larger = cv2.resize(overlay.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(larger > 0)
