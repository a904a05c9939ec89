"""The report's plots and the evaluation's pictures, drawn by Matplotlib's Agg, which needs no display.

For plots, numbers go in and SVG comes out, in a grey that can be read on white and on black; for pictures, arrays
go in and a PNG file comes out. This file knows neither scenes nor HTML.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vda.depthmaps.colours import Image, Rgb, colorize
from vda.errors import UsageError
from vda.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#808890"
# Matplotlib names every setting in its types; a plain dictionary is none of them.
STYLE: Any = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    # Otherwise two reports of one scene would differ in every name inside the picture.
    "svg.hashsalt": "vda",
    # Words stay words: shapes of letters take three times the bytes, and most of the time.
    "svg.fonttype": "none",
}
# Inches around a plot's panels: what stands there has one size, so nothing has to be laid out, which takes as long
# again as drawing.
_LEFT, _RIGHT, _TOP, _BOTTOM, _BETWEEN = 0.8, 0.15, 0.15, 0.5, 0.3


@dataclass(frozen=True)
class Line:
    """A named row of points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Bar:
    """Work of ``device`` on ``row``, from ``start`` to ``stop`` (minutes), with a word on it."""

    row: str
    start: float
    stop: float
    device: str
    word: str = ""


def draw_lines(panels: Sequence[Sequence[Line]], labels: Sequence[str], xlabel: str) -> str:
    """Return an SVG with a panel above the other for each of ``panels``, sharing the x axis."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.9 * len(panels) + 0.3))
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        _place(figure, len(panels))
        for axes, lines, label in zip(rows, panels, labels, strict=True):
            for line in lines:
                axes.plot(line.x, line.y, marker="o", markersize=3, linewidth=1, label=line.name)
            axes.set_ylabel(label)
            if len(lines) > 1:
                axes.legend()
        figure.align_ylabels(rows)
        rows[-1].set_xlabel(xlabel)
        return _svg(figure)


def draw_timeline(bars: Sequence[Bar]) -> str:
    """Return an SVG of who worked on what, and when; a colour a device."""
    from matplotlib import colormaps, rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        rows = list(dict.fromkeys(bar.row for bar in bars))
        figure = Figure(figsize=(8, 0.28 * len(rows) + 1), layout="constrained")
        axes: Axes = figure.subplots()
        devices = list(dict.fromkeys(bar.device for bar in bars))
        for bar in bars:
            colour = colormaps["tab10"](devices.index(bar.device) % 10)
            known = axes.get_legend_handles_labels()[1]
            label = None if bar.device in known else bar.device
            axes.barh(rows.index(bar.row), bar.stop - bar.start, left=bar.start, color=colour, label=label)
            axes.annotate(
                bar.word, (bar.stop, rows.index(bar.row)), (3, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        axes.set_xlabel("minutes since the first window")
        axes.margins(x=0.12)
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.3 / max(0.28 * len(rows), 1)), ncols=4)
        return _svg(figure)


@dataclass(frozen=True)
class ComparedFrame:
    """A row of an evaluation's figure: depth and truth in metres (NaN: none), and the frame itself if known."""

    frame: int
    depth: Image
    truth: Image
    rgb: Rgb | None = None


def require_png(path: Path | None) -> None:
    """Raise ``UsageError`` where a figure would have the name of another format."""
    if path is not None and path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no .png, which the figure is.", "Give --figure a name that ends in .png.")


def draw_evaluation(path: Path, rows: Sequence[ComparedFrame], cap_m: float) -> None:
    """Write a picture with a row for each frame: the frame if known, depth, truth, and the relative error in %.

    Depth and truth share one range of inverse depth, from the cap to the nearest hundredth of the truth.
    """
    from matplotlib.figure import Figure

    with_frame = any(row.rgb is not None for row in rows)
    inverse = np.concatenate([1 / row.truth[np.isfinite(row.truth)] for row in rows])
    nearest = float(np.percentile(inverse, 99)) if inverse.size else 1.0
    columns = ["frame"] * with_frame + ["depth", "truth", "error (0 to 50 %)"]
    height, width = rows[0].truth.shape
    figure = Figure(figsize=(3.2 * len(columns), (3.2 * height / width + 0.3) * len(rows)), layout="constrained")
    for axes_row, row in zip(figure.subplots(len(rows), len(columns), squeeze=False), rows, strict=True):
        pictures = {
            "frame": row.rgb,
            "depth": colorize(1 / row.depth, 1 / cap_m, nearest),
            "truth": colorize(1 / row.truth, 1 / cap_m, nearest),
            "error (0 to 50 %)": colorize(np.abs(row.depth - row.truth) / row.truth, 0, 0.5, "viridis"),
        }
        for axes, name in zip(axes_row, columns, strict=True):
            picture = pictures[name]
            if picture is not None:
                axes.imshow(picture)
            axes.set_title(f"{name}, {row.frame}" if name == columns[0] else name, fontsize=9)
            axes.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _place(figure: Any, panels: int) -> None:
    """Put ``panels`` above each other into the figure, with room for what stands around them."""
    width, height = figure.get_size_inches()
    each = (height - _TOP - _BOTTOM - _BETWEEN * (panels - 1)) / panels
    figure.subplots_adjust(
        _LEFT / width, _BOTTOM / height, 1 - _RIGHT / width, 1 - _TOP / height, hspace=_BETWEEN / each
    )


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
