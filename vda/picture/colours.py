"""Which colours a video's numbers stand for: what a frame states and the user says, settled once for the video.

In: the first frame, and a ``SignalChoice``. Out: ``Colours``, which go into the video's record, so that whoever
reads its frames sees the same. This file does not convert pixels.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from vda.picture.signal import Matrix, Range, SignalChoice, Transfer

Primaries = Literal["bt709", "bt2020", "p3"]

_TRANSFERS: dict[int, Transfer] = {int(ColorTrc.SMPTE2084): "pq", int(ColorTrc.ARIB_STD_B67): "hlg"}
_PRIMARIES: dict[int, Primaries] = {int(ColorPrimaries.SMPTE432): "p3", int(ColorPrimaries.BT709): "bt709"}
_SMPTE170M = 6  # the same matrix as BT.601's; PyAV has no name for it
_MATRICES: dict[int, Matrix] = {
    int(Colorspace.ITU709): "bt709",
    int(Colorspace.ITU601): "bt601",
    _SMPTE170M: "bt601",
}
_UNSPECIFIED = 2
_DOLBY_TAGS = ("dvh1", "dvhe", "dav1")
# What PQ is mastered for where nothing is stated, and what HLG's nominal display has (BT.2100).
_USUAL_PEAK_NITS = 1000
_PQ_PEAK_NITS = 10_000
# Where AVMasteringDisplayMetadata has its greatest luminance, after 8 + 1 fractions, and whether that is stated.
_PEAK_PLACE, _HAS_PEAK_PLACE = 18, 21


@dataclass(frozen=True)
class Colours:
    """``matrix`` and ``range`` None: as each frame states. The rest is of high dynamic range alone.

    ``primaries`` are what red, green and blue are, ``peak_nits`` the brightest light (cd/m2) that is told apart.
    """

    transfer: Transfer = "sdr"
    matrix: Matrix | None = None
    range: Range | None = None
    primaries: Primaries = "bt709"
    peak_nits: int = 0

    @property
    def is_high_range(self) -> bool:
        return self.transfer != "sdr"


def settle_colours(frame: VideoFrame, choice: SignalChoice) -> Colours:
    """The colours of the video that begins with ``frame``: as ``choice`` has them, else as the frame states."""
    transfer = choice.transfer or _TRANSFERS.get(int(frame.color_trc), "sdr")
    if transfer == "sdr":
        return Colours("sdr", choice.matrix, choice.range)
    # A transfer that the user names is not what the stream states, so neither can be its matrix.
    stated = None if choice.transfer else _MATRICES.get(int(frame.colorspace))
    primaries = None if choice.transfer else _PRIMARIES.get(int(frame.color_primaries))
    if choice.matrix is not None:
        primaries = "bt2020" if choice.matrix == "bt2020" else "bt709"
    return Colours(
        transfer,
        choice.matrix or stated or "bt2020",
        choice.range or ("full" if int(frame.color_range) == int(ColorRange.JPEG) else "limited"),
        primaries or "bt2020",
        _peak_nits(frame) if transfer == "pq" else _USUAL_PEAK_NITS,
    )


def _peak_nits(frame: VideoFrame) -> int:
    """The mastering display's greatest luminance in cd/m2, which bounds what was meant to be seen."""
    stated = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if not isinstance(stated, SideData):
        return _USUAL_PEAK_NITS
    numbers = np.frombuffer(bytes(stated), np.int32)
    above, below = (int(number) for number in numbers[_PEAK_PLACE : _PEAK_PLACE + 2])
    if not numbers[_HAS_PEAK_PLACE] or below <= 0 or above <= 0:
        return _USUAL_PEAK_NITS
    return min(_PQ_PEAK_NITS, max(1, round(Fraction(above, below))))


def is_dolby_vision_5(frame: VideoFrame, codec_tag: str) -> bool:
    """Whether the pictures are Dolby Vision's own (profile 5), which no matrix turns into RGB.

    Its other profiles have a base picture in PQ, HLG or standard range, and state that; profile 5 states nothing.
    """
    dolby = frame.side_data.get("DOVI_METADATA") is not None or codec_tag in _DOLBY_TAGS
    return dolby and int(frame.color_trc) == int(frame.colorspace) == _UNSPECIFIED
