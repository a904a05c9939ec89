"""Which frame of depth belongs to which of the truth: by index, by time, or, where that is asked for, by order.

In: the frame indices or times of both. Out: a ``Pairing``, which says how it came about and what it left out. This
file reads no depth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.source import DepthSource
from vda.errors import InputError

MatchedBy = Literal["index", "time", "order"]

# Names round times; half a step of nothing is nothing.
_LEAST_TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class Pairing:
    """``pairs`` are frame indices of depth and truth; the counts are of frames that have no partner."""

    pairs: tuple[tuple[int, int], ...]
    matched_by: MatchedBy
    unmatched_depth: int = 0
    unmatched_truth: int = 0


def pair_frames(depth: DepthSource, truth: DepthSource, *, by_order: bool = False) -> Pairing:
    """Pair the frames of ``depth`` and ``truth``.

    By index where one has all the indices of the other; by time where the truth is named by times and the depth's
    are known: the nearest within half the median step of the finer one. ``by_order`` pairs the first with the
    first and needs equal counts. Raises ``InputError``, with the counts, where that is not possible.
    """
    if by_order:
        return _by_order(depth, truth)
    if truth.times_s is not None and depth.times_s is not None:
        return _by_time(depth, depth.times_s, truth, truth.times_s)
    if truth.times_s is None and not _only_timed(depth):
        return _by_index(depth, truth)
    named, other = ("depth", "truth") if truth.times_s is None else ("truth", "depth")
    raise InputError(
        f"The {named} is named by times and the {other} by numbers: there are {_counts(depth, truth)}.",
        _remedy(depth, truth, "Name both by times on one clock"),
    )


def _only_timed(depth: DepthSource) -> bool:
    """Whether its indices mean nothing: a scene's depth has both, and its indices are the video's."""
    return depth.times_s is not None and depth.record is None


def _counts(depth: DepthSource, truth: DepthSource) -> str:
    return f"{len(depth)} frames of depth and {len(truth)} of truth"


def _remedy(depth: DepthSource, truth: DepthSource, otherwise: str) -> str:
    if len(depth) == len(truth):
        return f"{otherwise}, or give --by-order if the first belongs to the first, and so on to the last."
    return f"{otherwise}, or make both of the same frames and give --by-order."


def _by_order(depth: DepthSource, truth: DepthSource) -> Pairing:
    if len(depth) != len(truth):
        raise InputError(
            f"There are {_counts(depth, truth)}, which cannot be paired by order.",
            "Leave out --by-order, or make both of the same frames.",
        )
    return Pairing(tuple(zip(depth.frames, truth.frames, strict=True)), "order")


def _by_index(depth: DepthSource, truth: DepthSource) -> Pairing:
    common = sorted(set(depth.frames) & set(truth.frames))
    if not common or len(common) < min(len(depth), len(truth)):
        raise InputError(
            f"There are {_counts(depth, truth)}, and only {len(common)} have an index in common.",
            _remedy(depth, truth, "Give depth and truth of the same video"),
        )
    pairs = tuple((index, index) for index in common)
    return Pairing(pairs, "index", len(depth) - len(pairs), len(truth) - len(pairs))


def _by_time(
    depth: DepthSource, depth_s: Sequence[float], truth: DepthSource, truth_s: Sequence[float]
) -> Pairing:
    ours, theirs = np.array(depth_s, np.float64), np.array(truth_s, np.float64)
    tolerance = _tolerance(ours, theirs)
    nearest, back = _nearest(ours, theirs), _nearest(theirs, ours)
    places = np.flatnonzero(
        (np.abs(ours - theirs[nearest]) <= tolerance) & (back[nearest] == np.arange(len(ours)))
    )
    if not len(places):
        raise InputError(
            f"There are {_counts(depth, truth)}, and no two times are within {tolerance:.4g} s: depth from "
            f"{ours.min():.6f} to {ours.max():.6f} s, truth from {theirs.min():.6f} to {theirs.max():.6f} s.",
            _remedy(depth, truth, "Give times on one clock"),
        )
    pairs = tuple((depth.frames[place], truth.frames[nearest[place]]) for place in places.tolist())
    return Pairing(pairs, "time", len(depth) - len(pairs), len(truth) - len(pairs))


def _tolerance(*times_s: NDArray[np.float64]) -> float:
    steps = [float(np.median(np.diff(np.sort(times)))) for times in times_s if len(times) > 1]
    return max(min(steps, default=0.0) / 2, _LEAST_TOLERANCE_S)


def _nearest(times: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.intp]:
    """The place in ``among`` that is nearest to each of ``times``; a video's own times may step back."""
    order = np.argsort(among, kind="stable")
    ordered = among[order]
    after = np.clip(np.searchsorted(ordered, times), 1, len(ordered) - 1) if len(ordered) > 1 else None
    if after is None:
        return np.zeros(len(times), np.intp)
    later = np.abs(ordered[after] - times) < np.abs(times - ordered[after - 1])
    return order[np.where(later, after, after - 1)]
