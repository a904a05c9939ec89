"""The sound of a film, copied beside pictures that are made of it: packets go over as they are.

In: a film and the frames that are shown of it. Out: packets whose times count from the first of these frames. What
MP4 does not hold in a way that players know is left out. This file does not know what the pictures show.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from vda.errors import VideoError
from vda.video.index import FrameIndex
from vda.video.info import VideoInfo
from vda.video.opening import open_container
from vda.video.rates import rising_times

# FFmpeg's names of codecs that players expect in MP4.
_HELD_BY_MP4: Final = ("aac", "mp3", "mp2", "ac3", "eac3", "alac", "flac", "opus")
# Files are entered so much earlier than is wanted, for not all are exact.
_EARLIER: Final = 2


@dataclass(frozen=True)
class Sound:
    """The sound of the film at ``path`` from ``start`` to ``end``, in seconds on its own clock; ``codec`` is
    FFmpeg's name of it. ``problem`` says why it is not copied (None: it is), ``said`` what became of it since.
    """

    path: Path
    start: Fraction
    end: Fraction
    codec: str
    problem: str | None = None
    said: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, info: VideoInfo, index: FrameIndex, frames: Sequence[int]) -> "Sound | None":
        """The sound that goes with ``frames`` (rising indices); None where the film has none."""
        found = None if info.is_sequence else _found_in(info.path)
        if found is None:
            return None
        codec, problem = found
        if rising_times(index.pts)[1]:
            problem = "The clock of the film jumps, so its sound would not stay with the pictures: it is left out."
        first, last = (index.pts_of(frame) * index.time_base for frame in (frames[0], frames[-1]))
        step = index.duration_s / max(len(index), 1)
        start, end = Fraction(first), Fraction(last) + Fraction(step).limit_denominator(1_000_000)
        return cls(info.path, start, end, codec, problem)

    def lost(self, seconds: Fraction) -> None:
        """Note that it broke off."""
        sentence = f"The film's sound is damaged {float(seconds):.1f} s after the first picture, and ends there."
        if sentence not in self.said:
            self.said.append(sentence)


def _found_in(path: Path) -> tuple[str, str | None] | None:
    """The codec of a film's sound, and what keeps it from being copied."""
    try:
        with open_container(path) as container:
            stream = container.streams.best("audio")
            if not isinstance(stream, AudioStream) or stream.codec_context is None:
                return None
            codec = stream.codec.canonical_name
            held = codec in _HELD_BY_MP4 and _fits(stream)
            return codec, None if held else f"The film's sound ({codec}) is left out: MP4 does not hold it."
    except (VideoError, av.FFmpegError):
        return None


def _fits(stream: AudioStream) -> bool:
    """Whether the head of an MP4 can be written for ``stream``: a damaged one lacks figures for it."""
    try:
        with av.open(BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


class SoundCopy:
    """The packets of one ``Sound`` on their way into one file; to be closed."""

    def __init__(self, sound: Sound, container: OutputContainer) -> None:
        self._sound = sound
        self._input = open_container(sound.path)
        stream = self._input.streams.best("audio")
        assert isinstance(stream, AudioStream) and stream.time_base is not None
        self._stream: AudioStream = stream
        self._time_base: Fraction = stream.time_base
        self._copy = container.add_stream_from_template(self._stream)
        self._begins = Fraction(0)
        self._packets = self._wanted()
        self._next = next(self._packets, None)

    def give_up(self) -> None:
        """End here: what was read cannot be written."""
        self._next = None
        self._sound.lost(self._begins)

    def close(self) -> None:
        self._input.close()

    def until(self, seconds: Fraction | None) -> Iterator[Packet]:
        """Yield what begins before ``seconds`` of the new file (None: all), as it is to be muxed."""
        while self._next is not None:
            self._begins, packet = self._next
            if seconds is not None and self._begins >= seconds:
                return
            yield packet
            if self._next is None:
                return
            self._next = next(self._packets, None)

    def _wanted(self) -> Iterator[tuple[Fraction, Packet]]:
        """Packets from the first frame to the end of the last, with the time at which each begins."""
        moved = round(self._sound.start / self._time_base)
        last = None
        self._seek(self._sound.start - _EARLIER)
        for packet in self._readable():
            if packet.pts is None:
                continue
            begins = (packet.pts - moved) * self._time_base
            if begins >= self._sound.end - self._sound.start:
                return
            # What began before the pictures do is left out whole; times that do not rise are not to be muxed.
            if packet.pts < moved or (last is not None and packet.pts <= last):
                continue
            last = packet.pts
            packet.pts -= moved
            packet.dts = packet.pts
            packet.stream = self._copy
            yield begins, packet

    def _seek(self, seconds: Fraction) -> None:
        if seconds > 0:
            with suppress(av.FFmpegError):  # what cannot be sought in is read from its start
                self._input.seek(round(seconds / self._time_base), stream=self._stream)

    def _readable(self) -> Iterator[Packet]:
        """All packets, as far as the file can be read."""
        try:
            yield from self._input.demux(self._stream)
        except av.FFmpegError:
            self._sound.lost(self._begins)
