"""Depth whose edges follow the frame's own: the fast guided filter, with the frame's colours as its guide.

In: one depth map and the frame that it is of, both of one size. Out: the depth map, filtered. The depth of a small
network is soft where the picture has an edge; inside a window the filter explains depth by colours, linearly, and
so depth changes where they do (He, Sun and Tang, Guided Image Filtering, TPAMI 2013, section 3.4 for colours; He
and Sun, Fast Guided Filter, arXiv 1505.00996, 2015, for coefficients at a smaller size). This file does not know
where either comes from.
"""

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.codes import Float32Array
from vda.depthmaps.colours import Rgb

Float64Array = NDArray[np.float64]
Refine = Literal["none", "guided"]

# Coefficients are found at a size somewhat finer than the network's, for its depth has no more; and no finer than
# this, which takes a fifth of a second for a frame.
_FINER: Final = 1.6
_LARGEST_SIDE: Final = 540
# The upper triangle of a symmetric matrix of three by three.
_PAIRS: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@dataclass(frozen=True)
class GuidedFilter:
    """``radius`` is that of the window, in pixels of the smaller size, whose shorter side is ``side`` pixels.

    ``epsilon`` is the variance of colours (of 1 for white) below which they count as one colour: the paper's.
    """

    radius: int = 8
    epsilon: float = 1e-3
    side: int = _LARGEST_SIDE

    @classmethod
    def for_network(cls, input_size: int | None) -> "GuidedFilter":
        """That for depth of a network that sees ``input_size`` pixels of the shorter side (None: not known)."""
        return cls(side=_LARGEST_SIDE if input_size is None else min(_LARGEST_SIDE, round(_FINER * input_size)))

    def __call__(self, depth: Float32Array, picture: Rgb) -> Float32Array:
        """Return ``depth`` (float32 ``[height, width]``, NaN: none) filtered by ``picture`` (uint8 RGB).

        Pixels without depth stay so and count nowhere; no value leaves the range that ``depth`` has.
        """
        known = np.isfinite(depth)
        if not known.any():
            return depth
        low, high = float(depth[known].min()), float(depth[known].max())
        if low == high:
            return depth
        size = self._small(depth.shape)
        guide = picture.astype(np.float32) * np.float32(1 / 255)
        share = _resized(known.astype(np.float32), size, cv2.INTER_AREA).astype(np.float64)
        weighted = _resized(np.where(known, depth - np.float32(low), np.float32(0)), size, cv2.INTER_AREA)
        values = weighted / np.maximum(share, np.finfo(np.float32).tiny)
        slopes, offset = self._coefficients(values, _resized(guide, size, cv2.INTER_AREA), share)
        whole = (depth.shape[1], depth.shape[0])
        found = _resized(offset.astype(np.float32), whole, cv2.INTER_LINEAR) + np.float32(low)
        for channel, slope in enumerate(slopes):
            found += _resized(slope.astype(np.float32), whole, cv2.INTER_LINEAR) * guide[..., channel]
        return np.where(known, np.clip(found, np.float32(low), np.float32(high)), np.float32(np.nan))

    def _small(self, shape: tuple[int, ...]) -> tuple[int, int]:
        height, width = shape
        factor = max(1.0, min(height, width) / self.side)
        return max(1, round(width / factor)), max(1, round(height / factor))

    def _coefficients(
        self, values: Float64Array, guide: Float32Array, share: Float64Array
    ) -> tuple[list[Float64Array], Float64Array]:
        """The paper's equations 19 to 21, every mean being one over the known pixels of a window."""
        weight = np.maximum(self._sums(share), np.finfo(np.float32).tiny)

        def mean(image: Float64Array) -> Float64Array:
            return self._sums(image * share) / weight

        colours = [guide[..., channel].astype(np.float64) for channel in range(3)]
        means, mean_value = [mean(colour) for colour in colours], mean(values)
        covariances = np.stack(
            [mean(colours[i] * colours[j]) - means[i] * means[j] + self.epsilon * (i == j) for i, j in _PAIRS]
        )
        with_depth = [mean(colour * values) - own * mean_value for colour, own in zip(colours, means, strict=True)]
        slopes = _solved(covariances, with_depth)
        offset = mean_value - sum(slope * own for slope, own in zip(slopes, means, strict=True))
        return [mean(slope) for slope in slopes], mean(offset)

    def _sums(self, image: Float64Array) -> Float64Array:
        side = 2 * self.radius + 1
        summed = cv2.boxFilter(image, cv2.CV_64F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(summed, np.float64)


def _solved(matrix: Float64Array, right: list[Float64Array]) -> list[Float64Array]:
    """Solve the symmetric systems ``matrix`` [6, height, width] (``_PAIRS``), by the adjugate."""
    xx, xy, xz, yy, yz, zz = matrix
    first, second, third = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    determinant = xx * first + xy * second + xz * third
    x, y, z = right
    return [
        (first * x + second * y + third * z) / determinant,
        (second * x + (xx * zz - xz * xz) * y + (xy * xz - xx * yz) * z) / determinant,
        (third * x + (xy * xz - xx * yz) * y + (xx * yy - xy * xy) * z) / determinant,
    ]


def _resized(image: Float32Array, size: tuple[int, int], how: int) -> Float32Array:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=how))
