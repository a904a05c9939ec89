"""What is done, on disk, for several processes at once: each writes a part of its own, and parts are joined.

    <output>/scaled_state/
      part_000000-<content>.jsonl            what finished processes left, in the order of the metadata
      part_000001-<machine, process>.jsonl   a line a video, written by one process (``writers``)
      claims/row_000012.json                 who is scaling that row's video (``claims``)
      state.lock                             held while parts are read, joined or removed

A line is written when all files of its video have their names; one torn by a kill is none. Of two lines for a
video that of the later part counts. Nothing here depends on when or by whom: interrupted and continued, or done by
several, it ends in the same bytes. This file does not know tables, nor how videos are scaled.

The lock keeps the processes of one machine from joining twice. Without it nothing is lost, for machines that share
a file system may not see each other's: nobody writes into another's file, a part is taken away under a new name
and only then read, and whoever finds its own part gone writes all its lines into another.
"""

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Self

from vda.errors import InputError
from vda.files import TEMPORARY_PREFIX, storage_errors, write_bytes
from vda.fvc.claims import RowClaims
from vda.fvc.record import Record, in_order, records_in
from vda.fvc.writers import SETTLED, OwnPart, RecordPart, is_alive_here, parts_in, this_process
from vda.machine.locks import exclusive_lock

_FOLDER = "scaled_state"
# How often a row that another process has in hand is asked for again.
_POLL_SECONDS = 0.1


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
        self._own: OwnPart | None = None
        self._claims = RowClaims(self._state / "claims", this_process(), self._lives, self._now)

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
        with self.frozen():
            own = OwnPart(self._state)
            own.begin()
            self._own = own
            try:
                self.read_parts()
            except BaseException:
                own.end()
                raise
            self._news.clear()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._own is not None
        self._own.end()

    @contextmanager
    def frozen(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep other processes from joining, settling or removing; not to be held while videos are scaled.

        Yields whether that was had: without ``wait``, not where another process is at it.
        """
        # On a file system that keeps no locks, everybody has it.
        with exclusive_lock(self._state / "state.lock", wait=wait, optional=True) as had:
            yield had

    @contextmanager
    def claim(self, row: int, *, wait: bool = False) -> Iterator[bool]:
        """Yield whether no other process, on any machine, has ``row``; what others finished is then known."""
        while not (had := self._claims.take(row)) and wait:
            time.sleep(_POLL_SECONDS)
        try:
            if had:
                with self.frozen():
                    self.read_parts()
            yield had
        finally:
            if had:
                self._claims.release(row)

    def note(self, record: Record) -> None:
        """Write down what came of a video, for all machines to read."""
        own = self._writing()
        own.write(record.to_line())
        self._keep(own.part.number, record)

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
        taken = self._taken([part for part in parts_in(self._state) if part.number < first and part not in others])
        self.read_parts()
        self._put_into_one(taken, self.records())
        if not others:
            self._claims.clear()
            for folder in (self.folder, self._state):
                for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    _remove(leftover)

    def forget(self, names: set[str]) -> None:
        """Remove the records of ``names`` and their files, but for what processes at work have made."""
        with self.frozen():
            living = [self._writing().part, *self._others_at_work()]
            taken = self._taken([part for part in parts_in(self._state) if part not in living])
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
                for part in parts_in(self._state):
                    if part.path not in absent:
                        path = part.path
                        grown = self._read_part(part, path.stat()) or grown
                return grown
            except FileNotFoundError:
                # Another process joined the parts meanwhile, and its own has them all: it is looked for anew.
                absent.add(path)

    def read_parts_of_all(self) -> bool:
        """As ``read_parts``, with what other machines wrote just now, and with all of this process on the disk."""
        self._writing().be_there()
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
        now, mine = self._now(), self._own and self._own.part
        return [part for part in parts_in(self._state) if part != mine and part.is_at_work(now)]

    def _lives(self, owner: str) -> bool:
        """Whether the process ``owner``, on whatever machine, is at work here."""
        if (alive := is_alive_here(owner)) is not None:
            return alive
        now = self._now()
        return any(part.owner == owner and part.is_at_work(now) for part in parts_in(self._state))

    def _now(self) -> float:
        return time.time() if self._own is None else self._own.now()

    def _writing(self) -> OwnPart:
        assert self._own is not None
        return self._own


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
