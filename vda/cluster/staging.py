"""A video on a node's own disk for as long as tasks of that node read it: copied once, whatever their number.

    <place>/vda-staged-<user>/<identity>/
      film.mp4            the copy, whole
      film.mp4.part-…     what has been copied so far, since the machine's start that the name tells
      copying.lock        held by who copies
      users/<number>      held by each task that reads the copy

In: a scene's video, a folder of this machine. Out: a path to read the video from; the shared one where there is no
room. Locks are the kernel's, which the disks of a machine keep. The copy goes with its last reader; after kills
whoever comes next removes what nobody reads, and goes on with a copy that is wanted still.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from vda.errors import NoRoomError, UsageError, VdaError
from vda.files import exclusive_lock, lock_is_held, require_writable, storage_errors
from vda.reporter import Reporter, Silence
from vda.scene.scene import STAGED
from vda.supervisor.holding import is_on_network
from vda.video import VideoInfo, is_same

AUTO: Final = "auto"
# What others on the node need for themselves: a disk that is full to the last byte stops them all.
_LEFT_BYTES: Final = 1 << 30
_PIECE_BYTES: Final = 8 << 20
_LOOK_SECONDS: Final = 0.2


def staging_place(asked: str) -> Path:
    """The folder that ``--stage-video`` names; ``auto`` is what the node gives the job, else for temporary files.

    Raises ``UsageError`` for one that other machines see as well, ``StorageError`` where nothing can be written.
    """
    given = os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir()
    place = Path(given if asked == AUTO else asked)
    if is_on_network(place):
        raise UsageError(
            f"{place} is on a file system of the network, so a copy there would save nothing.",
            "Name a folder on the machine's own disk: --stage-video /local/disk.",
        )
    require_writable(place)
    return place


@contextmanager
def staged(
    info: VideoInfo,
    place: Path,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Path]:
    """Yield where the video is to be read from; workers that this process starts meanwhile read it there.

    Images are read from where they are, and so is a video for which there is no room: that is said.
    """
    reporter = reporter or Silence()
    if info.is_sequence:
        reporter.say("Images are not copied to this machine: they are read from where they are.")
        yield info.path
        return
    root = place / f"vda-staged-{os.getuid()}"
    folder = root / info.sha256_head_tail[:32]
    with ExitStack() as ends:
        try:
            with storage_errors(folder):
                _use(folder, ends)
            _sweep(root, folder)
            copy = _Copy(info, folder, should_stop).there(reporter)
        except VdaError as error:
            reporter.say(f"The video is read from where it is: {error.problem}")
            copy = None
        if copy is None:
            yield info.path
            return
        os.environ[STAGED] = str(copy)
        try:
            yield copy
        finally:
            # Of several readers in one process the first that ends leaves the others the shared file.
            if os.environ.get(STAGED) == str(copy):
                os.environ.pop(STAGED, None)


class _Copy:
    """The copy of one video in its folder."""

    def __init__(self, info: VideoInfo, folder: Path, should_stop: Callable[[], bool]) -> None:
        self._info, self._folder, self._should_stop = info, folder, should_stop
        self._path = folder / f"film{info.path.suffix}"
        # A file that a machine was writing when it went down may have holes.
        self._part = folder / f"{self._path.name}.part-{_boot()}"

    def there(self, reporter: Reporter) -> Path | None:
        """The copy, whole, by this process or another; None where somebody asks for an end.

        Raises ``NoRoomError`` where there is none, ``StorageError`` where it cannot be written.
        """
        while not self._should_stop():
            with exclusive_lock(self._folder / "copying.lock") as had:
                if had and self._is_whole():
                    return self._path
                if had:
                    reporter.say(f"The video is copied to {self._folder}.")
                    return self._path if self._copied() else None
            time.sleep(_LOOK_SECONDS)
        return None

    def _is_whole(self) -> bool:
        return is_same(self._info, self._path)

    def _copied(self) -> bool:
        for other in self._folder.glob("*.part-*"):
            if other != self._part:
                other.unlink()
        self._path.unlink(missing_ok=True)
        self._require_room()
        try:
            with storage_errors(self._part), self._part.open("ab") as target, self._info.path.open("rb") as source:
                source.seek(target.tell())
                while piece := source.read(_PIECE_BYTES):
                    if self._should_stop():
                        return False
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
        except NoRoomError:
            self._part.unlink(missing_ok=True)
            raise
        if not is_same(replace(self._info, path=self._part), self._part):
            self._part.unlink()
            raise UsageError(f"The copy of {self._info.path} is not that video.", "Look whether it changes.")
        with storage_errors(self._path):
            self._part.replace(self._path)
        return True

    def _require_room(self) -> None:
        had = self._part.stat().st_size if self._part.exists() else 0
        needed = self._info.size_bytes - had + _LEFT_BYTES
        if (free := shutil.disk_usage(self._folder).free) < needed:
            self._part.unlink(missing_ok=True)
            raise NoRoomError(
                f"{self._folder} has {free / 1e9:.1f} GB free, and a copy needs {needed / 1e9:.1f} GB.",
                "Free some, or name another folder in --stage-video.",
            )


def _use(folder: Path, ends: ExitStack) -> None:
    """Show that this process reads the copy; when it ends, the last reader removes it."""
    while True:
        name = folder / "users" / uuid.uuid4().hex
        user = ends.enter_context(ExitStack())
        user.enter_context(exclusive_lock(name))
        # Whoever removed the folder in this moment did not see the reader yet.
        if name.exists():
            ends.callback(_leave, folder, name, user)
            return
        user.close()


def _leave(folder: Path, name: Path, user: ExitStack) -> None:
    name.unlink(missing_ok=True)
    user.close()
    _remove_unused(folder)


def _sweep(root: Path, wanted: Path) -> None:
    """Remove what killed tasks left of other videos."""
    for folder in root.iterdir():
        if folder != wanted:
            _remove_unused(folder)


def _remove_unused(folder: Path) -> None:
    """Remove a copy unless somebody reads or makes it; a reader that comes meanwhile begins its folder anew."""
    users = [path for path in (folder / "users").glob("*") if lock_is_held(path)]
    if users:
        return
    with suppress(OSError):
        # Under another name at once: nobody finds half of it.
        gone = folder.with_name(f"{folder.name}.gone-{uuid.uuid4().hex[:8]}")
        folder.rename(gone)
        if any(lock_is_held(path) for path in (gone / "users").glob("*")):
            gone.rename(folder)
            return
        shutil.rmtree(gone, ignore_errors=True)


def _boot() -> str:
    """What tells one start of the machine from another."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    return "0"
