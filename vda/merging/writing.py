"""Depth of frames written as what was asked for, and ``depth.json`` last: where it is, a merge is finished.

Two passes, both in constant memory: the first finds one range for the whole scene, the second makes the frames in
a pool of threads. Frames are independent of each other, so an interrupted merge keeps the images it has. This file
does not know where depth comes from, nor what the outputs' files are like.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vda.calibration.fit import Calibration
from vda.calibration.identity import Fingerprint, require_one_scale
from vda.depthmaps.codes import DepthRecord, Kind, Quantizer
from vda.errors import UsageError
from vda.files import DEPTH_RECORD_NAME
from vda.joining.align import Float32Array
from vda.joining.scenedepth import SceneDepth
from vda.merging.frames import JOURNAL, Frames, Tally, write_frames
from vda.merging.looks import look_of, remarks_on_views, stereo_json, stereo_of
from vda.merging.meaning import Meaning
from vda.merging.outputs import FORMATS, Outputs, written_files
from vda.merging.request import Request
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.stored import StoredDepth
from vda.merging.target import Target
from vda.merging.workplace import settle, workplace
from vda.reporter import Reporter
from vda.scene.chunks import Plan


@dataclass(frozen=True)
class Origin:
    """What depth was made with: for the record, and for calibrations to know it again."""

    model: str
    settings: dict[str, Any]
    picture: dict[str, Any] = field(default_factory=dict)


def write(
    target: Target,
    depth: SceneDepth,
    origin: Origin,
    request: Request,
    calibration: Calibration | None,
    reporter: Reporter,
) -> MergeResult:
    """Write what ``request`` asks for of ``depth``, joined just now.

    Raises ``UsageError`` where it is to be added to depth that was made with other settings.
    """
    settings = request.settings
    found = _conversion(depth, settings, calibration)
    depth = _in_metres(depth, found)
    low, high = depth.value_range()
    quantizer = _quantizer(depth.kind, low, high, settings)
    shots = depth.shots_json()
    metres = None if found is None else [found.scale, found.shift]
    meaning = Meaning.of(quantizer, _frames_json(depth.plan), shots, settings, metres)
    if metres is not None:
        origin = replace(origin, settings={**origin.settings, "metres": metres})
    _require_same_depth(target.folder, meaning, request)
    outputs = _outputs(target, depth, quantizer, (low, high), request, origin)
    tally = _write_frames(depth, outputs, meaning, request, reporter)
    record = _record(outputs, depth, origin, settings, shots, tally)
    record = _told(record, tally, outputs, settings)
    _finish(target.folder, outputs, record, request)
    return MergeResult(target.folder, len(depth.frames), (*request.remarks, *record.remarks))


def write_more(target: Target, depth: StoredDepth, request: Request, reporter: Reporter) -> MergeResult:
    """Write what ``request`` asks for of ``depth``, which an earlier merge has written."""
    record = depth.record
    origin = Origin(record.model, record.settings, record.picture)
    outputs = _outputs(target, depth, record.quantizer, depth.value_range(), request, origin)
    known = Meaning.read(target.folder)
    frames = list(depth.frames) if known is None else known.frames
    metres = None if known is None else known.metres
    meaning = Meaning.of(record.quantizer, frames, record.shots, request.settings, metres)
    tally = _write_frames(depth, outputs, meaning, request, reporter)
    told = _told(replace(record, remarks=[]), tally, outputs, request.settings)
    _finish(target.folder, outputs, told, request)
    return MergeResult(target.folder, len(depth.frames), (depth.remark(), *request.remarks, *told.remarks))


def _quantizer(kind: Kind, low: float, high: float, settings: MergeSettings) -> Quantizer:
    """What 16-bit codes mean: metres are millimetres unless they are to lie otherwise over the film's range."""
    coding = settings.coding or "linear"
    if kind == "depth" and coding == "linear":
        return Quantizer.per_metre(settings.depth_scale or 1000)
    return Quantizer.for_range(low, high, coding, kind)


def _told(record: DepthRecord, tally: Tally, outputs: Outputs, settings: MergeSettings) -> DepthRecord:
    """``record`` with what writing has shown: how many codes are in use, if these are few, and what is rounded."""
    codes = tally.codes.middle_codes() if outputs.has_codes else record.middle_codes
    more = (*_few_codes(tally, outputs, settings), *_rounding(settings), *remarks_on_views(tally, outputs))
    return replace(record, middle_codes=codes, remarks=[*record.remarks, *more])


def _outputs(
    target: Target,
    depth: Frames,
    quantizer: Quantizer,
    value_range: tuple[float, float],
    request: Request,
    origin: Origin,
) -> Outputs:
    settings = request.settings
    if request.is_beside:
        target = replace(target, folder=workplace(target.folder))
    stereo = stereo_of(depth, quantizer, settings, origin.settings, origin.picture)
    look = look_of(depth, settings)
    return Outputs(target, quantizer, value_range, settings.formats, look, settings.exr_style, stereo)


def _require_same_depth(folder: Path, meaning: Meaning, request: Request) -> None:
    if request.existing is None:
        return
    there = Meaning.read(folder)
    if there is not None and not meaning.is_same_depth(there):
        raise UsageError(
            f"The depth in {folder} was made with other settings (such as --depth-scale), or of other windows.",
            "Give the same settings, or --overwrite to make all of it anew.",
        )


def _write_frames(
    depth: Frames, outputs: Outputs, meaning: Meaning, request: Request, reporter: Reporter
) -> Tally:
    _start_over_unless_same(outputs, meaning, request)
    return write_frames(depth, outputs, reporter)


def _start_over_unless_same(outputs: Outputs, meaning: Meaning, request: Request) -> None:
    """Keep the images of an interrupted merge only if they mean the same, and are asked for."""
    folder = outputs.target.folder
    known = Meaning.read(folder)
    same = meaning.is_same_depth(known) and known is not None and known.exr == meaning.exr
    if not same or (request.settings.overwrite and not request.is_beside):
        for file in (*written_files(folder), folder / JOURNAL):
            file.unlink(missing_ok=True)
    for file in written_files(folder, set(FORMATS) - set(outputs.formats)):
        file.unlink()
    replace(meaning, replaces=request.replaces).write(folder)


def _finish(folder: Path, outputs: Outputs, record: DepthRecord, request: Request) -> None:
    """Write the record, and bring what was made beside other depth to its place."""
    made = outputs.target.folder
    if (existing := request.existing) is not None:
        there = Meaning.read(folder)
        meaning = Meaning.read(made)
        if there is not None and meaning is not None:
            meaning.added_to(there).write(made)
        settings = existing.settings
        if request.settings.create_video:
            settings = {**settings, "colormap": request.settings.colormap}
        if stereo := stereo_json(outputs.stereo, request.settings):
            settings = {**settings, "stereo": {**settings.get("stereo", {}), **stereo["stereo"]}}
        record = replace(
            existing,
            middle_codes=record.middle_codes if existing.middle_codes is None else existing.middle_codes,
            remarks=list(dict.fromkeys((*existing.remarks, *record.remarks))),
            formats=list(dict.fromkeys((*existing.formats, *outputs.formats))),
            levels={**existing.levels, **outputs.levels_json()},
            settings=settings,
        )
    record.write(made / DEPTH_RECORD_NAME)
    settle(folder)


def _frames_json(plan: Plan) -> list[int]:
    return list(plan.frame_range if plan.selection is None else plan.frames)


def require_metres(kind: Kind, settings: MergeSettings, calibration: Calibration | None) -> None:
    """Raise ``UsageError`` where relative depth is to be written in metres, and nothing says what a metre is."""
    if kind != "depth" and settings.depth_scale is not None and settings.metres is None and calibration is None:
        raise _no_metres()


def _no_metres() -> UsageError:
    return UsageError(
        "The depth is relative: it has no metres that --depth-scale could count.",
        "Give --metres SCALE,SHIFT (see 'vda merge --help'), or calibrate the scene with 'vda enrich'.",
    )


def _conversion(depth: SceneDepth, settings: MergeSettings, calibration: Calibration | None) -> Calibration | None:
    """What makes metres of relative ``depth`` where a depth scale is asked for; None where nothing has to.

    Raises ``UsageError`` where nothing says what a metre is (``require_metres``), or it was found for other depth.
    """
    if settings.depth_scale is None or depth.kind == "depth":
        return None
    require_one_scale(len(depth.plan.shots))
    if settings.metres is not None:
        calibration = Calibration(*settings.metres)
    if calibration is None:
        raise _no_metres()
    made_for = calibration.made_for
    if made_for is not None and not made_for.fits(Fingerprint.of(depth.frames, depth.frame)):
        raise UsageError(
            "The scene's calibration was made for other depth than this.", "Calibrate again with 'vda enrich'."
        )
    return calibration


def _in_metres(depth: SceneDepth, found: Calibration | None) -> SceneDepth:
    """``depth`` in metres where it has to become that, and as it is elsewhere."""
    if found is None:
        return depth

    def to_metres(values: Float32Array) -> Float32Array:
        return found.metres(values).astype(np.float32)

    return replace(depth, kind="depth", to_metres=to_metres)


def _record(
    outputs: Outputs,
    depth: SceneDepth,
    origin: Origin,
    settings: MergeSettings,
    shots: list[dict[str, Any]],
    tally: Tally,
) -> DepthRecord:
    storing = max(part.quantisation_error() for part in depth.parts) / outputs.quantizer.finest_step
    plan = depth.plan
    return DepthRecord(
        quantizer=outputs.quantizer,
        frames=len(depth.frames),
        width=depth.shape[1],
        height=depth.shape[0],
        model=origin.model,
        settings={
            **origin.settings,
            "colormap": settings.colormap,
            "frame_range": list(plan.frame_range),
            **stereo_json(outputs.stereo, settings),
        },
        shots=shots,
        missing_frames=tally.missing,
        clipped=tally.clipped,
        invalid_pixels=tally.invalid,
        formats=list(settings.formats),
        raw_window_error_steps=0.0 if depth.to_metres else storing,
        levels=outputs.levels_json(),
        pixel_aspect=str(outputs.target.pixel_aspect),
        picture=origin.picture,
        remarks=[*depth.remarks(), *_remarks(tally)],
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


def _few_codes(tally: Tally, outputs: Outputs, settings: MergeSettings) -> Iterator[str]:
    per_metre = settings.depth_scale is not None
    sentence = tally.codes.remark(outputs.quantizer, *outputs.value_range, per_metre=per_metre)
    if sentence is not None and outputs.has_codes:
        yield sentence


def _rounding(settings: MergeSettings) -> Iterator[str]:
    if (sentence := settings.exr_style.remark()) is not None:
        yield sentence
