"""Depth as numbers of 16 bits, and the record that says how to turn them back.

In: float depth of a frame. Out: codes 1..65535, and 0 where there is no depth; ``depth.json``, which says what the
codes mean. This file does not know in which files codes are kept, nor how depth was made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from vda.depthmaps.codings import CODINGS, PARAMETERS, Coding, Spacing
from vda.depthmaps.parts import check_parts
from vda.errors import InputError
from vda.files import read_json, write_json
from vda.records import NOT_AS_EXPECTED, Count, Index, Side, filled, shown

Kind = Literal["inverse_depth", "depth"]
Unit = Literal["relative", "metre"]
Codes = npt.NDArray[np.uint16]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

INVALID_CODE: Final = 0
MAX_CODE: Final = 65535
# Pixels whose float64 values stay in a core's own cache from one step to the next.
_AT_ONCE: Final = 1 << 16
_MERGE_AGAIN: Final = "Merge the scene again with --overwrite."


@dataclass(frozen=True)
class LeftOut:
    """Pixels without their own value: ``invalid`` had none to begin with, ``clipped`` one out of range."""

    invalid: int = 0
    clipped: int = 0

    def __add__(self, other: "LeftOut") -> "LeftOut":
        return LeftOut(self.invalid + other.invalid, self.clipped + other.clipped)


@dataclass(frozen=True)
class Quantizer:
    """The map between values and codes 1..65535, even or bent as ``Spacing`` says of its ``coding``.

    A value in range takes the code whose value is nearest: it comes back to within half the distance of two codes
    there; as float32, to within the rounding of float32 besides. Out of range, inverse depth takes the nearest
    code, for what is nearest or farthest stays so; metres become invalid, for a wrong length is worse than none.
    ``scale`` and ``offset`` are those of ``Spacing``. Raises ``ValueError`` for what is no usable map.
    """

    kind: Kind
    unit: Unit
    scale: float
    offset: float
    coding: Coding = "linear"

    def __post_init__(self) -> None:
        if not (self.scale > 0 and np.isfinite(self.scale) and np.isfinite(self.offset)):
            raise ValueError(f"an offset of {self.offset} and a scale of {self.scale} are not a usable map")
        Spacing(self.coding, 1, MAX_CODE)

    @classmethod
    def for_range(
        cls, low: float, high: float, coding: Coding = "linear", kind: Kind = "inverse_depth"
    ) -> "Quantizer":
        """Return the map that has ``low`` at code 1, ``high`` at 65535: of relative inverse depth, or metres."""
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise ValueError(f"{low} to {high} is not a range")
        # Constant depth needs one code only; any step does, and this one keeps it exact.
        scale = (high - low) / (MAX_CODE - 1) or 1.0
        unit: Unit = "metre" if kind == "depth" else "relative"
        return cls(kind, unit, scale, low - scale if coding == "linear" else low, coding)

    @classmethod
    def per_metre(cls, codes: float) -> "Quantizer":
        """Return the map of metric depth with so many codes to the metre (TUM: 5000, KITTI: 256)."""
        return cls("depth", "metre", 1 / codes, 0.0)

    @classmethod
    def millimetres(cls) -> "Quantizer":
        return cls.per_metre(1000)

    @cached_property
    def spacing(self) -> Spacing:
        return Spacing(self.coding, 1, MAX_CODE)

    @property
    def value_range(self) -> tuple[float, float]:
        """The values of the first and of the last code."""
        first, last = self.offset + self.scale * self.spacing.places(np.array([1, MAX_CODE]))
        return float(first), float(last)

    @property
    def finest_step(self) -> float:
        """The least distance between the values of two codes."""
        return self.scale * self.spacing.finest

    @property
    def coarsest_step(self) -> float:
        """The largest distance between the values of two neighbouring codes."""
        return self.scale * self.spacing.coarsest

    def even(self) -> "Quantizer":
        """Evenly spaced codes over the same range, for programs that know no others; itself, where it is even."""
        return self if self.spacing.is_even else Quantizer.for_range(*self.value_range, kind=self.kind)

    def encode(self, depth: Float32Array) -> Codes:
        """Return the codes of ``depth`` (any shape); 0 where it is not finite."""
        return self.encode_counted(depth)[0]

    def encode_counted(self, depth: Float32Array) -> tuple[Codes, LeftOut]:
        """Return the codes of ``depth``, and how many pixels are not there with their own value."""
        codes, left_out = np.empty(depth.shape, np.uint16), LeftOut()
        flat, flat_codes = np.ravel(depth), codes.reshape(-1)
        for start in range(0, flat.size, _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            left_out += self._encode_into(flat_codes[some], flat[some])
        return codes, left_out

    def _encode_into(self, codes: Codes, depth: Float32Array) -> LeftOut:
        # float64: with an offset far larger than the range, float32 would be off by many codes.
        places = np.subtract(depth, self.offset, dtype=np.float64)
        places /= self.scale
        if self._has_all(depth, places):
            codes[:] = self.spacing.nearest(places)
            return LeftOut()
        usable, inside = np.isfinite(depth), self.spacing.inside(places)
        steps = self.spacing.nearest(places)
        if self.kind == "inverse_depth":
            np.clip(steps, 1, MAX_CODE, out=steps)
            kept = usable
        else:
            # Nothing has a length of 0.
            inside &= depth > 0
            kept = usable & inside
        steps[~kept] = INVALID_CODE
        codes[:] = steps
        invalid = usable.size - int(np.count_nonzero(usable))
        return LeftOut(invalid, int(np.count_nonzero(usable & ~inside)))

    def _has_all(self, depth: Float32Array, places: Float64Array) -> bool:
        """Whether every value has a code of its own, as most frames' have: the ends tell, and NaN is in both."""
        ends = np.array([places.min(), places.max()])
        return bool(self.spacing.inside(ends).all()) and (self.kind == "inverse_depth" or depth.min() > 0)

    def decode(self, codes: Codes) -> Float32Array:
        """Return the values of ``codes`` (any shape) as float32, NaN where the code is 0."""
        return self._values[codes]

    @cached_property
    def _values(self) -> Float32Array:
        places = self.spacing.places(np.arange(MAX_CODE + 1))
        values = (self.offset + self.scale * places).astype(np.float32)
        values[INVALID_CODE] = np.nan
        return values

    def meaning(self) -> dict[str, Any]:
        """What ``depth.json`` says of the codes."""
        offset, scale = PARAMETERS[self.coding]
        return {
            "kind": self.kind,
            "unit": self.unit,
            "coding": self.coding,
            scale: self.scale,
            offset: self.offset,
            "invalid": INVALID_CODE,
            "formula": f"value = {self.spacing.formula(offset, scale)}, for code >= 1",
        }

    def in_words(self) -> str:
        """The value of a code, with its numbers."""
        return self.spacing.formula(f"{self.offset:.6g}", f"{self.scale:.6g}")

    @classmethod
    def meant_by(cls, values: Mapping[str, Any]) -> "Quantizer":
        """Read what ``meaning`` gives; a record that names no coding has linear codes. ``ValueError`` and what
        reading of foreign values raises where it is nothing of that kind.
        """
        if values["invalid"] != INVALID_CODE:
            raise ValueError(f"invalid code {values['invalid']}")
        coding = _one_of(values.get("coding", "linear"), *CODINGS)
        offset, scale = PARAMETERS[coding]
        return cls(
            _one_of(values["kind"], "inverse_depth", "depth"),
            _one_of(values["unit"], "relative", "metre"),
            float(values[scale]),
            float(values[offset]),
            coding,
        )


def _one_of(value: Any, *allowed: Any) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return value


@dataclass(frozen=True)
class DepthRecord:
    """``depth.json``: what the codes of a scene mean, and what the depth was made with.

    ``shots`` hold, for each shot, its range and the scale and shift from the model's output to the scene's values.
    ``missing_frames`` could not be decoded from the video; all their pixels have code 0. ``clipped`` counts values
    out of range, ``invalid_pixels`` those without a value. ``raw_window_error_steps`` is the largest error of the
    stored raw windows, in the finest steps of the codes. ``middle_codes`` is how many codes the middle 96 % of the
    values have (None: nobody counted). ``levels`` are the codes of formats
    with fewer bits, by format. ``pixel_aspect`` is a pixel's width by its height, a fraction such as ``64/45``;
    ``resized_frames`` are runs (first, stop, width, height) of frames stored at another size, which were fitted
    into this one. ``picture`` says which part of the video's pictures has depth, and the video's own size, where
    the depth is not of all of it at that size. ``remarks`` are sentences on what is not as one expects. Of a video
    that was thinned out ``thinning`` says how (``stride`` or ``fps``), ``frame_indices`` which frames there are.
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
    levels: dict[str, dict[str, Any]] = field(default_factory=dict)
    pixel_aspect: str = "1"
    resized_frames: list[list[int]] = field(default_factory=list)
    picture: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    thinning: dict[str, Any] | None = None
    frame_indices: list[int] | None = None
    middle_codes: Count | None = None

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
        return seen_width(self.picture, self.width)

    def write(self, path: Path) -> None:
        values = asdict(self)
        del values["quantizer"]
        known = {name: value for name, value in values.items() if value is not None}
        write_json(path, {**self.quantizer.meaning(), **known})

    @classmethod
    def read(cls, path: Path) -> "DepthRecord":
        """Read ``depth.json``, or raise ``InputError``. What a later version added to it is left out."""
        values = read_json(path, strict=True, remedy=_MERGE_AGAIN)
        try:
            coding = values.get("coding", "linear")
            if coding in CODINGS:
                found: DepthRecord = filled(cls, {**values, "quantizer": asdict(Quantizer.meant_by(values))})
                check_parts(vars(found), found.frames)
                return found
        except NOT_AS_EXPECTED as error:
            raise InputError(
                f"{path} is not a record of depth ({type(error).__name__}: {error}).",
                _MERGE_AGAIN,
            ) from error
        raise InputError(
            f"{path} says that its codes are spaced as {shown(coding)}, which is none of {', '.join(CODINGS)}.",
            "Read it with the version that wrote it, or merge the scene again with --overwrite.",
        )


def seen_width(picture: Mapping[str, Any], width: int) -> int:
    """``DepthRecord.seen_width`` of depth of ``width``, by the record's ``picture``."""
    video_width = (picture.get("video_size") or (width, 0))[0]
    widest = max((box[2] for box in picture.get("boxes") or ()), default=video_width)
    return round(widest * width / video_width)
