"""Holds workers where a test wants them, and stands in for tasks by the thousand; Python imports it at its start.

``VDA_TEST_GATE`` is a folder. Who is about to name a finished window, while there is ``<window>.hold``, leaves
``<window>.<pid>`` there and waits until it is gone: what a test does meanwhile happens in the middle of a chunk.
So it is with a block of merged frames.
``VDA_TEST_TASKS`` is a folder as well: ``vda task`` then does nothing but leave its line in ``chunk_<number>``.
"""

import os
import re
import sys
import time
from pathlib import Path

_HELD = re.compile(r"window_\d+_\d+\.npz|frames_\d+\.npz")


def _hold(event: str, arguments: tuple[object, ...]) -> None:
    if event != "os.rename" or not isinstance(arguments[1], str | os.PathLike):
        return
    name = Path(os.fspath(arguments[1])).name
    hold = Path(os.environ["VDA_TEST_GATE"]) / f"{name}.hold"
    if _HELD.fullmatch(name) and hold.exists():
        hold.with_suffix(f".{os.getpid()}").touch()
        while hold.exists():
            time.sleep(0.02)


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
if "VDA_TEST_TASKS" in os.environ:
    _stand_in()
