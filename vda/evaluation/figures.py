"""The report's plots: numbers in, SVG out. Drawn by Matplotlib in a grey that can be read on white and on black.

This file knows neither scenes nor HTML.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#808890"
# Matplotlib names every setting in its types; a plain dictionary is none of them.
_STYLE: Any = {
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
}


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

    with rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 1.9 * len(panels) + 0.3), layout="constrained")
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, lines, label in zip(rows, panels, labels, strict=True):
            for line in lines:
                axes.plot(line.x, line.y, marker="o", markersize=3, linewidth=1, label=line.name)
            axes.set_ylabel(label)
            if len(lines) > 1:
                axes.legend()
        rows[-1].set_xlabel(xlabel)
        return _svg(figure)


def draw_timeline(bars: Sequence[Bar]) -> str:
    """Return an SVG of who worked on what, and when; a colour a device."""
    from matplotlib import colormaps, rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
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


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
