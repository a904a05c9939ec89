"""Where a worker runs: one file per place. A place starts ``vda.compute.worker``, and can end it.

    local     a process of its own on this machine
    units     the same as a transient unit of systemd
    inline    a thread of this process
    onray     commands as tasks of Ray
    raycommands  some of them run to their end
    raydriver  the process that speaks with Ray
    raywork   what Ray's tasks do on their nodes
    rayfaults  which Ray is used, and what stands in the way there
    slurmcommands  SLURM's programs, run and read; its errors in two sentences
    detached  a command that goes on without its terminal
    interrupts  Ctrl-C once asks for an end, twice is one
    keeper    starts a detached command again when it is killed

Nothing here knows what a worker does, nor why it is started.
"""

from pathlib import Path
from typing import Protocol

PLACES = ("local", "inline")


class Launched(Protocol):
    """A started worker: ``exit_code`` is None while it lives; negative is the signal that ended it."""

    def exit_code(self) -> int | None: ...

    def kill(self) -> None: ...


class Launcher(Protocol):
    """``home`` and ``name`` are the worker's arguments, ``log`` the file that takes all it prints."""

    def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> Launched: ...
