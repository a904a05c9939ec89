"""The windows in which the network sees a video: slots, anchors, blend weights.

In: the half-open range of a sequence (the frames that share one anchor) and a window's number in it. Out: which
frame each of the 32 slots holds, which frames a window settles, and with what weight it is blended. Arithmetic
only: this file knows neither pixels nor files, nor who computes a window.

The scheme is that of Video Depth Anything (arXiv 2501.12375, section 3.3, and its public implementation). Window 0
holds frames 0..31 of the sequence. Window k >= 1 holds the anchors, frame 0 in slot 0 and frame 22(k-1)+12 in
slot 1, then frames 22k+2 .. 22k+31. A place past the end holds the last frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vda.network.slots import WINDOW_SLOTS

# How far each window goes on: the published method's.
WINDOW_STEP: Final = 22
ANCHOR_SLOTS: Final = 2
"""Slots 0 and 1 of every window but the first hold frames of earlier windows, and tie this one to them."""
REFERENCE_SLOT: Final = 12
"""The slot of a window whose frame is in slot 1 of the next one."""
BLEND_FRAMES: Final = 8
"""Frames that a window shares with the one before it, in slots 2..9; slot 2 has weight 0 and slot 9 weight 1."""


def window_count(frames: int) -> int:
    """Return how many windows settle ``frames`` frames (>= 1): max(1, ceil((frames - 3) / 22)).

    The public implementation computes ceil(frames / 22). For 22k+1 .. 22k+3 frames its last window has weight 0 on
    every frame that is kept, so leaving it out gives the same video.
    """
    first_new = ANCHOR_SLOTS + 1
    return max(1, -(-(frames - first_new) // WINDOW_STEP))


def kept_boundary(window: int) -> int:
    """Return the first frame, counted within the sequence, on which ``window`` has a weight above zero."""
    return WINDOW_STEP * window + ANCHOR_SLOTS + 1 if window else 0


def blend_weights() -> npt.NDArray[np.float64]:
    """Return a window's weights 0, 1/7, ..., 1 in slots 2..9, float64 ``[8]``; the window before has the rest."""
    return np.arange(BLEND_FRAMES) / (BLEND_FRAMES - 1)


@dataclass(frozen=True, order=True)
class Window:
    """Window ``k`` of the sequence of video frames ``sequence_start`` .. ``sequence_stop`` (half-open).

    A window's output is a function of the frames it names and of nothing else, so two equal windows have equal
    raw depth whoever computes them.
    """

    sequence_start: int
    sequence_stop: int
    k: int

    def __post_init__(self) -> None:
        if not 0 <= self.sequence_start < self.sequence_stop:
            raise ValueError(f"sequence {self.sequence_start}:{self.sequence_stop} is empty or negative")
        if not 0 <= self.k < window_count(self.sequence_stop - self.sequence_start):
            raise ValueError(f"sequence {self.sequence_start}:{self.sequence_stop} has no window {self.k}")

    @property
    def id(self) -> str:
        """A name that is unique within a plan and sorts in the order of joining."""
        return f"{self.sequence_start:07d}-{self.k:06d}"

    @property
    def is_last(self) -> bool:
        return self.k + 1 == window_count(self.sequence_stop - self.sequence_start)

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """The video's frame index in each of the 32 slots."""
        last = self.sequence_stop - 1
        offset = self.sequence_start + WINDOW_STEP * self.k
        frames = [min(offset + slot, last) for slot in range(WINDOW_SLOTS)]
        if self.k:
            frames[0] = self.sequence_start
            frames[1] = offset - WINDOW_STEP + REFERENCE_SLOT
        return tuple(frames)

    @property
    def shown(self) -> range:
        """The video frames that the window shows besides its anchors: slots 2..31, for window 0 all slots."""
        first = WINDOW_STEP * self.k + (ANCHOR_SLOTS if self.k else 0)
        stop = self.sequence_start + WINDOW_STEP * self.k + WINDOW_SLOTS
        return range(self.sequence_start + first, min(stop, self.sequence_stop))

    @property
    def kept(self) -> range:
        """The video frames that become final with this window. Over a sequence they tile it, none is empty.

        A window begins where its blend weight is first above zero and ends where the next one's is.
        """
        stop = self.sequence_stop if self.is_last else self.sequence_start + kept_boundary(self.k + 1)
        return range(self.sequence_start + kept_boundary(self.k), stop)


def sequence_windows(start: int, stop: int) -> Iterator[Window]:
    """Yield the windows of the sequence of video frames ``start`` .. ``stop`` in the order of joining."""
    for k in range(window_count(stop - start)):
        yield Window(start, stop, k)
