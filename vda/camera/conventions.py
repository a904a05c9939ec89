"""The one way in which pixels and axes are counted here, and the ways from and to other programs'.

Convention
    Pixels: the centre of the top-left pixel is (0, 0), x to the right, y down; the image covers
    [-0.5, width - 0.5] x [-0.5, height - 0.5]. Camera coordinates: x right, y down, z forward along the optical
    axis, in the unit of the depth. Depth is z, not the length of the ray. Images are upright, as a player shows
    the video. OpenCV, ROS and Open3D count pixels the same way. COLMAP, nerfstudio, instant-ngp, COCO and
    Ultralytics put (0, 0) at the *corner* of the top-left pixel: their numbers are half a pixel larger. Cameras of
    OpenGL, nerfstudio and instant-ngp look along -z, with y up.
    A depth image is looked up at the pixel whose centre is nearest: between two surfaces there is no third.

In go pixels, sizes and poses; out come pixels and poses. No other file has half a pixel or turned axes in it. This
file does not know lenses, depth or files.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Size = tuple[int, int]
Coordinate = TypeVar("Coordinate", float, Floats)

_HALF_PIXEL = 0.5
# y and z change their signs; done twice, nothing is changed.
_OTHER_AXES = np.diag([1.0, -1.0, -1.0, 1.0])


def corner_to_centre(coordinate: Coordinate) -> Coordinate:
    """Pixels counted from the top-left corner of the image, as the Convention counts them; x and y alike."""
    return coordinate - _HALF_PIXEL


def centre_to_corner(coordinate: Coordinate) -> Coordinate:
    """Pixels of the Convention, counted from the top-left corner of the image; x and y alike."""
    return coordinate + _HALF_PIXEL


def between_corners(mapping: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """``mapping``, from pixels to pixels of the Convention, for pixels that are counted from corners."""
    return lambda xy: centre_to_corner(mapping(corner_to_centre(xy)))


def pose_of(value: Any) -> Floats:
    """The rigid motion [4, 4] that a file states in rows; ``ValueError`` where it is none, or not finite."""
    pose = np.asarray(value, np.float64).reshape(4, 4)
    if not np.isfinite(pose).all():
        raise ValueError("a pose has numbers that are not finite")
    return pose


def from_opengl(camera_to_world: Floats) -> Floats:
    """The pose [4, 4] of a camera that looks along -z with y up, as that of one with the Convention's axes."""
    return camera_to_world @ _OTHER_AXES


def to_opengl(camera_to_world: Floats) -> Floats:
    """The pose [4, 4] of a camera with the Convention's axes, as that of one that looks along -z with y up."""
    return camera_to_world @ _OTHER_AXES


def middle(size: Size) -> Floats:
    """The pixel, float64 [2], at the middle of an image of ``size`` (width, height)."""
    return (np.array(size, np.float64) - 1) / 2


def resized(xy: Floats, size: Size, new_size: Size) -> Floats:
    """Pixels [N, 2] of an image of ``size`` (width, height), in the same image resized to ``new_size``."""
    factor = np.array(new_size, np.float64) / np.array(size, np.float64)
    return corner_to_centre(centre_to_corner(np.asarray(xy, np.float64)) * factor)


def resizing(size: Size, new_size: Size) -> Floats:
    """What ``resized`` does, as a matrix [3, 3] for (x, y, 1)."""
    factor = np.array([new_size[0] / size[0], new_size[1] / size[1]])
    matrix = np.diag([*factor, 1.0])
    matrix[:2, 2] = (factor - 1) / 2
    return matrix


def cropped(xy: Floats, left: int, top: int) -> Floats:
    """Pixels [N, 2] of an image, in the part of it that begins with the pixel (``left``, ``top``)."""
    return np.asarray(xy, np.float64) - [left, top]


def turned(xy: Floats, size: Size) -> Floats:
    """Pixels [N, 2] of an image of ``size`` (width, height), in the image turned clockwise by 90 degrees."""
    x, y = np.asarray(xy, np.float64).T
    return np.stack([size[1] - 1 - y, x], axis=1)
