"""Workers as units of the user's systemd: the desktop's memory killer ends a control group, and each has its own.

Used inside a service only (``detached``). A unit is no child, so its exit code comes by a file.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL

from vda.files import storage_errors
from vda.launch.detached import run_quietly, unit_command
from vda.launch.local import POLITE, LocalLauncher, LocalProcess
from vda.scene.runstate import WorkerFiles

# The shell writes down how the worker ended; where the whole unit is killed there is no file, which tells as much.
_SHELL = '"$@"; echo $? > "$0"'
# Importing PyTorch takes seconds, and from a cold or shared disk much longer.
_COMING_SECONDS = 120.0
# Exit codes end at 255.
_MOST_DIGITS = 3
# Between the lock's release and the file with the exit code the shell has to run once more.
_GONE_SECONDS = 2.0


class Unit:
    """A worker's unit. It lives until it left its exit code, or does not hold its lock any more."""

    def __init__(self, name: str, files: WorkerFiles, exit_path: Path) -> None:
        self._name, self._files, self._exit_path = name, files, exit_path
        # Until when the lock may be free although nothing has ended.
        self._patient_until = time.monotonic() + _COMING_SECONDS

    def exit_code(self) -> int | None:
        if self._files.is_alive():
            self._patient_until = time.monotonic() + _GONE_SECONDS
            return None
        text = self._exit_path.read_bytes().strip() if self._exit_path.is_file() else b""
        # What a full disk left of the number, or a broken one, tells no more than no file does.
        if text.isdigit() and len(text) <= _MOST_DIGITS:
            # A shell says 128 and the signal's number.
            return int(text) if int(text) < 128 else 128 - int(text)
        return None if time.monotonic() < self._patient_until else -SIGKILL

    def kill(self) -> None:
        run_quietly(["systemctl", "--user", "kill", "--signal=SIGKILL", self._name])


class UnitLauncher:
    """Starts each worker as a unit; as a plain process where systemd refuses one."""

    def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> Unit | LocalProcess:
        with storage_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
        files = WorkerFiles(home, name)
        exit_path = files.folder.resolve() / "exit_code"
        unit = f"vda-worker-{name}"
        worker = [sys.executable, "-m", "vda.compute.worker", str(home.resolve()), name]
        command = ["/bin/sh", "-c", _SHELL, str(exit_path), *worker]
        refused = run_quietly(unit_command(unit, log, _environment(environment), {}, command))
        if refused is None:
            return Unit(unit, files, exit_path)
        with log.open("a") as output:
            output.write(f"systemd takes no unit for {name} ({refused}); it becomes a plain process\n")
        return LocalLauncher().start(home, name, log, environment)


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {**{key: value for key, value in POLITE.items() if key not in os.environ}, **environment}
