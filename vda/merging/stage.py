"""The last stage of depth: raw windows in; one depth image per frame out, and the record of what codes mean.

Frames are made of a scene's raw windows, of what other programs made of independent chunks, or, where the windows
are gone and a format is added, of depth that was merged before. This file knows which of these there is; it does
not know how depth is joined, nor how it is written.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

from vda.calibration.fit import Calibration, load_calibration
from vda.calibration.metres import require_metres
from vda.depthmaps.codes import Kind
from vda.depthmaps.colours import Rgb
from vda.depthmaps.stored import StoredDepth
from vda.errors import SceneError, UsageError, WorkError
from vda.files import read_json, require_writable
from vda.joining.scenedepth import Found, SceneDepth, depth_of_chunks, depth_of_windows
from vda.machine.locks import folder_lock
from vda.merging.frames import Frames
from vda.merging.looks import framing_of, require_views
from vda.merging.request import Request, requested
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.target import Target
from vda.merging.workplace import PartFiles, settle
from vda.merging.writing import Origin, write, write_more
from vda.picture.framing import Framing
from vda.refining.guided import GuidedFilter
from vda.refining.guides import Guides
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Plan
from vda.scene.planfile import read_plan, read_plan_video
from vda.scene.runstate import RunFiles
from vda.scene.scene import RunRecord, Scene
from vda.shown import counted, quoted
from vda.video import FrameIndex, Sound, VideoInfo, read_frame_list
from vda.video.rates import plain_rate, true_frame_rate


def merge(
    scene: Scene,
    settings: MergeSettings,
    *,
    reporter: Reporter | None = None,
) -> MergeResult:
    """Join the raw windows of ``scene``, or blend the chunks in its ``vda_depth_final``, and write every frame.

    Formats that are not there yet come beside those that are; with ``overwrite`` all of them are made anew, and
    take the place of the old ones when they are whole. Raises ``WorkError`` naming the chunks of which windows are
    missing, ``InputError`` naming those of which other programs' depth is, ``UsageError`` where all of it is there
    and ``overwrite`` is not given, or was made with other settings, ``SceneError`` where another merge is at work.
    """
    with alone(scene.root):
        return _merge(scene, settings, reporter or Silence())


@contextmanager
def alone(folder: Path, *, in_parts: bool = False) -> Iterator[None]:
    """Merges that write into one folder, and whoever removes what they read, would be in each other's way.

    The parts of one merge (``in_parts``) are not in each other's.
    """
    with folder_lock(folder, shared=in_parts) as ours:
        if not ours:
            raise SceneError(
                f"{folder} is being merged or cleaned by another command.",
                "Wait until that one has ended, and give this command again.",
            )
        yield


def _merge(scene: Scene, settings: MergeSettings, reporter: Reporter) -> MergeResult:
    settle(scene.merged_dir)
    redone, asked = scene.redone_chunks(), asked_of(scene, settings)
    if isinstance(asked, MergeResult):
        return asked
    # They would go on with what this merge is about to change.
    PartFiles.of(scene).discard()
    request = asked.request
    reporter.begin("aligning", None)
    if asked.of == "stored" and request.existing is not None:
        stored = StoredDepth.open(scene.merged_dir, request.existing)
        return write_more(target_of(scene, stored, request.settings), stored, request, reporter)
    depth, origin = joined(scene, asked)
    target = target_of(scene, depth, request.settings)
    result = write(target, depth, origin, request, asked.calibration, reporter)
    scene.forget_redone(redone)
    return result


@dataclass(frozen=True)
class MergeAsked:
    """A merge that nothing stands in the way of: what it makes, and ``of`` what.

    That are the scene's raw windows, ``chunks`` of other programs, or the depth that is ``stored`` there.
    """

    request: Request
    plan: Plan
    calibration: Calibration | None
    of: Literal["windows", "chunks", "stored"]


def asked_of(scene: Scene, settings: MergeSettings, *, computed: bool = True) -> MergeAsked | MergeResult:
    """What a merge of ``scene`` has to make, or the result where all of it is there; nothing is written.

    All that can be refused before depth is read is refused here, as ``merge`` says. ``computed`` False: the raw
    windows need not be there yet.
    """
    if (redone := scene.redone_chunks()) and not settings.overwrite:
        raise UsageError(
            f"Chunk {', '.join(map(str, redone))} of {scene.root} was computed again since the depth was merged.",
            "Give --overwrite to make the depth of it.",
        )
    request = requested(scene.merged_dir, settings, stale=bool(redone))
    if isinstance(request, MergeResult):
        return request
    settings, plan = request.settings, scene.plan()
    require_writable(scene.merged_dir)
    require_overlaps(plan, settings)
    scene.film()
    record, calibration = scene.run_record(), load_calibration(scene.calibration_path)
    of: Literal["windows", "chunks", "stored"] = "windows"
    if record is None and scene.depths_dir.is_dir():
        of = "chunks"
    elif request.existing is not None and scene.unfinished_chunks(plan):
        of = "stored"
    # Depth that is stored was refined when it was made.
    if settings.shows_pictures or (settings.refine == "guided" and of != "stored"):
        scene.require_video()
    require_views(scene, settings)
    kind: Kind = settings.kind if record is None else "depth" if record.metric else "inverse_depth"
    require_metres(kind, settings.depth_scale, settings.metres, calibration)
    if computed and of == "windows":
        _require_windows(scene, plan)
    return MergeAsked(request, plan, calibration, of)


def joined(scene: Scene, asked: MergeAsked, found: Found | None = None) -> tuple[SceneDepth, Origin]:
    """The depth that is merged, of windows or of chunks, with edges as asked for.

    With what was ``found`` before nothing is fitted anew.
    """
    settings, record = asked.request.settings, scene.run_record()
    video, index = scene.film()
    if asked.of == "chunks":
        depth, origin = _other_depth(scene.depths_dir, asked.plan, (video.width, video.height), settings, found)
    else:
        depth, origin = _own_depth(scene, asked.plan, record, settings, found)
    if settings.refine == "guided":
        depth = _guided(depth, video, index, record.input_size if record else None)
    return depth, origin


def look(scene: Scene, settings: MergeSettings, *, computed: bool = True) -> MergeAsked | MergeResult:
    """As ``asked_of``, with all else that a merge refuses before it writes; nothing is written, and nothing held.

    Raises ``SceneError`` where another merge is at work, ``InputError`` for other programs' depth as ``merge``.
    """
    with alone(scene.root):
        asked = asked_of(scene, settings, computed=computed)
        if isinstance(asked, MergeAsked) and asked.of == "chunks":
            video = scene.video()
            _other_depth(scene.depths_dir, asked.plan, (video.width, video.height), asked.request.settings)
    return asked


def target_of(
    scene: Scene,
    depth: Frames,
    settings: MergeSettings,
    folder: Path | None = None,
    frames: Sequence[int] | None = None,
) -> Target:
    """What the outputs of ``depth`` need to know of the scene's video; ``folder`` None is the scene's own.

    ``frames`` are those that are written (None: all).
    """
    (video, index), plan = scene.film(), scene.plan()
    frames = depth.frames if frames is None else frames
    return Target(
        folder or scene.merged_dir,
        frames,
        depth.shape,
        _frame_rate(video, index, plan),
        index.time_base,
        index.pts_of,
        partial(_pictures, video, index, depth.shape, frames),
        video.pixel_aspect,
        index.resized(frames),
        Sound.of(video, index, frames) if settings.stereo_formats else None,
        framing_of(scene, plan) if settings.stereo_formats else None,
    )


def merge_chunks(
    metadata: Path,
    depth_dir: Path,
    output_dir: Path,
    settings: MergeSettings,
    *,
    reporter: Reporter | None = None,
) -> MergeResult:
    """Blend depth that another program made of the chunks in ``metadata`` and write it into ``output_dir``.

    ``metadata`` is a ``chunks_metadata.json``, the classic one too. Raises ``InputError`` naming the chunks that
    are missing or short, ``UsageError`` where results are there and ``overwrite`` is not given.
    """
    reporter = reporter or Silence()
    if settings.exr == "rgb":
        raise UsageError("EXR with colours needs the video, which only a scene knows.", "Merge a scene.")
    if settings.stereo_formats:
        raise UsageError("Two views need the video, which only a scene knows.", "Merge a scene.")
    if settings.refine == "guided":
        raise UsageError("Refining needs the video, which only a scene knows.", "Merge a scene.")
    with alone(output_dir):
        return _merge_chunks(metadata, depth_dir, output_dir, settings, reporter)


def _merge_chunks(
    metadata: Path, depth_dir: Path, output_dir: Path, settings: MergeSettings, reporter: Reporter
) -> MergeResult:
    settle(output_dir)
    request = requested(output_dir, settings)
    if isinstance(request, MergeResult):
        return request
    facts = read_json(metadata)
    plan = read_plan(facts)
    require_overlaps(plan, request.settings)
    video = read_plan_video(facts)
    reporter.begin("aligning", None)
    depth, origin = _other_depth(depth_dir, plan, video.size, request.settings)
    fps = plain_rate(video.fps or 25)
    return write(Target(output_dir, depth.frames, depth.shape, fps), depth, origin, request, None, reporter)


def _own_depth(
    scene: Scene, plan: Plan, record: RunRecord | None, settings: MergeSettings, found: Found | None
) -> tuple[SceneDepth, Origin]:
    assert record is not None
    facts = {**asdict(record), "chunking": plan.chunking, "align": settings.align, "refine": settings.refine}
    origin = Origin(record.model, facts, scene.picture().to_json())
    return depth_of_windows(scene, plan, record, settings.align, found), origin


def _other_depth(
    folder: Path,
    plan: Plan,
    size: tuple[int, int] | None,
    settings: MergeSettings,
    found: Found | None = None,
) -> tuple[SceneDepth, Origin]:
    depth = depth_of_chunks(
        folder,
        plan,
        size,
        kind=settings.kind,
        scale=settings.input_scale,
        allow_gaps=settings.allow_gaps,
        by_order=settings.by_order,
        align=settings.align,
        found=found,
    )
    made = {"chunking": plan.chunking, "align": settings.align, "refine": settings.refine}
    return depth, Origin("another program's", {**made, "depth_dir": str(folder)})


def require_overlaps(plan: Plan, settings: MergeSettings) -> None:
    """Raise ``UsageError`` where smooth terms are asked for, and no chunks overlap to find them from."""
    if settings.align != "smooth":
        return
    if plan.chunking == "linked":
        raise UsageError(
            "Linked chunks are one and the same depth: there is nothing between them for --align smooth to mend.",
            "Leave it out, or plan with --chunking independent.",
        )
    if len(plan.chunks) > 1 and not plan.overlaps():
        raise UsageError(
            "The chunks share no frames, which --align smooth needs.", "Leave it out, or plan with an --overlap."
        )


def _require_windows(scene: Scene, plan: Plan) -> None:
    if missing := scene.unfinished_chunks(plan):
        names = ", ".join(f"chunk {index} ({counted(count, 'window')})" for index, count in missing.items())
        raise WorkError(
            f"The depth of {scene.root} is not computed yet; missing: {names}.",
            f"Run 'vda run {quoted(scene.root)}' first.",
        )


def _frame_rate(video: VideoInfo, index: FrameIndex, plan: Plan) -> Fraction:
    """The rate of the frames that are used."""
    rate = index.frame_rate(video.fps)
    if plan.selection is None or not plan.selection.thinning.leaves_out:
        return rate
    start, end = index.range_of(plan.frame_range)
    share = Fraction(len(plan.frames), end - start)
    return true_frame_rate(index.rising_pts[index.places_of(plan.frames)], index.time_base, rate * share)


def _guided(depth: SceneDepth, video: VideoInfo, index: FrameIndex, input_size: int | None) -> SceneDepth:
    """``depth`` whose edges follow those of the video's frames."""
    guides = Guides(depth.frames, partial(_pictures, video, index, depth.shape))
    filtered = GuidedFilter.for_network(input_size)
    return replace(depth, refine=lambda values, frame: filtered(values, guides(frame)))


def _pictures(video: VideoInfo, index: FrameIndex, shape: tuple[int, int], frames: Sequence[int]) -> Iterator[Rgb]:
    """The video's ``frames`` at the size of the depth."""
    whole = Framing.of((shape[1], shape[0]))
    for frame in read_frame_list(video, index, frames):
        yield whole.resized(frame.rgb)


def remove_intermediates(scene: Scene) -> int:
    """Remove what the merged result of ``scene`` no longer needs; return the bytes freed.

    ``run.json`` stays, so that whoever computes it again does so with the same. Raises ``SceneError`` where there
    is no merged result, and where the scene is being computed or merged.
    """
    if RunFiles(scene.run_dir).is_supervised():
        raise SceneError(
            f"{scene.root} is being computed, and that needs what would be removed.",
            f"Wait for it, or end it with 'vda stop {quoted(scene.root)}' first.",
        )
    scene.require_unclaimed()
    with alone(scene.root):
        return _remove_intermediates(scene)


def _remove_intermediates(scene: Scene) -> int:
    if not scene.depth_record_path.is_file():
        raise SceneError(f"{scene.root} is not merged yet.", f"Run 'vda merge {quoted(scene.root)}' first.")
    if redone := scene.redone_chunks():
        raise SceneError(
            f"Chunk {', '.join(map(str, redone))} of {scene.root} was computed again and is not merged yet.",
            f"Run 'vda merge {quoted(scene.root)} --overwrite' first.",
        )
    files = [
        path
        for folder in (scene.windows_dir, scene.run_dir)
        for path in folder.rglob("*")
        if path.is_file() and path != scene.run_path
    ]
    freed = sum(path.stat().st_size for path in files)
    for path in files:
        path.unlink(missing_ok=True)
    PartFiles.of(scene).discard()
    shutil.rmtree(scene.run_dir, ignore_errors=True)
    return freed
