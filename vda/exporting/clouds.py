"""Coloured point clouds, a binary PLY per frame: in the world where poses are known, else in the camera's axes.

Written with plyfile; ``x y z`` float32 and ``red green blue``. Axes as in ``camera``.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vda.camera.intrinsics import Intrinsics, unproject_image
from vda.errors import UsageError
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import atomic_writer
from vda.reporter import Reporter

_VERTEX = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write ``cloud_000000.ply`` … into the output folder."""
    written = [
        _write_cloud(context.written.path(f"cloud_{frame.index:06d}.ply"), frame, context) for frame in frames
    ]
    where = "the reconstruction's world" if context.settings.poses else "each frame's camera axes"
    reporter.say(f"{len(written)} clouds in {where}, in {context.metric.unit} units.")
    return [context.settings.output]


def points_of(frame: ExportFrame, stride: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Points [n, 3] of every ``stride``-th pixel with depth, in the world where there is a view, and colours."""
    places = (slice(stride // 2, None, stride),) * 2
    points = _rays(frame.camera)[places].reshape(-1, 3) * frame.depth[places].reshape(-1, 1)
    colours = frame.rgb[places].reshape(-1, 3)
    valid = np.isfinite(points).all(axis=1)
    points, colours = points[valid], colours[valid]
    if frame.view is not None:
        pose = frame.view.camera_to_world
        points = points @ pose[:3, :3].T + pose[:3, 3]
    return points, colours


@lru_cache(maxsize=1)
def _rays(camera: Intrinsics) -> NDArray[np.float64]:
    """The points at depth 1 of all pixels, [height, width, 3]: undoing a lens costs more than all the rest."""
    return unproject_image(camera, np.ones((camera.height, camera.width)))


def _write_cloud(path: Path, frame: ExportFrame, context: ExportContext) -> Path:
    try:
        from plyfile import PlyData, PlyElement
    except ImportError as error:
        raise UsageError("PLY needs plyfile.", "Install it: pip install 'vda-toolkit[export]'.") from error
    points, colours = points_of(frame, context.settings.stride)
    vertices = np.zeros(len(points), _VERTEX)
    for i, (axis, colour) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        vertices[axis], vertices[colour] = points[:, i], colours[:, i]
    with atomic_writer(path) as handle:
        PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<").write(handle)
    return path
