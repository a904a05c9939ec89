"""Scale and shift of all pieces of a shot from the ties that hold, and a place for those that nothing ties.

In: the samples of the ties of pieces in a row. Out: a ``ScaleShift`` for each piece, and the pieces that could not
be tied to the others. This file knows neither frames nor plans, and fits no two pieces itself (``joint`` does).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vda.joining.align import Float64Array, ScaleShift
from vda.joining.joint import solve_joint
from vda.joining.overlaps import Kind, OverlapSample


@dataclass(frozen=True)
class PieceFits:
    """``fits`` of the pieces in order; ``untied`` are numbers of those that the overlaps say no scale of."""

    fits: tuple[ScaleShift, ...]
    untied: tuple[int, ...] = ()


def fit_pieces(
    samples: Sequence[OverlapSample], silent: Sequence[OverlapSample], frames: Sequence[int], *, kind: Kind
) -> PieceFits:
    """Fit the pieces, of so many ``frames`` each, by ``samples``; ``silent`` ones say no scale, but a level.

    The largest group of pieces that are tied to each other sets the scale: the median of its log scales is 0, and
    so is the median change of a sampled value, or it is lifted as far as needed for no sample to be below 0.
    Metric depth has no shift. Each other group, mostly one piece, gets as a whole the median scale of the pieces
    next to it, and the shift by which the medians of what it shares with them agree.
    """
    if not frames:
        return PieceFits(())
    solved = solve_joint(samples, len(frames), kind=kind)
    scales = np.array([fit.scale for fit in solved])
    shifts = np.array([fit.shift for fit in solved])
    groups = _groups(samples, len(frames))
    main = int(np.argmax(np.bincount(groups, frames)))
    _set_median(samples, groups == main, scales, shifts, kind)
    placed = groups == main
    while not placed.all():
        group = groups == groups[_next_to(placed)]
        _place_beside(group, placed, [*samples, *silent], scales, shifts, kind)
        placed |= group
    fits = tuple(ScaleShift(float(scale), float(shift)) for scale, shift in zip(scales, shifts, strict=True))
    return PieceFits(fits, tuple(int(piece) for piece in np.flatnonzero(groups != main)))


def _groups(samples: Sequence[OverlapSample], pieces: int) -> npt.NDArray[np.intp]:
    """The number ``[pieces]`` of the group that each piece is tied into."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    ends = np.array([(sample.first, sample.second) for sample in samples], np.intp).reshape(-1, 2)
    links = sparse.csr_array((np.ones(len(ends)), ends.T), shape=(pieces, pieces))
    return np.asarray(connected_components(links, directed=False)[1])


def _set_median(
    samples: Sequence[OverlapSample],
    group: npt.NDArray[np.bool_],
    scales: Float64Array,
    shifts: Float64Array,
    kind: Kind,
) -> None:
    """Set ``group`` as a whole to the least change from raw, by medians: one odd piece moves none; in place."""
    size = float(np.exp(np.median(np.log(scales[group])))) if group.any() else 1.0
    scales[group] /= size
    shifts[group] /= size
    if kind == "depth":
        shifts[group] = 0.0
        return
    changes, lowest = [], []
    for sample in samples:
        for piece, values in _sides(sample):
            if group[piece]:
                aligned = scales[piece] * values + shifts[piece]
                changes.append(float(np.median(aligned - values)))
                lowest.append(float(aligned.min()))
    if changes:
        shifts[group] += max(-float(np.median(changes)), -min(lowest))


def _sides(sample: OverlapSample) -> tuple[tuple[int, Float64Array], tuple[int, Float64Array]]:
    return (sample.first, sample.first_values), (sample.second, sample.second_values)


def _next_to(placed: npt.NDArray[np.bool_]) -> int:
    """The first piece that has its place still to find beside one that has it."""
    beside = np.append(placed[1:], False) | np.insert(placed[:-1], 0, False)
    return int(np.flatnonzero(beside & ~placed)[0])


def _place_beside(
    group: npt.NDArray[np.bool_],
    placed: npt.NDArray[np.bool_],
    samples: Sequence[OverlapSample],
    scales: Float64Array,
    shifts: Float64Array,
    kind: Kind,
) -> None:
    """Give ``group`` as a whole the scale and the level of the pieces next to it that are ``placed``; in place."""
    beside = placed & (np.append(group[1:], False) | np.insert(group[:-1], 0, False))
    size = float(np.exp(np.median(np.log(scales[beside])) - np.median(np.log(scales[group]))))
    scales[group] *= size
    shifts[group] *= size
    if kind == "depth":
        return
    gaps = []
    for sample in samples:
        ours, theirs = sorted(_sides(sample), key=lambda side: bool(placed[side[0]]))
        if group[ours[0]] and placed[theirs[0]] and sample.first_values.size:
            levels = [scales[piece] * np.median(values) + shifts[piece] for piece, values in (ours, theirs)]
            gaps.append(float(levels[1] - levels[0]))
    # Pieces that share nothing have no level in common: the shift is the neighbours', as the scale is.
    shifts[group] += np.median(gaps) if gaps else np.median(shifts[beside]) - np.median(shifts[group])
