"""A folder that one process at a time may work on, on whatever machine: the others wait a moment or are refused.

In: a folder, and what is done there. Out: that folder to oneself, or who has it. A claim is renewed while the work
lasts (``cluster.lease``), for locks of open files may end at the machine, always be given, or fail. Whoever stood
still for so long that another took over learns it before it writes what the other may have written.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vda.cluster.lease import RENEW_SECONDS, Lease
from vda.cluster.taskfiles import BY_HAND, TaskName
from vda.errors import UsageError, WorkError
from vda.files import storage_errors
from vda.reporter import Reporter
from vda.scene.runstate import CLAIM_SECONDS, ChunkClaim

_WAIT_SECONDS: Final = 1.0


@dataclass
class OwnFolder:
    """A folder that is this process's own, as far as it knows. Its claim is renewed by a thread."""

    folder: Path
    _lease: Lease
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def require(self) -> None:
        """Raise ``WorkError`` where another process has the folder by now; to be asked before a table is written.

        And after: of the moment between, nobody else would tell.
        """
        with self._turn:
            is_mine = self._lease.is_mine()
        if not is_mine:
            raise WorkError(
                f"Another process took {self.folder} over, for this one had stood still for a minute.",
                "Give the same command again when that one has ended: it makes good what the two did at once.",
            )

    def renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            with self._turn:
                self._lease.is_mine()

    def end(self) -> None:
        self._over.set()
        with self._turn:
            self._lease.release()


@contextmanager
def alone(folder: Path, work: str, doing: str, reporter: Reporter, *, waits: bool = False) -> Iterator[OwnFolder]:
    """Have ``folder`` for a ``work`` (a word), which is ``doing`` something there.

    Raises ``UsageError`` where another process has it, unless this one ``waits``. One on another machine is given
    time to show that it lives.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lease = Lease.at(folder / f".{work}.claim.json", TaskName.of(os.environ), for_good=True)
    holder = lease.take()
    if holder is not None and holder.machine != lease.mine.machine:
        reporter.say(f"{_who(holder)} was {doing} {folder}; whether it still does shows within a minute.")
        holder = lease.await_turn(lambda: False)
    while holder is not None and waits:
        time.sleep(_WAIT_SECONDS)
        holder = lease.take()
    if holder is not None:
        raise UsageError(
            f"Another process is {doing} {folder}: {_who(holder)}.",
            f"Wait for it, or give another folder. Without a sign of life it counts as gone after "
            f"{CLAIM_SECONDS:.0f} seconds.",
        )
    mine = OwnFolder(folder, lease)
    renewing = threading.Thread(target=mine.renew, daemon=True)
    renewing.start()
    try:
        yield mine
    finally:
        mine.end()
        renewing.join()


def _who(holder: ChunkClaim) -> str:
    task = "" if holder.task == BY_HAND else f" ({holder.task})"
    return f"process {holder.pid} on {holder.host}{task}"
