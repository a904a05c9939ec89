"""The exact frame index: which frames really decode, and when each is shown.

A ``VideoInfo`` goes in; a ``FrameIndex`` comes out, cached so that no stage and no later run counts again. Packets
are not frames (edit lists, hidden frames and damage make them differ without any error), so every frame is decoded
once, without converting pixels. This file does not know RGB or ranges.
"""

import hashlib
import json
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from vda.errors import InputError, StorageError, UsageError, VideoError
from vda.files import DAMAGED_ARRAYS, array_in, atomic_writer, damage, user_cache
from vda.records import Count, Index, Rate, Side, filled
from vda.reporter import Reporter, Silence
from vda.video.damage import notes_on
from vda.video.decoding import OpenVideo, frame_checksum
from vda.video.info import VideoInfo
from vda.video.rates import rising_times, true_frame_rate
from vda.video.sequence import Listing, count_images, list_images

# Part of the cache's key: raised whenever what is cached changes, so that older files are not found.
_FORMAT_VERSION = 5
# Their name in files says what they are: other sums would make every picture of a film look like another.
_CHECKSUMS = "crc32"
# Differences of such times still have 64 bits.
_MOST_TICKS = float(1 << 61)
# 68 years; of longer ones no frame rate has 32 bits, as FFmpeg's have.
_LONGEST_S = 1 << 31


def _no_keyframes() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Times of a video's frames in presentation order.

    ``pts`` int64 [n] counts ``time_base`` (seconds) on the file's own clock: it may start anywhere, and in odd
    files it repeats or steps back: it finds frames again, and ``rising_pts`` shows them. ``source`` says whether
    the frames were decoded or taken from the container's sample table, ``notes`` in whole sentences what is wrong
    with the file. For the reader there are ``keyframes`` (int64 [k], indices where decoding can start),
    ``checksums`` (uint32 [n], ``decoding.frame_checksum``; None unless decoded) and ``damaged`` (frames were
    refused or incomplete, so that decoding depends on the threads).

    A frame's index is its place, from 0; but images keep the ``numbers`` (int64 [n], rising) in their own names.
    ``files`` (str [n]) are the images, below the folder that they are in; ``checksums`` are then of the files.

    ``interlaced`` is how many frames say that they are; ``sizes`` where a new size begins: frame, width and height
    as stored. Of frames that were not decoded nothing is known, and both are empty.
    """

    pts: np.ndarray
    time_base: Fraction
    source: Literal["decoded", "container"]
    notes: tuple[str, ...] = ()
    keyframes: np.ndarray = field(default_factory=_no_keyframes)
    checksums: np.ndarray | None = None
    damaged: bool = False
    numbers: np.ndarray | None = None
    files: np.ndarray | None = None
    interlaced: int = 0
    sizes: tuple[tuple[int, int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def rising_pts(self) -> np.ndarray:
        """int64 [n], ``pts`` where it rises; where it does not, as ``rates.rising_times`` says."""
        return rising_times(self.pts)[0]

    @property
    def times_s(self) -> np.ndarray:
        """float64 [n], seconds on the file's own clock, rising."""
        return self.rising_pts * float(self.time_base)

    @cached_property
    def frames(self) -> Sequence[int]:
        """The frame indices, in order."""
        return range(len(self)) if self.numbers is None else tuple(self.numbers.tolist())

    def places_of(self, indices: Sequence[int]) -> Sequence[int]:
        """The places, among all frames, of those with ``indices``; ``UsageError`` for an index that none has."""
        wanted = np.asarray(indices, np.int64)
        places, found = self._look_up(wanted)
        if not found.all():
            first, last = self.frames[0], self.frames[-1]
            raise UsageError(
                f"There is no frame {wanted[~found][0]}: the frames are {first} to {last}.",
                f"Ask for frames within {first}:{last + 1}" + ("." if self.numbers is None else ", without gaps."),
            )
        return [int(place) for place in places]

    def range_of(self, indices: tuple[int, int]) -> tuple[int, int]:
        """The half-open range of places of the frames in the half-open range ``indices``; else ``UsageError``."""
        first, last = self.frames[0], self.frames[-1]
        if not first <= indices[0] <= indices[1] <= last + 1:
            raise UsageError(
                f"The frames {indices[0]}:{indices[1]} are not in the video, whose frames are {first} to {last}.",
                f"Ask for frames A:B within {first}:{last + 1}.",
            )
        start, stop = np.searchsorted(self._indices, indices)
        return int(start), int(stop)

    def times_of(self, indices: np.ndarray) -> np.ndarray:
        """When frames (int64 [k]) are shown, float64 [k] in seconds; NaN for those that are none."""
        places, found = self._look_up(indices)
        return np.where(found, self.times_s[places], np.nan)

    def pts_of(self, index: int) -> int:
        """When a frame is shown, in units of ``time_base``."""
        return int(self.rising_pts[self.places_of([index])[0]])

    @cached_property
    def _indices(self) -> np.ndarray:
        return np.asarray(self.frames, np.int64)

    def _look_up(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places of ``indices``, and whether each is one."""
        places = np.searchsorted(self._indices, indices).clip(max=len(self) - 1)
        return places, self._indices[places] == indices

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's appearance to the end of the last, which is taken to last as most do."""
        if len(self) < 2:
            return 0.0
        steps = np.diff(self.rising_pts)
        return float((int(steps.sum()) + float(np.median(steps))) * self.time_base)

    def resized(self, frames: Sequence[int]) -> list[list[int]]:
        """Runs that are stored at another size than the first frame: first, stop, width and height.

        Only those from the first to the last of ``frames``, which rise.
        """
        ends = [*(first for first, _, _ in self.sizes[1:]), self.frames[-1] + 1][: len(self.sizes)]
        runs = [
            [max(first, frames[0]), min(stop, frames[-1] + 1), width, height]
            for (first, width, height), stop in zip(self.sizes, ends, strict=True)
            if (width, height) != self.sizes[0][1:]
        ]
        return [run for run in runs if run[0] < run[1]]

    def frame_rate(self, claimed: Fraction) -> Fraction:
        """Exact frames per second from the real times; ``claimed`` (``VideoInfo.fps``) where they bear it out."""
        # Images are at the rate that was stated, however many are left out.
        if self.files is not None and claimed * self.time_base == 1:
            return claimed
        return true_frame_rate(self.rising_pts, self.time_base, claimed)

    def save(self, path: Path) -> None:
        """Write an NPZ that ``load`` reads; it appears whole or not at all."""
        arrays: dict[str, Any] = {"pts": self.pts, "keyframes": self.keyframes}
        others = {_CHECKSUMS: self.checksums, "numbers": self.numbers, "files": self.files}
        arrays |= {name: array for name, array in others.items() if array is not None}
        facts = {
            "time_base": str(self.time_base),
            "source": self.source,
            "notes": self.notes,
            "damaged": self.damaged,
            "interlaced": self.interlaced,
            "sizes": self.sizes,
        }
        with atomic_writer(path) as handle:
            np.savez(handle, facts=json.dumps(facts), **arrays)

    @classmethod
    def load(cls, path: Path) -> "FrameIndex":
        """Read what ``save`` wrote; raise ``InputError`` for anything else."""
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
                facts = filled(_Facts, json.loads(str(array_in(stored, "facts"))))
                arrays = {name: array_in(stored, name) for name in stored.files if name != "facts"}
            checksums = arrays.pop(_CHECKSUMS, None)
            return _checked(cls(**arrays, checksums=checksums, **vars(facts)))
        except DAMAGED_ARRAYS as error:
            raise InputError(
                f"{path} is not a frame index: {damage(error)}.",
                "Run 'vda split' with the video and the scene again: the frames are counted, and nothing is lost.",
            ) from error


@dataclass(frozen=True)
class _Facts:
    """What a stored index says beside its arrays, as ``FrameIndex`` has it."""

    time_base: Rate
    source: Literal["decoded", "container"]
    notes: tuple[str, ...]
    damaged: bool
    interlaced: Count
    sizes: tuple[tuple[Index, Side, Side], ...]


def _checked(index: FrameIndex) -> FrameIndex:
    """``index`` itself; ``ValueError`` where its arrays are not what ``FrameIndex`` says of them."""
    count = len(_column("pts", index.pts, "i", None))
    keyframes = _column("keyframes", index.keyframes, "i", None)
    if index.checksums is not None:
        _column("checksums", index.checksums, "u", count)
    if index.files is not None:
        _column("files", index.files, "U", count)
    numbers = np.arange(count) if index.numbers is None else _column("numbers", index.numbers, "i", count)
    if (np.abs(index.pts.astype(np.float64)) > _MOST_TICKS).any():
        raise ValueError("its times are beyond all bounds")
    if count and int(np.ptp(index.pts)) * index.time_base > _LONGEST_S:
        raise ValueError("its frames are many years apart")
    if (np.diff(numbers) <= 0).any() or (numbers < 0).any() or not ((keyframes >= 0) & (keyframes < count)).all():
        raise ValueError("its frames do not rise, or it begins at frames that there are not")
    if any(not (count and numbers[0] <= first <= numbers[-1]) for first, _, _ in index.sizes):
        raise ValueError("frames that there are not have a size")
    return index


def _column(name: str, values: np.ndarray, kind: str, count: int | None) -> np.ndarray:
    if values.ndim != 1 or values.dtype.kind != kind or count not in (None, len(values)):
        raise ValueError(f"its {name} are {values.dtype} {list(values.shape)}")
    return values


def index_frames(
    info: VideoInfo,
    *,
    trust_container: bool = False,
    cache_dir: Path | None = None,
    threads: int | None = None,
    keep: bool = True,
    reporter: Reporter | None = None,
) -> FrameIndex:
    """Count and time the frames of ``info``'s stream, or find that in the cache.

    Every frame is decoded once, a damaged video's twice, so that what ``reporter`` is told, the count so far of
    what the container claims, may begin again. With ``trust_container`` only the packets are listed: that takes
    milliseconds, but some places may yield no picture, and near damage the pictures may differ between numbers of
    threads. ``cache_dir`` None is ``$XDG_CACHE_HOME/vda``, where ``keep`` False writes nothing; ``threads`` None
    are as many of the decoder's as FFmpeg thinks fit. Raises ``VideoError`` if there is not one frame.
    """
    reporter = reporter or Silence()
    reporter.begin("counting frames", info.claimed_frames or None)
    cached = _cache_file(info, trust_container, cache_dir)
    with suppress(InputError):  # absent or unreadable: count
        index = FrameIndex.load(cached)
        reporter.at(len(index))
        return index
    if info.is_sequence:
        index = _index_images(info, trust_container, threads, reporter)
        empty = f"There are no images in {info.path}.", "Check the path of the images."
    elif trust_container:
        index = _list_packets(info)
        empty = f"The container of {info.path} stores no frame times.", "Leave out --trust-container."
    else:
        index = _decode_all(info, reporter, threads)
        empty = f"Not one frame of {info.path} decodes.", "Check that the file is whole, or copy it again."
    if len(index) == 0:
        raise VideoError(*empty)
    if keep:
        with suppress(StorageError):  # a cache that cannot be written costs time in the next run, never a result
            index.save(cached)
    return index


def index_in_cache(info: VideoInfo, cache_dir: Path | None = None) -> FrameIndex | None:
    """The index of counted frames, where somebody counted them before."""
    try:
        return FrameIndex.load(_cache_file(info, False, cache_dir))
    except InputError:
        return None


def list_frames(info: VideoInfo) -> FrameIndex | None:
    """The index as the container has it, in milliseconds; None where reading the file shows that it is damaged.

    Where it fits what decodes (``read_listed``), it has the times and the notes that counting would give. None of
    images too: nothing lists them but their names.
    """
    if info.is_sequence:
        return None
    index = _list_packets(info)
    damaged = len(index) == 0 or index.damaged
    return None if damaged else replace(index, notes=index.notes[1:])


def _cache_file(info: VideoInfo, trust_container: bool, cache_dir: Path | None) -> Path:
    if cache_dir is None:
        cache_dir = user_cache() / "vda"
    # PyAV's version is in the key because another FFmpeg may make other frames out of a damaged file.
    identity = (
        _FORMAT_VERSION,
        av.__version__,
        str(info.path.resolve()),
        info.mtime_ns,
        info.size_bytes,
        info.sha256_head_tail,
        info.stream_index,
        trust_container,
        str(info.fps),
    )
    return cache_dir / f"frames-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.npz"


def _index_images(info: VideoInfo, trusting: bool, threads: int | None, reporter: Reporter) -> FrameIndex:
    if not trusting:
        listing = count_images(info.path, info.fps, (info.width, info.height), threads, reporter)
        return _of_listing(listing, "decoded")
    listing = list_images(info.path, info.fps)
    note = "The images were listed, not opened: those that are damaged, or of another size, were not found."
    return _of_listing(replace(listing, notes=(note, *listing.notes)), "container")


def _of_listing(listing: Listing, source: Literal["decoded", "container"]) -> FrameIndex:
    return FrameIndex(
        listing.pts,
        listing.time_base,
        source,
        listing.notes,
        # Every image can be read alone.
        np.arange(len(listing.pts), dtype=np.int64),
        listing.checksums,
        listing.damaged,
        listing.numbers,
        listing.names,
        sizes=listing.sizes,
    )


def _decode_all(info: VideoInfo, reporter: Reporter, threads: int | None = None) -> FrameIndex:
    pts, checksums, keyframes = array("q"), array("I"), array("q")
    interlaced = 0
    sizes: list[tuple[int, int, int]] = []
    with OpenVideo(info.path, info.stream_index, threads) as source:
        for time, frame in source.timed_frames():
            if frame.key_frame:
                keyframes.append(len(pts))
            if not sizes or sizes[-1][1:] != (frame.width, frame.height):
                sizes.append((len(pts), frame.width, frame.height))
            interlaced += frame.interlaced_frame
            pts.append(time)
            checksums.append(frame_checksum(frame))
            reporter.at(len(pts))
        # What a decoder makes of damage depends on its threads; only one thread gives the same frames every time.
        if (source.damaged or not pts) and threads != 1:
            return _decode_all(info, reporter, threads=1)
        return FrameIndex(
            np.array(pts, np.int64),
            source.time_base,
            "decoded",
            notes_on(source, info, np.array(pts, np.int64)),
            np.array(keyframes, np.int64),
            np.array(checksums, np.uint32),
            source.damaged,
            interlaced=interlaced,
            sizes=tuple(sizes),
        )


def _list_packets(info: VideoInfo) -> FrameIndex:
    pts, dts, key = array("q"), array("q"), array("b")
    with OpenVideo(info.path, info.stream_index) as source:
        for packet in source.packets():
            time = packet.dts if packet.pts is None or source.is_timed_by_decoding else packet.pts
            if not packet.is_discard and time is not None:
                pts.append(time)
                dts.append(time if packet.dts is None else packet.dts)
                key.append(packet.is_keyframe)
        order = _order_of_showing(np.array(pts, np.int64), np.array(dts, np.int64), source.time_base)
        times = np.array(pts, np.int64)[order]
        keyframes = np.flatnonzero(np.array(key, np.int8)[order])
        if source.is_timed_by_decoding:
            times = _brought_out(info, times, source.claimed_step)
        if source.is_timed_by_decoding or info.pixel_format == "pal8":
            # How packets were packed, and a palette, may be told once, in the first packet: a seek loses it, and
            # without checksums nobody would notice.
            keyframes = _no_keyframes()
        notes = (
            "The frames were taken from the container's sample table, not counted.",
            *notes_on(source, info, times),
        )
        damaged = source.read_errors > 0
        return FrameIndex(times, source.time_base, "container", notes, keyframes, damaged=damaged)


def _order_of_showing(pts: np.ndarray, dts: np.ndarray, time_base: Fraction) -> np.ndarray:
    """Decoding time leaps back only where recordings were strung together, each with a clock of its own."""
    recording = np.cumsum(np.diff(dts, prepend=dts[:1]) < -round(1 / time_base))
    return np.lexsort((pts, recording))


def _brought_out(info: VideoInfo, dts: np.ndarray, step: int) -> np.ndarray:
    """The times of the packets that bring out each frame, which come after its own by what the decoder holds."""
    with OpenVideo(info.path, info.stream_index) as source:
        first = next(source.timed_frames(), None)
    held = 0 if first is None else int(np.searchsorted(dts, first[0]))
    return np.concatenate([dts[held:], dts[-1:] + step * np.arange(1, held + 1)])
