"""From a frame to the network's input: sizes and pixels.

In: a frame's width and height, or its RGB pixels. Out: the network's width and height, or the normalised image.
NumPy and OpenCV only; this file knows no model.
"""

import math

import cv2
import numpy as np

from vda.errors import UsageError

# ImageNet's statistics, for RGB in [0, 1].
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
_FACTOR, _OFFSET = 1 / (255 * STD), MEAN / STD

# Frames more elongated than 16:9 get a smaller shorter side, so that the longer one stays as it would be at 16:9.
# The two numbers differ in the published code too: with others, some sizes would not be the ones it computes at.
WIDEST_RATIO = 1.78
WIDE_RATIO = 1.777


def net_size(width: int, height: int, input_size: int, patch: int = 14) -> tuple[int, int]:
    """Return the network's width and height in pixels, both multiples of ``patch``, for a frame's.

    The shorter side comes out near ``input_size`` (never below it, but for frames more elongated than 16:9), the
    aspect ratio near the frame's. Ties round to even, as in the public implementation. Raises UsageError if
    ``input_size`` is not positive.
    """
    if input_size <= 0:
        raise UsageError(
            f"The input size {input_size} is not positive.", "Give a size in pixels, such as 518 or 280."
        )
    size = input_size
    ratio = max(width, height) / min(width, height)
    if ratio > WIDEST_RATIO:
        # A sliver of a frame still needs one patch.
        size = max(patch, round(int(input_size * WIDE_RATIO / ratio) / patch) * patch)
    scale = max(size / width, size / height)
    return _multiple(scale * width, size, patch), _multiple(scale * height, size, patch)


def _multiple(side: float, least: int, patch: int) -> int:
    nearest = round(side / patch) * patch
    return nearest if nearest >= least else math.ceil(side / patch) * patch


def to_network(rgb: np.ndarray, net_width: int, net_height: int) -> np.ndarray:
    """Return the float32 image ``[3, net_height, net_width]`` for uint8 RGB ``[height, width, 3]``.

    Bicubic (a = -0.75, half-pixel centres, no antialiasing), then ImageNet's mean and standard deviation.
    """
    return Preparer(net_width, net_height)(rgb)


class Preparer:
    """``to_network`` for many frames: what lies between is allocated once, so each thread needs its own.

    Plane by plane, because OpenCV resizes three planes in half the time of three channels side by side.
    """

    def __init__(self, net_width: int, net_height: int) -> None:
        self._size = net_width, net_height
        self._planes: list[np.ndarray] = []
        self._plane = np.empty((0, 0), np.float32)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        if self._plane.shape != rgb.shape[:2]:
            self._planes = [np.empty(rgb.shape[:2], np.uint8) for _ in range(3)]
            self._plane = np.empty(rgb.shape[:2], np.float32)
        cv2.split(rgb, self._planes)
        image = np.empty((3, *self._size[::-1]), np.float32)
        for channel, plane in enumerate(self._planes):
            np.copyto(self._plane, plane)
            cv2.resize(self._plane, self._size, dst=image[channel], interpolation=cv2.INTER_CUBIC)
            image[channel] *= _FACTOR[channel]
            image[channel] -= _OFFSET[channel]
        return image
