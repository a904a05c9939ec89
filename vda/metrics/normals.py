"""Surface normals: by how many degrees those of the depth miss those of the truth.

In: depth and truth ``[height, width]`` in metres with the camera, frame by frame. Out: angles in degrees over all
pixels of a video, in constant memory. Both normals come from depth in the very same way, so noise of the truth is
in the figures too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics
from vda.metrics.masks import Image

Normals = NDArray[np.float64]

# The shares that the field lists, in degrees: Fouhey et al. (2013) and Eigen and Fergus (2015, arXiv 1411.4734)
# have the last three, DSINE (Bae and Davison 2024, arXiv 2403.00712) all five; a1 to a5 is its and Metric3D's
# name for them.
SHARES_DEG = (5.0, 7.5, 11.25, 22.5, 30.0)
# The median is counted in classes of a hundredth of a degree.
_CLASSES_PER_DEGREE = 100


@dataclass(frozen=True)
class NormalFigures:
    """Over pixels with both normals: ``mean``, ``median`` (to 0.01) and ``rmse`` of the angle in degrees,
    and the share of pixels with less than 5, 7.5, 11.25, 22.5 and 30 degrees, ``a1`` to ``a5``.
    """

    normal_mean: float
    normal_median: float
    normal_rmse: float
    normal_a1: float
    normal_a2: float
    normal_a3: float
    normal_a4: float
    normal_a5: float


def surface_normals(depth: Image, intrinsics: Intrinsics) -> Normals:
    """Return unit normals towards the camera, float64 ``[height, width, 3]``, of depth in metres (NaN: none).

    A pixel's normal is perpendicular to the lines from its left to its right and from its upper to its lower
    neighbour in space; NaN where one of the four has no depth. ``intrinsics`` may be for any size of the picture.
    """
    height, width = depth.shape
    camera = intrinsics.scaled(width, height)
    points = np.stack(
        [
            depth * ((np.arange(width) - camera.cx) / camera.fx),
            depth * ((np.arange(height) - camera.cy) / camera.fy)[:, None],
            depth,
        ],
        axis=-1,
    ).astype(np.float64)
    normals = np.full(points.shape, np.nan)
    if min(height, width) < 3:
        return normals
    right = points[1:-1, 2:] - points[1:-1, :-2]
    down = points[2:, 1:-1] - points[:-2, 1:-1]
    # Right is x and down is y, so this order points to the viewer.
    across = np.cross(down, right)
    with np.errstate(invalid="ignore", divide="ignore"):
        normals[1:-1, 1:-1] = across / np.linalg.norm(across, axis=-1, keepdims=True)
    return normals


class NormalErrors:
    """The angles of a video: ``add`` every frame, then ask for ``figures``."""

    def __init__(self) -> None:
        self._classes = np.zeros(180 * _CLASSES_PER_DEGREE + 1, np.int64)
        self._shares = np.zeros(len(SHARES_DEG))
        self._sum, self._square = 0.0, 0.0

    def add(self, normals: Normals, truth_normals: Normals) -> None:
        """See a frame: ``surface_normals`` of depth and truth; NaN does not count."""
        apart = np.linalg.norm(normals - truth_normals, axis=-1)
        # By the chord: the cosine of small angles is too near to 1 to tell them apart.
        degrees = np.degrees(2 * np.arcsin(np.minimum(apart[np.isfinite(apart)] / 2, 1)))
        self._shares += [np.count_nonzero(degrees < share) for share in SHARES_DEG]
        places = np.rint(degrees * _CLASSES_PER_DEGREE).astype(np.intp)
        self._classes += np.bincount(places, minlength=len(self._classes))
        self._sum += float(degrees.sum())
        self._square += float(np.square(degrees).sum())

    def figures(self) -> NormalFigures | None:
        """Return the figures; None where no pixel has both normals."""
        below = np.cumsum(self._classes)
        if not (total := int(below[-1])):
            return None
        middle = np.searchsorted(below, [(total - 1) // 2, total // 2], side="right")
        return NormalFigures(
            self._sum / total,
            float(np.mean(middle)) / _CLASSES_PER_DEGREE,
            float(np.sqrt(self._square / total)),
            *(float(share / total) for share in self._shares),
        )
