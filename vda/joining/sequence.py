"""One sequence's raw windows in, its depth frame by frame out: aligned, blended, at the video's size.

The rule is that of Video Depth Anything (arXiv 2501.12375; the public implementation's numbers): each window is
fitted by least squares to what the windows before it settled, on frames resized to the video's size, and blended
with its predecessor over eight frames. Metric depth is blended as it is. ``align="joint"`` solves all windows of
the sequence together instead. A frame is made from one or two slots, so memory does not grow with the sequence and
frames can be made in any order, by many threads.

This file does not know about codes, outputs, or other sequences.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from vda.joining.align import FitSums, ScaleShift
from vda.joining.joint import solve_joint
from vda.joining.overlaps import OverlapSample, OverlapSampler
from vda.scene.rawwindows import RawWindow
from vda.scene.windows import (
    ANCHOR_SLOTS,
    BLEND_FRAMES,
    REFERENCE_SLOT,
    WINDOW_STEP,
    Window,
    blend_weights,
    sequence_windows,
)

WindowReader = Callable[[int], RawWindow]
Alignment = Literal["sequential", "joint"]

# Windows are many and differ little: fewer pixels than of an overlap of chunks keep memory small for long videos.
_JOINT_PIXELS = 1000


def resize_depth(depth: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize float32 ``[h, w]`` to ``[height, width]``: bilinear with ``align_corners=True``, as the network does.

    OpenCV's resize is not that: it keeps pixel centres, not corners, in place.
    """
    import torch
    from torch.nn.functional import interpolate

    if depth.shape == (height, width):
        return depth
    planes = torch.from_numpy(np.ascontiguousarray(depth))[None, None]
    return interpolate(planes, (height, width), mode="bilinear", align_corners=True)[0, 0].numpy()


@dataclass(frozen=True)
class SequenceDepth:
    """The depth of video frames ``start`` .. ``stop``, from raw windows that ``read`` opens by their number.

    ``fits`` are the windows' scales and shifts, ``fits[k]`` for window ``k``.
    """

    start: int
    stop: int
    width: int
    height: int
    read: WindowReader
    fits: tuple[ScaleShift, ...]

    @classmethod
    def fitted(
        cls,
        start: int,
        stop: int,
        width: int,
        height: int,
        read: WindowReader,
        *,
        metric: bool,
        align: Alignment = "sequential",
    ) -> "SequenceDepth":
        """Fit the windows in order (three slots of each are read) or jointly (18); not at all where ``metric``."""
        count = sum(1 for _ in sequence_windows(start, stop))
        unaligned = cls(start, stop, width, height, read, (ScaleShift(),) * count)
        # The public code aligns no metric depth: each window is in metres already.
        if metric:
            return unaligned
        fits = unaligned._fit_together() if align == "joint" else unaligned._fit_in_order()
        return cls(start, stop, width, height, read, fits)

    def _fit_in_order(self) -> tuple[ScaleShift, ...]:
        fits = [ScaleShift()]
        first = self._slot(0, 0, fits[0])
        reference = self._slot(0, REFERENCE_SLOT, fits[0]) if len(self.fits) > 1 else first
        for k in range(1, len(self.fits)):
            sums = FitSums()
            for slot, target in enumerate((first, reference)):
                sums.add(self._slot(k, slot, ScaleShift()), target)
            fits.append(sums.solve())
            # As aligned, not as it came: the next window is tied to the video, and an error is handed on.
            reference = self._slot(k, REFERENCE_SLOT, fits[k])
        return tuple(fits)

    def _fit_together(self) -> tuple[ScaleShift, ...]:
        """Fit all windows at once, by what each shares with the one before it and, in slot 0, with the first."""
        samples: list[OverlapSample] = []
        for k in range(1, len(self.fits)):
            samples.append(self._sample(k - 1, k, self._shared_slots(k)))
            # All windows see the first frame, which keeps a long video from drifting.
            if k > 1:
                samples.append(self._sample(0, k, [(0, 0)]))
        return tuple(solve_joint(samples, len(self.fits), kind="inverse_depth"))

    def _shared_slots(self, k: int) -> list[tuple[int, int]]:
        """Slots of window k - 1 and of window k that hold the same frame; k = 1 shares the first frame too."""
        before, window = Window(self.start, self.stop, k - 1), Window(self.start, self.stop, k)
        blended = [before.frame_indices.index(frame) for frame in before.shown if frame in window.shown]
        first = [(0, 0)] if k == 1 else []
        return [*first, (REFERENCE_SLOT, 1), *((slot, slot - WINDOW_STEP) for slot in blended)]

    def _sample(self, first: int, second: int, slots: list[tuple[int, int]]) -> OverlapSample:
        sampler = OverlapSampler(first, second, len(slots), kind="inverse_depth", limit=_JOINT_PIXELS)
        for one, other in slots:
            # At the network's own size: resizing would make no new pixels.
            sampler.add(self.read(first).slot(one), self.read(second).slot(other))
        return sampler.sample()

    def _slot(self, k: int, slot: int, fit: ScaleShift) -> np.ndarray:
        """Return the aligned depth of one slot; an unaligned one (scale 1, shift 0) is raw, for it is >= 0."""
        return fit.apply(resize_depth(self.read(k).slot(slot), self.width, self.height))

    def _place(self, frame: int) -> tuple[int, int]:
        """The newest window with a say in ``frame``, and the frame's slot there."""
        place = frame - self.start
        k = min(max(0, (place - ANCHOR_SLOTS - 1) // WINDOW_STEP), len(self.fits) - 1)
        return k, place - WINDOW_STEP * k

    def frame(self, index: int) -> np.ndarray:
        """Return the depth of the video's frame ``index``, float32 ``[height, width]``, never negative."""
        k, slot = self._place(index)
        depth = self._slot(k, slot, self.fits[k])
        if k == 0 or slot >= ANCHOR_SLOTS + BLEND_FRAMES:
            return depth
        weight = np.float32(blend_weights()[slot - ANCHOR_SLOTS])
        before = self._slot(k - 1, slot + WINDOW_STEP, self.fits[k - 1])
        return before * (np.float32(1) - weight) + depth * weight

    def is_missing(self, index: int) -> bool:
        """Whether the video has no picture at ``index``: the network saw the frame before it instead."""
        k, slot = self._place(index)
        return slot in self.read(k).missing

    def value_range(self) -> tuple[float, float]:
        """Bounds that hold every value of ``frame``, from the windows' own figures, without reading a slot.

        Resizing and blending are averages, so they stay inside the range of the kept slots, aligned.
        """
        low, high = np.inf, 0.0
        for k, fit in enumerate(self.fits):
            raw = self.read(k)
            window = Window(self.start, self.stop, k)
            slots = [slot for slot, frame in enumerate(window.frame_indices) if frame in window.shown]
            for value in (raw.minima[slots].min(), raw.maxima[slots].max()):
                # Both ends, for a fitted scale may be negative.
                aligned = max(fit.scale * float(value) + fit.shift, 0.0)
                low, high = min(low, aligned), max(high, aligned)
        return low, high

    def quantisation_error(self) -> float:
        """The largest error that storing the raw windows can have put into a value of ``frame``."""
        return max(abs(fit.scale) * self.read(k).step / 2 for k, fit in enumerate(self.fits))

    def to_json(self) -> dict[str, Any]:
        """The sequence's frames, and its windows' scales and shifts."""
        return {
            "start_frame": self.start,
            "end_frame": self.stop,
            "scale": [fit.scale for fit in self.fits],
            "shift": [fit.shift for fit in self.fits],
        }


def cached_reader(open_window: WindowReader, windows: int = 8) -> WindowReader:
    """Keep the figures (not the depth) of the last few windows opened."""
    return lru_cache(maxsize=windows)(open_window)
