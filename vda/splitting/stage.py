"""The first stage: a video in, a planned scene out. It does not know which devices will compute it."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vda.errors import InputError, SceneError
from vda.files import write_bytes
from vda.picture.overlay import overlay_png
from vda.picture.signal import SignalChoice
from vda.reporter import Reporter, Silence
from vda.scene.chunks import FrameRange, Plan
from vda.scene.meant import default_root
from vda.scene.picturechoice import PictureChoice
from vda.scene.scene import Scene
from vda.scene.selection import FrameSelection
from vda.shown import counted
from vda.splitting.cuts import find_cuts
from vda.splitting.pictures import PictureRequest, look_for_bars
from vda.splitting.settings import PlanSettings
from vda.splitting.shotlist import DETECTOR, is_found, read_shot_list, write_shot_list
from vda.splitting.shotpage import write_shot_page
from vda.video import FrameIndex, VideoInfo, index_frames, probe
from vda.video.rates import stated_fps

# So that a slow or lost device leaves chunks that others can take.
CHUNKS_PER_DEVICE = 4
# However long the video, no chunk keeps a device for much longer.
CHUNK_SECONDS = 300
# Frames per second, roughly: of the official small model on an old gaming card, and on a CPU.
_GPU_FPS, _CPU_FPS = 10, 1


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
    known = scene.video() if scene.video_path.exists() and not restart else None
    fps = stated_fps(settings.fps) if settings.fps is not None else known.fps if known else None
    info = probe(video, settings.choice(known.choice if known else SignalChoice()), fps=fps)
    if known is not None:
        _require_same_video(scene, known, info, settings)
    settings.thinning(info)
    request = settings.picture
    overlay = request.overlay(info)
    picture = request.choice(info, overlay)
    is_planned = scene.plan_path.exists() and not restart
    kept = _counted(scene) if known is not None and is_planned else None
    index = kept or index_frames(info, trust_container=settings.trust_container, reporter=reporter)
    frames = settings.range_in(index)
    cuts = _cuts(settings, scene, info, index, frames, is_planned, reporter)
    selection = settings.select(info, index)
    start, end = index.range_of(frames)
    suited = default_chunks(end - start if selection is None else len(selection.frames), devices, scenes)
    plan = _plan(settings, index, selection, cuts, suited)
    if settings.fps is not None and plan.selection is None and not info.is_sequence:
        reporter.say(f"The video has no more than {settings.fps:g} frames per second: all are used.")
    if is_planned:
        _complete_records(scene, info, index, reporter)
        _require_same_picture(scene, request, picture)
        return _existing_plan(
            scene, settings, lambda asked: _plan(asked, index, selection, cuts, suited), reporter
        )
    if restart:
        scene.discard_computed()
    _write_shots(settings, scene, info, index, plan, reporter)
    index.save(scene.index_path)
    scene.write_video(info)
    shots = [[plan.frame(place) for place in range(*shot)] for shot in plan.shots]
    picture = look_for_bars(picture, request.crop, info, index, shots, reporter)
    if overlay is not None:
        write_bytes(scene.mask_path, overlay_png(overlay))
    scene.write_plan(plan, video_facts(info, index), devices, picture)
    return plan


def _cuts(
    settings: PlanSettings,
    scene: Scene,
    info: VideoInfo,
    index: FrameIndex,
    frames: FrameRange,
    is_planned: bool,
    reporter: Reporter,
) -> list[int]:
    """The first frames of shots, as the settings have them: found, listed, or none where none are asked for."""
    if settings.finds_shots and is_planned and is_found(scene.shots_path):
        # They were found when the scene was planned; looking again takes as long as decoding does.
        return read_shot_list(scene.shots_path, index.frames)
    if settings.finds_shots:
        return find_cuts(info, index, frames, reporter)
    if settings.lists_shots and settings.shots is not None:
        return read_shot_list(settings.shots, index.frames)
    return []


def _plan(
    settings: PlanSettings, index: FrameIndex, selection: FrameSelection | None, cuts: list[int], chunks: int
) -> Plan:
    if selection is None:
        return settings.plan(len(index), chunks, cuts)
    frames = selection.frames
    places = sorted({bisect_left(frames, cut) for cut in cuts} - {len(frames)})
    plan = replace(settings, frames=None).plan(len(frames), chunks, places)
    return plan.thinned(len(index), settings.range_in(index), selection)


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


def default_chunks(frames: int, devices: Sequence[str], scenes: int = 1) -> int:
    """Return how many chunks suit ``frames`` frames on ``devices`` (ids) that ``scenes`` scenes share.

    At least four per device over all scenes, so that none waits long for the last; none longer than some five
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


def _require_same_video(scene: Scene, known: VideoInfo, info: VideoInfo, settings: PlanSettings) -> None:
    if (known.size_bytes, known.sha256_head_tail) != (info.size_bytes, info.sha256_head_tail):
        raise SceneError(
            f"{scene.root} holds another video ({known.path}), or the file has changed since.",
            "Choose another --scene, or give --restart to throw away what was computed.",
        )
    if scene.plan_path.exists() and known.choice != info.choice:
        raise SceneError(
            f"{scene.root} was begun with --deinterlace {known.choice.deinterlace} --color {known.choice.color}, "
            "and other pictures would be other depth.",
            "Leave these options out to continue it, or give --restart to throw away what was computed.",
        )
    if info.is_sequence and settings.fps is not None and info.fps != known.fps:
        raise SceneError(
            f"{scene.root} was planned with {float(known.fps):g} images a second, not {float(info.fps):g}.",
            "Leave --fps out to continue it, or give --restart to throw away what was computed.",
        )
    # The same film from where it lies now: what reads it later looks there first.
    if known.path != info.path.absolute():
        scene.write_video(replace(known, path=info.path))


def _complete_records(scene: Scene, info: VideoInfo, index: FrameIndex, reporter: Reporter) -> None:
    """Write again what a planned scene has lost of its records: they only say what the video shows.

    Raises ``SceneError`` where this video cannot be the one that was planned.
    """
    counted = _counted(scene)
    if counted is not None and scene.video_path.exists():
        return
    if scene.plan_frames() != len(index) or not (counted is None or _same_frames(counted, index)):
        raise SceneError(
            f"{scene.root} was planned for another video, or its frames were counted otherwise.",
            "Give the video and the options (--trust-container) of the first time, or choose another --scene.",
        )
    if counted is None:
        reporter.say(f"{scene.index_path.name} was damaged or absent: the frames were counted again.")
        index.save(scene.index_path)
    if not scene.video_path.exists():
        scene.write_video(info)


def _same_frames(one: FrameIndex, other: FrameIndex) -> bool:
    """By their times, and by their pictures as far as both were decoded."""
    if one.checksums is None or other.checksums is None:
        return np.array_equal(one.pts, other.pts)
    return np.array_equal(one.pts, other.pts) and np.array_equal(one.checksums, other.checksums)


def _counted(scene: Scene) -> FrameIndex | None:
    """The frames as the scene has them; None where that file is damaged or absent."""
    try:
        return scene.frame_index()
    except InputError:
        return None


def _require_same_picture(scene: Scene, request: PictureRequest, asked: PictureChoice) -> None:
    """Options that are given again have to be those of the plan; those that are not are taken from it."""
    if differences := request.differences(scene.picture(), asked):
        raise SceneError(
            f"{scene.root} was planned for another part of the pictures: {'; '.join(differences)}.",
            "Leave those options out to continue it, or give --restart to throw away what was computed.",
        )


def _existing_plan(
    scene: Scene, settings: PlanSettings, plan: Callable[[PlanSettings], Plan], reporter: Reporter
) -> Plan:
    """The plan that is there; ``SceneError`` where what is asked for now would give other depth."""
    existing = scene.plan()
    count = len(existing.chunks)
    # How many linked chunks there are changes nothing about the depth, whatever devices suggest now.
    number = settings.chunks if not settings.is_linked else None
    asked = plan(replace(settings, chunks=number or count))
    if settings.says_what_plan and not _same_depth(existing, asked):
        raise SceneError(
            f"{scene.root} is already planned with {_plan_words(existing)}, and asked for now is "
            f"{_plan_words(asked, existing)}.",
            "Leave the options of the plan (--chunks ...) out to continue it, or give --restart to throw away "
            "what was computed.",
        )
    if settings.chunks not in (None, count):
        reporter.say(f"The scene keeps the {count} chunks it was begun with; their number changes no depth.")
    return existing


def _plan_words(plan: Plan, other: Plan | None = None) -> str:
    """A plan in words, and whether it has other cuts than ``other``, where they are as many."""
    selection = plan.selection
    thinned = f" ({selection.thinning})" if selection and selection.thinning.leaves_out else ""
    overlap = f", overlap {plan.overlap}" if plan.chunking == "independent" else ""
    moved = (
        other and len(plan.shots) == len(other.shots) and plan.frames == other.frames and plan.shots != other.shots
    )
    return (
        f"{counted(len(plan.chunks), 'chunk')} ({plan.chunking}{overlap}) of frames "
        f"{plan.frame_range[0]}:{plan.frame_range[1]}{thinned}, shots: {len(plan.shots)}"
        f"{', with other cuts' if moved else ''}"
    )


def _same_depth(existing: Plan, asked: Plan) -> bool:
    """Whether two plans give the same depth: linked chunks do, however many the windows are shared out to."""
    if existing.chunking == asked.chunking == "linked":
        return replace(existing, chunks=()) == replace(asked, chunks=())
    return existing == asked
