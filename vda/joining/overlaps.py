"""Samples of the frames that two pieces share: at most so many pixels, drawn evenly over depth.

In: the frames of an overlap, one at a time, as both pieces have them. Out: an ``OverlapSample``, of a size that
does not depend on the frames. This file does not know what is fitted to a sample, and never holds a video.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from vda.joining.align import Float32Array, Float64Array

Kind = Literal["inverse_depth", "depth"]

# With 2 % of noise in the depth, the scale of this many pairs is good to about 0.02 / sqrt(20,000), a hundredth of
# a percent: more would only take longer.
SAMPLE_LIMIT: Final = 20_000

# Pairs are spread evenly over so many bins: worst of ten 1.5 % off, a uniform sample 6.0 % (docs/decisions.md).
_DEPTH_BINS: Final = 32
# The outermost bins begin here: what covers more than this share of a picture has bins of its own.
_EDGE: Final = 0.02
# Of normal noise as large as the depth's own spread in both pieces: a slope is then good for nothing. Neighbouring
# frames of ten synthetic films agree by 0.96 to 1, independent noise by 0.00.
LEAST_AGREEMENT: Final = 1 / 3
# Of independent values 20,000 agree by 0.00 +- 0.01.
_AGREEMENT_PIXELS: Final = 20_000


@dataclass(frozen=True)
class OverlapSample:
    """Raw depth of the same pixels in two pieces: float64 ``[m]`` each, finite (and above 0 for metric depth).

    ``places`` ``[2, m]`` are the pixels' x and y, -1..1 from edge to edge, where they were asked for.
    """

    first: int
    second: int
    first_values: Float64Array
    second_values: Float64Array
    places: Float64Array | None = None


class OverlapSampler:
    """Draws at most ``limit`` pixels from the ``frames`` frames that pieces ``first`` and ``second`` share.

    The draw depends on ``seed``, the pieces and the frame's number in the overlap alone.
    """

    def __init__(
        self,
        first: int,
        second: int,
        frames: int,
        *,
        kind: Kind,
        seed: int = 0,
        limit: int = SAMPLE_LIMIT,
        with_places: bool = False,
    ) -> None:
        self._kind = kind
        self._pieces = (first, second)
        self._quotas = [limit * (i + 1) // frames - limit * i // frames for i in range(frames)]
        self._seed = seed
        self._with_places = with_places
        self._drawn: list[Float64Array] = []

    def add(self, first: Float32Array, second: Float32Array, valid: npt.NDArray[np.bool_] | None = None) -> float:
        """Draw from the next shared frame: ``[height, width]`` as each piece has it, NaN where it has none.

        Returns how far the two agree on what is near in it, by ``agreement``.
        """
        number = len(self._drawn)
        usable = np.isfinite(first) & np.isfinite(second)
        if valid is not None:
            usable &= valid
        if self._kind == "depth":
            usable &= (first > 0) & (second > 0)
        pairs = np.stack([first[usable], second[usable]]).astype(np.float64)
        random = np.random.default_rng((self._seed, *self._pieces, number))
        chosen = _spread_over_depth(pairs, self._quotas[number], random)
        drawn = pairs[:, chosen]
        self._drawn.append(np.concatenate([drawn, _places(usable, chosen)]) if self._with_places else drawn)
        # Of all pixels alike: spread over depth, an object that one piece alone has would be half of them.
        return agreement(*pairs[:, :: pairs.shape[1] // _AGREEMENT_PIXELS + 1])

    def sample(self, frames: Sequence[int] | None = None) -> OverlapSample:
        """All that was drawn, or what was drawn of the frames of these numbers alone."""
        drawn = self._drawn if frames is None else [self._drawn[number] for number in frames]
        first_values, second_values, *places = np.concatenate(drawn, axis=1)
        return OverlapSample(*self._pieces, first_values, second_values, np.array(places) if places else None)


def _places(usable: npt.NDArray[np.bool_], chosen: npt.NDArray[np.intp]) -> Float64Array:
    """The ``chosen`` of the ``usable`` pixels of a picture, as x and y ``[2, m]``, -1..1 from edge to edge."""
    rows, columns = np.unravel_index(np.flatnonzero(usable)[chosen], usable.shape)
    height, width = usable.shape
    return np.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1])


def agreement(first: Float64Array, second: Float64Array) -> float:
    """Return the quadrant correlation of the values ``[m]`` that two pieces have for the same pixels (-1..1).

    That is how often both are on the same side of their medians, less how often they are not: 0 where one is
    constant, and of normal values that correlate by r 2 / pi * arcsin(r) (Blomqvist, 1950).
    """
    if not first.size:
        return 0.0
    sides = [np.sign(values - np.median(values)) for values in (first, second)]
    size = np.sqrt(np.mean(np.square(sides[0])) * np.mean(np.square(sides[1])))
    return float(np.mean(sides[0] * sides[1]) / size) if size else 0.0


def _spread_over_depth(pairs: Float64Array, count: int, random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Choose ``count`` of the pixels ``pairs`` ``[2, m]`` so that near and far are there alike.

    The bins are of equal width in the sum of both pieces' values, each brought to its own spread: bins along one
    of them would prefer pixels in which just that one is wrong, and so pull its scale down.
    """
    if pairs.shape[1] <= count:
        return np.arange(pairs.shape[1])
    low, middle, high = np.quantile(pairs, (_EDGE, 0.5, 1 - _EDGE), axis=1)
    spread = np.where(high > low, high - low, 1.0)
    depth = ((pairs - middle[:, None]) / spread[:, None]).sum(axis=0)
    nearest, farthest = np.quantile(depth, (1 - _EDGE, _EDGE))
    edges = np.linspace(farthest, nearest, _DEPTH_BINS + 1)
    bins = np.searchsorted(edges[1:-1], depth)
    quotas = _level_quotas(np.bincount(bins, minlength=_DEPTH_BINS), count)
    chosen = [
        random.choice(np.flatnonzero(bins == index), quota, replace=False, shuffle=False)
        for index, quota in enumerate(quotas)
        if quota
    ]
    return np.concatenate(chosen)


def _level_quotas(available: npt.NDArray[np.intp], count: int) -> list[int]:
    """Share ``count`` out as evenly as the bins allow: what a small bin lacks, the larger ones give."""
    quotas = [0] * len(available)
    left = count
    for rank, index in enumerate(np.argsort(available, kind="stable")):
        quotas[index] = min(int(available[index]), left // (len(available) - rank))
        left -= quotas[index]
    return quotas
