"""Scale and shift of all windows of a sequence at once, each link weighted by what it says.

In: the links of windows: of neighbours by the nine frames that they share, of each window and the first by the
anchor. Out: scale and shift of each window. How far anchors and neighbours are to be trusted follows from how they
contradict each other. This file knows neither frames nor files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from vda.linking.links import FIELD, Float64Array, Kind, Link, noise_of

if TYPE_CHECKING:
    from scipy import sparse

# Log scales that are uncertain by more than the half of what is known say nothing.
_MOST_VARIANCE: Final = 0.75
# How far two ways of going through a film part over so many windows; fewer than this many say little.
_SPANS: Final = (1, 2, 4, 8, 16, 32)
_LEAST_DIFFERENCES: Final = 6
# Of log ratio and level, in units of a link's own variance: a link of neighbours errs as the mean of 10 and of 3
# independent pixels at most. What contradicts it by more is the anchor's doing (docs/decisions.md).
_MOST_OF_NEIGHBOURS: Final = (0.1, 0.3)
# Neighbours are not trusted more than a hundred times as much as the anchor.
_LEAST_OF_NEIGHBOURS: Final = 0.01
# A link has half of its weight where it contradicts the others by six times their median; Cauchy's weights.
_TOLERANCE: Final = 6.0
# Of chi squared with the degrees of freedom that two residuals of a link have left: about one.
_MEDIAN_OF_ONE: Final = 0.7
_STARTS: Final = 3
_ITERATIONS: Final = 12
# Far below the stiffness of a chain of 10,000 windows, about (pi / 10,000)**2, and far above rounding.
_DAMPING: Final = 1e-12


@dataclass(frozen=True)
class WindowFits:
    """``scales`` and ``shifts`` of the windows in order; ``untied`` are those that nothing ties to the others."""

    scales: tuple[float, ...]
    shifts: tuple[float, ...]
    untied: tuple[int, ...] = ()


def fit_windows(links: Sequence[Link], lowest: Sequence[float], *, kind: Kind) -> WindowFits:
    """Find scale and shift of all windows; ``lowest`` is each window's least raw value that is shown.

    The residuals of a link are the difference of the log scales less its own, and the difference of the aligned
    levels over their spread; least squares by Gauss-Newton steps, links reweighted by Cauchy's weights.

    The largest group of windows that links tie sets the whole: the median of its log scales is 0, and so is the
    median change of a level, or higher as far as needed for nothing shown to be below 0. Any other group, mostly
    one window, gets the median scale and the shift of the windows next to it. Metric depth has no shift.
    """
    table = _Table.of(links, len(lowest))
    scales, shifts = _Solver(table, kind).solve()
    groups = table.groups()
    main = groups == np.argmax(np.bincount(groups))
    scales /= (size := np.exp(np.median(np.log(scales[main]))))
    shifts = np.zeros_like(shifts) if kind == "depth" else shifts / size
    if kind == "inverse_depth":
        shifts += _lift(table, main, scales, shifts, np.asarray(lowest))
    untied = np.flatnonzero(~main)
    for group in dict.fromkeys(groups[untied]):
        _place_beside(np.flatnonzero(groups == group), np.flatnonzero(main), scales, shifts)
    return WindowFits(tuple(scales.tolist()), tuple(shifts.tolist()), tuple(untied.tolist()))


def _lift(
    table: "_Table", main: npt.NDArray[np.bool_], scales: Float64Array, shifts: Float64Array, lowest: Float64Array
) -> float:
    """What all shifts are raised by: to where the median level was, and higher if something shown is below 0."""
    ends, levels = table.ends.ravel(), table.levels.ravel()
    changes = (scales[ends] * levels + shifts[ends] - levels)[main[ends]]
    return max(-float(np.median(changes)) if changes.size else 0.0, -float((scales * lowest + shifts)[main].min()))


def _place_beside(
    group: npt.NDArray[np.intp], tied: npt.NDArray[np.intp], scales: Float64Array, shifts: Float64Array
) -> None:
    """Give ``group`` as a whole the median scale and shift of the ``tied`` windows next to it; in place.

    On either side as many are asked as there are in the group: one window's own scale says little of many.
    """
    count = len(group)
    beside = np.concatenate([tied[tied < group[0]][-count:], tied[tied > group[-1]][:count]])
    if not beside.size:
        beside = tied
    size = np.exp(np.median(np.log(scales[beside])) - np.median(np.log(scales[group])))
    scales[group] *= size
    shifts[group] *= size
    shifts[group] += np.median(shifts[beside]) - np.median(shifts[group])


@dataclass(frozen=True)
class _Table:
    """The links that count, as columns: ``ends`` and ``levels`` ``[2, links]``, ``variances`` ``[2, links]``."""

    windows: int
    ends: npt.NDArray[np.intp]
    by_anchor: npt.NDArray[np.bool_]
    log_ratios: Float64Array
    levels: Float64Array
    spread: Float64Array
    variances: Float64Array

    @classmethod
    def of(cls, links: Sequence[Link], windows: int) -> "_Table":
        ends = np.array([(link.first, link.second) for link in links], np.intp).reshape(-1, 2).T
        spreads = np.array([link.spreads for link in links]).reshape(-1, 2).T
        widest = np.zeros(windows)
        np.maximum.at(widest, ends.ravel(), spreads.ravel())
        # What a field over a window's whole spread does to an overlap with less of it.
        floor = (FIELD**2 * (widest[ends] / spreads) ** 2).sum(axis=0)
        variances = np.array([link.variances for link in links]).reshape(-1, 2).T + floor
        holds = variances[0] < _MOST_VARIANCE
        return cls(
            windows,
            ends[:, holds],
            np.array([link.by_anchor for link in links], bool)[holds],
            np.array([link.log_ratio for link in links])[holds],
            np.array([link.levels for link in links]).reshape(-1, 2).T[:, holds],
            np.sqrt(spreads.prod(axis=0))[holds],
            variances[:, holds],
        )

    @property
    def size(self) -> int:
        return len(self.log_ratios)

    def groups(self) -> npt.NDArray[np.intp]:
        """The number ``[windows]`` of the group that each window is tied into."""
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        links = sparse.csr_array((np.ones(self.size), tuple(self.ends)), shape=(self.windows, self.windows))
        return np.asarray(connected_components(links, directed=False)[1])


class _Solver:
    """``log_scales`` and ``shifts`` of the windows, and what each link counts, on their way to the solution."""

    def __init__(self, table: _Table, kind: Kind) -> None:
        from scipy import sparse

        self._table, self._kind = table, kind
        self._log_scales = np.zeros(table.windows)
        self._shifts = np.zeros(table.windows)
        self._weights = np.ones(table.size)
        self._variances = table.variances.copy()
        rows = np.tile(np.arange(table.size), 2)
        signs = np.repeat((1.0, -1.0), table.size)
        self._differences = sparse.csr_array(
            (signs, (rows, table.ends.ravel())), shape=(table.size, table.windows)
        )

    def solve(self) -> tuple[Float64Array, Float64Array]:
        """Return scales and shifts ``[windows]``; of each group they are known up to one map of the whole."""
        table = self._table
        if not table.size:
            return np.exp(self._log_scales), self._shifts
        self._variances[0] = table.variances[0] * self._factors(0, -table.log_ratios, table.variances[0])
        for _ in range(_STARTS):
            self._start()
            self._reweigh()
        for _ in range(_ITERATIONS if self._kind == "inverse_depth" else 0):
            self._step()
            self._reweigh()
        return np.exp(self._log_scales), self._shifts

    def _start(self) -> None:
        """Fit the log scales alone, then the shifts to them."""
        table = self._table
        self._log_scales = self._fit(table.log_ratios, self._variances[0])
        if self._kind == "depth":
            return
        scaled, unit = self._scaled_levels()
        gap = scaled[0] - scaled[1]
        variances = table.variances[1] * unit**2
        factors = self._factors(1, gap, variances)
        self._variances[1] = table.variances[1] * factors
        self._shifts = self._fit(-gap, variances * factors)

    def _fit(self, gaps: Float64Array, variances: Float64Array) -> Float64Array:
        """Return x ``[windows]``, 0 at the first, such that x[first] - x[second] is nearest to ``gaps``."""
        weighted = self._differences.T * (self._weights / variances)
        found = _damped(weighted @ self._differences, weighted @ gaps)
        return found - found[0]

    def _scaled_levels(self) -> tuple[Float64Array, Float64Array]:
        """The levels ``[2, links]`` times their windows' scales, and the spread of what both see, aligned."""
        scales = np.exp(self._log_scales)[self._table.ends]
        return scales * self._table.levels, np.sqrt(scales.prod(axis=0)) * self._table.spread

    def _residuals(self) -> Float64Array:
        scaled, unit = self._scaled_levels()
        gaps = self._differences @ self._log_scales - self._table.log_ratios
        if self._kind == "depth":
            return np.stack([gaps, np.zeros_like(gaps)])
        return np.stack([gaps, (scaled[0] - scaled[1] + self._differences @ self._shifts) / unit])

    def _step(self) -> None:
        """Take a Gauss-Newton step in log scales and shifts together."""
        from scipy import sparse

        scaled, unit = self._scaled_levels()
        gaps, levels = self._residuals()
        shape, rows = self._differences.shape, np.tile(np.arange(self._table.size), 2)
        # Half of the unit's own change comes with either scale.
        by_scale = (scaled / unit * np.array([[1.0], [-1.0]]) - levels / 2).ravel()
        of_levels = sparse.hstack(
            [
                sparse.csr_array((by_scale, (rows, self._table.ends.ravel())), shape=shape),
                sparse.diags_array(1 / unit) @ self._differences,
            ]
        )
        jacobian = sparse.vstack([sparse.hstack([self._differences, sparse.csr_array(shape)]), of_levels]).tocsr()
        weighted = jacobian.T * np.tile(self._weights, 2) / self._variances.ravel()
        step = _damped(weighted @ jacobian, -(weighted @ np.concatenate([gaps, levels])))
        # A step of 1 is a factor of e: what was linearised says nothing of what lies beyond.
        step /= max(1.0, float(np.abs(step[: self._table.windows]).max()))
        self._log_scales += step[: self._table.windows]
        self._shifts += step[self._table.windows :]

    def _reweigh(self) -> None:
        contradiction = (self._residuals() ** 2 / self._variances).sum(axis=0)
        usual = float(np.median(contradiction)) / _MEDIAN_OF_ONE
        self._weights = 1 / (1 + contradiction / (_TOLERANCE * usual + 1e-12))

    def _factors(self, which: int, gaps: Float64Array, variances: Float64Array) -> Float64Array:
        """How far off links by anchor and of neighbours are, in units of their own ``variances``, ``[links]``.

        The two ways from a window to the one ``span`` windows on part by twice the anchor's variance, and by
        ``span`` times the neighbours': lines are fitted to the squares of their median difference. The anchor is
        one of the views that neighbours share nine of, so it is not trusted more than they are.
        """
        anchor, chain = self._table.by_anchor, ~self._table.by_anchor
        if not (anchor.any() and chain.any()):
            return np.ones(self._table.size)
        second = self._table.ends[1]
        by_anchor, by_chain = np.full((2, self._table.windows), np.nan)
        by_anchor[second[anchor]], by_chain[second[chain]] = gaps[anchor], gaps[chain]
        sizes = (2 * float(np.median(variances[anchor])), float(np.median(variances[chain])))
        of_anchor, of_chain = _two_variances(by_anchor, by_chain, sizes, _MOST_OF_NEIGHBOURS[which])
        return np.where(anchor, of_anchor, of_chain)


def _two_variances(
    by_anchor: Float64Array, by_chain: Float64Array, sizes: tuple[float, float], most: float
) -> tuple[float, float]:
    """Fit the factors of both ways (see ``_factors``) to values by anchor and steps by chain ``[windows]``."""
    from scipy.optimize import nnls

    walked, broken = np.cumsum(np.nan_to_num(by_chain)), np.cumsum(np.isnan(by_chain))
    spans, squares = [], []
    for span in _SPANS:
        parted = (by_anchor[span:] - by_anchor[:-span]) - (walked[span:] - walked[:-span])
        parted = parted[np.isfinite(parted) & (broken[span:] == broken[:-span])]
        if len(parted) >= _LEAST_DIFFERENCES:
            spans.append(span)
            squares.append(noise_of(parted) ** 2 + 1e-12)
    if len(spans) < 2:
        return 1.0, 1.0
    square, walk = np.array(squares), sizes[1] * np.array(spans)
    # Long spans have fewer independent differences.
    trust = 1 / (square * np.sqrt(spans))
    columns = np.stack([np.full(len(spans), sizes[0]), walk + sizes[0]], axis=1)
    (more, of_chain), _ = nnls(columns * trust[:, None], square * trust)
    of_anchor = more + of_chain
    if of_chain > most:
        of_chain = most
        of_anchor = max(float((square - of_chain * walk).max()) / sizes[0], of_chain)
    return float(of_anchor), float(max(of_chain, _LEAST_OF_NEIGHBOURS * of_anchor, 1e-9))


def _damped(normal: "sparse.sparray", right: Float64Array) -> Float64Array:
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    damping = _DAMPING * float(normal.diagonal().max()) * sparse.eye_array(len(right))
    return np.asarray(spsolve((normal + damping).tocsc(), right))
