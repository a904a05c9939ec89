"""A whole scene's depth, frame by frame: of its raw windows, or of chunks that another program made.

In: a plan and where its depth is. Out: ``SceneDepth``, with one scale for the scene and the range its values have.
This file knows which parts there are and what joins them; it does not know codes, outputs, or who asks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vda.joining.align import Float32Array
from vda.joining.chunkdepths import open_chunk_depths
from vda.joining.joint import Kind
from vda.joining.pieces import BlendedPieces, FrameDepth, Piece
from vda.joining.sequence import Alignment, SequenceDepth, cached_reader
from vda.scene.chunks import Plan, Sequence
from vda.scene.rawwindows import RawWindow, open_raw_window
from vda.scene.scene import RunRecord, Scene

Conversion = Callable[[Float32Array], Float32Array]


@dataclass(frozen=True)
class SceneDepth:
    """The depth of ``frames``: ``parts`` follow each other without gaps; ``shape`` is (height, width).

    ``kind`` is that of the values of ``frame``: what the parts give, or ``depth`` after ``to_metres``, which turns
    the parts' values into metres (and what is infinitely far into +inf).
    """

    frames: range
    shape: tuple[int, int]
    parts: tuple[FrameDepth, ...]
    kind: Kind
    to_metres: Conversion | None = None

    def part_of(self, frame: int) -> FrameDepth:
        return next(part for part in self.parts if part.start <= frame < part.stop)

    def frame(self, index: int) -> Float32Array:
        """Return the depth of frame ``index``, float32 ``[height, width]``; NaN where there is none."""
        part = self.part_of(index)
        if part.is_missing(index):
            return np.full(self.shape, np.nan, np.float32)
        values = part.frame(index)
        return self.to_metres(values) if self.to_metres else values

    def is_missing(self, index: int) -> bool:
        return self.part_of(index).is_missing(index)

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
        for part in self.parts:
            if isinstance(part, BlendedPieces):
                yield from part.remarks()


def depth_of_windows(scene: Scene, plan: Plan, record: RunRecord, align: Alignment) -> SceneDepth:
    """The depth of the scene's raw windows: joined inside sequences, and blended where chunks are independent."""
    framing = scene.picture().framing()
    shape = (framing.size[1], framing.size[0])
    kind: Kind = "depth" if record.metric else "inverse_depth"

    def joined(sequence: Sequence) -> SequenceDepth:
        reader = cached_reader(partial(_open_window, scene, sequence.index))
        return SequenceDepth.fitted(
            sequence.start, sequence.stop, shape[1], shape[0], reader, metric=record.metric, align=align
        )

    frames = range(*plan.frame_range)
    if plan.chunking == "linked":
        return SceneDepth(frames, shape, tuple(joined(sequence) for sequence in plan.sequences), kind)
    pieces = tuple(Piece(joined(sequence), sequence.shot) for sequence in plan.sequences)
    blended = BlendedPieces.fitted(frames.start, frames.stop, shape, pieces, kind=kind)
    return SceneDepth(frames, shape, (blended,), kind)


def _open_window(scene: Scene, sequence: int, k: int) -> RawWindow:
    return open_raw_window(scene.window_path((sequence, k)))


def depth_of_chunks(
    folder: Path,
    plan: Plan,
    size: tuple[int, int] | None,
    *,
    kind: Kind,
    scale: float | None = None,
    allow_gaps: bool = False,
    by_order: bool = False,
) -> SceneDepth:
    """The depth that another program made of the plan's chunks; arguments and errors of ``open_chunk_depths``."""
    pieces = open_chunk_depths(
        folder, plan, size, kind=kind, scale=scale, allow_gaps=allow_gaps, by_order=by_order
    )
    frames = range(*plan.frame_range)
    first = next(iter(pieces)).depth
    shape = first.frame(
        next(index for index in range(first.start, first.stop) if not first.is_missing(index))
    ).shape
    blended = BlendedPieces.fitted(frames.start, frames.stop, (shape[0], shape[1]), pieces, kind=kind)
    return SceneDepth(frames, (shape[0], shape[1]), (blended,), kind)
