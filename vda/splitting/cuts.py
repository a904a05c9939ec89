"""Where a film cuts: its own frames in, the first frames of shots out.

The detector is PySceneDetect's, which is fed here and never opens a video itself: a frame begins a shot where the
picture's lightness changes far more than in the frames around it. A flash is no cut: the picture behind it is the
one before it. Neither are fades and dissolves, whose changes are all alike. Shots of fewer than five frames may be
missed. This file does not know what becomes of shots.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from vda.errors import UsageError
from vda.reporter import Reporter
from vda.video import FrameIndex, VideoInfo, read_frames

# The detector takes means over all pixels; finer pictures give the same figures more slowly.
_SIDE = 160
# Frames on either side that a change is held against: PySceneDetect's own default, as its threshold is.
_AROUND = 2
# Photographers' lights and lightning last some hundredths of a second.
_FLASH_SECONDS = Fraction(16, 100)
_LEAST_FLASH = 4
# Behind a cut the picture differs from the one before it as much as the cut itself does, but for motion.
_RETURNS = 0.6


def require_detector() -> None:
    """Raise ``UsageError`` where the package that finds cuts is not installed."""
    if find_spec("scenedetect") is None:
        raise UsageError(
            "Finding cuts needs PySceneDetect, which is not installed.",
            "Install it with 'pip install scenedetect-headless', or give a list of shots: --shots FILE.",
        )


def find_cuts(
    info: VideoInfo, index: FrameIndex, frames: tuple[int, int], reporter: Reporter, threads: int | None = None
) -> list[int]:
    """The frames in the half-open range ``frames`` that begin a shot, but for the first, rising."""
    start, end = index.range_of(frames)
    seen = index.frames[start:end]
    reporter.begin("looking for cuts", len(seen))
    finder = CutFinder(index.frame_rate(info.fps))
    cuts: list[int] = []
    for done, frame in enumerate(read_frames(info, index, *frames, threads=threads), start=1):
        cuts += finder.see(frame.rgb)
        reporter.at(done)
    return [seen[place] for place in (*cuts, *finder.finish())]


@dataclass
class CutFinder:
    """Sees the frames of a film of ``fps`` frames per second in order, and tells where it cuts.

    No more than a few small pictures are kept.
    """

    fps: Fraction
    _seen: int = 0
    _last: np.ndarray | None = None
    _kept: dict[int, np.ndarray] = field(default_factory=dict)
    _pending: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._flash = max(_LEAST_FLASH, round(self.fps * _FLASH_SECONDS))
        self._detect = _detector()

    def see(self, rgb: np.ndarray) -> Iterator[int]:
        """Take the next frame, uint8 [height, width, 3]; yield the places, from 0, of cuts that are certain."""
        self._last = small = _small(rgb)
        # Neighbours that the first frame lacks: without them a cut right behind it would not be looked at.
        for _ in range(_AROUND if self._seen == 0 else 0):
            self._take(small)
        self._kept[self._seen] = small
        self._seen += 1
        self._take(small)
        self._kept.pop(self._seen - 2 * self._flash - 2 * _AROUND - 2, None)
        while self._pending and self._pending[0] + self._flash < self._seen:
            yield from self._decided(self._pending.popleft())

    def finish(self) -> Iterator[int]:
        """Yield the cuts that were not certain before the film's end."""
        if self._last is not None:
            for _ in range(_AROUND):
                self._take(self._last)
        while self._pending:
            yield from self._decided(self._pending.popleft())

    def _take(self, small: np.ndarray) -> None:
        self._pending.extend(place for place in self._detect(small) if 0 < place < self._seen)

    def _decided(self, cut: int) -> Iterator[int]:
        """Yield ``cut`` unless it is a flash: what was before it comes back, or what is behind it was there."""
        jump = self._change(cut - 1, cut)
        back = [self._change(cut - 1, later) for later in range(cut + 1, cut + 1 + self._flash)]
        forth = [self._change(earlier, cut) for earlier in range(cut - 1 - self._flash, cut - 1)]
        if min([*back, *forth], default=np.inf) > _RETURNS * jump:
            yield cut

    def _change(self, first: int, second: int) -> float:
        if first not in self._kept or second not in self._kept:
            return float("inf")
        return float(cv2.absdiff(self._kept[first], self._kept[second]).mean())


def _small(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    share = min(1.0, _SIDE / max(height, width))
    size = max(round(width * share), 1), max(round(height * share), 1)
    # Lightness alone, for the hue of what is nearly black is noise and fades to black would be cuts. And grey: the
    # detector's own lightness is a colour's largest part, which white and any bright colour have in common.
    return cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


def _detector() -> Callable[[np.ndarray], list[int]]:
    """A function that takes frames one by one and gives the places of those that differ from all around them."""
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors import AdaptiveDetector

    detector = AdaptiveDetector(luma_only=True, min_scene_len=1, window_width=_AROUND)
    count = 0

    def detect(small: np.ndarray) -> list[int]:
        nonlocal count
        # The rate is of no consequence, for all that is asked are numbers of frames.
        time: Any = FrameTimecode(count, 25.0)
        count += 1
        found = detector.process_frame(time, cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
        return [cut.frame_num - _AROUND for cut in found]

    return detect
