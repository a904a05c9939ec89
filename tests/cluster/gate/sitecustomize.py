"""Holds workers where a test wants them, and stands in for tasks by the thousand; Python imports it at its start.

``VDA_TEST_GATE`` is a folder. Who is about to name a finished window, block of frames of a merge or scaled video,
while there is ``<window>.hold``, leaves ``<window>.<pid>`` there and waits until it is gone: a test acts then.
``VDA_TEST_GPUS`` is a folder where each task leaves the GPU that it was given, in ``gpu.<pid>``, with what it has
of SLURM's variables; then it has none, and computes on the CPU.
``VDA_TEST_TASKS`` is a folder as well: ``vda task`` then does nothing but leave its line in ``chunk_<number>``.
"""

import os
import re
import sys
import time
from pathlib import Path

_WINDOW = re.compile(r"(window_\d+_\d+|frames_\d+)\.npz|video\d+_scaled_original\.mp4")


def _hold(event: str, arguments: tuple[object, ...]) -> None:
    if event != "os.rename" or not isinstance(arguments[1], str | os.PathLike):
        return
    name = Path(os.fspath(arguments[1])).name
    hold = Path(os.environ["VDA_TEST_GATE"]) / f"{name}.hold"
    if _WINDOW.fullmatch(name) and hold.exists():
        hold.with_suffix(f".{os.getpid()}").touch()
        while hold.exists():
            time.sleep(0.02)


def _take_gpu() -> None:
    if "task" not in sys.orig_argv:
        return
    given = os.environ.pop("CUDA_VISIBLE_DEVICES", "")
    of_slurm = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("SLURM_")]
    path = Path(os.environ["VDA_TEST_GPUS"]) / f"gpu.{os.getpid()}"
    path.write_text("\n".join([given, *of_slurm]))


def _stand_in() -> None:
    words = sys.orig_argv
    if "task" not in words:
        return
    chunk = int(words[words.index("--chunk") + 1])
    with (Path(os.environ["VDA_TEST_TASKS"]) / f"chunk_{chunk}").open("a") as file:
        file.write(f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}\n")
    os._exit(0)


if "VDA_TEST_GATE" in os.environ:
    sys.addaudithook(_hold)
if "VDA_TEST_GPUS" in os.environ:
    _take_gpu()
if "VDA_TEST_TASKS" in os.environ:
    _stand_in()
