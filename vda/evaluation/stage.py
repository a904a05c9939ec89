"""Depth against ground truth, from files.

In go two places where depth is kept, and perhaps the cameras; out comes an ``Evaluation``: the figures of the
depth and, by the very same protocol, those of a vertical ramp and of a constant, which any model must beat. The
protocol is that of ``metrics.video``. One frame is in memory at a time. This file does not know models.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import same_shape
from vda.camera.poses import Cameras, read_cameras
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError
from vda.evaluation.figures import ComparedFrame, draw_evaluation
from vda.evaluation.pairing import MatchedBy, Pairing, pair_frames
from vda.files import refuse_to_overwrite
from vda.metrics import Figures, VideoMetrics, ramp
from vda.metrics.alignment import Kind
from vda.metrics.masks import inside_border
from vda.metrics.temporal import Pose
from vda.reporter import Reporter, Silence
from vda.scene.scene import Scene
from vda.video import is_same, read_frame_list

Float32Image = NDArray[np.float32]

_FIGURE_ROWS = 4


@dataclass(frozen=True)
class Evaluation:
    """The figures of the depth, those of the two ``baselines``, and what they were taken over.

    ``matched_by`` says whether frames of depth and truth were paired by their index, their time or their order;
    the ``unmatched`` ones of either have no partner and do not count. Relative depth of several ``shots`` has as
    many scales, and is measured with one.
    """

    depth: Figures
    baselines: dict[str, Figures]
    kind: Kind
    cap_m: float
    border: int
    matched_by: MatchedBy
    unmatched_depth: int
    unmatched_truth: int
    width: int
    height: int
    shots: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return what ``vda eval --json`` prints; figures have the names that programs of the field give them."""
        rest = {field.name: getattr(self, field.name) for field in fields(self)}
        baselines = {name: figures.to_json() for name, figures in self.baselines.items()}
        return rest | {"depth": self.depth.to_json(), "baselines": baselines}


def evaluate(
    depth: Path,
    truth: Path,
    *,
    truth_scale: float | None = None,
    depth_scale: float | None = None,
    cap_m: float = 80.0,
    border: int = 0,
    cameras: Path | None = None,
    by_order: bool = False,
    figure: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Measure ``depth`` (a scene, or anything ``open_depth`` takes) against ``truth``, and draw ``figure``.

    Depth without a ``depth.json`` is inverse depth, or metric if ``depth_scale`` (its numbers to the metre) is
    given; ``truth_scale`` is the truth's, needed for images of whole numbers. Pixels within ``border`` of the edge
    are left out, at the truth's size; depth of another size is brought to it, bilinearly. ``by_order`` pairs
    frames by the order of their names. ``reporter`` is told the frames done, of both passes. Raises ``InputError``
    where the two do not belong together.
    """
    refuse_to_overwrite(figure, overwrite=overwrite)
    pairs = _Pairs.open(depth, truth, depth_scale, truth_scale, cameras, by_order)
    contenders = _contenders(pairs, cap_m, border)
    _see_all(pairs, list(contenders.values()), reporter or Silence())
    figures = {name: contender.metrics.figures() for name, contender in contenders.items()}
    measured = figures.pop("depth")
    if not measured.pixels:
        raise InputError(
            f"No pixel of {truth} below {cap_m:g} m has depth in {depth}.",
            "Check --truth-scale, --cap and --border.",
        )
    if figure is not None:
        _draw(figure, pairs, contenders["depth"].metrics, cap_m, depth)
    height, width = pairs.shape
    found = pairs.pairing
    counts = (found.unmatched_depth, found.unmatched_truth)
    return Evaluation(
        measured, figures, pairs.kind, cap_m, border, found.matched_by, *counts, width, height, pairs.shots
    )


@dataclass(frozen=True)
class _Frame:
    """A frame of both at the truth's size; the truth in metres, NaN where there is none."""

    index: int
    prediction: Float32Image
    truth: Float32Image
    camera_to_world: Pose | None


@dataclass(frozen=True)
class _Contender:
    """Something that is measured: what it predicts for a frame, and its figures so far."""

    metrics: VideoMetrics
    mask: NDArray[np.bool_]
    predict: Callable[[_Frame], Float32Image]

    def fit(self, frame: _Frame) -> None:
        self.metrics.fit(self.predict(frame), frame.truth, self.mask)

    def add(self, frame: _Frame) -> None:
        prediction = self.predict(frame)
        self.metrics.add(prediction, frame.truth, self.mask, camera_to_world=frame.camera_to_world)


def _contenders(pairs: "_Pairs", cap_m: float, border: int) -> dict[str, _Contender]:
    intrinsics = None if pairs.cameras is None else pairs.cameras.intrinsics
    mask = inside_border(pairs.shape, border)
    rising, level = ramp(*pairs.shape), np.ones(pairs.shape, np.float32)
    predictors: dict[str, tuple[Kind, Callable[[_Frame], Float32Image]]] = {
        "depth": (pairs.kind, lambda frame: frame.prediction),
        "ramp": ("inverse_depth", lambda frame: rising),
        "constant": ("inverse_depth", lambda frame: level),
    }
    return {
        name: _Contender(VideoMetrics(kind, cap_m=cap_m, intrinsics=intrinsics), mask, predict)
        for name, (kind, predict) in predictors.items()
    }


def _see_all(pairs: "_Pairs", contenders: Sequence[_Contender], reporter: Reporter) -> None:
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


@dataclass(frozen=True)
class _Pairs:
    """Depth and truth frame by frame, as ``pairing`` has them."""

    depth: DepthSource
    truth: DepthSource
    pairing: Pairing
    shape: tuple[int, int]
    kind: Kind
    cameras: Cameras | None

    @classmethod
    def open(
        cls,
        depth: Path,
        truth: Path,
        depth_scale: float | None,
        truth_scale: float | None,
        cameras: Path | None,
        by_order: bool,
    ) -> "_Pairs":
        predicted = _open_prediction(depth, depth_scale, by_order)
        true = open_depth(truth, scale=truth_scale, by_order=by_order, timed=True)
        if true.record is not None and true.record.quantizer.kind != "depth":
            raise InputError(
                f"{truth} is inverse depth, not truth in metres.", "Give depth in metres as the truth."
            )
        kind: Kind = "depth" if depth_scale else "inverse_depth"
        if predicted.record is not None:
            kind = predicted.record.quantizer.kind
        pairing = pair_frames(predicted, true, by_order=by_order)
        height, width = true.read(pairing.pairs[0][1]).shape
        poses = None if cameras is None else read_cameras(cameras, (width, height), by_order=by_order)
        return cls(predicted, true, pairing, (height, width), kind, poses)

    def __len__(self) -> int:
        return len(self.pairing.pairs)

    @property
    def shots(self) -> int:
        return 1 if self.depth.record is None else max(len(self.depth.record.shots), 1)

    def frames(self) -> Iterator[_Frame]:
        return (self.frame(*place) for place in self.pairing.pairs)

    def frame(self, depth_index: int, truth_index: int) -> _Frame:
        # Poses are the data set's, as the truth is, and so are counted like it.
        pose = None if self.cameras is None else self.cameras.camera_to_world.get(truth_index)
        truth = self.truth.read(truth_index)
        truth = np.where(truth > 0, truth, np.float32(np.nan))
        return _Frame(depth_index, _resized(self.depth.read(depth_index), truth.shape), truth, pose)


def _open_prediction(path: Path, scale: float | None, by_order: bool) -> DepthSource:
    """The depth that is measured; that of a scene has the video's own times."""
    scene = Scene(path)
    if not scene.merged_dir.is_dir():
        return open_depth(path, scale=scale or 1, by_order=by_order, timed=True)
    depth = open_depth(scene.merged_dir, scale=scale or 1)
    if not scene.index_path.is_file():
        return depth
    times_s = scene.frame_index().times_of(np.asarray(depth.frames))
    return replace(depth, times_s=tuple(times_s.tolist()))


def _resized(prediction: Float32Image, shape: tuple[int, ...]) -> Float32Image:
    """Bring a prediction to the truth's size, bilinearly; what touches an invalid pixel becomes invalid."""
    if prediction.shape == shape:
        return prediction
    (height, width), (to_height, to_width) = prediction.shape, shape
    if not same_shape((width, height), (to_width, to_height)):
        raise InputError(
            f"Depth of {width} x {height} and truth of {to_width} x {to_height} are not of the same picture.",
            "Crop or turn one of them to the other first.",
        )
    return np.asarray(cv2.resize(prediction, (to_width, to_height), interpolation=cv2.INTER_LINEAR), np.float32)


def _draw(path: Path, pairs: _Pairs, metrics: VideoMetrics, cap_m: float, depth: Path) -> None:
    chosen = sorted({round(place) for place in np.linspace(0, len(pairs) - 1, _FIGURE_ROWS)})
    frames = [pairs.frame(*pairs.pairing.pairs[place]) for place in chosen]
    pictures = _pictures(Scene(depth), [frame.index for frame in frames])
    rows = [
        ComparedFrame(
            frame.index, metrics.depth(frame.prediction, frame.truth), frame.truth, pictures.get(frame.index)
        )
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
