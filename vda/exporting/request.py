"""What is exported and how: the user's wishes, and how the depth's values become lengths.

This file does not know the formats.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vda.calibration.fit import Calibration
from vda.camera.choice import CameraChoice
from vda.depthmaps.source import DepthSource
from vda.exporting.depthfiles import DepthKind
from vda.exporting.written import Written

# Cameras need no depth, and hence no unit of length; these need a unit only where places are compared.
CAMERAS: Final = "cameras"
TAKE_RELATIVE: Final = ("ply", "rerun")


@dataclass(frozen=True)
class ExportSettings:
    """What ``vda export`` is asked. ``near`` and ``far`` limit depth, in its unit; ``every`` is a step of frames,
    ``stride`` one of the pixels of a cloud. ``by_order``: the images of ``poses`` are the video's frames in order.
    ``depth_as`` is the kind of depth file (None: the target's own), ``points`` how many points a training begins
    with. ``edges`` and ``sky`` say what becomes of pixels on depth edges and in the sky;
    ``undistort`` that pictures, depth and cameras are those of a camera without its lens.
    """

    scene: Path
    target: str
    output: Path
    poses: Path | None = None
    image_base: int | None = None
    image_folder: str | None = None
    by_order: bool = False
    camera: CameraChoice = field(default_factory=CameraChoice)
    every: int = 1
    stride: int = 2
    near: float = 0.0
    far: float = float("inf")
    allow_relative: bool = False
    tracks: Path | None = None
    depth_as: DepthKind | None = None
    points: int = 100_000
    edges: Literal["keep", "drop"] = "keep"
    sky: Literal["keep", "drop"] = "keep"
    undistort: bool = False
    overwrite: bool = False

    @property
    def leaves_out(self) -> bool:
        """Is there a wish that some pixels have no depth?"""
        return (self.near, self.far, self.edges, self.sky) != (0.0, float("inf"), "keep", "keep")


@dataclass(frozen=True)
class Metric:
    """How values become depth: a calibration for each shot (half-open range of frames), and the unit they give."""

    shots: tuple[tuple[int, int], ...]
    calibrations: tuple[Calibration, ...]
    unit: str

    def of(self, frame: int) -> Calibration:
        place = next((i for i, (start, stop) in enumerate(self.shots) if start <= frame < stop), 0)
        return self.calibrations[place]

    def to_depth(self, frame: int, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The depth, in ``unit``, of values [...] of a frame."""
        return self.of(frame).metres(values)


@dataclass(frozen=True)
class ExportContext:
    """What a writer knows besides the frames; ``frames`` is how many there are."""

    frames: int
    video_size: tuple[int, int]
    settings: ExportSettings
    metric: Metric
    depth: DepthSource
    written: Written
