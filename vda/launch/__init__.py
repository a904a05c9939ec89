"""Where a worker runs: one file a place. A place starts ``vda.worker`` with two arguments and can end it again.

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
