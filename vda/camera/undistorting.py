"""Pictures and depth without the lens: the pinhole camera that sees the same, and where its pixels were.

In go a camera and images of its size; out come a pinhole camera on the same axis, and the images resampled for it.
Depth is z along that axis, so its values stay what they are. This file does not know files.
"""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import corner_to_centre
from vda.camera.intrinsics import Intrinsics, normalise, pixel_grid, project

Floats = NDArray[np.float64]

# A plane cannot show half of all directions: at 70 degrees from the axis it is stretched eightfold already.
_WIDEST: Final = float(np.tan(np.radians(70.0)))
_PER_SIDE: Final = 129
# To a hundredth of a pixel of any picture.
_HALVINGS: Final = 20
_SAME_PLACE_PX: Final = 0.1
# Outside of every picture.
_NOWHERE: Final = -2.0


class Undistortion:
    """From images of ``camera`` to those of ``pinhole``, of the same size."""

    def __init__(self, camera: Intrinsics) -> None:
        self.pinhole = pinhole_of(camera)
        rays = normalise(self.pinhole, pixel_grid(camera.width, camera.height))
        places = project(camera, np.concatenate([rays, np.ones((len(rays), 1))], axis=1))
        # Far out a lens formula may turn back on itself: such a place shows another direction.
        away = np.abs(normalise(camera, places) - rays) * [self.pinhole.fx, self.pinhole.fy]
        there = (away < _SAME_PLACE_PX).all(axis=1, keepdims=True)
        # Between its rim and the middles of its outermost pixels a picture goes on as these.
        inside = np.clip(places, 0, [camera.width - 1, camera.height - 1])
        maps = np.where(there, inside, _NOWHERE)
        columns, rows = maps.astype(np.float32).reshape(camera.height, camera.width, 2).transpose(2, 0, 1)
        self._maps = np.ascontiguousarray(columns), np.ascontiguousarray(rows)

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``rgb`` uint8 [height, width, 3], linear between pixels; black where the camera saw nothing."""
        return np.asarray(cv2.remap(rgb, *self._maps, cv2.INTER_LINEAR, np.empty_like(rgb)), np.uint8)

    def depth(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """``values`` float [height, width] of the nearest pixel, for between two surfaces there is no third; NaN
        where the camera saw nothing.
        """
        columns, rows = (np.rint(places).astype(np.intp) for places in self._maps)
        return np.where(columns >= 0, values[rows, columns], np.float32(np.nan))


@lru_cache(maxsize=2)
def undistortion(camera: Intrinsics) -> Undistortion:
    """The same, kept for the next frame: undoing a lens costs more than all the rest."""
    return Undistortion(camera)


def pinhole_of(camera: Intrinsics) -> Intrinsics:
    """The pinhole camera, on the axis of ``camera`` and of its size, that shows as much as it can of what that saw
    and nothing else; pixels keep their shape. A camera without lens is its own.
    """
    if camera.distortion_model == "none":
        return camera
    left, top, right, bottom = _window(camera)
    shape = camera.fx / camera.fy
    fy = max(camera.height / (bottom - top), camera.width / (right - left) / shape)
    fx = shape * fy
    # The middle of the window stays in the middle where one direction has room to spare.
    cx = corner_to_centre(camera.width / 2 - fx * (left + right) / 2)
    cy = corner_to_centre(camera.height / 2 - fy * (top + bottom) / 2)
    return Intrinsics(camera.width, camera.height, fx, fy, cx, cy)


def _window(camera: Intrinsics) -> tuple[float, float, float, float]:
    """The largest upright window of the plane z = 1 that lies within the picture's own rim."""
    across = corner_to_centre(np.linspace(0, camera.width, _PER_SIDE))
    down = corner_to_centre(np.linspace(0, camera.height, _PER_SIDE))
    first, last = corner_to_centre(0.0), (across[-1], down[-1])
    rims = [
        (np.stack([np.full(_PER_SIDE, first), down], axis=1), 0, max, -_WIDEST),
        (np.stack([across, np.full(_PER_SIDE, first)], axis=1), 1, max, -_WIDEST),
        (np.stack([np.full(_PER_SIDE, last[0]), down], axis=1), 0, min, _WIDEST),
        (np.stack([across, np.full(_PER_SIDE, last[1])], axis=1), 1, min, _WIDEST),
    ]
    left, top, right, bottom = (
        float(inner([limit, *_rim_directions(camera, rim)[:, axis]])) for rim, axis, inner, limit in rims
    )
    return left, top, right, bottom


def _rim_directions(camera: Intrinsics, rim: Floats) -> Floats:
    """Where the rays of pixels [n, 2] meet the plane z = 1. A pixel without a ray is moved towards the principal
    point until it has one: there the picture ends that the lens model covers.
    """
    centre = np.array([camera.cx, camera.cy])
    inside, outside = np.zeros(len(rim)), np.ones(len(rim))
    inside[np.isfinite(normalise(camera, rim)).all(axis=1)] = 1.0
    for _ in range(_HALVINGS):
        tried = (inside + outside) / 2
        has_ray = np.isfinite(normalise(camera, centre + tried[:, None] * (rim - centre))).all(axis=1)
        inside, outside = np.where(has_ray, tried, inside), np.where(has_ray, outside, tried)
    return normalise(camera, centre + inside[:, None] * (rim - centre))
