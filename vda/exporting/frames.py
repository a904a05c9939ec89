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
from vda.camera.undistorting import undistortion
from vda.depthmaps.doubtful import on_edges, sky
from vda.depthmaps.source import DepthSource
from vda.reporter import Reporter
from vda.video import FrameIndex, VideoInfo, read_frame_list

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class ExportFrame:
    """A frame: ``rgb`` uint8 [H, W, 3] at the depth's size, ``values`` as the depth source has them and ``depth``
    (NaN: none), both [H, W], and the ``view`` of a reconstruction, if it has one. ``seen_by`` is the camera before
    its lens was taken out.
    """

    index: int
    time_s: float
    rgb: NDArray[np.uint8]
    values: Floats
    depth: Floats
    camera: Intrinsics
    view: View | None
    seen_by: Intrinsics

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


@dataclass
class Doubtful:
    """Which pixels are left out besides those too near or too far, and how many were; None: no edges are."""

    edge_radius: int | None
    sky: bool
    pixels: int = 0
    on_edges: int = 0
    in_sky: int = 0

    def leave_out(self, depth: NDArray[np.float64], values: Floats) -> None:
        """Give them NaN, in place, in ``depth`` [height, width] (NaN: none), which was made of ``values``."""
        edges = None if self.edge_radius is None else on_edges(depth, self.edge_radius)
        self.pixels += depth.size
        if self.sky:
            # The sky has a value, if the least there is; where there is none, the film had a bar.
            above = sky(depth, np.isnan(values)) & np.isfinite(depth)
            self.in_sky += int(above.sum())
            depth[above] = np.nan
        if edges is not None:
            edges &= np.isfinite(depth)
            self.on_edges += int(edges.sum())
            depth[edges] = np.nan

    def say(self, reporter: Reporter) -> None:
        """Tell what share of all pixels was left out."""
        if self.sky:
            reporter.say(f"{self.in_sky / max(self.pixels, 1):.1%} of the pixels are sky, and left out.")
        if self.edge_radius is not None:
            reporter.say(
                f"{self.on_edges / max(self.pixels, 1):.1%} of the pixels are within {self.edge_radius} pixels of "
                "a depth edge, and left out."
            )


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
    doubtful: Doubtful
    undistort: bool

    def frames(self, wanted: Sequence[int], reporter: Reporter) -> Iterator[ExportFrame]:
        """Yield the frames ``wanted``, which have depth; ``reporter`` is told how many are done."""
        empty = 0
        for done, picture in enumerate(read_frame_list(self.info, self.index, wanted), start=1):
            values: Floats = self.depth.read(picture.index)
            height, width = values.shape
            rgb = picture.rgb
            if rgb.shape[:2] != (height, width):
                rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            camera = self.camera_of(picture.index).scaled(width, height)
            seen_by = camera
            if self.undistort and camera.distortion_model != "none":
                lens = undistortion(camera)
                rgb, values, camera = lens.picture(rgb), lens.depth(values), lens.pinhole
            depth = self.to_depth(picture.index, values).astype(np.float64)
            self.doubtful.leave_out(depth, values)
            depth[~np.isfinite(depth) | (depth < self.near) | (depth > self.far)] = np.nan
            empty += not np.isfinite(depth).any()
            view = self.views.get(picture.index)
            yield ExportFrame(picture.index, picture.time_s, rgb, values, depth, camera, view, seen_by)
            reporter.at(done)
        self.doubtful.say(reporter)
        if empty:
            reporter.say(f"{empty} of {len(wanted)} frames have no depth that was asked for, in no pixel.")
