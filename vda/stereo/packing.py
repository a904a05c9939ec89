"""Two views as one picture.

In: the left and the right view. Out: both side by side, whole or squeezed, or both in one for red-cyan glasses.
This file does not know how views come about, nor how pictures are written.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

# What reaches either eye through red-cyan glasses comes nearest to what it should see, by least squares over the
# spectra of filters and screen: E. Dubois, "Conversion of a Stereo Pair to Anaglyph with the Least-Squares
# Projection Method", 2009. Of linear light; rows give red, green and blue.
_LEFT: Final = np.array([[0.437, 0.449, 0.164], [-0.062, -0.062, -0.024], [-0.048, -0.050, -0.017]], np.float32)
_RIGHT: Final = np.array([[-0.011, -0.032, -0.007], [0.377, 0.761, 0.009], [-0.026, -0.093, 1.234]], np.float32)
# Fine enough for the steepest part of the curve of sRGB: no level of 256 is left out.
_LEVELS: Final = 4095


def packed(form: str, left: Rgb, right: Rgb) -> Rgb:
    """``left`` and ``right``, uint8 [height, width, 3], as the one picture of ``form`` (see ``style``)."""
    return _PACKINGS[form](left, right)


def _whole(left: Rgb, right: Rgb) -> Rgb:
    """[height, 2 * width, 3]; of an odd width the last column is there twice."""
    return np.concatenate([_even(left), _even(right)], axis=1)


def _half(left: Rgb, right: Rgb) -> Rgb:
    """[height, width, 3], each view at half of its width, which is made even."""
    height, width = left.shape[:2]
    size = (2 * -(-width // 4), height)
    return np.concatenate([cv2.resize(side, size, interpolation=cv2.INTER_AREA) for side in (left, right)], axis=1)


def _even(side: Rgb) -> Rgb:
    # Colours are stored for pairs of columns: the two views must not share a pair.
    return np.pad(side, ((0, 0), (0, side.shape[1] % 2), (0, 0)), mode="edge")


def _red_cyan(left: Rgb, right: Rgb) -> Rgb:
    """[height, width, 3], both views in one; each view's part is clipped before they are added, as published."""
    light = _to_linear()
    parts = [
        np.clip(cv2.transform(light[side], matrix), 0, 1) for side, matrix in ((left, _LEFT), (right, _RIGHT))
    ]
    levels = np.minimum(parts[0] + parts[1], 1) * np.float32(_LEVELS) + np.float32(0.5)
    return _from_linear()[levels.astype(np.uint16)]


@cache
def _to_linear() -> Float32Array:
    """Linear light of the 256 values of sRGB (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _from_linear() -> Rgb:
    """The value of sRGB of each level of linear light."""
    light = np.arange(_LEVELS + 1) / _LEVELS
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(value * 255).astype(np.uint8)


_PACKINGS: Final[dict[str, Callable[[Rgb, Rgb], Rgb]]] = {
    "sbs": _whole,
    "half-sbs": _half,
    "cross-eyed": lambda left, right: _whole(right, left),
    "anaglyph": _red_cyan,
}
