"""Where a scene's windows or chunks meet, and how much its depth jumps there, merged and as it came.

In: a scene, its plan, its merged depth. Out: ``Seam`` by ``Seam``, at most ``MOST_SEAMS`` spread over the video.
What is no longer on disk has no figure of how it came. This file does not know how a seam is shown.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.source import DepthSource
from vda.errors import DamagedWindowError, VdaError
from vda.evaluation.steadiness import DepthReader, RawSeam, Seam, change, raw_chunk_seam, raw_seam, usual_change
from vda.joining.chunkdepths import open_chunk_depths
from vda.joining.pieces import BlendedPieces, Piece
from vda.joining.scenedepth import depth_of_windows
from vda.scene.chunks import Plan
from vda.scene.scene import Scene
from vda.scene.windowstore import WindowStore

# Each costs two frames of the merged depth and two of the raw: a report of a long video has to end.
MOST_SEAMS = 60
# A median of 24 changes; it is only what seams are held against.
_USUAL_FRAMES = 24

T = TypeVar("T")


@dataclass(frozen=True)
class _Boundary:
    """Where a window or chunk begins; ``scales`` are those that the old and the new one's raw depth got.

    ``place`` is the plan's.
    """

    place: int
    raw: Callable[[], RawSeam | None]
    scales: tuple[float, float] | None


def seam_count(plan: Plan) -> int:
    """How many times a window or chunk takes over inside a shot."""
    if plan.chunking == "linked":
        return sum(window.k > 0 for chunk in plan.chunks for window in chunk.windows())
    return sum(old.sequence.shot == new.sequence.shot for old, new in pairwise(plan.chunks))


def seam_scores(
    scene: Scene,
    plan: Plan,
    depth: DepthSource,
    read: DepthReader | None = None,
    *,
    most: int | None = MOST_SEAMS,
) -> Iterator[Seam]:
    """Yield the seams of ``depth``, at most ``most`` (None: all) spread over the film.

    ``read`` gives its frames as another way of joining makes them. A seam beside a frame without depth is left
    out. What changes by less than a step of the stored codes counts as one step, so that a still film has scores
    too.
    """
    read = read or depth.read
    least = _least_change(depth.record)
    inner = [pair for pair in plan.neighbours() if pair[0] in depth and pair[1] in depth]
    usual = usual_change(read, spread(inner, _USUAL_FRAMES)) if inner else 0.0
    between = _between_windows if plan.chunking == "linked" else _between_chunks
    found = list(between(scene, plan, depth.record))
    for boundary in found if most is None else spread(found, most):
        before, frame = plan.frame(boundary.place - 1), plan.frame(boundary.place)
        if before not in depth or frame not in depth:
            continue
        jump = change(read(before), read(frame))
        raw = boundary.raw()
        expected, in_place = usual, False
        if raw is not None and boundary.scales is not None:
            expected = float(np.dot(np.abs(boundary.scales), (raw.inside_old, raw.inside_new))) / 2
            in_place = True
        if not np.isfinite(expected):
            expected = 0.0
        if np.isfinite(jump) and max(expected, least) > 0:
            score = max(jump, least) / max(expected, least)
            yield Seam(frame, score, raw.score if raw else None, max(jump - expected, 0.0), in_place)


def _least_change(record: DepthRecord | None) -> float:
    """The step of even codes over the range that depth was read from; 0 where nothing is known of them.

    Scores of one film are thus the same whatever the coding of its depth.
    """
    return 0.0 if record is None else record.quantizer.scale


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of ``items``, evenly, the first and the last with them."""
    if len(items) <= count:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _between_windows(scene: Scene, plan: Plan, record: DepthRecord | None) -> Iterator[_Boundary]:
    scales = [shot.get("scale") or () for shot in _aligned(record)]
    run = scene.run_record()
    store = None if run is None else WindowStore.of(scene, run)

    def raw(sequence: int, k: int) -> RawSeam | None:
        try:
            return None if store is None else raw_seam(k, *(store.open((sequence, n)) for n in (k - 1, k)))
        except DamagedWindowError:  # or no longer there
            return None

    for chunk in plan.chunks:
        sequence = chunk.sequence.index
        for window in chunk.windows():
            if window.k:
                both = scales[sequence][window.k - 1 : window.k + 1] if sequence < len(scales) else ()
                known = (both[0], both[1]) if len(both) == 2 else None
                yield _Boundary(window.kept.start, partial(raw, sequence, window.k), known)


def _between_chunks(scene: Scene, plan: Plan, record: DepthRecord | None) -> Iterator[_Boundary]:
    pieces = {piece.start: piece.depth for piece in _chunks(scene, plan)}
    scales = {
        chunk["start_frame"]: chunk["scale"] for shot in _aligned(record) for chunk in shot.get("chunks") or ()
    }

    def raw(old: int, new: int, frame: int) -> RawSeam | None:
        if old not in pieces or new not in pieces:
            return None
        return raw_chunk_seam(frame, pieces[old], pieces[new])

    for old, new in pairwise(plan.chunks):
        if old.sequence.shot != new.sequence.shot:
            continue
        starts = old.start, new.start
        frames = [plan.edge(start) for start in starts]
        both = (scales[frames[0]], scales[frames[1]]) if scales.keys() >= set(frames) else None
        yield _Boundary(new.keep_start, partial(raw, *starts, new.keep_start), both)


def _aligned(record: DepthRecord | None) -> list[dict[str, Any]]:
    """The shots with their scales, where merged depth is raw depth scaled and shifted, not turned into metres."""
    return record.shots if record is not None and record.quantizer.kind == "inverse_depth" else []


def _chunks(scene: Scene, plan: Plan) -> tuple[Piece, ...]:
    """The chunks' depth before they were brought to one scale; none where it cannot be read any more."""
    run = scene.run_record()
    try:
        if run is None:
            return open_chunk_depths(scene.depths_dir, plan, None, kind="inverse_depth", allow_gaps=True)
        if scene.unfinished_chunks(plan):
            return ()
        parts = depth_of_windows(scene, plan, run, "sequential").parts
        return tuple(piece for part in parts if isinstance(part, BlendedPieces) for piece in part.pieces)
    except VdaError:
        return ()
