"""The files of a run, ``vda_run/``: what supervisor and workers tell each other, and what anybody may read.

      supervisor.lock            held by the supervisor as long as it lives
      holder.json                who that is: pid, host, since when, and the run's home (supervisor)
      stop                       somebody asks the run to end cleanly
      chunk_003.lock             held by the worker that computes the chunk: never two at once
      attempts.json              what failed where, and what is set aside (supervisor)
      workers/<name>/order.json  the chunk to compute next (supervisor)
      workers/<name>/state.json  heartbeat with counters of progress (worker)
      workers/<name>/alive.lock  held by the worker as long as it lives
      workers/<name>/worker.log  all that the worker's process prints

A run over several scenes has its home in the first; the others' ``holder.json`` says where that is. This file
knows neither how work is shared out nor how it is done.
"""

import os
import platform
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from vda.files import lock_is_held, read_json, write_json

Phase = Literal["starting", "idle", "computing", "ended"]
Outcome = Literal["", "done", "failed", "stopped"]

_TAIL_LINES = 12


class _Record:
    """A dataclass kept as one JSON file; unknown keys of a newer writer are ignored."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the record; None where there is none yet."""
        if not path.is_file():
            return None
        values = read_json(path)
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})  # type: ignore[arg-type]

    def write(self, path: Path) -> None:
        write_json(path, asdict(self), durable=False)  # type: ignore[call-overload]


@dataclass(frozen=True)
class WorkerSettings(_Record):
    """What a worker is started with: a device's id, CPU threads, micro-batch (0: by memory)."""

    device: str
    threads: int
    batch_size: int = 0


@dataclass(frozen=True)
class Order(_Record):
    """Order ``number``: compute ``chunk`` of ``scene``, or quit where ``chunk`` is -1. Numbers only grow."""

    number: int
    scene: str = ""
    chunk: int = -1

    @property
    def is_quit(self) -> bool:
        return self.chunk < 0


@dataclass(frozen=True)
class WorkerState(_Record):
    """A worker's heartbeat. ``order`` is the last one taken up, ``outcome`` its end (empty while it lasts)."""

    name: str
    device: str
    pid: int
    phase: Phase = "starting"
    order: int = 0
    outcome: Outcome = ""
    scene: str = ""
    chunk: int = -1
    frames_decoded: int = 0
    batches_done: int = 0
    windows_done: int = 0
    problem: str = ""
    remedy: str = ""
    peak_memory_bytes: int = 0
    time: float = 0.0

    @property
    def progress(self) -> tuple[int, int, int]:
        return self.frames_decoded, self.batches_done, self.windows_done


@dataclass(frozen=True)
class ChunkAttempts(_Record):
    """What became of a chunk so far. ``attempts``: in a row without a finished window."""

    attempts: int = 0
    not_before: float = 0.0
    failed_devices: tuple[str, ...] = ()
    set_aside: bool = False
    error: str = ""
    device: str = ""


@dataclass(frozen=True)
class Holder(_Record):
    """Who supervises a scene. ``home`` is the ``vda_run`` folder in which the workers' files are."""

    pid: int
    host: str
    since: float
    home: str

    @classmethod
    def this_process(cls, home: Path) -> "Holder":
        return cls(os.getpid(), platform.node(), time.time(), str(home.resolve()))


@dataclass(frozen=True)
class WorkerFiles:
    """The folder of one worker below a run's home."""

    home: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.home / "workers" / self.name

    @property
    def settings_path(self) -> Path:
        return self.folder / "settings.json"

    @property
    def order_path(self) -> Path:
        return self.folder / "order.json"

    @property
    def state_path(self) -> Path:
        return self.folder / "state.json"

    @property
    def alive_lock(self) -> Path:
        return self.folder / "alive.lock"

    @property
    def log_path(self) -> Path:
        return self.folder / "worker.log"

    def is_alive(self) -> bool:
        return lock_is_held(self.alive_lock)

    def log_tail(self) -> str:
        """The log's last lines; empty where there is none."""
        if not self.log_path.is_file():
            return ""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


@dataclass(frozen=True)
class RunFiles:
    """The folder ``vda_run`` of one scene."""

    folder: Path

    @property
    def supervisor_lock(self) -> Path:
        return self.folder / "supervisor.lock"

    @property
    def holder_path(self) -> Path:
        return self.folder / "holder.json"

    @property
    def stop_path(self) -> Path:
        return self.folder / "stop"

    @property
    def attempts_path(self) -> Path:
        return self.folder / "attempts.json"

    def chunk_lock(self, chunk: int) -> Path:
        return self.folder / f"chunk_{chunk:03d}.lock"

    def worker(self, name: str) -> WorkerFiles:
        return WorkerFiles(self.folder, name)

    def workers(self) -> list[WorkerFiles]:
        """The workers that ever had files here, by name."""
        folder = self.folder / "workers"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [self.worker(name) for name in names]

    def is_supervised(self) -> bool:
        return lock_is_held(self.supervisor_lock)

    def holder(self) -> Holder | None:
        return Holder.read(self.holder_path)

    def home(self) -> "RunFiles":
        """Where the workers of the scene's present or last run have their files."""
        holder = self.holder()
        return RunFiles(Path(holder.home)) if holder else self

    def read_attempts(self) -> dict[int, ChunkAttempts]:
        if not self.attempts_path.is_file():
            return {}
        record: dict[str, Any] = read_json(self.attempts_path)
        return {
            int(chunk): replace(ChunkAttempts(**entry), failed_devices=tuple(entry["failed_devices"]))
            for chunk, entry in record.items()
        }

    def write_attempts(self, attempts: dict[int, ChunkAttempts]) -> None:
        write_json(self.attempts_path, {str(chunk): asdict(entry) for chunk, entry in attempts.items()})
