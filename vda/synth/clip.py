"""A whole synthetic clip: in memory for learning, or as files that the other commands take.

    OUT/video.mp4                the pictures, H.264
    OUT/depth/depth_000000.png   true depth, 16 bits; depth.json beside it says how many codes make a metre
    OUT/cameras.json             intrinsics; time and pose of every frame, OpenCV axes (x right, y down, z forward)
    OUT/transforms.json          the same for nerfstudio (OpenGL axes, pixels counted from their corner)
    OUT/tracks.json              boxes, contact points and 3D positions, in the classic track format
    OUT/truth.json               what was asked for; written last, so a folder that has it is whole

This file does not know how pictures come about.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from vda.camera.conventions import centre_to_corner, to_opengl
from vda.camera.intrinsics import Intrinsics
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.errors import UsageError
from vda.files import depth_image_name, refuse_to_overwrite, storage_errors, write_bytes, write_json
from vda.records import Within, require_option
from vda.reporter import Reporter, Silence
from vda.synth.render import RenderedFrame, render_frames
from vda.synth.things import Array
from vda.synth.truth import Tracker
from vda.synth.worlds import World, sample_world
from vda.video import ClipWriter

# Rooms fit into 65 m, so millimetres do; outdoors 256 codes a metre reach 256 m, as KITTI's do.
CODES_PER_METRE_INDOORS = 1000
CODES_PER_METRE_OUTDOORS = 256


@dataclass(frozen=True)
class ClipSpec:
    """Everything that a clip follows from. ``style`` and ``motion`` are drawn at random if None; without
    ``sins`` the camera is perfect. Raises ``UsageError`` where there can be no such clip."""

    seed: int
    frames: int
    width: int = 640
    height: int = 360
    fps: float = 25.0
    style: str | None = None
    motion: str | None = None
    sins: bool = True

    def __post_init__(self) -> None:
        if min(self.frames, self.width, self.height) < 1 or not self.fps > 0 or self.seed < 0:
            raise UsageError(
                f"There is no clip of {self.frames} frames of {self.width} x {self.height} at {self.fps:g} "
                f"a second from seed {self.seed}.",
                "Give numbers above zero, and a seed of zero or more.",
            )

    def world(self) -> World:
        """The world, sampled anew."""
        return sample_world(self.seed, self.frames / self.fps, self.style, self.motion, self.sins)


@dataclass(frozen=True)
class RenderedClip:
    """``rgb`` uint8 [T, H, W, 3]; ``depth_m`` float32 [T, H, W], infinity for sky; ``camera_to_world`` float64
    [T, 4, 4]."""

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    camera_to_world: Array
    intrinsics: Intrinsics
    world: World


def render_clip(spec: ClipSpec, device: str | torch.device = "cpu", samples: int = 1) -> RenderedClip:
    """Render all frames of a clip into memory."""
    world = spec.world()
    frames = list(_frames(spec, world, device, samples))
    return RenderedClip(
        np.stack([frame.rgb for frame in frames]),
        np.stack([frame.depth_m for frame in frames]),
        np.stack([frame.camera_to_world for frame in frames]),
        world.intrinsics(spec.width, spec.height),
        world,
    )


def _frames(spec: ClipSpec, world: World, device: str | torch.device, samples: int) -> Iterable[RenderedFrame]:
    indices = range(spec.frames)
    return render_frames(world, indices, spec.width, spec.height, fps=spec.fps, device=device, samples=samples)


def write_clip(
    out: Path,
    spec: ClipSpec,
    *,
    device: str | torch.device = "cpu",
    samples: int = 2,
    crf: int = 18,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Write the clip and its truth into the folder ``out`` (see above) and return what ``truth.json`` says.

    ``crf`` is H.264's quality, 0 to 51, lower is better; ``samples`` as ``render_frames``. Raises ``UsageError``
    if there is a finished clip and ``overwrite`` is not given, ``StorageError`` if the disk refuses.
    """
    require_option("crf", Annotated[int, Within(0, 51)], crf)
    require_option("samples", Annotated[int, Within(1, 4)], samples)
    refuse_to_overwrite(out / "truth.json", overwrite=overwrite)
    reporter = reporter or Silence()
    reporter.begin("rendering", spec.frames)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "truth.json").unlink(missing_ok=True)
        for image in (out / "depth").glob("depth_*.png"):
            image.unlink()
    world = spec.world()
    intrinsics = world.intrinsics(spec.width, spec.height)
    codes = CODES_PER_METRE_OUTDOORS if world.outdoors else CODES_PER_METRE_INDOORS
    quantizer = Quantizer.per_metre(codes)
    tracker = Tracker(world, intrinsics, [index / spec.fps for index in range(spec.frames)])
    poses: list[Array] = []
    tracks: list[dict[str, Any]] = []
    options = {"crf": str(crf), "preset": "slow"}
    with ClipWriter(out / "video.mp4", fps=Fraction(spec.fps), options=options) as writer:
        for frame in _frames(spec, world, device, samples):
            writer.write(frame.rgb)
            write_png16(out / "depth" / depth_image_name(frame.index), quantizer.encode(frame.depth_m))
            poses.append(frame.camera_to_world)
            tracks += tracker.records(frame)
            reporter.at(frame.index + 1)
    DepthRecord(quantizer, spec.frames, spec.width, spec.height, "synth", asdict(spec)).write(
        out / "depth/depth.json"
    )
    write_cameras(out, intrinsics, poses, spec.fps)
    content = json.dumps(track_file(spec, intrinsics, tracker, tracks), separators=(",", ":"), allow_nan=False)
    write_bytes(out / "tracks.json", content.encode())  # one line: indented, it would be larger than the video
    truth = asdict(spec) | {
        "style": world.style,
        "motion": world.motion,
        "codes_per_metre": codes,
        "horizontal_fov_deg": world.horizontal_fov_deg,
        "objects": tracker.objects(),
    }
    write_json(out / "truth.json", truth)
    return truth


def track_file(
    spec: ClipSpec, intrinsics: Intrinsics, tracker: Tracker, tracks: list[dict[str, Any]]
) -> dict[str, Any]:
    """The classic track file's content."""
    return {
        "metadata": {
            "source": f"vda synth --seed {spec.seed}",
            "fps": spec.fps,
            "width": spec.width,
            "height": spec.height,
            "frames": spec.frames,
            "objects": tracker.objects(),
        },
        "intrinsics": _intrinsics_json(intrinsics),
        "tracks": tracks,
    }


def _intrinsics_json(camera: Intrinsics) -> dict[str, float]:
    return {name: getattr(camera, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}


def write_cameras(out: Path, camera: Intrinsics, poses: list[Array], fps: float) -> None:
    """Write ``cameras.json`` and ``transforms.json``; ``poses`` are camera to world, [4, 4] each."""
    times = [index / fps for index in range(len(poses))]
    own = [
        {"frame": index, "time_s": time, "camera_to_world": pose.tolist()}
        for index, (time, pose) in enumerate(zip(times, poses, strict=True))
    ]
    write_json(out / "cameras.json", _intrinsics_json(camera) | {"poses": own})
    shared = {
        "camera_model": "OPENCV",
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": centre_to_corner(camera.cx),
        "cy": centre_to_corner(camera.cy),
    }
    frames = [
        {"file_path": f"images/frame_{index:06d}.png", "transform_matrix": to_opengl(pose).tolist()}
        for index, pose in enumerate(poses)
    ]
    write_json(out / "transforms.json", shared | {"frames": frames})
