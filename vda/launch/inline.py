"""A worker in a thread of the calling process: for notebooks, debuggers and machines that forbid subprocesses."""

import threading
import traceback
from contextlib import suppress
from pathlib import Path

import psutil

from vda.compute import worker
from vda.files import storage_errors


class InlineThread:
    """A worker's thread. It cannot be killed, only told to quit."""

    def __init__(self, home: Path, name: str, log: Path) -> None:
        self._code: int | None = None
        self._log = log
        # Not a daemon: a program that ends while this computes would tear PyTorch down under it, and abort.
        self._thread = threading.Thread(target=self._serve, args=(home, name), name=f"worker-{name}")
        self._thread.start()

    def _serve(self, home: Path, name: str) -> None:
        try:
            self._code = worker.main([str(home), name])
        except BaseException:
            self._code = worker.EXIT_FAILED
            # A full disk costs the trace, and not the run.
            with suppress(OSError), self._log.open("a") as log:
                traceback.print_exc(file=log)

    def exit_code(self) -> int | None:
        return None if self._thread.is_alive() or self._lingers() else self._code

    def _lingers(self) -> bool:
        """Whether the system still has the thread: PyTorch takes down its share of it after Python has let go.

        A program that ends in between aborts (https://github.com/pytorch/pytorch/issues/117762).
        """
        return any(thread.id == self._thread.native_id for thread in psutil.Process().threads())

    def kill(self) -> None:
        """Do nothing: a thread ends by itself once nobody supervises it."""


class InlineLauncher:
    """Starts threads; a device's environment cannot be applied to a process that already runs."""

    def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> InlineThread:
        with storage_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
        return InlineThread(home, name, log)
