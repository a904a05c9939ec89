"""The exact frame index: which frames really decode, and when each is shown.

A ``VideoInfo`` goes in; a ``FrameIndex`` comes out, cached so that no stage and no later run counts again. Packets
are not frames (edit lists, hidden frames and damage make them differ without any error), so every frame is decoded
once, without converting pixels. This file does not know RGB or ranges.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from vda.video.info import VideoInfo


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Times of a video's frames in presentation order.

    ``pts`` int64 [n] counts ``time_base`` (seconds) on the file's own clock: it may start above 0, and in odd
    files it repeats or steps back. ``source`` says whether the frames were decoded or taken from the container's
    sample table, ``notes`` in words what is wrong with the file.
    """

    pts: np.ndarray
    time_base: Fraction
    source: Literal["decoded", "container"]
    notes: tuple[str, ...] = ()
    keyframes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    checksums: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def times_s(self) -> np.ndarray:
        """float64 [n], seconds on the file's own clock."""
        return self.pts * float(self.time_base)


def index_frames(
    info: VideoInfo,
    *,
    trust_container: bool = False,
    cache_dir: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> FrameIndex:
    """Count and time the frames of ``info``'s stream; ``progress`` is called with the count so far."""
    raise NotImplementedError
