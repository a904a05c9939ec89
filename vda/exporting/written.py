"""The files of an export, listed while they are written: another export in their place leaves none of them behind.

The output folder may hold other things, often somebody's reconstruction, so nothing goes but what the list names.
It is appended to before each file is written, so that what an interrupted export left is known as well.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from vda.errors import UsageError
from vda.files import storage_errors, write_bytes

LIST_NAME = "vda_export.txt"


class Written:
    """What is written into ``folder``, and what earlier exports wrote there; names are relative to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._list = folder / LIST_NAME
        self._earlier = _listed(self._list)
        self._now: dict[str, None] = {}

    def refuse_strangers(self, names: Iterable[str]) -> None:
        """Raise ``UsageError`` where one of the files ``names`` stands that no export wrote.

        It may be all that is left of a reconstruction; and programs read a binary model before one in text.
        """
        for name in names:
            path = self._folder / name
            if path.is_file() and name not in self._earlier:
                raise UsageError(
                    f"{path} is there and was not written by an export, which would replace it or be misread "
                    "with it.",
                    "Give another --output.",
                )

    def refuse_poses(self, poses: Path, files: Iterable[str]) -> None:
        """Raise ``UsageError`` where ``poses``, or one of ``files`` in it, is an earlier export's: it would go."""
        for path in (poses, *(poses / name for name in files)):
            whole, outer = path.resolve(), self._folder.resolve()
            if whole.is_relative_to(outer) and whole.relative_to(outer).as_posix() in self._earlier:
                raise UsageError(
                    f"The poses in {poses} are an export's own, in the folder whose files this one replaces.",
                    "Give another --output.",
                )

    def names_like(self, pattern: str) -> list[str]:
        """The names of the files that are there now and match ``pattern``."""
        return [path.relative_to(self._folder).as_posix() for path in sorted(self._folder.glob(pattern))]

    def path(self, name: str) -> Path:
        """Where to write the file ``name``."""
        if name not in self._now and name not in self._earlier:
            with storage_errors(self._list):
                self._folder.mkdir(parents=True, exist_ok=True)
                with self._list.open("ab") as handle:
                    handle.write(os.fsencode(f"{name}\n"))
        self._now[name] = None
        return self._folder / name

    def remove_stale(self) -> None:
        """Remove what an earlier export wrote and this one did not, with folders that are empty then."""
        for name in self._earlier - self._now.keys():
            path = self._folder / name
            with storage_errors(path):
                path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()
        write_bytes(self._list, os.fsencode("".join(f"{name}\n" for name in self._now)))


def _listed(path: Path) -> set[str]:
    """Names that lead out of the folder are none of ours."""
    lines = os.fsdecode(path.read_bytes()).split("\n") if path.is_file() else []
    names = {line: PurePosixPath(line) for line in lines if line and "\0" not in line}
    return {line for line, name in names.items() if not name.is_absolute() and ".." not in name.parts}
