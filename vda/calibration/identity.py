"""Which depth a calibration was made for: a few of its values, and whether other depth has the same.

In: depth frame by frame. Out: a ``Fingerprint`` that goes into ``calibration.json``. It holds values and no hash:
the same depth is read from 16-bit images, from floats or straight from a merge, and differs by half a step of the
code, linear or not. Model and settings need not be asked for; where they matter they change the values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.errors import InputError, UsageError

# First, last and three between: depth that was begun alike can end otherwise.
_FRAMES = 5
# Eight by eight places are 320 values: no two results of different settings agree in all of them.
_LATTICE = 8
# Sixteen steps of a linear 16-bit code, far less than two models or two sizes of one model differ by.
_TOLERANCE = 16 / 65535
# A step of the log code is 1.7e-4 of what lies above the least value, and half of it is the error.
_SHARE = 1e-4


def require_one_scale(shots: int) -> None:
    """Raise ``UsageError`` for relative depth of several shots, of which each has a scale of its own."""
    if shots > 1:
        raise UsageError(
            f"The depth has {shots} shots, each with a scale of its own: one calibration does not hold for all.",
            "Compute one shot with --frames A:B and calibrate that, or use a metric model.",
        )


@dataclass(frozen=True)
class Fingerprint:
    """``values`` float64 [frames, places] of depth at ``frames``, NaN where there is none."""

    frames: tuple[int, ...]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, frames: Sequence[int], read: Callable[[int], NDArray[np.floating]]) -> "Fingerprint":
        """That of depth whose frame ``i`` is ``read(i)`` [height, width]."""
        places = np.linspace(0, max(len(frames) - 1, 0), _FRAMES).round().astype(int)
        chosen = tuple(dict.fromkeys(int(frames[place]) for place in places if len(frames)))
        return cls(chosen, np.array([_at_lattice(read, frame) for frame in chosen], np.float64))

    def fits(self, other: "Fingerprint") -> bool:
        """Whether both are of the same depth."""
        if self.frames != other.frames or self.values.shape != other.values.shape:
            return False
        finite = self.values[np.isfinite(self.values)]
        step = _TOLERANCE * float(np.ptp(finite)) if finite.size else 0.0
        return bool(np.isclose(self.values, other.values, rtol=_SHARE, atol=step, equal_nan=True).all())

    def to_json(self) -> dict[str, Any]:
        values = [[None if np.isnan(value) else float(value) for value in row] for row in self.values]
        return {"frames": list(self.frames), "values": values}

    @classmethod
    def from_json(cls, value: Any) -> "Fingerprint":
        """Raises ``InputError`` for what ``to_json`` did not write."""
        try:
            frames = tuple(int(frame) for frame in value["frames"])
            numbers = [[np.nan if number is None else float(number) for number in row] for row in value["values"]]
            return cls(frames, np.array(numbers, np.float64))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                "The calibration does not say which depth it was made for.", "Calibrate again with vda enrich."
            ) from error


def _at_lattice(read: Callable[[int], NDArray[np.floating]], frame: int) -> NDArray[np.float64]:
    try:
        depth = read(frame)
    except InputError:
        # A damaged image is counted where depth is measured; it is no reason to have no calibration.
        return np.full(_LATTICE**2, np.nan)
    rows, columns = ((np.arange(_LATTICE) * 2 + 1) * side // (2 * _LATTICE) for side in depth.shape)
    return depth[np.ix_(rows, columns)].astype(np.float64).ravel()
