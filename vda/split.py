"""The first stage: a video in, a planned scene out. It does not know which devices will compute it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from vda.errors import SceneError, UsageError
from vda.files import read_json
from vda.scene.chunks import Chunking, Plan, plan_independent, plan_linked
from vda.scene.scene import Scene
from vda.video import FrameIndex, VideoInfo, index_frames, probe

DEFAULT_OVERLAP = 32
CHUNKS_PER_DEVICE = 4
CHUNK_SECONDS = 300
# Frames a second, roughly: of the official small model on an old gaming card, and on a CPU.
_GPU_FPS, _CPU_FPS = 10, 1


def split(
    video: Path,
    scene: Scene,
    *,
    chunks: int | None = None,
    frames: tuple[int, int] | None = None,
    chunking: Chunking = "linked",
    overlap: int | None = None,
    trust_container: bool = False,
    restart: bool = False,
    devices: tuple[str, ...] = (),
    scenes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Plan:
    """Count the frames of ``video`` exactly and plan its chunks in ``scene``.

    ``chunks`` defaults to what suits the length and the devices, which ``scenes`` scenes share; more than there
    are windows are as many as there are windows. ``overlap`` (default 32) is of independent chunks alone. An equal
    plan that is there already is kept. Raises ``VideoError`` for what is no video, ``SceneError`` where the scene
    holds another video or another plan and ``restart`` is not given.
    """
    if chunking == "linked" and overlap is not None:
        raise UsageError(
            "Linked chunks have no overlap to choose.", "Give --chunking independent, or no --overlap."
        )
    info = probe(video)
    if scene.video_path.exists() and not restart:
        _require_same_video(scene, info)
    index = index_frames(info, trust_container=trust_container, progress=progress)
    first, stop = frames or (0, len(index))
    wanted = chunks or default_chunks(stop - first, devices, scenes)
    if chunking == "linked":
        plan = plan_linked(len(index), wanted, frame_range=frames)
    else:
        shared = DEFAULT_OVERLAP if overlap is None else overlap
        plan = plan_independent(len(index), wanted, shared, frame_range=frames)
    if scene.plan_path.exists() and not restart:
        return _existing_plan(scene, plan, asked=(chunks, frames, overlap) != (None,) * 3 or chunking != "linked")
    if restart:
        scene.discard_computed()
    index.save(scene.index_path)
    scene.write_video(info.to_json())
    scene.write_plan(plan, video_facts(info, index), devices)
    return plan


def default_chunks(frames: int, devices: Sequence[str], scenes: int = 1) -> int:
    """Return how many chunks suit ``frames`` frames on ``devices`` (ids) that ``scenes`` scenes share.

    At least four a device over all scenes, so that none waits long for the last; none longer than some five
    minutes. Beyond that fewer are better, for each chunk computes a few frames of its neighbour's again.
    """
    is_slow = not devices or any(device.startswith("cpu") for device in devices)
    longest = CHUNK_SECONDS * (_CPU_FPS if is_slow else _GPU_FPS)
    return max(math.ceil(CHUNKS_PER_DEVICE * max(len(devices), 1) / scenes), math.ceil(frames / longest), 1)


def video_facts(info: VideoInfo, index: FrameIndex) -> dict[str, object]:
    """The plan's ``video_info``: names and units that existing scripts read."""
    return {
        "input_path": str(info.path),
        "total_frames": len(index),
        "fps": float(index.frame_rate(info.fps)),
        "width": info.width,
        "height": info.height,
        "duration_seconds": index.duration_s,
    }


def _require_same_video(scene: Scene, info: VideoInfo) -> None:
    known = VideoInfo.from_json(read_json(scene.video_path))
    if (known.size_bytes, known.sha256_head_tail) != (info.size_bytes, info.sha256_head_tail):
        raise SceneError(
            f"{scene.root} holds another video ({known.path}), or the file has changed since.",
            "Choose another --scene, or give --restart to throw away what was computed.",
        )


def _existing_plan(scene: Scene, plan: Plan, *, asked: bool) -> Plan:
    existing = scene.plan()
    if asked and existing != plan:
        raise SceneError(
            f"{scene.root} is already planned with {len(existing.chunks)} chunks ({existing.chunking}) of frames "
            f"{existing.frame_range[0]}:{existing.frame_range[1]}, which is not what was asked for now.",
            "Leave the options of the plan (--chunks ...) out to continue it, or give --restart to throw away "
            "what was computed.",
        )
    return existing
