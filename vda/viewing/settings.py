"""What is asked of ``vda view``, and which wishes contradict each other.

This file does not know how anything is shown.
"""

import ipaddress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from vda.camera.choice import CameraChoice
from vda.depthmaps.colours import COLORMAP
from vda.errors import UsageError
from vda.exporting.request import ExportSettings
from vda.records import Within, require_sound
from vda.tracks import Asked, require_format

# A minute of looking through a film, and some 15 MB of a file to send.
KEPT_FRAMES: Final = 48
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class ViewSettings:
    """``export`` is the file to keep a page in (None: it is served), with ``export_frames`` frames at most.

    ``tracks`` None are the scene's own, where it has any. ``port`` 0 is one that is free.
    """

    scene: Path
    tracks: Path | None = None
    track_format: str | None = None
    asked: Asked = field(default_factory=Asked)
    poses: Path | None = None
    image_base: Literal[0, 1] | None = None
    image_folder: str | None = None
    by_order: bool = False
    camera: CameraChoice = field(default_factory=CameraChoice)
    colormap: str = COLORMAP
    export: Path | None = None
    export_frames: Annotated[int, Within(2, 200)] | None = None
    overwrite: bool = False
    host: str = LOOPBACK
    port: Annotated[int, Within(0, 65535)] = 0

    def __post_init__(self) -> None:
        require_sound(self)
        require_format(self.track_format)

    @property
    def in_space(self) -> ExportSettings:
        """The same wishes as those of an export, which is where lengths, cameras and poses are found out."""
        return ExportSettings(
            self.scene,
            "rerun",
            self.export or self.scene,
            poses=self.poses,
            image_base=self.image_base,
            image_folder=self.image_folder,
            by_order=self.by_order,
            camera=replace(self.camera, assume_fov=True),
            allow_relative=True,
        )


def check_view(settings: ViewSettings) -> None:
    """Raise ``UsageError`` for wishes that have no use together."""
    if settings.export is None and (settings.export_frames is not None or settings.overwrite):
        raise UsageError(
            "--export-frames and --overwrite tell of a file, and none is to be written.",
            "Leave them out, or give --export.",
        )
    if settings.export is not None and (settings.host != LOOPBACK or settings.port):
        raise UsageError(
            "--host and --port tell where a page is served, and with --export none is.", "Leave them out."
        )
    if settings.export is not None and settings.export.is_dir():
        raise UsageError(f"{settings.export} is a folder, and a page is one file.", "Give --export NAME.html.")
    if settings.poses is None and (
        settings.by_order or settings.image_base is not None or settings.image_folder is not None
    ):
        raise UsageError(
            "--by-order, --image-base and --image-folder tell which image a pose is of, and there are no poses.",
            "Leave them out, or give --poses.",
        )


def exposure(host: str) -> str | None:
    """What serving on ``host`` means for who can look, where that is not this machine alone; else None."""
    if _is_loopback(host):
        return None
    return (
        f"{host} is not this machine alone: whoever reaches it and has the address sees the film, and all goes "
        "over the network unencrypted. 'ssh -L' to a loopback port shows it to nobody else."
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
