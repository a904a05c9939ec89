"""The workers of a run: starting them, finding those that outlived a supervisor, looking at them, ending them.

A worker is known by its files and its process; what it should do is not known here.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from vda.launch import Launched, Launcher
from vda.machine.devices import Device
from vda.machine.locks import exclusive_lock
from vda.scene.runstate import AT_WORK, Order, RunFiles, WorkerFiles, WorkerSettings, WorkerState, device_slug
from vda.scene.scene import Scene
from vda.supervisor.seen import ChunkId, WorkerView

# A worker that waits or is paused moves no counter; but its heartbeat tells that it is not stopped itself.
_FRESH_SECONDS = 60.0
# The kernel counts from the start of the machine; as a time of day that moves a little when the clock is set.
_SAME_START_SECONDS = 2.0


@dataclass
class Member:
    """A worker we started (``launched``) or found alive (None), and what we saw of it."""

    files: WorkerFiles
    device: str
    launched: Launched | None
    progressed: float
    order: int = 0
    chunk: ChunkId | None = None
    windows_at_order: int = 0
    killed: float | None = None
    progress: tuple[int, int, int] = (0, 0, 0)
    peak_memory_bytes: int = 0
    seconds_per_window: float | None = None
    is_at_work: bool = False

    def is_alive(self) -> bool:
        return self.exit_code() is None if self.launched else self.files.is_alive()

    def exit_code(self) -> int | None:
        return self.launched.exit_code() if self.launched else None

    def view(self, now: float) -> WorkerView:
        """Look at the worker; ``alive`` is read before its state, so that a last word is never missed."""
        alive = self.is_alive()
        state = WorkerState.read(self.files.state_path)
        if state is not None:
            self._notice(state, now)
        return WorkerView(
            self.files.name,
            self.device,
            alive,
            self.exit_code(),
            state,
            self.order,
            self.chunk,
            self.windows_at_order,
            self.progressed,
            self.killed,
        )

    def _notice(self, state: WorkerState, now: float) -> None:
        self.peak_memory_bytes = max(self.peak_memory_bytes, state.peak_memory_bytes)
        self.seconds_per_window, self.is_at_work = state.seconds_per_window, state.phase in AT_WORK
        if state.phase in ("waiting", "paused"):
            self.progressed = max(self.progressed, min(now, state.time + _FRESH_SECONDS))
        if state.progress == self.progress:
            return
        self.progress, self.progressed = state.progress, now

    def give(self, order: Order, now: float) -> None:
        order.write(self.files.order_path)
        self.order, self.progressed = order.number, now
        self.chunk = None if order.is_quit else (order.scene, order.chunk)

    def kill(self, now: float) -> None:
        """End the process; one that was adopted is ended only if it is still the one that wrote the state."""
        self.killed = now
        if self.launched is not None:
            self.launched.kill()
            return
        state = WorkerState.read(self.files.state_path)
        if state is None:
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(state.pid)
            if abs(process.create_time() - state.process_started) < _SAME_START_SECONDS:
                process.kill()

    def forget(self) -> None:
        """Remove the files of a worker that is gone."""
        shutil.rmtree(self.files.folder, ignore_errors=True)


@dataclass(frozen=True)
class Crew:
    """Starts workers with ``launcher``; their files and what they print are in ``scene``, the first of the run.

    ``threads``, ``batch_size`` and ``decoder`` are each worker's. A task of a cluster has its files
    ``apart``, on the machine's own disk, and a ``log`` of its own.
    """

    scene: Scene
    launcher: Launcher
    threads: int
    batch_size: int = 0
    decoder: Literal["cpu", "gpu"] = "cpu"
    apart: RunFiles | None = None
    log: Path | None = None

    @property
    def home(self) -> RunFiles:
        return self.apart or RunFiles(self.scene.run_dir)

    def log_path(self, device: str) -> Path:
        """What workers on ``device`` print."""
        return self.log or self.scene.device_log_path(device_slug(device))

    def start(self, device: Device, now: float) -> Member:
        files = self.new_files(device)
        launched = self.launch(files, device)
        return Member(files, device.id, launched, now)

    def new_files(self, device: Device) -> WorkerFiles:
        """The files of a worker to come, under a name that no other had."""
        return self.home.worker(f"{device_slug(device.id)}-{uuid.uuid4().hex[:8]}")

    def launch(self, files: WorkerFiles, device: Device, *, trial: bool = False) -> Launched:
        is_apart = self.apart is not None
        settings = WorkerSettings(device.id, self.threads, self.batch_size, trial, is_apart, self.decoder)
        settings.write(files.settings_path)
        return self.launcher.start(self.home.folder, files.name, self.log_path(device.id), device.environment())

    def adopt(self, now: float) -> Iterator[Member]:
        """Find the workers that outlived an earlier supervisor; the files of the others are removed.

        Whoever is on its way, but has not taken its lock yet, finds its settings gone and ends.
        """
        for files in self.home.workers():
            settings = WorkerSettings.read(files.settings_path)
            with exclusive_lock(files.alive_lock) as is_dead:
                if is_dead:
                    shutil.rmtree(files.folder, ignore_errors=True)
            if is_dead or settings is None:
                continue
            order = Order.read(files.order_path) or Order(0)
            chunk = None if order.is_quit else (order.scene, order.chunk)
            yield Member(files, settings.device, None, now, order.number, chunk)
