"""What enriching found out for every record, and how it is spelled in a file.

In go columns; out come the fields of one record, or names and numbers for flat tables. This file does not know how
depth is measured, nor any track format.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.tracks.records import Skip

_SIGNIFICANT_DIGITS = 7
# All that enriching writes begins so; what does is replaced when a file is enriched again.
PREFIX = "vda_"


@dataclass(frozen=True)
class Bridge:
    """Where a track was in a frame in which it has no record: ``position`` and ``velocity`` [3]."""

    frame: int
    track: Any
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]

    def fields(self) -> dict[str, Any]:
        speed = float(_significant(np.asarray(np.linalg.norm(self.velocity))))
        motion = _motion(_significant(self.position), _significant(self.velocity), speed, True)
        return {"frame": self.frame, "track_id": self.track, **motion}


@dataclass
class Enriched:
    """One row per record, NaN where ``skip`` says why there is nothing.

    ``depth`` and ``spread`` float64 [N], ``share`` [N] of valid pixels, ``position`` [N, 3] in camera coordinates:
    metres, or without unit where ``relative``. With smoothing: ``smoothed`` [N, 3], ``velocity`` [N, 3] (a second)
    and ``bridged`` [N], whether the record had no position of its own; ``bridges`` are for frames without record.
    With the camera's poses: ``world`` [N, 3], and with smoothing ``world_smoothed`` and ``world_velocity``.
    ``extent`` [N, 2] is how wide and how high a box is at its depth.
    """

    depth: NDArray[np.float64]
    spread: NDArray[np.float64]
    share: NDArray[np.float64]
    position: NDArray[np.float64]
    skip: NDArray[np.uint8]
    relative: bool = False
    smoothed: NDArray[np.float64] | None = None
    velocity: NDArray[np.float64] | None = None
    bridged: NDArray[np.bool_] | None = None
    world: NDArray[np.float64] | None = None
    world_smoothed: NDArray[np.float64] | None = None
    world_velocity: NDArray[np.float64] | None = None
    extent: NDArray[np.float64] | None = None
    bridges: list[Bridge] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def empty(cls, skip: NDArray[np.uint8], relative: bool) -> "Enriched":
        """Nothing found yet; ``skip`` is what reading the file found out already."""
        depth, spread, share = (np.full(len(skip), np.nan) for _ in range(3))
        return cls(depth, spread, share, np.full((len(skip), 3), np.nan), skip.copy(), relative)

    def skipped(self) -> dict[str, int]:
        """How many records have no position, by reason."""
        counts = Counter(self.skip[self.skip != Skip.NONE].tolist())
        return {Skip(code).text: counts[code] for code in sorted(counts)}

    def metadata(self) -> dict[str, Any]:
        """What goes into the file's own metadata: counts, reasons, and how the numbers came about."""
        skipped = self.skipped()
        return {
            "vda_processed": int((self.skip == Skip.NONE).sum()),
            "vda_skipped": sum(skipped.values()),
            "vda_skipped_reasons": skipped,
            **{f"vda_{name}": value for name, value in self.about.items()},
            **({"vda_bridges": [bridge.fields() for bridge in self.bridges]} if self.bridges else {}),
        }

    def fields(self, row: int) -> dict[str, Any]:
        """The fields added to record ``row``. A record without a position gets the reason instead of numbers."""
        valid = self.skip[row] == Skip.NONE
        fields: dict[str, Any] = {"vda_valid": bool(valid)}
        if valid:
            suffix = "_relative" if self.relative else ""
            rounded = self._rounded
            fields[f"vda_depth{suffix}"] = _number(rounded["depth"][row])
            fields[f"vda_depth{suffix}_std"] = _number(rounded["spread"][row])
            fields["vda_position_relative" if self.relative else "vda_position_3d"] = _xyz(
                rounded["position"][row]
            )
            fields["vda_valid_share"] = _number(rounded["share"][row])
            fields |= self._places(row)
        else:
            fields["vda_reason"] = Skip(self.skip[row]).text
        if self.smoothed is not None and self.bridged is not None and np.isfinite(self.smoothed[row, 0]):
            rounded = self._rounded
            speed = float(rounded["speed"][row])
            fields |= _motion(rounded["smoothed"][row], rounded["velocity"][row], speed, bool(self.bridged[row]))
        return fields

    @cached_property
    def _rounded(self) -> dict[str, NDArray[np.float64]]:
        """All numbers as they are written. They are rounded in one go, for there are millions of them."""
        names = ["depth", "spread", "share", "position", "extent", "smoothed", "velocity"]
        names += ["world", "world_smoothed", "world_velocity"]
        known = {name: values for name in names if (values := getattr(self, name)) is not None}
        if "velocity" in known:
            known["speed"] = np.linalg.norm(known["velocity"], axis=1)
        return {name: _significant(values) for name, values in known.items()}

    def _places(self, row: int) -> dict[str, Any]:
        """Where the record is in the world, and how large its box is, as far as they are known."""
        fields: dict[str, Any] = {}
        rounded = self._rounded
        if self.world is not None and np.isfinite(self.world[row, 0]):
            fields["vda_world_3d"] = _xyz(rounded["world"][row])
        if self.extent is not None and np.isfinite(self.extent[row, 0]):
            width, height = rounded["extent"][row].tolist()
            fields["vda_box_3d"] = {"width": width, "height": height}
        if self.world_smoothed is not None and np.isfinite(self.world_smoothed[row, 0]):
            fields["vda_world_smoothed"] = _xyz(rounded["world_smoothed"][row])
            fields["vda_world_velocity"] = _xyz(rounded["world_velocity"][row])
        return fields

    def added_to(self, record: Any, row: int) -> Any:
        """``record`` with the fields of ``row``, and none of an earlier enrichment; what is no object stays."""
        return without_enrichment(record) | self.fields(row) if isinstance(record, dict) else record

    def told_in(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """The file's own ``metadata`` with ours, and none of an earlier enrichment."""
        return without_enrichment(metadata) | self.metadata()

    def columns(self) -> dict[str, NDArray[Any]]:
        """The same for flat tables: names and arrays of numbers, one value a record."""
        suffix = "_relative" if self.relative else ""
        columns: dict[str, NDArray[Any]] = {
            f"vda_depth{suffix}": self.depth,
            f"vda_depth{suffix}_std": self.spread,
            "vda_valid_share": self.share,
        }
        stem = "vda_relative" if self.relative else "vda"
        columns |= {f"{stem}_{axis}": self.position[:, i] for i, axis in enumerate("xyz")}
        if self.smoothed is not None and self.velocity is not None and self.bridged is not None:
            columns |= {f"vda_smoothed_{axis}": self.smoothed[:, i] for i, axis in enumerate("xyz")}
            columns |= {f"vda_velocity_{axis}": self.velocity[:, i] for i, axis in enumerate("xyz")}
            columns["vda_speed"] = np.linalg.norm(self.velocity, axis=1)
            columns["vda_bridged"] = self.bridged
        for name, values in (
            ("world", self.world),
            ("world_smoothed", self.world_smoothed),
            ("world_velocity", self.world_velocity),
        ):
            if values is not None:
                columns |= {f"vda_{name}_{axis}": values[:, i] for i, axis in enumerate("xyz")}
        if self.extent is not None:
            columns |= {"vda_box_width": self.extent[:, 0], "vda_box_height": self.extent[:, 1]}
        return columns


def without_enrichment(record: dict[str, Any]) -> dict[str, Any]:
    """All of ``record`` but what an earlier enrichment added."""
    return {key: value for key, value in record.items() if not key.startswith(PREFIX)}


def _motion(
    smoothed: NDArray[np.float64], velocity: NDArray[np.float64], speed: float, bridged: bool
) -> dict[str, Any]:
    return {
        "vda_position_smoothed": _xyz(smoothed),
        "vda_velocity": _xyz(velocity),
        "vda_speed": speed,
        "vda_bridged": bridged,
    }


def _xyz(vector: NDArray[np.float64]) -> dict[str, float | None]:
    x, y, z = vector.tolist()
    if x == x and y == y and z == z:  # not NaN
        return {"x": x, "y": y, "z": z}
    return {axis: _number(number) for axis, number in (("x", x), ("y", y), ("z", z))}


def _number(number: float) -> float | None:
    """JSON has no NaN."""
    return float(number) if math.isfinite(number) else None


def _significant(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seven significant digits: finer than any depth, and files stay small."""
    known = np.isfinite(values) & (values != 0)
    digits = _SIGNIFICANT_DIGITS - 1 - np.floor(np.log10(np.abs(values), where=known, out=np.zeros(values.shape)))
    # A whole number divided by a power of ten is the float nearest to the decimal, and prints as that.
    up, down = 10.0 ** np.maximum(digits, 0), 10.0 ** np.maximum(-digits, 0)
    return np.where(known, np.rint(values * up / down) / up * down, values)
