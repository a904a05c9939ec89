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
    normals = np.full((height, width, 3), np.nan)
    if min(height, width) < 3:
        return normals
    camera = intrinsics.scaled(width, height)
    z = depth.astype(np.float64)
    x = z * ((np.arange(width) - camera.cx) / camera.fx)
    y = z * ((np.arange(height) - camera.cy) / camera.fy)[:, None]
    right = [plane[1:-1, 2:] - plane[1:-1, :-2] for plane in (x, y, z)]
    down = [plane[2:, 1:-1] - plane[:-2, 1:-1] for plane in (x, y, z)]
    # Right is x and down is y, so down times right points to the viewer.
    across = [down[a] * right[b] - down[b] * right[a] for a, b in ((1, 2), (2, 0), (0, 1))]
    with np.errstate(invalid="ignore", divide="ignore"):
        length = np.sqrt(sum(np.square(plane) for plane in across))
        for axis, plane in enumerate(across):
            normals[1:-1, 1:-1, axis] = plane / length
    return normals


class NormalErrors:
    """The angles of a video: ``add`` every frame, then ask for ``figures``."""

    def __init__(self) -> None:
        self._classes = np.zeros(180 * _CLASSES_PER_DEGREE + 1, np.int64)
        self._shares = np.zeros(len(SHARES_DEG))
        self._sum, self._square = 0.0, 0.0

    def add(self, normals: Normals, truth_normals: Normals) -> None:
        """See a frame: ``surface_normals`` of depth and truth; NaN does not count."""
        apart = np.sqrt(np.einsum("...i,...i", normals - truth_normals, normals - truth_normals))
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
