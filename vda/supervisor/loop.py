"""Observe, decide, act: keeps one worker a device busy until every raw window of some scenes is on disk.

In: planned scenes whose run is fixed, devices, a launcher. Out: the raw windows, written by the workers. All state
is in files (``runstate``), so a supervisor that is started again goes on where the last one was killed, and takes
over workers that still live. It does not know how a window is computed.
"""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from vda.devices import Device
from vda.errors import SceneError, WorkError
from vda.files import exclusive_lock
from vda.launch import Launched, Launcher
from vda.runstate import ChunkAttempts, Holder, Order, RunFiles, WorkerFiles, WorkerSettings, WorkerState
from vda.scene import Scene, WindowId, chunk_windows
from vda.supervisor.decide import (
    Action,
    Bury,
    ChunkId,
    ChunkView,
    DeviceView,
    Finish,
    Give,
    Kill,
    Quit,
    Snapshot,
    Start,
    WorkerView,
    decide,
)

_POLL_SECONDS = 0.1
_PACE_WINDOWS = 5


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, in frames of the merged video. ``frames_before`` were there when it began."""

    frames_total: int
    frames_done: int
    frames_before: int
    seconds: float

    @property
    def frames_per_second(self) -> float:
        return (self.frames_done - self.frames_before) / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        rate = self.frames_per_second
        return (self.frames_total - self.frames_done) / rate if rate > 0 else None


@dataclass
class _Job:
    """One scene of the run: its chunks' windows and what became of them."""

    scene: Scene
    chunks: list[dict[WindowId, int]]
    attempts: dict[int, ChunkAttempts]
    finished: set[WindowId] = field(default_factory=set)

    @classmethod
    def of(cls, scene: Scene) -> "_Job":
        chunks = [{key: len(w.kept) for key, w in chunk_windows(chunk)} for chunk in scene.plan().chunks]
        return cls(scene, chunks, RunFiles(scene.run_dir).read_attempts())

    def views(self) -> list[ChunkView]:
        self.finished = self.scene.finished_windows()
        return [
            ChunkView(
                (self.scene.key, index),
                len(windows),
                len(windows.keys() & self.finished),
                self.attempts.get(index, ChunkAttempts()),
            )
            for index, windows in enumerate(self.chunks)
        ]

    def frames(self, *, done: bool) -> int:
        return sum(n for chunk in self.chunks for key, n in chunk.items() if not done or key in self.finished)


@dataclass
class _Worker:
    """A worker we started (``launched``) or found alive (None), and what we saw of it."""

    files: WorkerFiles
    device: str
    launched: Launched | None
    progressed: float
    order: int = 0
    chunk: ChunkId | None = None
    windows_at_order: int = 0
    killed: bool = False
    progress: tuple[int, int, int] = (0, 0, 0)
    window_times: list[float] = field(default_factory=list)

    def exit_code(self) -> int | None:
        return self.launched.exit_code() if self.launched else None

    def is_alive(self) -> bool:
        return self.exit_code() is None if self.launched else self.files.is_alive()

    def view(self, now: float) -> WorkerView:
        """Look at the worker; ``alive`` is read before its state, so that a last word is never missed."""
        alive = self.is_alive()
        state = WorkerState.read(self.files.state_path)
        if state is not None and state.progress != self.progress:
            if state.windows_done > self.progress[2]:
                self.window_times = [*self.window_times[-_PACE_WINDOWS:], now]
            self.progress, self.progressed = state.progress, now
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

    def seconds_per_window(self) -> float | None:
        times = self.window_times
        return median(b - a for a, b in pairwise(times)) if len(times) > 1 else None


@dataclass
class Supervisor:
    """``threads`` and ``batch_size`` are each worker's; ``retries`` as in ``--retries``; ``clock`` in seconds."""

    scenes: list[Scene]
    devices: list[Device]
    launcher: Launcher
    threads: int
    batch_size: int = 0
    retries: int = 3
    on_progress: Callable[[RunProgress], None] = lambda progress: None
    clock: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep

    def run(self) -> None:
        """Compute all that is missing.

        Raises ``SceneError`` where another supervisor holds a scene, ``WorkError`` naming what is missing at the
        end, with the log of the last worker that failed at it.
        """
        self._home = RunFiles(self.scenes[0].run_dir)
        self._workers: dict[str, _Worker] = {}
        self._views = {device.id: DeviceView(device.id) for device in self.devices}
        with ExitStack() as locks:
            for scene in self.scenes:
                self._hold(scene, locks)
            self._jobs = {scene.key: _Job.of(scene) for scene in self.scenes}
            self._adopt()
            self._loop()
        self._check_complete()

    def _hold(self, scene: Scene, locks: ExitStack) -> None:
        files = RunFiles(scene.run_dir)
        if not locks.enter_context(exclusive_lock(files.supervisor_lock)):
            holder = files.holder()
            who = f"process {holder.pid} on {holder.host}" if holder else "another process"
            raise SceneError(
                f"{scene.root} is already being computed by {who}.",
                f"Watch it with 'vda status {scene.root}', or end it with 'vda stop {scene.root}'.",
            )
        files.stop_path.unlink(missing_ok=True)
        Holder.this_process(self._home.folder).write(files.holder_path)

    def _adopt(self) -> None:
        """Take over workers that outlived an earlier supervisor of this run."""
        for files in self._home.workers():
            settings = WorkerSettings.read(files.settings_path)
            if settings is None or not files.is_alive():
                continue
            order = Order.read(files.order_path) or Order(0)
            worker = _Worker(files, settings.device, None, self.clock(), order.number)
            if order.scene in self._jobs and not order.is_quit:
                worker.chunk = (order.scene, order.chunk)
                worker.windows_at_order = self._chunk_view(worker.chunk).windows_done
            self._workers[files.name] = worker
            self._views.setdefault(settings.device, DeviceView(settings.device))

    def _loop(self) -> None:
        began, before = self.clock(), None
        while True:
            seen = self._observe()
            done = sum(job.frames(done=True) for job in self._jobs.values())
            before = done if before is None else before
            total = sum(job.frames(done=False) for job in self._jobs.values())
            self.on_progress(RunProgress(total, done, before, self.clock() - began))
            actions = decide(seen)
            if any(isinstance(action, Finish) for action in actions):
                return
            for action in actions:
                self._act(action)
            if not actions:
                self.wait(_POLL_SECONDS)

    def _observe(self) -> Snapshot:
        now = self.clock()
        workers = tuple(worker.view(now) for worker in self._workers.values())
        for worker in self._workers.values():
            if (pace := worker.seconds_per_window()) is not None:
                view = self._views[worker.device]
                self._views[worker.device] = replace(view, seconds_per_window=pace, failed=())
        # Chunks are read after the workers: a worker seen as idle has its last window on disk by then.
        chunks = tuple(view for job in self._jobs.values() for view in job.views())
        stop = any(RunFiles(scene.run_dir).stop_path.exists() for scene in self.scenes)
        return Snapshot(now, chunks, workers, tuple(self._views.values()), self.retries, stop)

    def _act(self, action: Action) -> None:
        if isinstance(action, Start):
            self._start(action.device)
        elif isinstance(action, Give):
            worker = self._workers[action.worker]
            worker.chunk = action.chunk
            worker.windows_at_order = self._chunk_view(action.chunk).windows_done
            self._order(worker, Order(worker.order + 1, *action.chunk))
        elif isinstance(action, Quit):
            self._order(self._workers[action.worker], Order(self._workers[action.worker].order + 1))
        elif isinstance(action, Kill):
            self._kill(self._workers[action.worker])
        elif isinstance(action, Bury):
            self._bury(action)

    def _start(self, device_id: str) -> None:
        device = next(device for device in self.devices if device.id == device_id)
        files = self._home.worker(re.sub(r"[^\w-]", "-", device_id))
        for leftover in (files.order_path, files.state_path):
            leftover.unlink(missing_ok=True)
        WorkerSettings(device_id, self.threads, self.batch_size).write(files.settings_path)
        launched = self.launcher.start(self._home.folder, files.name, files.log_path, device.environment())
        self._workers[files.name] = _Worker(files, device_id, launched, self.clock())

    def _order(self, worker: _Worker, order: Order) -> None:
        worker.order, worker.progressed = order.number, self.clock()
        order.write(worker.files.order_path)
        if order.is_quit:
            worker.chunk = None

    def _kill(self, worker: _Worker) -> None:
        worker.killed = True
        if worker.launched is not None:
            worker.launched.kill()

    def _bury(self, action: Bury) -> None:
        del self._workers[action.worker]
        self._views[action.device.id] = action.device
        if action.chunk is not None and action.attempts is not None:
            root, chunk = action.chunk
            job = self._jobs[root]
            job.attempts[chunk] = action.attempts
            RunFiles(job.scene.run_dir).write_attempts(job.attempts)

    def _chunk_view(self, chunk: ChunkId) -> ChunkView:
        return self._jobs[chunk[0]].views()[chunk[1]]

    def _check_complete(self) -> None:
        missing = [view for job in self._jobs.values() for view in job.views() if view.left]
        if not missing:
            return
        failed = [view for view in missing if view.attempts.error]
        names = ", ".join(f"chunk {view.id[1]} ({view.left} of {view.windows} windows)" for view in missing)
        why = f" The last error: {failed[-1].attempts.error}" if failed else ""
        worker = self._home.worker(re.sub(r"[^\w-]", "-", failed[-1].attempts.device)) if failed else None
        raise WorkError(
            f"Not everything was computed; missing: {names}.{why}",
            "Run the same command again: it tries just what is missing.",
            log=worker.log_path if worker else None,
            tail=worker.log_tail() if worker else "",
        )
