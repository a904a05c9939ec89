"""Depth boundary errors: whether the edges of depth are where those of the truth are, and whether all are there.

In: depth and truth ``[height, width]`` frame by frame, and which pixels count. Out: two distances in pixels. The
measure is that of iBims-1 (Koch et al. 2018, arXiv 1805.01328, and the authors' program), whose edges
of the truth people drew; here the same detector finds them in the truth.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.metrics.masks import Image, Mask

# The authors': depth from 0 to 1 is smoothed, Sobel's sums are held against the two thresholds, and nothing is
# looked for farther away than that.
_SIGMA, _LOW, _HIGH = 2**0.5, 0.15, 0.3
_FARTHEST_PX = 10.0
# OpenCV's Canny takes whole numbers; a step from 0 to 1 is 2.3 after smoothing, 18,600 of 32,767.
_UNIT = 8192
# Two sigmas: edges so near to pixels that do not count may come from what those were filled with.
_BESIDE_HOLES_PX = 3


@dataclass(frozen=True)
class BoundaryFigures:
    """Means over the ``dbe_frames`` frames whose truth has edges, in pixels of the truth.

    ``dbe_acc``: mean distance from an edge of the depth to the nearest of the truth, over edges within 10 pixels
    of one; 10 where there are none. ``dbe_com``: mean distance, cut at 10, from all edges of either to the
    nearest of the other; 10 where ``dbe_acc`` found none.
    """

    dbe_acc: float
    dbe_com: float
    dbe_frames: int


def depth_edges(depth: Image, counts: Mask) -> Mask:
    """Return where ``depth`` ``[height, width]`` has edges, by Canny's method on depth brought to 0 to 1.

    Only pixels farther than 3 from any that does not count (``counts`` False) can be edges.
    """
    if not counts.any():
        return np.zeros(depth.shape, dtype=bool)
    values = depth[counts]
    lowest, spread = float(values.min()), float(np.ptp(values))
    if spread <= 0:
        return np.zeros(depth.shape, dtype=bool)
    filled = _filled((np.where(counts, depth, lowest) - lowest) / spread, counts)
    smooth = np.asarray(cv2.GaussianBlur(filled, (0, 0), _SIGMA, borderType=cv2.BORDER_REPLICATE), np.float32)
    edges = cv2.Canny(_slope(smooth, 1, 0), _slope(smooth, 0, 1), _LOW * _UNIT, _HIGH * _UNIT, L2gradient=True)
    return np.asarray(edges > 0) & _inner(counts)


def _slope(smooth: Image, along_x: int, along_y: int) -> NDArray[np.int16]:
    slope = cv2.Sobel(smooth, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_REPLICATE)
    return np.rint(np.asarray(slope) * _UNIT).astype(np.int16)


def boundary_errors(edges: Mask, truth_edges: Mask) -> tuple[float, float]:
    """Return accuracy and completeness error (``BoundaryFigures``) of a frame whose truth has edges."""
    to_truth = _distance(truth_edges)
    near = edges & (to_truth < _FARTHEST_PX)
    if not near.any():
        return _FARTHEST_PX, _FARTHEST_PX
    ours, theirs = to_truth[edges], _distance(edges)[truth_edges]
    both = np.minimum(np.concatenate([ours, theirs]), _FARTHEST_PX)
    return float(to_truth[near].mean()), float(both.mean())


class BoundaryErrors:
    """The errors of a video: ``add`` every frame, then ask for ``figures``."""

    def __init__(self) -> None:
        self._sums = np.zeros(2)
        self._frames = 0

    def add(self, depth: Image, truth_edges: Mask, counts: Mask) -> None:
        """See a frame: depth in metres, the ``depth_edges`` of its truth, and which pixels count."""
        if truth_edges.any():
            self._sums += boundary_errors(depth_edges(depth, counts), truth_edges)
            self._frames += 1

    def figures(self) -> BoundaryFigures | None:
        """Return the means; None where no frame's truth has an edge."""
        if not self._frames:
            return None
        accuracy, completeness = (float(total / self._frames) for total in self._sums)
        return BoundaryFigures(accuracy, completeness, self._frames)


def _distance(edges: Mask) -> NDArray[np.float32]:
    """The distance of each pixel to the nearest edge, in pixels; some edge must be there."""
    return np.asarray(cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def _filled(values: Image, counts: Mask) -> NDArray[np.float32]:
    """Give each pixel that does not count the value of the nearest that does."""
    whole = values.astype(np.float32)
    if counts.all():
        return whole
    _, nearest = cv2.distanceTransformWithLabels(
        (~counts).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros(int(nearest.max()) + 1, np.float32)
    by_label[nearest[counts]] = whole[counts]
    return by_label[nearest]


def _inner(counts: Mask) -> Mask:
    side = 2 * _BESIDE_HOLES_PX + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.erode(counts.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE)) > 0
