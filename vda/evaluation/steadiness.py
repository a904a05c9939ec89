"""How steady a video's depth is without any truth: jumps where windows or chunks meet, and flicker along motion.

In: depth frame by frame, the frames themselves, raw windows. Out: numbers without a unit. A low figure does not
prove that depth is right, and moving things count as change. This file does not know scenes or pictures of it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vda.joining.align import Float32Array
from vda.joining.pieces import FrameDepth
from vda.scene.rawwindows import RawWindow
from vda.scene.windows import WINDOW_STEP, kept_boundary

DepthReader = Callable[[int], Float32Array]

# Flow takes a tenth of the time that it takes at 1280 (51 and 440 ms on one busy core).
_FLOW_WIDTH = 320
# DIS lays patches of 8 pixels on pictures halved at least once, and reads beyond smaller ones: it ends in an error
# or takes the process along.
_LEAST_FLOW_SIDE = 32
# OpenCV moves pictures of up to 32,767 pixels a side.
_MOST_FLOW_SIDE = 8192
# Flow forth and back has to return to the same pixel: elsewhere something was hidden, or the flow is wrong.
_CONSISTENT_PX = 1.0
# At a cut next to nothing can be followed, and what little seems to be is chance.
_LEAST_FOLLOWED = 0.25


class NotMeasured(Exception):
    """A figure that cannot be had of this depth; its words say why."""


@dataclass(frozen=True)
class Seam:
    """The change to ``frame`` from the one before, where a new window or chunk begins, over the usual one.

    Usual is the change of the same two frames inside a window or chunk; where raw depth is not kept, that between
    other frames. 1 is no seam at all. ``before`` is that of the raw depth, None where it is not kept.
    """

    frame: int
    after: float
    before: float | None = None
    step: float = 0.0
    """What the frame jumps by beyond the usual change, in the unit of the depth."""
    in_place: bool = True
    """Whether the usual change is that of the same two frames."""


def change(before: Float32Array, after: Float32Array) -> float:
    """The mean absolute difference of two frames where both have depth; NaN where they share none."""
    difference = np.abs(after - before)
    finite = difference[np.isfinite(difference)]
    return float(finite.mean()) if finite.size else float("nan")


def usual_change(read: DepthReader, pairs: Sequence[tuple[int, int]]) -> float:
    """The median over ``pairs`` of the change from one frame to the next; NaN where there is none."""
    changes = [change(read(frame), read(following)) for frame, following in pairs]
    finite = [value for value in changes if np.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")


@dataclass(frozen=True)
class RawSeam:
    """Raw depth where a window or chunk begins: its change if that one simply took over, and inside either."""

    jump: float
    inside_old: float
    inside_new: float

    @property
    def score(self) -> float:
        return 2 * self.jump / (self.inside_old + self.inside_new)


def raw_seam(window: int, old: RawWindow, new: RawWindow) -> RawSeam | None:
    """The seam where window ``window`` takes over from the one before it; None where nothing changes."""
    slot = kept_boundary(window) - WINDOW_STEP * window
    last, first = old.slot(slot + WINDOW_STEP - 1), new.slot(slot)
    inside = change(last, old.slot(slot + WINDOW_STEP)), change(new.slot(slot - 1), first)
    return RawSeam(change(last, first), *inside) if sum(inside) > 0 else None


def raw_chunk_seam(frame: int, old: FrameDepth, new: FrameDepth) -> RawSeam | None:
    """The seam where a chunk takes over at ``frame``; None where nothing changes or a frame is missing.

    Inside chunks that do not overlap the frames next to it stand in for the same two.
    """
    last, first = min(frame, old.stop - 1), max(frame, new.start + 1)
    pairs = ((old, last - 1), (old, last), (new, first - 1), (new, first))
    if last <= old.start or first >= new.stop or any(depth.is_missing(index) for depth, index in pairs):
        return None
    a, b, c, d = (depth.frame(index) for depth, index in pairs)
    inside = change(a, b), change(c, d)
    return RawSeam(change(old.frame(frame - 1), new.frame(frame)), *inside) if sum(inside) > 0 else None


def flicker(pairs: Iterable[tuple[np.ndarray, np.ndarray, Float32Array, Float32Array]]) -> Iterator[float]:
    """Yield, for each (frame, next frame, depth, next depth), the change of depth along the motion over its range.

    Frames are RGB uint8. Motion is optical flow (DIS, Kroeger et al. 2016, as in OpenCV); pixels whose flow there
    and back misses by more than a pixel are hidden in one of the frames, and do not count. Two frames of which
    less than a quarter can be followed, as at a cut, yield nothing.
    """
    for first, second, depth, following in pairs:
        greys = [cv2.cvtColor(_small(rgb), cv2.COLOR_RGB2GRAY) for rgb in (first, second)]
        back, forth = _flow(greys[1], greys[0]), _flow(greys[0], greys[1])
        y, x = np.mgrid[: back.shape[0], : back.shape[1]].astype(np.float32)
        places = x + back[..., 0], y + back[..., 1]
        returned = _moved(forth, places, (1e6, 1e6))
        seen_twice = np.linalg.norm(back + returned, axis=-1) < _CONSISTENT_PX
        old, new = _small(depth), _small(following)
        difference = np.abs(_moved(old, places, (float("nan"),)) - new)[seen_twice]
        spread = np.nanpercentile(new, 98) - np.nanpercentile(new, 2) if np.isfinite(new).any() else 0.0
        followed = seen_twice.mean() >= _LEAST_FOLLOWED
        if followed and np.isfinite(difference).any() and spread > 0:
            yield float(np.nanmean(difference) / spread)


def _moved(image: np.ndarray, places: tuple[np.ndarray, np.ndarray], outside: tuple[float, ...]) -> np.ndarray:
    """Return ``image`` at ``places`` (x and y of each pixel), ``outside`` beyond its edges."""
    return cv2.remap(image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)


def _flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the flow [height, width, 2] of two grey pictures of any size; small ones get their edges repeated."""
    height, width = first.shape
    border = (0, max(_LEAST_FLOW_SIDE - height, 0), 0, max(_LEAST_FLOW_SIDE - width, 0))
    padded = [cv2.copyMakeBorder(grey, *border, cv2.BORDER_REPLICATE) for grey in (first, second)]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(method.calc(*padded, None))[:height, :width]  # type: ignore[call-overload]


def _small(image: np.ndarray) -> np.ndarray:
    """Reduce to the width that flow is computed at; of a flat picture only as far as some height is left."""
    height, width = image.shape[:2]
    factor = min(
        max(_FLOW_WIDTH / width, min(_LEAST_FLOW_SIDE / height, 1.0)), _MOST_FLOW_SIDE / max(width, height), 1.0
    )
    if factor == 1:
        return np.ascontiguousarray(image)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
