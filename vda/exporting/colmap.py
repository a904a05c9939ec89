"""Pictures, cameras, first points and depth, as programs that train from a COLMAP model take them.

    colmap        images/, sparse/0/ (text), depth/*.tiff: Brush, LichtFeld Studio, gsplat and others
    dn-splatter   images/, colmap/sparse/0/ (text), mono_depth/*_aligned.npy

Brush and LichtFeld Studio begin with the points of the model and, in the versions looked at, read no depth;
dn-splatter's ``coolermap`` reads both, with depth in the poses' unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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


def _write(
    layout: _Layout, frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter
) -> list[Path]:
    """Write the folder, the model last of all."""
    written, sample = context.written, PointSample(context)
    depth_files = DepthFiles(written, context.settings.depth_as or layout.kind)
    cameras: list[PosedCamera] = []
    for frame in frames:
        camera = frame.posed()
        depth_files.write(f"{layout.depth}/{frame.stem}{layout.mark}", frame.depth)
        write_bytes(written.path(f"images/{camera.name}"), frame.png())
        sample.take(frame)
        cameras.append(camera)
    depth_files.say_too_far(reporter)
    sample.say(reporter)
    for name, text in model_files(cameras, sample.points()).items():
        write_bytes(written.path(f"{layout.model}/{name}"), text.encode())
    return [context.settings.output / layout.model]


write = partial(_write, _COLMAP)
write_dn_splatter = partial(_write, _DN_SPLATTER)
