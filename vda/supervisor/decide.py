"""What to do next, as a pure function of what is seen: a ``Snapshot`` goes in, a list of actions comes out.

It reads no clock, starts no process and touches no file, so a history written as data can be replayed through it.

The rules: a chunk is pulled by whoever is free, the one with most left first; the slowest device leaves the last
chunk to a faster one that would finish it sooner. What failed waits longer each time, and goes to another device
if there is one. Where memory or disk run out, nothing new is begun until there is room. What the end of a worker
means is in ``endings``.
"""

from vda.machine.host import MACHINE
from vda.supervisor.endings import bury, give_up
from vda.supervisor.seen import (
    Action,
    Bury,
    ChunkId,
    ChunkView,
    DeviceView,
    Finish,
    Give,
    HostView,
    Kill,
    Patience,
    Quit,
    Snapshot,
    Start,
    Wait,
    WorkerView,
)

# The tenth that is left is for what is already begun.
PAUSE_FRACTION = 0.90
# Lower than where the pause begins, so that it does not flicker.
RESUME_FRACTION = 0.85
# A worker's peak differs a little from start to start.
PEAK_MARGIN = 1.1
# More than what the pause began at, so that it does not flicker.
DISK_MARGIN = 1.5


def decide(seen: Snapshot) -> list[Action]:
    """Return what is to be done now; an empty list means wait and look again."""
    if ended := _ended(seen):
        return list(ended)
    kills: list[Action] = [Kill(worker.name, "hung") for worker in seen.workers if _hangs(worker, seen)]
    open_chunks = [chunk for chunk in seen.chunks if chunk.left and not chunk.attempts.set_aside]
    usable = [device for device in seen.devices if not device.set_aside]
    if seen.stop_requested or not open_chunks or not usable:
        quits: list[Action] = [Quit(worker.name) for worker in seen.workers if worker.idle]
        return [*kills, *quits] if seen.workers else [Finish()]
    reason = _pressure(seen, usable)
    changed: list[Action] = [Wait(reason)] if reason != seen.paused else []
    if reason:
        return [*kills, *changed, *_freeing(seen)]
    return [*kills, *changed, *_assign(seen, open_chunks), *_starts(seen, open_chunks, usable)]


def hung_after(device: DeviceView, progressed_before: bool, patience: Patience) -> float:
    """Seconds without any counter moving after which a worker on ``device`` counts as hung."""
    if not progressed_before:
        return patience.first
    return max(patience.least, patience.windows * (device.seconds_per_window or 0.0))


def _ended(seen: Snapshot) -> list[Bury]:
    """The workers that are gone, and those that do not even go when killed."""
    gone = [bury(worker, seen) for worker in seen.workers if not worker.alive]
    stuck = [
        give_up(worker, seen)
        for worker in seen.workers
        if worker.alive and worker.killed is not None and seen.now - worker.killed > seen.patience.killed
    ]
    return [*gone, *stuck]


def _hangs(worker: WorkerView, seen: Snapshot) -> bool:
    if worker.idle or worker.killed is not None:
        return False
    moved = worker.state is not None and any(worker.state.progress)
    return seen.now - worker.progressed > hung_after(seen.device(worker.device), moved, seen.patience)


def _pressure(seen: Snapshot, usable: list[DeviceView]) -> str:
    """Why nothing new should be begun, in words; empty where there is room."""
    host = seen.host
    if host.disk_free_bytes < host.disk_needed_bytes * (DISK_MARGIN if seen.paused else 1):
        free, needed = host.disk_free_bytes / 1e6, host.disk_needed_bytes / 1e6
        return f"the disk is full: {free:.0f} MB free, {needed:.0f} MB needed to go on"
    if host.memory_used_fraction >= (RESUME_FRACTION if seen.paused else PAUSE_FRACTION):
        less = f"less than {RESUME_FRACTION:.0%} of it{_of_group(host)}"
        return f"memory is full: it goes on when {less} is used"
    needed_bytes = min(_memory_needed(device) for device in usable)
    if not seen.workers and needed_bytes > host.memory_available_bytes and not _waited_in_vain(seen):
        return f"memory is short: a worker needs {needed_bytes / 1e9:.1f} GB{_of_group(host)}"
    return ""


def _waited_in_vain(seen: Snapshot) -> bool:
    """Below a group's limit nobody else may be there to make room. Then trying shows, and the end of it counts."""
    waited = bool(seen.paused) and seen.now - seen.paused_since > seen.patience.memory
    return waited and seen.host.memory_bound != MACHINE


def _of_group(host: HostView) -> str:
    return "" if host.memory_bound == MACHINE else f" of the limit of {host.memory_bound}"


def _freeing(seen: Snapshot) -> list[Action]:
    """Send idle workers home while memory is full: a loaded model may be what fills it."""
    if seen.host.memory_used_fraction < RESUME_FRACTION:
        return []
    return [Quit(worker.name) for worker in seen.workers if worker.idle]


def _memory_needed(device: DeviceView) -> float:
    """Host memory in bytes that must be left before a worker starts on ``device``; 0 where it is not known yet."""
    return device.peak_memory_bytes * PEAK_MARGIN


def _busy_chunks(seen: Snapshot) -> set[ChunkId]:
    return {worker.chunk for worker in seen.workers if worker.chunk is not None and not worker.idle}


def _assign(seen: Snapshot, open_chunks: list[ChunkView]) -> list[Action]:
    """Give every idle worker the chunk with most left of the first scene that has one for it.

    One with nothing ahead of it quits.
    """
    actions: list[Action] = []
    taken = _busy_chunks(seen)
    for worker in sorted((w for w in seen.workers if w.idle), key=lambda w: _pace(w.device, seen)):
        free = [chunk for chunk in open_chunks if chunk.id not in taken]
        ready = [
            chunk
            for chunk in free
            if not chunk.waits and chunk.attempts.not_before <= seen.now and _may_take(worker, chunk, seen)
        ]
        if ready:
            # Scene by scene, so that the first is whole while the last has not been begun.
            of_first = [chunk for chunk in ready if chunk.id[0] == ready[0].id[0]]
            chunk = max(of_first, key=lambda chunk: chunk.left)
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
    return seen.device(device).seconds_per_window or 0.0


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
    """Start workers where chunks wait and the host's memory holds what such a worker came to need."""
    occupied = {worker.device for worker in seen.workers}
    free = len([chunk for chunk in open_chunks if chunk.id not in _busy_chunks(seen)])
    spare = free - sum(worker.idle for worker in seen.workers)
    vacant = [device for device in usable if device.id not in occupied and device.not_before <= seen.now]
    room = seen.host.memory_available_bytes - sum(_yet_to_grow(worker, seen) for worker in seen.workers)
    starts: list[Action] = []
    for device in vacant[: max(spare, 0)]:
        tried = not seen.workers and not starts and _waited_in_vain(seen)
        if (needed := _memory_needed(device)) <= room or tried:
            room -= round(needed)
            starts.append(Start(device.id))
    return starts


def _yet_to_grow(worker: WorkerView, seen: Snapshot) -> int:
    """Host memory that a worker has not taken yet, but is known to need."""
    has = worker.state.peak_memory_bytes if worker.state is not None else 0
    return max(seen.device(worker.device).peak_memory_bytes - has, 0)
