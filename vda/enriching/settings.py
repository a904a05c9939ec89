"""What is asked of an enrichment, and what came of it. This file opens nothing and computes nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vda.calibration.choice import CalibrationChoice
from vda.calibration.fit import Calibration
from vda.calibration.sampling import Region
from vda.camera.choice import CameraChoice
from vda.camera.intrinsics import Intrinsics
from vda.depthmaps.codes import Kind
from vda.enriching.motion import MotionModel
from vda.machine.packages import require_package
from vda.records import Positive, require_sound
from vda.tracks import Asked, require_format

_ANYWHERE = Region()


@dataclass(frozen=True)
class DepthChoice:
    """Where depth is: the ``scene``'s own, or ``folder``; ``scale`` codes are a metre where no record says so,
    and with ``by_order`` the frames of the folder are in the order of its files' names.
    """

    scene: Path | None = None
    folder: Path | None = None
    scale: float | None = None
    kind: Kind = "depth"
    by_order: bool = False


@dataclass(frozen=True)
class EnrichSettings:
    """What ``vda enrich`` is asked. ``times_fps`` gives times to frames where no scene knows them.

    ``poses`` is a reconstruction (``camera.reconstruction``) whose images count frames from ``image_base``
    and, of a rig, are in ``image_folder``.
    """

    tracks: Path
    output: Path
    depth: DepthChoice
    track_format: str | None = None
    asked: Asked = field(default_factory=Asked)
    camera: CameraChoice = field(default_factory=CameraChoice)
    calibration: CalibrationChoice = field(default_factory=CalibrationChoice)
    region: Region = _ANYWHERE
    allow_relative: bool = False
    motion: MotionModel | None = None
    times_fps: Positive | None = None
    poses: Path | None = None
    image_base: Literal[0, 1] | None = None
    image_folder: str | None = None
    also: tuple[Literal["csv", "parquet", "sheet"], ...] = ()
    figure: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_sound(self, times_fps="fps")
        require_format(self.track_format)
        if "parquet" in self.also:
            require_package("pyarrow", "A Parquet file", "tracks")
        if self.motion is not None:
            require_package("filterpy", "--smooth", "tracks")


@dataclass(frozen=True)
class Report:
    """What came of it; ``said`` are the sentences that the user has been told."""

    records: int
    skipped: dict[str, int]
    relative: bool
    camera: Intrinsics
    calibration: Calibration | None
    written: tuple[Path, ...]
    said: tuple[str, ...]

    @property
    def enriched(self) -> int:
        return self.records - sum(self.skipped.values())

    def to_json(self) -> dict[str, Any]:
        names = ("width", "height", "fx", "fy", "cx", "cy", "distortion_model", "distortion")
        told = ("scale", "shift", "kind", "method", "samples", "error")
        return {
            "records": self.records,
            "enriched": self.enriched,
            "skipped": sum(self.skipped.values()),
            "skipped_reasons": self.skipped,
            "relative": self.relative,
            "camera": {name: getattr(self.camera, name) for name in names},
            "calibration": self.calibration and {name: getattr(self.calibration, name) for name in told},
            "written": [str(path) for path in self.written],
            "said": list(self.said),
        }
