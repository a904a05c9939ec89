"""Depth of frames written as what was asked for, and ``depth.json`` last: where it is, a merge is finished.

Two passes, both in constant memory: the first finds one range for the whole scene, the second makes the frames in
a pool of threads. Frames are independent of each other, so an interrupted merge keeps the images it has. This file
does not know where depth comes from, nor what the outputs' files are like.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf, isinf
from pathlib import Path
from typing import Any

from vda.calibration.fit import Calibration
from vda.calibration.metres import conversion_of, in_metres, require_made_for
from vda.depthmaps.codes import DepthRecord, Kind, Quantizer
from vda.depthmaps.stored import StoredDepth
from vda.errors import UsageError
from vda.files import DEPTH_RECORD_NAME
from vda.joining.scenedepth import SceneDepth
from vda.merging.frames import JOURNAL, Frames, Tally, write_frames
from vda.merging.looks import look_of, remarks_on_views, stereo_json, stereo_of
from vda.merging.meaning import Meaning
from vda.merging.outputs import FORMATS, Outputs, written_files
from vda.merging.request import Request
from vda.merging.settings import MergeResult, MergeSettings
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


@dataclass(frozen=True)
class FirstPass:
    """What is known of joined depth before a frame of it is written; ``found`` says how its parts were fitted.

    ``value_range`` is that of what is written; its end None is infinity, which only metres have. ``storing_error``
    is the largest that storing the raw windows can have put into a value. ``shots`` and ``remarks`` are for the
    record.
    """

    value_range: tuple[float, float | None]
    shots: list[dict[str, Any]]
    remarks: list[str]
    storing_error: float

    @classmethod
    def of(cls, depth: SceneDepth, settings: MergeSettings, calibration: Calibration | None) -> "FirstPass":
        """Raises ``UsageError`` where ``calibration`` has to make metres and cannot, or was found for others."""
        found = conversion_of(depth, settings.depth_scale, settings.metres, calibration)
        require_made_for(found, depth)
        low, high = in_metres(depth, found).value_range()
        storing = 0.0 if found else max(part.quantisation_error() for part in depth.parts)
        return cls((low, None if isinf(high) else high), depth.shots_json(), [*depth.remarks()], storing)


@dataclass(frozen=True)
class MergeWork:
    """What a merge writes: ``depth``, in metres where it has to be, as ``outputs``; all else is for the record."""

    target: Target
    depth: SceneDepth
    first: FirstPass
    outputs: Outputs
    meaning: Meaning
    origin: Origin
    request: Request


def work_of(
    target: Target,
    depth: SceneDepth,
    first: FirstPass,
    origin: Origin,
    request: Request,
    calibration: Calibration | None,
    folder: Path | None = None,
) -> MergeWork:
    """What ``request`` asks for of ``depth``, to be made in ``folder`` (None: where a whole merge makes it).

    Raises ``UsageError`` where it is to be added to depth that was made with other settings.
    """
    settings = request.settings
    found = conversion_of(depth, settings.depth_scale, settings.metres, calibration)
    depth = in_metres(depth, found)
    low, end = first.value_range
    value_range = low, inf if end is None else end
    quantizer = _quantizer(depth.kind, *value_range, settings)
    metres = None if found is None else [found.scale, found.shift]
    meaning = Meaning.of(quantizer, _frames_json(depth.plan), first.shots, settings, metres)
    if metres is not None:
        origin = replace(origin, settings={**origin.settings, "metres": metres})
    _require_same_depth(target.folder, meaning, request)
    outputs = _outputs(target, depth, quantizer, value_range, request, origin, folder)
    return MergeWork(target, depth, first, outputs, meaning, origin, request)


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
    first = FirstPass.of(depth, request.settings, calibration)
    work = work_of(target, depth, first, origin, request, calibration)
    tally = _write_frames(work.depth, work.outputs, work.meaning, request, reporter)
    return finish(work, tally)


def finish(work: MergeWork, tally: Tally) -> MergeResult:
    """Write the record of what is written by now, and bring all of it to its place."""
    record = write_record(work, tally)
    settle(work.target.folder)
    return told_of(work, record)


def write_record(work: MergeWork, tally: Tally) -> DepthRecord:
    """Write, beside what is made, the record that says it is whole; return the record of what was asked for."""
    record = _told(_record(work, tally), tally, work.outputs, work.request.settings)
    _write_record(work.target.folder, work.outputs, record, work.request)
    return record


def told_of(work: MergeWork, record: DepthRecord) -> MergeResult:
    """What came of the merge."""
    return MergeResult(work.target.folder, len(work.depth.frames), (*work.request.remarks, *record.remarks))


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
    _write_record(target.folder, outputs, told, request)
    settle(target.folder)
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
    folder: Path | None = None,
) -> Outputs:
    settings = request.settings
    if folder is None and request.is_beside:
        folder = workplace(target.folder)
    target = replace(target, folder=folder or target.folder)
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
        start_over(folder)
    for file in written_files(folder, set(FORMATS) - set(outputs.formats)):
        file.unlink()
    replace(meaning, replaces=request.replaces).write(folder)


def start_over(folder: Path) -> None:
    """Remove what merges have left in ``folder``."""
    for file in (*written_files(folder), folder / JOURNAL):
        file.unlink(missing_ok=True)


def _write_record(folder: Path, outputs: Outputs, record: DepthRecord, request: Request) -> None:
    """Write the record beside what was made, of all that will be in ``folder`` once that is in its place."""
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


def _frames_json(plan: Plan) -> list[int]:
    return list(plan.frame_range if plan.selection is None else plan.frames)


def _record(work: MergeWork, tally: Tally) -> DepthRecord:
    outputs, settings, depth, origin = work.outputs, work.request.settings, work.depth, work.origin
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
        shots=work.first.shots,
        missing_frames=tally.missing,
        clipped=tally.clipped,
        invalid_pixels=tally.invalid,
        formats=list(settings.formats),
        raw_window_error_steps=work.first.storing_error / outputs.quantizer.finest_step,
        levels=outputs.levels_json(),
        pixel_aspect=str(outputs.target.pixel_aspect),
        picture=origin.picture,
        remarks=[*work.first.remarks, *_remarks(tally)],
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
