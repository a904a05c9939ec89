"""Codes of fewer bits than 16, for pictures and videos that are looked at.

In: float depth of a frame. Out: codes, and values back, as far as a lossy video leaves them. This file does not
know which formats there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vda.depthmaps.codes import INVALID_CODE, Codes, DepthRecord, Float32Array
from vda.depthmaps.codings import PARAMETERS, Coding, Spacing
from vda.errors import InputError


@dataclass(frozen=True)
class Levels:
    """Codes ``first``..``last``, spaced as ``Spacing`` says of ``coding``, ``offset`` and ``scale``.

    One range for the whole scene; what is outside takes the nearest code, and what has no value code 0. ``first``
    is well above 0 where codes come back with the errors of a lossy video: below half of it there is no depth.
    """

    scale: float
    offset: float
    first: int
    last: int
    coding: Coding = "linear"

    @classmethod
    def for_range(cls, low: float, high: float, first: int, last: int, coding: Coding = "linear") -> "Levels":
        scale = (high - low) / (last - first) or 1.0
        return cls(scale, low - scale * first if coding == "linear" else low, first, last, coding)

    def __post_init__(self) -> None:
        Spacing(self.coding, self.first, self.last)

    @cached_property
    def spacing(self) -> Spacing:
        return Spacing(self.coding, self.first, self.last)

    def encode(self, depth: Float32Array) -> Codes:
        """Return the codes of ``depth`` (any shape), uint16; +inf is the last code."""
        usable = ~np.isnan(depth)
        places = (np.where(usable, depth, 0).astype(np.float64) - self.offset) / self.scale
        steps = self.spacing.nearest(places)
        return np.where(usable, np.clip(steps, self.first, self.last), INVALID_CODE).astype(np.uint16)

    def decode(self, codes: npt.NDArray[np.unsignedinteger]) -> Float32Array:
        """Return the values of ``codes`` (any shape) as float32, NaN where there is no depth."""
        values = (self.offset + self.scale * self.spacing.places(codes)).astype(np.float32)
        values[codes < (self.first + 1) // 2] = np.nan
        return values

    def meaning(self) -> dict[str, Any]:
        """What ``depth.json`` says of the codes."""
        offset, scale = PARAMETERS[self.coding]
        numbers = {scale: self.scale, offset: self.offset, "first": self.first, "last": self.last}
        return {"coding": self.coding, **numbers, "formula": f"value = {self.spacing.formula(offset, scale)}"}

    @classmethod
    def meant_by(cls, values: Mapping[str, Any]) -> "Levels":
        """Read what ``meaning`` gives. Raises ``KeyError`` and ``ValueError`` where it is nothing of that kind."""
        coding: Coding = values.get("coding", "linear")
        offset, scale = PARAMETERS[coding]
        return cls(values[scale], values[offset], int(values["first"]), int(values["last"]), coding)


def levels_of(record: DepthRecord, form: str) -> Levels:
    """The codes of the format ``form``; ``InputError`` where the record says nothing of it."""
    try:
        return Levels.meant_by(record.levels[form])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"The record of the depth does not say what the codes of {form} mean.",
            "Merge the scene again with --overwrite.",
        ) from error
