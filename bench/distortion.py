"""Raw windows of a film with true depth, distorted as a network's windows are.

Measured on windows of the built-in model (7-Scenes, docs/decisions.md): of the frames that two windows share they
differ, scale and shift apart, by 2.2 % of the spread, 1.6 % of it in fields that are smooth over the picture, and
that stay the same over a window (correlation 0.98 over eight frames). Here each window has a scale (20 %) and a
shift, a field that stays, one that comes over the window, a gain that does, and noise, half of it in spots.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from bench.films import Fault, Film
from vda.joining.align import Float32Array
from vda.network.packing import Scale
from vda.network.slots import WINDOW_SLOTS
from vda.scene.rawwindows import RawWindow
from vda.scene.windows import Window, sequence_windows

# Deviation of a window's log scale, and the largest shift in units of the film's spread.
_SCALE: Final = 0.2
_SHIFT: Final = 0.3
# Of the gain over a window, half of it to either side.
_GAIN: Final = 0.01


@dataclass(frozen=True)
class HeldWindow(RawWindow):
    """A raw window in memory: ``values`` float32 ``[slots, height, width]``."""

    values: Float32Array

    @classmethod
    def of(cls, values: Float32Array) -> "HeldWindow":
        slots, height, width = values.shape
        lows, highs = values.min(axis=(1, 2)), values.max(axis=(1, 2))
        return cls(
            Path(), (slots, height, width), Scale(0.0, 0.0), lows, highs, (), "", np.zeros(slots, int), (), values
        )

    def slot(self, index: int) -> Float32Array:
        return self.values[index]


def distorted_windows(film: Film, inverse: Float32Array, seed: int) -> list[HeldWindow]:
    """Return the windows that a network might give for ``inverse`` depth ``[frames, height, width]``."""
    return list(_Distortion(film, inverse, seed).windows())


class _Distortion:
    def __init__(self, film: Film, inverse: Float32Array, seed: int) -> None:
        self._film, self._inverse = film, inverse
        self._random = np.random.default_rng(seed)
        low, high = np.percentile(inverse, (5, 95))
        self._spread = float(high - low)
        self._shape = inverse.shape[1:]
        self._fault: dict[int, Fault] = {
            frame: what for what, start, stop in film.faults for frame in range(start, stop)
        }
        self._wandered = 0.0

    def windows(self) -> Iterator[HeldWindow]:
        for window in sequence_windows(0, len(self._inverse)):
            yield HeldWindow.of(self._window(window))

    def _window(self, window: Window) -> Float32Array:
        film, random = self._film, self._random
        scale, shift = np.exp(random.normal(0, _SCALE)), random.uniform(0, _SHIFT) * self._spread
        staying, coming = self._field() * film.field, self._field() * film.field / 2
        gain = random.normal(0, _GAIN)
        values = np.empty((WINDOW_SLOTS, *self._shape), np.float32)
        # A window in which nothing is seen has nothing for its anchor either.
        seen = any(frame not in self._fault for frame in window.frame_indices[1:])
        for slot, frame in enumerate(window.frame_indices):
            along = slot / (WINDOW_SLOTS - 1) - 0.5
            is_anchor = slot == 0 and window.k > 0
            fault = self._fault.get(frame if seen or not is_anchor else window.frame_indices[-1])
            if fault:
                values[slot] = self._of_nothing(fault, frame)
                continue
            depth = self._inverse[frame] * (1 + staying + (coming + (0 if is_anchor else 2 * gain)) * along)
            if is_anchor and film.anchor:
                depth = depth * self._wrong_anchor()
            values[slot] = depth + film.noise * self._noise()
        return np.maximum(np.float32(scale) * values + np.float32(shift), 0)

    def _wrong_anchor(self) -> Float32Array | float:
        film, random = self._film, self._random
        fresh = np.sqrt(1 - film.lasting**2) * random.normal(0, film.anchor)
        self._wandered = film.lasting * self._wandered + fresh
        field = 0.0 if film.lasting else self._field() * film.anchor / 2
        return np.exp(self._wandered) * (1 + field)

    def _of_nothing(self, fault: Fault, frame: int) -> np.ndarray:
        """Black is flat, noise another picture in each window, fog leaves 3 % of the depth below a field."""
        white = self._random.standard_normal(self._shape)
        if fault == "black":
            return (0.1 + 1e-4 * white) * self._spread
        if fault == "noise":
            return (1 + 0.3 * self._field(6) + 0.1 * white) * self._spread
        depth = self._inverse[frame]
        return 0.03 * (depth - depth.mean()) + (0.3 + 0.05 * self._field() + 0.01 * white) * self._spread

    def _noise(self) -> np.ndarray:
        spots, white = self._field(12), self._random.standard_normal(self._shape)
        return self._spread * (0.5 * spots + np.sqrt(0.75) * white)

    def _field(self, cells: int = 3) -> Float32Array:
        """A smooth field of mean 0 and deviation 1, of ``cells`` cells to the height."""
        height, width = self._shape
        knots = self._random.standard_normal((cells + 1, cells + 2)).astype(np.float32)
        field = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        field -= field.mean()
        return np.asarray(field / field.std(), np.float32)
