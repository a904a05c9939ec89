"""How a scene's depth was made, as sections of its report: who computed it when, and what was asked and used.

In: a scene, its plan and its depth's record. Out: HTML. This file does not know what the depth is worth.
"""

import html
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vda.depthmaps.codes import DepthRecord
from vda.evaluation.figures import Bar, draw_timeline
from vda.evaluation.page import section, svg_image
from vda.scene.chunks import Plan
from vda.scene.events import ChunkBegun, WindowComputed, read_events
from vda.scene.scene import Scene
from vda.shown import printable


def timeline(scene: Scene, plan: Plan) -> str:
    """Who computed which chunk, when: a bar for each time that a worker took a chunk up."""
    turns, frames = _turns(scene, plan)
    if not turns:
        return section("Timeline", "", "There are no logs of how this depth was computed.")
    first, last = min(turn.begin_s for turn in turns), max(turn.end_s for turn in turns)
    of_chunk = Counter(turn.chunk for turn in turns)
    seen: Counter[int] = Counter()
    bars = []
    for turn in turns:
        seen[turn.chunk] += 1
        word = f"turn {seen[turn.chunk]}" if of_chunk[turn.chunk] > 1 else ""
        minutes = (turn.begin_s - first) / 60, (turn.end_s - first) / 60
        bars.append(Bar(f"chunk {turn.chunk}", *minutes, turn.device, word))
    pace = f" {frames / (last - first):.2f} frames per second, pauses included." if last > first else ""
    note = f"Each time a worker took a chunk up, until its last finished window.{pace}"
    return section("Timeline", svg_image(draw_timeline(bars), "timeline of the chunks"), note)


@dataclass
class _Turn:
    """A worker's time with a chunk, in seconds since the epoch."""

    chunk: int
    device: str
    begin_s: float
    end_s: float


def _turns(scene: Scene, plan: Plan) -> tuple[list[_Turn], int]:
    """Return the turns, by chunk and time, and how many frames were computed in all."""
    turns: dict[tuple[Any, ...], _Turn] = {}
    frames = 0
    for entry in read_events(scene):
        if isinstance(entry.event, ChunkBegun | WindowComputed):
            new = _Turn(entry.chunk, entry.device, entry.unix_s, entry.unix_s)
            turns.setdefault((entry.chunk, entry.worker), new).end_s = entry.unix_s
        if isinstance(entry.event, WindowComputed) and 0 <= entry.chunk < len(plan.chunks):
            chunk, stop = plan.chunks[entry.chunk], plan.place(entry.event.end_frame)
            # Neighbours of independent chunks compute some frames both, which are frames of the film once.
            first = max(plan.place(entry.event.start_frame), chunk.keep_start)
            frames += len(range(first, min(stop, chunk.keep_stop)))
    return sorted(turns.values(), key=lambda turn: (turn.chunk, turn.begin_s)), frames


def facts(scene: Scene, plan: Plan, record: DepthRecord) -> str:
    """What was asked and used, as a table."""
    run = scene.run_record()
    pixels = record.frames * record.width * record.height or 1
    rows: list[tuple[str, Any]] = [
        # Names alone: a page is handed on, and whose home the files are in is nobody's business.
        ("video", Path(scene.read_video().get("path", "")).name),
        ("frames", f"{record.frames} of {record.width} x {record.height}{_thinned_words(plan)}"),
        *_picture_facts(record),
        ("chunks", f"{len(plan.chunks)}, {plan.chunking}"),
        *_shot_facts(scene, plan),
        ("kind of depth", f"{record.quantizer.kind.replace('_', ' ')}, {record.quantizer.unit}"),
        ("value of a code", record.quantizer.in_words()),
        ("out of range", f"{record.clipped} pixels ({record.clipped / pixels:.2%})"),
        ("invalid", f"{record.invalid_pixels} pixels, and {len(record.missing_frames)} whole frames"),
        ("formats", ", ".join(record.formats)),
    ]
    if run is not None:
        rows += [
            ("model", f"{run.model} (asked for: {run.asked_model}), licence {run.licence}"),
            ("weights", f"{run.weights_sha256}, {run.weights_source}"),
            ("input size", f"{run.input_size}: the network sees {run.net_width} x {run.net_height}"),
            ("precision", run.precision_reason),
            ("version", run.version),
        ]
    else:
        rows.append(("made by", f"{record.model}, {Path(record.settings.get('depth_dir', '')).name}"))
    cells = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(printable(str(value)))}</td></tr>"
        for name, value in rows
    )
    return section("What was asked and used", f"<table>{''.join(cells)}</table>", "")


def _picture_facts(record: DepthRecord) -> Iterator[tuple[str, str]]:
    crop, boxes = record.picture.get("crop", "off"), record.picture.get("boxes") or []
    if crop != "off":
        told = (
            f"{','.join(map(str, boxes[0]))} (left, top, width, height)"
            if len(boxes) == 1
            else "the whole picture"
        )
        told = told if len(boxes) <= 1 else f"another part in each of {len(boxes)} shots"
        yield "seen by the network", f"{told}; asked for: {crop}. Outside of it pixels are invalid."
    if record.picture.get("mask_sha256"):
        yield "mask", f"{record.picture['mask_sha256']}: filled in for the network, and invalid."
    if (record.width, record.height) != record.video_size:
        yield "size of the video", f"{record.video_size[0]} x {record.video_size[1]}, made smaller for --max-res"


def _shot_facts(scene: Scene, plan: Plan) -> Iterator[tuple[str, str]]:
    shots = len(plan.shots)
    if shots > 1:
        listed = f", listed in {scene.shots_path.name}" if scene.shots_path.is_file() else ""
        yield "shots", f"{shots}, each with a scale of its own{listed}"


def _thinned_words(plan: Plan) -> str:
    if plan.selection is None:
        return ""
    first, stop = plan.frame_range
    if not plan.selection.thinning.leaves_out:
        return f", numbered {first} to {stop - 1}"
    return f", {plan.selection.thinning} of the video's {stop - first}"
