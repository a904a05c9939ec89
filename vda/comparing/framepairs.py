"""Depth and truth frame by frame, at the truth's size, from wherever they are kept.

In: paths, as ``pairing`` pairs their frames. Out: a ``PairedFrame`` at a time. This file measures nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.choice import CameraChoice, choose_camera
from vda.camera.intrinsics import Intrinsics, same_shape
from vda.camera.poses import Cameras, read_cameras
from vda.comparing.pairing import Pairing, pair_frames
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError, UsageError
from vda.metrics.alignment import Kind
from vda.metrics.temporal import Pose
from vda.reporter import Reporter
from vda.scene.scene import Scene

Float32Image = NDArray[np.float32]


@dataclass(frozen=True)
class PairedFrame:
    """A frame of both ``[height, width]``; the truth in metres, NaN where there is none."""

    index: int
    prediction: Float32Image
    truth: Float32Image
    camera_to_world: Pose | None


@dataclass(frozen=True)
class FramePairs:
    """Depth and truth of a video. ``shape`` (height, width) is the truth's; no camera is None."""

    depth: DepthSource
    truth: DepthSource
    pairing: Pairing
    shape: tuple[int, int]
    kind: Kind
    intrinsics: Intrinsics | None = None
    poses: Cameras | None = None

    @classmethod
    def open(
        cls,
        depth: Path,
        truth: Path,
        *,
        depth_scale: float | None = None,
        truth_scale: float | None = None,
        by_order: bool = False,
    ) -> "FramePairs":
        """Open both; the scales are their numbers to the metre. Raises ``InputError`` where they do not agree."""
        predicted = _open_prediction(depth, depth_scale, by_order)
        merged = Scene(truth).merged_dir
        # Depth of a metric model may be what another is held against.
        truth_place = merged if merged.is_dir() else truth
        true = open_depth(truth_place, scale=truth_scale, by_order=by_order, timed=True)
        if true.record is not None and true.record.quantizer.kind != "depth":
            raise InputError(
                f"{truth} is inverse depth, not truth in metres.",
                "Give depth in metres as the truth; --pairs holds two results of a film against each other.",
            )
        kind: Kind = "depth" if depth_scale else "inverse_depth"
        if predicted.record is not None:
            kind = predicted.record.quantizer.kind
        pairing = pair_frames(predicted, true, by_order=by_order)
        height, width = true.read(pairing.pairs[0][1]).shape
        return cls(predicted, true, pairing, (height, width), kind)

    def with_camera(
        self, cameras: Path | None, choice: CameraChoice, by_order: bool, reporter: Reporter
    ) -> "FramePairs":
        """The same with the camera of the truth's pictures, with poses or by itself. Raises ``InputError``."""
        height, width = self.shape
        alone = choice.file is not None or choice.fov_deg is not None
        if cameras is not None and alone:
            raise UsageError(
                "The camera is given twice.", "Give one of --cameras, which has the poses too, --camera and --fov."
            )
        if cameras is not None:
            poses = read_cameras(cameras, (width, height), by_order=by_order)
            return replace(self, intrinsics=poses.intrinsics, poses=poses)
        if alone:
            return replace(self, intrinsics=choose_camera(None, choice, (width, height), reporter))
        return self

    def __len__(self) -> int:
        return len(self.pairing.pairs)

    @property
    def shots(self) -> int:
        return 1 if self.depth.record is None else max(len(self.depth.record.shots), 1)

    def frames(self) -> Iterator[PairedFrame]:
        return (self.frame(*place) for place in self.pairing.pairs)

    def frame(self, depth_index: int, truth_index: int) -> PairedFrame:
        # Poses are the data set's, as the truth is, and so are counted like it.
        pose = None if self.poses is None else self.poses.camera_to_world.get(truth_index)
        truth = self.truth.read(truth_index)
        truth = np.where(truth > 0, truth, np.float32(np.nan))
        return PairedFrame(depth_index, _resized(self.depth.read(depth_index), truth.shape), truth, pose)


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
