"""Pieces of a video, each with depth of its own, brought to one scale and blended where they overlap.

In: pieces (independent chunks, of raw windows or made by another program) that give float depth frame by frame.
Out: the depth of the whole, frame by frame, in any order. No more than the frames of one place are in memory. This
file does not know where a piece's depth comes from, nor codes and outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from vda.joining.align import Float32Array, ScaleShift
from vda.joining.joint import solve_joint
from vda.joining.overlaps import Kind, OverlapSample, OverlapSampler, opposed

# Enough of an overlap to fit by: frames of one overlap are much alike, and each is made twice for it.
_FITTED_FRAMES = 32


class FrameDepth(Protocol):
    """Depth of the frames ``start`` .. ``stop``: float32 ``[height, width]`` each, NaN where there is none."""

    @property
    def start(self) -> int: ...

    @property
    def stop(self) -> int: ...

    def frame(self, index: int) -> Float32Array: ...

    def is_missing(self, index: int) -> bool:
        """Whether there is no depth of this frame at all."""
        ...

    def value_range(self) -> tuple[float, float]:
        """Bounds that hold every value of ``frame``; (inf, 0) where there is none."""
        ...

    def quantisation_error(self) -> float:
        """The largest error that storing the depth before this can have put into a value."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What ``depth.json`` says of it: its frames, and how scale and shift were."""
        ...


@dataclass(frozen=True)
class Piece:
    """One piece's depth, and the shot it is in; pieces of two shots are never fitted to each other."""

    depth: FrameDepth
    shot: int = 0

    @property
    def start(self) -> int:
        return self.depth.start

    @property
    def stop(self) -> int:
        return self.depth.stop


@dataclass(frozen=True)
class BlendedPieces:
    """The frames ``start`` .. ``stop`` from ``pieces``, in order of their starts; ``fits`` are the pieces' own.

    ``opposed`` are pairs of pieces, by the frames they begin at, in which near and far are the other way round.
    """

    start: int
    stop: int
    shape: tuple[int, int]
    pieces: tuple[Piece, ...]
    fits: tuple[ScaleShift, ...]
    opposed: tuple[tuple[int, int], ...] = ()

    @classmethod
    def fitted(
        cls, start: int, stop: int, shape: tuple[int, int], pieces: Sequence[Piece], *, kind: Kind, seed: int = 0
    ) -> "BlendedPieces":
        """Find scale and shift of all pieces together; a piece that overlaps none keeps its own scale.

        ``shape`` is (height, width) of the frames. At most 32 frames of an overlap are looked at.
        """
        samples = [_sample(pieces, i, j, kind, seed) for i, j in neighbours(pieces)]
        fits = solve_joint(samples, len(pieces), kind=kind)
        against = tuple((pieces[s.first].start, pieces[s.second].start) for s in opposed(samples))
        return cls(start, stop, shape, tuple(pieces), tuple(fits), against)

    def frame(self, index: int) -> Float32Array:
        """Return the blended depth of a frame: a piece's weight falls towards its ends, and all sum to one.

        Where one piece has no value the others' count alone.
        """
        shares = self.weights(index)
        aligned = [self.fits[number].apply(self.pieces[number].depth.frame(index)) for number in shares]
        if len(aligned) == 1:
            # As most frames are; the sums below would give the same at four times the cost.
            return np.where(np.isfinite(aligned[0]), aligned[0], np.float32(np.nan))
        total = np.zeros(self.shape, np.float32)
        weights = np.zeros(self.shape, np.float32)
        for values, weight in zip(aligned, shares.values(), strict=True):
            has_value = np.isfinite(values)
            total += np.where(has_value, np.float32(weight) * values, np.float32(0))
            weights += np.where(has_value, np.float32(weight), np.float32(0))
        return np.divide(total, weights, out=np.full_like(total, np.nan), where=weights > 0)

    def weights(self, index: int) -> dict[int, float]:
        """The pieces that have the frame ``index``, by number, and how much each counts: they sum to one."""
        having = {
            number: self._rise(number, index) * self._fall(number, index)
            for number, piece in enumerate(self.pieces)
            if piece.start <= index < piece.stop and not piece.depth.is_missing(index)
        }
        whole = sum(having.values())
        return {number: weight / whole for number, weight in having.items()}

    def _rise(self, number: int, index: int) -> float:
        shared = self._shared[number]
        return min((index - self.pieces[number].start + 1) / (shared + 1), 1.0)

    def _fall(self, number: int, index: int) -> float:
        shared = self._shared[number + 1]
        return min((self.pieces[number].stop - index) / (shared + 1), 1.0)

    @cached_property
    def _shared(self) -> list[int]:
        """Frames that each piece shares with the one before it; nothing before the first and after the last."""
        return [0, *(max(a.stop - b.start, 0) for a, b in pairwise(self.pieces)), 0]

    def is_missing(self, index: int) -> bool:
        return not self.weights(index)

    def value_range(self) -> tuple[float, float]:
        low, high = np.inf, 0.0
        for piece, fit in zip(self.pieces, self.fits, strict=True):
            ends = [max(fit.scale * value + fit.shift, 0.0) for value in piece.depth.value_range()]
            if np.isfinite(ends[0]):
                low, high = min(low, *ends), max(high, *ends)
        return low, high

    def quantisation_error(self) -> float:
        pairs = zip(self.pieces, self.fits, strict=True)
        return max((fit.scale * piece.depth.quantisation_error() for piece, fit in pairs), default=0.0)

    def hard_cuts(self) -> list[int]:
        """Frames at which a piece begins that shares none with the one before it, inside a shot."""
        met = pairwise(self.pieces)
        return [after.start for before, after in met if before.shot == after.shot and before.stop <= after.start]

    def to_json(self) -> dict[str, Any]:
        pairs = zip(self.pieces, self.fits, strict=True)
        chunks = [{**piece.depth.to_json(), "scale": fit.scale, "shift": fit.shift} for piece, fit in pairs]
        return {"start_frame": self.start, "end_frame": self.stop, "chunks": chunks}

    def remarks(self, named: Callable[[int], int]) -> Iterator[str]:
        """What a person should know of how the pieces fit, in sentences; ``named`` gives a frame's number."""
        for frame in self.hard_cuts():
            at = named(frame)
            yield f"A hard cut at frame {at}: the chunks share no frame, so each keeps its own scale there."
        for first, second in self.opposed:
            yield (
                f"The chunks from frame {named(first)} and from frame {named(second)} do not agree on what is "
                "near: one of them may hold depth where the other holds inverse depth."
            )


def neighbours(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Pairs of pieces of one shot that follow each other and share frames."""
    return [
        (i, i + 1)
        for i, (before, after) in enumerate(pairwise(pieces))
        if before.shot == after.shot and after.start < before.stop
    ]


def _sample(pieces: Sequence[Piece], i: int, j: int, kind: Kind, seed: int) -> OverlapSample:
    first, second = pieces[i].depth, pieces[j].depth
    shared = [
        index
        for index in range(second.start, min(first.stop, second.stop))
        if not (first.is_missing(index) or second.is_missing(index))
    ]
    looked_at = shared[:: -(-len(shared) // _FITTED_FRAMES) or 1]
    sampler = OverlapSampler(i, j, max(len(looked_at), 1), kind=kind, seed=seed)
    for index in looked_at:
        sampler.add(first.frame(index), second.frame(index))
    return sampler.sample()
