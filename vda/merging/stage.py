"""The last stage of depth: raw windows in; one depth image per frame out, and the record of what codes mean.

Two passes, both in constant memory: the first finds scales, shifts and one range for the whole scene, the second
makes the frames in a pool of threads. Frames are independent of each other, so an interrupted merge keeps the
images it has. What other programs made of independent chunks is merged in the same way. This file does not know
how depth was computed or is joined, nor what the outputs' files are like.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vda.calibration.fit import Calibration, load_calibration
from vda.calibration.identity import Fingerprint, require_one_scale
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.colours import Rgb, shown_range
from vda.errors import InputError, SceneError, UsageError, WorkError
from vda.files import DEPTH_RECORD_NAME, TEMPORARY_PREFIX, read_json, refuse_to_overwrite, write_json
from vda.joining.align import Float32Array
from vda.joining.scenedepth import SceneDepth, depth_of_chunks, depth_of_windows
from vda.merging.frames import JOURNAL, Tally, write_frames
from vda.merging.outputs import Look, Outputs, Target, written_files
from vda.merging.settings import MergeResult, MergeSettings
from vda.picture.framing import Framing
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Plan, read_plan_video
from vda.scene.scene import RunRecord, Scene
from vda.shown import quoted
from vda.video import FrameIndex, VideoInfo, read_frame_list
from vda.video.rates import true_frame_rate

# A range of colours needs no more: some 16 frames of 96 x 96 places, over all of the scene.
_SHOWN_FRAMES = 16
_SHOWN_LATTICE = 96


@dataclass(frozen=True)
class _Origin:
    """What depth was made with: for the record, and for calibrations to know it again."""

    model: str
    settings: dict[str, Any]
    picture: dict[str, Any] = field(default_factory=dict)


def merge(
    scene: Scene,
    settings: MergeSettings,
    *,
    reporter: Reporter | None = None,
) -> MergeResult:
    """Join the raw windows of ``scene``, or blend the chunks in its ``vda_depth_final``, and write every frame.

    Raises ``WorkError`` naming the chunks of which windows are missing, ``InputError`` naming those of which other
    programs' depth is, ``UsageError`` where results are there and ``overwrite`` is not given.
    """
    reporter = reporter or Silence()
    existing = _existing(scene.merged_dir, settings)
    if existing is not None:
        return existing
    plan, record = scene.plan(), scene.run_record()
    video, index = scene.film()
    if settings.exr == "rgb" or (settings.create_video and settings.side_by_side):
        scene.require_video()
    reporter.begin("aligning", None)
    if record is None and scene.depths_dir.is_dir():
        depth, origin = _other_depth(scene.depths_dir, plan, (video.width, video.height), settings)
    else:
        depth, origin = _own_depth(scene, plan, record, settings)
    target = Target(
        scene.merged_dir,
        depth.frames,
        depth.shape,
        _frame_rate(video, index, plan),
        index.time_base,
        index.pts_of,
        partial(_pictures, video, index, depth),
        video.pixel_aspect,
        index.resized(depth.frames),
    )
    calibration = load_calibration(scene.calibration_path)
    return _write(target, depth, origin, settings, calibration, reporter)


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
    existing = _existing(output_dir, settings)
    if existing is not None:
        return existing
    facts = read_json(metadata)
    plan = Plan.from_metadata(facts)
    video = read_plan_video(facts)
    reporter.begin("aligning", None)
    depth, origin = _other_depth(depth_dir, plan, video.size, settings)
    fps = Fraction(video.fps or 25).limit_denominator(1001)
    return _write(Target(output_dir, depth.frames, depth.shape, fps), depth, origin, settings, None, reporter)


def _own_depth(
    scene: Scene, plan: Plan, record: RunRecord | None, settings: MergeSettings
) -> tuple[SceneDepth, _Origin]:
    _require_windows(scene, plan)
    assert record is not None
    facts = {**asdict(record), "chunking": plan.chunking, "align": settings.align}
    origin = _Origin(record.model, facts, scene.picture().to_json())
    return depth_of_windows(scene, plan, record, settings.align), origin


def _other_depth(
    folder: Path, plan: Plan, size: tuple[int, int] | None, settings: MergeSettings
) -> tuple[SceneDepth, _Origin]:
    depth = depth_of_chunks(
        folder,
        plan,
        size,
        kind=settings.kind,
        scale=settings.input_scale,
        allow_gaps=settings.allow_gaps,
        by_order=settings.by_order,
    )
    return depth, _Origin("another program's", {"chunking": plan.chunking, "depth_dir": str(folder)})


def _existing(folder: Path, settings: MergeSettings) -> MergeResult | None:
    """A finished merge that is to be kept as it is, or None."""
    path = folder / DEPTH_RECORD_NAME
    if not path.is_file():
        return None
    if settings.keep_finished and not settings.overwrite:
        record = DepthRecord.read(path)
        if set(settings.formats) <= set(record.formats):
            return MergeResult(folder, record.frames, ("The depth was already merged.",))
    refuse_to_overwrite(path, overwrite=settings.overwrite)
    return None


def _require_windows(scene: Scene, plan: Plan) -> None:
    if missing := scene.unfinished_chunks(plan):
        names = ", ".join(f"chunk {index} ({count} windows)" for index, count in missing.items())
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


def _pictures(video: VideoInfo, index: FrameIndex, depth: SceneDepth) -> Iterator[Rgb]:
    """The video's frames at the size of the depth."""
    whole = Framing.of((depth.shape[1], depth.shape[0]))
    for frame in read_frame_list(video, index, depth.frames):
        yield whole.resized(frame.rgb)


def _write(
    target: Target,
    depth: SceneDepth,
    origin: _Origin,
    settings: MergeSettings,
    calibration: Calibration | None,
    reporter: Reporter,
) -> MergeResult:
    """Write all outputs of ``depth``, and ``depth.json`` last: where it is, the merge is finished."""
    depth = _in_metres(depth, origin, settings, calibration)
    low, high = depth.value_range()
    quantizer = (
        Quantizer.per_metre(settings.depth_scale or 1000)
        if depth.kind == "depth"
        else Quantizer.for_range(low, high)
    )
    look = _look(depth, settings) if settings.create_video else None
    outputs = Outputs(target, quantizer, (low, high), settings.formats, look, settings.exr_style)
    shots = depth.shots_json()
    _start_over_unless_same(target.folder, quantizer, shots, depth.plan, settings)
    tally = write_frames(depth, outputs, reporter)
    _record(outputs, depth, origin, settings, shots, tally).write(target.folder / DEPTH_RECORD_NAME)
    rounded = settings.exr_style.remark()
    remarks = (*depth.remarks(), *_remarks(tally), *([rounded] if rounded else []))
    return MergeResult(target.folder, len(depth.frames), remarks)


def _in_metres(
    depth: SceneDepth, origin: _Origin, settings: MergeSettings, calibration: Calibration | None
) -> SceneDepth:
    """``depth`` as it is, or relative depth in metres where a depth scale is asked for.

    Raises ``UsageError`` where nothing says what a metre is, or it was found for other depth.
    """
    if settings.depth_scale is None or depth.kind == "depth":
        return depth
    require_one_scale(len(depth.plan.shots))
    if settings.metres is not None:
        calibration = Calibration(*settings.metres)
    if calibration is None:
        raise UsageError(
            "The depth is relative: it has no metres that --depth-scale could count.",
            "Give --metres SCALE,SHIFT (see 'vda merge --help'), or calibrate the scene with 'vda enrich'.",
        )
    made_for = calibration.made_for
    if made_for is not None and not made_for.fits(Fingerprint.of(depth.frames, depth.frame)):
        raise UsageError(
            "The scene's calibration was made for other depth than this.", "Calibrate again with 'vda enrich'."
        )
    found = calibration

    def to_metres(values: Float32Array) -> Float32Array:
        return found.metres(values).astype(np.float32)

    return replace(depth, kind="depth", to_metres=to_metres)


def _look(depth: SceneDepth, settings: MergeSettings) -> Look:
    """How the depth is shown: one range for the scene, from some of its frames."""
    frames = depth.frames[:: -(-len(depth.frames) // _SHOWN_FRAMES)]
    row, column = (-(-side // _SHOWN_LATTICE) for side in depth.shape)
    values = np.concatenate([depth.frame(index)[::row, ::column].ravel() for index in frames])
    return Look(settings.colormap, shown_range(values, depth.kind), settings.side_by_side)


def _start_over_unless_same(
    folder: Path, quantizer: Quantizer, shots: list[dict[str, Any]], plan: Plan, settings: MergeSettings
) -> None:
    """Keep the images of an interrupted merge only if they mean the same; ``merge.json`` says what they mean.

    Raises ``SceneError`` where there is depth of which nothing says that a merge wrote it.
    """
    path = folder / "merge.json"
    there = written_files(folder)
    # What a killed writer leaves is no depth: a merge may die before it has said what it means.
    depth = [file for file in there if not file.name.startswith(TEMPORARY_PREFIX)]
    if depth and not path.is_file() and not settings.overwrite:
        raise SceneError(
            f"{folder} holds depth that no merge here has written, such as {depth[0].name}.",
            "Give another folder, or --overwrite to replace it.",
        )
    meaning = {
        "quantizer": asdict(quantizer),
        "frames": list(plan.frame_range if plan.selection is None else plan.frames),
        "shots": shots,
        "exr": asdict(settings.exr_style),
    }
    if settings.overwrite or _meaning_of(path) != meaning:
        for file in (*there, folder / JOURNAL):
            file.unlink(missing_ok=True)
    write_json(path, meaning)


def _meaning_of(path: Path) -> Any:
    """What a merge that was interrupted said its codes mean; None where that cannot be read: it is made anew."""
    try:
        return read_json(path)
    except InputError:
        return None


def _record(
    outputs: Outputs,
    depth: SceneDepth,
    origin: _Origin,
    settings: MergeSettings,
    shots: list[dict[str, Any]],
    tally: Tally,
) -> DepthRecord:
    storing = max(part.quantisation_error() for part in depth.parts) / outputs.quantizer.scale
    plan = depth.plan
    return DepthRecord(
        quantizer=outputs.quantizer,
        frames=len(depth.frames),
        width=depth.shape[1],
        height=depth.shape[0],
        model=origin.model,
        settings={**origin.settings, "colormap": settings.colormap, "frame_range": list(plan.frame_range)},
        shots=shots,
        missing_frames=tally.missing,
        clipped=tally.clipped,
        invalid_pixels=tally.invalid,
        formats=list(settings.formats),
        raw_window_error_steps=0.0 if depth.to_metres else storing,
        levels=outputs.levels_json(),
        pixel_aspect=str(outputs.target.pixel_aspect),
        picture=origin.picture,
        thinning=None if plan.selection is None else plan.selection.thinning_json,
        frame_indices=None if plan.selection is None else list(plan.frames),
        resized_frames=list(outputs.target.resized),
    )


def _remarks(tally: Tally) -> Iterator[str]:
    if tally.missing:
        some = ", ".join(str(index) for index in tally.missing[:10]) + (" ..." if tally.missing[10:] else "")
        yield f"{len(tally.missing)} frames have no picture or no depth and are marked invalid: {some}."
    if tally.clipped:
        yield f"{tally.clipped} values were out of range and are marked invalid."


def remove_intermediates(scene: Scene) -> int:
    """Remove what the merged result of ``scene`` no longer needs; return the bytes freed.

    Raises ``SceneError`` where there is no merged result.
    """
    if not scene.depth_record_path.is_file():
        raise SceneError(f"{scene.root} is not merged yet.", f"Run 'vda merge {quoted(scene.root)}' first.")
    folders = (scene.windows_dir, scene.run_dir)
    freed = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return freed
