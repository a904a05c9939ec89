"""Two results of depth against each other: models, precisions, sizes or versions of one film.

In: two places where depth is kept. Out: a ``Comparison``: how far A is from B, over the film and frame by frame,
and how steady each is by itself. Neither is truth: B is what A is fitted to, and its range is the measure. One
frame of each is in memory at a time. This file draws nothing.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vda.comparing.differences import LIMITS, FilmDifference, FrameDifference, PairSums, Ruler, of_film, worst
from vda.comparing.results import Image, Result, Together
from vda.comparing.steady import Steadiness, measure_steadiness
from vda.errors import InputError, UsageError
from vda.joining.align import ScaleShift
from vda.reporter import Reporter, Silence

# The range of a film settles with far fewer pixels; these are at most 2.4 million values.
_RANGE_FRAMES = 256
_RANGE_LATTICE = 96
_RANGE_PERCENTILES = (2, 98)
# Two rows of three on a page.
WORST_FRAMES = 6
# The least distance of two of them, as a share of the film.
_APART = 12


@dataclass(frozen=True)
class Comparison:
    """What came of comparing A with B. ``fits`` are those of A to B, by shot; ``ranges`` B's, in its own unit.

    Figures of ``film`` and ``frames`` are defined in ``differences``; ``steadiness`` has one of A and one of B.
    ``worst`` are the frames with the largest mean difference.
    """

    together: Together
    rulers: dict[int, Ruler]
    correlation: float
    film: FilmDifference
    frames: tuple[FrameDifference, ...]
    worst: tuple[FrameDifference, ...]
    steadiness: tuple[Steadiness, Steadiness]
    border: int

    @property
    def unit(self) -> str:
        """What differences are shares of."""
        if self.together.quantity == "depth":
            return "B's depth"
        return "B's range" if len(self.rulers) == 1 else "B's range in its shot"

    def ruler(self, frame: int) -> Ruler:
        return self.rulers[self.together.shot(frame)]

    def to_json(self) -> dict[str, Any]:
        """The figures under their own names; what could not be measured is null. Shares are of 1."""
        film, together = asdict(self.film), self.together
        return {
            "a": {"path": str(together.a.path), "kind": together.a.kind, **asdict(self.steadiness[0])},
            "b": {"path": str(together.b.path), "kind": together.b.kind, **asdict(self.steadiness[1])},
            "quantity": together.quantity,
            "unit": self.unit,
            "matched_by": together.matched_by,
            "frames": len(self.frames),
            "only_a_frames": together.left_out[0],
            "only_b_frames": together.left_out[1],
            "width": together.size[0],
            "height": together.size[1],
            "size_a": list(together.sizes[0]),
            "size_b": list(together.sizes[1]),
            "border": self.border,
            "shots": [
                {"scale": ruler.fit.scale, "shift": ruler.fit.shift, "range": ruler.range}
                for ruler in self.rulers.values()
            ],
            "correlation": _or_none(self.correlation),
            "difference": _without_nan({**film, "over": _by_limit(self.film.over)}),
            "worst_frames": [frame.frame for frame in self.worst],
            "per_frame": [
                _without_nan({name: value for name, value in asdict(frame).items() if name != "over"})
                for frame in self.frames
            ],
        }


def _by_limit(over: tuple[float, ...]) -> dict[str, float | None]:
    return {f"{limit:g}": _or_none(share) for limit, share in zip(LIMITS, over, strict=True)}


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _or_none(value) if isinstance(value, float) else value for name, value in values.items()}


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def compare(
    a: Path,
    b: Path,
    *,
    a_scale: float | None = None,
    b_scale: float | None = None,
    border: int = 0,
    by_order: bool = False,
    reporter: Reporter | None = None,
) -> Comparison:
    """Compare the depth ``a`` with ``b``, of the frames that both have, at the size of the smaller one.

    Inverse depth of A gets one scale (at least 0) and one shift for each shot, by least squares over all pixels
    that both have; metres are taken as they are. Of a metric and a relative result both are compared as inverse
    depth. ``a_scale`` and ``b_scale`` are the numbers to the metre of depth without a ``depth.json``; pixels
    within ``border`` of the edge are left out. ``reporter`` is told the frames done. Raises ``InputError`` where
    the two have nothing in common, ``UsageError`` where the border leaves nothing.
    """
    reporter = reporter or Silence()
    together = Together.of(
        Result.open(a, a_scale, by_order=by_order), Result.open(b, b_scale, by_order=by_order), by_order=by_order
    )
    if 2 * border >= min(together.size):
        raise UsageError(
            f"A border of {border} leaves nothing of {together.size[0]} x {together.size[1]}.",
            "Give a smaller --border.",
        )
    reporter.begin("comparing", 2 * len(together.pairs))
    fitting = _Fitting(together, border)
    for place in range(len(together.pairs)):
        fitting.add(place)
        reporter.at(place + 1)
    rulers, correlation = fitting.rulers(), fitting.correlation()
    frames = []
    for place, (_, frame) in enumerate(together.pairs):
        frames.append(rulers[together.shot(frame)].frame(frame, *inside(together.read(place), border)))
        reporter.at(len(together.pairs) + place + 1)
    film = of_film(frames)
    if not film.pixels:
        raise InputError(f"No pixel has depth in {a} and in {b}.", "Check that both are of one film.")
    chosen = worst(frames, WORST_FRAMES, max(len(frames) // _APART, 1))
    steadiness = measure_steadiness(together)
    return Comparison(together, rulers, correlation, film, tuple(frames), tuple(chosen), steadiness, border)


def inside(images: tuple[Image, Image], border: int) -> tuple[Image, Image]:
    """Both images without what is within ``border`` pixels of their edges."""
    height, width = images[0].shape
    places = slice(border, height - border), slice(border, width - border)
    return images[0][places], images[1][places]


class _Fitting:
    """The first pass: fits and ranges of each shot."""

    def __init__(self, together: Together, border: int) -> None:
        self._together, self._border = together, border
        self._sums: dict[int, PairSums] = {}
        self._sampled: dict[int, list[Image]] = {}
        self._all = PairSums()
        self._every = -(-len(together.pairs) // _RANGE_FRAMES)

    def add(self, place: int) -> None:
        frame = self._together.pairs[place][1]
        a, b = inside(self._together.read(place), self._border)
        shot = self._together.shot(frame)
        both = np.isfinite(a) & np.isfinite(b)
        own = a[both].astype(np.float64), b[both].astype(np.float64)
        self._sums.setdefault(shot, PairSums()).add(*own)
        if place % self._every == 0 or shot not in self._sampled:
            row, column = (-(-side // _RANGE_LATTICE) for side in b.shape)
            seen = np.where(both, b, np.nan)[::row, ::column]
            self._sampled.setdefault(shot, []).append(seen[np.isfinite(seen)])

    def rulers(self) -> dict[int, Ruler]:
        return {shot: self._ruler(shot) for shot in sorted(self._sums)}

    def _ruler(self, shot: int) -> Ruler:
        if self._together.quantity == "depth":
            return Ruler(ScaleShift(), None)
        values = np.concatenate(self._sampled[shot])
        low, high = np.percentile(values, _RANGE_PERCENTILES) if values.size else (0.0, 0.0)
        # Depth that is the same everywhere has no range to measure by; its own size is the next best.
        measure = float(high - low) or abs(float(high)) or 1.0
        return Ruler(self._sums[shot].solve(), measure)

    def correlation(self) -> float:
        """The mean of the shots' own, for each has a scale of its own."""
        found = [sums.correlation() for sums in self._sums.values()]
        return float(np.mean(found)) if found else float("nan")
