"""An RGB-D folder as the TUM benchmark has them: ``rgb/``, ``depth/``, their lists, associations and trajectory.

Depth is 5000 codes to the unit (so 13.1 of them at most), 0 is none; file names are the frames' times in seconds.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

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
    too_far = 0
    for frame in frames:
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
    lists = {
        "rgb.txt": [f"{time} rgb/{time}.png" for time in times],
        "depth.txt": [f"{time} depth/{time}.png" for time in times],
        "groundtruth.txt": poses,
        "associations.txt": [f"{time} rgb/{time}.png {time} depth/{time}.png" for time in times],
    }
    for name, lines in lists.items():
        write_bytes(written.path(name), "".join(f"{line}\n" for line in lines).encode())
    return [written.path("associations.txt")]


def _pose_line(time: str, pose: np.ndarray) -> str:
    numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return " ".join([time, *(f"{number:.9g}" for number in numbers)])
