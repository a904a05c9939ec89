"""The temporal alignment error: how far depth is from what the frames beside it make of it.

In: depth frame by frame, with the true camera. Out: one number for the video. This file does not know the truth.
"""

import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.metrics.masks import Image, Mask

Pose = NDArray[np.float64]


class TemporalSums:
    """Temporal alignment error: how far depth is from what the frame before and the frame after make of it.

    Each frame's depth is carried into its neighbour's view by the true camera motion; the error is the mean of
    abs(carried - own) / own over the neighbour's valid pixels that something was carried to, averaged over both
    directions of all pairs, times 100 (arXiv 2501.12375, section 4.1, and the authors' evaluation).
    Where several points fall on one pixel the nearest counts. Moving things are errors too, unless masked. Raises
    ``InputError`` for a lens with distortion: depth and truth must be of the undistorted image.
    """

    def __init__(self, intrinsics: Intrinsics) -> None:
        if intrinsics.distortion_model != "none":
            raise InputError(
                "Normals and the temporal error are defined for images without lens distortion.",
                "Undistort the video before its depth is made, and give the camera without coefficients.",
            )
        self._intrinsics = intrinsics
        self._previous: tuple[Image, Mask, Pose] | None = None
        self._sum = 0.0
        self._count = 0

    def add(self, depth: Image, valid: Mask, camera_to_world: Pose | None) -> None:
        """See the next frame: depth in metres ``[height, width]`` (NaN: none), None where its pose is unknown."""
        if camera_to_world is None or not np.isfinite(camera_to_world).all():
            self._previous = None
            return
        current = (depth, valid, camera_to_world)
        if self._previous is not None:
            self._compare(self._previous, current)
            self._compare(current, self._previous)
        self._previous = current

    def value(self) -> float | None:
        """Return the error, None where no two neighbours saw the same thing."""
        return 100 * self._sum / self._count if self._count else None

    def _compare(self, source: tuple[Image, Mask, Pose], target: tuple[Image, Mask, Pose]) -> None:
        source_depth, _, source_pose = source
        target_depth, valid, target_pose = target
        carried = warp(source_depth, self._intrinsics, np.linalg.inv(target_pose) @ source_pose)
        both = valid & np.isfinite(carried)
        if both.any():
            self._sum += float(np.mean(np.abs(carried[both] - target_depth[both]) / target_depth[both]))
            self._count += 1


def warp(depth: Image, intrinsics: Intrinsics, source_to_target: Pose) -> NDArray[np.float64]:
    """Return the depth that a source image shows in the target's view, float64 ``[height, width]``.

    Points go to the nearest pixel, and of several the nearest point is kept; NaN where none arrives. A pixel p at
    depth z is seen at K R K^-1 p z + K t, which is linear in its row and column: whole planes at once.
    """
    height, width = depth.shape
    matrix = intrinsics.scaled(width, height).matrix
    turn = matrix @ source_to_target[:3, :3] @ np.linalg.inv(matrix)
    shift = matrix @ source_to_target[:3, 3]
    row, column = np.arange(height)[:, None], np.arange(width)
    x, y, z = (depth * (a * column + (b * row + c)) + t for (a, b, c), t in zip(turn, shift, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = np.rint(x / z), np.rint(y / z)
        seen = (z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    carried = np.full(height * width, np.inf)
    np.minimum.at(carried, y[seen].astype(np.intp) * width + x[seen].astype(np.intp), z[seen])
    return np.where(np.isfinite(carried), carried, np.nan).reshape(height, width)
