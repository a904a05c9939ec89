"""Scale and shift of all pieces (chunks, or windows) of a shot at once, from samples of their overlaps.

In: an ``OverlapSample`` of what each two pieces share. Out: a ``ScaleShift`` for each piece. This file knows
neither files nor plans nor frames.
"""

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from vda.errors import InputError
from vda.joining.align import Float64Array, ScaleShift
from vda.joining.overlaps import Kind, OverlapSample

# If half of the pixels are wrong, a quarter of the pairs are right: that of 200 none is has odds of 1 in 1e25.
_CANDIDATES: Final = 200
# Of normal noise: 1 over its upper quartile.
_MAD_TO_SIGMA: Final = 1.4826
# The biweight's width for 95 % efficiency on normal noise, in units of the noise (Beaton and Tukey, 1974).
_BIWEIGHT_WIDTH: Final = 4.685
# Of the 59 fits in the tests all but one were there after 13 steps; this ends the one that was not.
_MAX_ITERATIONS: Final = 50
_NOISE_ITERATIONS: Final = 5
# Of log scale: below the rounding of float32, in which the depth is.
_CONVERGED: Final = 1e-7
# A spread of 1e-6 of the size is a few float32 roundings: the depth is constant.
_CONSTANT: Final = 1e-12
# Noise below 1e-4 of the spread is not told apart: an overlap without any must not outweigh all the others.
_LEAST_NOISE: Final = 1e-4
# Far below the stiffness of a chain of 10,000 pieces, about (pi / 10,000)**2, and far above rounding.
_DAMPING: Final = 1e-12


def solve_joint(samples: Sequence[OverlapSample], pieces: int, *, kind: Kind) -> list[ScaleShift]:
    """Find scale and shift of ``pieces`` pieces together from samples of all their overlaps.

    Inverse depth has a scale and a shift, and the residual of a pixel seen by pieces i and j is the difference of
    its aligned values over sqrt(scale_i * scale_j). Without this division least squares gains by making scales
    small, and a long chain of noisy pieces fades; with it the fit of two pieces is the reduced major axis, which
    is symmetric in them. Depth in metres has a scale alone, and the residual is the difference of the logarithms.

    Beginning at the least median of squares of each overlap (Rousseeuw, 1984), Gauss-Newton steps are reweighted
    by Tukey's biweight of the residual over the overlap's noise (1.4826 median absolute residual): an MM-estimate
    (Yohai, 1987). Huber's weights, which never reach 0, were not enough for an object that one piece alone has.
    The unknown is log scale, so scales are positive; ``opposed`` tells where that binds.

    Only differences between pieces are known, so pieces joined by overlaps are set as a whole such that the mean
    log scale is 0 and the mean sampled value unchanged, or higher as far as needed for no sample to be below 0.
    A piece that overlaps no other stays as it is. Raises ``InputError`` for values that have no scale in common.
    """
    samples = [sample for sample in samples if sample.first_values.size]
    units = _measure_units(samples, pieces, kind)
    state = _first_guess(samples, units, kind)
    noise = np.full(len(samples), np.nan)
    for iteration in range(_MAX_ITERATIONS):
        # Measured anew at every step the noise would never settle, and neither would the solution.
        if iteration < _NOISE_ITERATIONS:
            noise = _measure_noise(samples, units, state, kind)
        step = _gauss_newton_step(samples, units, state, noise, kind)
        if not np.isfinite(step).all():
            raise InputError(
                "The pieces of depth have no scale in common: their values are too far apart to be depth.",
                "Look at the depth of the chunks for values that are none, and make it again.",
            )
        # A step of 1 is a factor of e, or a whole spread: what was linearised says nothing of what lies beyond.
        state += np.clip(step, -1, 1)
        if np.abs(step).max(initial=0.0) < _CONVERGED:
            break
    scales = np.exp(state[:, 0]) / units[:, 1]
    shifts = state[:, 1] - scales * units[:, 0]
    _set_gauge(samples, scales, shifts, kind)
    return [ScaleShift(float(scale), float(shift)) for scale, shift in zip(scales, shifts, strict=True)]


def _measure_units(samples: Sequence[OverlapSample], pieces: int, kind: Kind) -> Float64Array:
    """Return centre and spread ``[pieces, 2]`` of each piece's samples: in them all unknowns are of size one."""
    units = np.tile((0.0, 1.0), (pieces, 1))
    if kind == "depth":
        return units
    sums = np.zeros((pieces, 3))
    for sample in samples:
        for piece, values in ((sample.first, sample.first_values), (sample.second, sample.second_values)):
            sums[piece] += (values.size, values.sum(), np.square(values).sum())
    seen = sums[:, 0] > 0
    mean, square = sums[seen, 1] / sums[seen, 0], sums[seen, 2] / sums[seen, 0]
    variance = square - mean**2
    varies = variance > _CONSTANT * square
    units[seen] = np.stack([mean, np.sqrt(np.where(varies, variance, 1.0))], axis=1)
    return units


def _in_units(sample: OverlapSample, units: Float64Array, kind: Kind) -> tuple[Float64Array, Float64Array]:
    if kind == "depth":
        return np.log(sample.first_values), np.log(sample.second_values)
    (first_centre, first_spread), (second_centre, second_spread) = units[[sample.first, sample.second]]
    return (
        (sample.first_values - first_centre) / first_spread,
        (sample.second_values - second_centre) / second_spread,
    )


def _first_guess(samples: Sequence[OverlapSample], units: Float64Array, kind: Kind) -> Float64Array:
    """Return log scale and shift ``[pieces, 2]``, each overlap fitted alone and the fits then reconciled."""
    state = np.zeros_like(units)
    if not samples:
        return state
    ends = np.array([(sample.first, sample.second) for sample in samples])
    ratios, gaps = np.array([_least_median_fit(*_in_units(sample, units, kind), kind) for sample in samples]).T
    state[:, 0] = _solve_differences(ends, len(units), ratios)
    state[:, 1] = _solve_differences(ends, len(units), gaps * np.exp(state[ends[:, 1], 0]))
    return state


def _least_median_fit(first: Float64Array, second: Float64Array, kind: Kind) -> tuple[float, float]:
    """Return log(k) and m of second = k * first + m, right even if nearly half of the pixels are wrong."""
    if kind == "depth":
        return float(np.median(second - first)), 0.0
    # Always the same draws: the same windows have to give the same bytes.
    random = np.random.default_rng(0)
    order = np.argsort(first + second)
    far = random.choice(order[: len(order) // 2 + 1], _CANDIDATES)
    near = random.choice(order[len(order) // 2 :], _CANDIDATES)
    rise, run = second[near] - second[far], first[near] - first[far]
    usable = (rise > 0) & (run > 0)
    # Where no pair rises, the slope 1 is still there to be chosen.
    slopes = np.append(rise[usable] / run[usable], 1.0)[:, None]
    tested = random.choice(len(first), min(len(first), _CANDIDATES), replace=False)
    residuals = second[tested] - slopes * first[tested]
    middles = np.median(residuals, axis=1, keepdims=True)
    # Divided as the residual is, in which both pieces are alike; flat slopes would win otherwise.
    best = int(np.argmin(np.median(np.abs(residuals - middles), axis=1) / np.sqrt(slopes[:, 0])))
    return float(np.log(slopes[best, 0])), float(middles[best, 0])


def _solve_differences(ends: npt.NDArray[np.intp], pieces: int, gaps: Float64Array) -> Float64Array:
    """Return x ``[pieces]`` such that x[ends[:, 0]] - x[ends[:, 1]] is nearest to ``gaps``, x least."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    rows = np.repeat(np.arange(len(ends)), 2)
    entries = np.tile((1.0, -1.0), len(ends))
    incidence = sparse.csr_array((entries, (rows, ends.ravel())), shape=(len(ends), pieces))
    normal = incidence.T @ incidence + _DAMPING * sparse.eye_array(pieces)
    return np.asarray(spsolve(normal.tocsc(), incidence.T @ gaps))


def _measure_noise(
    samples: Sequence[OverlapSample], units: Float64Array, state: Float64Array, kind: Kind
) -> Float64Array:
    residuals = (_linearise(sample, units, state, kind)[0] for sample in samples)
    noise = [_MAD_TO_SIGMA * float(np.median(np.abs(residual))) for residual in residuals]
    return np.maximum(noise, _LEAST_NOISE)


def _gauss_newton_step(
    samples: Sequence[OverlapSample], units: Float64Array, state: Float64Array, noise: Float64Array, kind: Kind
) -> Float64Array:
    """Return the change of log scale and shift ``[pieces, 2]``; one overlap's pixels are expanded at a time."""
    from scipy import sparse
    from scipy.sparse.linalg import MatrixRankWarning, spsolve

    gradient = np.zeros(state.size)
    rows, columns, entries = [], [], []
    for sample, sigma in zip(samples, noise, strict=True):
        residual, jacobian = _linearise(sample, units, state, kind)
        weighted = jacobian * biweight(residual / sigma) / sigma**2
        unknowns = 2 * np.array((sample.first, sample.first, sample.second, sample.second)) + (0, 1, 0, 1)
        gradient[unknowns] += weighted @ residual
        rows.append(np.repeat(unknowns, 4))
        columns.append(np.tile(unknowns, 4))
        entries.append((weighted @ jacobian.T).ravel())
    if not samples:
        return np.zeros_like(state)
    places = (np.concatenate(rows), np.concatenate(columns))
    normal = sparse.coo_array((np.concatenate(entries), places), shape=(state.size, state.size)).tocsc()
    damping = _DAMPING * normal.diagonal().mean() * sparse.eye_array(state.size)
    with warnings.catch_warnings():
        # A singular matrix is seen by what comes of it, which is not finite.
        warnings.simplefilter("ignore", MatrixRankWarning)
        return -np.asarray(spsolve((normal + damping).tocsc(), gradient)).reshape(state.shape)


def _linearise(
    sample: OverlapSample, units: Float64Array, state: Float64Array, kind: Kind
) -> tuple[Float64Array, Float64Array]:
    """Return residuals ``[m]``, and derivatives ``[4, m]`` by log scale and shift of first and second piece."""
    first, second = _in_units(sample, units, kind)
    (first_log, first_shift), (second_log, second_shift) = state[[sample.first, sample.second]]
    if kind == "depth":
        residual = first + first_log - second - second_log
        return residual, np.outer((1.0, 0.0, -1.0, 0.0), np.ones_like(residual))
    # Half of the ratio to each side: the residual over sqrt(scale_i * scale_j).
    ratio = np.exp((first_log - second_log) / 2)
    unit = np.exp((first_log + second_log) / 2)
    first, second = first * ratio, second / ratio
    residual = first - second + (first_shift - second_shift) / unit
    by_shift = np.full_like(residual, 1 / unit)
    return residual, np.stack([first - residual / 2, by_shift, -second - residual / 2, -by_shift])


def biweight(residual: Float64Array) -> Float64Array:
    """Return weights 1..0 ``[m]`` of residuals in units of the noise; what is far outside of it counts nothing."""
    return np.square(np.maximum(1 - np.square(residual / _BIWEIGHT_WIDTH), 0))


def _set_gauge(samples: Sequence[OverlapSample], scales: Float64Array, shifts: Float64Array, kind: Kind) -> None:
    """Set each group of pieces joined by overlaps, as a whole, to the least change from raw; in place."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    if not samples:
        return
    ends = np.array([(sample.first, sample.second) for sample in samples])
    links = sparse.csr_array((np.ones(len(ends)), ends.T), shape=(len(scales), len(scales)))
    _, groups = connected_components(links, directed=False)
    mean_log = np.bincount(groups, np.log(scales)) / np.bincount(groups)
    scales /= np.exp(mean_log)[groups]
    shifts /= np.exp(mean_log)[groups]
    if kind == "depth":
        shifts[:] = 0.0
        return
    count, change = np.zeros(len(mean_log)), np.zeros(len(mean_log))
    lowest = np.full(len(mean_log), np.inf)
    for sample in samples:
        group = groups[sample.first]
        for piece, values in ((sample.first, sample.first_values), (sample.second, sample.second_values)):
            aligned = scales[piece] * values + shifts[piece]
            count[group] += values.size
            change[group] += (aligned - values).sum()
            lowest[group] = min(lowest[group], aligned.min())
    lift = np.maximum(-change / np.maximum(count, 1), np.where(count > 0, -lowest, 0.0))
    shifts += lift[groups]
