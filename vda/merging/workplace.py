"""Where a merge writes that comes beside depth, or in place of depth, that is there: until it is whole, elsewhere.

In: the folder of merged depth. Out: a folder inside it, and the moves that bring its files to where they belong.
The record that comes last says that the new files are whole; a merge that dies while it moves them is ended by the
next one. A merge in parts has a folder of its own there, whose name no other merge takes: whoever still writes for
one that was given up, on whatever machine, is in nobody's way.

    vda_run/cluster/merge/
      fits.json                       what the first part found, and of what (``fits``)
      end.lock                        held by the one that ends the merge
      <token>/frames_00003.npz        a block of frames whose images are there, and what they count for
      <token>/vain_3_16.json          how often in a row range 3 of 16 was told to end before it had a block more
    vda_merged_depth/.parts-<token>/  the images, and at the end all else
"""

import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vda.errors import InputError
from vda.files import DEPTH_RECORD_NAME, TEMPORARY_PREFIX, storage_errors, write_json
from vda.merging.meaning import Meaning
from vda.merging.outputs import written_files
from vda.records import read_record
from vda.scene.scene import Scene

_BESIDE = ".new"
_PARTS = ".parts-"


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
            # From here on what lies there is new: whoever ends this after a kill must not remove it.
            replace(meaning, replaces=False).write(work)
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


@dataclass(frozen=True)
class PartFiles:
    """Where the parts of a scene's merge keep what they know, ``folder``, and below ``merged`` what they make."""

    folder: Path
    merged: Path

    @classmethod
    def of(cls, scene: Scene) -> "PartFiles":
        return cls(scene.run_dir / "cluster" / "merge", scene.merged_dir)

    @property
    def fits_path(self) -> Path:
        return self.folder / "fits.json"

    @property
    def end_lock(self) -> Path:
        return self.folder / "end.lock"

    def block_path(self, token: str, number: int) -> Path:
        return self.folder / token / f"frames_{number:05d}.npz"

    def whole_blocks(self) -> int:
        """How many blocks of frames are there."""
        return sum(1 for _ in self.folder.glob("*/frames_*.npz"))

    def told_to_end(self, token: str, index: int, count: int, *, in_vain: bool) -> int:
        """Note that a range was told to end; return how often in a row it was before it had a block more."""
        path = self.folder / token / f"vain_{index}_{count}.json"
        vain = 0
        with suppress(InputError):
            vain = read_record(path, int, "") if in_vain else 0
        write_json(path, vain + in_vain)
        return vain + in_vain

    def images(self, token: str) -> Path:
        return self.merged / f"{_PARTS}{token}"

    def state(self) -> tuple[int, int] | None:
        """What tells one ``fits.json`` from the next; None where there is none."""
        with suppress(FileNotFoundError):
            found = self.fits_path.stat()
            return found.st_ino, found.st_mtime_ns
        return None

    def discard(self) -> None:
        """Give up the merge in parts that is there, if any: who works for it finds that out."""
        self.fits_path.unlink(missing_ok=True)
        for folder in (self.folder, *self.merged.glob(f"{_PARTS}*")):
            shutil.rmtree(folder, ignore_errors=True)

    def take(self, token: str, some: Iterable[Path]) -> Path | None:
        """Take the folder of images, and return where it is now; None where another has taken it.

        Renaming goes well for one alone, on whatever machines they are. ``some`` of the images tell the folder
        from what a late comer wrote in its place.
        """
        taken = self.merged / f"{_PARTS}{token}-{uuid.uuid4().hex}"
        try:
            self.images(token).rename(taken)
        except FileNotFoundError:
            return None
        return taken if all((taken / image).is_file() for image in some) else None

    def hand_over(self, taken: Path) -> None:
        """Make a folder of images that of a merge that is whole but for its moves, as ``settle`` takes it."""
        for file in taken.rglob(f"{TEMPORARY_PREFIX}*"):
            file.unlink(missing_ok=True)
        with storage_errors(self.merged):
            shutil.rmtree(workplace(self.merged), ignore_errors=True)
            taken.rename(workplace(self.merged))
