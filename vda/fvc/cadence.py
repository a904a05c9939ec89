"""How often something is worth doing whose cost grows with the work: so that it takes a small share of the time.

This file does not know what is done.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

_SHARE = 0.05


@dataclass
class Cadence:
    """Does a thing at once, and again when it has cost no more than a twentieth of the time since."""

    _ended_s: float = float("-inf")
    _cost_s: float = 0.0

    def maybe(self, do: Callable[[], None]) -> None:
        began = time.monotonic()
        if began - self._ended_s < self._cost_s / _SHARE:
            return
        do()
        self._ended_s = time.monotonic()
        self._cost_s = self._ended_s - began
