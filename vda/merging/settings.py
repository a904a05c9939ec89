"""What is asked of a merge, and what came of it.

Settings are complete in themselves: formats that are none, or whose package is absent, are refused before anything
that is there is removed. This file does not know what depth is merged.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vda.depthmaps.codings import CODINGS, Coding
from vda.depthmaps.colours import COLORMAP, colour_table
from vda.depthmaps.exr import Base, Compression, ExrStyle, PixelType
from vda.errors import UsageError
from vda.joining.overlaps import Kind
from vda.joining.scenedepth import Joining
from vda.merging.outputs import FORMATS
from vda.records import Positive, require_sound
from vda.refining.guided import Refine
from vda.stereo.style import STEREO_FILES, Eyes, StereoStyle
from vda.stills.exr import require_exr


@dataclass(frozen=True)
class MergeSettings:
    """What to write, and of what. ``keep_finished``: a finished merge is left as it is, not refused.

    ``depth_scale`` are codes to the metre; relative depth then needs ``metres`` (scale and shift of inverse depth)
    or the scene's calibration. ``coding`` is how codes lie over the range (None: linear, or as they are in a
    finished merge that is kept). ``kind``, ``input_scale``, ``allow_gaps`` and ``by_order`` are of depth that
    other programs made. The ``exr`` fields are those of ``ExrStyle``, and ``parallax``, ``convergence`` and
    ``eyes`` those of ``StereoStyle``. Raises ``UsageError`` where they are given and no format is that they are
    of, where the package that writes EXR is not installed, and for codes to the metre that are not linear.
    """

    formats: tuple[str, ...] = ("png16",)
    overwrite: bool = False
    create_video: bool = False
    colormap: str = COLORMAP
    keep_finished: bool = False
    side_by_side: bool = False
    align: Joining = "sequential"
    refine: Refine = "none"
    depth_scale: Positive | None = None
    metres: tuple[float, float] | None = None
    kind: Kind = "inverse_depth"
    input_scale: Positive | None = None
    allow_gaps: bool = False
    by_order: bool = False
    exr: Base = "none"
    exr_layer: str | None = None
    exr_type: PixelType = "float"
    exr_compression: Compression = "zip"
    coding: Coding | None = None
    parallax: float = StereoStyle.parallax
    convergence: float = StereoStyle.convergence
    eyes: Eyes = StereoStyle.eyes

    def __post_init__(self) -> None:
        # Before anything that is there is removed to make room for it.
        require_sound(self, formats="format")
        for name in self.formats:
            if name not in FORMATS:
                raise UsageError(f"There is no format called {name}.", f"Choose one of: {', '.join(FORMATS)}.")
        if self.colormap != COLORMAP:
            colour_table(self.colormap)
        if self.side_by_side and not self.create_video:
            raise UsageError(
                "There is no video that could have the frame beside its depth.", "Give --create-video."
            )
        if self.metres is not None and self.depth_scale is None:
            raise UsageError(
                "--metres says what a metre is, and nothing is written in metres.",
                "Give --depth-scale as well, such as --depth-scale mm.",
            )
        if self.coding not in (None, *CODINGS):
            raise UsageError(f"There is no coding called {self.coding}.", f"Choose one of: {', '.join(CODINGS)}.")
        if self.depth_scale is not None and self.coding not in (None, "linear"):
            raise UsageError(
                f"--depth-scale counts codes to the metre, and {self.coding} codes have no one number of them.",
                "Leave one of --depth-scale and --coding out.",
            )
        style = self.exr_style
        if "exr" in self.formats:
            require_exr()
        elif style != ExrStyle():
            raise UsageError("The EXR options are of no use without EXR.", "Give --format exr as well.")
        if self.stereo_style != StereoStyle() and not self.stereo_formats:
            raise UsageError(
                "Parallax, convergence and eyes are of no use without two views.", "Give --format sbs as well."
            )

    def words(self) -> list[str]:
        """The options of ``vda merge`` that ask for these settings."""
        words: list[str] = []
        for field in fields(self):
            value, name = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if value == field.default or field.name == "keep_finished":
                continue
            if field.name == "formats":
                words += [word for one in value for word in ("--format", one)]
            elif value is True:
                words.append(name)
            else:
                words += [name, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return words

    @property
    def exr_style(self) -> ExrStyle:
        return ExrStyle(self.exr, self.exr_layer, self.exr_type, self.exr_compression)

    @property
    def shows_pictures(self) -> bool:
        """Whether something is written that shows the video's own pictures."""
        beside = self.create_video and self.side_by_side
        return self.exr == "rgb" or beside or bool(self.stereo_formats)

    @property
    def stereo_style(self) -> StereoStyle:
        return StereoStyle(self.parallax, self.convergence, self.eyes)

    @property
    def stereo_formats(self) -> tuple[str, ...]:
        """The videos of two views that are asked for."""
        return tuple(name for name in self.formats if name in STEREO_FILES)


@dataclass(frozen=True)
class MergeResult:
    """``remarks`` are sentences worth telling: frames without a picture, values out of range."""

    folder: Path
    frames: int
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "frames": self.frames, "remarks": list(self.remarks)}
