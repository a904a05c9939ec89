"""Which frames of a video make a clip: by count or by time, anywhere or always in the same place.

In: the times of a video's frames, and (seed, epoch, index). Out: places of frames. The choice follows from these
numbers alone, so any worker of any process makes the same. This file does not know videos, nor torch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vda.errors import UsageError


@dataclass(frozen=True)
class ClipChoice:
    """Clips of ``frames`` frames: every ``stride``-th one, or, with ``fps``, those nearest to 1 / ``fps`` seconds.

    ``random``: anywhere in the video, by ``seed``; else from its middle.
    """

    frames: int = 16
    stride: int = 1
    fps: float | None = None
    random: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.stride < 1 or self.seed < 0 or not (self.fps is None or self.fps > 0):
            raise UsageError(
                f"A clip of {self.frames} frames with stride {self.stride}, rate {self.fps} and seed {self.seed} "
                "is not possible.",
                "Give at least one frame, a stride of 1 or more, a rate above 0 and a seed of 0 or more.",
            )
        if self.fps is not None and self.stride != 1:
            raise UsageError("A clip's frames are chosen by fps or by stride, not by both.", "Leave one out.")

    def places(
        self, times_s: NDArray[np.float64], epoch: int, index: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Places of the frames in a video whose frames are shown at ``times_s`` (rising), int64 [frames].

        The second array, bool [frames], is False where the video ended before: its last frame stands there again.
        """
        share = np.random.default_rng([self.seed, epoch, index]).random() if self.random else 0.5
        if self.fps is not None:
            return self._by_time(times_s, self.fps, share)
        span = (self.frames - 1) * self.stride + 1
        starts = max(1, len(times_s) - span + 1)
        places = int(share * starts) + self.stride * np.arange(self.frames)
        return places.clip(max=len(times_s) - 1), places < len(times_s)

    def _by_time(
        self, times_s: NDArray[np.float64], fps: float, share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        room = max(0.0, float(times_s[-1] - times_s[0]) - (self.frames - 1) / fps)
        ticks = times_s[0] + share * room + np.arange(self.frames) / fps
        middles = (times_s[1:] + times_s[:-1]) / 2
        # A tick within half a step of the last frame is still that frame's.
        step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1 / fps
        return np.searchsorted(middles, ticks).astype(np.int64), ticks <= times_s[-1] + step / 2
