"""What the parts of ``depth.json`` have to be, where something is looked up in them.

Merges of several kinds write more into them than this: what nobody looks up is nobody's harm and stays as it is.
This file does not know what the parts are looked up for.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from vda.records import Index, Positive, ShapeError, Side, Within, filled

_Code = Annotated[float, Within(0, (1 << 16) - 1)]
# More uneven than any pixel is.
_Aspect = Annotated[Fraction, Within(Fraction(1, 1 << 20), 1 << 20)]


@dataclass(frozen=True)
class _ChunkPart:
    start_frame: Index
    scale: float
    shift: float


@dataclass(frozen=True)
class _ShotPart:
    start_frame: Index
    end_frame: Index
    scale: list[float] | None = None
    shift: list[float] | None = None
    chunks: list[_ChunkPart] | None = None


@dataclass(frozen=True)
class _SettingsPart:
    frame_range: tuple[Index, Index] | None = None
    net_width: Side | None = None
    align: str | None = None


@dataclass(frozen=True)
class _PicturePart:
    video_size: tuple[Side, Side] | None = None
    max_res: Side | None = None
    crop: str = "off"
    boxes: list[tuple[Index, Index, Side, Side]] | None = None
    mask_sha256: str | None = None


@dataclass(frozen=True)
class _ThinningPart:
    stride: Side | None = None
    fps: Positive | None = None


@dataclass(frozen=True)
class _EvenLevels:
    scale: Positive
    offset: float
    first: _Code
    last: _Code
    coding: Literal["linear"] = "linear"


@dataclass(frozen=True)
class _BentLevels:
    step: Positive
    low: float
    first: _Code
    last: _Code
    coding: Literal["sqrt", "log"]


@dataclass(frozen=True)
class _Parts:
    shots: list[_ShotPart]
    settings: _SettingsPart
    picture: _PicturePart
    thinning: _ThinningPart | None
    levels: dict[str, _EvenLevels | _BentLevels]
    missing_frames: list[Index]
    resized_frames: list[tuple[Index, Index, Side, Side]]
    frame_indices: list[Index] | None
    pixel_aspect: _Aspect


def check_parts(values: dict[str, Any], frames: int) -> None:
    """Raise ``ShapeError`` where a part of a record of so many frames is not what it should be."""
    parts: _Parts = filled(_Parts, values)
    indices = parts.frame_indices
    if indices is not None and (len(indices) != frames or sorted(set(indices)) != indices):
        raise ShapeError(f"frame_indices should be {frames} numbers that rise")
