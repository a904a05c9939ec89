"""Depth in colours.

In go arrays; out come uint8 RGB arrays. Depth becomes colour here and nowhere else, so that it looks the same
everywhere: bright is near. This file does not know scenes, videos or image files.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.codes import INVALID_CODE, MAX_CODE, Codes, Quantizer
from vda.errors import UsageError

Rgb = NDArray[np.uint8]
Image = NDArray[np.floating]

# Even steps of depth look even, and brightness alone tells near from far: it can be read in grey.
COLORMAP = "inferno"
# What metric depth is shown between where nothing else is asked for; 80 m is the usual cap outdoors.
NEAREST_M, FARTHEST_M = 0.3, 80.0
# Not a colour of the usual maps, so that it is not taken for far away.
INVALID_RGB = (96, 96, 96)


@cache
def colour_table(colormap: str = COLORMAP) -> Rgb:
    """Return the 256 colours of a Matplotlib map, uint8 ``[256, 3]``; ``UsageError`` for an unknown name."""
    import matplotlib

    if colormap not in matplotlib.colormaps:
        raise UsageError(
            f"There is no colour map called {colormap}.", "Use one of Matplotlib's, such as inferno or turbo."
        )
    table: Rgb = matplotlib.colormaps[colormap](np.linspace(0, 1, 256), bytes=True)[:, :3].copy()
    table.setflags(write=False)
    return table


def colorize(
    values: Image, low: float, high: float, colormap: str = COLORMAP, invalid: tuple[int, int, int] = INVALID_RGB
) -> Rgb:
    """Return ``values`` as colours, uint8 ``[..., 3]``: ``low`` is dark, ``high`` bright, NaN ``invalid``.

    For inverse depth ``low`` is the farthest; for depth in metres pass the farthest as ``low`` too, although it is
    the larger number: the map then runs the other way, and bright is near again.
    """
    step = 255 / (high - low) if high != low else 0.0
    valid = np.isfinite(values)
    places = np.where(valid, values, low) - low
    colours = colour_table(colormap)[np.rint(np.clip(places * step, 0, 255)).astype(np.uint8)]
    colours[~valid] = invalid
    return colours


def colorize_codes(
    codes: Codes, quantizer: Quantizer, colormap: str = COLORMAP, shown: tuple[float, float] | None = None
) -> Rgb:
    """Return 16-bit depth codes as colours, uint8 ``[..., 3]``: near is bright, code 0 is ``INVALID_RGB``.

    The range is the same for every frame: ``shown``, from the farthest to the nearest inverse depth that has a
    colour of its own (``shown_range``). Without it all codes of inverse depth, and 0.3 m to 80 m on a logarithmic
    scale for metric depth, whose codes say nothing of how far a video goes.
    """
    return _code_table(quantizer, colormap, shown)[codes]


@cache
def _code_table(quantizer: Quantizer, colormap: str, shown: tuple[float, float] | None) -> Rgb:
    codes = np.arange(MAX_CODE + 1, dtype=np.uint16)
    values = quantizer.decode(codes)
    with np.errstate(invalid="ignore", divide="ignore"):
        if shown is not None:
            return colorize(1 / values if quantizer.kind == "depth" else values, *shown, colormap)
        if quantizer.kind == "depth":
            return colorize(np.log(values), math.log(FARTHEST_M), math.log(NEAREST_M), colormap)
    return colorize(values, float(values[INVALID_CODE + 1]), float(values[MAX_CODE]), colormap)


def shown_range(values: Image, kind: str) -> tuple[float, float] | None:
    """Return the inverse depth of the farthest and nearest 2 % of ``values``; None where there are none.

    A few pixels next to the lens, or a window's worst guess, would otherwise leave all the rest in one colour.
    """
    finite = values[np.isfinite(values)]
    inverse = 1 / finite[finite > 0] if kind == "depth" else finite
    if not inverse.size:
        return None
    low, high = np.percentile(inverse, (2, 98))
    return float(low), float(high)


def beside(left: Rgb, right: Rgb) -> Rgb:
    """Return two pictures of one height side by side, uint8 ``[height, width, 3]``."""
    return np.concatenate([left, right], axis=1)
