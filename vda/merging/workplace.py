"""Where a merge writes that comes beside depth, or in place of depth, that is there: until it is whole, elsewhere.

In: the folder of merged depth. Out: a folder inside it, and the moves that bring its files to where they belong.
The record that comes last says that the new files are whole; a merge that dies while it moves them is ended by the
next one.
"""

from pathlib import Path

from vda.files import DEPTH_RECORD_NAME, storage_errors
from vda.merging.meaning import Meaning
from vda.merging.outputs import written_files

_BESIDE = ".new"


def workplace(folder: Path) -> Path:
    """The folder in which new files of ``folder`` are made."""
    return folder / _BESIDE


def settle(folder: Path) -> bool:
    """Bring what is whole in the workplace of ``folder`` to its place; return whether there was something."""
    work = workplace(folder)
    if is_settled(folder):
        return False
    meaning = Meaning.read(work)
    with storage_errors(folder):
        if meaning is not None and meaning.replaces:
            for file in sorted(written_files(folder), key=_record_first):
                file.unlink()
        files = (path for path in work.rglob("*") if path.is_file())
        for file in sorted(files, key=_record_first, reverse=True):
            place = folder / file.relative_to(work)
            place.parent.mkdir(exist_ok=True)
            file.replace(place)
        _remove_folders(work)
    return True


def is_settled(folder: Path) -> bool:
    """Whether nothing of ``folder`` waits to be brought to its place."""
    return not (workplace(folder) / DEPTH_RECORD_NAME).is_file()


def _record_first(path: Path) -> tuple[bool, str]:
    return path.name != DEPTH_RECORD_NAME, str(path)


def _remove_folders(folder: Path) -> None:
    """Remove folders that hold no files."""
    for inner in folder.iterdir():
        inner.rmdir()
    folder.rmdir()
