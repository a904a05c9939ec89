"""How good depth is, by the field's protocol, in constant memory for videos of any length.

In go frames of predicted and true depth (and, for the temporal error, where the camera was); out come figures for
the whole video. Two passes over the frames: ``fit`` sees them all, then ``add`` does. This file does not know
where depth comes from or which files it is kept in.

Protocol
    Relative predictions (inverse depth without a unit) get one scale and one shift for the whole video, by least
    squares in inverse depth over all valid pixels; the aligned inverse depth is clipped to at least 1 / cap.
    Metric predictions are taken as they are, clipped to the cap. A pixel is valid where the true depth is finite,
    above zero and below the cap, and the prediction is finite. Every valid pixel of the video has the same weight.
    Sources: Ranftl et al. 2022 (MiDaS, arXiv 1907.01341) for the alignment, Eigen et al. 2014 (arXiv 1406.2283)
    for the figures, Chen et al. 2025 (Video Depth Anything, arXiv 2501.12375) for the temporal alignment error.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.joining.align import FitSums, ScaleShift

Kind = Literal["inverse_depth", "depth"]
Image = NDArray[np.floating]
Mask = NDArray[np.bool_]
Pose = NDArray[np.float64]

# What evaluations of the field clip at: zero and less has no logarithm and no inverse.
LEAST_DEPTH_M = 1e-3
# Eigen, Puhrsch and Fergus (2014), and everybody since.
DELTA = 1.25
# Below this spread, in units of its size, a float32 prediction is constant and nothing can be said of its scale.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Figures:
    """A video's figures. Ratios have no unit, ``rmse_m`` is in metres.

    ``abs_rel``: mean of abs(z - g) / g for depth z and truth g. ``log10``: mean of abs(log10 z - log10 g).
    ``delta1..3``: share of pixels with max(z/g, g/z) below 1.25, its square and its cube. ``tae``: temporal
    alignment error, None without cameras. ``coverage``: share of the pixels with truth that had a prediction.
    """

    abs_rel: float
    rmse_m: float
    delta1: float
    delta2: float
    delta3: float
    log10: float
    tae: float | None
    scale: float
    shift: float
    pixels: int
    frames: int
    coverage: float


def valid_truth(truth: Image, cap_m: float) -> Mask:
    """Where true depth (metres; 0, NaN or infinite where there is none) is there and below the cap."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(truth) & (truth > LEAST_DEPTH_M) & (truth < cap_m)


def inside_border(shape: tuple[int, int], border: int) -> Mask:
    """True for the pixels of an image ``(height, width)`` at least ``border`` away from its edge."""
    height, width = shape
    mask = np.zeros(shape, dtype=bool)
    mask[border : height - border, border : width - border] = True
    return mask


def ramp(height: int, width: int) -> NDArray[np.float32]:
    """Inverse depth that grows evenly from 0 in the top row to 1 in the bottom row: what any model must beat."""
    column = np.linspace(0, 1, height, dtype=np.float32)
    return np.repeat(column[:, None], width, axis=1)


class VideoMetrics:
    """The figures of one video: ``fit`` every frame, then ``add`` every frame, then ask for ``figures``.

    With ``intrinsics`` (at any size; they are scaled to the depth's) and a pose for each frame, the temporal
    alignment error is among the figures. Metric depth (``kind`` "depth") needs no ``fit``.
    """

    def __init__(self, kind: Kind, *, cap_m: float, intrinsics: Intrinsics | None = None) -> None:
        self._kind = kind
        self._cap_m = cap_m
        self._alignment = _Alignment()
        self._errors = _ErrorSums()
        self._temporal = None if intrinsics is None else TemporalSums(intrinsics)

    def fit(self, prediction: Image, truth: Image, mask: Mask | None = None) -> None:
        """See a frame for the alignment: prediction and true depth in metres ``[height, width]``.

        ``mask`` is False where the frame does not count (sky, borders); invalid pixels are left out anyway.
        """
        valid = self._with_truth(truth, mask) & np.isfinite(prediction)
        self._alignment.add(prediction[valid], 1 / truth[valid])

    def add(
        self, prediction: Image, truth: Image, mask: Mask | None = None, *, camera_to_world: Pose | None = None
    ) -> None:
        """See a frame for the errors, after all were fitted; ``camera_to_world`` [4, 4] is its pose in metres."""
        with_truth = self._with_truth(truth, mask)
        valid = with_truth & np.isfinite(prediction)
        depth = self.depth(prediction)
        self._errors.add(depth[valid], truth[valid].astype(np.float64), int(with_truth.sum()))
        if self._temporal is not None:
            self._temporal.add(depth, valid, camera_to_world)

    def depth(self, prediction: Image) -> NDArray[np.float64]:
        """Return the depth in metres, float64, that a prediction stands for once aligned; NaN stays NaN."""
        if self._kind == "depth":
            return np.clip(prediction.astype(np.float64), LEAST_DEPTH_M, self._cap_m)
        found = self.alignment
        return 1 / np.maximum(found.scale * prediction.astype(np.float64) + found.shift, 1 / self._cap_m)

    @property
    def alignment(self) -> ScaleShift:
        return ScaleShift() if self._kind == "depth" else self._alignment.solve()

    def figures(self) -> Figures:
        """Return the figures of the frames added; NaN where not a single pixel was valid."""
        tae = None if self._temporal is None else self._temporal.value()
        return self._errors.figures(self.alignment, tae)

    def _with_truth(self, truth: Image, mask: Mask | None) -> Mask:
        valid = valid_truth(truth, self._cap_m)
        return valid if mask is None else valid & mask


def measure(
    predictions: Iterable[Image],
    truths: Iterable[Image],
    masks: Iterable[Mask] | None = None,
    *,
    kind: Kind = "inverse_depth",
    cap_m: float,
    intrinsics: Intrinsics | None = None,
    poses: Iterable[Pose] | None = None,
) -> Figures:
    """Return the figures of a video held in memory: sequences (or stacks) of frames, gone through twice."""
    metrics = VideoMetrics(kind, cap_m=cap_m, intrinsics=intrinsics)
    frames = list(zip(predictions, truths, strict=True))
    frame_masks = [None] * len(frames) if masks is None else list(masks)
    frame_poses = [None] * len(frames) if poses is None else list(poses)
    for (prediction, truth), mask in zip(frames, frame_masks, strict=True):
        metrics.fit(prediction, truth, mask)
    for (prediction, truth), mask, pose in zip(frames, frame_masks, frame_poses, strict=True):
        metrics.add(prediction, truth, mask, camera_to_world=pose)
    return metrics.figures()


class TemporalSums:
    """Temporal alignment error: how far depth is from what the frame before and the frame after make of it.

    Each frame's depth is carried into its neighbour's view by the true camera motion; the error is the mean of
    abs(carried - own) / own over the neighbour's valid pixels that something was carried to, averaged over both
    directions of all pairs, times 100 (arXiv 2501.12375, section 4.1, and the authors' evaluation).
    Where several points fall on one pixel the nearest counts. Moving things are errors too, unless masked. Raises
    ``InputError`` for a lens with distortion: depth and truth must be of the undistorted image.
    """

    def __init__(self, intrinsics: Intrinsics) -> None:
        if intrinsics.distortion_model != "none":
            raise InputError(
                "The temporal error is defined for images without lens distortion.",
                "Undistort the video before its depth is made, and give the camera without coefficients.",
            )
        self._intrinsics = intrinsics
        self._previous: tuple[Image, Mask, Pose] | None = None
        self._sum = 0.0
        self._count = 0

    def add(self, depth: Image, valid: Mask, camera_to_world: Pose | None) -> None:
        """See the next frame: depth in metres ``[height, width]`` (NaN: none), None where its pose is unknown."""
        if camera_to_world is None or not np.isfinite(camera_to_world).all():
            self._previous = None
            return
        current = (depth, valid, camera_to_world)
        if self._previous is not None:
            self._compare(self._previous, current)
            self._compare(current, self._previous)
        self._previous = current

    def value(self) -> float | None:
        """Return the error, None where no two neighbours saw the same thing."""
        return 100 * self._sum / self._count if self._count else None

    def _compare(self, source: tuple[Image, Mask, Pose], target: tuple[Image, Mask, Pose]) -> None:
        source_depth, _, source_pose = source
        target_depth, valid, target_pose = target
        carried = warp(source_depth, self._intrinsics, np.linalg.inv(target_pose) @ source_pose)
        both = valid & np.isfinite(carried)
        if both.any():
            self._sum += float(np.mean(np.abs(carried[both] - target_depth[both]) / target_depth[both]))
            self._count += 1


def warp(depth: Image, intrinsics: Intrinsics, source_to_target: Pose) -> NDArray[np.float64]:
    """Return the depth that a source image shows in the target's view, float64 ``[height, width]``.

    Points go to the nearest pixel, and of several the nearest point is kept; NaN where none arrives. A pixel p at
    depth z is seen at K R K^-1 p z + K t, which is linear in its row and column: whole planes at once.
    """
    height, width = depth.shape
    matrix = intrinsics.scaled(width, height).matrix
    turn = matrix @ source_to_target[:3, :3] @ np.linalg.inv(matrix)
    shift = matrix @ source_to_target[:3, 3]
    row, column = np.arange(height)[:, None], np.arange(width)
    x, y, z = (depth * (a * column + (b * row + c)) + t for (a, b, c), t in zip(turn, shift, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = np.rint(x / z), np.rint(y / z)
        seen = (z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    carried = np.full(height * width, np.inf)
    np.minimum.at(carried, y[seen].astype(np.intp) * width + x[seen].astype(np.intp), z[seen])
    return np.where(np.isfinite(carried), carried, np.nan).reshape(height, width)


class _Alignment:
    """Least squares over all frames; a constant prediction is fitted by the mean alone."""

    def __init__(self) -> None:
        self._sums = FitSums()
        self._lowest, self._highest = np.inf, -np.inf
        self._reference_sum = 0.0
        self._count = 0

    def add(self, prediction: Image, reference: Image) -> None:
        if not prediction.size:
            return
        self._sums.add(prediction.astype(np.float32), reference.astype(np.float32))
        self._lowest = min(self._lowest, float(prediction.min()))
        self._highest = max(self._highest, float(prediction.max()))
        self._reference_sum += float(reference.sum(dtype=np.float64))
        self._count += prediction.size

    def solve(self) -> ScaleShift:
        spread = self._highest - self._lowest
        if spread <= _CONSTANT * max(abs(self._highest), abs(self._lowest)):
            return ScaleShift(0.0, self._reference_sum / self._count if self._count else 0.0)
        return self._sums.solve()


class _ErrorSums:
    """Sums of the errors of all valid pixels, in float64."""

    def __init__(self) -> None:
        self._sums = np.zeros(6)
        self._pixels = 0
        self._with_truth = 0
        self._frames = 0

    def add(self, depth: NDArray[np.float64], truth: NDArray[np.float64], with_truth: int) -> None:
        error = depth - truth
        ratio = np.maximum(depth / truth, truth / depth)
        self._sums += (
            np.sum(np.abs(error) / truth),
            np.sum(np.square(error)),
            *(np.count_nonzero(ratio < DELTA**power) for power in (1, 2, 3)),
            np.sum(np.log10(ratio)),
        )
        self._pixels += depth.size
        self._with_truth += with_truth
        self._frames += 1

    def figures(self, alignment: ScaleShift, tae: float | None) -> Figures:
        with np.errstate(invalid="ignore", divide="ignore"):
            abs_rel, square, delta1, delta2, delta3, log10 = (float(s) for s in self._sums / self._pixels)
            coverage = float(np.float64(self._pixels) / self._with_truth)
        return Figures(
            abs_rel,
            float(np.sqrt(square)),
            delta1,
            delta2,
            delta3,
            log10,
            tae,
            alignment.scale,
            alignment.shift,
            self._pixels,
            self._frames,
            coverage,
        )
