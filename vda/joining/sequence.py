"""One sequence's raw windows in, its depth frame by frame out: aligned, blended, at the video's size.

The rule is that of Video Depth Anything (arXiv 2501.12375; the public implementation's numbers): each window is
fitted by least squares to what the windows before it settled, on frames resized to the video's size, and blended
with its predecessor over eight frames. Metric depth is blended as it is. ``align="joint"`` fits all windows of the
sequence together instead, in metric depth by a scale each. A frame is made from one or two slots: memory does not
grow with the sequence, and frames can be made in any order, by many threads.

This file does not know about codes, outputs, or other sequences.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain
from math import exp, isqrt
from typing import Any, Literal

import numpy as np

from vda.joining.align import FitSums, ScaleShift
from vda.joining.overlaps import LEAST_AGREEMENT, Kind, agreement
from vda.linking.links import Link, measure_link
from vda.linking.windowfits import WindowFits, fit_windows
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

# Of each link. Windows differ by smooth fields, of which these pixels, on a lattice, see as much as all would.
_LINK_PIXELS = 1000
# Of a metric video: enough to know whether its windows differ.
_LOOKED_AT = 60


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

    ``fits`` are the windows' scales and shifts, ``fits[k]`` for window ``k``; ``untied`` are the windows that
    joint alignment found nothing to fit by, ``unrelated`` those that were fitted in order to a window that they
    have nothing in common with where they meet.
    """

    start: int
    stop: int
    width: int
    height: int
    read: WindowReader
    fits: tuple[ScaleShift, ...]
    kind: Kind = "inverse_depth"
    untied: tuple[int, ...] = ()
    unrelated: tuple[int, ...] = ()

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
        """Fit the windows in order (three slots of each are read) or jointly (19).

        Metric depth is not fitted in order: the public code takes each window as it is, in metres already.
        """
        count = sum(1 for _ in sequence_windows(start, stop))
        kind: Kind = "depth" if metric else "inverse_depth"
        unaligned = cls(start, stop, width, height, read, (ScaleShift(),) * count, kind)
        if align == "joint":
            found = unaligned._fit_together()
            fits = tuple(ScaleShift(*fit) for fit in zip(found.scales, found.shifts, strict=True))
            return replace(unaligned, fits=fits, untied=found.untied)
        if metric:
            return unaligned
        in_order, unrelated = unaligned._fit_in_order()
        return replace(unaligned, fits=in_order, unrelated=unrelated)

    def _fit_in_order(self) -> tuple[tuple[ScaleShift, ...], tuple[int, ...]]:
        """Fit each window to the first frame and to one of the window before it; return the unrelated ones too."""
        fits, unrelated = [ScaleShift()], []
        first = self._slot(0, 0, fits[0])
        reference = self._slot(0, REFERENCE_SLOT, fits[0]) if len(self.fits) > 1 else first
        for k in range(1, len(self.fits)):
            sums = FitSums()
            met = self._slot(k, 1, ScaleShift())
            sums.add(self._slot(k, 0, ScaleShift()), first)
            sums.add(met, reference)
            if not _agree(met, reference):
                unrelated.append(k)
            fits.append(sums.solve())
            # As aligned, not as it came: the next window is tied to the video, and an error is handed on.
            reference = self._slot(k, REFERENCE_SLOT, fits[k])
        return tuple(fits), tuple(unrelated)

    def _fit_together(self) -> WindowFits:
        """Fit all windows at once, by what each shares with the one before it and, in slot 0, with the first."""
        windows = range(1, len(self.fits))
        # All windows see the first frame, which keeps a long video from drifting.
        anchor = self._pixels(0, [0]) if windows else np.empty((1, 0))
        found = chain.from_iterable((self._link(k), self._anchor_link(k, anchor)) for k in windows)
        lowest = [float(self.read(k).minima[self._kept_slots(k)].min()) for k in range(len(self.fits))]
        return fit_windows([link for link in found if link], lowest, kind=self.kind)

    def _link(self, k: int) -> Link | None:
        """What window k - 1 and window k say of each other by the nine frames that both hold."""
        before, window = Window(self.start, self.stop, k - 1), Window(self.start, self.stop, k)
        blended = [before.frame_indices.index(frame) for frame in before.shown if frame in window.shown]
        first = self._pixels(k - 1, [REFERENCE_SLOT, *blended])
        second = self._pixels(k, [1, *(slot - WINDOW_STEP for slot in blended)])
        return measure_link((k - 1, k), first, second, kind=self.kind, by_anchor=False)

    def _anchor_link(self, k: int, anchor: np.ndarray) -> Link | None:
        return measure_link((0, k), anchor, self._pixels(k, [0]), kind=self.kind, by_anchor=True)

    def _pixels(self, k: int, slots: list[int]) -> np.ndarray:
        """Return float64 ``[slots, pixels]``: a lattice of each slot at the network's size, some 1000 in all."""
        raw = self.read(k)
        step = max(1, isqrt(raw.shape[1] * raw.shape[2] * len(slots) // _LINK_PIXELS))
        return np.stack([raw.slot(slot)[step // 2 :: step, step // 2 :: step].ravel() for slot in slots]).astype(
            np.float64
        )

    @cached_property
    def metric_steps(self) -> tuple[float, ...]:
        """By what factor neighbouring windows of unfitted metric depth differ: at most 60, spread over the video.

        Factors are 1 or more. Windows that say nothing are left out; there are none of depth that was fitted.
        """
        if self.kind != "depth" or self.untied or any(fit != ScaleShift() for fit in self.fits):
            return ()
        windows = range(1, len(self.fits))
        found = (self._link(k) for k in windows[:: -(-len(windows) // _LOOKED_AT) or 1])
        return tuple(exp(abs(link.log_ratio)) for link in found if link)

    def _slot(self, k: int, slot: int, fit: ScaleShift) -> np.ndarray:
        """Return the aligned depth of one slot; an unaligned one (scale 1, shift 0) is raw, for it is >= 0."""
        raw = self.read(k).slot(slot)
        resized = resize_depth(raw, self.width, self.height)
        return fit.apply(resized, out=None if resized is raw else resized)

    def _place(self, frame: int) -> tuple[int, int]:
        """The newest window with a say in ``frame``, and the frame's slot there."""
        place = frame - self.start
        k = min(max(0, (place - ANCHOR_SLOTS - 1) // WINDOW_STEP), len(self.fits) - 1)
        return k, place - WINDOW_STEP * k

    def frame(self, index: int) -> np.ndarray:
        """Return the depth of the video's frame ``index``, float32 ``[height, width]``, never negative."""
        k, slot = self._place(index)
        blended = k > 0 and slot < ANCHOR_SLOTS + BLEND_FRAMES
        weight = np.float32(blend_weights()[slot - ANCHOR_SLOTS] if blended else 1)
        # A window that has no weight need not be read.
        if weight == 1:
            return self._slot(k, slot, self.fits[k])
        before = self._slot(k - 1, slot + WINDOW_STEP, self.fits[k - 1])
        if weight == 0:
            return before
        depth = self._slot(k, slot, self.fits[k])
        before *= np.float32(1) - weight
        depth *= weight
        before += depth
        return before

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
            raw, slots = self.read(k), self._kept_slots(k)
            for value in (raw.minima[slots].min(), raw.maxima[slots].max()):
                # Both ends, for a fitted scale may be negative.
                aligned = max(fit.scale * float(value) + fit.shift, 0.0)
                low, high = min(low, aligned), max(high, aligned)
        return low, high

    def _kept_slots(self, k: int) -> list[int]:
        window = Window(self.start, self.stop, k)
        return [slot for slot, frame in enumerate(window.frame_indices) if frame in window.shown]

    def quantisation_error(self) -> float:
        """The largest error that storing the raw windows can have put into a value of ``frame``."""
        return max(abs(fit.scale) * self.read(k).step / 2 for k, fit in enumerate(self.fits))

    def to_json(self) -> dict[str, Any]:
        """The sequence's frames, its windows' scales and shifts, and the windows that nothing ties, if any."""
        kinds = {"untied_windows": self.untied, "unrelated_windows": self.unrelated}
        named = {name: list(windows) for name, windows in kinds.items() if windows}
        return {
            "start_frame": self.start,
            "end_frame": self.stop,
            "scale": [fit.scale for fit in self.fits],
            "shift": [fit.shift for fit in self.fits],
            **named,
        }


def _agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two pictures of one frame agree on what is near; a lattice of some 1000 pixels tells."""
    step = max(1, isqrt(first.size // _LINK_PIXELS))
    pixels = (
        values[step // 2 :: step, step // 2 :: step].ravel().astype(np.float64) for values in (first, second)
    )
    return agreement(*pixels) >= LEAST_AGREEMENT


def cached_reader(open_window: WindowReader, windows: int = 8) -> WindowReader:
    """Keep the figures (not the depth) of the last few windows opened."""
    return lru_cache(maxsize=windows)(open_window)
