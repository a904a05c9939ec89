"""Surface normals: by how many degrees those of the depth miss those of the truth.

In: depth and truth ``[height, width]`` in metres with the camera, frame by frame. Out: angles in degrees over all
pixels of a video, in constant memory. Both normals come from depth in the very same way, so noise of the truth is
in the figures too. Edges of the truth have no normal.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics
from vda.metrics.masks import Image, inside_border

Normals = NDArray[np.float64]
Plane = NDArray[np.float64]

# The shares that the field lists, in degrees: Fouhey et al. (2013) and Eigen and Fergus (2015, arXiv 1411.4734)
# have the last three, DSINE (Bae and Davison 2024, arXiv 2403.00712) all five; a1 to a5 is its and Metric3D's
# name for them.
SHARES_DEG = (5.0, 7.5, 11.25, 22.5, 30.0)
# A window of 9 x 9: with it a plane seen by a Kinect at 2 m, whose depth goes in steps of 11 mm, has its normal to
# a few degrees; by differences of neighbours, to 60.
_REACH = 4
_PLACES = np.arange(-_REACH, _REACH + 1, dtype=np.float64)
_EVEN = np.full(len(_PLACES), 1 / len(_PLACES))
_SLOPE = _PLACES / np.sum(np.square(_PLACES))
# A step between two halves of a window leaves a quarter of itself, so steps above 8 % are edges; those of a Kinect
# at 3.5 m are 1 %.
_ROUGH = 0.02
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


def surface_normals(depth: Image, intrinsics: Intrinsics, *, only_smooth: bool = False) -> Normals:
    """Return unit normals towards the camera, float64 ``[height, width, 3]``, of depth in metres (NaN: none).

    A plane n P = d is seen at the inverse depth w = (n_x x + n_y y + n_z) / d along the ray (x, y, 1), which is
    linear in the pixel; so the plane that fits a window of 9 x 9 best, by least squares in inverse depth, has the
    normal (w_x, w_y, w - x w_x - y w_y), up to length and sign. NaN where a pixel of the window has no depth;
    with ``only_smooth`` also where the window is no plane, by more than 2 % of its inverse depth (root mean
    square): an edge between near and far has no normal. ``intrinsics`` may be for any size of the picture.
    """
    height, width = depth.shape
    camera = intrinsics.scaled(width, height)
    x = (np.arange(width) - camera.cx) / camera.fx
    y = ((np.arange(height) - camera.cy) / camera.fy)[:, None]
    with np.errstate(divide="ignore"):
        inverse = 1 / depth.astype(np.float64)
    middle = _over_windows(inverse, _EVEN, _EVEN)
    along_x, along_y = _over_windows(inverse, _SLOPE, _EVEN), _over_windows(inverse, _EVEN, _SLOPE)
    across = [along_x * camera.fx, along_y * camera.fy]
    across.append(middle - x * across[0] - y * across[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        length = np.sqrt(np.square(across[0]) + np.square(across[1]) + np.square(across[2]))
        # Towards the camera, which sees only what faces it: along the ray the product is w, above zero.
        normals = np.stack([-plane / length for plane in across], axis=-1)
        if only_smooth:
            spread = _over_windows(np.square(inverse), _EVEN, _EVEN) - np.square(middle)
            rest = spread - (np.square(along_x) + np.square(along_y)) * np.mean(np.square(_PLACES))
            normals[~(rest <= np.square(_ROUGH * middle))] = np.nan
    normals[~inside_border(depth.shape, _REACH)] = np.nan
    return normals


def _over_windows(values: Plane, across: Plane, down: Plane) -> Plane:
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, across, down, borderType=cv2.BORDER_REPLICATE))


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
