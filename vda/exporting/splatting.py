"""Inverse depth for the depth loss of Gaussian splatting: ``depths/<image>.png`` and ``depth_params.json``.

The loader (of the method's authors) computes inverse depth = code / 65536 * scale + offset for each image, in the
reconstruction's unit, and throws an image out whose scale is below a fifth of the median one. It knows no invalid
code, and would take 0 for the farthest there is. Hence holes get the code of the nearest pixel that has depth, and
an image that is mostly holes gets the scale 0, which the loader holds to be unreliable.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vda.depthmaps.codes import INVALID_CODE, Codes, Quantizer
from vda.depthmaps.files import write_png16
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import write_json
from vda.reporter import Reporter

# The loader divides by it.
_CODES = 65536
_MOST_HOLES = 0.5
# For depth in metres: nothing is nearer than this, and a code is a half percent of the distance at 30 of them.
_NEAREST = 0.1


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write ``depths/`` with the images' own names, and ``sparse/0/depth_params.json``, into the output folder."""
    record = context.depth.record
    inverse = record is not None and record.quantizer.kind == "inverse_depth"
    quantizer = record.quantizer if record is not None and inverse else Quantizer.for_range(0.0, 1 / _NEAREST)
    params: dict[str, dict[str, float]] = {}
    unreliable = 0
    for frame in frames:
        stem = (
            Path(frame.view.name).with_suffix("") if frame.view is not None else Path(f"frame_{frame.index:06d}")
        )
        values = frame.values if inverse else 1 / frame.values
        codes = quantizer.encode(np.where(np.isnan(frame.depth), np.nan, values).astype(np.float32))
        fit = context.metric.of(frame.index)
        # inverse = fit.scale * (offset + scale * code) + fit.shift, in steps of a 65536th.
        scale = fit.scale * quantizer.scale * _CODES
        offset = fit.scale * quantizer.offset + fit.shift
        if (codes == INVALID_CODE).mean() > _MOST_HOLES:
            unreliable += 1
            scale = 0.0
        path = context.written.path(f"depths/{stem.with_suffix('.png').as_posix()}")
        write_png16(path, without_holes(codes))
        params[str(stem)] = {"scale": scale, "offset": offset}
    if unreliable:
        reporter.say(
            f"{unreliable} images are mostly without depth; their scale of 0 has the loader leave them out."
        )
    path = context.written.path("sparse/0/depth_params.json")
    write_json(path, params)
    return [context.settings.output / "depths", path]


def without_holes(codes: Codes) -> Codes:
    """``codes`` with every hole given the code of the nearest pixel that has one; all holes stay as they are."""
    holes = codes == INVALID_CODE
    if not holes.any() or holes.all():
        return codes
    _, labels = cv2.distanceTransformWithLabels(
        holes.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(int(labels.max()) + 1, np.uint16)
    nearest[labels[~holes]] = codes[~holes]
    return np.where(holes, nearest[labels], codes)
