"""A scene's depth in a handful of figures that need no truth, each with a formula (docs/evaluation.md).

In: a merged scene. Out: a ``Quality``. A figure that cannot be measured is None, and a sentence says why. This
file does not know what is good enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from vda.depthmaps.codes import MAX_CODE, DepthRecord
from vda.depthmaps.source import DepthSource, open_depth
from vda.depthmaps.usage import CodeUse
from vda.errors import VdaError
from vda.evaluation.drift import wandering
from vda.evaluation.flickers import Flicker, Scan, measure_flicker, scan, worst_flickers
from vda.evaluation.seams import seam_count, seam_scores, spread
from vda.evaluation.steadiness import NotMeasured, Seam
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Plan
from vda.scene.scene import Scene

FIGURES: Final = {
    "seam": "the largest seam score: the jump where a window or chunk takes over, over the usual one (1: none)",
    "seam_median": "the median seam score",
    "flicker": "the median change of depth along the motion of the picture, over its range",
    "flicker_worst": "the largest such change that was found, in the pairs of frames where depth changes most",
    "drift": "the standard deviation of a frame's log scale, estimated by frames that several windows see",
    "untied": "overlaps of chunks that say nothing of their scale",
    "invalid": "the share of the pixels seen by the network that have no depth",
    "codes": "codes over the middle 96 % of the values, of 65,535",
    "codes_share": "the same as a share of 65,535",
}
"""What a quality has, and what each is."""


# Codes settle with far fewer values than a film has.
_CODE_FRAMES = 48


def in_digits(value: float | None) -> str:
    """A figure as it is read: whole numbers whole, others to four digits that count."""
    if value is None:
        return "not measured"
    return f"{value:,d}" if isinstance(value, int) else f"{value:.4g}"


@dataclass(frozen=True)
class Quality:
    """``values`` by the names of ``FIGURES``; ``why`` has a sentence for each that is None.

    ``seams`` are those that were looked at, of ``seam_count`` in the film, and ``flickers`` the changes of the
    pairs of frames that were; ``worst`` are the pairs that flicker most, worst first, of what ``scanned`` tells.
    """

    values: dict[str, float | None]
    why: dict[str, str]
    seams: tuple[Seam, ...] = ()
    seam_count: int = 0
    flickers: tuple[float, ...] = ()
    worst: tuple[Flicker, ...] = ()
    scanned: Scan | None = None

    def to_json(self) -> dict[str, Any]:
        counts = {"seams": len(self.seams), "seam_count": self.seam_count, "flicker_pairs": len(self.flickers)}
        return {**self.values, **counts, "not_measured": self.why}


@dataclass
class _Found:
    """What is measured so far; a figure that cannot be is noted with its reason, and the others go on.

    ``reporter`` is told where nobody foresaw the reason.
    """

    reporter: Reporter
    values: dict[str, float | None] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def measure(self, names: Sequence[str], measure: Callable[[], Sequence[float]]) -> None:
        try:
            measured = measure()
            # No condition holds of what is no number, and so it would pass.
            if not np.isfinite(measured).all():
                raise NotMeasured("what was measured is no number")
            self.values.update(zip(names, measured, strict=True))
        except (NotMeasured, VdaError) as error:
            self._leave_out(names, error.problem if isinstance(error, VdaError) else str(error))
        # Foreign libraries measure too, on pictures of any size and files that anything may have befallen.
        except Exception as error:
            self._leave_out(names, str(error) or type(error).__name__)
            self.reporter.say(f"{' and '.join(names)} could not be measured: {self.why[names[0]]}.")

    def _leave_out(self, names: Sequence[str], reason: str) -> None:
        self.values.update(dict.fromkeys(names))
        self.why.update(dict.fromkeys(names, reason.strip().splitlines()[0].rstrip(".")))


def measure_quality(scene: Scene, *, most_seams: int | None = None, reporter: Reporter | None = None) -> Quality:
    """Measure a merged scene, with at most ``most_seams`` of its seams (None: all).

    ``reporter`` is told which figure is measured, and which could not be where nobody foresaw it. Raises
    ``SceneError`` where the scene is not merged.
    """
    reporter = reporter or Silence()
    scene.require_merged()
    plan, record = scene.plan(), DepthRecord.read(scene.depth_record_path)
    depth = open_depth(scene.merged_dir)
    found, seams, flickers, worst = _Found(reporter), list[Seam](), list[float](), list[Flicker]()
    total = seam_count(plan)

    def of_seams() -> tuple[float, float]:
        reporter.begin("seams", total if most_seams is None else min(total, most_seams))
        for seam in seam_scores(scene, plan, depth, most=most_seams):
            seams.append(seam)
            reporter.at(len(seams))
        return _seam_figures(seams, total)

    def of_flicker() -> tuple[float]:
        reporter.begin("flicker", None)
        flickers.extend(measure_flicker(scene, plan, depth))
        return (float(np.median(flickers)),)

    scanned = scan(plan, depth)

    def of_worst() -> tuple[float]:
        worst.extend(worst_flickers(scene, depth, scanned))
        return (max([worst[0].change, *flickers]),)

    found.measure(("seam", "seam_median"), of_seams)
    found.measure(("flicker",), of_flicker)
    found.measure(("flicker_worst",), of_worst)
    found.measure(("drift",), lambda: [wandering(scene, plan, record).drift])
    found.measure(("untied",), lambda: [_untied(record)])
    found.measure(("invalid",), lambda: [invalid_share(scene, plan, record)])
    found.measure(("codes", "codes_share"), lambda: _code_figures(depth))
    return Quality(found.values, found.why, tuple(seams), total, tuple(flickers), tuple(worst), scanned)


def _seam_figures(seams: Sequence[Seam], total: int) -> tuple[float, float]:
    """Largest and median; of a film in one piece 1, for that is what no seam is."""
    if not total:
        return 1.0, 1.0
    scores = [seam.after for seam in seams]
    if not scores:
        raise NotMeasured("there is no depth on both sides of any seam")
    return max(scores), float(np.median(scores))


def _untied(record: DepthRecord) -> int:
    """How many overlaps the merge found nothing in to fit chunks by; linked windows have none."""
    overlaps = [overlap for shot in record.shots for overlap in shot.get("overlaps") or ()]
    return sum(overlap["verdict"] != "fitted" for overlap in overlaps)


def invalid_share(scene: Scene, plan: Plan, record: DepthRecord) -> float:
    """The share of the pixels that the network saw which have code 0.

    What ``--crop`` and ``--mask`` keep from the network has no depth by intent and is on neither side. Frames that
    could not be decoded are wholly invalid, and so are metres out of the codes' range.
    """
    frame = record.width * record.height
    hidden = _hidden(scene, plan) if record.picture else {}
    missing = {plan.place(index) for index in record.missing_frames}
    without = record.invalid_pixels + (record.clipped if record.quantizer.kind == "depth" else 0)
    seen = 0
    for shot, places in _frames_by_shot(plan).items():
        gone, by_intent = sum(place in missing for place in places), hidden.get(shot, 0)
        seen += len(places) * (frame - by_intent)
        # The record counts what is hidden as invalid, and of missing frames nothing.
        without += gone * frame - len(places) * by_intent
    return without / seen if seen else 1.0


def _frames_by_shot(plan: Plan) -> dict[int, range]:
    """The places of each shot's frames."""
    numbers = sorted({sequence.shot for sequence in plan.sequences})
    return {number: range(*places) for number, places in zip(numbers, plan.shots, strict=True)}


def _hidden(scene: Scene, plan: Plan) -> dict[int, int]:
    """How many pixels of a frame of each shot are kept from the network."""
    found = {}
    for shot, framing in scene.framings(_frames_by_shot(plan)).items():
        seen = np.zeros(framing.size[::-1], bool)
        seen[framing.box.places] = True
        if framing.overlay is not None:
            seen &= ~framing.overlay
        found[shot] = int(np.count_nonzero(~seen))
    return found


def _code_figures(depth: DepthSource) -> tuple[int, float]:
    """Codes from the 2nd to the 98th percentile of the values, both with them, and their share."""
    record = depth.record
    if record is None:
        raise NotMeasured("nothing says what the codes of the depth mean")
    codes = record.middle_codes
    if codes is None:
        # Nothing of 16 bits was written, so nothing was counted: what codes would be used, by some of the frames.
        use = CodeUse()
        for frame in spread(depth.frames, _CODE_FRAMES):
            use.add(record.quantizer.encode(depth.read(frame)))
        codes = use.middle_codes()
    if codes is None:
        raise NotMeasured("no pixel of the depth has a value")
    return codes, codes / MAX_CODE
