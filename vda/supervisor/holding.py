"""One supervisor a scene: a lock that the kernel releases, and on a network file system a lease as well.

A kernel's lock ends with its process, whatever ends it. Some network file systems keep locks to one machine; there
the holder's file is renewed every few seconds, and whoever finds it fresh, from another machine, stays away.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from vda.errors import SceneError, StorageError, VdaError
from vda.files import TEMPORARY_PREFIX, modified, never_made_anew, server_time
from vda.machine.locks import exclusive_lock, require_kept
from vda.scene.runstate import Holder, RunFiles
from vda.scene.scene import Scene
from vda.shown import quoted
from vda.supervisor.crew import Member

# Five renewals may fail on a busy file server before another machine takes the scene.
_RENEW_SECONDS = 10.0
_LEASE_SECONDS = 60.0
# No write takes as long: what another machine writes at the moment is younger.
_WRITING_SECONDS = 600.0
# Time for a window in hand of a large model on a CPU; what takes longer is killed.
_ENDING_SECONDS = 120.0
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "ceph", "lustre", "gpfs", "beegfs", "fuse.")


@dataclass
class Held:
    """Scenes that are ours. ``is_new``: the run before ended by itself, so a person starts this one anew."""

    scenes: list[Scene]
    holder: Holder
    is_new: bool
    _renewed: float = field(default=0.0)

    def renew(self, now: float) -> None:
        """Show that the holder lives, for machines that do not see its lock."""
        if now - self._renewed >= _RENEW_SECONDS:
            self._renewed = now
            for scene in self.scenes:
                # It may be gone since the last look; the next one says so.
                with suppress(FileNotFoundError):
                    os.utime(RunFiles(scene.run_dir).holder_path)

    def end(self) -> None:
        """Write down that the run ended by itself; unless ``--restart`` removed the state meanwhile.

        A request to stop was for this run; tasks of a cluster would take it for theirs.
        """
        for scene in self.scenes:
            if scene.run_dir.is_dir():
                RunFiles(scene.run_dir).stop_path.unlink(missing_ok=True)
                replace(self.holder, ended=time.time()).write(RunFiles(scene.run_dir).holder_path)

    def files(self, scene: Scene) -> RunFiles:
        """Where it is kept how often chunks of ``scene`` were tried."""
        return RunFiles(scene.run_dir)

    def sweep(self) -> None:
        """Remove what killed writers left; only while no worker of ours lives.

        Where tasks have claims, what is young stays: another machine may be writing it.
        """
        for scene in self.scenes:
            folders = [folder for folder in (scene.windows_dir, scene.run_dir) if folder.is_dir()]
            spared = RunFiles(scene.run_dir).claimed_chunks()
            before = server_time(scene.run_dir) - _WRITING_SECONDS if spared else float("inf")
            for leftover in (path for folder in folders for path in folder.glob(f"{TEMPORARY_PREFIX}*")):
                with suppress(FileNotFoundError):
                    if modified(leftover) < before:
                        leftover.unlink()

    def log(self, line: str) -> None:
        """Add ``line`` to ``supervisor.log`` of the run's home. A full disk costs the line, and not the work."""
        log = self.scenes[0].logs_dir / "supervisor.log"
        with suppress(OSError):
            log.parent.mkdir(exist_ok=True)
            with log.open("a", errors="backslashreplace") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} pid {os.getpid()}: {line}\n")

    def require_there(self) -> None:
        """Raise ``SceneError`` where a scene is no longer where it was: writing would begin it anew.

        ``StorageError`` where workers would not see that they are supervised.
        """
        for scene in self.scenes:
            require_in_place(scene, RunFiles(scene.run_dir).holder_path)
        require_seen(RunFiles(Path(self.holder.home)))


def require_in_place(scene: Scene, file: Path) -> None:
    """Raise ``SceneError`` where ``file``, which was in ``scene`` as it was begun, is gone."""
    if not file.exists():
        raise SceneError(
            f"The scene {scene.root} is gone: it was moved, renamed or removed while it was computed.",
            "Give the same command with the scene's new path; what was finished goes with it.",
        )


def require_seen(home: RunFiles) -> None:
    """Raise ``StorageError`` where the lock of ``home`` is gone: each worker would end as it begins, for ever."""
    if not home.is_supervised():
        raise StorageError(
            f"{home.supervisor_lock} was removed or lost its lock while it was in use.",
            "Give the same command again, where nothing tidies up beside it: what was finished is kept.",
        )


def hold(
    scenes: list[Scene],
    locks: ExitStack,
    on_network: Callable[[Path], bool] | None = None,
    apart: dict[Scene, VdaError] | None = None,
) -> Held:
    """Take every scene's lock into ``locks``; raise ``SceneError`` naming the holder where one is taken.

    With ``apart`` such scenes are noted there, and the others are held.
    """
    before: dict[Scene, Holder | None] = {}
    for scene in scenes:
        try:
            before[scene] = _take(scene, locks, on_network or is_on_network)
        except SceneError as error:
            if apart is None:
                raise
            apart[scene] = error
    scenes = list(before)
    if not scenes:
        return Held([], Holder.this_process(Path()), True)
    holder = Holder.this_process(RunFiles(scenes[0].run_dir).folder)
    is_new = True
    for scene, earlier in before.items():
        files = RunFiles(scene.run_dir)
        ended = earlier is None or earlier.ended > 0
        is_new = is_new and ended
        # A supervisor that died before it could stop leaves the request to the one that replaces it.
        if ended:
            files.stop_path.unlink(missing_ok=True)
        holder.write(files.holder_path)
        locks.enter_context(never_made_anew(scene.root))
    held = Held(scenes, holder, is_new)
    locks.callback(held.end)
    return held


def _take(scene: Scene, locks: ExitStack, on_network: Callable[[Path], bool]) -> Holder | None:
    """Take the lock of one scene; return who had it before."""
    files = RunFiles(scene.run_dir)
    # Locks of open files end at the machine, so on a network file system the holder's lease counts as well.
    had = locks.enter_context(exclusive_lock(files.supervisor_lock))
    before = files.holder()
    if not had or (before and on_network(files.folder) and _is_leased(files, before)):
        raise _taken(scene, before)
    # Workers are seen to live by their locks: without them, each would be taken for dead as it starts, for ever.
    require_kept(files.supervisor_lock)
    files.require_unclaimed()
    return before


def require_free(scene: Scene) -> None:
    """Raise ``SceneError`` where a supervisor holds the scene, or a task a chunk of it. Nothing is taken."""
    require_unsupervised(scene)
    scene.require_unclaimed()


def require_unsupervised(scene: Scene) -> None:
    """Raise ``SceneError`` where a supervisor, on this machine or another, holds the scene."""
    files = RunFiles(scene.run_dir)
    holder = files.holder()
    is_leased = holder is not None and is_on_network(files.folder) and _is_leased(files, holder)
    if files.is_supervised() or is_leased:
        raise _taken(scene, holder)


def make_free(scene: Scene) -> None:
    """Wait for the workers of a killed run to end, before what they work on is thrown away.

    Nobody supervises them, so they end after the window in hand; one that does not is killed. Raises
    ``SceneError`` where a supervisor holds the scene.
    """
    require_free(scene)
    files = RunFiles(scene.run_dir)
    members = [Member(worker, "", None, 0.0) for worker in files.home().workers()]
    deadline = time.monotonic() + _ENDING_SECONDS
    while living := [member for member in members if member.is_alive() and not member.killed]:
        if time.monotonic() > deadline:
            for member in living:
                member.kill(time.time())
        time.sleep(0.1)


def is_on_network(folder: Path) -> bool:
    """Whether ``folder`` is on a file system that other machines may write as well."""
    path = str(folder.resolve())
    mounts = [part for part in psutil.disk_partitions(all=True) if _is_inside(path, part.mountpoint)]
    # The innermost mount is the one that counts.
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
    return kind.startswith(_NETWORK_FILE_SYSTEMS)


def _is_inside(path: str, mountpoint: str) -> bool:
    return path == mountpoint or path.startswith(mountpoint.rstrip("/") + "/")


def _is_leased(files: RunFiles, holder: Holder) -> bool:
    """Whether another machine's supervisor showed itself lately, by the file server's clock."""
    if holder.ended or holder.host == platform.node():
        return False
    try:
        now = server_time(files.folder)
    except StorageError:
        # Who may only look has no other clock than this machine's.
        now = time.time()
    return now - modified(files.holder_path) < _LEASE_SECONDS


def _taken(scene: Scene, holder: Holder | None) -> SceneError:
    who = f"process {holder.pid} on {holder.host}" if holder else "another process"
    return SceneError(
        f"{scene.root} is already being computed by {who}.",
        f"Watch it with 'vda status {quoted(scene.root)}', or end it with 'vda stop {quoted(scene.root)}'.",
    )
