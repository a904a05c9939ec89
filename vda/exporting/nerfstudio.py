"""A nerfstudio data set: pictures, millimetre depth and ``transforms.json`` with ``depth_file_path``.

nerfstudio multiplies depth by 0.001 (``depth_unit_scale_factor``) and takes it in the unit of the poses; 0 is no
depth. Its cameras look along -z with y up, and count pixels from the corner.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vda.camera.conventions import centre_to_corner, to_opengl
from vda.camera.intrinsics import Intrinsics
from vda.depthmaps.codes import Quantizer
from vda.depthmaps.files import write_png16
from vda.errors import InputError
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import write_bytes, write_json
from vda.reporter import Reporter

# k1 k2 p1 p2 k3: from there on OpenCV has a denominator, and nerfstudio a higher power.
_NERFSTUDIO_LENS = 5
_LENS_NAMES = {"opencv": ("k1", "k2", "p1", "p2", "k3"), "fisheye": ("k1", "k2", "k3", "k4")}


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write ``images/``, ``depth/`` and, last of all, ``transforms.json`` into the output folder."""
    written, quantizer = context.written, Quantizer.millimetres()
    entries: list[dict[str, Any]] = []
    cameras: list[Intrinsics] = []
    too_far = 0
    for frame in frames:
        name = f"frame_{frame.index:06d}"
        codes, left_out = quantizer.encode_counted(frame.depth.astype(np.float32))
        too_far += left_out.clipped
        write_png16(written.path(f"depth/{name}.png"), codes)
        write_bytes(written.path(f"images/{name}.png"), png_of(frame))
        if frame.view is not None:
            cameras.append(frame.camera)
            entries.append(
                {
                    "file_path": f"images/{name}.png",
                    "depth_file_path": f"depth/{name}.png",
                    "transform_matrix": to_opengl(frame.view.camera_to_world).tolist(),
                }
            )
    if too_far:
        reporter.say(
            f"{too_far} pixels are farther than 65.535 units, the most that 16 bits hold: they have no depth."
        )
    path = written.path("transforms.json")
    if len(set(cameras)) > 1:
        # nerfstudio takes a frame's own numbers, where it has any; the model of the lens is one for all.
        entries = [{**camera_json(camera), **entry} for camera, entry in zip(cameras, entries, strict=True)]
    if cameras:
        write_json(path, {**camera_json(cameras[0]), "frames": entries})
    return [path]


def png_of(frame: ExportFrame) -> bytes:
    """The picture as a PNG file."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))[1])


def camera_json(camera: Intrinsics) -> dict[str, Any]:
    """The camera as nerfstudio names it. Raises ``InputError`` for a lens that it has other formulas for."""
    if camera.distortion_model == "opencv" and any(camera.distortion[_NERFSTUDIO_LENS:]):
        raise InputError(
            "The lens has a k4 or more, which nerfstudio reads in another formula.",
            "Undistort the video, or calibrate with k1, k2, k3, p1 and p2 alone.",
        )
    model = "OPENCV_FISHEYE" if camera.distortion_model == "fisheye" else "OPENCV"
    lens = dict(zip(_LENS_NAMES.get(camera.distortion_model, ()), camera.distortion, strict=False))
    return {
        "camera_model": model,
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": centre_to_corner(camera.cx),
        "cy": centre_to_corner(camera.cy),
        **lens,
    }
