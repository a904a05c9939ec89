"""Pictures in OpenEXR: linear light of any range in, values as a screen shows them out.

The formula is sRGB's (IEC 61966-2-1): light is clipped to 0..1, and v = 12.92 l up to l = 0.0031308, above that
v = 1.055 l^(1/2.4) - 0.055. Nothing is exposed, tone-mapped or converted between primaries. This file does not
know depth.
"""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from vda.errors import UsageError, VideoError

MAGIC: Final = b"\x76\x2f\x31\x01"
_LINEAR_END: Final = 0.0031308
# 16,384 x 8,192: a display window costs a few bytes in a file, whatever it claims.
_MOST_PIXELS: Final = 1 << 27

T = TypeVar("T", bound=np.generic)


def require_exr() -> Any:
    """Return the package OpenEXR, or raise ``UsageError`` where it is not installed."""
    try:
        import OpenEXR
    except ImportError as error:
        raise UsageError(
            "EXR needs the package OpenEXR, which is not installed.", "Run: pip install 'vda-toolkit[exr]'"
        ) from error
    return OpenEXR


def opened(path: Path, **how: bool) -> Any:
    """Open an EXR file; the library itself takes names in UTF-8 alone."""
    exr = require_exr()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return exr.File(io.BytesIO(path.read_bytes()), **how)
    return exr.File(str(path), **how)


def displayed(light: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return linear light (1: white; NaN counts as 0) as sRGB's 8 bits, of the same shape."""
    clipped = np.nan_to_num(light.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
    curved = np.float32(1.055) * clipped ** np.float32(1 / 2.4) - np.float32(0.055)
    shown = np.where(clipped <= _LINEAR_END, np.float32(12.92) * clipped, curved)
    return np.rint(shown * 255).astype(np.uint8)


def read_light(path: Path) -> NDArray[np.float32]:
    """Return R, G and B of an EXR file, float32 [height, width, 3], linear, over its display window.

    Of several parts the first that has R, G and B counts; a file of Y alone is grey. Outside of what was rendered
    there is 0. Raises ``VideoError`` for what is no EXR, or has no picture in it.
    """
    try:
        with opened(path, separate_channels=True) as file:
            parts = [(dict(part.channels), dict(file.header(at))) for at, part in enumerate(file.parts)]
            return _picture(path, [({name: one.pixels for name, one in own.items()}, head) for own, head in parts])
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise VideoError(f"{path} could not be read as EXR: {error}.", "Make it again.") from error


def stated_rate(path: Path) -> Fraction | None:
    """The frames per second that an EXR file states (``framesPerSecond``), or None."""
    try:
        with opened(path, header_only=True) as file:
            stated = file.header().get("framesPerSecond")
            rate = None if stated is None else Fraction(stated)
    except (RuntimeError, OSError, ValueError, TypeError, ZeroDivisionError):
        return None
    return rate if rate is not None and rate > 0 else None


def _picture(path: Path, parts: list[tuple[dict[str, Any], dict[str, Any]]]) -> NDArray[np.float32]:
    for channels, header in parts:
        names = "RGB" if channels.keys() >= set("RGB") else "Y" if "Y" in channels else ""
        if names and not {"RY", "BY"} & channels.keys():
            planes = [channels[name] for name in names]
            if any(plane.dtype == object for plane in planes):
                raise VideoError(f"{path} is deep: it has several colours per pixel.", "Flatten it.")
            light = np.stack([plane.astype(np.float32) for plane in planes], axis=-1)
            shown = in_display(light, header, np.float32(0))
            return np.broadcast_to(shown, (*shown.shape[:2], 3))
    names = ", ".join(name for channels, _ in parts for name in channels)
    if not names:
        # Of a file that is cut short the package gives the header, and says the rest on standard output.
        raise VideoError(f"{path} could not be read as EXR: its pixels are damaged.", "Make it again.")
    raise VideoError(f"{path} has no channels R, G and B, nor Y; it has {names}.", "Write the picture as R, G, B.")


def in_display(pixels: NDArray[T], header: dict[str, Any], nothing: T) -> NDArray[T]:
    """``pixels`` of the data window as the whole picture: programs store no more than what they have rendered.

    ``ValueError`` where the whole is larger than any picture of which a part is stored.
    """
    (left, top), (right, bottom) = header["displayWindow"]
    (x, y), _ = header["dataWindow"]
    height, width = pixels.shape[:2]
    shape = (int(bottom - top) + 1, int(right - left) + 1)
    if (x, y) == (left, top) and shape == pixels.shape[:2]:
        return pixels
    if min(shape) < 1 or shape[0] * shape[1] > _MOST_PIXELS:
        raise ValueError(f"its display window has {shape[1]}x{shape[0]} pixels")
    whole = np.full((*shape, *pixels.shape[2:]), nothing, pixels.dtype)
    x, y = int(x - left), int(y - top)
    rows, columns = slice(max(y, 0), min(y + height, shape[0])), slice(max(x, 0), min(x + width, shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        whole[rows, columns] = pixels[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    return whole
