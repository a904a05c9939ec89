"""Inverse depth for the depth loss of Gaussian splatting: ``depths/<image>.png`` and ``depth_params.json``.

The loader (of the method's authors) computes inverse depth = code / 65536 * scale + offset for each image, in the
reconstruction's unit, and throws an image out whose scale is below a fifth of the median one. It knows no invalid
code, and would take 0 for the farthest there is. Hence holes get the code of the nearest pixel that has depth, and
an image that is mostly holes gets the scale 0, which the loader holds to be unreliable. Codes are evenly spaced
there: depth whose codes are not is quantised again, over the same range.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from vda.depthmaps.codes import INVALID_CODE, Codes, Quantizer
from vda.depthmaps.doubtful import nearest_filled
from vda.depthmaps.files import write_png16
from vda.errors import InputError
from vda.exporting.colmap import TrainingImages
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import write_json
from vda.reporter import Reporter

# The loader divides by it.
_CODES = 65536
_MOST_HOLES = 0.5
# For depth in metres: nothing is nearer than this, and a code is a half percent of the distance at 30 of them.
_NEAREST = 0.1
_OF_METRES = Quantizer.for_range(0.0, 1 / _NEAREST)


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write ``depths/`` with the images' own names, and ``sparse/0/depth_params.json``, into the output folder.

    Undistorted depth fits none of the images that the trainer has, so images and a model come with it.
    """
    record = context.depth.record
    inverse = record is not None and record.quantizer.kind == "inverse_depth"
    quantizer = record.quantizer.even() if record is not None and inverse else _OF_METRES
    params: dict[str, dict[str, float]] = {}
    unreliable = 0
    step = 0.0
    # Its own images and model, which the trainer has already, are of the lens that was taken out here.
    images = TrainingImages(context, "sparse/0") if context.settings.undistort else None
    for frame in frames:
        # The loader takes off what follows the last dot, and nothing else: shot.0000.png is shot.0000.
        name = frame.view.name if frame.view is not None else f"frame_{frame.index:06d}.png"
        stem = name.removesuffix(PurePosixPath(name).suffix)
        # Beyond --far there is true depth, and the loader knows no hole: a nearer one would stand there.
        values = frame.values if inverse else 1 / frame.values
        codes = quantizer.encode(values.astype(np.float32))
        fit = context.metric.of(frame.index)
        # inverse = fit.scale * (offset + scale * code) + fit.shift, in steps of a 65536th.
        scale = fit.scale * quantizer.scale * _CODES
        offset = fit.scale * quantizer.offset + fit.shift
        step = max(step, abs(fit.scale) * quantizer.scale)
        if (codes == INVALID_CODE).mean() > _MOST_HOLES:
            unreliable += 1
            scale = 0.0
        write_png16(context.written.path(f"depths/{stem}.png"), without_holes(codes))
        params[stem] = {"scale": scale, "offset": offset}
        if images is not None:
            images.add(frame, f"{stem}.png")
    if unreliable == len(params):
        # With the scale 0 in all images the loader takes none for unreliable, and their codes for inverse depth.
        raise InputError(
            "No image has depth in half of its pixels, and the loader of Gaussian splatting would use them all.",
            "Leave the depth out of the training, or compute it again.",
        )
    if context.settings.leaves_out:
        reporter.say(
            "--near, --far, --edges and --sky leave nothing out here: the loader cannot mark a pixel as invalid."
        )
    if inverse and record is not None and quantizer != record.quantizer:
        reporter.say(
            f"The loader knows evenly spaced codes alone: the depth's {record.quantizer.coding} codes were "
            f"quantised again, in steps of {step:.3g} of inverse depth."
        )
    if unreliable:
        reporter.say(
            f"{unreliable} images are mostly without depth; their scale of 0 has the loader leave them out."
        )
    if images is not None:
        images.finish(reporter)
    path = context.written.path("sparse/0/depth_params.json")
    write_json(path, params)
    return [context.settings.output / "depths", path]


def without_holes(codes: Codes) -> Codes:
    """``codes`` with every hole given the code of the nearest pixel that has one; all holes stay as they are."""
    return nearest_filled(codes, codes == INVALID_CODE)
