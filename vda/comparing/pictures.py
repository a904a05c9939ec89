"""Difference maps in colours, with a bar that says what a colour means, and the sheet of the worst frames.

In: a comparison. Out: pictures as arrays, SVG and PNG. Red is where A is nearer than B, blue where it is farther,
so that a map reads the same for metres and for inverse depth; grey is where one of them has no depth.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vda.comparing.differences import Values
from vda.comparing.stage import Comparison
from vda.comparing.steady import pictures_of
from vda.depthmaps.colours import Rgb, colorize, shown_range
from vda.evaluation.figures import STYLE
from vda.files import atomic_path
from vda.picture.upright import with_square_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Even to the eye, light in the middle, and apart for those who do not tell red from green.
_COLORMAP = "coolwarm"
# All but the worst pixels have a colour of their own.
_SHOWN_PERCENTILE = 99.5
_LEAST_LIMIT = 1e-6


@dataclass(frozen=True)
class ComparedDepth:
    """A frame as pictures: the film's if known, A as it was fitted and B in one range of colours, and d."""

    frame: int
    mean: float
    a: Rgb
    b: Rgb
    difference: Rgb
    picture: Rgb | None


@dataclass(frozen=True)
class Shown:
    """The worst frames, and what ``limit`` (a share) the colours of their differences go to."""

    rows: tuple[ComparedDepth, ...]
    limit: float
    unit: str


def show_worst(comparison: Comparison) -> Shown:
    """Read the worst frames again and put them in colours; the whole pictures, the border too."""
    together = comparison.together
    places = {pair[1]: place for place, pair in enumerate(together.pairs)}
    chosen = [places[frame.frame] for frame in comparison.worst]
    film = pictures_of(together, chosen, together.size)
    metres = together.quantity == "depth"
    maps, depths = [], []
    for frame, place in zip(comparison.worst, chosen, strict=True):
        a, b = together.read(place)
        ruler = comparison.ruler(frame.frame)
        # Metres grow away from the camera, inverse depth towards it: red is nearer either way.
        maps.append(ruler.signed(a, b) * (-1 if metres else 1))
        depths.append((ruler.fit.scale * a + ruler.fit.shift, b))
    limit = _round_limit(maps)
    kind = "depth" if metres else "inverse_depth"
    rows = []
    for frame, place, d, (a, b) in zip(comparison.worst, chosen, maps, depths, strict=True):
        low, high = shown_range(b, kind) or (0.0, 1.0)
        of_a, of_b = (colorize(_towards(values, metres), low, high) for values in (a, b))
        drawn = (of_a, of_b, colorize(d, -limit, limit, _COLORMAP))
        own_a, own_b, own_d = (with_square_pixels(picture, together.pixel_aspect) for picture in drawn)
        seen = with_square_pixels(film[place], together.pixel_aspect) if place in film else None
        rows.append(ComparedDepth(frame.frame, frame.mean, own_a, own_b, own_d, seen))
    return Shown(tuple(rows), limit, comparison.unit)


def _towards(values: np.ndarray, metres: bool) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 / values if metres else values


def _round_limit(maps: Sequence[Values]) -> float:
    """What nearly all differences stay below, up to the next 1, 2 or 5 times a power of ten."""
    sizes = np.abs(np.concatenate([d[np.isfinite(d)] for d in maps]))
    most = max(float(np.percentile(sizes, _SHOWN_PERCENTILE)), _LEAST_LIMIT)
    power = 10.0 ** math.floor(math.log10(most))
    # Rounding of the quotient must not make 2 out of 1.
    return next(step * power for step in (1, 2, 5, 10) if step * power >= most * (1 - 1e-9))


def colour_bar(shown: Shown) -> str:
    """The bar of the maps' colours as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(4.8, 0.75), layout="constrained")
        _put_bar(figure, figure.subplots(), shown)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def _put_bar(figure: Any, axes: "Axes", shown: Shown) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    ends = 100 * shown.limit
    colours = ScalarMappable(Normalize(-ends, ends), _COLORMAP)
    bar = figure.colorbar(colours, cax=axes, orientation="horizontal", extend="both")
    bar.set_ticks([-ends, -ends / 2, 0, ends / 2, ends], labels=[f"{x:g}" for x in _ticks(ends)])
    bar.set_label(f"A farther  -  % of {shown.unit}  -  A nearer")


def _ticks(ends: float) -> list[float]:
    return [-ends, -ends / 2, 0, ends / 2, ends]


def draw_sheet(path: Path, shown: Shown) -> None:
    """Write a PNG with a row for each of the worst frames, and the bar of the differences' colours below."""
    from matplotlib.figure import Figure

    names = ["film"] * any(row.picture is not None for row in shown.rows) + ["A, fitted to B", "B", "A - B"]
    height, width = shown.rows[0].b.shape[:2]
    tall = 3.2 * height / width + 0.3
    figure = Figure(figsize=(3.2 * len(names), tall * len(shown.rows) + 0.7), layout="constrained")
    pictures, below = figure.subfigures(2, 1, height_ratios=[tall * len(shown.rows), 0.7], squeeze=False)[:, 0]
    for axes_row, row in zip(
        pictures.subplots(len(shown.rows), len(names), squeeze=False), shown.rows, strict=True
    ):
        images = {"film": row.picture, "A, fitted to B": row.a, "B": row.b, "A - B": row.difference}
        for axes, name in zip(axes_row, names, strict=True):
            image = images[name]
            if image is not None:
                axes.imshow(image)
            about = f", mean {100 * row.mean:.3g} %" if name == "A - B" else ""
            axes.set_title(f"{name}: frame {row.frame}" if name == names[0] else f"{name}{about}", fontsize=9)
            axes.set_axis_off()
    _put_bar(below, below.add_axes((0.3, 0.68, 0.4, 0.22)), shown)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
