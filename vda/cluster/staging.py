"""A video on a node's own disk for as long as tasks of that node read it: copied once, whatever their number.

    <place>/vda-staged-<user>/<identity>/
      film.mp4            the copy, whole
      film.mp4.part-…     what has been copied so far, since the machine's start that the name tells
      copying.lock        held by who copies
      users/<number>      held by each task that reads the copy
      scenes/<name>       the way to a scene whose tasks read it

In: a scene's video, a folder of this machine. Out: a path to read the video from; the shared one where there is no
room. Locks are the kernel's, which the disks of a machine keep. The copy goes with its last reader, unless chunks
of its scene wait for a task: an engine that has one GPU of a node begins the next task when the last one ends.
Whoever comes next removes what nobody reads or waits for, and goes on with a copy that is wanted still.

Each copy is noted in the scene, below ``vda_run/cluster/staged``. Of those that nobody reads no more are kept than
chunks wait, and what is left at the end is told.
"""

import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vda.cluster.taskfiles import copy_path, note_copy, read_copies
from vda.errors import NoRoomError, UsageError, VdaError
from vda.files import require_writable, storage_errors
from vda.machine.locks import exclusive_lock, lock_is_held
from vda.reporter import Reporter, Silence
from vda.scene.runstate import RunFiles
from vda.scene.scene import STAGED, Scene
from vda.shown import counted
from vda.supervisor.holding import is_on_network
from vda.video import VideoInfo, is_same

AUTO: Final = "auto"
# What others on the node need for themselves: a disk that is full to the last byte stops them all.
_LEFT_BYTES: Final = 1 << 30
_PIECE_BYTES: Final = 8 << 20
_LOOK_SECONDS: Final = 0.2
# A scene whose tasks stay away so long was given up.
_MOST_IDLE_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True)
class Reader:
    """Who reads a copy: a task on ``chunk`` of ``scene``."""

    scene: Scene
    chunk: int


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


def staging_said(scene: Scene) -> str:
    """What copies ask of the shared file system, for whoever weighs it: each node reads the whole video once."""
    info, chunks = scene.video(), len(scene.plan().chunks)
    if info.is_sequence:
        return "Images are not copied to nodes: they are read from where they are."
    size = f"{info.size_bytes / 1e9:.1f} GB" if info.size_bytes >= 1e9 else f"{info.size_bytes / 1e6:.1f} MB"
    of_all = f"for {counted(chunks, 'chunk')} in all"
    return f"Each node with a task copies all of {info.path.name} first: {size}, {of_all}."


@contextmanager
def staged(
    info: VideoInfo,
    place: Path,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    reader: Reader | None = None,
) -> Iterator[Path]:
    """Yield where the video is to be read from; workers that this process starts meanwhile read it there.

    Images are read from where they are, and so is a video for which there is no room: that is said. The copy stays
    for the tasks of the ``reader``'s scene that are to come; without a reader it goes with the last that reads it.
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
                _use(folder, ends, reader)
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


def _use(folder: Path, ends: ExitStack, reader: Reader | None) -> None:
    """Show that this process reads the copy; when it ends, the last reader removes it, or leaves it to others."""
    name = folder / "users" / uuid.uuid4().hex
    user = ends.enter_context(ExitStack())
    user.enter_context(exclusive_lock(name))
    ends.callback(_leave, folder, name, user, reader)
    if reader is not None:
        _write_wish(folder, reader.scene)
        note_copy(reader.scene, folder, is_read=True)


def _leave(folder: Path, name: Path, user: ExitStack, reader: Reader | None) -> None:
    name.unlink(missing_ok=True)
    if not _is_read(folder) and not _is_kept(folder, reader):
        _remove(folder)
    user.close()


def _is_kept(folder: Path, reader: Reader | None) -> bool:
    """Leave the copy to tasks that are to come, and note it; False where none are, or nobody would know of it."""
    scenes = _awaiting(folder, reader)
    try:
        for scene in scenes:
            note_copy(scene, folder, is_read=False)
    except (VdaError, OSError):
        return False
    return bool(scenes)


def sweep(place: Path) -> None:
    """Remove the copies of ``place`` that nobody reads or waits for."""
    _sweep(place / f"vda-staged-{os.getuid()}")


def _sweep(root: Path, wanted: Path | None = None) -> None:
    for folder in root.iterdir() if root.is_dir() else ():
        if folder != wanted:
            _remove_unused(folder)


def _remove_unused(folder: Path) -> None:
    """Remove a copy unless somebody reads, makes or awaits it."""
    if not _is_read(folder) and not _awaiting(folder):
        _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        # Under another name at once: nobody finds half of it.
        gone = folder.with_name(f"{folder.name}.gone-{uuid.uuid4().hex[:8]}")
        folder.rename(gone)
        # A reader that comes meanwhile has its folder back, or begins it anew.
        if _is_read(gone):
            gone.rename(folder)
            return
        scenes = _scenes(gone)
        shutil.rmtree(gone, ignore_errors=True)
        for scene in scenes:
            copy_path(scene, folder).unlink(missing_ok=True)


def _is_read(folder: Path) -> bool:
    # Another that leaves at this moment may remove all of it.
    with suppress(FileNotFoundError):
        return any(lock_is_held(path) for path in (folder / "users").glob("*"))
    return False


def _awaiting(folder: Path, reader: Reader | None = None) -> list[Scene]:
    """The scenes of which tasks are to come that may find the copy; the ``reader`` is one that ends."""
    late = _scenes(folder, time.time() - _MOST_IDLE_SECONDS)
    return [scene for scene in late if _awaits(scene, folder, reader)]


def _awaits(scene: Scene, folder: Path, reader: Reader | None) -> bool:
    files = RunFiles(scene.run_dir)
    if files.stop_path.exists():
        return False
    try:
        begun = set(files.live_claims())
        if reader is not None and reader.scene.key == scene.key:
            begun.discard(reader.chunk)
        waiting = scene.unfinished_chunks(scene.plan()).keys() - begun
    except (VdaError, OSError):
        # A scene that is gone, or cannot be read from here.
        return False
    # Each copy that is kept elsewhere serves one of them.
    mine, known = copy_path(scene, folder), read_copies(scene)
    return len(waiting) > sum(path != mine and not copy.is_read for path, copy in known.items())


def _write_wish(folder: Path, scene: Scene) -> None:
    path = folder / "scenes" / hashlib.sha256(os.fsencode(scene.key)).hexdigest()[:16]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(os.fsencode(scene.key))


def _scenes(folder: Path, since: float = 0.0) -> list[Scene]:
    """The scenes whose tasks read the copy, ``since`` then by this machine's clock."""
    with suppress(FileNotFoundError):
        wishes = [path for path in (folder / "scenes").glob("*") if path.stat().st_mtime >= since]
        return [Scene(Path(os.fsdecode(path.read_bytes()))) for path in wishes]
    return []


def _boot() -> str:
    """What tells one start of the machine from another."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    return "0"
