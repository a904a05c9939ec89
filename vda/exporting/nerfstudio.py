"""A nerfstudio data set: pictures, depth, first points and ``transforms.json`` with ``depth_file_path``.

nerfstudio multiplies depth of every kind of file by 0.001 (``depth_unit_scale_factor``) and takes it in the unit
of the poses; 0 is no depth. Its cameras look along -z with y up, and count pixels from the corner.
``pointcloud.ply`` is named by ``ply_file_path``, for it and for Brush, and is where LichtFeld Studio looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import centre_to_corner, to_opengl
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import PosedCamera, different
from vda.errors import InputError
from vda.exporting.clouds import PointSample, write_ply
from vda.exporting.depthfiles import DepthFiles
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import write_bytes, write_json
from vda.reporter import Reporter

POINTS_NAME = "pointcloud.ply"
_PER_UNIT = 1000.0
# k1 k2 p1 p2 k3: from there on OpenCV has a denominator, and nerfstudio a higher power.
_NERFSTUDIO_LENS = 5
_LENS_NAMES = {"opencv": ("k1", "k2", "p1", "p2", "k3"), "fisheye": ("k1", "k2", "k3", "k4")}


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write ``images/``, ``depth/``, the points and, last of all, ``transforms.json`` into the output folder."""
    written, sample = context.written, PointSample(context)
    depth_files = DepthFiles(written, context.settings.depth_as or "png16", _PER_UNIT)
    cameras: list[PosedCamera] = []
    depth_names: list[dict[str, str]] = []
    for frame in frames:
        camera = replace(frame.posed(), name=f"images/{frame.stem}.png")
        depth_names.append({"depth_file_path": depth_files.write(f"depth/{frame.stem}", frame.depth)})
        write_bytes(written.path(camera.name), frame.png())
        sample.take(frame)
        cameras.append(camera)
    depth_files.say_too_far(reporter)
    sample.say(reporter)
    content = transforms_json(cameras, depth_names)
    if sample.wanted:
        write_ply(written.path(POINTS_NAME), sample.points())
        content["ply_file_path"] = POINTS_NAME
    path = written.path("transforms.json")
    write_json(path, content)
    return [path]


def transforms_json(cameras: Sequence[PosedCamera], more: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The content of ``transforms.json``; ``more`` is what else is said of each frame. All need a pose."""
    known = different(cameras)
    # nerfstudio takes a frame's own numbers, where it has any; the model of the lens is one for all.
    own = [camera_json(camera.intrinsics) if len(known) > 1 else {} for camera in cameras]
    frames = [
        {**numbers, "file_path": camera.name, **extra, "transform_matrix": to_opengl(_pose_of(camera)).tolist()}
        for camera, numbers, extra in zip(cameras, own, more, strict=True)
    ]
    return {**camera_json(known[0]), "frames": frames}


def _pose_of(camera: PosedCamera) -> NDArray[np.float64]:
    assert camera.camera_to_world is not None
    return camera.camera_to_world


def camera_json(camera: Intrinsics) -> dict[str, Any]:
    """The camera as nerfstudio names it. Raises ``InputError`` for a lens that it has other formulas for."""
    if camera.distortion_model == "opencv" and any(camera.distortion[_NERFSTUDIO_LENS:]):
        raise InputError(
            "The lens has a k4 or more, which nerfstudio reads in another formula.",
            "Add --undistort, or calibrate with k1, k2, k3, p1 and p2 alone.",
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
