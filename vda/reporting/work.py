"""What a report is made of: a scene with its plan, its depth, its figures and, where it can be read, its video.

In: a merged scene. Out: ``Work``. This file does not know what the page shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.colours import Rgb, shown_range
from vda.depthmaps.source import DepthSource
from vda.errors import VdaError
from vda.evaluation.quality import Quality, film_pictures
from vda.evaluation.seams import spread
from vda.joining.scenedepth import SceneDepth
from vda.reporting.verdict import Sentence, verdict
from vda.scene.chunks import Plan
from vda.scene.scene import Scene

# One row of the page, which is 60rem wide and has columns of 9rem; wider than a column, for they can be enlarged.
_STRIP_FRAMES = 6
_WIDTH = 640


@dataclass(frozen=True)
class Work:
    """What a report is made of: the scene, its plan, its depth, and its video where that can be read."""

    scene: Scene
    plan: Plan
    record: DepthRecord
    depth: DepthSource
    quality: Quality
    in_order: SceneDepth | None = None
    """The same windows aligned one after the other, where the merge solved them jointly and they are there."""

    @cached_property
    def verdict(self) -> list[Sentence]:
        return verdict(self.quality, self.record)

    @property
    def strip(self) -> list[int]:
        """Some frames, spread over the film."""
        return spread(self.depth.frames, _STRIP_FRAMES)

    @cached_property
    def shown(self) -> tuple[float, float]:
        """The range of colours, by the frames of the film's strip."""
        depths = [reduced(self.depth.read(frame)) for frame in self.strip]
        values = np.concatenate([depth.ravel() for depth in depths])
        return shown_range(values, self.record.quantizer.kind) or (0.0, 1.0)

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
            return error.problem
        return ""


def reduced(image: np.ndarray) -> np.ndarray:
    step = -(-image.shape[1] // _WIDTH)
    return image[::step, ::step]
