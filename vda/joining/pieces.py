"""Pieces of a video, each with depth of its own, brought to one scale and blended where they overlap.

In: pieces (independent chunks, of raw windows or made by another program) that give float depth frame by frame.
Out: the depth of the whole, frame by frame, in any order. No more than the frames of one place are in memory. This
file does not know where a piece's depth comes from, nor codes and outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from vda.joining.align import Float32Array, ScaleShift
from vda.joining.chunkfits import fit_pieces
from vda.joining.overlaps import Kind, OverlapSample
from vda.joining.smooth import SmoothTerms, residual_of, smooth_terms
from vda.joining.ties import Tie, ends_of, tie


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
    """The depth of chunk ``chunk``, and the shot it is in; pieces of two shots are never fitted to each other."""

    depth: FrameDepth
    chunk: int
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

    ``ties`` say what each two neighbours share, ``untied`` are the numbers of the pieces that no tie holds.
    ``smooth`` are the pieces' smooth terms, where these were asked for: None for a piece that has none.
    """

    start: int
    stop: int
    shape: tuple[int, int]
    pieces: tuple[Piece, ...]
    fits: tuple[ScaleShift, ...]
    ties: tuple[Tie, ...] = ()
    untied: tuple[int, ...] = ()
    smooth: tuple[SmoothTerms | None, ...] = ()

    @classmethod
    def fitted(
        cls,
        start: int,
        stop: int,
        shape: tuple[int, int],
        pieces: Sequence[Piece],
        *,
        kind: Kind,
        seed: int = 0,
        smooth: bool = False,
    ) -> "BlendedPieces":
        """Find scale and shift of all pieces of a shot together, by the ties that hold (see ``fit_pieces``).

        ``shape`` is (height, width) of the frames. At most 32 frames of an overlap are looked at. With ``smooth``
        what is left in the overlaps is mended by ``smooth_terms``.
        """

        def missing(number: int, place: int) -> bool:
            return pieces[number].depth.is_missing(place)

        places = [range(piece.start, piece.stop) for piece in pieces]
        found = [
            tie(
                ends_of(first, places[first], places[first + 1], missing),
                pieces[first].depth.frame,
                pieces[first + 1].depth.frame,
                kind=kind,
                seed=seed,
            )
            for first in range(len(pieces) - 1)
        ]
        holding = [sample for known, sample in found if sample is not None and known.holds]
        silent = [sample for known, sample in found if sample is not None and not known.holds]
        fit = fit_pieces(holding, silent, [len(each) for each in places], kind=kind)
        overlaps = [sample for known, sample in found if sample is not None and known.holds and known.shared]
        terms = tuple(smooth_terms(overlaps, fit.fits, shape, kind)) if smooth and overlaps else ()
        ties = tuple(_measured(known, sample, fit.fits, kind, terms) for known, sample in found)
        return cls(start, stop, shape, tuple(pieces), fit.fits, ties, fit.untied, terms)

    def _aligned(self, number: int, values: Float32Array) -> Float32Array:
        aligned = self.fits[number].apply(values)
        terms = self.terms_of(number)
        return aligned if terms is None else terms.apply(aligned)

    def terms_of(self, number: int) -> SmoothTerms | None:
        return self.smooth[number] if self.smooth else None

    def frame(self, index: int) -> Float32Array:
        """Return the blended depth of a frame: a piece's weight falls towards its ends, and all sum to one.

        Where one piece has no value the others' count alone.
        """
        shares = self.weights(index)
        aligned = [self._aligned(number, self.pieces[number].depth.frame(index)) for number in shares]
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
        for number, (piece, fit) in enumerate(zip(self.pieces, self.fits, strict=True)):
            least, most = (max(fit.scale * value + fit.shift, 0.0) for value in piece.depth.value_range())
            if np.isfinite(least):
                if (terms := self.terms_of(number)) is not None:
                    least, most = terms.bounds(least, most, self.shape)
                low, high = min(low, least), max(high, most)
        return low, high

    def quantisation_error(self) -> float:
        return max((self._enlarged(n, piece.depth) for n, piece in enumerate(self.pieces)), default=0.0)

    def _enlarged(self, number: int, depth: FrameDepth) -> float:
        terms = self.terms_of(number)
        rate = 1.0 if terms is None else terms.rates(self.shape)[1]
        return self.fits[number].scale * rate * depth.quantisation_error()

    def to_json(self) -> dict[str, Any]:
        chunks = [
            {
                **piece.depth.to_json(),
                "chunk": piece.chunk,
                "scale": fit.scale,
                "shift": fit.shift,
                "tied": number not in self.untied,
                **({"smooth": terms.to_json()} if (terms := self.terms_of(number)) is not None else {}),
            }
            for number, (piece, fit) in enumerate(zip(self.pieces, self.fits, strict=True))
        ]
        overlaps = [{"between": self._chunks(known), **known.to_json()} for known in self.ties]
        return {"start_frame": self.start, "end_frame": self.stop, "chunks": chunks, "overlaps": overlaps}

    def _chunks(self, known: Tie) -> list[int]:
        return [self.pieces[number].chunk for number in (known.first, known.first + 1)]


def _measured(
    known: Tie,
    sample: OverlapSample | None,
    fits: Sequence[ScaleShift],
    kind: Kind,
    terms: Sequence[SmoothTerms | None],
) -> Tie:
    """``known`` with what it is left with; of two frames at a cut, which differ anyhow, that says nothing."""
    if sample is None or not known.holds or not known.shared:
        return known
    return replace(known, residual=residual_of(sample, fits, kind, terms))
