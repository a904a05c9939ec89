"""How far apart the two views of a pixel lie, from its depth.

In: 16-bit depth codes. Out: disparities in pixels, above zero before the screen and below zero behind it. A
network's depth goes over from a body to what is behind it within a few pixels, and a view made of that draws the
body's rim out into a smear: edges are made steps, just outside the body. This file does not know pictures.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from vda.depthmaps.codes import INVALID_CODE, MAX_CODE, Codes, Float32Array, Quantizer
from vda.stereo.style import StereoStyle

# From here on a slope is an edge: surfaces rise by less. In pixels of disparity per pixel.
_STEEP: Final = 0.25
# What is a quarter of the way up an edge goes with the body: its pixels have some of the body's colour. Measured
# on rendered scenes against the true second view, with depth as soft as a network's (``docs/stereo.md``).
_RIM: Final = 0.25
# A hole in the depth is part of what it is in, if it is narrower than so much of the width.
_NARROW: Final = 0.02


@dataclass(frozen=True, eq=False)
class Disparities:
    """``table`` float32 [65536] has the disparity of each code, in pixels; edges are ``radius`` pixels wide."""

    table: Float32Array
    radius: int

    @classmethod
    def of(
        cls,
        quantizer: Quantizer,
        shown: tuple[float, float] | None,
        style: StereoStyle,
        width: int,
        radius: int,
    ) -> "Disparities":
        """Those of a film: disparity = parallax / 100 * ``width`` * (nearness - convergence).

        Nearness goes from 0 to 1 between the farthest and the nearest inverse depth of ``shown``, and is the same
        in every frame; what has no depth is far. Without a range (``shown`` None, or of no extent) all is flat.
        """
        far, near = shown or (0.0, 0.0)
        if not near > far:
            return cls(np.zeros(MAX_CODE + 1, np.float32), radius)
        values = quantizer.decode(np.arange(MAX_CODE + 1, dtype=np.uint16)).astype(np.float64)
        with np.errstate(divide="ignore"):
            inverse = 1 / values if quantizer.kind == "depth" else values
        nearness = np.clip((inverse - far) / (near - far), 0, 1)
        nearness[INVALID_CODE] = 0
        table = style.parallax / 100 * width * (nearness - style.convergence)
        return cls(table.astype(np.float32), radius)

    def of_frame(self, codes: Codes) -> Float32Array:
        """The disparities of a frame, float32 [height, width], with its edges made steps.

        Holes in the depth that are narrower than 2 per cent of the width get what is farther of that around them;
        larger ones, such as a sky without depth, stay far. A frame without any depth is flat.
        """
        disparity, holes = self.table[codes], codes == INVALID_CODE
        if holes.all():
            return np.zeros_like(disparity)
        if holes.any():
            disparity[holes] = _closed(disparity)[holes]
        return sharpened(disparity, self.radius)


def _closed(disparity: Float32Array) -> Float32Array:
    """``disparity`` with what is far and narrow filled in (a morphological closing)."""
    side = 2 * round(_NARROW / 2 * disparity.shape[1]) + 1
    return np.asarray(cv2.morphologyEx(disparity, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)), np.float32)


def sharpened(disparity: Float32Array, radius: int) -> Float32Array:
    """``disparity`` with soft edges made steps: each pixel on one takes the nearest or the farthest value around.

    ``radius`` is how many pixels an edge is wide. Steps lie a pixel outside of what is near, for the pixel there
    has colours of both.
    """
    steps = _toggled(disparity, radius, _RIM)
    return _toggled(steps, 1, 0.0)


def _toggled(disparity: Float32Array, radius: int, rim: float) -> Float32Array:
    """Where values rise steeply, the largest of the square around a pixel that is more than ``rim`` of the way up,
    or else the least.
    """
    side = 2 * radius + 1
    square = np.ones((side, side), np.uint8)
    nearest, farthest = cv2.dilate(disparity, square), cv2.erode(disparity, square)
    steep = nearest - farthest > _STEEP * side
    near, far, own = nearest[steep], farthest[steep], disparity[steep]
    made = disparity.copy()
    made[steep] = np.where(own - far >= np.float32(rim) * (near - far), near, far)
    return made
