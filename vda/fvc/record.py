"""What came of one row of the metadata, as a line of text with a checksum.

In: values, or a line. Out: a line, or a record whose values have the types they must. This file does not know who
keeps records, nor in which files.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vda.errors import InputError
from vda.records import Count, InnerPath, filled

State = Literal["done", "failed"]


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


def in_order(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.row, record.name))


def records_in(path: Path) -> Iterator[Record]:
    """The records of a part that nobody writes; another process may have joined it meanwhile."""
    with suppress(FileNotFoundError), path.open("rb") as handle:
        for line in handle:
            if line.endswith(b"\n"):
                yield Record.from_line(line, path)
