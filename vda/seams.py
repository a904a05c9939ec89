"""Where a scene's windows or chunks meet, and how much its depth jumps there, merged and as it came.

In: a scene, its plan, its merged depth. Out: ``Seam`` by ``Seam``, at most ``MOST_SEAMS`` spread over the video.
What is no longer on disk has no figure of how it came. This file does not know how a seam is shown.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np

from vda.chunkdepths import open_chunk_depths
from vda.chunks import Plan
from vda.depthsource import DepthSource
from vda.errors import VdaError
from vda.pieces import BlendedPieces, Piece
from vda.rawwindows import open_raw_window
from vda.scene import Scene
from vda.scenedepth import depth_of_windows
from vda.steadiness import DepthReader, Seam, change, raw_chunk_seam, raw_seam, usual_change

MOST_SEAMS = 60
_USUAL_FRAMES = 24

T = TypeVar("T")
RawJump = Callable[[], float | None]


def seam_scores(scene: Scene, plan: Plan, depth: DepthSource, read: DepthReader | None = None) -> Iterator[Seam]:
    """Yield the seams of ``depth``; ``read`` gives its frames as another way of joining makes them."""
    read = read or depth.read
    inner = [frame for frame in depth.frames if frame - 1 in depth]
    usual = usual_change(read, spread(inner, _USUAL_FRAMES)) if inner else 0.0
    boundaries = _between_windows(scene, plan) if plan.chunking == "linked" else _between_chunks(scene, plan)
    for frame, raw_jump in spread(boundaries, MOST_SEAMS):
        after = change(read(frame - 1), read(frame)) if frame - 1 in depth else float("nan")
        if usual > 0 and np.isfinite(after):
            yield Seam(frame, after / usual, raw_jump())


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of ``items``, evenly, the first and the last with them."""
    if len(items) <= count:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _between_windows(scene: Scene, plan: Plan) -> list[tuple[int, RawJump]]:
    def raw_jump(sequence: int, k: int) -> float | None:
        paths = [scene.window_path((sequence, k - 1)), scene.window_path((sequence, k))]
        if not all(path.is_file() for path in paths):
            return None
        return raw_seam(k, *(open_raw_window(path) for path in paths))

    return [
        (window.kept.start, partial(raw_jump, chunk.sequence.index, window.k))
        for chunk in plan.chunks
        for window in chunk.windows()
        if window.k
    ]


def _between_chunks(scene: Scene, plan: Plan) -> list[tuple[int, RawJump]]:
    pieces = {piece.start: piece.depth for piece in _chunks(scene, plan)}

    def raw_jump(before: int, after: int, frame: int) -> float | None:
        if before not in pieces or after not in pieces:
            return None
        return raw_chunk_seam(frame, pieces[before], pieces[after])

    return [
        (after.keep_start, partial(raw_jump, before.start, after.start, after.keep_start))
        for before, after in pairwise(plan.chunks)
    ]


def _chunks(scene: Scene, plan: Plan) -> tuple[Piece, ...]:
    """The chunks' depth before they were brought to one scale; none where it cannot be read any more."""
    run = scene.run_record()
    try:
        if run is None:
            return open_chunk_depths(scene.depths_dir, plan, None, kind="inverse_depth", allow_gaps=True)
        if any(scene.missing_windows(chunk.index) for chunk in plan.chunks):
            return ()
        (blended,) = depth_of_windows(scene, plan, run, "sequential").parts
        return blended.pieces if isinstance(blended, BlendedPieces) else ()
    except VdaError:
        return ()
