"""What two results differ by, in numbers: the fit of one to the other, and the figures of a frame and of the film.

In: both results of a frame as arrays of one shape, NaN where there is no depth. Out: a ``ScaleShift``, and
``FrameDifference`` by ``FrameDifference``; ``DifferenceSums`` makes the film's of them. All sums are float64. This
file knows no files and no pictures.

Definitions
    d is (scale * A + shift - B) / u, for every pixel that both have. In inverse depth u is one number for the
    film: the range of B, from its 2nd to its 98th percentile. In metres A is taken as it is, and u is B's own
    depth, so d is the relative difference. In either case d has no unit and is shown in %.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vda.joining.align import ScaleShift

Values = NDArray[np.float64]
Image = NDArray[np.floating]

# Shares of pixels that differ by more than this are counted: what is hardly seen, and what is seen at once.
LIMITS = (0.01, 0.05)
# A spread of 1e-6 of the size is a few float32 roundings: the depth is constant.
_CONSTANT = 1e-12


class PairSums:
    """Sums for the least squares fit of A to B with a scale that is not negative, frame by frame."""

    def __init__(self) -> None:
        self._sums = np.zeros(6)

    def add(self, a: Values, b: Values) -> None:
        """Add pixels ``[n]`` that both have."""
        self._sums += (a.size, a.sum(), b.sum(), np.square(a).sum(), np.square(b).sum(), (a * b).sum())

    def solve(self) -> ScaleShift:
        """Return scale and shift with the least sum of squares of (scale * a + shift - b), and scale >= 0.

        Where no scale above 0 is better than none, because A is constant or its near is B's far, the scale is 0
        and the shift B's mean: the sum is a parabola in the scale, so its least value for scale >= 0 is there.
        """
        n, a, b, aa, _, ab = (float(value) for value in self._sums)
        spread = aa * n - a * a
        if not n or spread <= _CONSTANT * aa * n:
            return ScaleShift(0.0, b / n if n else 0.0)
        scale = max((n * ab - a * b) / spread, 0.0)
        return ScaleShift(scale, (b - scale * a) / n)

    def correlation(self) -> float:
        """Pearson's, -1..1; NaN where either is constant."""
        n, a, b, aa, bb, ab = (float(value) for value in self._sums)
        of_a, of_b = aa * n - a * a, bb * n - b * b
        if of_a <= _CONSTANT * aa * n or of_b <= _CONSTANT * bb * n:
            return float("nan")
        return (n * ab - a * b) / float(np.sqrt(of_a) * np.sqrt(of_b))


@dataclass(frozen=True)
class FrameDifference:
    """How far the two are apart in a frame, as B counts it; NaN where they share no pixel.

    ``mean``, ``rms``, ``bias`` (signed), ``p99`` and ``largest`` are of d (see above). ``own_scale`` is the scale
    that the frame alone would get over the film's, ``own_rms`` the rms of d with the frame's own fit, which makes
    it least: what is left of the difference where scale does not wander. ``mean_m`` is in metres, NaN for inverse
    depth.
    """

    frame: int
    pixels: int
    only_a: int
    only_b: int
    mean: float = float("nan")
    rms: float = float("nan")
    bias: float = float("nan")
    p99: float = float("nan")
    largest: float = float("nan")
    own_scale: float = float("nan")
    own_rms: float = float("nan")
    mean_m: float = float("nan")
    over: tuple[int, ...] = field(default=(0,) * len(LIMITS), repr=False)


@dataclass(frozen=True)
class Ruler:
    """What a difference is measured with: the fit of A to B, and B's ``range`` (None: metres, d is relative)."""

    fit: ScaleShift
    range: float | None

    def signed(self, a: Image, b: Image) -> Values:
        """Return d, float64, of any shape; NaN where either has no depth."""
        return self._over((self.fit.scale * a.astype(np.float64) + self.fit.shift) - b, b)

    def frame(self, frame: int, a: Image, b: Image) -> FrameDifference:
        """The figures of a frame, from A and B ``[height, width]``."""
        in_a, in_b = np.isfinite(a), np.isfinite(b)
        both = in_a & in_b
        counts = int(both.sum()), int((in_a & ~in_b).sum()), int((in_b & ~in_a).sum())
        if not counts[0]:
            return FrameDifference(frame, *counts)
        own_a, own_b = a[both].astype(np.float64), b[both].astype(np.float64)
        d = self.signed(own_a, own_b)
        size = np.abs(d)
        own = self._own_fit(own_a, own_b)
        return FrameDifference(
            frame,
            *counts,
            float(size.mean()),
            _root_mean_square(d),
            float(d.mean()),
            float(np.percentile(size, 99)),
            float(size.max()),
            own.scale / self.fit.scale if self.fit.scale else float("nan"),
            _root_mean_square(self._over(own.scale * own_a + own.shift - own_b, own_b)),
            float("nan") if self.range is not None else float(np.abs(own_a - own_b).mean()),
            tuple(int(np.count_nonzero(size > limit)) for limit in LIMITS),
        )

    def _over(self, difference: Values, b: Image) -> Values:
        return difference / (b.astype(np.float64) if self.range is None else self.range)

    def _own_fit(self, a: Values, b: Values) -> ScaleShift:
        if self.range is None:
            # Metres have no shift. The least sum of squares of (scale * a / b - 1) is where its derivative is 0.
            ratio = a / b
            return ScaleShift(float(ratio.sum() / np.square(ratio).sum()), 0.0)
        sums = PairSums()
        sums.add(a, b)
        return sums.solve()


def _root_mean_square(d: Values) -> float:
    return float(np.sqrt(np.square(d).mean()))


@dataclass(frozen=True)
class FilmDifference:
    """The film's figures: means over all pixels that both have, each with the same weight.

    ``over`` are the shares of pixels with |d| above 1 % and 5 %. ``own_rms`` is the rms of d where each frame has
    a fit of its own, and ``wander`` the standard deviation over the frames of the logarithm of ``own_scale``: how
    far the scale of one wanders against the other's. ``opposed`` counts frames in which no scale above 0 fits.
    ``only_a`` and ``only_b`` are shares of the pixels that either has.
    """

    pixels: int
    only_a: float
    only_b: float
    mean: float
    rms: float
    bias: float
    largest: float
    over: tuple[float, ...]
    own_rms: float
    wander: float
    opposed: int
    mean_m: float


def of_film(frames: Iterable[FrameDifference]) -> FilmDifference:
    """The film's figures, from those of all its frames; NaN where no pixel is in both."""
    found = list(frames)
    seen = [frame for frame in found if frame.pixels]
    pixels = np.array([frame.pixels for frame in seen], np.float64)
    whole = float(pixels.sum())

    def mean(values: Iterable[float]) -> float:
        return float(np.dot(list(values), pixels) / whole) if seen else float("nan")

    only_a, only_b = (sum(getattr(frame, name) for frame in found) for name in ("only_a", "only_b"))
    either = whole + only_a + only_b
    scales = np.array([frame.own_scale for frame in seen])
    rising = scales[scales > 0]
    return FilmDifference(
        int(whole),
        only_a / either if either else 0.0,
        only_b / either if either else 0.0,
        mean(frame.mean for frame in seen),
        float(np.sqrt(mean(frame.rms**2 for frame in seen))),
        mean(frame.bias for frame in seen),
        max((frame.largest for frame in seen), default=float("nan")),
        tuple(sum(frame.over[n] for frame in seen) / whole if whole else float("nan") for n in range(len(LIMITS))),
        float(np.sqrt(mean(frame.own_rms**2 for frame in seen))),
        float(np.log(rising).std()) if rising.size else float("nan"),
        int(np.count_nonzero(scales <= 0)),
        mean(frame.mean_m for frame in seen),
    )


def worst(frames: Iterable[FrameDifference], count: int, apart: int) -> list[FrameDifference]:
    """The ``count`` frames of largest mean difference, at least ``apart`` places from each other, in order.

    Neighbours look alike: the second worst frame beside the worst one shows nothing new.
    """
    found = list(frames)
    chosen: list[int] = []
    for place in sorted(range(len(found)), key=lambda place: -np.nan_to_num(found[place].mean, nan=-1.0)):
        far = all(abs(place - other) >= apart for other in chosen)
        if found[place].pixels and far and len(chosen) < count:
            chosen.append(place)
    return [found[place] for place in sorted(chosen)]
