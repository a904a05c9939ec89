"""What is done, on disk, for several processes at once: each writes a part of its own, and parts are joined.

    <output>/scaled_state/
      part_000000.jsonl     what finished processes left, in the order of the metadata
      part_000001.jsonl     a line a video, written by one process, which holds a lock on it while it lives
      state.lock            held while parts are read, joined or removed
      claims.lock           one byte a row: held by who is scaling that video

A line is written when all files of its video have their names; one torn by a kill is none. Of two lines for a
video that of the later part counts. Nothing here depends on when or by whom: interrupted and continued, or done by
several, it ends in the same bytes. This file does not know tables, nor how videos are scaled.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import IO, Any, Literal, Self

from vda.errors import InputError
from vda.files import TEMPORARY_PREFIX, exclusive_lock, lock_is_held, storage_errors, write_bytes
from vda.records import Count, InnerPath, filled

State = Literal["done", "failed"]
_FOLDER = "scaled_state"
_SETTLED = 0
_PART = re.compile(r"part_[0-9]{6,18}\.jsonl")


@dataclass(frozen=True)
class Record:
    """What came of one row. ``inputs`` are the paths it states, ``sources`` what was there (``freshness``).

    ``files`` are the checksums of what was made, ``columns`` what the joined table tells of the video, ``notes``
    and ``reason`` what the log does.
    """

    name: str
    row: Count
    inputs: dict[str, str | None]
    state: State
    settings: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)
    files: dict[InnerPath, str] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reason: str = ""

    def to_line(self) -> bytes:
        """The record and a checksum of it: a record that changed on the disk is worse than none."""
        text = json.dumps(asdict(self), ensure_ascii=False).encode()
        return text + b"\t" + _check_of(text) + b"\n"

    @classmethod
    def from_line(cls, line: bytes, path: Path) -> "Record":
        try:
            text, _, check = line.rstrip(b"\n").rpartition(b"\t")
            if check != _check_of(text):
                raise ValueError("its checksum is another")
            found: Record = filled(cls, json.loads(text))
            return found
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path} holds a line that is no record: {error}.", "Remove that file; its videos are made again."
            ) from error


def _check_of(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()


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
        self._number = _SETTLED
        self._stack: ExitStack
        self._part: IO[bytes]

    @classmethod
    def seen(cls, folder: Path) -> Self:
        """The records of ``folder`` as they are now, to be looked at: nothing is written or locked."""
        while True:
            ledger = cls(folder)
            with suppress(FileNotFoundError):  # another process joined the parts meanwhile: its part has them all
                ledger.read_parts()
                return ledger

    def leave_out(self, names: set[str]) -> None:
        """Count ``names`` as unknown here, as if they were forgotten; what is on the disk stays."""
        for name in names:
            self._records.pop(name, None)

    def __enter__(self) -> Self:
        with self.frozen(), ExitStack() as opened:
            self._number = max((_number(path) for path in self._parts()), default=_SETTLED) + 1
            path = self._path(self._number)
            opened.enter_context(exclusive_lock(path))
            with storage_errors(path):
                self._part = opened.enter_context(path.open("ab", buffering=0))
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
        with exclusive_lock(self._state / "state.lock", wait=wait) as had:
            yield had

    @contextmanager
    def claim(self, row: int, *, wait: bool = False) -> Iterator[bool]:
        """Yield whether no other process scales ``row``; what others finished is then known."""
        with exclusive_lock(self._state / "claims.lock", byte=row, wait=wait) as had:
            if had:
                with self.frozen():
                    self.read_parts()
            yield had

    def note(self, record: Record) -> None:
        """Write down what came of a video."""
        line = record.to_line()
        with storage_errors(self._path(self._number)):
            if (written := self._part.write(line)) < len(line):
                raise OSError(f"{len(line)} requested and {written} written")
        self._keep(self._number, record)

    def get(self, name: str) -> Record | None:
        _, record = self._records.get(name, (0, None))
        return record

    def news(self, name: str) -> Record | None:
        """What another process wrote down since this one began: nobody has to look at its files again."""
        return self.get(name) if name in self._news else None

    def records(self) -> list[Record]:
        """All records, in the order of the metadata."""
        found = (record for _, record in self._records.values())
        return sorted(found, key=lambda record: (record.row, record.name))

    def settle(self) -> None:
        """Put what finished processes left, and this one, into one part. To be called ``frozen``, and last.

        Where no other process is at work, what killed ones left half-made is removed.
        """
        self.read_parts()
        others = {path for path in self._others() if lock_is_held(path)}
        write_bytes(self._path(_SETTLED), b"".join(record.to_line() for record in self.records()))
        for path in self._parts():
            if _number(path) != _SETTLED and path not in others:
                path.unlink()
        if not others:
            for folder in (self.folder, self._state):
                for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    _remove(leftover)

    def forget(self, names: set[str]) -> None:
        """Remove the records of ``names`` and their files, but for what processes at work have made."""
        with self.frozen():
            dead = [path for path in self._others() if not lock_is_held(path)]
            left = {_number(path) for path in dead}
            kept = []
            for number, record in list(self._records.values()):
                if number in left and record.name in names:
                    del self._records[record.name]
                    self.remove(PurePath(name).parts[0] for name in record.files)
                elif number in left:
                    kept.append(record.to_line())
            write_bytes(self._path(_SETTLED), b"".join(kept))
            for path in dead:
                if _number(path) != _SETTLED:
                    path.unlink()

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, or folders, of the output directory."""
        for name in names:
            _remove(self.folder / name)

    def read_parts(self) -> None:
        """Read what was written since, in any part. To be called ``frozen``."""
        for path in self._parts():
            status = path.stat()
            key = (path.name, status.st_ino)
            # Of many processes' parts few have grown since: the others need no opening.
            if status.st_size > self._read.get(key, 0):
                self._read_part(path, key)

    def _read_part(self, path: Path, key: tuple[str, int]) -> None:
        with path.open("rb") as handle:
            handle.seek(self._read.get(key, 0))
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                record = Record.from_line(line, path)
                if self._keep(_number(path), record):
                    self._news.add(record.name)
                self._read[key] = self._read.get(key, 0) + len(line)

    def _keep(self, number: int, record: Record) -> bool:
        """Keep ``record`` unless a later part has another; return whether it was not known before."""
        known, before = self._records.get(record.name, (_SETTLED, None))
        if number >= known:
            self._records[record.name] = (number, record)
        return number >= known and record != before

    def _others(self) -> list[Path]:
        return [path for path in self._parts() if _number(path) != self._number]

    def _parts(self) -> list[Path]:
        return sorted(path for path in self._state.glob("part_*.jsonl") if _PART.fullmatch(path.name))

    def _path(self, number: int) -> Path:
        return self._state / f"part_{number:06d}.jsonl"


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("part_"))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
