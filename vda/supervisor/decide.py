"""What to do next, as a pure function of what is seen: a ``Snapshot`` goes in, a list of actions comes out.

It reads no clock, starts no process and touches no file, so a history written as data can be replayed through it.

The rules: a chunk is pulled by whoever is free, the one with most left first; the slowest device leaves the last
chunk to a faster one that would finish it sooner. What failed waits longer each time, and goes to another device
if there is one. An attempt counts only if it finished no window, and never if somebody outside ended the worker.
"""

from dataclasses import dataclass, field, replace
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

from vda.runstate import ChunkAttempts, WorkerState

ChunkId = tuple[str, int]
"""A scene's directory and the index of a chunk in it."""

FIRST_PROGRESS_SECONDS = 600.0
HUNG_SECONDS = 120.0
HUNG_WINDOWS = 5
BACKOFF_SECONDS = (0.0, 1.0, 5.0, 30.0, 120.0)
DEVICE_FAILURES = 3
CHUNK_DEVICES = 2
_FROM_OUTSIDE = {-SIGKILL, -SIGTERM, -SIGINT, -SIGHUP}


@dataclass(frozen=True)
class ChunkView:
    """A chunk as its files show it."""

    id: ChunkId
    windows: int
    windows_done: int
    attempts: ChunkAttempts = field(default_factory=ChunkAttempts)

    @property
    def left(self) -> int:
        return self.windows - self.windows_done


@dataclass(frozen=True)
class WorkerView:
    """A worker that was started or adopted. ``exit_code`` is None while it lives or where it is not known.

    ``order`` and ``chunk`` are the last order given and what it was for (None: it never had one);
    ``windows_at_order`` is how many windows of the chunk were there then; ``progressed`` is when a counter last
    moved, or else when it was started.
    """

    name: str
    device: str
    alive: bool
    exit_code: int | None
    state: WorkerState | None
    order: int
    chunk: ChunkId | None
    windows_at_order: int
    progressed: float
    killed: bool = False

    @property
    def idle(self) -> bool:
        """Whether it has done all that it was told."""
        state = self.state
        return self.alive and (
            self.chunk is None or (state is not None and state.order >= self.order and state.phase == "idle")
        )


@dataclass(frozen=True)
class DeviceView:
    """A device of the run. ``failed``: the chunks of its failures in a row, without a window between them.

    ``seconds_per_window`` is None before its first window.
    """

    id: str
    failed: tuple[ChunkId, ...] = ()
    seconds_per_window: float | None = None
    not_before: float = 0.0

    @property
    def set_aside(self) -> bool:
        """Whether it fails whatever the chunk; one bad chunk alone does not condemn a device."""
        return len(self.failed) >= DEVICE_FAILURES and len(set(self.failed)) > 1


@dataclass(frozen=True)
class Snapshot:
    now: float
    chunks: tuple[ChunkView, ...]
    workers: tuple[WorkerView, ...]
    devices: tuple[DeviceView, ...]
    retries: int = 3
    stop_requested: bool = False


@dataclass(frozen=True)
class Start:
    """Start a worker on ``device``."""

    device: str


@dataclass(frozen=True)
class Give:
    """Order ``worker`` to compute ``chunk``."""

    worker: str
    chunk: ChunkId


@dataclass(frozen=True)
class Quit:
    """Tell ``worker`` to end."""

    worker: str


@dataclass(frozen=True)
class Kill:
    """End ``worker`` by force."""

    worker: str
    reason: str


@dataclass(frozen=True)
class Bury:
    """Take note that ``worker`` is gone; ``attempts`` and ``device`` are what is known from now on."""

    worker: str
    chunk: ChunkId | None
    attempts: ChunkAttempts | None
    device: DeviceView
    reason: str


@dataclass(frozen=True)
class Finish:
    """Nothing is left to do."""


Action = Start | Give | Quit | Kill | Bury | Finish


def decide(seen: Snapshot) -> list[Action]:
    """Return what is to be done now; an empty list means wait and look again."""
    if actions := [_bury(worker, seen) for worker in seen.workers if not worker.alive]:
        return list(actions)
    hung = [Kill(worker.name, "hung") for worker in seen.workers if _hangs(worker, seen) and not worker.killed]
    open_chunks = [chunk for chunk in seen.chunks if chunk.left and not chunk.attempts.set_aside]
    usable = [device for device in seen.devices if not device.set_aside]
    if seen.stop_requested or not open_chunks or not usable:
        ending: list[Action] = [Quit(worker.name) for worker in seen.workers if worker.idle]
        return [*hung, *ending] if seen.workers else [Finish()]
    return [*hung, *_assign(seen, open_chunks), *_starts(seen, open_chunks, usable)]


def hung_after(device: DeviceView, progressed_before: bool) -> float:
    """Seconds without any counter moving after which a worker on ``device`` counts as hung."""
    if not progressed_before:
        return FIRST_PROGRESS_SECONDS
    return max(HUNG_SECONDS, HUNG_WINDOWS * (device.seconds_per_window or 0.0))


def _hangs(worker: WorkerView, seen: Snapshot) -> bool:
    if worker.idle:
        return False
    moved = worker.state is not None and any(worker.state.progress)
    return seen.now - worker.progressed > hung_after(_device(worker.device, seen), moved)


def _device(device: str, seen: Snapshot) -> DeviceView:
    return next(view for view in seen.devices if view.id == device)


def _busy_chunks(seen: Snapshot) -> set[ChunkId]:
    return {worker.chunk for worker in seen.workers if worker.chunk is not None and not worker.idle}


def _assign(seen: Snapshot, open_chunks: list[ChunkView]) -> list[Action]:
    """Give every idle worker the chunk with most left that it may take; one with nothing ahead of it quits."""
    actions: list[Action] = []
    taken = _busy_chunks(seen)
    for worker in sorted((w for w in seen.workers if w.idle), key=lambda w: _pace(w.device, seen)):
        free = [chunk for chunk in open_chunks if chunk.id not in taken]
        ready = [
            chunk for chunk in free if chunk.attempts.not_before <= seen.now and _may_take(worker, chunk, seen)
        ]
        if ready:
            chunk = max(ready, key=lambda chunk: chunk.left)
            if len(free) == 1 and _faster_is_coming(worker, chunk, seen):
                continue
            taken.add(chunk.id)
            actions.append(Give(worker.name, chunk.id))
        elif not free and not _may_be_needed(worker, seen, open_chunks):
            actions.append(Quit(worker.name))
    return actions


def _may_take(worker: WorkerView, chunk: ChunkView, seen: Snapshot) -> bool:
    """A chunk that failed here goes elsewhere, as long as there is an elsewhere where it has not failed."""
    failed = set(chunk.attempts.failed_devices)
    return worker.device not in failed or all(d.set_aside or d.id in failed for d in seen.devices)


def _pace(device: str, seen: Snapshot) -> float:
    return _device(device, seen).seconds_per_window or 0.0


def _faster_is_coming(worker: WorkerView, chunk: ChunkView, seen: Snapshot) -> bool:
    """Whether a busy faster device would end the last free chunk sooner than this one, starting now."""
    mine = _pace(worker.device, seen)
    if not mine:
        return False
    left = {view.id: view.left for view in seen.chunks}
    return any(
        0.0 < _pace(other.device, seen) * (left[other.chunk] + chunk.left) < mine * chunk.left
        for other in seen.workers
        if other.chunk is not None and other.chunk in left and not other.idle and other.device != worker.device
    )


def _may_be_needed(worker: WorkerView, seen: Snapshot, open_chunks: list[ChunkView]) -> bool:
    """While others still compute, one may fail and its chunk come back."""
    return bool(open_chunks) and any(not other.idle for other in seen.workers if other.name != worker.name)


def _starts(seen: Snapshot, open_chunks: list[ChunkView], usable: list[DeviceView]) -> list[Action]:
    occupied = {worker.device for worker in seen.workers}
    free = len([chunk for chunk in open_chunks if chunk.id not in _busy_chunks(seen)])
    spare = free - sum(worker.idle for worker in seen.workers)
    vacant = [device for device in usable if device.id not in occupied and device.not_before <= seen.now]
    return [Start(device.id) for device in vacant[: max(spare, 0)]]


def _bury(worker: WorkerView, seen: Snapshot) -> Bury:
    """What the end of a worker means for its chunk and its device."""
    device = _device(worker.device, seen)
    chunk = next((view for view in seen.chunks if view.id == worker.chunk), None)
    done = worker.state is not None and worker.state.order >= worker.order and worker.state.outcome == "done"
    if chunk is None or not chunk.left or done or worker.exit_code == 0:
        return Bury(worker.name, None, None, device, "ended")
    advanced = chunk.windows_done > worker.windows_at_order
    outside = not worker.killed and (worker.exit_code is None or worker.exit_code in _FROM_OUTSIDE)
    reason = _reason(worker)
    attempts = _after_failure(chunk.attempts, worker.device, reason, advanced, outside, seen)
    failed = () if advanced else device.failed if outside else (*device.failed, chunk.id)
    device = replace(device, failed=failed, not_before=attempts.not_before)
    return Bury(worker.name, chunk.id, attempts, device, reason)


def _after_failure(
    before: ChunkAttempts, device: str, reason: str, advanced: bool, outside: bool, seen: Snapshot
) -> ChunkAttempts:
    counts = not advanced and not outside
    count = before.attempts + 1 if counts else 0 if advanced else before.attempts
    failed = tuple(dict.fromkeys((*before.failed_devices, device))) if counts else before.failed_devices
    return ChunkAttempts(
        attempts=count,
        not_before=seen.now + BACKOFF_SECONDS[min(count, len(BACKOFF_SECONDS) - 1)],
        failed_devices=failed,
        set_aside=count > seen.retries or len(failed) >= CHUNK_DEVICES,
        error=reason,
        device=device,
    )


def _reason(worker: WorkerView) -> str:
    state = worker.state
    if worker.killed:
        return "it hung and was ended"
    if state is not None and state.order >= worker.order and state.problem:
        return state.problem
    if worker.exit_code is None:
        return "it ended without a word"
    if worker.exit_code < 0:
        return f"it was ended by signal {-worker.exit_code}"
    return f"it ended with exit code {worker.exit_code}"
