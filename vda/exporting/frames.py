"""The frames of an export: picture, depth, camera and pose of each, one after another, in constant memory.

In go the video, its depth and what turns values into depth; out come ``ExportFrame``s. This file does not know the
files they are written to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import PosedCamera
from vda.camera.reconstruction import View
from vda.depthmaps.source import DepthSource
from vda.reporter import Reporter
from vda.video import FrameIndex, VideoInfo, read_frame_list

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class ExportFrame:
    """A frame: ``rgb`` uint8 [H, W, 3] at the depth's size, ``values`` as the depth source has them and ``depth``
    (NaN: none), both [H, W], and the ``view`` of a reconstruction, if it has one.
    """

    index: int
    time_s: float
    rgb: NDArray[np.uint8]
    values: Floats
    depth: Floats
    camera: Intrinsics
    view: View | None

    @property
    def stem(self) -> str:
        """The name of this frame's files, without a suffix."""
        return f"frame_{self.index:06d}"

    def png(self) -> bytes:
        """The picture as a PNG file."""
        return bytes(cv2.imencode(".png", cv2.cvtColor(self.rgb, cv2.COLOR_RGB2BGR))[1])

    def posed(self) -> PosedCamera:
        """The camera of this picture."""
        pose = None if self.view is None else self.view.camera_to_world
        return PosedCamera(self.index, self.time_s, f"{self.stem}.png", self.camera, pose)


@dataclass(frozen=True)
class FrameSource:
    """Where the frames come from; ``camera_of`` a frame is for the video's size, ``to_depth`` gives its depth."""

    info: VideoInfo
    index: FrameIndex
    depth: DepthSource
    camera_of: Callable[[int], Intrinsics]
    to_depth: Callable[[int, Floats], Floats]
    views: Mapping[int, View]
    near: float
    far: float

    def frames(self, wanted: Sequence[int], reporter: Reporter) -> Iterator[ExportFrame]:
        """Yield the frames ``wanted``, which have depth; ``reporter`` is told how many are done."""
        for done, picture in enumerate(read_frame_list(self.info, self.index, wanted), start=1):
            values = self.depth.read(picture.index)
            height, width = values.shape
            depth = self.to_depth(picture.index, values).astype(np.float64)
            depth[~np.isfinite(depth) | (depth < self.near) | (depth > self.far)] = np.nan
            rgb = picture.rgb
            if rgb.shape[:2] != (height, width):
                rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            camera = self.camera_of(picture.index).scaled(width, height)
            view = self.views.get(picture.index)
            yield ExportFrame(picture.index, picture.time_s, rgb, values, depth, camera, view)
            reporter.at(done)
