"""Frames by index: a half-open range or a list of indices in, upright RGB pictures out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vda.video.index import FrameIndex
from vda.video.info import VideoInfo


@dataclass(frozen=True, eq=False)
class Frame:
    """One upright picture: ``rgb`` uint8 [height, width, 3], shown at ``time_s`` on the file's own clock.

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
    """Yield frames ``start`` to ``stop`` (exclusive), in constant memory."""
    raise NotImplementedError


def read_frame_list(info: VideoInfo, index: FrameIndex, indices: Sequence[int]) -> Iterator[Frame]:
    """Yield the frames with these indices, in the order given; repeated indices are allowed."""
    raise NotImplementedError
