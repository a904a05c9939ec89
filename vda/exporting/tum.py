"""An RGB-D folder as the TUM benchmark has them: ``rgb/``, ``depth/``, their lists, associations and trajectory.

Depth is 5000 codes to the unit (so 13.1 of them at most), 0 is none; file names are the frames' times in seconds.
The benchmark publishes its cameras on a page; here ``calibration.txt`` has the numbers in that page's order.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vda.camera.intrinsics import Intrinsics
from vda.depthmaps.codes import MAX_CODE, Quantizer
from vda.depthmaps.files import write_png16
from vda.exporting.frames import ExportFrame
from vda.exporting.request import ExportContext
from vda.files import write_bytes
from vda.reporter import Reporter

# The format's own, the same for all its data sets.
_CODES_PER_UNIT = 5000


def write(frames: Iterator[ExportFrame], context: ExportContext, reporter: Reporter) -> list[Path]:
    """Write the folder; ``associations.txt``, last of all, has a line ``time rgb time depth`` for each frame."""
    written, quantizer = context.written, Quantizer.per_metre(_CODES_PER_UNIT)
    times: list[str] = []
    poses: list[str] = []
    cameras: set[Intrinsics] = set()
    too_far = 0
    for frame in frames:
        cameras.add(frame.camera)
        time = f"{frame.time_s:.6f}"
        codes, left_out = quantizer.encode_counted(frame.depth.astype(np.float32))
        too_far += left_out.clipped
        write_png16(written.path(f"depth/{time}.png"), codes)
        write_bytes(written.path(f"rgb/{time}.png"), frame.png())
        times.append(time)
        if frame.view is not None:
            poses.append(_pose_line(time, frame.view.camera_to_world))
    if too_far:
        reporter.say(
            f"{too_far} pixels are farther than {MAX_CODE / _CODES_PER_UNIT:.1f} units: they have no depth."
        )
    if len(cameras) > 1:
        reporter.say(f"The frames have {len(cameras)} cameras, and this folder has room for one: none is written.")
    lists = {
        "rgb.txt": [f"{time} rgb/{time}.png" for time in times],
        "depth.txt": [f"{time} depth/{time}.png" for time in times],
        "groundtruth.txt": poses,
        "associations.txt": [f"{time} rgb/{time}.png {time} depth/{time}.png" for time in times],
    }
    if len(cameras) == 1:
        lists["calibration.txt"] = [_camera_line(camera) for camera in cameras]
    for name, lines in lists.items():
        write_bytes(written.path(name), "".join(f"{line}\n" for line in lines).encode())
    return [written.path("associations.txt")]


def _camera_line(camera: Intrinsics) -> str:
    """``fx fy cx cy``, and behind them ``k1 k2 p1 p2 k3`` of a lens; pixels are counted as OpenCV counts them."""
    numbers = [camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion]
    return " ".join(f"{number:.9g}" for number in numbers)


def _pose_line(time: str, pose: np.ndarray) -> str:
    from scipy.spatial.transform import Rotation

    numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return " ".join([time, *(f"{number:.9g}" for number in numbers)])
