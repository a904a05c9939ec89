"""Intrinsics and lens distortion: pixel plus depth to a point in camera coordinates, and back.

In go focal lengths, points and depths; out come arrays. Pixels and axes are those of ``conventions``. This file
does not know which files cameras are kept in (``files``), nor what depth images are.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import centre_to_corner, corner_to_centre, cropped, middle, resized, turned
from vda.errors import InputError

Points = NDArray[np.float64]

# How many coefficients OpenCV takes: k1 k2 p1 p2 [k3 [k4 k5 k6 [s1..s4 [tx ty]]]], and k1..k4 for fisheye lenses.
_COEFFICIENTS = {"none": (0,), "opencv": (4, 5, 8, 12, 14), "fisheye": (4,)}
# OpenCV's own five rounds find the rays of 64 % of the pixels of a strong lens (k1 -0.38, 80 degrees), a hundred
# those of 83 %, at 1.4 microseconds a pixel.
_ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
# A ray is right if it leads back to its pixel: those that are found do to 1e-12 of a pixel, wrong ones miss by
# many pixels.
_RETURN_TOLERANCE_PX = 0.1
# Sides of 50 pixels and more that are rounded to whole pixels change the ratio by less; the nearest shapes in use,
# 16:9 and 1.85:1, are 4 % apart.
_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera with a lens: sizes, focal lengths and principal point in pixels (``conventions``).

    ``distortion_model`` is ``none``, ``opencv`` (k1 k2 p1 p2 k3 ..., Brown-Conrady with the rational, thin prism
    and tilt terms) or ``fisheye`` (k1..k4 in the angle, Kannala-Brandt), all as OpenCV defines them. Raises
    ``InputError`` on impossible values.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "none"
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(math.isfinite(number) for number in numbers) or min(self.fx, self.fy) <= 0:
            raise InputError(
                f"No camera has fx {self.fx}, fy {self.fy}, cx {self.cx}, cy {self.cy} and distortion "
                f"{list(self.distortion)}.",
                "Give finite numbers in pixels, with focal lengths above zero.",
            )
        if min(self.width, self.height) < 1:
            raise InputError(
                f"A camera's image cannot be {self.width} x {self.height}.", "Give its size in pixels."
            )
        if len(self.distortion) not in _COEFFICIENTS.get(self.distortion_model, ()):
            raise InputError(
                f"Distortion model {self.distortion_model!r} has no {len(self.distortion)} coefficients.",
                "Use none (0 coefficients), opencv (4, 5, 8, 12 or 14) or fisheye (4).",
            )

    @classmethod
    def from_fov(cls, width: int, height: int, fov_deg: float, pixel_aspect: float = 1.0) -> "Intrinsics":
        """Centred, with a *horizontal* field of view of ``fov_deg`` degrees.

        ``pixel_aspect`` is a pixel's width by its height: the same length is more pixels along their shorter side.
        """
        if not 0 < fov_deg < 180:
            raise InputError(
                f"A field of view of {fov_deg} degrees is not possible.", "Give degrees between 0 and 180."
            )
        focal = width / 2 / math.tan(math.radians(fov_deg) / 2)
        return cls(width, height, focal, focal * pixel_aspect, *middle((width, height)).tolist())

    @property
    def horizontal_fov_deg(self) -> float:
        """Field of view between the left and the right edge, in degrees, lens distortion left aside."""
        left, right = centre_to_corner(self.cx), corner_to_centre(float(self.width)) - self.cx
        return math.degrees(math.atan2(left, self.fx) + math.atan2(right, self.fx))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, float64 [3, 3]."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def _centre(self) -> Points:
        return np.array([[self.cx, self.cy]])

    def scaled(self, width: int, height: int) -> "Intrinsics":
        """The same camera, its image resized to ``width`` x ``height`` (lens coefficients are free of scale)."""
        centre = resized(self._centre, (self.width, self.height), (width, height))[0]
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=centre[0], cy=centre[1]
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> "Intrinsics":
        """The same camera, of its image only the ``width`` x ``height`` pixels from (``left``, ``top``) on."""
        cx, cy = cropped(self._centre, left, top)[0].tolist()
        return replace(self, width=width, height=height, cx=cx, cy=cy)

    def rotated(self, quarter_turns: int) -> "Intrinsics":
        """The same camera, its image turned clockwise by ``quarter_turns`` x 90 degrees.

        Raises ``InputError`` for quarter turns of lenses whose coefficients do not turn with the image
        (thin prism and tilt).
        """
        camera = self
        for _ in range(quarter_turns % 4):
            cx, cy = turned(camera._centre, (camera.width, camera.height))[0].tolist()
            camera = replace(
                camera,
                width=camera.height,
                height=camera.width,
                fx=camera.fy,
                fy=camera.fx,
                cx=cx,
                cy=cy,
                distortion=_turned_lens(camera.distortion_model, camera.distortion),
            )
        return camera

    def mirrored(self) -> "Intrinsics":
        """The same camera, its image mirrored left with right.

        Raises ``InputError`` for lenses whose coefficients do not turn with the image (thin prism and tilt).
        """
        cx = (self.width - 1) - self.cx
        return replace(self, cx=cx, distortion=_mirrored_lens(self.distortion_model, self.distortion))

    def has_aspect_of(self, width: int, height: int) -> bool:
        """Whether an image of that size can be this camera's image resized, within rounding to whole pixels."""
        return same_shape((self.width, self.height), (width, height))

    def without_distortion(self) -> "Intrinsics":
        """The ideal pinhole camera with the same K: the one whose image ``undistort`` maps to."""
        return replace(self, distortion_model="none", distortion=())


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether images of these sizes (width, height) can be one picture resized, sides rounded to whole pixels."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _ASPECT_TOLERANCE


def _turned_lens(model: str, distortion: tuple[float, ...]) -> tuple[float, ...]:
    """Coefficients after a clockwise quarter turn: (x, y) becomes (-y, x), hence (p1, p2) becomes (p2, -p1)."""
    if model != "opencv":
        return distortion
    k1, k2, p1, p2, *rest = _plain_lens(distortion)
    return (k1, k2, p2, -p1, *rest)


def _mirrored_lens(model: str, distortion: tuple[float, ...]) -> tuple[float, ...]:
    """Coefficients after x has become -x: of the tangential ones, p2 alone is odd in x."""
    if model != "opencv":
        return distortion
    k1, k2, p1, p2, *rest = _plain_lens(distortion)
    return (k1, k2, p1, -p2, *rest)


def _plain_lens(distortion: tuple[float, ...]) -> tuple[float, ...]:
    if any(distortion[8:]):
        raise InputError(
            "Thin prism and tilt coefficients cannot be turned or mirrored with the image.",
            "Calibrate the camera for the upright image.",
        )
    return distortion[:8]


def pixel_grid(width: int, height: int) -> Points:
    """The centres of all pixels, float64 [height * width, 2], row by row."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def normalise(intrinsics: Intrinsics, xy: Points) -> Points:
    """Where the rays of pixels [N, 2] meet the plane z = 1, float64 [N, 2], the lens undone.

    NaN where no ray belongs to the pixel: there the lens model cannot be inverted (far outside the calibrated
    image, or at 90 degrees and more), which is found by projecting the answer back.
    """
    xy = np.asarray(xy, np.float64).reshape(-1, 2)
    ideal = (xy - [intrinsics.cx, intrinsics.cy]) / [intrinsics.fx, intrinsics.fy]
    if intrinsics.distortion_model == "none" or not len(xy):
        return ideal
    invert = cv2.fisheye.undistortPoints if intrinsics.distortion_model == "fisheye" else cv2.undistortPoints
    lens = np.array(intrinsics.distortion)
    finite = np.isfinite(xy).all(axis=1)
    rays = np.full_like(ideal, np.nan)
    if finite.any():
        rays[finite] = invert(xy[finite][:, None], intrinsics.matrix, lens, criteria=_ITERATIONS)[:, 0]
    away = np.abs(project(intrinsics, _homogeneous(rays)) - xy).max(axis=1)
    rays[~(away < _RETURN_TOLERANCE_PX)] = np.nan
    return rays


def undistort(intrinsics: Intrinsics, xy: Points) -> Points:
    """Pixels [N, 2] of the real image to pixels of the ideal image with the same K; NaN as ``normalise``."""
    return normalise(intrinsics, xy) * [intrinsics.fx, intrinsics.fy] + [intrinsics.cx, intrinsics.cy]


def unproject(intrinsics: Intrinsics, xy: Points, depth: NDArray[np.floating]) -> Points:
    """Pixels [N, 2] and their depth [N] (z, any unit) to points float64 [N, 3] in the same unit.

    NaN where the depth is NaN or the lens cannot be inverted.
    """
    return _homogeneous(normalise(intrinsics, xy)) * np.asarray(depth, np.float64).reshape(-1, 1)


def unproject_image(intrinsics: Intrinsics, depth: NDArray[np.floating]) -> NDArray[np.float64]:
    """A whole depth image [height, width] (NaN: invalid) to points float64 [height, width, 3].

    The intrinsics are taken as scaled to the image's size.
    """
    height, width = depth.shape
    points = unproject(intrinsics.scaled(width, height), pixel_grid(width, height), depth.ravel())
    return points.reshape(height, width, 3)


def project(intrinsics: Intrinsics, points: Points) -> Points:
    """Points [N, 3] in camera coordinates to pixels float64 [N, 2], through the lens; NaN behind the camera."""
    points = np.asarray(points, np.float64).reshape(-1, 3)
    pixels = np.full((len(points), 2), np.nan)
    visible = np.isfinite(points).all(axis=1) & (points[:, 2] > 0)
    if visible.any():
        pixels[visible] = _through_lens(intrinsics, points[visible] / points[visible, 2:])
    return pixels


def _through_lens(intrinsics: Intrinsics, plane: Points) -> Points:
    """Pixels of points [N, 3] that lie on the plane z = 1."""
    still, lens = np.zeros(3), np.array(intrinsics.distortion)
    if intrinsics.distortion_model == "fisheye":
        seen = cv2.fisheye.projectPoints(plane[:, None], still, still, intrinsics.matrix, lens)[0]
    elif intrinsics.distortion_model == "opencv":
        seen = cv2.projectPoints(plane, still, still, intrinsics.matrix, lens)[0]
    else:
        seen = plane[:, :2] * [intrinsics.fx, intrinsics.fy] + [intrinsics.cx, intrinsics.cy]
    return np.asarray(seen, np.float64).reshape(-1, 2)


def _homogeneous(plane: Points) -> Points:
    return np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
