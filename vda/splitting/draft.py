"""What a video would be planned as: everything that is looked at and refused before a scene is written.

In: a video, the scene as it is on disk, what is asked. Out: a ``Draft``. Nothing is written but, where it is
wanted, the count of frames in the user's cache. This file does not know how a draft becomes a planned scene.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vda.errors import InputError, SceneError
from vda.picture.overlay import Overlay
from vda.picture.signal import SignalChoice
from vda.reporter import Reporter
from vda.scene.chunks import FrameRange, Plan
from vda.scene.picturechoice import PictureChoice
from vda.scene.scene import Scene
from vda.scene.selection import FrameSelection
from vda.shown import counted
from vda.splitting.cuts import find_cuts
from vda.splitting.pictures import PictureRequest, look_for_bars
from vda.splitting.settings import PlanSettings
from vda.splitting.shotlist import is_found, read_shot_list
from vda.video import FrameIndex, VideoInfo, index_frames, probe
from vda.video.rates import stated_fps

# So that a slow or lost device leaves chunks that others can take.
CHUNKS_PER_DEVICE = 4
# However long the video, no chunk keeps a device for much longer.
CHUNK_SECONDS = 300
# Frames per second, roughly: of the official small model on an old gaming card, and on a CPU.
_GPU_FPS, _CPU_FPS = 10, 1


@dataclass(frozen=True, eq=False)
class Draft:
    """A plan, and the video that it is of. ``is_there``: the scene has it already, and keeps it.

    Of a scene that has it, ``moved`` says that its video lies elsewhere by now; ``lost_index`` and ``lost_video``
    say that these records are damaged or absent, and are to be written again.
    """

    info: VideoInfo
    index: FrameIndex
    plan: Plan
    picture: PictureChoice
    overlay: Overlay | None = None
    is_there: bool = False
    moved: bool = False
    lost_index: bool = False
    lost_video: bool = False


def draft_plan(
    video: Path,
    scene: Scene,
    settings: PlanSettings,
    *,
    restart: bool = False,
    devices: tuple[str, ...] = (),
    scenes: int = 1,
    keep_count: bool = True,
    reporter: Reporter,
) -> Draft:
    """Count the frames of ``video`` exactly and plan its chunks, as ``splitting.stage.split`` says; write nothing.

    ``keep_count`` keeps the count in the user's cache, so that it is counted once.
    """
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
    index = kept or index_frames(
        info, trust_container=settings.trust_container, keep=keep_count, reporter=reporter
    )
    frames = settings.range_in(index)
    cuts = _cuts(settings, scene, info, index, frames, is_planned, reporter)
    selection = settings.select(info, index)
    start, end = index.range_of(frames)
    suited = default_chunks(end - start if selection is None else len(selection.frames), devices, scenes)
    plan = _plan(settings, index, selection, cuts, suited)
    if settings.fps is not None and plan.selection is None and not info.is_sequence:
        reporter.say(f"The video has no more than {settings.fps:g} frames per second: all are used.")
    # The same film from where it lies now: what reads it later looks there first.
    moved = known is not None and known.path != info.path.absolute()
    if not is_planned:
        shots = [[plan.frame(place) for place in range(*shot)] for shot in plan.shots]
        picture = look_for_bars(picture, request.crop, info, index, shots, reporter)
        return Draft(info, index, plan, picture, overlay, moved=moved)
    lost_index, lost_video = _counted(scene) is None, not scene.video_path.exists()
    if lost_index or lost_video:
        _require_same_frames(scene, index)
    planned = scene.picture_of((info.width, info.height))
    _require_same_picture(scene, request, planned, picture)
    plan = _existing_plan(scene, settings, lambda asked: _plan(asked, index, selection, cuts, suited), reporter)
    return Draft(info, index, plan, planned, None, True, moved, lost_index, lost_video)


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


def default_chunks(frames: int, devices: Sequence[str], scenes: int = 1) -> int:
    """Return how many chunks suit ``frames`` frames on ``devices`` (ids) that ``scenes`` scenes share.

    At least four per device over all scenes, so that none waits long for the last; none longer than some five
    minutes. Beyond that fewer are better, for each chunk computes a few frames of its neighbour's again.
    """
    is_slow = not devices or any(device.startswith("cpu") for device in devices)
    longest = CHUNK_SECONDS * (_CPU_FPS if is_slow else _GPU_FPS)
    return max(math.ceil(CHUNKS_PER_DEVICE * max(len(devices), 1) / scenes), math.ceil(frames / longest), 1)


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


def _require_same_frames(scene: Scene, index: FrameIndex) -> None:
    """Raise ``SceneError`` where this video cannot be the one that was planned: a record of it is lost."""
    counted = _counted(scene)
    if scene.planned().total_frames != len(index) or not (counted is None or _same_frames(counted, index)):
        raise SceneError(
            f"{scene.root} was planned for another video, or its frames were counted otherwise.",
            "Give the video and the options (--trust-container) of the first time, or choose another --scene.",
        )


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


def _require_same_picture(
    scene: Scene, request: PictureRequest, planned: PictureChoice, asked: PictureChoice
) -> None:
    """Options that are given again have to be those of the plan; those that are not are taken from it."""
    if differences := request.differences(planned, asked):
        raise SceneError(
            f"{scene.root} was planned for another part of the pictures: {'; '.join(differences)}.",
            "Leave those options out to continue it, or give --restart to throw away what was computed.",
        )


def _existing_plan(
    scene: Scene, settings: PlanSettings, plan: Callable[[PlanSettings], Plan], reporter: Reporter
) -> Plan:
    """The plan that is there; ``SceneError`` where what is asked for now would give other depth."""
    existing = scene.planned()
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
