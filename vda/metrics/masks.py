"""Which pixels of a frame count in an evaluation: where there is truth in range, inside a border or a crop.

In: true depth, or the size of a picture. Out: masks ``[height, width]``, True where a pixel counts.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vda.errors import InputError

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]
Crop = Literal["garg", "eigen", "nyu"]
CROPS: tuple[Crop, ...] = get_args(Crop)

# What evaluations of the field clip at: zero and less has no logarithm and no inverse.
LEAST_DEPTH_M = 1e-3

# Top, bottom, left and right as shares of the picture.
_KITTI_CROPS = {
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
_NYU_SIZE, _NYU_CROP = (480, 640), (45, 471, 41, 601)


def valid_truth(truth: Image, cap_m: float) -> Mask:
    """Where true depth (metres; 0, NaN or infinite where there is none) is there and below the cap."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(truth) & (truth > LEAST_DEPTH_M) & (truth < cap_m)


def inside_border(shape: tuple[int, int], border: int) -> Mask:
    """True for the pixels of an image ``(height, width)`` at least ``border`` away from its edge."""
    height, width = shape
    return _inside(shape, border, height - border, border, width - border)


def inside_crop(shape: tuple[int, int], crop: Crop) -> Mask:
    """True inside the part of an image ``(height, width)`` that a benchmark looks at.

    ``garg`` (Garg et al. 2016, arXiv 1603.04992) and ``eigen`` (Eigen et al. 2014, arXiv 1406.2283) are for
    KITTI, as shares of the picture rounded down to whole pixels, as all evaluations of KITTI have them since
    Monodepth (Godard et al. 2017); ``nyu`` is Eigen's for NYU Depth V2, rows 45 to 470 and columns 41 to 600 of
    480 x 640. Raises ``InputError`` where ``nyu`` is asked of another size.
    """
    height, width = shape
    if crop != "nyu":
        top, bottom, left, right = _KITTI_CROPS[crop]
        return _inside(shape, int(top * height), int(bottom * height), int(left * width), int(right * width))
    if shape != _NYU_SIZE:
        raise InputError(
            f"The crop of NYU Depth V2 is for truth of 640 x 480; this is {width} x {height}.",
            "Leave it out, or give the truth at its own size.",
        )
    return _inside(shape, *_NYU_CROP)


def _inside(shape: tuple[int, int], top: int, bottom: int, left: int, right: int) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask
