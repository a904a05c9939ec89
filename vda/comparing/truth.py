"""Depth against ground truth, from files.

In go two places where depth is kept, and perhaps the camera; out comes an ``Evaluation``: the figures of the
depth and, by the very same protocol, those of a vertical ramp and of a constant, which any model must beat. The
protocol is that of ``metrics.video``. One frame is in memory at a time. This file does not know models.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from vda.camera.choice import CameraChoice
from vda.comparing.framepairs import Float32Image, FramePairs, PairedFrame
from vda.comparing.pairing import MatchedBy
from vda.errors import InputError, UsageError
from vda.evaluation.figures import ComparedFrame, draw_evaluation, require_png
from vda.files import refuse_to_overwrite
from vda.metrics import Figures, VideoMetrics, ramp
from vda.metrics.alignment import Align, Kind, usual_align
from vda.metrics.masks import LEAST_DEPTH_M, Crop, Mask, inside_border, inside_crop
from vda.records import Positive, Within, require_option
from vda.reporter import Reporter, Silence
from vda.scene.scene import Scene
from vda.video import is_same, read_frame_list

_FIGURE_ROWS = 4
_BASELINES = ("ramp", "constant")


@dataclass(frozen=True)
class Evaluation:
    """The figures of the depth, those of the two ``baselines``, and what they were taken over.

    Truth from ``least_m`` to ``cap_m`` counts, inside ``border`` and ``crop``. ``matched_by`` says whether frames
    of depth and truth were paired by their index, their time or their order; the ``unmatched`` ones of either
    have no partner and do not count. Relative depth of several ``shots`` has as many scales, and is measured with
    one. ``aligned`` are the figures of metric depth that is measured as it is, with scale and shift as relative
    depth gets them: what is left is the error of its layout alone.
    """

    depth: Figures
    baselines: dict[str, Figures]
    aligned: Figures | None
    kind: Kind
    align: Align
    least_m: float
    cap_m: float
    border: int
    crop: Crop | None
    matched_by: MatchedBy
    unmatched_depth: int
    unmatched_truth: int
    width: int
    height: int
    shots: int = 1

    @property
    def upside_down(self) -> list[str]:
        """Which of the rows are measured by a fit that makes what they call near far: ``depth``, ``ramp``."""
        return [name for name, figures in self.rows.items() if figures.upside_down]

    @property
    def rows(self) -> dict[str, Figures]:
        """All figures by what they are of, the depth's own first."""
        aligned = {} if self.aligned is None else {"aligned": self.aligned}
        return {"depth": self.depth} | aligned | self.baselines

    def to_json(self) -> dict[str, Any]:
        """Return what ``vda eval --json`` prints; figures have the names that programs of the field give them."""
        rest = {field.name: getattr(self, field.name) for field in fields(self)}
        baselines = {name: figures.to_json() for name, figures in self.baselines.items()}
        return rest | {
            "depth": self.depth.to_json(),
            "aligned": None if self.aligned is None else self.aligned.to_json(),
            "baselines": baselines,
            "upside_down": self.upside_down,
        }


def evaluate(
    depth: Path,
    truth: Path,
    *,
    truth_scale: float | None = None,
    depth_scale: float | None = None,
    align: Align | None = None,
    cap_m: float = 80.0,
    border: int = 0,
    crop: Crop | None = None,
    cameras: Path | None = None,
    camera: CameraChoice | None = None,
    by_order: bool = False,
    figure: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Measure ``depth`` (a scene, or anything ``open_depth`` takes) against ``truth``, and draw ``figure``.

    Depth without a ``depth.json`` is inverse depth, or metric if ``depth_scale`` (its numbers to the metre) is
    given; ``truth_scale`` is the truth's, needed for images of whole numbers. ``align`` is one of
    ``metrics.alignment``; by default relative depth gets scale and shift, and metric depth neither. Pixels within
    ``border`` of the edge and outside a benchmark's ``crop`` are left out, at the truth's size; depth of another
    size is brought to it, bilinearly. ``cameras`` have poses; ``camera`` is one without, which is enough for
    normals. ``by_order`` pairs frames by the order of their names. ``reporter`` is told the frames done, of both
    passes. Raises ``InputError`` where the two do not belong together.
    """
    rules = _Rules(align, cap_m, border, crop)
    for name, scale in (("truth-scale", truth_scale), ("depth-scale", depth_scale)):
        require_option(name, Positive | None, scale)
    require_png(figure)
    refuse_to_overwrite(figure, overwrite=overwrite)
    reporter = reporter or Silence()
    pairs = FramePairs.open(depth, truth, depth_scale=depth_scale, truth_scale=truth_scale, by_order=by_order)
    pairs = pairs.with_camera(cameras, camera or CameraChoice(), by_order, reporter)
    contenders = _contenders(pairs, rules)
    _see_all(pairs, list(contenders.values()), reporter)
    figures = {name: contender.metrics.figures() for name, contender in contenders.items()}
    if not figures["depth"].pixels:
        raise InputError(
            f"No pixel of {truth} below {cap_m:g} m has depth in {depth}.",
            "Check --truth-scale, --cap, --border and --crop.",
        )
    if figure is not None:
        _draw(figure, pairs, contenders["depth"], cap_m, depth)
    return _evaluation(pairs, rules, figures)


@dataclass(frozen=True)
class _Rules:
    """What counts, and how depth is brought to metres, held against what may be asked."""

    asked_align: Align | None
    cap_m: float
    border: int
    crop: Crop | None

    def __post_init__(self) -> None:
        if not LEAST_DEPTH_M < self.cap_m < math.inf:
            raise UsageError(
                f"A cap of {self.cap_m:g} m is not possible: truth counts from {LEAST_DEPTH_M:g} m to the cap.",
                "Give the farthest distance that counts in metres, such as 10 indoors or 80 outdoors.",
            )
        require_option("border", Annotated[int, Within(0)], self.border)
        require_option("align", Align | None, self.asked_align)
        require_option("crop", Crop | None, self.crop)

    def align(self, kind: Kind) -> Align:
        return self.asked_align or usual_align(kind)

    def mask(self, shape: tuple[int, int]) -> Mask:
        inside = inside_border(shape, self.border)
        return inside if self.crop is None else inside & inside_crop(shape, self.crop)


def _evaluation(pairs: FramePairs, rules: _Rules, figures: dict[str, Figures]) -> Evaluation:
    """``figures`` by contender, with what they were taken over."""
    (height, width), found = pairs.shape, pairs.pairing
    return Evaluation(
        figures["depth"],
        {name: figures[name] for name in _BASELINES},
        figures.get("aligned"),
        kind=pairs.kind,
        align=rules.align(pairs.kind),
        least_m=LEAST_DEPTH_M,
        cap_m=rules.cap_m,
        border=rules.border,
        crop=rules.crop,
        matched_by=found.matched_by,
        unmatched_depth=found.unmatched_depth,
        unmatched_truth=found.unmatched_truth,
        width=width,
        height=height,
        shots=pairs.shots,
    )


@dataclass(frozen=True)
class _Contender:
    """Something that is measured: what it predicts for a frame, and its figures so far."""

    metrics: VideoMetrics
    mask: Mask
    predict: Callable[[PairedFrame], Float32Image]

    def fit(self, frame: PairedFrame) -> None:
        self.metrics.fit(self.predict(frame), frame.truth, self.mask)

    def add(self, frame: PairedFrame) -> None:
        prediction = self.predict(frame)
        self.metrics.add(prediction, frame.truth, self.mask, camera_to_world=frame.camera_to_world)

    def depth(self, frame: PairedFrame) -> NDArray[np.float64]:
        return self.metrics.depth(self.predict(frame), frame.truth, self.mask)


def _contenders(pairs: FramePairs, rules: _Rules) -> dict[str, _Contender]:
    """The depth and what knows nothing, by one protocol; what has no unit cannot be taken as it is.

    Metric depth as it is has itself beside it, aligned.
    """
    rising, level = ramp(*pairs.shape), np.ones(pairs.shape, np.float32)
    align, usual = rules.align(pairs.kind), usual_align("inverse_depth")
    of_baselines: Align = usual if align == "none" else align
    predictors: dict[str, tuple[Kind, Align, Callable[[PairedFrame], Float32Image]]] = {
        "depth": (pairs.kind, align, lambda frame: frame.prediction),
        "ramp": ("inverse_depth", of_baselines, lambda frame: rising),
        "constant": ("inverse_depth", of_baselines, lambda frame: level),
    }
    if pairs.kind == "depth" and align == "none":
        predictors["aligned"] = (pairs.kind, usual, lambda frame: frame.prediction)
    mask = rules.mask(pairs.shape)
    return {
        name: _Contender(
            VideoMetrics(kind, cap_m=rules.cap_m, intrinsics=pairs.intrinsics, align=aligned), mask, predict
        )
        for name, (kind, aligned, predict) in predictors.items()
    }


def _see_all(pairs: FramePairs, contenders: Sequence[_Contender], reporter: Reporter) -> None:
    """Show all frames to the contenders twice: for the alignment, then for the errors."""
    reporter.begin("evaluating", 2 * len(pairs))
    for done, frame in enumerate(pairs.frames(), 1):
        for contender in contenders:
            contender.fit(frame)
        reporter.at(done)
    for done, frame in enumerate(pairs.frames(), len(pairs) + 1):
        for contender in contenders:
            contender.add(frame)
        reporter.at(done)


def _draw(path: Path, pairs: FramePairs, contender: _Contender, cap_m: float, depth: Path) -> None:
    chosen = sorted({round(place) for place in np.linspace(0, len(pairs) - 1, _FIGURE_ROWS)})
    frames = [pairs.frame(*pairs.pairing.pairs[place]) for place in chosen]
    pictures = _pictures(Scene(depth), [frame.index for frame in frames])
    rows = [
        ComparedFrame(frame.index, contender.depth(frame), frame.truth, pictures.get(frame.index))
        for frame in frames
    ]
    draw_evaluation(path, rows, cap_m)


def _pictures(scene: Scene, indices: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    """Read the video's own frames, where the depth is a scene's and its video is still there."""
    if not scene.video_path.is_file():
        return {}
    info, index = scene.film()
    if not is_same(info, info.path):
        return {}
    return {frame.index: frame.rgb for frame in read_frame_list(info, index, indices)}
