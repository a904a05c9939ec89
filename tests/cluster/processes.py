"""The processes of a test's SLURM, jobs' and orphans' too, and their end. Run by itself it is the guard of one.

All have ``SLURM_CONF`` in their environment, which names the folder and so tells whose they are; of
``slurmstepd``, which writes over its own, the open log does.
"""

import os
import signal
import sys
import time
from pathlib import Path

import psutil

_SECONDS = 120.0


def configuration_in(folder: Path) -> Path:
    return folder / "etc" / "slurm.conf"


def processes_of(folder: Path) -> list[psutil.Process]:
    """The processes of the SLURM in ``folder``, its jobs' too, but for zombies."""
    own = []
    for process in psutil.process_iter(["name", "cmdline", "environ", "status"]):
        theirs = (process.info["environ"] or {}).get("SLURM_CONF") == str(configuration_in(folder))
        if (theirs or is_step(process, folder)) and process.info["status"] != psutil.STATUS_ZOMBIE:
            own.append(process)
    return own


def is_step(process: psutil.Process, log: Path) -> bool:
    """Whether it is a ``slurmstepd`` that writes to ``log``, or to a log below that folder."""
    if process.info["name"] != "slurmstepd":
        return False
    try:
        return any(Path(file.path).is_relative_to(log) for file in process.open_files())
    except psutil.Error:
        return False


def end_all(folder: Path) -> None:
    """Kill the processes of the SLURM in ``folder`` until there are none: one may be starting another just now."""
    deadline = time.monotonic() + _SECONDS
    while left := processes_of(folder):
        if time.monotonic() > deadline:
            raise RuntimeError(f"these do not end: {[(p.pid, p.info['cmdline']) for p in left]}")
        for process in left:
            kill(process.pid)
        psutil.wait_procs(left, timeout=1)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    # The input ends with the process that started SLURM, however that comes about.
    sys.stdin.read()
    end_all(Path(sys.argv[1]))
