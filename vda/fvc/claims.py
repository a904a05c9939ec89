"""Which row a process has in hand: a file for each, whose writer lives or does not (``writers``).

      claims/row_000012.json   whose it is; gone as soon as the row is dealt with

In: rows. Out: whether one is this process's. A claim appears whole under its name (a link, which fails where the
name is taken) and is taken away by being renamed: of many, one has it then. It needs no renewal of its own, and no
lock. Whoever loses a row all the same does no harm: two who scale it write the same bytes.
"""

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vda.errors import InputError
from vda.files import TEMPORARY_PREFIX, modified, temporary_beside, write_first
from vda.fvc.writers import LEASE_SECONDS
from vda.records import read_record

# While others take claims over, too, each look finds the file as another left it.
_TRIES = 20


@dataclass(frozen=True)
class RowClaim:
    """``owner`` is a process as ``writers`` names it, ``token`` this one claim of it."""

    owner: str
    token: str


class RowClaims:
    """The claims in ``folder`` as the process ``owner`` sees them; ``lives`` tells whether another is at work."""

    def __init__(self, folder: Path, owner: str, lives: Callable[[str], bool], now: Callable[[], float]) -> None:
        self._folder, self._lives, self._now = folder, lives, now
        self._mine = RowClaim(owner, uuid.uuid4().hex)

    def take(self, row: int) -> bool:
        """Whether ``row`` is this process's from now on; one of a process that is gone is taken over."""
        path = self._path(row)
        for _ in range(_TRIES):
            if not path.exists() and write_first(path, asdict(self._mine), durable=False):
                return True
            seen = _read(path)
            if self._is_held(path, seen):
                return False
            self._take_away(path, seen)
        return False

    def release(self, row: int) -> None:
        """Leave ``row`` to whoever wants it; a claim that is another's by now stays."""
        path = self._path(row)
        if _read(path) == self._mine:
            self._take_away(path, self._mine)

    def clear(self) -> None:
        """Remove what killed processes left; for the only one at work."""
        for path in [*self._folder.glob("row_*.json"), *self._folder.glob(f"{TEMPORARY_PREFIX}*")]:
            if _read(path) != self._mine:
                path.unlink(missing_ok=True)

    def _path(self, row: int) -> Path:
        return self._folder / f"row_{row:06d}.json"

    def _is_held(self, path: Path, seen: RowClaim | None) -> bool:
        if seen is not None:
            return self._lives(seen.owner)
        try:
            # For a moment a claim may be there and empty, where the file system knows no links.
            return self._now() - modified(path) < LEASE_SECONDS
        except FileNotFoundError:
            return False

    def _take_away(self, path: Path, seen: RowClaim | None) -> None:
        """Remove the claim ``seen``. Where another took it over meanwhile, that one's is put back."""
        aside = temporary_beside(path)
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        try:
            taken = _read(aside)
            if taken is not None and taken != seen:
                write_first(path, asdict(taken), durable=False)
        finally:
            aside.unlink(missing_ok=True)


def _read(path: Path) -> RowClaim | None:
    """None where there is none, or nobody's that can be told."""
    try:
        return read_record(path, RowClaim, "It is written again by whoever takes the row.")
    except InputError:
        return None
