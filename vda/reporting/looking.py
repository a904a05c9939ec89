"""The pictures of a report: frames with their depth, the worst of them, and the film.

In: a ``Work``. Out: sections of HTML. This file does not know what is said of the depth.
"""

from collections.abc import Sequence
from fractions import Fraction
from urllib.parse import quote

import numpy as np

from vda.depthmaps.colours import colorize
from vda.evaluation.page import enlarging, section
from vda.merging.views import VISUALIZATION
from vda.picture.upright import with_square_pixels
from vda.reporting.work import Work, reduced


def worst(work: Work) -> str:
    """The frames that the verdict names, each with the one before it."""
    named = [sentence.frame for sentence in work.verdict if sentence.frame is not None]
    if not named:
        return ""
    note = f"Each with the frame before it. {work.no_pictures()}"
    rows = "".join(
        f'<div class="strip" id="frame-{frame}">{_cells(work, _with_before(work, frame))}</div>'
        for frame in dict.fromkeys(named)
    )
    return section("Where it is worst", rows, note)


def _with_before(work: Work, frame: int) -> list[int]:
    place = work.plan.place(frame)
    return [work.plan.frame(place - 1), frame] if place > 0 else [frame]


def film(work: Work) -> str:
    video = work.scene.merged_dir / VISUALIZATION
    if not video.is_file():
        return section(
            "The film", "", "There is no video of the depth; vda merge --create-video makes one beside it."
        )
    source = quote(video.relative_to(work.scene.root).as_posix())
    note = "It lies beside this page, in the scene's folder, and is not part of it."
    return section("The film", f'<video controls preload="metadata" src="{source}"></video>', note)


def filmstrip(work: Work) -> str:
    note = "Bright is near; one range of colours for the whole scene. Click a picture to enlarge it. "
    note += work.no_pictures()
    return section(
        "Frames and depth",
        f'<div class="strip">{_cells(work, work.strip)}</div>',
        note,
    )


def _cells(work: Work, frames: Sequence[int]) -> str:
    """Each of ``frames`` over its depth."""
    depths = [reduced(work.depth.read(frame)) for frame in frames]
    kind, shown = work.record.quantizer.kind, work.shown
    pictures, aspect = work.pictures(frames), Fraction(work.record.pixel_aspect)
    cells = []
    for frame, depth in zip(frames, depths, strict=True):
        with np.errstate(divide="ignore"):
            colours = colorize(1 / depth if kind == "depth" else depth, *shown)
        both = [reduced(pictures[frame])] if frame in pictures else []
        images = "".join(
            enlarging(with_square_pixels(picture, aspect), f"{what} of frame {frame}")
            for what, picture in zip(("picture", "depth")[-1 - len(both) :], (*both, colours), strict=True)
        )
        cells.append(f"<figure>{images}<figcaption>frame {frame}</figcaption></figure>")
    return "".join(cells)
