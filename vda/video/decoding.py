"""An open video stream: tolerant demuxing, decoding and seeking, and FFmpeg's errors in this project's words.

A path goes in; packets, decoded frames in the decoder's output order (which is presentation order), and counts of
what was damaged come out. This file does not know frame indices or RGB.
"""

import itertools
import math
import mmap
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream
from isal import isal_zlib

from vda.errors import VideoError
from vda.video.opening import open_container, open_on_device

# A cut-off file can raise once for every sample that is missing; damage in the middle is passed in fewer.
_MAX_CONSECUTIVE_READ_ERRORS = 64
# Twice the fastest standard rate. Containers that know no rate claim 1000 (flv) and more.
_MAX_SANE_FPS = 480
# A frame of 8K takes 50 MB, and each of a decoder's threads, as many as there are cores, holds one of its own.
_LARGE_PIXELS = 4096 * 2304
_LARGE_THREADS = 4
# A few pictures of 16 bits in three planes. What is asked for beyond half a GiB may be damage.
_HELD_BYTES_PER_PIXEL, _MOST_HELD_BYTES = 24, 1 << 29
# Every fourth byte of these is nothing, and may hold anything.
_PADDED = ("rgb0", "bgr0", "0rgb", "0bgr")
# FFmpeg's own assumption for streams without times.
_FALLBACK_FPS = Fraction(25)


class OpenVideo:
    """One video stream of an open file; a context manager.

    ``stream_index`` None takes the stream FFmpeg calls best; ``threads`` None lets FFmpeg choose. Damage never
    stops the reading but is counted: ``refused_packets`` that the decoder would not have, ``corrupt_frames`` that
    it marks as incomplete, ``read_errors``, places where the file itself could not be read, and at the end
    ``missing_pictures``, the packets that should have shown something and did not. With ``on_device`` a GPU
    decodes; FFmpeg's own errors and ``OSError`` say that it cannot.
    """

    def __init__(
        self,
        path: Path,
        stream_index: int | None = None,
        threads: int | None = None,
        *,
        on_device: bool = False,
    ) -> None:
        self.path = path
        self.packets_seen = 0
        self.packets_shown = 0
        self.refused_packets = 0
        self.corrupt_frames = 0
        self.read_errors = 0
        self.missing_pictures = 0
        self._from_start = True
        self._container = open_on_device(path) if on_device else open_container(path)
        try:
            self.stream = self._choose_stream(stream_index)
            # Asked before anything is decoded: then it is still the stream's own, and not the device's.
            self._stored_as = self.stream.codec_context.pix_fmt if on_device else None
            self.stream.thread_type = "NONE" if threads == 1 else "AUTO"
            self.stream.codec_context.thread_count = threads or self._affordable_threads()
        except BaseException:
            self._container.close()
            raise

    def _affordable_threads(self) -> int:
        """0, which is FFmpeg's own choice, but for large pictures: every thread holds some of them."""
        context = self.stream.codec_context
        return _LARGE_THREADS if context.width * context.height > _LARGE_PIXELS else 0

    def _choose_stream(self, stream_index: int | None) -> VideoStream:
        streams = self._container.streams
        stream = streams.best("video") if stream_index is None else streams[stream_index]
        if not isinstance(stream, VideoStream):
            raise VideoError(f"{self.path} holds no video stream.", "Give a file with pictures in it.")
        if stream.codec_context is None:
            raise VideoError(
                f"The video codec of {self.path} is not known to this FFmpeg.",
                "Convert it first, for example with `ffmpeg -i IN -c:v libx264 OUT.mp4`.",
            )
        return stream

    def __enter__(self) -> "OpenVideo":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def _require_memory(self, error: Exception) -> None:
        """Raise ``error`` where memory is short: damage makes a decoder ask for too much, and says the same."""
        if not isinstance(error, MemoryError):
            return
        context = self.stream.codec_context
        held = context.width * context.height * _HELD_BYTES_PER_PIXEL
        try:
            mmap.mmap(-1, min(max(held, 1), _MOST_HELD_BYTES)).close()
        except OSError:
            raise error from None

    def _require_plain(self, packet: Packet) -> None:
        """Refuse an encrypted packet: most do not decode, and now and then one does, to noise."""
        if packet.has_sidedata("encryption_info"):
            raise VideoError(f"{self.path} is encrypted.", "Decrypt it first, with its key.")

    @property
    def damaged(self) -> bool:
        return self.refused_packets + self.corrupt_frames + self.read_errors + self.missing_pictures > 0

    @property
    def time_base(self) -> Fraction:
        stated = self.stream.time_base
        return Fraction(stated.numerator, stated.denominator) if stated else Fraction(1, av.time_base)

    @property
    def format_name(self) -> str:
        """FFmpeg's name of the container's format."""
        return self._container.format.name

    @property
    def is_timed_by_decoding(self) -> bool:
        """Whether the container stores no times of presentation, only an order of decoding that differs from it.

        AVI has a place per packet and nothing else; what FFmpeg guesses of B-frames' times steps back.
        """
        return self.format_name == "avi" and self.stream.codec_context.has_b_frames

    @property
    def stated_fps(self) -> Fraction | None:
        """The container's frame rate, or the codec's where the container's is absent or absurd (flv: 1000)."""
        for rate in (self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate):
            if rate and 0 < rate <= _MAX_SANE_FPS:
                return Fraction(rate.numerator, rate.denominator)
        return None

    @property
    def claimed_fps(self) -> Fraction:
        """The stated frame rate, or 25 where none is stated."""
        return self.stated_fps or _FALLBACK_FPS

    @property
    def claimed_step(self) -> int:
        """The time from frame to frame by the claimed rate, in units of ``time_base``."""
        return max(1, round(1 / (self.claimed_fps * self.time_base)))

    @property
    def claimed_end(self) -> Fraction | None:
        """When the stream should end, in seconds of the file's own clock; None where that is not said."""
        if self.stream.duration is not None:
            return (self.stream.start_time or 0) * self.time_base + self.stream.duration * self.time_base
        if self._container.duration is not None and len(self._container.streams) == 1:
            start = self._container.start_time or 0
            return Fraction(start + self._container.duration, av.time_base)
        return None

    def seek(self, pts: int) -> bool:
        """Go to a key frame at or before ``pts`` if the file allows it; where it really lands, the frames tell."""
        try:
            self._container.seek(pts, stream=self.stream)
        except (av.FFmpegError, OSError):
            return False
        self._from_start = False
        return True

    def packets(self) -> Iterator[Packet]:
        """Yield the stream's packets that hold data; raise ``VideoError`` if they are encrypted."""
        errors_in_a_row = 0
        while errors_in_a_row < _MAX_CONSECUTIVE_READ_ERRORS:
            try:
                for packet in self._container.demux(self.stream):
                    errors_in_a_row = 0
                    # Empty packets stand for repeated pictures in some formats; to the decoder they mean the end.
                    if packet.size:
                        self._require_plain(packet)
                        self.packets_seen += 1
                        # Packets that an edit list cuts away are needed for decoding but never shown.
                        self.packets_shown += not packet.is_discard
                        yield packet
                break
            except (av.FFmpegError, OSError, IndexError) as error:
                self._require_memory(error)
                # Asking again continues behind the damage, if the format can find its footing there. An index is
                # out of range where damage makes a stream appear that the header does not have.
                self.read_errors += 1
                errors_in_a_row += 1

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame that decodes; a packet the decoder refuses is skipped and counted."""
        shown = 0
        for packet in itertools.chain(self.packets(), [None]):  # None makes the decoder give up what it holds
            if packet is not None and packet.is_corrupt and self.stream.codec_context.name == "rawvideo":
                # Cut short: the decoder would show whatever the memory behind it holds.
                self.refused_packets += 1
                continue
            try:
                decoded = self.stream.codec_context.decode(packet)
            except av.FFmpegError as error:
                self._require_memory(error)
                self.refused_packets += 1
                continue
            for frame in decoded:
                shown += 1
                self.corrupt_frames += frame.is_corrupt
                yield as_stored(frame, self._stored_as)
        # Frame threads can lose frames without a word when the damage comes in the last packets.
        self.missing_pictures = max(0, self.packets_shown - self.refused_packets - shown)

    def timed_frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frames with their pts, in units of ``time_base``.

        Frames that are timed by decoding have the time of the packet that brought them out, which is FFmpeg's best
        effort for them and rises. Formats that store no times get them from the frame rate, which is possible
        only from the first frame on: after a seek, nothing comes out of them.
        """
        step = self.claimed_step
        previous = -step if self._from_start else None
        by_decoding = self.is_timed_by_decoding
        for frame in self.frames():
            stated = frame.dts if by_decoding else frame.pts
            if stated is not None:
                previous = stated
            elif previous is not None:
                previous += step
            if previous is None:
                return
            yield previous, frame


def as_stored(frame: VideoFrame, stored_as: str | None) -> VideoFrame:
    """Return ``frame`` in the stream's own pixel format (None: it is), the same values in other places.

    Devices give two planes (nv12, p010) where a stream has three (yuv420p).
    """
    if stored_as is None or frame.format.name == stored_as:
        return frame
    # Named, for FFmpeg would take what is not stated for something else than what it writes.
    kept = {"src_color_range": frame.color_range, "dst_color_range": frame.color_range}
    return frame.reformat(format=stored_as, threads=1, **kept)


def frame_checksum(frame: VideoFrame) -> int:
    """Return 32 bits that tell this picture from another: the CRC-32 of all that becomes RGB, planes and palette.

    ISA-L's, which reads planes as fast as memory gives them: it counts when a million frames are indexed.
    """
    if frame.format.name in _PADDED:
        frame = frame.reformat(format="rgb24", threads=1)
    checksum = 0
    for plane, bits in zip(frame.planes, _bits_of_planes(frame.format.name), strict=False):
        checksum = isal_zlib.crc32(_pixels(plane, bits), checksum)
    return checksum


@cache
def _bits_of_planes(name: str) -> tuple[int, ...]:
    """How many bits each plane of a pixel format has for a pixel of its own; a palette has 32 for a colour."""
    layout = VideoFormat(name)
    if layout.has_palette:
        return 8, 32
    if not layout.is_planar:
        return (layout.padded_bits_per_pixel,)
    planes = max(component.plane for component in layout.components) + 1
    return tuple(
        sum(8 * math.ceil(component.bits / 8) for component in layout.components if component.plane == plane)
        for plane in range(planes)
    )


def _pixels(plane: VideoPlane, bits: int) -> npt.NDArray[np.uint8]:
    """A plane's bytes, without the padding of its rows."""
    rows = np.frombuffer(memoryview(plane), np.uint8)
    # A palette has no lines: it is one row of 256 colours.
    if not plane.line_size:
        return rows
    rows = rows.reshape(plane.height, abs(plane.line_size))
    # Copied only where there is padding.
    return np.ascontiguousarray(rows[:, : math.ceil(plane.width * bits / 8)])
