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
from typing import Final

import psutil

from vda.files import modified, storage_error, storage_errors

SETTLED: Final = 0
# Five renewals may fail on a busy file server before a process counts as gone; it heals itself where it is not.
_RENEW_SECONDS: Final = 10.0
LEASE_SECONDS: Final = 60.0
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
        return cls._named(folder, number, this_process())

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
        if (alive := is_alive_here(self.owner)) is not None:
            return alive
        try:
            return now - modified(self.path) < LEASE_SECONDS
        except FileNotFoundError:
            return False


def parts_in(folder: Path) -> list[RecordPart]:
    """The parts that are in ``folder``; a later one has a larger number."""
    found = (RecordPart.at(path) for path in sorted(folder.glob("part_*.jsonl")))
    return sorted((part for part in found if part is not None), key=lambda part: part.number)


class OwnPart:
    """The part that this process writes: begun, written line by line, ended; its time is renewed meanwhile.

    Where somebody took this process for dead and the part away, all lines are written again, into another.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: list[bytes] = []
        self._over = threading.Event()

    def begin(self) -> None:
        """Begin a part that counts more than all that are there."""
        number = max((part.number for part in parts_in(self._folder)), default=SETTLED) + 1
        while True:
            part = RecordPart.of_this_process(self._folder, number)
            try:
                handle = part.path.open("xb", buffering=0)
                break
            except FileExistsError:
                number += 1
            except OSError as error:
                raise storage_error(part.path, error) from error
        self.part, self._handle, self._over = part, handle, threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Show that nobody writes the part any more."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        self._handle.close()
        with suppress(OSError):
            if self._lines:
                self.part.path.rename(self.part.ended().path)
            else:
                self.part.path.unlink()

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        self._append(line)
        self.be_there()

    def be_there(self) -> None:
        """Write all lines again where the part is gone."""
        while not self._is_there():
            self.end()
            self.begin()
            self._append(b"".join(self._lines))

    def now(self) -> float:
        """What the clock of whoever stores the part says; its time is renewed by that."""
        os.utime(self._handle.fileno())
        return os.fstat(self._handle.fileno()).st_mtime

    def _append(self, data: bytes) -> None:
        with storage_errors(self.part.path):
            if (written := self._handle.write(data)) < len(data):
                raise OSError(f"{len(data)} requested and {written} written")
            os.fsync(self._handle.fileno())

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self.part.path.stat(), os.fstat(self._handle.fileno()))
        except FileNotFoundError:
            return False

    def _renew(self) -> None:
        while not self._over.wait(_RENEW_SECONDS):
            with suppress(OSError):
                os.utime(self._handle.fileno())


def this_process() -> str:
    """Machine, number and start: what no other process has, here or elsewhere."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


def is_alive_here(owner: str) -> bool | None:
    """Whether the process ``owner`` lives; None where it is another machine's."""
    machine, _, process = owner.partition("-")
    if machine != _machine():
        return None
    pid, _, started = process.partition("-")
    return pid.isdecimal() and started.isdecimal() and _is_alive(int(pid), int(started))


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
