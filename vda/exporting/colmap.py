"""Pictures, cameras, first points and depth, as programs that train from a COLMAP model take them.

    colmap        images/, sparse/0/ (text), depth/*.tiff: Brush, LichtFeld Studio, gsplat and others
    dn-splatter   images/, colmap/sparse/0/ (text), mono_depth/*_aligned.npy

Brush and LichtFeld Studio begin with the points of the model and, in the versions looked at, read no depth;
dn-splatter's ``coolermap`` reads both, with depth in the poses' unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vda.camera.colmapmodel import model_files
from vda.camera.posed import PosedCamera
from vda.exporting.clouds import PointSample
from vda.exporting.depthfiles import DepthFiles, DepthKind
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import write_bytes
from vda.reporter import Reporter


@dataclass(frozen=True)
class _Layout:
    """Where the model and the depth stand, below the output folder; ``mark`` ends the depth's stem."""

    model: str
    depth: str
    mark: str
    kind: DepthKind


_COLMAP = _Layout("sparse/0", "depth", "", "tiff")
_DN_SPLATTER = _Layout("colmap/sparse/0", "mono_depth", "_aligned", "npy")


class TrainingImages:
    """Pictures, their cameras and first points: ``images/`` and, when all are there, the model in ``model``."""

    def __init__(self, context: ExportContext, model: str) -> None:
        self._written = context.written
        self._sample = PointSample(context)
        self._model = model
        self._cameras: list[PosedCamera] = []

    def add(self, frame: ExportFrame, name: str) -> None:
        """Write the picture of ``frame`` as ``name``, and keep its camera and some points."""
        write_bytes(self._written.path(f"images/{name}"), frame.png())
        self._sample.take(frame)
        self._cameras.append(replace(frame.posed(), name=name))

    def finish(self, reporter: Reporter) -> None:
        """Write the model."""
        self._sample.say(reporter)
        for name, text in model_files(self._cameras, self._sample.points()).items():
            write_bytes(self._written.path(f"{self._model}/{name}"), text.encode())


def _write(
    layout: _Layout, frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter
) -> list[Path]:
    """Write the folder, the model last of all."""
    images = TrainingImages(context, layout.model)
    depth_files = DepthFiles(context.written, context.settings.depth_as or layout.kind)
    for frame in frames:
        depth_files.write(f"{layout.depth}/{frame.stem}{layout.mark}", frame.depth)
        images.add(frame, f"{frame.stem}.png")
    depth_files.say_too_far(reporter)
    images.finish(reporter)
    return [context.settings.output / layout.model]


write = partial(_write, _COLMAP)
write_dn_splatter = partial(_write, _DN_SPLATTER)
