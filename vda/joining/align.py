"""Scale and shift of one depth stack onto another, and the weights with which overlapping chunks are blended.

In: depth of the same frames from two pieces (windows or chunks). Out: a ``ScaleShift``. The rule is that
of the public implementation of Video Depth Anything: least squares of a window onto what came before it.
This file knows neither files nor plans, and no more than two pieces at a time; ``joint`` fits all of them at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

# A spread of 1e-6 of the size is a few float32 roundings: the depth is constant and says nothing about the scale.
_CONSTANT: Final = 1e-12


@dataclass(frozen=True)
class ScaleShift:
    """The map from a piece's raw depth to the scene's: max(scale * raw + shift, 0)."""

    scale: float = 1.0
    shift: float = 0.0

    def apply(self, raw: Float32Array, out: Float32Array | None = None) -> Float32Array:
        """Return the aligned depth, float32, of any shape; NaN stays NaN. ``out`` may be ``raw`` itself."""
        aligned = np.multiply(raw, np.float32(self.scale), out=out)
        aligned += np.float32(self.shift)
        return np.maximum(aligned, np.float32(0), out=aligned)


class FitSums:
    """Sums, in float64, for the least squares fit of a prediction to a reference, frame by frame."""

    def __init__(self) -> None:
        self._sums = np.zeros(5)

    def add(self, prediction: Float32Array, reference: Float32Array) -> None:
        """Add all pixels of arrays of one shape."""
        if prediction.shape != reference.shape:
            raise ValueError(f"shapes {prediction.shape} and {reference.shape} differ")
        p = prediction.astype(np.float64)
        r = reference.astype(np.float64)
        # np.sum, and not a BLAS product: its rounding does not depend on the number of threads.
        self._sums += (p.size, p.sum(), r.sum(), np.square(p).sum(), (p * r).sum())

    def solve(self) -> ScaleShift:
        """Return scale and shift with the least sum of squares of (scale * prediction + shift - reference).

        Where the prediction is constant, or there is none, the determinant is 0 and the result is (1, 0).
        """
        n, p, r, pp, pr = (float(value) for value in self._sums)
        determinant = pp * n - p * p
        if determinant <= _CONSTANT * pp * n:
            return ScaleShift()
        return ScaleShift((n * pr - p * r) / determinant, (pp * r - p * pr) / determinant)


def fit_scale_shift(prediction: Float32Array, reference: Float32Array) -> ScaleShift:
    """Fit ``prediction`` to ``reference`` (one shape, any number of frames) by least squares, without a mask."""
    sums = FitSums()
    sums.add(prediction, reference)
    return sums.solve()


def overlap_weights(frames: int) -> Float64Array:
    """Return the later chunk's weights 1/(n+1), ..., n/(n+1) over ``frames`` shared frames, float64 ``[frames]``.

    The earlier chunk has one minus that. Unlike a window's, none is 0: each shared frame is seen twice.
    """
    return np.arange(1, frames + 1) / (frames + 1)
