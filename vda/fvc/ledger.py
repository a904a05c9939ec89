"""What is done, on disk, for several processes at once: each writes a part of its own, and parts are joined.

    <output>/scaled_state/
      part_000000-<content>.jsonl            what finished processes left, in the order of the metadata
      part_000001-<machine, process>.jsonl   a line a video, written by one process (``writers``)
      state.lock            held while parts are read, joined or removed
      claims.lock           one byte a row: held by who is scaling that video

A line is written when all files of its video have their names; one torn by a kill is none. Of two lines for a
video that of the later part counts. Nothing here depends on when or by whom: interrupted and continued, or done by
several, it ends in the same bytes. This file does not know tables, nor how videos are scaled.

Locks keep the processes of one machine from doing work twice. Without them nothing is lost, for machines that
share a file system may not see each other's: nobody writes into another's file, a part is taken away under a new
name and only then read, and whoever finds its own part gone writes all its lines into another.
"""

import errno
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePath
from typing import IO, Self

from vda.errors import InputError
from vda.files import TEMPORARY_PREFIX, exclusive_lock, storage_error, storage_errors, write_bytes
from vda.fvc.record import Record, in_order, records_in
from vda.fvc.writers import SETTLED, RecordPart, Renewal, server_time

_FOLDER = "scaled_state"
# What file systems say that keep no locks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def read_records(folder: Path) -> list[Record]:
    """What is known of the output directory ``folder``, by a reader that takes no part in the work.

    Nothing is written or locked; where there is no state, there are no records.
    """
    return Ledger.seen(folder).records()


class Ledger:
    """The records of one output directory as this process knows them; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / _FOLDER
        self._records: dict[str, tuple[int, Record]] = {}
        self._read: dict[tuple[str, int], int] = {}
        self._news: set[str] = set()
        self._mine: list[bytes] = []
        self._stack = ExitStack()
        self._part: RecordPart
        self._handle: IO[bytes] | None = None

    @classmethod
    def seen(cls, folder: Path) -> Self:
        """The records of ``folder`` as they are now, to be looked at: nothing is written or locked."""
        ledger = cls(folder)
        ledger.read_parts()
        return ledger

    def leave_out(self, names: set[str]) -> None:
        """Count ``names`` as unknown here, as if they were forgotten; what is on the disk stays."""
        for name in names:
            self._records.pop(name, None)

    def __enter__(self) -> Self:
        with self.frozen(), ExitStack() as opened:
            opened.callback(self._end_part)
            self._begin_part()
            self.read_parts()
            self._news.clear()
            self._stack = opened.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @contextmanager
    def frozen(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep other processes from joining, settling or removing; not to be held while videos are scaled.

        Yields whether that was had: without ``wait``, not where another process is at it.
        """
        with _locked(self._state / "state.lock", wait=wait) as had:
            yield had

    @contextmanager
    def claim(self, row: int, *, wait: bool = False) -> Iterator[bool]:
        """Yield whether no other process scales ``row``; what others finished is then known."""
        with _locked(self._state / "claims.lock", byte=row, wait=wait) as had:
            if had:
                with self.frozen():
                    self.read_parts()
            yield had

    def note(self, record: Record) -> None:
        """Write down what came of a video, for all machines to read."""
        self._mine.append(record.to_line())
        self._write(self._mine[-1])
        self._be_there()
        self._keep(self._part.number, record)

    def get(self, name: str) -> Record | None:
        _, record = self._records.get(name, (0, None))
        return record

    def news(self, name: str) -> Record | None:
        """What another process wrote down since this one began: nobody has to look at its files again."""
        return self.get(name) if name in self._news else None

    def records(self) -> list[Record]:
        """All records, in the order of the metadata."""
        return in_order(record for _, record in self._records.values())

    def settle(self) -> None:
        """Put what finished processes left, and this one, into one part. To be called ``frozen``, and last.

        A part stays where a process is at work whose part counts less. Where none is at work, what killed ones
        left half-made is removed.
        """
        others = self._others_at_work()
        first = min((part.number for part in others), default=sys.maxsize)
        taken = self._taken([part for part in self._parts() if part.number < first and part not in others])
        self.read_parts()
        self._put_into_one(taken, self.records())
        if not others:
            for folder in (self.folder, self._state):
                for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    _remove(leftover)

    def forget(self, names: set[str]) -> None:
        """Remove the records of ``names`` and their files, but for what processes at work have made."""
        with self.frozen():
            living = [self._part, *self._others_at_work()]
            taken = self._taken([part for part in self._parts() if part not in living])
            left = {record.name: record for part in taken for record in records_in(part.path)}
            spared = {part.number for part in living} - {part.number for part in taken}
            for name in names & left.keys():
                known, _ = self._records.get(name, (SETTLED, None))
                record = left.pop(name)
                if known not in spared:
                    self._records.pop(name, None)
                    self.remove(PurePath(file).parts[0] for file in record.files)
            self._put_into_one(taken, in_order(left.values()))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, or folders, of the output directory."""
        for name in names:
            _remove(self.folder / name)

    def read_parts(self) -> bool:
        """Read what was written since, in any part; return whether there was anything. To be called ``frozen``."""
        grown, absent = False, set[Path]()
        while True:
            try:
                for part in self._parts():
                    if part.path not in absent:
                        path = part.path
                        grown = self._read_part(part, path.stat()) or grown
                return grown
            except FileNotFoundError:
                # Another process joined the parts meanwhile, and its own has them all: it is looked for anew.
                absent.add(path)

    def read_parts_of_all(self) -> bool:
        """As ``read_parts``, with what other machines wrote just now, and with all of this process on the disk."""
        self._be_there()
        # File systems of the network list a folder as they knew it until something changes in it.
        probe = self._state / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
        with storage_errors(probe):
            probe.touch()
            probe.unlink()
        return self.read_parts()

    def _read_part(self, part: RecordPart, status: os.stat_result) -> bool:
        key = (part.path.name, status.st_ino)
        before = self._read.get(key, 0)
        # Of many processes' parts few have grown since: the others need no opening.
        if status.st_size <= before:
            return False
        with part.path.open("rb") as handle:
            handle.seek(before)
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                try:
                    record = Record.from_line(line, part.path)
                except InputError:
                    # Of what another machine is writing, an end may be there before its beginning.
                    if part.is_at_work(self._now()):
                        break
                    raise
                if self._keep(part.number, record):
                    self._news.add(record.name)
                self._read[key] = self._read.get(key, 0) + len(line)
        return self._read.get(key, 0) > before

    def _keep(self, number: int, record: Record) -> bool:
        """Keep ``record`` unless a later part has another; return whether it was not known before.

        Two who began at the same time have the same number: of them, what was done counts.
        """
        known, before = self._records.get(record.name, (SETTLED, None))
        if number < known or (number == known and before and (before.state, record.state) == ("done", "failed")):
            return False
        self._records[record.name] = (number, record)
        return record != before

    def _begin_part(self) -> None:
        """Begin a part that counts more than all that are there."""
        number = max((part.number for part in self._parts()), default=SETTLED) + 1
        while True:
            part = RecordPart.of_this_process(self._state, number)
            try:
                handle = part.path.open("xb", buffering=0)
                break
            except FileExistsError:
                number += 1
            except OSError as error:
                raise storage_error(part.path, error) from error
        self._part, self._handle, self._renewal = part, handle, Renewal(handle)

    def _end_part(self) -> None:
        """Show that nobody writes the part any more."""
        if self._handle is None:
            return
        self._renewal.end()
        self._handle.close()
        self._handle = None
        with suppress(OSError):
            if self._mine:
                self._part.path.rename(self._part.ended().path)
            else:
                self._part.path.unlink()

    def _write(self, data: bytes) -> None:
        assert self._handle is not None
        with storage_errors(self._part.path):
            if (written := self._handle.write(data)) < len(data):
                raise OSError(f"{len(data)} requested and {written} written")
            os.fsync(self._handle.fileno())

    def _be_there(self) -> None:
        """Write all lines again where somebody took this process for dead and its part away."""
        while not self._is_there():
            self._end_part()
            self._begin_part()
            self._write(b"".join(self._mine))

    def _is_there(self) -> bool:
        assert self._handle is not None
        try:
            return os.path.samestat(self._part.path.stat(), os.fstat(self._handle.fileno()))
        except FileNotFoundError:
            return False

    def _taken(self, parts: list[RecordPart]) -> list[RecordPart]:
        """The ``parts``, under names that nobody writes to: a line that comes later its writer writes again."""
        taken = []
        for part in parts:
            if part.number == SETTLED:
                taken.append(part)
                continue
            ended = part.ended()
            with suppress(FileNotFoundError):  # another process took it
                part.path.rename(ended.path)
                taken.append(ended)
        return taken

    def _put_into_one(self, taken: list[RecordPart], records: Iterable[Record]) -> None:
        if not taken:
            return
        content = b"".join(record.to_line() for record in records)
        settled = RecordPart.settled(self._state, content)
        write_bytes(settled.path, content)
        for part in taken:
            if part.path != settled.path:
                part.path.unlink(missing_ok=True)

    def _others_at_work(self) -> list[RecordPart]:
        now = self._now()
        return [part for part in self._parts() if part != self._part and part.is_at_work(now)]

    def _now(self) -> float:
        return time.time() if self._handle is None else server_time(self._handle)

    def _parts(self) -> list[RecordPart]:
        found = (RecordPart.at(path) for path in sorted(self._state.glob("part_*.jsonl")))
        return sorted((part for part in found if part is not None), key=lambda part: part.number)


@contextmanager
def _locked(path: Path, *, byte: int | None = None, wait: bool = False) -> Iterator[bool]:
    """As ``exclusive_lock``; on a file system that keeps no locks, everybody has them."""
    with ExitStack() as held:
        try:
            had = held.enter_context(exclusive_lock(path, byte=byte, wait=wait))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            had = True
        yield had


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
