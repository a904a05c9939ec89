"""The picture of ``docs/performance.md``: how far each figure is from its bound. ``python -m bench.picture``."""

import hashlib
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from bench.figures import Figure
from bench.keeping import KEPT, figures_of, kept

PICTURE = KEPT.with_name("figures.png")
SOURCE = "Source"
"""Under this word the picture says which figures it shows: the sha256 of their file."""
_HELD, _MISSED = "#3b7ea1", "#c8553d"
# A bound that is held by far would push all others against the line.
_MOST = 3.0


def margin(figure: Figure) -> float:
    """How many times better than its bound a figure is: below 1 where the bound is missed."""
    assert figure.bound is not None
    return figure.value / figure.bound if figure.side == "at least" else figure.bound / figure.value


def sha256(path: Path = KEPT) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def draw(source: Path = KEPT, picture: Path = PICTURE) -> None:
    rows = [
        (f"{name}: {figure.name}", figure)
        for name, entry in kept(source).items()
        for figure in figures_of(entry)
        if figure.bound is not None
    ]
    canvas = Canvas(figsize=(11, 0.6 + 0.24 * len(rows)), layout="constrained")
    FigureCanvasAgg(canvas)
    _bars(canvas.subplots(), rows)
    canvas.savefig(picture, dpi=100, metadata={SOURCE: sha256(source), "Software": None})


def _bars(axes: Axes, rows: list[tuple[str, Figure]]) -> None:
    for place, (_, figure) in enumerate(rows):
        length = min(margin(figure), _MOST)
        axes.barh(place, length, color=_HELD if figure.holds else _MISSED)
        words = f"{figure.value:.3g} {figure.unit} ({figure.side} {figure.bound:g})".replace("  ", " ")
        axes.text(length + 0.02, place, words, va="center", fontsize=7)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
    axes.set_xlim(0, _MOST + 1)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel(f"times better than the bound, which is the line (bars end at {_MOST:g})", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw()
