"""Where a film's depth flickers: some pairs of frames for the usual amount, and those that flicker most.

In: a scene's depth and its video. Out: ``Flicker`` by pair. Following the motion takes long, so the frames to
follow are chosen by the plain change of depth, which costs a look at the depth alone. This file does not know how
much is too much.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vda.depthmaps.colours import Rgb
from vda.depthmaps.source import DepthSource
from vda.evaluation.seams import spread
from vda.evaluation.steadiness import NotMeasured, flicker
from vda.picture.framing import Framing
from vda.scene.chunks import Plan
from vda.scene.scene import Scene
from vda.video import read_frame_list

# Each pair costs two decoded frames and their flow both ways; the median of these settles to a few percent.
_FLOW_PAIRS = 16
# A film of 25 seconds whole; of a longer one as many pairs, spread, so that a page of it comes to an end.
_MOST_SCANNED = 600
# On ten films of 70 to 240 frames the pair that flickers most was among the four that change most.
_CANDIDATES = 12
# Pixels a side that a change is taken over.
_LATTICE = 96


@dataclass(frozen=True)
class Flicker:
    """The change of depth along the motion, from the frame before ``frame`` to it, as a share of the range."""

    frame: int
    change: float


@dataclass(frozen=True)
class Scan:
    """``changes`` by pair of neighbouring frames, plain, in the depth's unit; ``pairs`` is how many the film has.

    ``range`` is that of the depth, from its 2nd to its 98th percentile; 0 where it has none.
    """

    changes: dict[tuple[int, int], float]
    pairs: int
    range: float

    def largest(self) -> list[tuple[int, int]]:
        """The pairs that change most, some frames apart, most first."""
        chosen = list[tuple[int, int]]()
        for pair in sorted(self.changes, key=lambda pair: -self.changes[pair]):
            if all(abs(pair[1] - other[1]) > 1 for other in chosen):
                chosen.append(pair)
        return chosen[:_CANDIDATES]


def scan(plan: Plan, depth: DepthSource) -> Scan:
    """Look at all pairs of neighbouring frames of a short film, and at some of a long one."""
    pairs = _pairs(plan, depth)
    changes, values = dict[tuple[int, int], float](), list[np.ndarray]()
    last: tuple[int, np.ndarray] | None = None
    chosen = spread(pairs, _MOST_SCANNED)
    every = max(len(chosen) // 48, 1)
    for place, (frame, following) in enumerate(chosen):
        first = last[1] if last and last[0] == frame else _sampled(depth, frame)
        last = following, _sampled(depth, following)
        difference = np.abs(last[1] - first)
        if np.isfinite(difference).any():
            changes[frame, following] = float(np.nanmean(difference))
        if place % every == 0:
            values.append(first[np.isfinite(first)])
    every_value = np.concatenate(values) if values else np.empty(0)
    low, high = np.percentile(every_value, (2, 98)) if every_value.size else (0.0, 0.0)
    return Scan(changes, len(pairs), float(high - low))


def _pairs(plan: Plan, depth: DepthSource) -> list[tuple[int, int]]:
    return [pair for pair in plan.neighbours() if pair[0] in depth and pair[1] in depth]


def _sampled(depth: DepthSource, frame: int) -> np.ndarray:
    image = depth.read(frame)
    row, column = (-(-side // _LATTICE) for side in image.shape)
    return image[::row, ::column]


def measure_flicker(scene: Scene, plan: Plan, depth: DepthSource) -> list[float]:
    """The flicker of some pairs of neighbouring frames, spread over the film.

    Raises ``VdaError`` where the video cannot be read, and ``NotMeasured`` where no pair could be followed.
    """
    found = [one.change for one in _followed(scene, depth, spread(_pairs(plan, depth), _FLOW_PAIRS))]
    if not found:
        raise NotMeasured("in no two neighbouring frames could a range of depth be followed along the motion")
    return found


def worst_flickers(scene: Scene, depth: DepthSource, scanned: Scan) -> list[Flicker]:
    """The flicker of the pairs whose depth changes most, worst first; raises as ``measure_flicker``."""
    found = list(_followed(scene, depth, sorted(scanned.largest())))
    if not found:
        raise NotMeasured("none of the frames whose depth changes most could be followed along the motion")
    return sorted(found, key=lambda one: -one.change)


def _followed(scene: Scene, depth: DepthSource, pairs: Sequence[tuple[int, int]]) -> Iterator[Flicker]:
    if not pairs:
        return
    height, width = depth.read(pairs[0][0]).shape
    pictures = film_pictures(scene, sorted({frame for pair in pairs for frame in pair}), (width, height))
    for frame, following in pairs:
        if frame in pictures and following in pictures:
            pair = (pictures[frame], pictures[following], depth.read(frame), depth.read(following))
            for change in flicker([pair]):
                yield Flicker(following, change)


def film_pictures(scene: Scene, frames: Sequence[int], size: tuple[int, int]) -> dict[int, Rgb]:
    """The video's ``frames`` at ``size`` (width, height), by index; ``VdaError`` where they cannot be read."""
    whole = Framing.of(size)
    return {frame.index: whole.resized(frame.rgb) for frame in read_frame_list(*scene.film(), frames)}
