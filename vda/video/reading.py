"""Frames by index: a half-open range or a list of indices in, upright RGB pictures out.

Frames are known by their time, never by counting from where a seek landed, and each is held against the checksum
that was taken when the video was decoded from its start. So whatever a file's key frames, open groups of pictures
or seek tables are like, a range comes out exactly as in reading from the start: where a seek does not deliver
that, the reader starts further back, in the end from the first frame. Memory is constant in the range's length.

What becomes of a decoded picture's pixels is the room ``picture``'s. Frames that are to be deinterlaced are read
with the frames beside them, so that they too come out as in reading from the start.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame

from vda.errors import UsageError, VideoError
from vda.picture.fields import RawFrame, deinterlaced, neighbours
from vda.picture.upright import UprightRgb
from vda.stills.naming import base_of
from vda.video.decoding import OpenVideo, frame_checksum
from vda.video.index import FrameIndex
from vda.video.info import VideoInfo, require_same
from vda.video.sequence import Pictures

# Opening and seeking cost about as much as decoding this many frames.
_LEAP_WORTH_A_SEEK = 24


@dataclass(frozen=True, eq=False)
class Frame:
    """One upright picture: ``rgb`` uint8 [height, width, 3], contiguous, shown at ``time_s`` on the file's clock.

    ``decoded`` is False where the video has no picture at this place; ``rgb`` is then the previous frame's, or the
    next one's at the very start.
    """

    index: int
    time_s: float
    rgb: np.ndarray
    decoded: bool


def read_frames(
    info: VideoInfo, index: FrameIndex, start: int, stop: int, *, threads: int | None = None
) -> Iterator[Frame]:
    """Yield frames ``start`` to ``stop`` (exclusive), as many as there are of images whose numbers have gaps.

    ``threads`` are the decoder's (None: as many as FFmpeg thinks fit; a damaged video is always decoded by one).
    Raises ``UsageError`` for a range outside the video, ``VideoError`` if the file is not the one that was probed.
    """
    if info.is_sequence:
        yield from _read_images(info, index, range(*index.range_of((start, stop))), threads)
        return
    if not 0 <= start <= stop <= len(index):
        raise _outside(info, index, f"{start}:{stop}")
    require_same(info)
    yield from _read_run(info, index, range(start, stop), threads)


def read_frame_list(
    info: VideoInfo, index: FrameIndex, indices: Sequence[int], *, threads: int | None = None
) -> Iterator[Frame]:
    """Yield the frames with these indices, in the order given, as ``read_frames`` does.

    Only these are converted to RGB. Rising indices are read in one go, but for leaps over key frames.
    """
    wanted = [int(position) for position in indices]
    if info.is_sequence:
        yield from _read_images(info, index, index.places_of(wanted), threads)
        return
    for position in wanted:
        if not 0 <= position < len(index):
            raise _outside(info, index, str(position))
    require_same(info)
    first = 0
    for last in range(1, len(wanted) + 1):
        if last == len(wanted) or _worth_a_seek(index, wanted[last - 1], wanted[last]):
            yield from _read_run(info, index, wanted[first:last], threads)
            first = last


class NotAsListed(Exception):
    """What decodes is not what the container lists: the frames have to be counted first."""


def read_listed(
    info: VideoInfo, index: FrameIndex, indices: Sequence[int], *, whole: bool, threads: int | None = None
) -> Iterator[Frame]:
    """Yield the frames of rising ``indices`` of an ``index`` that was listed, not counted (``list_frames``).

    Decoding begins at the start and goes on to the end if the ``whole`` list is to be borne out, else to the last
    frame that is wanted. Pictures are those of ``read_frame_list``. Raises ``NotAsListed`` at the first frame that
    decodes to another time than it is listed with, at damage, at fields that are to be made whole pictures, at
    another size, and for frames that never come.
    """
    require_same(info)
    reader, shown = _RunReader(info, index, indices, threads), _Shown(info, index)
    if info.choice.deinterlace == "on":
        raise NotAsListed
    with OpenVideo(info.path, info.stream_index, threads) as source:
        count, size = 0, None
        for pts, frame in source.timed_frames():
            if source.damaged or count == len(index) or pts != index.pts[count]:
                raise NotAsListed
            # Counting tells of fields and of other sizes, and only of counted frames are those beside them known.
            stored = (frame.width, frame.height)
            size = size or stored
            if stored != size or (frame.interlaced_frame and info.choice.deinterlace == "auto"):
                raise NotAsListed
            yield from map(shown.of, reader.if_wanted(count, frame))
            count += 1
            if reader.done and not whole:
                return
        if source.damaged or count < len(index):
            raise NotAsListed


def _read_images(
    info: VideoInfo, index: FrameIndex, places: Sequence[int], threads: int | None
) -> Iterator[Frame]:
    assert index.files is not None
    pictures = Pictures(base_of(info.path), index.files, index.checksums, (info.width, info.height))
    times_s = index.times_s
    for place, rgb, decoded in pictures.read(places, threads):
        yield Frame(index.frames[place], float(times_s[place]), rgb, decoded)


def _outside(info: VideoInfo, index: FrameIndex, asked: str) -> UsageError:
    return UsageError(
        f"{info.path} has {len(index)} frames, and {asked} is outside of them.",
        f"Ask for frames within 0:{len(index)}.",
    )


def _worth_a_seek(index: FrameIndex, current: int, wanted: int) -> bool:
    """Whether ``wanted`` is better reached by a seek than by decoding on from ``current``."""
    low, high = np.searchsorted(index.keyframes, (current, wanted), side="right")
    return wanted <= current or (wanted - current >= _LEAP_WORTH_A_SEEK and bool(low < high))


def _read_run(info: VideoInfo, index: FrameIndex, wanted: Sequence[int], threads: int | None) -> Iterator[Frame]:
    """Yield the frames of rising indices ``wanted``, beginning further back until they come as they should."""
    if not wanted:
        return
    shown = _Shown(info, index)
    if not has_fields(info, index):
        yield from map(shown.of, _read_placed(info, index, wanted, threads))
        return
    asked, near = set(wanted), neighbours(wanted, len(index))
    placed = _read_placed(info, index, near, threads)
    for whole in deinterlaced(placed, all_of_them=info.choice.deinterlace == "on"):
        if whole.place in asked:
            yield shown.of(whole)


def has_fields(info: VideoInfo, index: FrameIndex) -> bool:
    """Whether frames are to be deinterlaced: as asked, or where any of those that were counted says so."""
    stated = index.interlaced > 0 if index.source == "decoded" else info.interlaced
    return info.choice.deinterlace == "on" or (info.choice.deinterlace == "auto" and stated)


def _read_placed(
    info: VideoInfo, index: FrameIndex, wanted: Sequence[int], threads: int | None
) -> Iterator[RawFrame]:
    reader = _RunReader(info, index, wanted, 1 if index.damaged else threads)
    for entry in _entries(index, wanted[0]):
        yield from reader.read_from(entry)
        if reader.done:
            return
    yield from reader.read_from_start()


class _Shown:
    """Makes a frame's picture what is shown, at its time."""

    def __init__(self, info: VideoInfo, index: FrameIndex) -> None:
        self._path, self._index = info.path, index
        stored = info.orientation.shown_size(info.width, info.height)
        self._upright = UprightRgb(*stored, info.orientation, info.colours)

    def of(self, placed: RawFrame) -> Frame:
        time_s = float(int(self._index.rising_pts[placed.place]) * self._index.time_base)
        try:
            return Frame(placed.place, time_s, self._upright.of(placed.frame), placed.decoded)
        except VideoError as error:
            raise VideoError(f"{self._path} cannot be shown. {error.problem}", error.remedy) from error


def _entries(index: FrameIndex, start: int) -> Iterator[int]:
    """Yield where to begin decoding for frame ``start``: key frames ever further back."""
    before = index.keyframes[: np.searchsorted(index.keyframes, start, side="right")]
    back = 1
    while back <= len(before) and before[-back] > 0:
        yield int(before[-back])
        back *= 2


class _RunReader:
    """Delivers the frames of rising indices ``wanted``, each once, whatever entry points that takes."""

    def __init__(self, info: VideoInfo, index: FrameIndex, wanted: Sequence[int], threads: int | None) -> None:
        self._info = info
        self._index = index
        self._wanted = wanted
        self._threads = threads
        self._delivered = 0
        self._order = np.argsort(index.pts, kind="stable")
        self._sorted_pts = index.pts[self._order]

    @property
    def done(self) -> bool:
        return self._delivered == len(self._wanted)

    def if_wanted(self, position: int, frame: VideoFrame) -> Iterator[RawFrame]:
        """Yield the frame at ``position``, if it is the next one to deliver."""
        if not self.done and self._wanted[self._delivered] == position:
            yield self._deliver(frame, decoded=True)

    def read_from(self, entry: int) -> Iterator[RawFrame]:
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
        with OpenVideo(self._info.path, self._info.stream_index, self._threads) as source:
            if entry is not None and not source.seek(int(self._index.pts[entry])):
                return
            for pts, frame in source.timed_frames():
                position = self._position(pts, after)
                if source.damaged and self._threads != 1:
                    break
                if position is not None:
                    yield position, frame
                    after = position
            if not source.damaged or self._threads == 1:
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
