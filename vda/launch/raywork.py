"""What a task of Ray's does on its node: look whether the node can work for us, and run a command there.

In: a command, and what its node has to see. Out: how the command ended, or why it was not run. These functions go
to nodes by value, which may have another version of this package, or none: they use the standard library, and of
others what is there. Nothing is run again here.
"""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_LOOK_SECONDS = 0.1
# Shared disks show a file of another machine's late.
_SEEN_SECONDS = 10.0


def about_node(mark: str, logs: list[str], version: str) -> dict[str, Any]:
    """Which ``node`` and kind of ``cpu`` this is, and ``unfit`` with what it lacks, where it cannot work for us.

    ``mark`` stands in each of the files ``logs``: in another folder of that name it does not.
    """
    asked = [sys.executable, "-c", "import vda; print(vda.__version__)"]
    # What a worker of Ray's imports is more: it is shown the paths of the machine that asks.
    found = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    about: dict[str, Any] = {"node": platform.node(), "cpu": _cpu()}
    if found.returncode:
        return {**about, "unfit": "package", "what": sys.executable}
    if (other := found.stdout.strip()) != version:
        return {**about, "unfit": "version", "what": other}
    ends = time.monotonic() + _SEEN_SECONDS
    for log in logs:
        while not _is_there(mark, log):
            if time.monotonic() > ends:
                return {**about, "unfit": "folder", "what": str(Path(log).parent)}
            time.sleep(_LOOK_SECONDS)
    return about


def _cpu() -> str:
    try:
        found = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in found.splitlines() if line.startswith("model name")), ""
    )


def _is_there(mark: str, log: str) -> bool:
    try:
        return mark in Path(log).read_text(errors="replace")
    except OSError:
        return False


def work(
    command: list[str], log: str, variables: dict[str, str], mark: str, logs: list[str], version: str
) -> dict[str, Any]:
    """Run ``python -m vda COMMAND``; return its exit ``code``, its last words and the ``node``.

    Cancelled once it tells the command to end, and waits until it has; cancelled again it kills it and all that it
    started. The command is told to end as well when this process dies. Where the node cannot work for us it is not
    run, and that is returned.
    """
    cancelled: list[int] = []
    # An exception would come anywhere, and once more while the first is dealt with.
    signal.signal(signal.SIGINT, lambda number, frame: cancelled.append(number))
    about = about_node(mark, [each for each in logs if Path(each).parent == Path(log).parent], version)
    if "unfit" in about:
        return about
    with Path(log).open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "vda", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_environment(), **variables},
            preexec_fn=_dying_with(os.getpid()),
        )
    told = 0
    while process.poll() is None:
        if len(cancelled) > told:
            _end(process, at_once=told > 0 or len(cancelled) > 1)
            told = len(cancelled)
        time.sleep(_LOOK_SECONDS)
    ended: dict[str, Any] = {**about, "code": process.returncode, "said": _last_words(log, begin)}
    if process.returncode < 0 and not cancelled:
        ended["lost"] = f"its process on {about['node']} was ended by signal {-process.returncode}"
    return ended


def _environment() -> dict[str, str]:
    """What the command is given: its GPU, and nothing of a job of SLURM's in which Ray was started."""
    kept = {
        key: value
        for key, value in os.environ.items()
        # Whose task it was is not whose this is; a folder of the node's own disk is.
        if not key.startswith("SLURM_") or key == "SLURM_TMPDIR"
    }
    gpus = _gpus()
    return {**kept, "CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else kept


def _gpus() -> list[str]:
    """What Ray gave to this task: it can be told not to name them in the environment."""
    import ray

    return [str(gpu) for gpu in ray.get_runtime_context().get_accelerator_ids().get("GPU", ())]


def _dying_with(parent: int) -> Any:
    if sys.platform != "linux":
        return None
    import ctypes

    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(1, signal.SIGTERM)
        # It may have died before.
        if os.getppid() != parent:
            os._exit(143)

    return ask


def _end(process: "subprocess.Popen[bytes]", *, at_once: bool) -> None:
    process.send_signal(signal.SIGTERM)
    if not at_once:
        return
    import psutil

    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        children = []
    # First the one that would start others.
    process.kill()
    for child in children:
        try:
            child.kill()
        except psutil.Error:
            continue


def _last_words(log: str, begin: int) -> str:
    with Path(log).open("rb") as file:
        file.seek(max(begin, Path(log).stat().st_size - 4096))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-12:])
