"""The first stage: a video in, a planned scene out. It does not know which devices will compute it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vda.errors import UsageError
from vda.files import write_bytes
from vda.picture.overlay import overlay_png
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Plan
from vda.scene.meant import default_root
from vda.scene.scene import Scene
from vda.shown import counted
from vda.splitting.draft import Draft, draft_plan
from vda.splitting.settings import PlanSettings
from vda.splitting.shotlist import DETECTOR, write_shot_list
from vda.splitting.shotpage import write_shot_page
from vda.video import FrameIndex, VideoInfo

_DEFAULT = PlanSettings()


def split(
    video: Path,
    scene: Scene,
    settings: PlanSettings = _DEFAULT,
    *,
    restart: bool = False,
    devices: tuple[str, ...] = (),
    scenes: int = 1,
    reporter: Reporter | None = None,
) -> Plan:
    """Count the frames of ``video`` exactly and plan its chunks in ``scene``.

    The number of chunks is what suits the length and the devices, which ``scenes`` scenes share, unless
    ``settings`` name one; it is never more than there are windows. An equal plan that is there already is kept.
    Raises ``VideoError`` for what is no video, ``SceneError`` where the scene holds another video or another plan
    and ``restart`` is not given.
    """
    reporter = reporter or Silence()
    draft = draft_plan(video, scene, settings, restart=restart, devices=devices, scenes=scenes, reporter=reporter)
    if draft.is_there:
        _complete_records(scene, draft, reporter)
        return draft.plan
    if restart:
        scene.discard_computed()
    info, index = draft.info, draft.index
    _write_shots(settings, scene, info, index, draft.plan, reporter)
    index.save(scene.index_path)
    scene.write_video(info)
    if draft.overlay is not None:
        write_bytes(scene.mask_path, overlay_png(draft.overlay))
    scene.write_plan(draft.plan, video_facts(info, index), devices, draft.picture)
    return draft.plan


def _complete_records(scene: Scene, draft: Draft, reporter: Reporter) -> None:
    """Write again what a planned scene has lost of its records: they only say what the video shows."""
    if draft.lost_index:
        reporter.say(f"{scene.index_path.name} was damaged or absent: the frames were counted again.")
        draft.index.save(scene.index_path)
    if draft.lost_video:
        scene.write_video(draft.info)
    elif draft.moved:
        scene.write_video(replace(scene.video(), path=draft.info.path))


def _write_shots(
    settings: PlanSettings, scene: Scene, info: VideoInfo, index: FrameIndex, plan: Plan, reporter: Reporter
) -> None:
    """List the shots of a new plan and show their cuts; what an earlier plan left is removed."""
    for path in (scene.shots_path, scene.shots_page_path):
        if path != settings.shots:
            path.unlink(missing_ok=True)
    if not settings.wants_shots:
        return
    starts = [plan.edge(start) for start, _ in plan.shots]
    found_by = DETECTOR if settings.finds_shots else "given"
    write_shot_list(scene.shots_path, starts, plan.frame_range[1], index, found_by)
    write_shot_page(scene.shots_page_path, info, index, starts[1:], scene.shots_path, reporter)
    reporter.say(
        f"{counted(len(starts), 'shot')}, each a sequence of its own; "
        f"pictures of the cuts: {scene.shots_page_path}."
    )


def scene_root(video: Path, root: Path | None) -> Path:
    """The scene directory of ``video``: ``root``, or the one that its name gives."""
    return root or default_root(video)


def scene_roots(videos: Sequence[Path], root: Path | None) -> list[Path]:
    """The scene directory of each of ``videos``; ``UsageError`` where one ``root`` is given for several."""
    if root is not None and len(videos) != 1:
        raise UsageError("--scene names one scene, and there are several videos.", "Leave it out.")
    return [scene_root(video, root) for video in videos]


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
