"""``merge.json``: what the files of a merge mean, finished or not, so that another merge can go on with them.

In: the settings of a merge and what its depth is. Out: one small record beside the images. This file does not know
who writes images, nor where.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vda.depthmaps.codes import Quantizer
from vda.depthmaps.exr import ExrStyle
from vda.errors import InputError
from vda.files import read_json, write_json
from vda.merging.settings import MergeSettings
from vda.records import NOT_AS_EXPECTED, filled
from vda.stereo.style import StereoStyle

MEANING_NAME = "merge.json"


@dataclass(frozen=True)
class Colouring:
    """How the visualization was made."""

    colormap: str
    side_by_side: bool


@dataclass(frozen=True)
class Meaning:
    """``frames`` are the video's (first and end, or all of a selection); ``shots`` as in ``depth.json``.

    ``exr`` and ``look`` are None where there is no EXR and no visualization; ``stereo`` says how the videos of two
    views were made, by their format. ``replaces`` is set where the files
    are to take the place of others that are there, instead of coming beside them. ``metres`` are scale and shift
    that relative depth became metres with.
    """

    quantizer: dict[str, Any]
    frames: list[int]
    shots: list[dict[str, Any]]
    exr: ExrStyle | None = None
    look: Colouring | None = None
    replaces: bool = False
    refine: str = "none"
    stereo: dict[str, StereoStyle] = field(default_factory=dict)
    metres: list[float] | None = None

    @classmethod
    def of(
        cls,
        quantizer: Quantizer,
        frames: list[int],
        shots: list[dict[str, Any]],
        settings: MergeSettings,
        metres: list[float] | None = None,
    ) -> "Meaning":
        exr = settings.exr_style if "exr" in settings.formats else None
        look = Colouring(settings.colormap, settings.side_by_side) if settings.create_video else None
        stereo = dict.fromkeys(settings.stereo_formats, settings.stereo_style)
        return cls(
            asdict(quantizer), frames, shots, exr, look, refine=settings.refine, stereo=stereo, metres=metres
        )

    @classmethod
    def read(cls, folder: Path) -> "Meaning | None":
        """What the files in ``folder`` mean; None where nothing says so or it cannot be read."""
        try:
            found: Meaning = filled(cls, read_json(folder / MEANING_NAME))
        except (InputError, *NOT_AS_EXPECTED):
            return None
        return found

    def write(self, folder: Path) -> None:
        write_json(folder / MEANING_NAME, asdict(self))

    def added_to(self, other: "Meaning") -> "Meaning":
        """What all files mean once those of ``self`` lie beside, or in place of, those of ``other``."""
        return replace(
            self, exr=self.exr or other.exr, look=self.look or other.look, stereo={**other.stereo, **self.stereo}
        )

    def is_same_depth(self, other: "Meaning | None") -> bool:
        """Whether equal codes mean equal depth of equal frames, in all of it."""
        mine = (self.quantizer, self.frames, self.shots, self.refine, self.metres)
        return other is not None and mine == (
            other.quantizer, other.frames, other.shots, other.refine, other.metres,
        )  # fmt: skip
