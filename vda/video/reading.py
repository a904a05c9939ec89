"""Frames by index: a half-open range or a list of indices in, upright RGB pictures out.

How frames are found in the file is ``seeking``'s: a range comes out exactly as in reading from the start, in
memory that is constant in its length. What becomes of a decoded picture's pixels is the room ``picture``'s.
Frames that are to be deinterlaced are read with the frames beside them, so that they too come out as in reading
from the start.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vda.errors import UsageError, VideoError
from vda.picture.fields import RawFrame, deinterlaced, neighbours
from vda.picture.upright import UprightRgb
from vda.stills.naming import base_of
from vda.video.decoding import OpenVideo
from vda.video.index import FrameIndex
from vda.video.info import VideoInfo, require_same
from vda.video.opening import Decoder
from vda.video.seeking import RunReader, read_placed
from vda.video.sequence import Pictures, in_threads

R = TypeVar("R")

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
    yield from map(_Shown(info, index).of, _read_run(info, index, range(start, stop), threads))


def read_frame_list(
    info: VideoInfo, index: FrameIndex, indices: Sequence[int], *, threads: int | None = None
) -> Iterator[Frame]:
    """Yield the frames with these indices, in the order given, as ``read_frames`` does.

    Only these are converted to RGB. Rising indices are read in one go, but for leaps over key frames.
    """
    if info.is_sequence:
        yield from _read_images(info, index, index.places_of(list(map(int, indices))), threads)
    else:
        yield from map(_Shown(info, index).of, _read_runs(info, index, indices, threads))


def map_frame_list(
    work: Callable[[Frame], R],
    info: VideoInfo,
    index: FrameIndex,
    indices: Sequence[int],
    *,
    threads: int,
    decoder: Decoder | None = None,
) -> Iterator[R]:
    """Yield what ``work`` makes of the frames that ``read_frame_list`` gives, in that order.

    One thread decodes, or has a GPU's ``decoder`` do it; ``threads`` others make RGB of what is decoded and do the
    work, which has to bear that.
    """
    if info.is_sequence:
        yield from in_threads(work, read_frame_list(info, index, indices, threads=threads), threads)
        return
    shown = _Shown(info, index)
    yield from in_threads(
        lambda placed: work(shown.of(placed)), _read_runs(info, index, indices, threads, decoder), threads
    )


def _read_runs(
    info: VideoInfo,
    index: FrameIndex,
    indices: Sequence[int],
    threads: int | None,
    decoder: Decoder | None = None,
) -> Iterator[RawFrame]:
    """Yield a video's frames with these indices as they are decoded, in the order given."""
    wanted = [int(position) for position in indices]
    for position in wanted:
        if not 0 <= position < len(index):
            raise _outside(info, index, str(position))
    require_same(info)
    first = 0
    for last in range(1, len(wanted) + 1):
        if last == len(wanted) or _worth_a_seek(index, wanted[last - 1], wanted[last]):
            yield from _read_run(info, index, wanted[first:last], threads, decoder)
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
    reader, shown = RunReader(info, index, indices, threads), _Shown(info, index)
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


def _read_run(
    info: VideoInfo,
    index: FrameIndex,
    wanted: Sequence[int],
    threads: int | None,
    decoder: Decoder | None = None,
) -> Iterator[RawFrame]:
    """Yield the frames of rising indices ``wanted``, beginning further back until they come as they should."""
    if not wanted:
        return
    if not has_fields(info, index):
        yield from read_placed(info, index, wanted, threads, decoder)
        return
    asked, near = set(wanted), neighbours(wanted, len(index))
    placed = read_placed(info, index, near, threads)
    for whole in deinterlaced(placed, all_of_them=info.choice.deinterlace == "on"):
        if whole.place in asked:
            yield whole


def has_fields(info: VideoInfo, index: FrameIndex) -> bool:
    """Whether frames are to be deinterlaced: as asked, or where any of those that were counted says so."""
    stated = index.interlaced > 0 if index.source == "decoded" else info.interlaced
    return info.choice.deinterlace == "on" or (info.choice.deinterlace == "auto" and stated)


class _Shown:
    """Makes a frame's picture what is shown, at its time; in many threads at once, of the same frame too."""

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
