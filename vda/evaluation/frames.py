"""Frames of the film above their depth, as sections of the report: some of all, and those that a verdict names.

In: a ``Work``. Out: HTML. This file does not know what the frames are shown for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import quote

import cv2
import numpy as np

from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.colours import Image, Rgb, colorize, shown_range
from vda.depthmaps.source import DepthSource
from vda.errors import VdaError
from vda.evaluation.flickers import film_pictures
from vda.evaluation.page import jpeg, section
from vda.evaluation.quality import Quality
from vda.evaluation.seams import spread
from vda.evaluation.verdict import DepthVerdict
from vda.joining.scenedepth import SceneDepth
from vda.merging.outputs import VISUALIZATION
from vda.picture.upright import with_square_pixels
from vda.scene.chunks import Plan
from vda.scene.scene import Scene

# One row of the page, which is 60rem wide and has columns of 9rem.
_STRIP_FRAMES = 6
# Twice a column's pixels and more, for dense screens and for whoever enlarges one; some 30 kB each.
_STRIP_WIDTH = 640


@dataclass(frozen=True)
class Work:
    """What a report is made of: the scene, its plan, its depth, and what that amounts to.

    ``in_order`` are the same windows aligned one after the other, where the merge solved them jointly and they are
    there; ``with_paths`` tells whether the page may name folders of this machine.
    """

    scene: Scene
    plan: Plan
    record: DepthRecord
    depth: DepthSource
    quality: Quality
    verdict: DepthVerdict
    in_order: SceneDepth | None = None
    with_paths: bool = False

    def plain(self, text: str) -> str:
        """``text`` without the folders of this machine, unless they are asked for."""
        if self.with_paths:
            return text
        root = self.scene.root
        places = {root.resolve(), root.absolute(), root, self.scene.video().path.parent}
        for folder in sorted((str(place) for place in places), key=len, reverse=True):
            if folder not in (".", "/"):
                text = text.replace(f"{folder}/", "").replace(folder, root.resolve().name)
        return text

    def pictures(self, frames: Sequence[int]) -> dict[int, Rgb]:
        """The video's frames at the size of the depth, by index; none where ``no_pictures`` says why."""
        try:
            return film_pictures(self.scene, sorted(set(frames)), (self.record.width, self.record.height))
        except (VdaError, OSError):
            return {}

    def no_pictures(self) -> str:
        """Why there are no pictures of the video, in a sentence; empty where there are."""
        try:
            self.scene.require_video()
        except VdaError as error:
            return self.plain(error.problem)
        return ""


def filmstrip(work: Work) -> str:
    """Some frames of the whole film."""
    frames = spread(work.depth.frames, _STRIP_FRAMES)
    cells = (
        f"<figure>{images}<figcaption>frame {frame}</figcaption></figure>" for frame, images in _rows(work, frames)
    )
    note = f"Bright is near; one range of colours for the whole scene. A click enlarges. {work.no_pictures()}"
    return section("Frames and depth", f'<div class="strip">{"".join(cells)}</div>', note)


def named_frames(work: Work) -> str:
    """The frames that the verdict names, each after the frame before it; nothing where it names none."""
    named = work.verdict.frames
    if not named:
        return ""
    before = {frame: _before(work, frame) for frame in named}
    images = dict(_rows(work, sorted({*named, *before.values()})))
    cells = (
        f'<figure id="{anchor(frame)}"><div class="pair"><div>{images[before[frame]]}</div>'
        f"<div>{images[frame]}</div></div><figcaption>frames {before[frame]} and {frame}</figcaption></figure>"
        for frame in named
    )
    note = "The frame before on the left, the frame that is named on the right."
    return section("Where it is worst", f'<div class="strip wide">{"".join(cells)}</div>', note)


def anchor(frame: int) -> str:
    """The name of a frame's place in the page."""
    return f"frame-{frame}"


def _before(work: Work, frame: int) -> int:
    place = work.depth.frames.index(frame)
    return work.depth.frames[max(place - 1, 0)]


def _rows(work: Work, frames: Sequence[int]) -> list[tuple[int, str]]:
    """Each frame with its picture above its depth."""
    pictures, aspect = work.pictures(frames), Fraction(work.record.pixel_aspect)
    shown = _colours(work)
    rows = []
    for frame in frames:
        both = [(pictures[frame], "film")] if frame in pictures else []
        both.append((shown(work.depth.read(frame)), "depth"))
        images = (
            jpeg(reduced(with_square_pixels(picture, aspect), _STRIP_WIDTH), f"{what}, frame {frame}")
            for picture, what in both
        )
        rows.append((frame, "".join(images)))
    return rows


def _colours(work: Work) -> Callable[[Image], Rgb]:
    """Depth as colours, by one range for all frames."""
    kind = work.record.quantizer.kind
    some = [work.depth.read(frame)[::4, ::4].ravel() for frame in spread(work.depth.frames, _STRIP_FRAMES)]
    low, high = shown_range(np.concatenate(some), kind) or (0.0, 1.0)

    def coloured(depth: Image) -> Rgb:
        with np.errstate(divide="ignore"):
            return colorize(1 / depth if kind == "depth" else depth, low, high)

    return coloured


def video(work: Work) -> str:
    """The visualization, played where the page lies in its scene."""
    path = work.scene.merged_dir / VISUALIZATION
    if not path.is_file():
        note = "There is none: vda merge SCENE --create-video makes it of the depth that is there."
        return section("The film of the depth", "", note)
    way = quote(path.relative_to(work.scene.root).as_posix())
    body = f'<video controls preload="none" src="{way}"></video><p><a href="{way}">{way}</a></p>'
    return section("The film of the depth", body, "A file beside this page, not in it: it plays where both lie.")


def reduced(image: Rgb, width: int) -> Rgb:
    """``image`` at most ``width`` pixels wide."""
    height, own = image.shape[:2]
    if own <= width:
        return image
    size = width, max(round(height * width / own), 1)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
