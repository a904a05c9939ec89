"""The page of a comparison: what one needs to decide whether A will do in B's place.

In: a ``Comparison``. Out: one file of HTML, like the report's. This file measures nothing.
"""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vda.comparing.pictures import Shown, colour_bar, show_worst
from vda.comparing.stage import Comparison
from vda.comparing.words import basis, figure_rows, percent, side_rows
from vda.evaluation.figures import Line, draw_lines
from vda.evaluation.page import jpeg, section, svg_image, whole_page
from vda.files import write_bytes
from vda.shown import printable

# A dot for each frame of a long film would be a band of ink, and megabytes of it.
_MOST_POINTS = 240
# A page shows pictures about so wide; twice that for dense screens.
_PICTURE_WIDTH = 480


def write_page(path: Path, comparison: Comparison, shown: Shown | None = None) -> None:
    """Write the page of ``comparison`` to ``path``; ``shown`` are its worst frames, if they were read already."""
    names = [side.path.resolve().name for side in (comparison.together.a, comparison.together.b)]
    parts = (
        section("What was compared", "", " ".join(basis(comparison))),
        _figures(comparison),
        _side_by_side(comparison),
        _over_time(comparison),
        _worst(shown or show_worst(comparison)),
    )
    write_bytes(path, whole_page(f"A: {names[0]} against B: {names[1]}", parts).encode())


def _figures(comparison: Comparison) -> str:
    note = (
        "All pixels of all frames that both have, each with the same weight. Neither is truth: B is the measure."
    )
    return section("How far apart", _table(figure_rows(comparison)), note)


def _side_by_side(comparison: Comparison) -> str:
    rows = side_rows(comparison)
    note = (
        "Seams: 1 is none at all. Flicker: the change of depth along the motion of the picture, in % of its "
        "range, in the same pairs of frames. What is less than the flicker of either is hard to see."
    )
    return section("Each by itself", _table(rows, heads=("", "A", "B")), note)


def _over_time(comparison: Comparison) -> str:
    frames = [frame for frame in comparison.frames if frame.pixels]
    groups = np.array_split(np.arange(len(frames)), min(len(frames), _MOST_POINTS))
    chosen = [max((frames[place] for place in group), key=lambda frame: frame.mean) for group in groups]
    x = [frame.frame for frame in chosen]
    panels = [
        [Line("mean", x, [100 * frame.mean for frame in chosen])],
        [Line("own scale", x, [frame.own_scale for frame in chosen])],
    ]
    drawing = draw_lines(panels, [f"% of {comparison.unit}", "own scale"], "frame")
    note = "The mean difference of each frame, and the scale that the frame alone would get over the film's."
    if len(chosen) < len(frames):
        note += f" Of every {len(frames) / len(chosen):.0f} frames the one that is farthest apart is shown."
    return section("Frame by frame", svg_image(drawing, "difference over the frames"), note)


def _worst(shown: Shown) -> str:
    cells = []
    for row in shown.rows:
        images = [image for image in (row.picture, row.a, row.b, row.difference) if image is not None]
        pictures = "".join(jpeg(_reduced(image)) for image in images)
        caption = f"frame {row.frame}: {percent(row.mean)} on average"
        cells.append(f"<figure>{pictures}<figcaption>{caption}</figcaption></figure>")
    first = "the film, " if shown.rows and shown.rows[0].picture is not None else ""
    note = (
        f"From above: {first}A as it was fitted, B, and the difference in the colours of this bar. Grey has no "
        "depth in one of them. Frames near each other look alike, so these are some way apart."
    )
    bar = svg_image(colour_bar(shown), f"colours of the difference in % of {shown.unit}")
    return section("The frames farthest apart", f'{bar}<div class="strip">{"".join(cells)}</div>', note)


def _reduced(image: np.ndarray) -> np.ndarray:
    step = -(-image.shape[1] // _PICTURE_WIDTH)
    return image[::step, ::step]


def _table(rows: Iterable[Sequence[Any]], heads: Sequence[str] = ()) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(printable(str(cell)))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if heads else ''}{body}</table>"
