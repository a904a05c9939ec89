"""Errors of single pixels, as the benchmarks of monocular depth define them.

In: depth and truth of the pixels that count, in metres, frame by frame. Out: ``PixelFigures`` of all pixels
together, and of each frame. Ten numbers per frame are kept.
"""

from array import array
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

# Eigen, Puhrsch and Fergus (2014), and everybody since.
DELTA = 1.25


@dataclass(frozen=True)
class PixelFigures:
    """Over pixels of depth z and truth g, in metres, with d = ln z - ln g; names as in Metric3D's program.

    ``abs_rel``: mean of abs(z - g) / g. ``sq_rel``: mean of (z - g)^2 / g, in metres (KITTI's own tool divides by
    g^2). ``rmse``: root of the mean of (z - g)^2, in metres. ``rmse_log``: root of the mean of d^2. ``silog``: 100
    times the root of mean(d^2) - mean(d)^2, the standard deviation of d (KITTI's depth benchmark, Uhrig et al.
    2017, arXiv 1708.06500, after Eigen et al. 2014, arXiv 1406.2283, who have it without root and factor).
    ``log10``: mean of abs(log10 z - log10 g) (Saxena et al. 2009, Make3D). ``delta1..3``: share of pixels with
    max(z/g, g/z) below 1.25, its square and its cube (Ladicky et al. 2014, Eigen et al. 2014).
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    silog: float
    log10: float
    delta1: float
    delta2: float
    delta3: float


PIXEL_NAMES = tuple(field.name for field in fields(PixelFigures))


class PixelErrors:
    """The errors of a video's pixels: ``add`` every frame, then ask."""

    def __init__(self) -> None:
        self._rows = array("d")

    def add(self, depth: NDArray[np.float64], truth: NDArray[np.float64]) -> None:
        """See a frame: depth and truth of its pixels, both ``[pixels]``, in metres, above zero."""
        if not depth.size:
            return
        error = depth - truth
        ratio = np.maximum(depth / truth, truth / depth)
        logarithm = np.log(depth) - np.log(truth)
        middle = float(np.mean(logarithm))
        self._rows.extend(
            (
                depth.size,
                np.sum(np.abs(error) / truth),
                np.sum(np.square(error) / truth),
                np.sum(np.square(error)),
                np.sum(np.log10(ratio)),
                *(float(np.count_nonzero(ratio < DELTA**power)) for power in (1, 2, 3)),
                middle,
                # Around the frame's own mean: differences of large sums of squares would lose what is small.
                np.sum(np.square(logarithm - middle)),
            )
        )

    @property
    def pixels(self) -> int:
        return int(self._table[:, 0].sum())

    def together(self) -> PixelFigures:
        """Return the figures of all pixels, each with the same weight; NaN of none."""
        return _figures(self._table)

    def per_frame(self) -> list[PixelFigures]:
        """Return the figures of each frame that has a pixel that counts."""
        return [_figures(row[None]) for row in self._table]

    @property
    def _table(self) -> NDArray[np.float64]:
        return np.array(self._rows, np.float64).reshape(-1, 10)


def _figures(rows: NDArray[np.float64]) -> PixelFigures:
    """Figures of the pixels of some frames. Variances add up by Chan, Golub and LeVeque (1979)."""
    count, middle, spread = rows[:, 0], rows[:, 8], rows[:, 9]
    total = count.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        abs_rel, sq_rel, square, log10, *deltas = (float(number) for number in rows[:, 1:8].sum(axis=0) / total)
        mean = np.sum(count * middle) / total
        variance = (np.sum(spread) + np.sum(count * np.square(middle - mean))) / total
    rmse_log = float(np.sqrt(variance + np.square(mean)))
    return PixelFigures(
        abs_rel, sq_rel, float(np.sqrt(square)), rmse_log, float(100 * np.sqrt(variance)), log10, *deltas
    )
