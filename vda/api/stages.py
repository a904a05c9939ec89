"""A video to depth, stage by stage or in one call; and the network itself.

In: paths and the options of the commands, as keywords. Out: a scene to look at, depth to read. This file does not
know how a stage works: settings are made of a function's own arguments, and ``pipeline`` or ``todepth`` is called.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack, overload

from vda.api import pipeline, todepth
from vda.api.keywords import By, DecodedBy, DepthOptions, MergePlace, Precision, require_local, settings_of
from vda.api.mergejobs import merge_elsewhere
from vda.api.results import SceneView, StrPath, VideoDepth, open_depth, open_scene
from vda.depthmaps.codings import Coding
from vda.depthmaps.exr import Base, Compression, PixelType
from vda.joining.scenedepth import Joining
from vda.merging.outputs import Format
from vda.merging.settings import MergeSettings
from vda.models.weights import choose_model
from vda.models.weights import load_model as load
from vda.picture.signal import Deinterlace
from vda.refining.guided import Refine
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Chunking
from vda.scene.scene import Scene
from vda.splitting.inputs import find_videos
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import scene_root, scene_roots
from vda.stereo.style import Eyes
from vda.supervisor.resolve import Place, RunSettings

if TYPE_CHECKING:
    from vda.network.model import VideoDepthModel


def plan(
    video: StrPath,
    scene: StrPath | None = None,
    *,
    chunks: int | None = None,
    frames: tuple[int, int] | None = None,
    shots: StrPath | None = None,
    stride: int | None = None,
    fps: float | None = None,
    chunking: Chunking | None = None,
    overlap: int | None = None,
    extract: bool = False,
    trust_container: bool = False,
    max_res: int | None = None,
    deinterlace: Deinterlace | None = None,
    color: str | None = None,
    crop: str | None = None,
    mask: StrPath | None = None,
    devices: str = "auto",
    restart: bool = False,
    reporter: Reporter | None = None,
) -> SceneView:
    """Count the frames of ``video`` exactly and plan its chunks: ``vda split``.

    ``scene`` is the scene's folder, by default ``data/<stem of the video>``. ``frames`` is a half-open range of
    frame indices; of these ``stride`` uses every so manieth only, ``fps`` about so many a second. ``shots`` is
    ``auto`` to find cuts, or a list of shots, which become sequences of their own. ``max_res`` is the longest side
    of the depth in pixels; ``deinterlace`` and ``color`` say how pictures are to be taken that the video states
    wrongly; ``crop`` (``auto``, ``off`` or ``X,Y,W,H``) and ``mask`` (an image, white where they are covered) what
    of them is not to be seen. Raises ``VideoError`` for what is no video, ``SceneError`` where the folder holds
    another scene.
    """
    settings = settings_of(PlanSettings, locals())
    root = scene_root(Path(video), _path(scene))
    found = pipeline.find_devices(devices, reporter).devices
    pipeline.plan_scene(Path(video), root, settings, restart=restart, devices=found, reporter=reporter)
    return open_scene(root)


def run(
    scene: StrPath,
    *,
    model: str = "auto",
    weights: StrPath | None = None,
    input_size: int | None = None,
    precision: Precision = "auto",
    devices: str = "auto",
    batch_size: int = 0,
    threads: int | None = None,
    on: Place = "local",
    retries: int = 3,
    restart: bool = False,
    engine: By | None = None,
    decoder: DecodedBy = "cpu",
    slurm: Sequence[str] = (),
    ray_address: str | None = None,
    stage_video: str | None = None,
    prove: bool = False,
    reporter: Reporter | None = None,
) -> SceneView:
    """Compute the raw windows of a planned scene that are not there yet: ``vda run``.

    ``on="slurm"`` submits job arrays and waits for them; ``slurm`` are sbatch's options, such as
    ``["partition=gpu"]``. ``on="ray"`` makes a task of each chunk on the Ray cluster at ``ray_address`` (None: as
    RAY_ADDRESS says, or one of this machine's own); ``stage_video`` is a folder of
    the nodes' own disks for a copy of the video. Raises ``SceneError`` where the scene was begun with other
    settings or somebody computes it already, and ``WorkError`` where something stays missing.
    """
    settings = settings_of(RunSettings, locals())
    pipeline.run([Scene(Path(scene))], settings, reporter)
    return open_scene(scene)


def merge(
    scene: StrPath,
    *,
    format: Format | Sequence[Format] = "png16",
    overwrite: bool = False,
    create_video: bool = False,
    colormap: str = "inferno",
    side_by_side: bool = False,
    exr: Base = "none",
    exr_layer: str | None = None,
    exr_type: PixelType = "float",
    exr_compression: Compression = "zip",
    parallax: float = 2.0,
    convergence: float = 0.5,
    eyes: Eyes = "both",
    align: Joining = "sequential",
    refine: Refine = "none",
    coding: Coding | None = None,
    depth_scale: float | None = None,
    metres: tuple[float, float] | None = None,
    kind: Literal["inverse_depth", "depth"] = "inverse_depth",
    input_scale: float | None = None,
    by_order: bool = False,
    allow_gaps: bool = False,
    discard_windows: bool = False,
    on: Literal["local", "slurm", "ray"] = "local",
    slurm: Sequence[str] = (),
    ray_address: str | None = None,
    ranges: int | None = None,
    reporter: Reporter | None = None,
) -> VideoDepth:
    """Join a scene's raw windows, or its chunks' depth, into one depth per frame: ``vda merge``.

    Returns the depth, opened. ``refine`` is ``guided`` where the depth's edges are to follow the frames' own.
    ``coding`` is how codes lie over the range (None: linear). ``depth_scale`` are codes
    per metre; relative depth then needs ``metres``, the scale and shift of 1/metres = scale * inverse depth +
    shift. ``on`` is ``slurm`` or ``ray`` where ``ranges`` of the frames are to be made by jobs or tasks of these;
    ``slurm`` are sbatch's options. Raises ``WorkError`` where windows are missing,
    ``UsageError`` where depth is there and ``overwrite`` is not given.
    """
    settings = settings_of(MergeSettings, locals())
    MergePlace(on, ranges)
    made = Scene(Path(scene)).require()
    if on != "local":
        merge_elsewhere(
            made,
            settings,
            on,
            slurm=tuple(slurm),
            ray_address=ray_address,
            ranges=ranges,
            discard_windows=discard_windows,
            reporter=reporter or Silence(),
        )
        return open_depth(made.merged_dir)
    require_local(slurm=slurm, ray_address=ray_address, ranges=ranges)
    result = pipeline.merge_scene(made, settings, discard_windows=discard_windows, reporter=reporter)
    return open_depth(result.folder)


# A string is a sequence of strings, too; it is taken for the one path that it is.
@overload
def depth(  # type: ignore[overload-overlap]
    video: StrPath, scene: StrPath | None = None, **options: Unpack[DepthOptions]
) -> VideoDepth: ...
@overload
def depth(video: Sequence[StrPath], scene: None = None, **options: Unpack[DepthOptions]) -> list[VideoDepth]: ...
def depth(
    video: StrPath | Sequence[StrPath],
    scene: StrPath | None = None,
    *,
    chunks: int | None = None,
    frames: tuple[int, int] | None = None,
    shots: StrPath | None = None,
    stride: int | None = None,
    fps: float | None = None,
    chunking: Chunking | None = None,
    overlap: int | None = None,
    extract: bool = False,
    trust_container: bool = False,
    max_res: int | None = None,
    deinterlace: Deinterlace | None = None,
    color: str | None = None,
    crop: str | None = None,
    mask: StrPath | None = None,
    model: str = "auto",
    weights: StrPath | None = None,
    input_size: int | None = None,
    precision: Precision = "auto",
    devices: str = "auto",
    batch_size: int = 0,
    threads: int | None = None,
    on: Place = "local",
    retries: int = 3,
    restart: bool = False,
    engine: By | None = None,
    decoder: DecodedBy = "cpu",
    slurm: Sequence[str] = (),
    ray_address: str | None = None,
    stage_video: str | None = None,
    prove: bool = False,
    format: Format | Sequence[Format] = "png16",
    overwrite: bool = False,
    create_video: bool = True,
    colormap: str = "inferno",
    side_by_side: bool = False,
    exr: Base = "none",
    exr_layer: str | None = None,
    exr_type: PixelType = "float",
    exr_compression: Compression = "zip",
    parallax: float = 2.0,
    convergence: float = 0.5,
    eyes: Eyes = "both",
    align: Joining = "sequential",
    refine: Refine = "none",
    coding: Coding | None = None,
    depth_scale: float | None = None,
    metres: tuple[float, float] | None = None,
    discard_windows: bool = False,
    reporter: Reporter | None = None,
) -> VideoDepth | list[VideoDepth]:
    """Turn ``video`` into depth, as ``plan``, ``run`` and ``merge`` do: ``vda depth``. Returns it opened.

    ``video`` may be images: a folder, a pattern or a list. Interrupted, the same call goes on where it was; what
    is finished is not computed again. Of several videos (a list; a folder in it is the films in it) the depth of
    each comes back, in order. One that fails keeps no other from being finished; then ``WorkError`` lists those
    that failed, and ``open_depth`` opens the others.
    """
    asked = locals()
    running, merging = settings_of(RunSettings, asked), settings_of(MergeSettings, asked)
    planning = settings_of(PlanSettings, asked)
    one = isinstance(video, str | os.PathLike)
    videos = [Path(video)] if isinstance(video, str | os.PathLike) else find_videos([Path(path) for path in video])
    roots = scene_roots(videos, _path(scene))
    outcome = todepth.depth(
        videos, roots, running, merging, planning, discard_windows=discard_windows, reporter=reporter
    )
    outcome.require_all()
    opened = [open_depth(result.folder) for result in outcome.results]
    return opened[0] if one else opened


def load_model(
    model: str = "auto", weights: StrPath | None = None, *, reporter: Reporter | None = None
) -> "VideoDepthModel":
    """The network with its weights, found or fetched: a ``torch.nn.Module`` on the CPU, float32, in eval mode.

    It takes float32 images ``[clips, 32, 3, height, width]``, RGB normalised with ImageNet's mean and deviation,
    height and width multiples of the preset's patch (14; 16 for ``mini``), and gives float32 raw depth ``[clips,
    32, height, width]``: inverse depth up to scale and shift, or metres for a metric model. ``vda.depth`` is what
    joins such windows into one video. ``reporter`` is told what a user of the weights must know. Raises
    ``WeightsError`` where the weights are nowhere or are another model's.
    """
    import torch

    choice = choose_model(model, _path(weights), has_gpu=torch.cuda.is_available())
    for notice in choice.notices:
        (reporter or Silence()).say(notice)
    return load(choice.model, choice.weights)


def _path(path: StrPath | None) -> Path | None:
    return None if path is None else Path(path)
