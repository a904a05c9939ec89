"""How good depth is, by the field's protocol, in constant memory for videos of any length.

In go frames of predicted and true depth (and, for normals and the temporal error, the camera and where it was);
out come figures for the whole video. Two passes over the frames: ``fit`` sees them all, then ``add`` does. This
file does not know where depth comes from or which files it is kept in.

Protocol
    Relative predictions (inverse depth without a unit) get one scale and one shift for the whole video, by least
    squares in inverse depth over all valid pixels; metric predictions are taken as they are; ``align`` asks for
    something else (``alignment``). Depth is then clipped to 1 mm and the cap. A pixel is valid where the true
    depth is finite, above 1 mm and below the cap, and the prediction is finite. Every valid pixel of the video
    has the same weight.
"""

from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics
from vda.joining.align import ScaleShift
from vda.metrics.alignment import Align, Alignment, Kind, usual_align
from vda.metrics.boundaries import BoundaryErrors, BoundaryFigures, depth_edges
from vda.metrics.masks import LEAST_DEPTH_M, Image, Mask, valid_truth
from vda.metrics.normals import NormalErrors, NormalFigures, Normals, surface_normals
from vda.metrics.pixelwise import PIXEL_NAMES, PixelErrors, PixelFigures
from vda.metrics.temporal import Pose, TemporalSums


@dataclass(frozen=True)
class Figures(PixelFigures):
    """A video's figures: those of ``PixelFigures`` over all its pixels, and more.

    ``boundaries`` is None where the truth has no edge, ``normals`` and ``tae`` (the temporal alignment error)
    without cameras. ``scale`` and ``shift`` bring the prediction to metres, or to 1/m, in its own quantity; where
    each frame has a scale of its own, ``scale`` is their median and ``scale_std`` the standard deviation over it.
    ``coverage``: share of the pixels with truth that had a prediction. ``per_frame`` are the figures of each
    frame that has any. ``upright``: the figures with the best scale that is not negative, only where the best of
    all is.
    """

    boundaries: BoundaryFigures | None
    normals: NormalFigures | None
    tae: float | None
    scale: float
    shift: float
    scale_std: float | None
    pixels: int
    frames: int
    coverage: float
    per_frame: tuple[PixelFigures, ...]
    upright: "Figures | None" = None

    @property
    def upside_down(self) -> bool:
        """Whether the best fit has a negative scale: on the whole, what is called near is far."""
        return self.scale < 0

    @property
    def right_way_up(self) -> "Figures":
        """The figures that say how good the depth is as depth, near as near: with a scale that is not negative."""
        return self.upright or self

    def over_frames(self) -> dict[str, PixelFigures]:
        """Return the ``mean`` and the ``median`` over frames, each frame with the same weight; NaN without one."""
        rows = np.array([astuple(figures) for figures in self.per_frame] or [(np.nan,) * len(PIXEL_NAMES)])
        mean, median = np.mean(rows, axis=0), np.median(rows, axis=0)
        return {"mean": PixelFigures(*mean.tolist()), "median": PixelFigures(*median.tolist())}

    def to_json(self) -> dict[str, Any]:
        """Return all of it flat, by the names of the field's programs; the frames as their mean and median."""
        own = asdict(self)
        for name in ("boundaries", "normals", "per_frame", "upright"):
            del own[name]
        boundaries = (
            asdict(self.boundaries) if self.boundaries else {"dbe_acc": None, "dbe_com": None, "dbe_frames": 0}
        )
        normals = asdict(self.normals) if self.normals else {}
        over_frames = {name: asdict(figures) for name, figures in self.over_frames().items()}
        upright = None if self.upright is None else self.upright.to_json()
        own |= {"upside_down": self.upside_down, "over_frames": over_frames, "upright": upright}
        return boundaries | normals | own


def ramp(height: int, width: int) -> NDArray[np.float32]:
    """Inverse depth that grows evenly from 0 in the top row to 1 in the bottom row: what any model must beat."""
    column = np.linspace(0, 1, height, dtype=np.float32)
    return np.repeat(column[:, None], width, axis=1)


class VideoMetrics:
    """The figures of one video: ``fit`` every frame, then ``add`` every frame, then ask for ``figures``.

    With ``intrinsics`` (at any size; they are scaled to the depth's) normals are among the figures, and with a
    pose for each frame the temporal alignment error. What is not aligned over the whole video needs no ``fit``.
    """

    def __init__(
        self, kind: Kind, *, cap_m: float, intrinsics: Intrinsics | None = None, align: Align | None = None
    ) -> None:
        self._cap_m = cap_m
        self._intrinsics = intrinsics
        self._alignment = Alignment(kind, align or usual_align(kind))
        self._scores: list[_Scores] = []

    def fit(self, prediction: Image, truth: Image, mask: Mask | None = None) -> None:
        """See a frame for the alignment: prediction and true depth in metres ``[height, width]``.

        ``mask`` is False where the frame does not count (sky, borders); invalid pixels are left out anyway.
        """
        frame = self._frame(prediction, truth, mask)
        self._alignment.add(prediction[frame.valid], truth[frame.valid])

    def add(
        self, prediction: Image, truth: Image, mask: Mask | None = None, *, camera_to_world: Pose | None = None
    ) -> None:
        """See a frame for the errors, after all were fitted; ``camera_to_world`` [4, 4] is its pose in metres."""
        frame = self._frame(prediction, truth, mask)
        for scores in self._measured():
            found = self._fit_of(prediction, frame, scores.fit)
            scores.add(self._applied(prediction, found), frame, found, camera_to_world)

    def depth(self, prediction: Image, truth: Image, mask: Mask | None = None) -> NDArray[np.float64]:
        """Return the depth in metres, float64, that a frame's prediction is once aligned; NaN stays NaN."""
        found = self._fit_of(prediction, self._frame(prediction, truth, mask), self.alignment)
        return self._applied(prediction, found)

    @property
    def alignment(self) -> ScaleShift:
        """The fit for the whole video; (1, 0) where each frame has its own."""
        return self._alignment.solve()

    def figures(self) -> Figures:
        """Return the figures of the frames added; NaN where not a single pixel was valid."""
        best, *upright = [scores.figures() for scores in self._measured()]
        return Figures(**{**best, "upright": Figures(**upright[0]) if upright else None})

    def _frame(self, prediction: Image, truth: Image, mask: Mask | None) -> "_Frame":
        with_truth = valid_truth(truth, self._cap_m)
        if mask is not None:
            with_truth &= mask
        return _Frame(truth, with_truth, with_truth & np.isfinite(prediction), self._intrinsics)

    def _measured(self) -> "list[_Scores]":
        """What is summed up: the best fit and, where that is upside down, the best that is not."""
        if not self._scores:
            fits = dict.fromkeys((self._alignment.solve(), self._alignment.upright()))
            self._scores = [_Scores(fit, self._intrinsics) for fit in fits]
        return self._scores

    def _fit_of(self, prediction: Image, frame: "_Frame", of_video: ScaleShift) -> ScaleShift:
        if self._alignment.align != "frame-median":
            return of_video
        return self._alignment.of_frame(prediction[frame.valid], frame.truth[frame.valid])

    def _applied(self, prediction: Image, found: ScaleShift) -> NDArray[np.float64]:
        aligned = found.scale * prediction.astype(np.float64) + found.shift
        if self._alignment.kind == "inverse_depth":
            return 1 / np.clip(aligned, 1 / self._cap_m, 1 / LEAST_DEPTH_M)
        return np.clip(aligned, LEAST_DEPTH_M, self._cap_m)


@dataclass(frozen=True)
class _Frame:
    """A frame's truth, where there is any, and where there is a prediction beside it."""

    truth: Image
    with_truth: Mask
    valid: Mask
    intrinsics: Intrinsics | None

    @cached_property
    def edges(self) -> Mask:
        return depth_edges(self.truth, self.valid)

    @cached_property
    def normals(self) -> Normals:
        assert self.intrinsics is not None
        return surface_normals(np.where(self.valid, self.truth, np.nan), self.intrinsics, only_smooth=True)


class _Scores:
    """The sums of one fit: everything that is measured of it, frame by frame."""

    def __init__(self, fit: ScaleShift, intrinsics: Intrinsics | None) -> None:
        self.fit = fit
        self._intrinsics = intrinsics
        self._pixels = PixelErrors()
        self._boundaries = BoundaryErrors()
        self._normals = NormalErrors()
        self._temporal = None if intrinsics is None else TemporalSums(intrinsics)
        self._scales: list[float] = []
        self._with_truth = 0
        self._frames = 0

    def add(self, depth: NDArray[np.float64], frame: _Frame, fit: ScaleShift, pose: Pose | None) -> None:
        valid = frame.valid
        self._pixels.add(depth[valid], frame.truth[valid].astype(np.float64))
        self._boundaries.add(depth, frame.edges, valid)
        self._with_truth += int(frame.with_truth.sum())
        self._frames += 1
        if fit is not self.fit and valid.any():
            self._scales.append(fit.scale)
        if self._intrinsics is not None and self._temporal is not None:
            normals = surface_normals(np.where(valid, depth, np.nan), self._intrinsics)
            self._normals.add(normals, frame.normals)
            self._temporal.add(depth, valid, pose)

    def figures(self) -> dict[str, Any]:
        pixels = self._pixels.pixels
        scale = float(np.median(self._scales)) if self._scales else self.fit.scale
        return {
            **asdict(self._pixels.together()),
            "boundaries": self._boundaries.figures(),
            "normals": self._normals.figures(),
            "tae": None if self._temporal is None else self._temporal.value(),
            "scale": scale,
            "shift": self.fit.shift,
            "scale_std": float(np.std(self._scales) / scale) if self._scales else None,
            "pixels": pixels,
            "frames": self._frames,
            "coverage": pixels / self._with_truth if self._with_truth else float("nan"),
            "per_frame": tuple(self._pixels.per_frame()),
        }


def measure(
    predictions: Iterable[Image],
    truths: Iterable[Image],
    masks: Iterable[Mask] | None = None,
    *,
    kind: Kind = "inverse_depth",
    cap_m: float,
    intrinsics: Intrinsics | None = None,
    poses: Iterable[Pose] | None = None,
    align: Align | None = None,
) -> Figures:
    """Return the figures of a video held in memory: sequences (or stacks) of frames, gone through twice."""
    metrics = VideoMetrics(kind, cap_m=cap_m, intrinsics=intrinsics, align=align)
    frames = list(zip(predictions, truths, strict=True))
    frame_masks = [None] * len(frames) if masks is None else list(masks)
    frame_poses = [None] * len(frames) if poses is None else list(poses)
    for (prediction, truth), mask in zip(frames, frame_masks, strict=True):
        metrics.fit(prediction, truth, mask)
    for (prediction, truth), mask, pose in zip(frames, frame_masks, frame_poses, strict=True):
        metrics.add(prediction, truth, mask, camera_to_world=pose)
    return metrics.figures()
