"""What is exported and how: the user's wishes, and how the depth's values become lengths.

This file does not know the formats.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vda.calibration.fit import Calibration
from vda.camera.choice import CameraChoice
from vda.depthmaps.source import DepthSource
from vda.errors import UsageError
from vda.exporting.depthfiles import DepthKind
from vda.exporting.written import Written
from vda.machine.packages import require_package
from vda.records import Within, require_sound
from vda.tracks import Asked, require_format

# Cameras need no depth, and hence no unit of length; these need a unit only where places are compared.
CAMERAS: Final = "cameras"
TAKE_RELATIVE: Final = ("ply", "rerun")
_NEED_POSES: Final = ("nerfstudio", "gaussian-splatting", "tum", "colmap", "dn-splatter")
_TAKE_DEPTH_KIND: Final = ("nerfstudio", "colmap")


@dataclass(frozen=True)
class ExportSettings:
    """What ``vda export`` is asked. ``near`` and ``far`` limit depth, in its unit; ``every`` is a step of frames,
    ``stride`` one of the pixels of a cloud. ``by_order``: the images of ``poses`` are the video's frames in order.
    ``depth_as`` is the kind of depth file (None: the target's own), ``points`` how many points a training begins
    with; ``track_format`` and ``asked`` say of ``tracks`` what the file does not. ``edges`` and ``sky`` say what
    becomes of pixels on depth edges and in the sky; ``undistort`` that pictures, depth and cameras are those of a
    camera without its lens.
    """

    scene: Path
    target: str
    output: Path
    poses: Path | None = None
    image_base: Literal[0, 1] | None = None
    image_folder: str | None = None
    by_order: bool = False
    camera: CameraChoice = field(default_factory=CameraChoice)
    every: Annotated[int, Within(1)] = 1
    stride: Annotated[int, Within(1)] = 2
    near: float = 0.0
    far: float = float("inf")
    allow_relative: bool = False
    tracks: Path | None = None
    track_format: str | None = None
    asked: Asked = field(default_factory=Asked)
    depth_as: DepthKind | None = None
    points: Annotated[int, Within(0)] = 100_000
    edges: Literal["keep", "drop"] = "keep"
    sky: Literal["keep", "drop"] = "keep"
    undistort: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_sound(self, target="to")

    @property
    def leaves_out(self) -> bool:
        """Is there a wish that some pixels have no depth?"""
        return (self.near, self.far, self.edges, self.sky) != (0.0, float("inf"), "keep", "keep")


def check_settings(settings: ExportSettings) -> None:
    """Raise ``UsageError`` for wishes that the target cannot fulfil, or that contradict each other."""
    require_format(settings.track_format)
    target = settings.target
    if target == "ply" or (target == "nerfstudio" and settings.points):
        require_package("plyfile", f"Export to {target}", "export")
    if target == "rerun":
        require_package("rerun", "A recording", "export")
    if target in _NEED_POSES and settings.poses is None:
        raise UsageError(
            f"{target} lives in a reconstruction, and none is given.",
            "Give --poses: a transforms.json, a COLMAP sparse model, a cameras.json or a TUM trajectory.",
        )
    if settings.depth_as is not None and target not in _TAKE_DEPTH_KIND:
        raise UsageError(
            f"The program that {target} is for reads one kind of depth, so --depth-as has no use there.",
            f"Leave it out, or export to {' or '.join(_TAKE_DEPTH_KIND)}.",
        )
    if settings.tracks is None and (settings.track_format is not None or settings.asked != Asked()):
        raise UsageError(
            "--track-format, --frame-base, --frame-field and --track-size tell of tracks, and none are given.",
            "Leave them out, or give --tracks.",
        )
    if settings.tracks is not None and target != "rerun":
        raise UsageError(f"{target} has no place for tracks.", "Leave out --tracks, or export to rerun.")
    if target == CAMERAS and settings.leaves_out:
        raise UsageError(
            "Cameras have no depth, so --near, --far, --edges and --sky have no use there.", "Leave them out."
        )
    if settings.poses is None and (settings.by_order or settings.image_base is not None or settings.image_folder):
        raise UsageError(
            "--by-order, --image-base and --image-folder tell which image a pose is of, and there are no poses.",
            "Leave them out, or give --poses.",
        )
    if math.isnan(settings.near) or not settings.near < settings.far:
        raise UsageError(
            f"No depth lies between --near {settings.near:g} and --far {settings.far:g}.",
            "Give a --near below --far.",
        )
    _check_output(settings)


def _check_output(settings: ExportSettings) -> None:
    output = settings.output
    if settings.target == "rerun" and output.is_dir():
        raise UsageError(f"{output} is a folder, and a recording is one file.", "Give --output NAME.rrd.")
    if settings.target != "rerun" and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, and {settings.target} writes a folder.", "Give another --output.")


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
