"""Depth beside pictures, in the kinds of file that training programs read.

    png16   whole thousandths of the poses' unit, 1 to 65535; 0 is none (nerfstudio's own)
    tiff    float32; 0 is none
    npy     float32 array [height, width]; 0 is none

In goes depth with NaN where there is none; out come files, and how many pixels were too far for their kind.
"""

import io
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.codes import Quantizer
from vda.depthmaps.files import encode_grey_png
from vda.exporting.written import Written
from vda.files import write_bytes
from vda.reporter import Reporter

DepthKind = Literal["png16", "tiff", "npy"]
DEPTH_KINDS: Final[tuple[DepthKind, ...]] = get_args(DepthKind)
_THOUSANDTHS = Quantizer.millimetres()


class DepthFiles:
    """Writes depth as ``kind``, a float times ``per_unit``; ``too_far`` counts what 16 bits could not hold."""

    def __init__(self, written: Written, kind: DepthKind, per_unit: float = 1.0) -> None:
        self._written = written
        self._kind = kind
        self._per_unit = per_unit
        self.suffix = "png" if kind == "png16" else kind
        self.too_far = 0

    def write(self, stem: str, depth: NDArray[np.floating]) -> str:
        """Write one image, [height, width]; return its name in the output folder, ``stem`` with a suffix."""
        name = f"{stem}.{self.suffix}"
        write_bytes(self._written.path(name), self._bytes(depth))
        return name

    def _bytes(self, depth: NDArray[np.floating]) -> bytes:
        if self._kind == "png16":
            codes, left_out = _THOUSANDTHS.encode_counted(depth.astype(np.float32))
            self.too_far += left_out.clipped
            return encode_grey_png(codes)
        values = (np.nan_to_num(depth, nan=0.0) * self._per_unit).astype(np.float32)
        if self._kind == "tiff":
            return bytes(cv2.imencode(".tiff", values)[1])
        buffer = io.BytesIO()
        np.save(buffer, values)
        return buffer.getvalue()

    def say_too_far(self, reporter: Reporter) -> None:
        if self.too_far:
            reporter.say(
                f"{self.too_far} pixels are farther than 65.535 units, the most that 16 bits hold: they have no "
                "depth."
            )
