"""What two windows say of each other's scale and shift, by what both have for the same frames.

In: samples of those frames from both windows. Out: a ``Link``, or none where they say nothing (black, fog, noise).
This file knows neither frames nor files, and no more than two windows at a time.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["inverse_depth", "depth"]
Float64Array = npt.NDArray[np.float64]

# Half of the spread is then something else than what both see; random smooth fields agree by 0.0 +- 0.2.
_LEAST_AGREEMENT: Final = 0.5
# Windows differ by smooth fields of about a hundredth of their spread (docs/decisions.md).
FIELD: Final = 0.01
# Of normal noise: 1 over its upper quartile.
_MAD_TO_SIGMA: Final = 1.4826
# The biweight's width for 95 % efficiency on normal noise, in units of the noise (Beaton and Tukey, 1974).
_BIWEIGHT_WIDTH: Final = 4.685
_ITERATIONS: Final = 12
_NOISE_ITERATIONS: Final = 6
# Noise below this share of the spread is not told apart.
_LEAST_NOISE: Final = 1e-6
# A spread of 1e-6 of the size is a few float32 roundings: the depth is constant.
_CONSTANT: Final = 1e-6
# Of the logarithm: frames of which half of the pixels differ by a factor of 1.4 are not the same.
_MOST_METRIC_NOISE: Final = 0.5


@dataclass(frozen=True)
class Link:
    """What two windows say of each other's scale: second = exp(log_ratio) * first around the two levels.

    ``levels`` and ``spreads`` are mean and deviation (first, second) of what both see. ``variances`` are of
    log_ratio and of the difference of the levels over their spread, up to a factor that all links ``by_anchor``
    have in common, and all others.
    """

    first: int
    second: int
    by_anchor: bool
    log_ratio: float
    levels: tuple[float, float]
    spreads: tuple[float, float]
    variances: tuple[float, float]


def measure_link(
    ends: tuple[int, int], first: Float64Array, second: Float64Array, *, kind: Kind, by_anchor: bool
) -> Link | None:
    """Fit what windows ``ends`` have of the same frames, ``[frames, pixels]`` each; None where it says nothing.

    The fit of inverse depth is the reduced major axis, which is symmetric in the two, weighted by Tukey's
    biweight; frames in which the two do not agree are left out. Of depth in metres it is the same of the
    logarithms with slope 1.
    """
    if kind == "depth":
        usable = (first > 0) & (second > 0)
        return _metric_link(ends, np.log(second[usable]) - np.log(first[usable]), by_anchor)
    telling = _correlations(first, second) >= _LEAST_AGREEMENT
    return _relative_link(ends, first[telling].ravel(), second[telling].ravel(), by_anchor)


def _correlations(first: Float64Array, second: Float64Array) -> Float64Array:
    """The correlation of each frame ``[frames]``, 0 where one is constant."""
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (first, second))
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.divide((one * other).sum(axis=1), size, out=np.zeros(len(size)), where=size > 0)


def _metric_link(ends: tuple[int, int], ratios: Float64Array, by_anchor: bool) -> Link | None:
    if not ratios.size:
        return None
    middle = float(np.median(ratios))
    noise = noise_of(ratios - middle)
    if noise > _MOST_METRIC_NOISE:
        return None
    weights = _biweight(ratios - middle, noise)
    variance = noise**2 + FIELD**2
    return Link(*ends, by_anchor, float(weights @ ratios / weights.sum()), (0, 0), (1, 1), (variance, 1.0))


def _relative_link(
    ends: tuple[int, int], first: Float64Array, second: Float64Array, by_anchor: bool
) -> Link | None:
    if _is_constant(first) or _is_constant(second):
        return None
    deviations = [noise_of(values - np.median(values)) or values.std() for values in (first, second)]
    slope = deviations[1] / deviations[0]
    residual = second - np.median(second) - slope * (first - np.median(first))
    noise = 0.0
    for iteration in range(_ITERATIONS):
        # Measured anew at every step the noise would never settle, and neither would the fit.
        if iteration < _NOISE_ITERATIONS:
            noise = noise_of(residual) + _LEAST_NOISE * float(second.std())
        weights = _biweight(residual, noise)
        weights /= weights.sum()
        level, other_level = float(weights @ first), float(weights @ second)
        one, other = first - level, second - other_level
        spread, other_spread = (float(np.sqrt(weights @ values**2)) for values in (one, other))
        if not min(spread, other_spread) > 0:
            return None
        slope = other_spread / spread
        residual = other - slope * one
    agreement = float(weights @ (one * other)) / (spread * other_spread)
    if agreement < _LEAST_AGREEMENT:
        return None
    variances = (1 - min(agreement, 1.0) ** 2, 2 * (1 - min(agreement, 1.0)))
    return Link(*ends, by_anchor, float(np.log(slope)), (level, other_level), (spread, other_spread), variances)


def _is_constant(values: Float64Array) -> bool:
    return values.size == 0 or float(np.ptp(values)) <= _CONSTANT * float(np.abs(values).max())


def noise_of(residuals: Float64Array) -> float:
    """Return the deviation of normal noise, of which half may be something else."""
    return _MAD_TO_SIGMA * float(np.median(np.abs(residuals)))


def _biweight(residual: Float64Array, noise: float) -> Float64Array:
    return np.square(np.maximum(1 - np.square(residual / (_BIWEIGHT_WIDTH * noise + 1e-300)), 0))
