"""A worker: one process on one device that computes the chunks it is ordered to.

In: orders. Out: a heartbeat with counters of progress, and what happens as events; the raw windows are
``chunk``'s. It loads the model once and ends by itself once no supervisor holds the run any more. It does not know
which other workers there are, nor how chunks are shared out; the same functions serve a run inside the calling
process.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil

from vda.compute.chunk import Surroundings, compute_chunk
from vda.compute.computer import Computer, load_computer, run_files
from vda.errors import FileSizeError, InputError, NoRoomError, SceneError, StorageError, UsageError, VdaError
from vda.files import never_made_anew
from vda.machine.locks import exclusive_lock
from vda.machine.shortage import is_out_of_memory, memory_error
from vda.scene.events import ChunkEnded, Event, EventLog, WindowComputed
from vda.scene.runstate import (
    EXIT_FILE_SIZE,
    EXIT_NO_ROOM,
    Order,
    Pause,
    Phase,
    RunFiles,
    WorkerFiles,
    WorkerSettings,
    WorkerState,
)
from vda.scene.scene import Scene

if TYPE_CHECKING:
    from vda.compute.engine import Engine

# A beat is good for a minute (supervisor/crew): many may be late on a slow file system.
_HEARTBEAT_SECONDS = 1.0
# Of files that are wrong, which only a person mends.
_FOR_GOOD = (InputError, SceneError, UsageError)
# Their median is a device's pace: a single window that waited for a busy disk does not move it.
_PACE_WINDOWS = 5
# Between two chunks, of minutes each, this does not show.
_POLL_SECONDS = 0.05
# The first order is there before the process is: long enough for a slow file system to show it.
_FIRST_ORDER_SECONDS = 30.0
EXIT_FAILED = 1
# As if it used half of all memory more than it does (proc_pid_oom_score_adj(5)).
_OOM_SCORE_ADJ = 500


@dataclass
class Heartbeat:
    """Writes the worker's state, with the engine's counters, every second and whenever it changes."""

    files: WorkerFiles
    state: WorkerState
    engine: "Engine | None" = None
    _changing: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def set(self, **changes: object) -> None:
        """Change the state and write it at once."""
        with self._changing:
            self.state = replace(self.state, **changes)  # type: ignore[arg-type]
            self._write()

    def beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT_SECONDS):
            with self._changing:
                self._write()

    def end(self) -> None:
        self._ended.set()

    def _write(self) -> None:
        if self.engine is not None:
            self.state = replace(self.state, **vars(self.engine.progress))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.state = replace(self.state, peak_memory_bytes=peak, time=time.time())
        try:
            self.state.write(self.files.state_path)
        except StorageError as error:
            # A full disk is no reason to stop computing; the next beat may find room. The log has it, if it can.
            with suppress(OSError):
                sys.stderr.write(f"no heartbeat: {error.problem}\n")


def serve(files: WorkerFiles, is_supervised: Callable[[], bool]) -> int:
    """Take orders until told to quit or until nobody supervises; return the process's exit code."""
    try:
        return _serve(files, is_supervised)
    except NoRoomError:
        return EXIT_NO_ROOM
    except FileSizeError:
        return EXIT_FILE_SIZE


def _serve(files: WorkerFiles, is_supervised: Callable[[], bool]) -> int:
    with never_made_anew(files.home.parent), exclusive_lock(files.alive_lock) as ours:
        settings = WorkerSettings.read(files.settings_path)
        # Without settings: a new supervisor came while this process was on its way, and expects it no more.
        if not ours or settings is None:
            return EXIT_FAILED
        if settings.apart:
            _leave_signals_to_the_task()
        if settings.trial:
            from vda.compute.trial import run_trial

            return run_trial(files, settings)
        started = psutil.Process().create_time()
        heart = Heartbeat(files, WorkerState(files.name, settings.device, os.getpid(), started))
        heart.set()
        beating = threading.Thread(target=heart.beat, name="heartbeat", daemon=True)
        beating.start()
        try:
            return _Orders(files, settings, heart, is_supervised).follow()
        finally:
            heart.set(phase="ended")
            heart.end()
            beating.join()


@dataclass
class _Orders:
    """Follows orders one by one; a failed one ends the process, for a device's state is then unknown."""

    files: WorkerFiles
    settings: WorkerSettings
    heart: Heartbeat
    is_supervised: Callable[[], bool]
    _computer: Computer | None = None
    _last_s: deque[float] = field(default_factory=lambda: deque(maxlen=_PACE_WINDOWS))
    """What the last windows took, in seconds."""

    def follow(self) -> int:
        came = time.monotonic()
        while self.is_supervised():
            order = Order.read(self.files.order_path)
            if order is None or order.number <= self.heart.state.order:
                # The first order is there before the process is; without one, its supervisor died meanwhile.
                if order is None and time.monotonic() - came > _FIRST_ORDER_SECONDS:
                    break
                time.sleep(_POLL_SECONDS)
                continue
            if order.is_quit:
                break
            self._obey(order)
        return 0

    def _obey(self, order: Order) -> None:
        scene = Scene(Path(order.scene))
        # A last word of an order before this one must not be taken for this one's.
        self.heart.set(
            phase="starting", order=order.number, outcome="", problem="", scene=order.scene, chunk=order.chunk
        )
        log = EventLog(scene, order.chunk, self.settings.device, self.settings.apart)
        began = time.monotonic()
        try:
            with never_made_anew(scene.root):
                lock = self._run(scene).chunk_lock(order.chunk, order.lock)
                computer, around = self._load(scene), self._surroundings(scene, log)
                outcome = compute_chunk(scene, order.chunk, computer, around, lock=lock)
        except Exception as error:
            problem, remedy = _in_words(error)
            log.note(ChunkEnded("failed", time.monotonic() - began, problem))
            for_good = isinstance(error, _FOR_GOOD)
            self.heart.set(outcome="failed", problem=problem, remedy=remedy, for_good=for_good)
            raise
        log.note(ChunkEnded(outcome, time.monotonic() - began))
        self.heart.set(phase="idle", outcome=outcome)

    def _surroundings(self, scene: Scene, log: EventLog) -> Surroundings:
        run, home = RunFiles(scene.run_dir), RunFiles(self.files.home)

        def phase(name: Phase) -> None:
            self.heart.set(phase=name)

        def pause_reason() -> str:
            pause = Pause.read(home.pause_path)
            return pause.reason if pause else ""

        def should_stop() -> bool:
            return run.stop_path.exists() or home.stop_path.exists() or not self.is_supervised()

        def note(event: Event) -> None:
            log.note(event)
            if isinstance(event, WindowComputed):
                self._last_s.append(event.seconds)
                self.heart.set(seconds_per_window=median(self._last_s))

        return Surroundings(should_stop, pause_reason, note, phase)

    def _run(self, scene: Scene) -> RunFiles:
        return run_files(scene, self.files, self.settings)

    def _load(self, scene: Scene) -> Computer:
        """The model of ``scene`` on the device; the one at hand if it is the same."""
        record = scene.run_record()
        assert record is not None, "a run is written before its first chunk is ordered"
        if self._computer is None or self._computer.record.network != record.network:
            self._computer = None
            self._last_s.clear()
            settings = self.settings
            self._computer = load_computer(
                record,
                self._run(scene),
                settings.device,
                settings.threads,
                settings.batch_size,
                settings.decoder,
            )
            self.heart.engine = self._computer.engine
        self._computer.record = record
        return self._computer


def _leave_signals_to_the_task() -> None:
    """A scheduler signals all processes of a job; the task's first has its worker end after the window in hand."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)


def _in_words(error: Exception) -> tuple[str, str]:
    """What is wrong and what to do about it; of errors that nobody foresaw the type, and nothing to do."""
    if not isinstance(error, VdaError) and is_out_of_memory(error):
        error = memory_error(error)
    if isinstance(error, VdaError):
        return error.problem, error.remedy
    return f"{type(error).__name__}: {error}", ""


def main(arguments: list[str]) -> int:
    """``python -m vda.compute.worker HOME NAME``: serve from the run's folder HOME under the name NAME."""
    import cv2

    # Frames are prepared in threads of ours already: OpenCV's own would only wait for each other.
    cv2.setNumThreads(1)
    home = Path(arguments[0])
    return serve(RunFiles(home).worker(arguments[1]), RunFiles(home).is_supervised)


def _go_first() -> None:
    """Ask the kernel's memory killer to take this process before its supervisor, which can say what happened."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE_ADJ))


if __name__ == "__main__":
    _go_first()
    sys.exit(main(sys.argv[1:]))
