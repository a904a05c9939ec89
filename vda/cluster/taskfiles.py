"""What tasks tell in the scene's files, below ``vda_run/cluster``, and what a task is called.

      claims/chunk_003.json   who computes the chunk (``runstate.ChunkClaim``), kept by ``lease``
      tasks/chunk_003.json    what the last task on the chunk tells: a ``TaskRecord``
      staged/<node>.json      the copy of the video on the node's own disk: a ``StagedCopy``

A task's record is written whole by the one task that holds the chunk. This file knows no engine but by the
environment that it gives its tasks.
"""

import hashlib
import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from vda.errors import InputError, SceneError, StorageError, UsageError, VdaError, WorkError
from vda.files import write_json
from vda.records import is_count, read_record
from vda.scene.chunks import Chunk
from vda.scene.runstate import ChunkAttempts, RunFiles, WorkerState, device_slug
from vda.scene.scene import Scene, chunk_windows

TaskPhase = Literal["starting", "waiting", "computing", "paused", "done", "stopped", "failed"]
BY_HAND = "by hand"
# A record is for people, who look now and then.
_TELL_SECONDS = 10.0
NAME_VARIABLE, RESTART_VARIABLE = "VDA_TASK", "VDA_TASK_RESTART"
"""What an engine may call its task, and how often it began it before; SLURM's own variables are known."""


@dataclass(frozen=True)
class TaskName:
    """A task by its engine's words, such as ``slurm 123_3``; ``restart``: how often it was begun before."""

    words: str
    host: str
    restart: int = 0

    @property
    def slug(self) -> str:
        """A part of a log's name, which no other task has."""
        words = self.words if self.words != BY_HAND else f"hand-{self.host}-{os.getpid()}"
        return device_slug(words.replace(" ", "-"))

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "TaskName":
        """What the task is called whose environment this is: its engine's name, SLURM's, or "by hand"."""
        host = environ.get("SLURMD_NODENAME") or platform.node()
        if name := environ.get(NAME_VARIABLE):
            return cls(name, host, _count(environ.get(RESTART_VARIABLE)))
        array, index = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
        job = f"{array}_{index}" if array and index else environ.get("SLURM_JOB_ID")
        if job:
            return cls(f"slurm {job}", host, _count(environ.get("SLURM_RESTART_COUNT")))
        return cls(BY_HAND, host)


@dataclass(frozen=True)
class TaskRecord:
    """What a task tells of its chunk. ``windows`` of ``windows_total`` are on disk.

    ``attempts`` ended without a new window, in a row over all tasks; ``for_good``: another would find the same.
    ``exit`` is the task's exit code, None while it lives. ``log`` is below the scene.
    """

    chunk: int
    task: str
    restart: int
    host: str
    pid: int
    device: str
    phase: TaskPhase
    windows: int
    windows_total: int
    seconds_per_window: float | None = None
    attempts: int = 0
    problem: str = ""
    remedy: str = ""
    for_good: bool = False
    exit: int | None = None
    log: str = ""

    def write(self, scene: Scene) -> None:
        """Replace what the chunk's last task told; nothing that matters is lost with the power."""
        write_json(record_path(scene, self.chunk), asdict(self), durable=False)


def record_path(scene: Scene, chunk: int) -> Path:
    return RunFiles(scene.run_dir).cluster_dir / "tasks" / f"chunk_{chunk:03d}.json"


def read_task(scene: Scene, chunk: int) -> TaskRecord | None:
    """What the last task on ``chunk`` told; None where there was none, or the record is damaged."""
    try:
        return read_record(record_path(scene, chunk), TaskRecord, "It is written again by the next task.")
    except InputError:
        return None


def read_tasks(scene: Scene) -> dict[int, TaskRecord]:
    """What the last tasks told, by chunk."""
    folder = record_path(scene, 0).parent
    names = [path.stem.removeprefix("chunk_") for path in folder.iterdir()] if folder.is_dir() else []
    found = {int(name): read_task(scene, int(name)) for name in sorted(names) if is_count(name)}
    return {chunk: record for chunk, record in found.items() if record is not None}


@dataclass
class TaskTelling:
    """What a task tells of its chunk, as long as it ``owns`` it: now and then, and at each change of phase."""

    scene: Scene
    chunk: Chunk
    name: TaskName
    device: str = ""
    owns: bool = False
    _record: TaskRecord | None = None
    _told: float = 0.0
    _before: tuple[int, int] = (0, 0)
    """Attempts that count against the chunk, and windows on disk, as the task begins."""

    @property
    def log_path(self) -> Path:
        return self.scene.task_log_path(self.chunk.index, self.name.slug)

    def is_whole(self) -> bool:
        """Whether all windows of the chunk are there."""
        return not self.scene.missing_windows(self.chunk)

    def begin(self) -> None:
        """Say that the task has the chunk from now on."""
        earlier, self.owns = read_task(self.scene, self.chunk.index), True
        self._record = self._new()
        self._before = (earlier.attempts if earlier is not None else 0, self._record.windows)
        self._tell(self._record)

    def watch(self, home: RunFiles, *, now: bool = False) -> None:
        """Tell how far it is, by what supervisor and worker say in ``home``."""
        if self._record is None:
            return
        states = [WorkerState.found(files.state_path) for files in home.workers()]
        state = next((state for state in states if state is not None), None)
        phase = _phase(state, is_paused=home.pause_path.exists())
        if phase == self._record.phase and time.monotonic() - self._told < _TELL_SECONDS and not now:
            return
        own = home.read_attempts().get(self.chunk.index, ChunkAttempts())
        attempts, windows = self._before
        there = self._windows()
        self._tell(
            replace(
                self._record,
                phase=phase,
                windows=there,
                attempts=own.attempts + (attempts if there == windows else 0),
                for_good=own.for_good,
                problem=own.error,
                remedy=own.remedy,
                seconds_per_window=state.seconds_per_window
                if state is not None
                else self._record.seconds_per_window,
            )
        )

    def end(self, phase: TaskPhase, code: int, problem: str = "", remedy: str = "") -> None:
        """Tell how the task ended, with the exit code ``code``."""
        if self._record is not None:
            last = replace(self._record, phase=phase, exit=code, problem=problem, remedy=remedy)
            self._tell(replace(last, windows=self._windows(), attempts=0 if phase == "done" else last.attempts))

    def stop(self, code: int, problem: str, remedy: str, *, is_attempt: bool) -> int:
        """Tell that the task was ended before the chunk was whole; return the attempts without a new window."""
        if is_attempt and self._record is not None:
            attempts, windows = self._before
            again = attempts + 1 if self._windows() == windows else 0
            self._record = replace(self._record, attempts=again)
        self.end("stopped", code, problem, remedy)
        return self._record.attempts if is_attempt and self._record is not None else 0

    def fail(self, error: VdaError) -> None:
        """Tell that the task failed with ``error``; of a chunk that another computes that one tells."""
        if self._record is None and self.chunk.index not in RunFiles(self.scene.run_dir).live_claims():
            self.owns, self._record = True, self._new()
        if self._record is not None:
            for_good = self._record.for_good or isinstance(error, InputError | SceneError | UsageError)
            self._record = replace(self._record, for_good=for_good)
            self.end("failed", error.exit_code, error.problem, error.remedy)

    def explained(self, error: WorkError) -> WorkError:
        """The error with what the worker said is to be done, where trying again would find the same."""
        if self._record is None or not self._record.for_good or not self._record.remedy:
            return error
        return WorkError(error.problem, self._record.remedy, error.log, error.tail)

    def _new(self) -> TaskRecord:
        log = str(self.log_path.relative_to(self.scene.root))
        who = self.name.words, self.name.restart, self.name.host, os.getpid(), self.device
        total = len(chunk_windows(self.chunk))
        return TaskRecord(self.chunk.index, *who, "starting", self._windows(), total, log=log)

    def _windows(self) -> int:
        return len(chunk_windows(self.chunk)) - len(self.scene.missing_windows(self.chunk))

    def _tell(self, record: TaskRecord) -> None:
        self._record, self._told = record, time.monotonic()
        if self.owns:
            # A full disk costs the record, and not the work.
            with suppress(StorageError):
                record.write(self.scene)


def _phase(state: WorkerState | None, *, is_paused: bool) -> TaskPhase:
    if is_paused:
        return "paused"
    if state is None:
        return "starting"
    if state.phase == "idle" or state.phase == "ended":
        return "computing"
    return state.phase


def _count(text: str | None) -> int:
    return int(text) if text and is_count(text) else 0


@dataclass(frozen=True)
class StagedCopy:
    """A copy of the video on a node's own disk: the node, the folder there, and whether a task reads it."""

    host: str
    folder: str
    is_read: bool


def note_copy(scene: Scene, folder: Path, *, is_read: bool) -> None:
    """Note that this machine has a copy in ``folder``; ``is_read``: for a task, else for those to come."""
    copy = StagedCopy(TaskName.of(os.environ).host, str(folder), is_read)
    write_json(copy_path(scene, folder), asdict(copy))


def copy_path(scene: Scene, folder: Path) -> Path:
    """Where a copy on this machine is noted: it is one, whatever the engine calls the node."""
    place = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return _copies_dir(scene) / f"{device_slug(platform.node())}-{place}.json"


def _copies_dir(scene: Scene) -> Path:
    return RunFiles(scene.run_dir).cluster_dir / "staged"


def read_copies(scene: Scene) -> dict[Path, StagedCopy]:
    """The copies of the video that nodes have, by the path of their note."""
    found = {}
    for path in sorted(_copies_dir(scene).glob("[!.]*.json")):
        # One that goes in this moment is none.
        with suppress(InputError):
            found[path] = read_record(path, StagedCopy, "Remove that file.")
    return found


def copies_said(copies: Sequence[StagedCopy]) -> str:
    """What to tell of copies that are there while no task is to come."""
    what = "A copy of the video is" if len(copies) == 1 else f"{len(copies)} copies of the video are"
    places = ", ".join(f"{copy.host}:{copy.folder}" for copy in copies)
    return f"{what} left on nodes ({places}). The next task there with --stage-video removes it."
