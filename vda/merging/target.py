"""What outputs are made of: a frame in the making, where it goes, and how it is to look.

In and out: plain records. This file does not know which outputs there are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vda.depthmaps.codes import Codes, Float32Array
from vda.depthmaps.colours import Rgb
from vda.depthmaps.usage import Counts
from vda.picture.framing import Framing
from vda.stereo.style import StereoStyle
from vda.video import ClipWriter, Sound


@dataclass(frozen=True)
class MergedFrame:
    """One frame: its depth and codes, and how many pixels have no value.

    None is what nobody wants. ``counts`` are how often each code occurs (``code_counts``).
    """

    index: int
    depth: Float32Array | None = None
    codes: Codes | None = None
    counts: Counts | None = None
    missing: bool = False
    invalid: int = 0
    clipped: int = 0


@dataclass(frozen=True)
class Target:
    """Where outputs go, and what they need to know of the video.

    ``shape`` is (height, width); ``time_of`` gives a frame's time in units of ``time_base`` (None: a constant
    rate). ``pictures`` yields the video's frames, RGB, for a picture beside the depth. ``pixel_aspect`` is the
    width of a pixel by its height, ``resized`` the runs of frames that were stored at another size, ``sound`` what
    is heard with them. ``framing_of`` a frame says which part of it has depth.
    """

    folder: Path
    frames: Sequence[int]
    shape: tuple[int, int]
    fps: Fraction
    time_base: Fraction | None = None
    time_of: Callable[[int], int | None] = lambda index: None
    pictures: Callable[[], Iterator[Rgb]] | None = None
    pixel_aspect: Fraction = Fraction(1)
    resized: Sequence[list[int]] = ()
    sound: Sound | None = None
    framing_of: Callable[[int], Framing] | None = None


@dataclass(frozen=True)
class Look:
    """How depth is shown in colours: ``shown`` is the range of inverse depth (None: all of the codes')."""

    colormap: str
    shown: tuple[float, float] | None = None
    side_by_side: bool = False


@dataclass(frozen=True)
class StereoLook:
    """How two views are made: of depth between ``shown`` (as of ``Look``), with edges ``radius`` pixels soft."""

    style: StereoStyle
    shown: tuple[float, float] | None
    radius: int


def open_clip(target: Target, name: str, stack: ExitStack, **settings: Any) -> ClipWriter:
    """Open a video with the times of ``target``, which is whole when ``stack`` is left without an error."""
    writer = ClipWriter(
        target.folder / name,
        fps=target.fps,
        time_base=target.time_base,
        pixel_aspect=target.pixel_aspect,
        **settings,
    )
    return stack.enter_context(writer)


def given(array: np.ndarray | None) -> np.ndarray:
    """What a frame has, for an output that asked for it."""
    assert array is not None
    return array
