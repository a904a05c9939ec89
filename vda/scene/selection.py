"""Which frames of a video are used: every N-th, or about so many a second.

In: how it was asked, and when the frames are shown. Out: the indices of the frames that are used. This file does
not know what they are used for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vda.errors import UsageError


@dataclass(frozen=True)
class Thinning:
    """Every ``stride``-th frame, or those nearest to ``fps`` ticks a second; both count from the first frame used.

    Raises ``UsageError`` for numbers that make no sense, and for both at once.
    """

    stride: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.stride is not None and self.fps is not None:
            raise UsageError("Frames are picked by --stride or by --fps, not both.", "Leave one of them out.")
        if self.stride is not None and self.stride < 1:
            raise UsageError(f"A stride of {self.stride} is not possible.", "Give --stride 1 or more.")
        if self.fps is not None and not (self.fps > 0 and np.isfinite(self.fps)):
            raise UsageError(f"{self.fps:g} frames per second are not possible.", "Give an --fps above 0.")

    @property
    def leaves_out(self) -> bool:
        """Whether anything is left out."""
        return self != Thinning()

    def __str__(self) -> str:
        return f"one frame in {self.stride}" if self.stride else f"about {self.fps:g} frames per second"

    def pick(self, times_s: np.ndarray, first: int) -> "FrameSelection":
        """Pick from frames shown at ``times_s`` (float64 [n], rising); ``first`` is the first one's index."""
        if self.fps is None:
            places = range(0, len(times_s), self.stride or 1)
        else:
            from vda.video.rates import nearest_frames

            places = np.unique(nearest_frames(times_s - times_s[0], self.fps)).tolist()
        return FrameSelection(self, tuple(first + place for place in places))


@dataclass(frozen=True)
class FrameSelection:
    """``frames`` are rising indices of the video's frames, picked by ``thinning``.

    Images have indices with gaps, so that of a sequence all frames may be listed without any being left out.
    """

    thinning: Thinning
    frames: tuple[int, ...]

    def is_of(self, frame_range: tuple[int, int]) -> bool:
        """Whether the frames rise and lie in the range, which the first of them begins."""
        rises = bool((np.diff(self.frames) > 0).all())
        return rises and self.frames[0] == frame_range[0] and self.frames[-1] < frame_range[1]

    def to_json(self) -> dict[str, Any]:
        return {"stride": self.thinning.stride, "fps": self.thinning.fps, "frames": list(self.frames)}

    @property
    def thinning_json(self) -> dict[str, Any] | None:
        """What was asked, without the frames; None where none were left out."""
        return {"stride": self.thinning.stride, "fps": self.thinning.fps} if self.thinning.leaves_out else None

    @classmethod
    def from_json(cls, value: Any) -> "FrameSelection":
        """Read what ``to_json`` gives. Raises ``TypeError``, ``KeyError`` or ``ValueError`` for anything else."""
        frames = tuple(value["frames"])
        if not frames or not all(type(frame) is int for frame in frames):
            raise ValueError("the selection has no frames, or they are no whole numbers")
        try:
            return cls(Thinning(value["stride"], value["fps"]), frames)
        except UsageError as error:
            raise ValueError(error.problem) from error
