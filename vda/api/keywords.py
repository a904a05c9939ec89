"""The keywords of ``vda.depth``, once for its two signatures: of one video, and of several."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from vda.api.results import StrPath
from vda.depthmaps.codings import Coding
from vda.depthmaps.exr import Base, Compression, PixelType
from vda.joining.scenedepth import Joining
from vda.merging.outputs import Format
from vda.picture.signal import Deinterlace
from vda.refining.guided import Refine
from vda.reporter import Reporter
from vda.scene.chunks import Chunking
from vda.stereo.style import Eyes
from vda.supervisor.resolve import Place

Precision = Literal["auto", "fp32", "fp16", "bf16"]
By = Literal["torch", "openvino"]
DecodedBy = Literal["cpu", "gpu"]


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
