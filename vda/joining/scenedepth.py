"""A whole scene's depth, frame by frame: of its raw windows, or of chunks that another program made.

In: a plan and where its depth is. Out: ``SceneDepth``, with one scale for the scene and the range its values have.
This file knows which parts there are and what joins them; it does not know codes, outputs, or who asks.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vda.errors import SceneError
from vda.joining.align import Float32Array, ScaleShift
from vda.joining.chunkdepths import open_chunk_depths
from vda.joining.framed import FramedDepth
from vda.joining.overlaps import Kind
from vda.joining.pieces import BlendedPieces, FrameDepth, Piece
from vda.joining.remarks import joining_remarks
from vda.joining.sequence import Alignment, SequenceDepth, cached_reader
from vda.joining.smooth import SmoothTerms
from vda.scene.chunks import Plan
from vda.scene.chunks import Sequence as PlannedSequence
from vda.scene.rawwindows import RawWindow
from vda.scene.scene import RunRecord, Scene
from vda.scene.windowstore import WindowStore

# How windows and chunks are joined; ``smooth`` is of chunks, whose windows are then fitted in order.
Joining = Literal["sequential", "joint", "smooth"]
Conversion = Callable[[Float32Array], Float32Array]
Refinement = Callable[[Float32Array, int], Float32Array]


@dataclass(frozen=True)
class SceneDepth:
    """The depth of the frames of ``plan``; ``shape`` is (height, width).

    ``parts`` follow each other without gaps and count the plan's places; all else are the video's frame indices.

    ``kind`` is that of the values of ``frame``: what the parts give, or ``depth`` after ``to_metres``, which turns
    the parts' values into metres (and what is infinitely far into +inf). ``refine`` takes the parts' values and
    the index of their frame, and leaves what has no value without; its values lie in the range of those it takes.
    """

    plan: Plan
    shape: tuple[int, int]
    parts: tuple[FrameDepth, ...]
    kind: Kind
    to_metres: Conversion | None = None
    refine: Refinement | None = None

    @property
    def frames(self) -> Sequence[int]:
        return self.plan.frames

    def _part_at(self, place: int) -> FrameDepth:
        return self.parts[bisect_right(self._starts, place) - 1]

    @cached_property
    def _starts(self) -> list[int]:
        return [part.start for part in self.parts]

    def frame(self, index: int) -> Float32Array:
        """Return the depth of frame ``index``, float32 ``[height, width]``; NaN where there is none."""
        place = self.plan.place(index)
        part = self._part_at(place)
        if part.is_missing(place):
            return np.full(self.shape, np.nan, np.float32)
        values = part.frame(place)
        if self.refine:
            values = self.refine(values, index)
        return self.to_metres(values) if self.to_metres else values

    def is_missing(self, index: int) -> bool:
        place = self.plan.place(index)
        return self._part_at(place).is_missing(place)

    def value_range(self) -> tuple[float, float]:
        """Bounds that hold every finite value of ``frame``; (0, 0) where there is none."""
        ranges = [part.value_range() for part in self.parts]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        if not np.isfinite(low):
            return 0.0, 0.0
        if self.to_metres is None:
            return low, high
        ends = self.to_metres(np.array([low, high], np.float32))
        finite = ends[np.isfinite(ends)]
        return (float(finite.min()), float(ends.max())) if finite.size else (0.0, 0.0)

    def remarks(self) -> Iterator[str]:
        """What a person should know of how its parts were joined, in sentences."""
        for part in self.parts:
            yield from joining_remarks(part, self.plan)

    def shots_json(self) -> list[dict[str, Any]]:
        """What ``depth.json`` says of each part: its frames, and how scale and shift were."""
        return [_in_frames(part.to_json(), self.plan) for part in self.parts]


@dataclass(frozen=True)
class FoundWindow:
    """How a window was fitted, and the ``fingerprint`` of the file that it was fitted from."""

    fit: ScaleShift
    fingerprint: str


@dataclass(frozen=True)
class FoundPieces:
    """How the pieces of a shot were fitted; ``smooth`` is empty where no smooth terms were asked for."""

    fits: tuple[ScaleShift, ...]
    smooth: tuple[SmoothTerms | None, ...] = ()


@dataclass(frozen=True)
class Found:
    """All that has to be found before any frame of a scene can be made, by whoever has the windows or chunks.

    ``windows`` are those of each sequence (none of other programs' chunks), ``shots`` the pieces of each shot
    (none of linked chunks).
    """

    windows: tuple[tuple[FoundWindow, ...], ...]
    shots: tuple[FoundPieces, ...]

    @classmethod
    def of(cls, depth: SceneDepth) -> "Found":
        """What was found for ``depth``; the figures of each window are read."""
        blended = [part for part in depth.parts if isinstance(part, BlendedPieces)]
        single = [part for part in depth.parts if not isinstance(part, BlendedPieces)]
        sequences = [*single, *(piece.depth for part in blended for piece in part.pieces)]
        return cls(
            tuple(tuple(_found_windows(sequence)) for sequence in sequences),
            tuple(FoundPieces(part.fits, part.smooth) for part in blended),
        )


def _found_windows(part: FrameDepth) -> Iterator[FoundWindow]:
    if isinstance(part, FramedDepth):
        yield from _found_windows(part.part)
    elif isinstance(part, SequenceDepth):
        for k, fit in enumerate(part.fits):
            yield FoundWindow(fit, part.read(k).fingerprint)


def _in_frames(part: dict[str, Any], plan: Plan) -> dict[str, Any]:
    edges = {name: plan.edge(part[name]) for name in ("start_frame", "end_frame")}
    inner: dict[str, Any] = {
        name: [_in_frames(each, plan) for each in part[name]] for name in ("chunks", "overlaps") if name in part
    }
    return {**part, **edges, **inner}


def depth_of_windows(
    scene: Scene, plan: Plan, record: RunRecord, align: Joining, found: Found | None = None
) -> SceneDepth:
    """The depth of the scene's raw windows: joined inside sequences, and blended where chunks are independent.

    With what was ``found`` before nothing is fitted anew, and frames are the same; a window that is another by
    now raises ``SceneError`` when it is read.
    """
    framings = scene.framings(sequence.shot for sequence in plan.sequences)
    width, height = next(iter(framings.values())).size
    shape = (height, width)
    kind: Kind = "depth" if record.metric else "inverse_depth"
    inner: Alignment = "joint" if align == "joint" else "sequential"
    store = WindowStore.of(scene, record)

    def joined(sequence: PlannedSequence) -> FrameDepth:
        framing, bounds = framings[sequence.shot], (sequence.start, sequence.stop)
        size = framing.box.size
        if found is None:
            reader = cached_reader(partial(_open_window, store, sequence.index))
            made = SequenceDepth.fitted(*bounds, *size, reader, metric=record.metric, align=inner)
        else:
            known = found.windows[sequence.index]
            reader = cached_reader(partial(_open_found, store, sequence.index, known))
            made = SequenceDepth(*bounds, *size, reader, tuple(window.fit for window in known), kind)
        return made if framing.is_whole else FramedDepth(made, framing)

    if plan.chunking == "linked":
        return SceneDepth(plan, shape, tuple(joined(sequence) for sequence in plan.sequences), kind)
    pieces = tuple(Piece(joined(sequence), sequence.index, sequence.shot) for sequence in plan.sequences)
    return SceneDepth(plan, shape, tuple(_blended(pieces, plan, shape, kind, align, found)), kind)


def _blended(
    pieces: tuple[Piece, ...],
    plan: Plan,
    shape: tuple[int, int],
    kind: Kind,
    align: Joining,
    found: Found | None,
) -> Iterator[BlendedPieces]:
    """The pieces of each shot, fitted to each other."""
    for shot, (start, stop) in enumerate(plan.shots):
        own = tuple(piece for piece in pieces if piece.shot == shot)
        if found is None:
            yield BlendedPieces.fitted(start, stop, shape, own, kind=kind, smooth=align == "smooth")
        else:
            known = found.shots[shot]
            yield BlendedPieces(start, stop, shape, own, known.fits, smooth=known.smooth)


def _open_found(store: WindowStore, sequence: int, known: tuple[FoundWindow, ...], k: int) -> RawWindow:
    window = store.open((sequence, k))
    if window.fingerprint != known[k].fingerprint:
        raise SceneError(
            f"{window.path} was computed again since the windows were fitted to each other.",
            "Give 'vda merge --part fits' again, and then the other parts.",
        )
    return window


def _open_window(store: WindowStore, sequence: int, k: int) -> RawWindow:
    return store.open((sequence, k))


def depth_of_chunks(
    folder: Path,
    plan: Plan,
    size: tuple[int, int] | None,
    *,
    kind: Kind,
    scale: float | None = None,
    allow_gaps: bool = False,
    by_order: bool = False,
    align: Joining = "sequential",
    found: Found | None = None,
) -> SceneDepth:
    """The depth that another program made of the plan's chunks; arguments and errors of ``open_chunk_depths``.

    With what was ``found`` before nothing is fitted anew, and frames are the same.
    """
    pieces = open_chunk_depths(
        folder, plan, size, kind=kind, scale=scale, allow_gaps=allow_gaps, by_order=by_order
    )
    first = next(iter(pieces)).depth
    shape = first.frame(
        next(index for index in range(first.start, first.stop) if not first.is_missing(index))
    ).shape
    size_of = shape[0], shape[1]
    return SceneDepth(plan, size_of, tuple(_blended(pieces, plan, size_of, kind, align, found)), kind)
