"""How many codes the bulk of a film's values have, and what to do where they are few.

In: the codes of a merge, frame by frame. Out: a count, and a sentence where it is low. Memory is that of one count
per code, whatever the film's length. This file does not know how depth is merged.
"""

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.codes import INVALID_CODE, MAX_CODE, Codes, Quantizer
from vda.depthmaps.codings import CODINGS, Coding

# A sixteenth of the codes: what twelve bits would do.
_FEW: Final = 4096
# What is left of 96 % on either side.
_TAIL_PERCENT: Final = 2
# Every row of a large picture would take as long as writing the picture does; these tell the same of a film.
_ROWS: Final = 256


Counts = NDArray[np.int64]


def code_counts(codes: Codes) -> Counts:
    """How often each code occurs, int64 [65536], in at least 256 rows of a frame, uint16 [height, width].

    NumPy's own count would keep the other threads from Python for as long as it lasts.
    """
    some = codes[:: max(1, codes.shape[0] // _ROWS)]
    return cv2.calcHist([some], [0], None, [MAX_CODE + 1], [0, MAX_CODE + 1]).ravel().astype(np.int64)


@dataclass
class CodeUse:
    """How often each code occurs, int64 [65536], over at least 256 rows of each frame, evenly spread."""

    counts: Counts = field(default_factory=lambda: np.zeros(MAX_CODE + 1, np.int64))

    def add(self, codes: Codes) -> None:
        """Count the codes of a frame, uint16 [height, width]."""
        self.add_counts(code_counts(codes))

    def add_counts(self, counts: Counts) -> None:
        """Add what ``code_counts`` gives."""
        self.counts += counts

    def middle(self) -> tuple[int, int] | None:
        """The first and the last code of the middle 96 % of the pixels with depth; None where there are none."""
        so_far = np.cumsum(np.where(np.arange(MAX_CODE + 1) == INVALID_CODE, 0, self.counts))
        pixels = int(so_far[-1])
        if not pixels:
            return None
        tail = pixels * _TAIL_PERCENT // 100
        first, last = np.searchsorted(so_far, (tail, pixels - 1 - tail), side="right")
        return int(first), int(last)

    def middle_codes(self) -> int | None:
        """How many codes the middle 96 % of the values have, those that no value took too."""
        middle = self.middle()
        return None if middle is None else middle[1] - middle[0] + 1

    def remark(self, quantizer: Quantizer, low: float, high: float, *, per_metre: bool = False) -> str | None:
        """A sentence where these codes are few, and what would give more; ``low`` and ``high`` are the film's
        least and largest value, ``per_metre``: so many codes to the metre were asked for. None where the codes are
        enough, or the film has one value only.
        """
        middle, count = self.middle(), self.middle_codes()
        if middle is None or count is None or count >= _FEW or low == high:
            return None
        told = f"The middle 96 % of the values have {count} of the {MAX_CODE} codes"
        if per_metre:
            return f"{told}: a larger --depth-scale gives them more, and --format npz keeps all of every value."
        coding, more = max(_with_others(quantizer, middle, low, high), key=lambda found: found[1])
        if more < min(_FEW, 2 * count):
            return f"{told}, and no --coding gives them many more: --format npz keeps all of every value."
        return f"{told}: merging again with --overwrite --coding {coding} gives them {more}."


def _with_others(
    quantizer: Quantizer, middle: tuple[int, int], low: float, high: float
) -> list[tuple[Coding, int]]:
    """How many codes these values would have in each of the other codings."""
    values = quantizer.decode(np.array(middle, np.uint16))
    others: list[tuple[Coding, int]] = []
    for coding in CODINGS:
        if coding != quantizer.coding:
            other = _default(quantizer, coding, low, high)
            first, last = other.encode(values).tolist()
            others.append((coding, last - first + 1))
    return others


def _default(quantizer: Quantizer, coding: Coding, low: float, high: float) -> Quantizer:
    """The map that a merge takes for the coding."""
    if coding == "linear" and quantizer.kind == "depth":
        return Quantizer.millimetres()
    return Quantizer.for_range(low, high, coding, quantizer.kind)
