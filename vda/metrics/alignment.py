"""How depth without a unit is brought to metres before it is measured: the field's ways, named as it names them.

In: pairs of predicted and true depth of the pixels that count, frame by frame. Out: a ``ScaleShift`` for all
frames or for one, in the quantity that is predicted: inverse depth is fitted to 1 / truth, depth to the truth.
This file does not know what the result is measured by.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vda.errors import InputError
from vda.joining.align import FitSums, ScaleShift

Kind = Literal["inverse_depth", "depth"]
Align = Literal["scale-shift", "scale", "median", "frame-median", "none"]
ALIGNS: tuple[Align, ...] = get_args(Align)
Values = NDArray[np.floating]

# Below this spread, in units of its size, a float32 prediction is constant and nothing can be said of its scale.
_CONSTANT = 1e-6
# A median over all pixels of a video is counted in classes: positive float32 numbers by their upper bits,
# exponents from 2^-32 to 2^32 and 15 bits behind the point, so a class is 3e-5 of its value wide.
_DROPPED_BITS = 8
_FIRST_CLASS = (127 - 32) << 15
_CLASSES = 64 << 15


def usual_align(kind: Kind) -> Align:
    """What is known up to scale and shift gets both; what is in metres is taken as it is."""
    return "scale-shift" if kind == "inverse_depth" else "none"


class Alignment:
    """The fit of one video: ``add`` the pixels of every frame, then ask.

    ``scale-shift``: least squares over all pixels (Ranftl et al. 2022, arXiv 1907.01341, there per image).
    ``scale``: least squares without a shift. ``median``: one ratio of medians, median(truth) / median(depth), over
    all pixels; ``frame-median``: that ratio for each frame by itself, "median scaling" (Zhou et al. 2017,
    SfMLearner, arXiv 1704.07813), which hides how scale drifts. ``none``: as it is, inverse depth
    then in 1/m.
    """

    def __init__(self, kind: Kind, align: Align) -> None:
        self.kind, self.align = kind, align
        self._plane = _LeastSquares()
        self._medians = (_MedianCount(), _MedianCount())

    def add(self, prediction: Values, truth: Values) -> None:
        """See a frame's pixels, both ``[pixels]``: the prediction finite, the truth in metres and above zero."""
        if self.align in ("scale-shift", "scale"):
            self._plane.add(prediction, self._reference(truth))
        elif self.align == "median":
            for count, values in zip(self._medians, (self._depth(prediction), truth), strict=True):
                count.add(values)

    def solve(self) -> ScaleShift:
        """Return the fit for all frames; (1, 0) where each has its own, or none. Raises ``InputError``."""
        if self.align == "scale-shift":
            return self._plane.scale_and_shift()
        if self.align == "scale":
            return self._plane.scale()
        if self.align == "median":
            return self._by_medians(*(count.median() for count in self._medians))
        return ScaleShift()

    def upright(self) -> ScaleShift:
        """Return the best fit whose scale is not negative: the near stays near.

        Least squares are convex in the scale, so where the free one is negative the best allowed is 0: nothing but
        the mean of the reference is left (without a shift nothing at all, which is infinitely far).
        """
        best = self.solve()
        if best.scale >= 0:
            return best
        return ScaleShift(0.0, self._plane.mean_reference() if self.align == "scale-shift" else 0.0)

    def of_frame(self, prediction: Values, truth: Values) -> ScaleShift:
        """Return the fit of one frame by its medians, of pixels as ``add`` takes them. Raises ``InputError``."""
        if not prediction.size:
            return ScaleShift()
        return self._by_medians(float(np.median(self._depth(prediction))), float(np.median(truth)))

    def _by_medians(self, predicted: float, true: float) -> ScaleShift:
        if np.isnan(predicted):
            return ScaleShift()
        if not 0 < predicted < np.inf:
            raise InputError(
                "Half of the depth or more is not above zero, so its median says nothing of its scale.",
                "Align by --align scale or scale-shift.",
            )
        ratio = true / predicted
        return ScaleShift(1 / ratio if self.kind == "inverse_depth" else ratio)

    def _reference(self, truth: Values) -> Values:
        return 1 / truth if self.kind == "inverse_depth" else truth

    def _depth(self, prediction: Values) -> Values:
        """The prediction as depth; inverse depth of zero and less is infinitely far."""
        if self.kind == "depth":
            return prediction
        with np.errstate(divide="ignore"):
            return np.where(prediction > 0, 1 / prediction, np.inf)


class _LeastSquares:
    """Sums of a fit over all frames; a constant prediction is fitted by the mean alone."""

    def __init__(self) -> None:
        self._sums = FitSums()
        self._lowest, self._highest = np.inf, -np.inf
        self._products = np.zeros(2)
        self._reference_sum = 0.0
        self._count = 0

    def add(self, prediction: Values, reference: Values) -> None:
        if not prediction.size:
            return
        ours, theirs = prediction.astype(np.float32), reference.astype(np.float32)
        self._sums.add(ours, theirs)
        wide = ours.astype(np.float64)
        self._products += np.sum(wide * theirs), np.sum(np.square(wide))
        self._lowest = min(self._lowest, float(prediction.min()))
        self._highest = max(self._highest, float(prediction.max()))
        self._reference_sum += float(reference.sum(dtype=np.float64))
        self._count += prediction.size

    def scale_and_shift(self) -> ScaleShift:
        spread = self._highest - self._lowest
        if spread <= _CONSTANT * max(abs(self._highest), abs(self._lowest)):
            return ScaleShift(0.0, self.mean_reference())
        return self._sums.solve()

    def scale(self) -> ScaleShift:
        product, square = self._products
        return ScaleShift(float(product / square) if square > 0 else 0.0)

    def mean_reference(self) -> float:
        return self._reference_sum / self._count if self._count else 0.0


class _MedianCount:
    """The median of any number of values in 16 MB, right to 3e-5 of it; what is not above zero is least of all."""

    def __init__(self) -> None:
        self._counts = np.zeros(_CLASSES, np.int64)

    def add(self, values: Values) -> None:
        bits = np.maximum(values, 0).astype(np.float32).view(np.uint32) >> np.uint32(_DROPPED_BITS)
        places = np.clip(bits.astype(np.int64) - _FIRST_CLASS, 0, _CLASSES - 1)
        self._counts += np.bincount(places, minlength=_CLASSES)

    def median(self) -> float:
        """Return the middle value, or the mean of the two there; NaN of none, 0 or infinity at the ends."""
        below = np.cumsum(self._counts)
        if not (total := int(below[-1])):
            return float("nan")
        middle = np.searchsorted(below, [(total - 1) // 2, total // 2], side="right")
        return float(np.mean([self._value(int(place)) for place in middle]))

    @staticmethod
    def _value(place: int) -> float:
        if place in (0, _CLASSES - 1):
            return np.inf if place else 0.0
        edges = (np.array([place, place + 1]) + _FIRST_CLASS).astype(np.uint32) << np.uint32(_DROPPED_BITS)
        return float(edges.view(np.float32).mean())
