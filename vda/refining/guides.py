"""A film's frames by their index, for many threads that ask for them more or less in order.

In: how frames are read in order. Out: one frame at a time. Frames are decoded in one go as long as what is asked
for lies close ahead, and from a key frame on elsewhere. This file does not know what the frames are for.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from threading import Lock

from vda.depthmaps.colours import Rgb

# As many as a pool of two threads per core may ask for out of order: nobody waits for a frame behind these.
_MOST_KEPT = 2 * (os.cpu_count() or 1) + 1


class Guides:
    """``read`` yields the pictures of rising ``frames``, one for each, from any of them on."""

    def __init__(self, frames: Sequence[int], read: Callable[[Sequence[int]], Iterator[Rgb]]) -> None:
        self._frames = frames
        self._read = read
        self._lock = Lock()
        self._kept: dict[int, Rgb] = {}
        self._coming: Iterator[Rgb] = iter(())
        # None is near ahead of it, so that the first frame asked for begins the reading.
        self._next = len(frames)

    def __call__(self, index: int) -> Rgb:
        """Return the picture of frame ``index``, uint8 RGB ``[height, width, 3]``; of any frame, at any time."""
        with self._lock:
            if (kept := self._kept.pop(index, None)) is not None:
                return kept
            return self._decoded(bisect_left(self._frames, index))

    def _decoded(self, place: int) -> Rgb:
        if not 0 <= place - self._next <= _MOST_KEPT:
            self._coming, self._next = self._read(self._frames[place:]), place
        while self._next < place:
            self._keep(self._frames[self._next], next(self._coming))
            self._next += 1
        self._next += 1
        return next(self._coming)

    def _keep(self, index: int, picture: Rgb) -> None:
        """For the thread that has not come for it yet; one that nobody comes for is dropped in time."""
        self._kept[index] = picture
        if len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
