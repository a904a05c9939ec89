"""Depth as numbers of 16 bits, and the record that says how to turn them back.

In: float depth of a frame. Out: codes 1..65535, and 0 where there is no depth; ``depth.json``. For a code above 0,
value = offset + scale * code. This file does not know in which files codes are kept, nor how depth was made.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from vda.depthmaps.parts import check_parts
from vda.errors import InputError
from vda.files import read_json, write_json
from vda.records import NOT_AS_EXPECTED, Count, Index, Side, filled

Kind = Literal["inverse_depth", "depth"]
Unit = Literal["relative", "metre"]
Codes = npt.NDArray[np.uint16]
Float32Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

INVALID_CODE: Final = 0
MAX_CODE: Final = 65535


@dataclass(frozen=True)
class LeftOut:
    """Pixels without their own value: ``invalid`` had none to begin with, ``clipped`` one out of range."""

    invalid: int = 0
    clipped: int = 0

    def __add__(self, other: "LeftOut") -> "LeftOut":
        return LeftOut(self.invalid + other.invalid, self.clipped + other.clipped)


@dataclass(frozen=True)
class Quantizer:
    """The map between values and codes: value = offset + scale * code, for codes 1..65535.

    A value in range comes back from its code to within half a ``scale``; as float32, to within the rounding of
    float32 besides. Out of range, inverse depth takes the nearest code, for what is nearest or farthest stays so;
    metres become invalid, for a wrong length is worse than none.
    """

    kind: Kind
    unit: Unit
    scale: float
    offset: float

    def __post_init__(self) -> None:
        if not (self.scale > 0 and np.isfinite(self.scale) and np.isfinite(self.offset)):
            raise ValueError(f"value = {self.offset} + {self.scale} * code is not a usable map")

    @classmethod
    def for_range(cls, low: float, high: float) -> "Quantizer":
        """Return the map of relative inverse depth that has ``low`` at code 1 and ``high`` at 65535."""
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise ValueError(f"{low} to {high} is not a range")
        # Constant depth needs one code only; any step does, and this one keeps it exact.
        scale = (high - low) / (MAX_CODE - 1) or 1.0
        return cls("inverse_depth", "relative", scale, low - scale)

    @classmethod
    def per_metre(cls, codes: float) -> "Quantizer":
        """Return the map of metric depth with so many codes to the metre (TUM: 5000, KITTI: 256)."""
        return cls("depth", "metre", 1 / codes, 0.0)

    @classmethod
    def millimetres(cls) -> "Quantizer":
        return cls.per_metre(1000)

    def encode(self, depth: Float32Array, valid: Mask | None = None) -> Codes:
        """Return the codes of ``depth`` (any shape); 0 where it is not finite, or not ``valid``."""
        return self.encode_counted(depth, valid)[0]

    def encode_counted(self, depth: Float32Array, valid: Mask | None = None) -> tuple[Codes, LeftOut]:
        """Return the codes of ``depth``, and how many pixels are not there with their own value."""
        usable = np.isfinite(depth)
        if valid is not None:
            usable &= valid
        # float64: with an offset far larger than the range, float32 would be off by many codes.
        steps = np.subtract(depth, self.offset, dtype=np.float64)
        steps /= self.scale
        np.rint(steps, out=steps)
        inside = (steps >= 1) & (steps <= MAX_CODE)
        if self.kind == "inverse_depth":
            np.clip(steps, 1, MAX_CODE, out=steps)
            kept = usable
        else:
            kept = usable & inside
        steps[~kept] = INVALID_CODE
        invalid = usable.size - int(np.count_nonzero(usable))
        clipped = int(np.count_nonzero(usable & ~inside))
        return steps.astype(np.uint16), LeftOut(invalid, clipped)

    def decode(self, codes: Codes) -> Float32Array:
        """Return the values of ``codes`` (any shape) as float32, NaN where the code is 0."""
        return self._values[codes]

    @cached_property
    def _values(self) -> Float32Array:
        values = (self.offset + self.scale * np.arange(MAX_CODE + 1, dtype=np.float64)).astype(np.float32)
        values[INVALID_CODE] = np.nan
        return values


@dataclass(frozen=True)
class Levels:
    """Codes of fewer bits, for what is looked at: value = offset + scale * code, for ``first``..``last``.

    One range for the whole scene; what is outside takes the nearest code, and what has no value code 0. ``first``
    is well above 0 where codes come back with the errors of a lossy video: below half of it there is no depth.
    """

    scale: float
    offset: float
    first: int
    last: int

    @classmethod
    def for_range(cls, low: float, high: float, first: int, last: int) -> "Levels":
        scale = (high - low) / (last - first) or 1.0
        return cls(scale, low - scale * first, first, last)

    def encode(self, depth: Float32Array) -> Codes:
        """Return the codes of ``depth`` (any shape), uint16; +inf is the last code."""
        usable = ~np.isnan(depth)
        steps = np.rint((np.where(usable, depth, 0).astype(np.float64) - self.offset) / self.scale)
        return np.where(usable, np.clip(steps, self.first, self.last), INVALID_CODE).astype(np.uint16)

    def decode(self, codes: npt.NDArray[np.unsignedinteger]) -> Float32Array:
        """Return the values of ``codes`` (any shape) as float32, NaN where there is no depth."""
        values = (self.offset + self.scale * codes.astype(np.float64)).astype(np.float32)
        values[codes < (self.first + 1) // 2] = np.nan
        return values


@dataclass(frozen=True)
class DepthRecord:
    """``depth.json``: what the codes of a scene mean, and what the depth was made with.

    ``shots`` hold, for each shot, its range and the scale and shift from the model's output to the scene's values.
    ``missing_frames`` could not be decoded from the video; all their pixels have code 0. ``clipped`` counts values
    out of range, ``invalid_pixels`` those without a value. ``raw_window_error_steps`` is the largest error of the
    stored raw windows, in steps of the code. ``levels`` are the codes of formats with fewer bits, by format.
    ``pixel_aspect`` is a pixel's width by its height, a fraction such as ``64/45``; ``resized_frames`` are
    runs (first, stop, width, height) of frames stored at another size, which were fitted into this one.
    ``picture`` says which part of the video's pictures has depth, and the video's own size, where the depth is not
    of all of it at that size. ``remarks`` are sentences on what is not as one expects. Of a video that was thinned
    out ``thinning`` says how (``stride`` or ``fps``) and ``frame_indices`` which frames there are.
    """

    quantizer: Quantizer
    frames: Index
    width: Side
    height: Side
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    shots: list[dict[str, Any]] = field(default_factory=list)
    missing_frames: list[int] = field(default_factory=list)
    clipped: Count = 0
    invalid_pixels: Count = 0
    formats: list[str] = field(default_factory=list)
    raw_window_error_steps: float = 0.0
    levels: dict[str, dict[str, float]] = field(default_factory=dict)
    pixel_aspect: str = "1"
    resized_frames: list[list[int]] = field(default_factory=list)
    picture: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    thinning: dict[str, Any] | None = None
    frame_indices: list[int] | None = None

    @property
    def video_size(self) -> tuple[int, int]:
        """(width, height) of the video that the depth is of."""
        width, height = self.picture.get("video_size") or (self.width, self.height)
        return width, height

    @property
    def indices(self) -> Sequence[int]:
        """The video's frame indices of the depth, in order."""
        first = (self.settings.get("frame_range") or [0])[0]
        return range(first, first + self.frames) if self.frame_indices is None else self.frame_indices

    @property
    def seen_width(self) -> int:
        """The width, in pixels of the depth, of the widest part of the pictures that the network saw."""
        widest = max((box[2] for box in self.picture.get("boxes") or ()), default=self.video_size[0])
        return round(widest * self.width / self.video_size[0])

    def levels_of(self, form: str) -> Levels:
        """The codes of the format ``form``; ``InputError`` where the record says nothing of it."""
        try:
            values = self.levels[form]
            return Levels(values["scale"], values["offset"], int(values["first"]), int(values["last"]))
        except KeyError as error:
            raise InputError(
                f"The record of the depth does not say what the codes of {form} mean.",
                "Merge the scene again with --overwrite.",
            ) from error

    def write(self, path: Path) -> None:
        values = asdict(self)
        meaning = {
            **values.pop("quantizer"),
            "invalid": INVALID_CODE,
            "formula": "value = offset + scale * code, for code >= 1",
        }
        known = {name: value for name, value in values.items() if value is not None}
        write_json(path, {**meaning, **known})

    @classmethod
    def read(cls, path: Path) -> "DepthRecord":
        """Read ``depth.json``, or raise ``InputError``. What a later version added to it is left out."""
        values = read_json(path, strict=True)
        try:
            if values["invalid"] != INVALID_CODE:
                raise ValueError(f"invalid code {values['invalid']}")
            quantizer = Quantizer(
                _one_of(values["kind"], "inverse_depth", "depth"),
                _one_of(values["unit"], "relative", "metre"),
                float(values["scale"]),
                float(values["offset"]),
            )
            found: DepthRecord = filled(cls, {**values, "quantizer": asdict(quantizer)})
            check_parts(vars(found), found.frames)
            return found
        except NOT_AS_EXPECTED as error:
            raise InputError(
                f"{path} is not a record of depth ({type(error).__name__}: {error}).",
                "Merge the scene again with --overwrite.",
            ) from error


def _one_of(value: Any, *allowed: Any) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return value
