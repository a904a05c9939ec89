"""The keywords of the stages: those of ``vda.depth`` once for its two signatures, and what settings they are.

In: the arguments of a call. Out: the settings that the stages take, for the call itself and for what it would do;
and refusals of what does not belong together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, TypeVar

from vda.api.results import StrPath
from vda.depthmaps.codings import Coding
from vda.depthmaps.exr import Base, Compression, PixelType
from vda.errors import UsageError
from vda.joining.scenedepth import Joining
from vda.merging.outputs import Format
from vda.merging.settings import MergeSettings
from vda.picture.signal import Deinterlace
from vda.records import Within, require_sound
from vda.refining.guided import Refine
from vda.reporter import Reporter
from vda.scene.chunks import Chunking
from vda.splitting.settings import PlanSettings
from vda.stereo.style import Eyes
from vda.supervisor.resolve import Place, RunSettings

Precision = Literal["auto", "fp32", "fp16", "bf16"]
By = Literal["torch", "openvino"]
DecodedBy = Literal["cpu", "gpu"]
S = TypeVar("S", PlanSettings, RunSettings, MergeSettings)
_PATHS = ("weights", "mask", "shots")


class DepthOptions(TypedDict, total=False):
    """The options of ``vda depth``; what each is by default says ``vda.depth`` itself."""

    chunks: int | None
    frames: tuple[int, int] | None
    shots: StrPath | None
    stride: int | None
    fps: float | None
    chunking: Chunking | None
    overlap: int | None
    extract: bool
    trust_container: bool
    max_res: int | None
    deinterlace: Deinterlace | None
    color: str | None
    crop: str | None
    mask: StrPath | None
    model: str
    weights: StrPath | None
    input_size: int | None
    precision: Precision
    devices: str
    batch_size: int
    threads: int | None
    on: Place
    retries: int
    restart: bool
    engine: By | None
    decoder: DecodedBy
    slurm: Sequence[str]
    ray_address: str | None
    stage_video: str | None
    prove: bool
    format: Format | Sequence[Format]
    overwrite: bool
    create_video: bool
    colormap: str
    side_by_side: bool
    exr: Base
    exr_layer: str | None
    exr_type: PixelType
    exr_compression: Compression
    parallax: float
    convergence: float
    eyes: Eyes
    align: Joining
    refine: Refine
    coding: Coding | None
    depth_scale: float | None
    metres: tuple[float, float] | None
    discard_windows: bool
    reporter: Reporter | None


def settings_of(kind: type[S], arguments: Mapping[str, Any]) -> S:
    """The settings that a call with these ``arguments``, by name, asks for: each is called as its field is.

    A path may be a string, and a single format stands for itself. Raises ``UsageError`` for what makes no sense.
    """
    given: dict[str, Any] = {
        name: Path(value) if name in _PATHS and value is not None else value for name, value in arguments.items()
    }
    if "format" in given:
        one_or_more = given["format"]
        given["formats"] = (one_or_more,) if isinstance(one_or_more, str) else tuple(one_or_more)
    if "slurm" in given:
        given["slurm"] = tuple(given["slurm"])
    return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})


@dataclass(frozen=True)
class MergePlace:
    """Where a merge is made, and in how many ranges (None: as many as suit). Raises ``UsageError`` for others."""

    on: Literal["local", "slurm", "ray"] = "local"
    ranges: Annotated[int, Within(1)] | None = None

    def __post_init__(self) -> None:
        require_sound(self)


def require_local(**options: Any) -> None:
    """Refuse options that are an engine's where none is used."""
    require_unused("local", {f"--{name.replace('_', '-')}": value for name, value in options.items()})


def require_unused(on: str, options: dict[str, Any]) -> None:
    """Raise ``UsageError`` where one of ``options`` is given, which ``--on`` this has no use for."""
    for name, value in options.items():
        if value:
            raise UsageError(
                f"{name} is of no use with --on {on}.",
                "Leave it out, or give --on slurm." if on == "local" else "Leave it out.",
            )
