"""A sparse model as COLMAP writes it in text: ``cameras.txt``, ``images.txt``, ``points3D.txt``.

In go cameras with poses and, where there are some, points of the world; out come the three files' texts. COLMAP
counts pixels from the corner, and its poses lead from the world to the camera. The format is described in
COLMAP's documentation ("Output Format"); its camera models in its ``sensor/models.h``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import centre_to_corner
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import PosedCamera, different
from vda.errors import InputError

# k1 k2 p1 p2 is OPENCV, k3 k4 k5 k6 more is FULL_OPENCV: behind these OpenCV has thin prisms and a tilted sensor.
_OPENCV, _FULL_OPENCV = 4, 8


@dataclass(frozen=True, eq=False)
class WorldPoints:
    """Points of the world: ``xyz`` float64 [n, 3] in the poses' unit, ``rgb`` uint8 [n, 3]."""

    xyz: NDArray[np.float64]
    rgb: NDArray[np.uint8]


NO_POINTS = WorldPoints(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))


def model_files(cameras: Sequence[PosedCamera], points: WorldPoints = NO_POINTS) -> dict[str, str]:
    """The texts by file name; all cameras need a pose. Raises ``InputError`` for a lens that COLMAP has not,
    and for names with blanks.
    """
    blank = next((camera.name for camera in cameras if len(camera.name.split()) != 1), None)
    if blank is not None:
        raise InputError(
            f"The image {blank!r} has a blank in its name, where COLMAP's text ends a name.",
            "Name images without blanks.",
        )
    known = different(cameras)
    number = {camera: i for i, camera in enumerate(known, start=1)}
    return {
        "cameras.txt": "".join(f"{number[camera]} {camera_line(camera)}\n" for camera in known),
        # The second line of an image holds the points seen in it, and none of these were.
        "images.txt": "".join(
            f"{i} {_pose(camera)} {number[camera.intrinsics]} {camera.name}\n\n"
            for i, camera in enumerate(cameras, start=1)
        ),
        "points3D.txt": "".join(_points(points)),
    }


def camera_line(camera: Intrinsics) -> str:
    """The model's name, size and numbers. Raises ``InputError`` for a lens that COLMAP has not."""
    lens = np.array(camera.distortion)
    centre = (centre_to_corner(camera.cx), centre_to_corner(camera.cy))
    if camera.distortion_model == "none":
        model, numbers = "PINHOLE", []
    elif camera.distortion_model == "fisheye":
        model, numbers = "OPENCV_FISHEYE", list(lens)
    elif not lens[_OPENCV:].any():
        model, numbers = "OPENCV", list(lens[:_OPENCV])
    elif not lens[_FULL_OPENCV:].any():
        model, numbers = "FULL_OPENCV", [*lens, *np.zeros(_FULL_OPENCV)][:_FULL_OPENCV]
    else:
        raise InputError(
            "The lens has a thin prism or a tilted sensor, which no camera model of COLMAP has.",
            "Add --undistort, or calibrate with k1 to k6, p1 and p2 alone.",
        )
    return _words(model, camera.width, camera.height, camera.fx, camera.fy, *centre, *numbers)


def _pose(camera: PosedCamera) -> str:
    from scipy.spatial.transform import Rotation

    assert camera.camera_to_world is not None
    world_to_camera = np.linalg.inv(camera.camera_to_world)
    x, y, z, w = Rotation.from_matrix(world_to_camera[:3, :3]).as_quat()
    return _words(w, x, y, z, *world_to_camera[:3, 3])


def _points(points: WorldPoints) -> Iterator[str]:
    """Number, place, colour and an error of zero; the list of images that see the point is left empty."""
    for i, (xyz, rgb) in enumerate(zip(points.xyz, points.rgb, strict=True), start=1):
        yield f"{_words(i, *xyz, *rgb)} 0\n"


def _words(*values: str | float) -> str:
    return " ".join(f"{value:.17g}" if isinstance(value, float) else str(value) for value in values)
