"""Decoded frames by index, found by seeking: rising indices in, ``RawFrame`` out, as in reading from the start.

Frames are known by their time, never by counting from where a seek landed, and each is held against the checksum
that was taken when the video was decoded from its start. So whatever a file's key frames, open groups of pictures
or seek tables are like, frames come out exactly as in reading from the start: where a seek does not deliver that,
the reader starts further back, in the end from the first frame. A GPU's decoder is held against the same
checksums, and where it gives another picture, the CPU's goes on. This file does not know RGB.
"""

from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.video.frame import VideoFrame

from vda.errors import VideoError
from vda.picture.fields import RawFrame
from vda.video.decoding import OpenVideo, frame_checksum
from vda.video.index import FrameIndex
from vda.video.info import VideoInfo
from vda.video.opening import Decoder


def read_placed(
    info: VideoInfo,
    index: FrameIndex,
    wanted: Sequence[int],
    threads: int | None,
    decoder: Decoder | None = None,
) -> Iterator[RawFrame]:
    """Yield the frames of rising indices ``wanted``, beginning further back until they come as they should.

    ``decoder`` may be a GPU's (None: the CPU); the first picture that is not the one counted ends its part.
    """
    reader = RunReader(info, index, wanted, 1 if index.damaged else threads)
    # Where pictures cannot be held against what was counted, a device is not asked.
    if decoder is not None and decoder.is_device and index.checksums is not None and not index.damaged:
        yield from reader.read_by(decoder, next(_entries(index, wanted[0]), None))
        if reader.done:
            return
    for entry in _entries(index, reader.next_wanted):
        yield from reader.read_from(entry)
        if reader.done:
            return
    yield from reader.read_from_start()


def _entries(index: FrameIndex, start: int) -> Iterator[int]:
    """Yield where to begin decoding for frame ``start``: key frames ever further back."""
    before = index.keyframes[: np.searchsorted(index.keyframes, start, side="right")]
    back = 1
    while back <= len(before) and before[-back] > 0:
        yield int(before[-back])
        back *= 2


class RunReader:
    """Delivers the frames of rising indices ``wanted``, each once, whatever entry points that takes."""

    def __init__(self, info: VideoInfo, index: FrameIndex, wanted: Sequence[int], threads: int | None) -> None:
        self._info = info
        self._index = index
        self._wanted = wanted
        self._threads = threads
        self._delivered = 0
        self._on_device = False
        self._order = np.argsort(index.pts, kind="stable")
        self._sorted_pts = index.pts[self._order]

    @property
    def done(self) -> bool:
        return self._delivered == len(self._wanted)

    @property
    def next_wanted(self) -> int:
        """The first of the indices that is not delivered."""
        return self._wanted[self._delivered]

    def if_wanted(self, position: int, frame: VideoFrame) -> Iterator[RawFrame]:
        """Yield the frame at ``position``, if it is the next one to deliver."""
        if not self.done and self._wanted[self._delivered] == position:
            yield self._deliver(frame, decoded=True)

    def read_by(self, decoder: Decoder, entry: int | None) -> Iterator[RawFrame]:
        """Yield the frames that a GPU's ``decoder`` gives as they were counted; note what it does otherwise."""
        self._on_device = True
        try:
            for placed in self.read_from(entry):
                decoder.frames += 1
                yield placed
        except (av.FFmpegError, OSError) as error:
            decoder.doubt(f"it cannot decode this film ({getattr(error, 'strerror', None) or error})")
        else:
            if not self.done:
                decoder.doubt(f"frame {self.next_wanted} was not the picture that the CPU's decoder gave")
        finally:
            self._on_device = False

    def read_from(self, entry: int | None) -> Iterator[RawFrame]:
        """Yield the frames still to be delivered; end early as soon as what comes cannot be trusted."""
        held: VideoFrame | None = None
        for position, frame in self._positioned_frames(entry):
            if held is None and self._index.checksums is None and not frame.key_frame:
                return  # what the container calls a key frame is none
            if position >= self._wanted[self._delivered]:
                if not self._trustworthy(position, frame, held is not None):
                    return
                yield from self._repeat(held or frame, position)
                yield from self.if_wanted(position, frame)
                if self.done:
                    return
            held = frame

    def read_from_start(self) -> Iterator[RawFrame]:
        """Yield the frames still to be delivered, whatever comes, for there is nothing better.

        Many threads may go as far as they give what was counted. A picture that is another by one thread too is
        refused, where the count did not call the video damaged: nobody knows what it would be the next time.
        """
        if self._threads != 1 and self._index.checksums is not None:
            yield from self._as_counted()
            self._threads = 1
        held: VideoFrame | None = None
        for position, frame in self._positioned_frames(None) if not self.done else ():
            if position >= self._wanted[self._delivered]:
                yield from self._repeat(held or frame, position)
                self._require_counted(position, frame)
                yield from self.if_wanted(position, frame)
                if self.done:
                    return
            held = frame
        if held is not None:
            yield from self._repeat(held, len(self._index))
        elif not self.done:
            raise VideoError(f"{self._info.path} no longer decodes.", "Check the disk, or copy the video again.")

    def _as_counted(self) -> Iterator[RawFrame]:
        for position, frame in self._positioned_frames(None):
            if position >= self._wanted[self._delivered]:
                if not self._trustworthy(position, frame, False):
                    return
                yield self._deliver(frame, decoded=True)
                if self.done:
                    return

    def _positioned_frames(self, entry: int | None) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from ``entry`` and yield frames with their indices, rising; unknown times are passed over."""
        after = -1 if entry is None else None
        threads, there = self._threads, self._on_device
        with OpenVideo(self._info.path, self._info.stream_index, threads, on_device=there) as source:
            if entry is not None and not source.seek(int(self._index.pts[entry])):
                return
            for pts, frame in source.timed_frames():
                position = self._position(pts, after)
                if source.damaged and (self._threads != 1 or there):
                    break
                if position is not None:
                    yield position, frame
                    after = position
            if there or not source.damaged or self._threads == 1:
                return
        # What a decoder makes of damage depends on its threads: once more in one, then on from here.
        self._threads = 1
        for position, frame in self._positioned_frames(entry):
            if after is None or position > after:
                yield position, frame

    def _position(self, pts: int, after: int | None) -> int | None:
        """Return the first index behind ``after`` that is shown at ``pts``.

        After a seek nothing precedes (``after`` None), and a time that stands there twice says nothing.
        """
        low, high = np.searchsorted(self._sorted_pts, (pts, pts + 1))
        candidates = self._order[low:high]
        if after is None:
            return int(candidates[0]) if len(candidates) == 1 else None
        later = candidates[candidates > after]
        return int(later[0]) if len(later) else None

    def _trustworthy(self, position: int, frame: VideoFrame, has_previous: bool) -> bool:
        """Whether this is what reading from the start would give next."""
        expected = self._wanted[self._delivered]
        if self._index.checksums is None:
            return position == expected or has_previous
        return position == expected and self._index.checksums[position] == frame_checksum(frame)

    def _require_counted(self, position: int, frame: VideoFrame) -> None:
        """Refuse a picture that is to be delivered and is not the one that was counted."""
        if self.done or self._wanted[self._delivered] != position or self._index.damaged:
            return
        if self._index.checksums is not None and self._index.checksums[position] != frame_checksum(frame):
            raise VideoError(
                f"Frame {position} of {self._info.path} is not the picture it was when the video was counted.",
                "The file was changed, or is damaged there: copy it again, or decode it once with "
                "`ffmpeg -i IN -c:v ffv1 OUT.mkv` and take that.",
            )

    def _repeat(self, frame: VideoFrame, before: int) -> Iterator[RawFrame]:
        """Fill the wanted places up to ``before``, which have no picture of their own, with ``frame``."""
        while not self.done and self._wanted[self._delivered] < before:
            yield self._deliver(frame, decoded=False)

    def _deliver(self, frame: VideoFrame, *, decoded: bool) -> RawFrame:
        position = self._wanted[self._delivered]
        self._delivered += 1
        return RawFrame(position, frame, decoded)
