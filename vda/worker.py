"""A worker: one process on one device that computes the chunks it is ordered to, window by window.

In: orders. Out: raw windows, a heartbeat with counters of progress, a log. It loads the model once, takes up where
the windows on disk end, and ends by itself once no supervisor holds the run any more. It does not know which other
workers there are, nor how chunks are shared out; the same functions serve a run inside the calling process.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from vda.errors import VdaError, WorkError
from vda.files import exclusive_lock
from vda.rawwindows import write_raw_window
from vda.runstate import Order, Outcome, RunFiles, WorkerFiles, WorkerSettings, WorkerState
from vda.scene import RunRecord, Scene
from vda.video import FrameIndex, VideoInfo, read_frames

if TYPE_CHECKING:
    from vda.engine import Engine, FrameSource, Picture

_HEARTBEAT_SECONDS = 1.0
_POLL_SECONDS = 0.05
EXIT_FAILED = 1


def load_engine(record: RunRecord, settings: WorkerSettings) -> "Engine":
    """Build the scene's model on the worker's device, with the precision fixed for the scene."""
    import torch

    from vda.engine import Engine
    from vda.precision import set_float32_means_float32
    from vda.weights import load_model, resolve_weights

    torch.set_num_threads(settings.threads)
    set_float32_means_float32()
    weights = resolve_weights(record.model, Path(record.weights_path), fetch=False)
    if weights.sha256 != record.weights_sha256:
        raise WorkError(
            f"The weights in {record.weights_path} are not those the scene was begun with.",
            "Put the file back, or give --restart to compute the scene with the new ones.",
        )
    device = torch.device("cpu" if settings.device.startswith("cpu") else "cuda:0")
    model = load_model(record.model, weights).to(device)
    return Engine(model, device, encoder_batch=max(settings.batch_size, 1))


def frame_source(info: VideoInfo, index: FrameIndex, record: RunRecord, threads: int) -> "FrameSource":
    """Return what the engine draws its pictures from: frames of the video at the network's size."""
    from vda.engine import Picture
    from vda.network.preprocess import to_network

    def source(order: Sequence[int]) -> "Iterator[Picture]":
        for start, stop in _runs(order):
            for frame in read_frames(info, index, start, stop, threads=threads):
                pixels = to_network(frame.rgb, record.net_width, record.net_height)
                yield Picture(frame.index, pixels, frame.decoded)

    return source


def _runs(order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Split ``order`` into half-open runs of consecutive frames."""
    start = 0
    for place in range(1, len(order) + 1):
        if place == len(order) or order[place] != order[place - 1] + 1:
            yield order[start], order[place - 1] + 1
            start = place


def compute_chunk(
    scene: Scene,
    chunk: int,
    engine: "Engine",
    threads: int,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    log: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Compute the windows of ``chunk`` that are not on disk yet; return ``done`` or ``stopped``.

    Windows are written in a thread while the next one is computed, so a kill costs at most two: the one in hand
    and the one being written. ``should_stop`` is asked after each window. Where another process still computes
    the chunk, its end is awaited.
    """
    record = scene.run_record()
    assert record is not None, "a run is written before its first chunk is ordered"
    with waiting_lock(RunFiles(scene.run_dir).chunk_lock(chunk), should_stop) as ours:
        if not ours:
            return "stopped"
        todo = scene.missing_windows(chunk)
        video = VideoInfo.from_json(scene.read_video())
        source = frame_source(video, FrameIndex.load(scene.index_path), record, threads)
        log(f"chunk {chunk}: {len(todo)} windows to compute")
        answers = engine.compute([window.frame_indices for _, window in todo], source)
        with ThreadPoolExecutor(1, "window-writer") as writer, closing(answers):
            written: Future[None] | None = None
            for (key, window), answer in zip(todo, answers, strict=True):
                if written is not None:
                    written.result()
                written = writer.submit(write_raw_window, scene.window_path(key), answer.depth, answer.missing)
                kept = window.kept
                log(f"chunk {chunk}: window {key[0]}/{key[1]} computed, frames {kept.start}:{kept.stop}")
                if should_stop():
                    break
            if written is not None:
                written.result()
        return "stopped" if scene.missing_windows(chunk) else "done"


@contextmanager
def waiting_lock(path: Path, should_stop: Callable[[], bool]) -> Iterator[bool]:
    """Take the lock ``path`` as soon as it is free; yield False where ``should_stop`` came first."""
    while not should_stop():
        with exclusive_lock(path) as ours:
            if ours:
                yield True
                return
        time.sleep(_POLL_SECONDS)
    yield False


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
        peak = max(self.state.peak_memory_bytes, psutil.Process().memory_info().rss)
        self.state = replace(self.state, peak_memory_bytes=peak, time=time.time())
        self.state.write(self.files.state_path)


def serve(files: WorkerFiles, supervisor_lock: Callable[[], bool]) -> int:
    """Take orders until told to quit or until nobody supervises; return the process's exit code."""
    settings = WorkerSettings.read(files.settings_path)
    assert settings is not None, "a worker's settings are written before it is started"
    with exclusive_lock(files.alive_lock) as ours:
        if not ours:
            return EXIT_FAILED
        heart = Heartbeat(files, WorkerState(files.name, settings.device, os.getpid()))
        heart.set()
        threading.Thread(target=heart.beat, name="heartbeat", daemon=True).start()
        try:
            return _take_orders(files, settings, heart, supervisor_lock)
        finally:
            heart.set(phase="ended")
            heart.end()


def _take_orders(
    files: WorkerFiles, settings: WorkerSettings, heart: Heartbeat, is_supervised: Callable[[], bool]
) -> int:
    """Wait for orders and follow them; a failed one ends the process, for a device's state is then unknown."""
    loaded: RunRecord | None = None
    while is_supervised():
        order = Order.read(files.order_path)
        if order is None or order.number <= heart.state.order:
            time.sleep(_POLL_SECONDS)
            continue
        if order.is_quit:
            break
        scene = Scene(Path(order.scene))
        heart.set(phase="starting", order=order.number, outcome="", scene=order.scene, chunk=order.chunk)
        try:
            record = scene.run_record()
            assert record is not None
            if heart.engine is None or loaded is None or loaded.differences(record):
                heart.engine, loaded = load_engine(record, settings), record
            heart.set(phase="computing")
            outcome = _compute_logged(scene, order, heart, settings, is_supervised)
        except VdaError as error:
            heart.set(outcome="failed", problem=error.problem, remedy=error.remedy)
            raise
        except Exception as error:
            heart.set(outcome="failed", problem=f"{type(error).__name__}: {error}", remedy="")
            raise
        heart.set(phase="idle", outcome=outcome)
    return 0


def _compute_logged(
    scene: Scene, order: Order, heart: Heartbeat, settings: WorkerSettings, is_supervised: Callable[[], bool]
) -> Outcome:
    assert heart.engine is not None
    stop = RunFiles(scene.run_dir).stop_path
    path = scene.chunk_log_path(order.chunk)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", buffering=1) as file:

        def log(line: str) -> None:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {heart.state.device} pid {os.getpid()}: {line}\n")

        return compute_chunk(
            scene,
            order.chunk,
            heart.engine,
            settings.threads,
            should_stop=lambda: stop.exists() or not is_supervised(),
            log=log,
        )


def main(arguments: list[str]) -> int:
    """``python -m vda.worker HOME NAME``: serve from the run's folder HOME under the name NAME."""
    home = Path(arguments[0])
    return serve(RunFiles(home).worker(arguments[1]), RunFiles(home).is_supervised)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
