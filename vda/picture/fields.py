"""Interlaced pictures to whole ones: frames in a row in, as many frames out, by libavfilter's bwdif.

The filter looks at the frame before and the one after, so frames are wanted with what is beside them
(``neighbours``). A frame that the stream calls progressive comes out as it went in. This file does not know where
frames come from.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av
from av.filter import Graph
from av.video.frame import VideoFrame

# The filter goes by order; times only have to rise.
_TICK = Fraction(1, 25)


class RawFrame(NamedTuple):
    """A decoded frame at its place; ``decoded`` is False where the place has no picture, and another stands in."""

    place: int
    frame: VideoFrame
    decoded: bool


def neighbours(wanted: Sequence[int], count: int) -> list[int]:
    """The rising places that are needed for ``wanted``, of ``count``: themselves and what is beside them."""
    beside = {place + step for place in wanted for step in (-1, 0, 1)}
    return sorted(place for place in beside if 0 <= place < count)


def deinterlaced(frames: Iterable[RawFrame], *, all_of_them: bool) -> Iterator[RawFrame]:
    """Yield each frame with its fields made one picture: those that say they are interlaced, or ``all_of_them``.

    What a frame becomes depends on it and on the ones before and after it alone, so that frames can be had from
    anywhere; where places are missing between two of ``frames``, or the size changes, both ends count as ends.
    """
    run: _Run | None = None
    for placed in frames:
        if run is not None and not run.goes_on_with(placed):
            yield from run.end()
            run = None
        run = run or _Run(placed.frame, all_of_them)
        yield from run.push(placed)
    if run is not None:
        yield from run.end()


class _Run:
    """One filter over frames of one size that follow each other."""

    def __init__(self, frame: VideoFrame, all_of_them: bool) -> None:
        self._all = all_of_them
        self._kind = (frame.width, frame.height, frame.format.name)
        self._waiting: list[RawFrame] = []
        self._last = -1
        self._graph = Graph()
        width, height, name = self._kind
        self._source = self._graph.add_buffer(
            width=width, height=height, format=av.VideoFormat(name), time_base=_TICK
        )
        # Every frame is filtered, and the choice made here: what the filter passes on unseen changes what is next.
        filters = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
        self._sink = self._graph.add("buffersink")
        self._source.link_to(filters)
        filters.link_to(self._sink)
        self._graph.configure()

    def goes_on_with(self, placed: RawFrame) -> bool:
        frame = placed.frame
        return placed.place == self._last + 1 and (frame.width, frame.height, frame.format.name) == self._kind

    def push(self, placed: RawFrame) -> Iterator[RawFrame]:
        self._last = placed.place
        self._waiting.append(placed)
        placed.frame.pts = placed.place
        placed.frame.time_base = _TICK
        self._source.push(placed.frame)
        yield from self._ready()

    def end(self) -> Iterator[RawFrame]:
        self._source.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[RawFrame]:
        while self._waiting:
            try:
                filtered = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(filtered, VideoFrame)
            placed = self._waiting.pop(0)
            chosen = filtered if self._all or placed.frame.interlaced_frame else placed.frame
            yield placed._replace(frame=chosen)
