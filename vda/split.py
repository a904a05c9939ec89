"""The first stage: a video in, a planned scene out. It does not know which devices will compute it."""

from collections.abc import Callable
from pathlib import Path

from vda.chunks import Plan, plan_linked
from vda.errors import SceneError
from vda.files import read_json
from vda.scene import Scene
from vda.video import FrameIndex, VideoInfo, index_frames, probe

DEFAULT_CHUNKS = 4


def split(
    video: Path,
    scene: Scene,
    *,
    chunks: int | None = None,
    frames: tuple[int, int] | None = None,
    trust_container: bool = False,
    restart: bool = False,
    devices: tuple[str, ...] = (),
    progress: Callable[[int], None] | None = None,
) -> Plan:
    """Count the frames of ``video`` exactly and plan its chunks in ``scene``.

    ``chunks`` defaults to four a device; more than there are windows are as many as there are windows. An equal
    plan that is there already is kept. Raises ``VideoError`` for what is no video, ``SceneError`` where the scene
    holds another video or another plan and ``restart`` is not given.
    """
    info = probe(video)
    if scene.video_path.exists() and not restart:
        _require_same_video(scene, info)
    index = index_frames(info, trust_container=trust_container, progress=progress)
    wanted = chunks or DEFAULT_CHUNKS * max(len(devices), 1)
    plan = plan_linked(len(index), wanted, frame_range=frames)
    if scene.plan_path.exists() and not restart:
        return _existing_plan(scene, plan, asked=chunks is not None or frames is not None)
    if restart:
        scene.discard_computed()
    index.save(scene.index_path)
    scene.write_video(info.to_json())
    scene.write_plan(plan, video_facts(info, index), devices)
    return plan


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
            f"{scene.root} is already planned with {len(existing.chunks)} chunks of frames "
            f"{existing.frame_range[0]}:{existing.frame_range[1]}, which is not what was asked for now.",
            "Leave --chunks and --frames out to continue it, or give --restart to throw away what was computed.",
        )
    return existing
