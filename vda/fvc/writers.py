"""Who writes which part of the records, and whether that process is at work: by what reaches past one machine.

In: names of parts, times of files. Out: which parts somebody is still writing. On its own machine a process is
looked for; one on another machine shows itself by renewing its part's time, by the clock of whoever stores the
file. No lock is asked: on many file systems that machines share, locks end at the machine, or are always given.
This file does not know what is in parts.
"""

import hashlib
import os
import platform
import re
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Final

import psutil

SETTLED: Final = 0
# Five renewals may fail on a busy file server before a process counts as gone; it heals itself where it is not.
_RENEW_SECONDS: Final = 10.0
_LEASE_SECONDS: Final = 60.0
# The kernel's start of a process is counted from a start of the machine that is itself known to a second.
_SAME_START_SECONDS: Final = 2
_NAME: Final = re.compile(r"part_(?P<number>[0-9]{6,18})(?:-(?P<owner>[0-9a-f]+(?:-[0-9]+-[0-9]+)?))?\.jsonl")


@dataclass(frozen=True)
class RecordPart:
    """A part by its name: ``number`` says which counts, ``owner`` is a writer, or what makes the name its own."""

    path: Path
    number: int
    owner: str | None

    @classmethod
    def at(cls, path: Path) -> "RecordPart | None":
        """None for what other programs leave there."""
        found = _NAME.fullmatch(path.name)
        return None if found is None else cls(path, int(found["number"]), found["owner"])

    @classmethod
    def of_this_process(cls, folder: Path, number: int) -> "RecordPart":
        return cls._named(folder, number, f"{_machine()}-{os.getpid()}-{_started(os.getpid())}")

    @classmethod
    def settled(cls, folder: Path, content: bytes) -> "RecordPart":
        """Named by its content: two who settle at once never write over each other."""
        return cls._named(folder, SETTLED, hashlib.sha256(content).hexdigest()[:16])

    def ended(self) -> "RecordPart":
        """The name of this part when nobody writes it any more."""
        return self._named(self.path.parent, self.number, uuid.uuid4().hex[:16])

    @classmethod
    def _named(cls, folder: Path, number: int, owner: str) -> "RecordPart":
        return cls(folder / f"part_{number:06d}-{owner}.jsonl", number, owner)

    def is_at_work(self, now: float) -> bool:
        """Whether its writer lives, ``now`` being the time by the file server's clock."""
        if self.owner is None or self.owner.count("-") != 2:
            return False
        machine, pid, started = self.owner.split("-")
        if machine == _machine():
            return _is_alive(int(pid), int(started))
        try:
            return now - self.path.stat().st_mtime < _LEASE_SECONDS
        except FileNotFoundError:
            return False


class Renewal:
    """Renews the time of an open file until it is ended, so that other machines see that its writer lives."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._over.wait(_RENEW_SECONDS):
            with suppress(OSError):
                os.utime(self._handle.fileno())

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def server_time(handle: IO[bytes]) -> float:
    """What the clock of whoever stores the open file says; its time is renewed by that."""
    os.utime(handle.fileno())
    return os.fstat(handle.fileno()).st_mtime


@cache
def _machine() -> str:
    """What sees the same processes by the same numbers: a machine since its start, or a container on it."""
    told = [platform.node()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with suppress(OSError):
        told.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _started(pid: int) -> int:
    return int(psutil.Process(pid).create_time())


def _is_alive(pid: int, started: int) -> bool:
    try:
        process = psutil.Process(pid)
        is_same = abs(int(process.create_time()) - started) <= _SAME_START_SECONDS
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied, OverflowError):
        return False
