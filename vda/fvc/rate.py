"""Which frames of a video make its scaled video, and when each is shown: by time, not by counting.

In: a video's frame index and what was asked. Out: indices, times, and what is odd about the times, in sentences.
A rate of another kind is here too: how often costly work is worth doing (``Cadence``). This file does not know
pictures.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np

from vda.errors import UsageError
from vda.records import Within, require_sound
from vda.video import FrameIndex, VideoInfo, stated_rate
from vda.video.rates import nearest_frames, plain_rate

UNSTATED_FPS = Fraction(30)
_VARIES = 0.02
# The part of the time that work may take whose cost grows with all that was done before.
_SHARE = 0.05
# Rates are fractions with a denominator of up to 1001; a faster camera's video would fill the memory with ticks.
Fps = Annotated[float, Within(0.001, 1000)]


@dataclass(frozen=True)
class Rate:
    """``fps`` frames a second, or every ``stride``-th frame's time; neither: all frames. The first ``most``.

    ``cfr``: a rate that varies is made constant, by showing frames longer and leaving others out.
    """

    fps: Fps | None = None
    stride: Annotated[int, Within(1)] = 1
    most: Annotated[int, Within(1)] | None = None
    cfr: bool = False

    def __post_init__(self) -> None:
        require_sound(self, most="max-frames")
        if self.fps is not None and self.stride != 1:
            raise UsageError("A rate is given by --fps or by --stride, not by both.", "Leave one of them out.")

    @property
    def is_own(self) -> bool:
        return self.fps is None and self.stride == 1


@dataclass(frozen=True, eq=False)
class Timing:
    """``indices`` int64 [n] rise, and repeat where a frame is shown for several; ``fps`` is what a file states.

    ``pts`` int64 [n] counts ``time_base`` from 0 and rises, or is None where the frames follow each other at
    ``fps``.
    """

    indices: np.ndarray
    fps: Fraction
    pts: np.ndarray | None = None
    time_base: Fraction | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    def time_of(self, place: int) -> int | None:
        return None if self.pts is None else int(self.pts[place])

    @property
    def is_vfr(self) -> bool:
        """Whether the frames have times of their own."""
        return self.pts is not None

    @property
    def times_s(self) -> np.ndarray:
        """When each frame is shown, float64 [n], in seconds from 0."""
        if self.pts is None or self.time_base is None:
            return np.arange(len(self)) / float(self.fps)
        return self.pts * float(self.time_base)

    @property
    def mean_fps(self) -> float:
        """Frames per second over the whole video: frames come 1 / ``mean_fps`` seconds apart on average."""
        if self.pts is None or len(self) < 2:
            return float(self.fps)
        return (len(self) - 1) / float(self.times_s[-1])

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last, which is taken to last as frames do on average."""
        return len(self) / self.mean_fps


def time_frames(info: VideoInfo, index: FrameIndex, rate: Rate) -> Timing:
    """Choose the frames of a video whose own times may be uneven, or absent.

    With a rate the frame shown is the nearest in time to each tick of it, the earlier of two as near.
    """
    fps, times_s, notes = _clock(info, index)
    frames = np.asarray(index.frames, np.int64)
    if rate.is_own:
        every = np.arange(len(index))[: rate.most]
        if times_s is None or not notes:
            return Timing(frames[every], fps, notes=notes)
        if not rate.cfr:
            pts = index.rising_pts[every] - index.rising_pts[0]
            return Timing(frames[every], fps, pts, index.time_base, notes)
    wanted = plain_rate(rate.fps) if rate.fps else fps / rate.stride
    if times_s is None:
        times_s = np.arange(len(index)) / float(fps)
    return Timing(frames[nearest_frames(times_s, wanted)[: rate.most]], wanted, notes=notes)


def _clock(info: VideoInfo, index: FrameIndex) -> tuple[Fraction, np.ndarray | None, tuple[str, ...]]:
    """The rate, the times in seconds from 0 (None where the file has none that rise), and what is odd."""
    steps = np.diff(index.pts)
    if not (steps > 0).any():
        # What a container computes of several frames that are shown at once is no rate.
        stated = stated_rate(info) if len(index) == 1 else None
        note = () if stated else (f"The file gives no frame rate: taken as {UNSTATED_FPS} a second.",)
        return stated or UNSTATED_FPS, None, note
    rising = index.rising_pts
    times_s = (rising - rising[0]) * float(index.time_base)
    return index.frame_rate(info.fps), times_s, _unevenness(np.diff(rising), index.time_base)


def _unevenness(steps: np.ndarray, time_base: Fraction) -> tuple[str, ...]:
    """Steps that differ by more than the file's clock rounds."""
    median = float(np.median(steps))
    rounding = min(1.0, 0.4 * median)  # of a coarse clock one tick is a frame of its own
    if np.abs(steps - median).max() <= max(rounding, _VARIES * median):
        return ()
    shortest, longest = (float(step * time_base) * 1000 for step in (int(steps.min()), int(steps.max())))
    return (f"The frame rate varies: a frame lasts {shortest:.0f} to {longest:.0f} ms.",)


@dataclass
class Cadence:
    """Makes a file at once, and again when it has cost no more than a twentieth of the time since.

    When it was last made is asked of the file: of many processes that make it in turn, all together spend no more.
    """

    _cost_s: float = 0.0

    def maybe(self, do: Callable[[], None], made: Path) -> None:
        if time.time() - _made_at(made) < self._cost_s / _SHARE:
            return
        began = time.monotonic()
        do()
        self._cost_s = time.monotonic() - began


def _made_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")
