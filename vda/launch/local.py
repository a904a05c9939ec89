"""Workers as processes of this machine, each in a session of its own, beyond any terminal's hangup."""

import os
import subprocess
import sys
from pathlib import Path

from vda.files import storage_errors

# OpenMP's threads otherwise spin at their barriers, and on a busy machine steal the time of those they wait for:
# 9 times the CPU time was measured for the same encoder at four processes a core.
POLITE = {"OMP_WAIT_POLICY": "PASSIVE"}


class LocalProcess:
    """A child in its own session."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()


class LocalLauncher:
    """Starts ``python -m vda.compute.worker HOME NAME``; what it prints is appended to the log."""

    def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> LocalProcess:
        with storage_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("ab")
        with output:
            process = subprocess.Popen(
                [sys.executable, "-m", "vda.compute.worker", str(home), name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**POLITE, **os.environ, **environment},
            )
        return LocalProcess(process)
