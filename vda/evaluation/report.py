"""``report.html``: one file, readable anywhere, by which a person can judge a scene's depth.

In: a merged scene. Out: the file, with every picture inside it and nothing from the network. What is no longer on
disk (raw windows, the video) is left out, and the page says so. This file does not know how depth was made.
"""

import html
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.source import open_depth
from vda.errors import VdaError
from vda.evaluation.figures import Line, draw_lines
from vda.evaluation.frames import Work, anchor, filmstrip, named_frames, video
from vda.evaluation.making import facts, timeline
from vda.evaluation.page import advice, fit, section, svg_image, whole_page
from vda.evaluation.quality import FIGURES, Quality, in_digits, measure_quality
from vda.evaluation.seams import MOST_SEAMS, seam_scores
from vda.evaluation.verdict import Judgement, built_in, judge
from vda.files import write_bytes
from vda.joining.scenedepth import SceneDepth, depth_of_windows
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Plan
from vda.scene.scene import Scene
from vda.scene.windows import Window
from vda.shown import printable

# A dot for each of thousands of seams would be a band of ink.
_MOST_POINTS = 240


def write_report(
    scene: Scene,
    reporter: Reporter | None = None,
    quality: Quality | None = None,
    *,
    with_paths: bool = False,
) -> Path:
    """Write ``report.html`` of a merged scene and return its path; ``SceneError`` where it is not merged.

    ``quality`` is the scene's, if it was measured already; else it is, with some of the seams. A part that cannot
    be made is left out: the page says why, and ``reporter`` is told. Folders of this machine are named only
    ``with_paths``.
    """
    scene.require_merged()
    record = DepthRecord.read(scene.depth_record_path)
    quality = quality or measure_quality(scene, most_seams=MOST_SEAMS)
    plan = scene.plan()
    in_order, depth = _in_order(scene, plan, record), open_depth(scene.merged_dir)
    work = Work(scene, plan, record, depth, quality, judge(quality, record), in_order, with_paths)
    parts = [_part(title, make, work, reporter or Silence()) for title, make in _PARTS.items()]
    name = printable(scene.root.resolve().name)
    write_bytes(scene.report_path, whole_page(f"Depth of {name}", parts).encode())
    return scene.report_path


def _part(title: str, make: Callable[[Work], str], work: Work, reporter: Reporter) -> str:
    """Return a section of the page, or one that says why it is left out: the others are worth having."""
    try:
        return make(work)
    # Foreign libraries measure and draw, on pictures of any size and logs that anything may have befallen.
    except Exception as error:
        reason = error.problem if isinstance(error, VdaError) else _first_line(error)
        sentence = f"{title}: left out of the report, for it could not be made ({reason.rstrip('.')})."
        reporter.say(sentence)
        return section(title, "", work.plain(sentence))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _in_order(scene: Scene, plan: Plan, record: DepthRecord) -> SceneDepth | None:
    run = scene.run_record()
    if record.settings.get("align") != "joint" or plan.chunking != "linked" or run is None or run.metric:
        return None
    if scene.unfinished_chunks(plan):
        return None
    return depth_of_windows(scene, plan, run, "sequential")


def _verdict(work: Work) -> str:
    """The whole in words, where it is worst and what to do; at the top, for it is what people come for."""
    verdict = work.verdict
    items = "".join(_finding(work, finding) for finding in verdict.findings)
    model = built_in(work.record.model)
    said = f"<p><strong>The built-in model.</strong> {advice(model)}</p>" if model else ""
    word = f'<p class="word {verdict.level.name.lower()}">{fit(verdict.words)}.</p>'
    note = (
        "This says how steady the depth is, not whether it is right: that takes truth (vda eval). SCENE and FILM "
        "stand for this scene and its video."
    )
    return section("Verdict", f'<div class="verdict">{word}<ul>{items}</ul>{said}</div>', note)


def _finding(work: Work, finding: Judgement) -> str:
    links = ", ".join(f'<a href="#{anchor(frame)}">frame {frame}</a>' for frame in finding.frames)
    worst = f" Worst at {links}." if links else ""
    remedy = f"<small>{advice(finding.remedy)}</small>" if finding.remedy else ""
    return f'<li class="{finding.level.name.lower()}">{fit(work.plain(finding.text))}{worst}{remedy}</li>'


def _in_figures(work: Work) -> str:
    """The figures that ``vda report --fail-if`` takes."""
    quality = work.quality
    cells = "".join(
        f"<tr><td>{name}</td><td>{in_digits(quality.values[name])}<br><small>{html.escape(meaning)}</small></td></tr>"
        for name, meaning in FIGURES.items()
    )
    note = "Figures that need no truth, by the names that vda report --fail-if takes."
    if len(quality.seams) < quality.seam_count:
        note += f" {len(quality.seams)} of {quality.seam_count} seams were looked at."
    note += "".join(f" {name} was not measured: {why}." for name, why in quality.why.items())
    return section("In figures", f"<table>{cells}</table>", work.plain(note))


def _alignment(work: Work) -> str:
    """Scale and shift over time: of windows, or of chunks; both ways of aligning where both are known."""
    rows = [("joint" if work.in_order else "", work.record.shots)]
    if work.in_order:
        rows.append(("sequential", work.in_order.shots_json()))
    fits = [(name, list(_fits(shots, work.plan))) for name, shots in rows]
    if not fits[0][1]:
        return ""
    panels = [
        [Line(name, [fit[0] for fit in found], [fit[column] for fit in found]) for name, found in fits]
        for column in (1, 2)
    ]
    what = "chunk" if work.plan.chunking == "independent" else "window"
    note = (
        f"What each {what}'s raw depth was multiplied by and raised by. A steady drift means that scale wanders."
    )
    if work.in_order:
        note += " The merge solved all windows jointly; one after the other, the default, is shown beside it."
    return section("Scale and shift", svg_image(draw_lines(panels, ["scale", "shift"], "frame"), "fits"), note)


def _fits(shots: list[dict[str, Any]], plan: Plan) -> Iterator[tuple[float, float, float]]:
    """First frame, scale and shift of every chunk or window."""
    for shot in shots:
        for chunk in shot.get("chunks") or ():
            yield chunk["start_frame"], float(chunk["scale"]), float(chunk["shift"])
        for k, (scale, shift) in enumerate(zip(shot.get("scale") or (), shot.get("shift") or (), strict=False)):
            window = Window(plan.place(shot["start_frame"]), plan.place(shot["end_frame"]), k)
            yield plan.frame(window.kept.start), scale, shift


def _remarks(work: Work) -> str:
    """What could not be joined as it should be, and what is left out; nothing where all is well."""
    if not work.record.remarks:
        return ""
    items = "".join(f"<li>{fit(work.plain(remark))}</li>" for remark in work.record.remarks)
    return section("What the merge remarked", f"<ul>{items}</ul>", "")


def _seams(work: Work) -> str:
    seams = work.quality.seams
    if not work.quality.seam_count:
        return section("Seams", "", "The depth was made in one piece: there are no seams.")
    if not seams:
        return section("Seams", "", work.plain(f"Seams were not measured: {work.quality.why['seam']}."))
    scores = {"merged": {seam.frame: seam.after for seam in seams}}
    if work.in_order:
        other = seam_scores(work.scene, work.plan, work.depth, work.in_order.frame)
        scores = {"joint": scores["merged"], "sequential": {seam.frame: seam.after for seam in other}}
    if raw := {seam.frame: seam.before for seam in seams if seam.before is not None}:
        scores["raw"] = raw
    lines = [_worst_of(name, found) for name, found in scores.items()]
    medians = "; ".join(
        f"{name}: median {np.median(list(found.values())):.2f}, largest {max(found.values()):.2f}"
        for name, found in scores.items()
    )
    note = (
        "The jump where a window or chunk takes over, against the change inside one at that place (1: no seam). "
        f"{medians[:1].upper()}{medians[1:]}."
    )
    return section("Seams", svg_image(draw_lines([lines], ["times usual"], "frame"), "seam scores"), note)


def _worst_of(name: str, scores: dict[int, float]) -> Line:
    """A line of the scores by frame; of very many, those that are largest among their neighbours."""
    groups = np.array_split(list(scores), min(len(scores), _MOST_POINTS))
    frames = [int(max(group, key=lambda frame: scores[frame])) for group in groups]
    return Line(name, frames, [scores[frame] for frame in frames])


def _flicker(work: Work) -> str:
    values = work.quality.flickers
    if not values:
        return section("Flicker", "", work.plain(f"Flicker was not measured: {work.quality.why['flicker']}."))
    note = (
        f"{100 * float(np.median(values)):.2f} % of the range of depth is the median change along the motion of "
        f"the picture (optical flow), over {len(values)} pairs of frames; the largest {100 * max(values):.2f} %."
    )
    return section("Flicker", "", note)


_PARTS: dict[str, Callable[[Work], str]] = {
    "Verdict": _verdict,
    "Where it is worst": named_frames,
    "Frames and depth": filmstrip,
    "The film of the depth": video,
    "Scale and shift": _alignment,
    "What the merge remarked": _remarks,
    "In figures": _in_figures,
    "Seams": _seams,
    "Flicker": _flicker,
    "Timeline": lambda work: timeline(work.scene, work.plan),
    "What was asked and used": lambda work: facts(work.scene, work.plan, work.record),
}
