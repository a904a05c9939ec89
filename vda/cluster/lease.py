"""Who computes a chunk, where locks reach no further than a machine: a claim that is renewed.

In: a chunk's claim file, on a file system that all machines see. Out: whether the chunk is this task's. A claim
that is not renewed for a minute, by the file server's clock alone, is taken over; so is one whose process is known
to be gone. What makes it safe is that losing does no harm: two tasks on one chunk write the same windows. This
file does not know what is computed.

The claim appears whole under its name (a link, which fails where the name is taken), and is taken away by being
renamed: of many, one has it then, and one who took away a fresh claim puts it back.
"""

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from vda.cluster.taskfiles import TaskName
from vda.errors import StorageError
from vda.files import server_time, temporary_beside, write_first, write_json
from vda.scene.runstate import CLAIM_SECONDS, ChunkClaim, RunFiles, claim_age

# Five renewals may fail on a busy file server before another machine takes the chunk.
RENEW_SECONDS = 10.0
# While others take claims over, too, each look finds the file as another left it.
_TRIES = 20
_POLL_SECONDS = 0.5
# The kernel counts from the start of the machine; as a time of day that moves a little when the clock is set.
_SAME_START_SECONDS = 2.0


@dataclass
class Lease:
    """The claim of a task on a chunk. ``mine`` is what it writes; ``lost``: another has the chunk by now.

    ``for_good``: it is also lost where it is gone, for somebody may have had it meanwhile; else it is made again.
    """

    path: Path
    mine: ChunkClaim
    clock: Callable[[], float] = time.monotonic
    for_good: bool = False
    lost: bool = field(default=False, init=False)
    _renewed: float = field(default=0.0, init=False)

    @classmethod
    def on(cls, files: RunFiles, chunk: int, name: TaskName) -> "Lease":
        """The lease to be taken on ``chunk`` by the task that is called ``name``, in this process."""
        files.claims_dir.mkdir(parents=True, exist_ok=True)
        return cls.at(files.claim_path(chunk), name)

    @classmethod
    def at(cls, path: Path, name: TaskName, *, for_good: bool = False) -> "Lease":
        """The lease whose claim is ``path``, in a folder that is there, to be taken as ``on`` says."""
        started, token = psutil.Process().create_time(), uuid.uuid4().hex
        since = server_time(path.parent)
        mine = ChunkClaim(token, name.words, name.host, os.getpid(), since, name.restart, this_machine(), started)
        return cls(path, mine, for_good=for_good)

    def take(self) -> ChunkClaim | None:
        """Take the chunk; return None, or whose it is where that may be alive. ``StorageError`` on a full disk."""
        for _ in range(_TRIES):
            seen = self._look()
            if seen is None:
                if write_first(self.path, asdict(self.mine)):
                    self._renewed = self.clock()
                    return None
                continue
            claim, age = seen
            if age < CLAIM_SECONDS and not self._is_over(claim):
                return claim or _UNKNOWN
            self._take_away(claim)
        return _UNKNOWN

    def await_turn(
        self, should_stop: Callable[[], bool], wait: Callable[[float], None] = time.sleep
    ) -> ChunkClaim | None:
        """As ``take``; but whoever has the chunk is given time to show that it lives, or to end.

        It returns another's claim as soon as that is renewed, or where ``should_stop`` comes first.
        """
        first, holder = self._renewal(), self.take()
        while holder is not None and not should_stop() and self._renewal() in (first, None):
            wait(_POLL_SECONDS)
            holder = self.take()
        return holder

    def renew(self) -> bool:
        """Show that the task lives, now and then; return whether the chunk is still its own.

        On a full disk or without an answer of the server nothing is known, and it is tried again.
        """
        if self.clock() - self._renewed >= RENEW_SECONDS:
            self.is_mine()
        return not self.lost

    def is_mine(self) -> bool:
        """As ``renew``, but at once: for what two at work would spoil for each other."""
        if not self.lost:
            self._renewed = self.clock()
            with suppress(OSError, StorageError):
                self._renew()
        return not self.lost

    def release(self) -> None:
        """Leave the chunk to whoever wants it; a claim that is another's stays."""
        with suppress(OSError, StorageError):
            if _token(ChunkClaim.found(self.path)) == self.mine.token:
                self._take_away(self.mine)

    def _renew(self) -> None:
        there = ChunkClaim.found(self.path)
        if there is None and self._is_there():
            # Damaged: whoever is renewed last has it, and the other sees so.
            write_json(self.path, asdict(self.mine), durable=False)
        elif there is None and self.for_good:
            self.lost = True
            return
        elif there is None:
            write_first(self.path, asdict(self.mine))
        elif there.token == self.mine.token:
            os.utime(self.path)
        there = ChunkClaim.found(self.path)
        self.lost = there is not None and there.token != self.mine.token

    def _is_there(self) -> bool:
        """Raises ``OSError`` where that is not known."""
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        return True

    def _look(self) -> tuple[ChunkClaim | None, float] | None:
        """The claim that is there (None: damaged) and its age in seconds; None where there is none."""
        try:
            age = claim_age(self.path, server_time(self.path.parent))
        except FileNotFoundError:
            return None
        return ChunkClaim.found(self.path), age

    def _renewal(self) -> Any:
        """What changes whenever the claim that is there is renewed; None without one."""
        try:
            found = ChunkClaim.found(self.path)
            with self.path.open("rb") as handle:
                return _token(found), os.fstat(handle.fileno()).st_mtime_ns
        except OSError:
            return None

    def _is_over(self, claim: ChunkClaim | None) -> bool:
        """Whether who wrote ``claim`` is an earlier start of this very task, or a process here that is gone."""
        if claim is None:
            return False
        is_earlier = claim.task == self.mine.task and claim.restart < self.mine.restart
        return is_earlier or (claim.machine == self.mine.machine != "" and not _lives(claim))

    def _take_away(self, seen: ChunkClaim | None) -> None:
        """Remove the claim ``seen``. Where another took it over meanwhile, that one's is put back."""
        aside = temporary_beside(self.path)
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        try:
            taken = ChunkClaim.found(aside)
            if taken is not None and _token(taken) != _token(seen):
                write_first(self.path, asdict(taken))
        finally:
            aside.unlink(missing_ok=True)


_UNKNOWN = ChunkClaim("", "whose claim cannot be read", "another machine", 0, 0.0)


def this_machine() -> str:
    """What no other machine, and no other container here, has: only there a pid means the same process."""
    try:
        boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
        return f"{boot.read_text().strip()} {processes.readlink()}"
    except OSError:
        return ""


def _lives(claim: ChunkClaim) -> bool:
    try:
        return abs(psutil.Process(claim.pid).create_time() - claim.process_started) < _SAME_START_SECONDS
    except psutil.NoSuchProcess:
        return False


def _token(claim: ChunkClaim | None) -> str | None:
    return claim.token if claim is not None else None
