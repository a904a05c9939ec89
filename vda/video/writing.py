"""Clips: numpy pictures in, a video file out that is whole or absent."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


class ClipWriter:
    """Write pictures to a video file; a context manager. The file appears when the block ends without an error.

    Pictures are uint8 [height, width, 3] RGB, or uint8 / uint16 [height, width] grey for a grey ``pix_fmt``.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: Fraction,
        time_base: Fraction | None = None,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
    ) -> None:
        raise NotImplementedError

    def __enter__(self) -> "ClipWriter":
        return self

    def __exit__(self, *_: object) -> None: ...

    def write(self, picture: np.ndarray, pts: int | None = None) -> None:
        """Append a picture, shown at ``pts * time_base``, or one step after the previous where ``pts`` is None."""


def write_clip(path: Path, pictures: Iterable[np.ndarray], *, fps: Fraction, **settings: Any) -> None:
    """Write all pictures at a constant rate; ``settings`` are ``ClipWriter``'s."""
