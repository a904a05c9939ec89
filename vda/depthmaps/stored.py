"""Depth that a finished merge left, as the frames of another: where raw windows are gone, formats are made of it.

In: a folder of merged depth. Out: its frames, from the most exact of its formats. This file does not know which
formats are made of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vda.depthmaps.codes import DepthRecord, Float32Array, Kind
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import WorkError

# From the most exact on. The others are there to be looked at.
_EXACT = {"npz": "depths.npz", "npy": "depths.npy", "png16": ".", "mkv": "depth.mkv"}
_FLOATS = ("npz", "npy")


@dataclass(frozen=True)
class StoredDepth:
    """The depth of ``source``, which was written as ``form``; ``record`` is its ``depth.json``."""

    source: DepthSource
    record: DepthRecord
    form: str

    @classmethod
    def open(cls, folder: Path, record: DepthRecord) -> "StoredDepth":
        """Open the most exact format in ``folder``; ``WorkError`` where there are only such as are looked at."""
        for form, name in _EXACT.items():
            if form in record.formats and (folder / name).exists():
                return cls(open_depth(folder / name), record, form)
        raise WorkError(
            f"{folder} holds {', '.join(record.formats)} alone, and the raw windows are gone.",
            "Compute the scene again: other formats are made of windows, or of png16, npz, npy or mkv.",
        )

    @property
    def frames(self) -> Sequence[int]:
        return self.source.frames

    @property
    def shape(self) -> tuple[int, int]:
        return self.record.height, self.record.width

    @property
    def kind(self) -> Kind:
        return self.record.quantizer.kind

    def frame(self, index: int) -> Float32Array:
        return self.source.read(index)

    def is_missing(self, index: int) -> bool:
        return index in self._missing

    @cached_property
    def _missing(self) -> frozenset[int]:
        return frozenset(self.record.missing_frames)

    def value_range(self) -> tuple[float, float]:
        """The least and the largest value; (0, 0) where there is none. Reads every frame."""
        low, high = np.inf, -np.inf
        for index in self.frames:
            values = self.frame(index)
            finite = values[np.isfinite(values)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        return (low, high) if low <= high else (0.0, 0.0)

    def remark(self) -> str:
        """What being made of depth that was written costs."""
        if self.form in _FLOATS:
            return f"The raw windows are gone: new formats are made of {_EXACT[self.form]}, which loses nothing."
        half = self.record.quantizer.coarsest_step / 2
        unit = " m" if self.record.quantizer.unit == "metre" else ""
        return (
            f"The raw windows are gone: new formats are made of the 16-bit codes ({self.form}). "
            f"Each value is within half a code, {half:.3g}{unit}, of what the windows gave."
        )
