"""Coloured point clouds, a binary PLY per frame: in the world where poses are known, else in the camera's axes.

Written with plyfile; ``x y z`` float32 and ``red green blue``. Axes as in ``camera``.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vda.camera.colmapmodel import WorldPoints
from vda.camera.intrinsics import Intrinsics, unproject, unproject_image
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import atomic_writer
from vda.reporter import Reporter

_VERTEX = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
_NO_RGB = np.zeros((0, 3), np.uint8)


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write ``cloud_000000.ply`` … into the output folder."""
    written = []
    for frame in frames:
        written.append(context.written.path(f"cloud_{frame.index:06d}.ply"))
        write_ply(written[-1], WorldPoints(*points_of(frame, context.settings.stride)))
    where = "the reconstruction's world" if context.settings.poses else "each frame's camera axes"
    reporter.say(f"{len(written)} clouds in {where}, in {context.metric.unit} units.")
    return [context.settings.output]


def points_of(frame: ExportFrame, stride: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Points [n, 3] of every ``stride``-th pixel with depth, in the world where there is a view, and colours."""
    places = (slice(stride // 2, None, stride),) * 2
    points = _rays(frame.camera)[places].reshape(-1, 3) * frame.depth[places].reshape(-1, 1)
    colours = frame.rgb[places].reshape(-1, 3)
    valid = np.isfinite(points).all(axis=1)
    return in_world(points[valid], frame), colours[valid]


@lru_cache(maxsize=1)
def _rays(camera: Intrinsics) -> NDArray[np.float64]:
    """The points at depth 1 of all pixels, [height, width, 3]: undoing a lens costs more than all the rest."""
    return unproject_image(camera, np.ones((camera.height, camera.width)))


class PointSample:
    """Points of the world for a training to begin with: some of every frame's, the same ones every time.

    Memory is that of the points wanted, for any number of frames.
    """

    def __init__(self, context: ExportContext) -> None:
        self.wanted = context.settings.points
        self._unit = context.metric.unit
        self._per_frame = -(-self.wanted // max(context.frames, 1))
        self._xyz: list[NDArray[np.float64]] = []
        self._rgb: list[NDArray[np.uint8]] = []

    def take(self, frame: ExportFrame) -> None:
        """Take this frame's share, evenly from the pixels that have depth."""
        with_depth = np.flatnonzero(np.isfinite(frame.depth))
        count = min(self._per_frame, len(with_depth))
        rows, columns = np.divmod(
            np.random.default_rng(frame.index).choice(with_depth, count, replace=False), frame.depth.shape[1]
        )
        places = np.stack([columns, rows], axis=1).astype(np.float64)
        xyz = in_world(unproject(frame.camera, places, frame.depth[rows, columns]), frame)
        seen = np.isfinite(xyz).all(axis=1)
        self._xyz.append(xyz[seen])
        self._rgb.append(frame.rgb[rows, columns][seen])

    def points(self) -> WorldPoints:
        return WorldPoints(np.concatenate([*self._xyz, np.zeros((0, 3))]), np.concatenate([*self._rgb, _NO_RGB]))

    def say(self, reporter: Reporter) -> None:
        if self.wanted:
            count = sum(map(len, self._xyz))
            reporter.say(f"{count} points of the depth, in {self._unit} units, are there to begin with.")


def in_world(points: NDArray[np.float64], frame: ExportFrame) -> NDArray[np.float64]:
    """Points [n, 3] of the frame's camera in the world, where there is a view; else as they are."""
    if frame.view is None:
        return points
    pose = frame.view.camera_to_world
    return points @ pose[:3, :3].T + pose[:3, 3]


def write_ply(path: Path, points: WorldPoints) -> None:
    """Write a binary PLY."""
    from plyfile import PlyData, PlyElement

    vertices = np.zeros(len(points.xyz), _VERTEX)
    for i, (axis, colour) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        vertices[axis], vertices[colour] = points.xyz[:, i], points.rgb[:, i]
    with atomic_writer(path) as handle:
        PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<").write(handle)
