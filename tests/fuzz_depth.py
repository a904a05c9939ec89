"""Depth to be made wrong: records, images, stacks, videos, calibrations."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from clips import make_clip
from fuzz_seeds import js
from fuzz_target import SIZE, Target, array, one, only, written

from vda.calibration.fit import load_calibration
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.exr import write_exr
from vda.depthmaps.files import encode_grey_png, open_stack, read_image
from vda.depthmaps.levels import levels_of
from vda.depthmaps.source import open_depth

DEPTH = np.linspace(1, 5, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE[1], SIZE[0])
CODES = Quantizer.for_range(1.0, 5.0).encode(DEPTH)
CALIBRATION = {
    "scale": 0.5,
    "shift": 0.1,
    "kind": "disparity",
    "method": "known distance",
    "r2": 0.9,
    "residual": 0.1,
    "samples": 4,
    "depth": {"a": 1},
}


def depth_record(folder: Path) -> bytes:
    record = DepthRecord(
        Quantizer.for_range(1.0, 5.0),
        2,
        *SIZE,
        "mini",
        {"frame_range": [3, 5], "align": "joint"},
        [{"shot": 0, "start_frame": 3, "end_frame": 5, "scale": [1.0], "shift": [0.0]}],
        [4],
        1,
        2,
        ["png16"],
        levels={
            "png8": {"scale": 0.1, "offset": 1.0, "first": 1, "last": 255},
            "hevc": {"coding": "log", "step": 0.1, "low": 1.0, "first": 64, "last": 1023},
        },
        middle_codes=60_000,
        resized_frames=[[0, 1, 8, 6]],
        picture={"video_size": [16, 12], "max_res": 8},
        thinning={"stride": 2},
        frame_indices=[3, 5],
    )
    return written(record.write, "depth.json", folder)


def use_record(path: Path) -> None:
    record = DepthRecord.read(path)
    assert len(record.video_size) == 2 and len(record.indices) >= 0
    record.quantizer.decode(CODES)
    for form in record.levels:
        levels_of(record, form).decode(CODES)


def use_depth(path: Path) -> object:
    depth = open_depth(path, scale=1000.0, timed=True)
    return [depth.read(frame) for frame in {depth.frames[0], depth.frames[-1]}]


def use_merged(path: Path) -> object:
    """A merge's own depth, which its record says how to read."""
    depth = open_depth(path)
    return [depth.read(frame) for frame in {depth.frames[0], depth.frames[-1]}]


def use_stack(path: Path) -> object:
    stack = open_stack(path)
    return [stack.frame(place) for place in {0, stack.shape[0] - 1}]


def grey_tiff() -> bytes:
    return bytes(cv2.imencode(".tiff", CODES)[1])


def grey_video(folder: Path) -> bytes:
    draw = lambda number: np.full((SIZE[1], SIZE[0], 3), 90 + number, np.uint8)  # noqa: E731
    make = lambda path: make_clip(path, range(2), draw=draw, codec="ffv1", pix_fmt="gray16le")  # noqa: E731
    return written(make, "depth.mkv", folder)


def depth_targets(folder: Path) -> Mapping[str, Target]:
    record, exr = depth_record(folder), written(lambda path: write_exr(path, DEPTH), "d.exr", folder)
    stack, png = np.stack([DEPTH, DEPTH]), encode_grey_png(CODES)
    eight = encode_grey_png(CODES.astype(np.uint8))
    return {
        "depth_record": Target(
            "`depth.json` (`depthmaps/codes`, `depthmaps/parts`)", only(use_record), one("depth.json", record)
        ),
        "merged_depth": Target(
            "a merge's images, stacks and videos, with their record (`depthmaps/source`)",
            use_merged,
            (
                {"depth.json": record, **{f"depth_00000{i}.png": png for i in (3, 5)}},
                {"depth.json": record, **{f"png8/depth_00000{i}.png": eight for i in (3, 5)}},
                {"depth.json": record, "depths.npz": array(np.savez, depths=stack)},
                {"depth.json": record, "depth.mkv": grey_video(folder)},
            ),
        ),
        "depth_files": Target(
            "depth of other programs: EXR, PNG, TIFF, NumPy (`depthmaps/source`, `depthmaps/exr`)",
            use_depth,
            (
                {"0001.exr": exr},
                {"0001.png": png},
                {"0001.npy": array(np.save, DEPTH)},
                {"1.tif": grey_tiff()},
                {"depths.npz": array(np.savez, depths=stack)},
            ),
        ),
        "depth_stack": Target(
            "stacks, `.npy` and `.npz` (`depthmaps/files`)",
            only(use_stack),
            one("a.npz", array(np.savez, depths=stack), array(np.savez_compressed, depths=stack))
            + one("a.npy", array(np.save, stack)),
        ),
        "depth_image": Target(
            "one image of depth (`depthmaps/files`)",
            only(read_image),
            one("a.png", png) + one("a.tif", grey_tiff()),
        ),
        "calibration": Target(
            "`calibration.json` (`calibration/fit`)",
            only(load_calibration),
            one("calibration.json", js(CALIBRATION)),
        ),
    }
