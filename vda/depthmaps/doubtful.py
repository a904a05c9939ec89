"""Pixels whose depth is not to be trusted as a place in space: on depth edges, and in the sky.

In goes a depth image; out come masks. A network's depth goes over from a body to what is behind it within a few
pixels, so that these pixels are points of neither. This file does not know what the masks are used for.
"""

import math
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]
Scalar = TypeVar("Scalar", bound=np.generic)

# A step of five per cent within the window is an edge, unless the window is a plane: floors rise as steeply near
# the horizon. Measured on scenes rendered with known depth, made as coarse and soft as a network's.
_STEP: Final = 1.05
_FLAT: Final = 0.003
# Depth of unknown origin is taken for half as fine as its pixels.
_LEAST_RADIUS: Final = 2
# The sky is fifty times as far as the nearest things are, reaches the upper edge, and is no speck.
_SKY_TIMES_FARTHER: Final = 50.0
_NEAR_PERCENTILE: Final = 95.0
_LEAST_SKY: Final = 1e-3


def edge_radius(width: int, net_width: int | None) -> int:
    """How many pixels to either side of an edge are doubtful, in depth of ``width`` that a network saw as
    ``net_width`` (None: not known).
    """
    return _LEAST_RADIUS if not net_width else max(_LEAST_RADIUS, math.ceil(width / net_width))


def on_edges(depth: Floats, radius: int) -> Mask:
    """Return True, [height, width], where ``depth`` (any unit, NaN: none) jumps within ``radius`` pixels.

    A jump is a ratio of depths that no plane explains: a plane's inverse depth is linear in the pixel, so the
    spread about the best linear fit of a window is zero on it.
    """
    inverse = _filled(1 / np.where(depth > 0, depth, np.nan))
    window = np.ones((2 * radius + 1,) * 2, np.uint8)
    steep = cv2.dilate(inverse, window) > _STEP * cv2.erode(inverse, window)
    return steep & (_spread_about_plane(inverse, radius) > _FLAT * _mean(inverse, radius))


def sky(depth: Floats, bars: Mask | None = None) -> Mask:
    """Return True, [height, width], in the sky, as far as depth (NaN: none) tells it.

    ``bars`` is True where there is no picture at all. Rows and columns of bars would tie what is far below to the
    upper edge, and are left out.
    """
    if bars is None:
        return _sky_within(depth)
    found = np.zeros(depth.shape, bool)
    places = np.ix_(~bars.all(1), ~bars.all(0))
    found[places] = _sky_within(depth[places])
    return found


def _sky_within(depth: Floats) -> Mask:
    inverse = 1 / np.where(depth > 0, depth, np.nan)
    known = inverse[np.isfinite(inverse)]
    if not known.size:
        return np.zeros(depth.shape, bool)
    far = ~(inverse > np.percentile(known, _NEAR_PERCENTILE) / _SKY_TIMES_FARTHER)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(far.astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= _LEAST_SKY * depth.size
    at_top = np.isin(np.arange(len(stats)), labels[0][far[0]])
    return np.asarray((large & at_top)[labels] & far)


def nearest_filled(values: NDArray[Scalar], holes: Mask) -> NDArray[Scalar]:
    """``values`` [height, width] with every hole given the value of the nearest pixel that is none.

    Where all are holes nothing is changed.
    """
    if not holes.any() or holes.all():
        return values
    _, labels = cv2.distanceTransformWithLabels(
        holes.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(int(labels.max()) + 1, values.dtype)
    nearest[labels[~holes]] = values[~holes]
    return np.where(holes, nearest[labels], values)


def _filled(inverse: Floats) -> NDArray[np.float64]:
    """A hole is no edge of its own."""
    filled = nearest_filled(inverse.astype(np.float64), ~np.isfinite(inverse))
    return np.nan_to_num(filled)


def _mean(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    side = 2 * radius + 1
    return np.asarray(cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REPLICATE))


def _spread_about_plane(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """The standard deviation of each window about its least-squares plane; columns and rows are uncorrelated."""
    mean = _mean(values, radius)
    variance = _mean(values * values, radius) - mean * mean
    height, width = values.shape
    for places in np.meshgrid(np.arange(float(width)), np.arange(float(height))):
        middle = _mean(places, radius)
        # Smaller at the picture's rim, where the last pixel stands for those beyond.
        of_places = _mean(places * places, radius) - middle * middle
        together = _mean(values * places, radius) - mean * middle
        variance = variance - together * together / of_places
    return np.sqrt(np.maximum(variance, 0.0))
