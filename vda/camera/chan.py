"""A camera that moves, as Nuke, Blender and Houdini read it from a ``.chan`` file.

A line per frame: ``frame tx ty tz rx ry rz vfov``, angles in degrees. The camera looks along -z with y up and is
turned about z, then x, then y (Nuke's ``ZXY``, what its camera has from the start). The format holds no lens, no
principal point and one focal length.
"""

import math
from collections.abc import Sequence

import numpy as np

from vda.camera.conventions import middle, to_opengl
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import PosedCamera

# Below these nobody sees that the format has one focal length and the principal point in the middle.
_SAME_FOCAL = 1e-3
_SAME_CENTRE = 1e-3


def chan_text(cameras: Sequence[PosedCamera]) -> str:
    """The file's content; all cameras need a pose."""
    return "".join(f"{_line(camera)}\n" for camera in cameras)


def lost(camera: Intrinsics) -> list[str]:
    """What of ``camera`` the format cannot say, in words."""
    away_x, away_y = np.array([camera.cx, camera.cy]) - middle((camera.width, camera.height))
    words = []
    if math.hypot(away_x, away_y) > _SAME_CENTRE * camera.width:
        words.append(f"the principal point ({away_x:+.1f}, {away_y:+.1f} pixels from the middle)")
    if abs(camera.fx / camera.fy - 1) > _SAME_FOCAL:
        words.append(f"the second focal length (fx is {camera.fx / camera.fy:.4f} of fy)")
    return words


def _line(camera: PosedCamera) -> str:
    from scipy.spatial.transform import Rotation

    assert camera.camera_to_world is not None
    pose = to_opengl(camera.camera_to_world)
    # Turned about z first, then x, then y: R = Ry Rx Rz, which scipy calls YXZ.
    ry, rx, rz = Rotation.from_matrix(pose[:3, :3]).as_euler("YXZ", degrees=True)
    vfov = 2 * math.degrees(math.atan(camera.intrinsics.height / 2 / camera.intrinsics.fy))
    numbers = (*pose[:3, 3], rx, ry, rz, vfov)
    return " ".join([str(camera.frame), *(f"{number:.12g}" for number in numbers)])
