"""What the end of a worker means for its chunk and its device: a pure function, part of ``decide``.

An attempt counts only if it finished no window, and never if somebody outside ended the worker. Waiting grows in
both cases, for a kernel's memory killer comes again and again; below a control group's limit, which does not pass,
it counts as well. What fails on two devices, or too often on one, is set aside; so is a device that fails whatever
the chunk, or whose workers end before they could be told anything. A chunk whose files are wrong is set aside at
once.
"""

from dataclasses import replace
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

from vda.machine.host import MACHINE
from vda.scene.runstate import EXIT_FILE_SIZE, EXIT_NO_ROOM, ChunkAttempts
from vda.supervisor.seen import Bury, ChunkView, DeviceView, Snapshot, WorkerView

# An accident is over at once; what is busy or short of memory for longer is not hammered at.
WAIT_SECONDS = (0.0, 1.0, 5.0, 30.0, 120.0)
# Somebody has to make room; nothing counts until then.
ROOM_SECONDS = 5.0
# A person or a scheduler may end workers a few times in a row; nobody should wait for that.
FREE_KILLS = 4
# On one device it may be the device; on two it is the chunk.
CHUNK_DEVICES = 2
_FROM_OUTSIDE = {-SIGKILL, -SIGTERM, -SIGINT, -SIGHUP}


def bury(worker: WorkerView, seen: Snapshot) -> Bury:
    """Judge the end of ``worker``, whose process is gone."""
    chunk = _chunk(worker, seen)
    device = seen.device(worker.device)
    done = worker.state is not None and worker.state.order >= worker.order and worker.state.outcome == "done"
    later = seen.now + ROOM_SECONDS
    if worker.order == 0 and worker.exit_code:
        if worker.exit_code == EXIT_NO_ROOM:
            return Bury(worker.name, None, None, replace(device, not_before=later), "there was no room")
        return Bury(worker.name, None, None, _unborn(worker, device, seen), _reason(worker, seen))
    if chunk is None or not chunk.left or done or worker.exit_code == 0:
        return Bury(worker.name, None, None, replace(device, unborn=0), "it ended as it should")
    device = replace(device, unborn=0)
    if worker.exit_code == EXIT_NO_ROOM:
        attempts = replace(chunk.attempts, not_before=later)
        return Bury(worker.name, chunk.id, attempts, replace(device, not_before=later), "there was no room")
    if worker.exit_code == EXIT_FILE_SIZE:
        reason = _reason(worker, seen)
        attempts = replace(chunk.attempts, set_aside=True, error=reason, device=device.id)
        return Bury(worker.name, chunk.id, attempts, replace(device, lost=True), reason)
    advanced = chunk.windows_done > worker.windows_at_order
    outside = worker.killed is None and (worker.exit_code is None or worker.exit_code in _FROM_OUTSIDE)
    reason = _reason(worker, seen)
    if outside and not _spoke(worker):
        attempts = _after_kill(chunk.attempts, advanced, worker, seen)
        if attempts.memory_kills:
            attempts = replace(attempts, error=reason, device=device.id)
        device = replace(device, failed=() if advanced else device.failed, not_before=attempts.not_before)
        return Bury(worker.name, chunk.id, attempts, device, reason)
    return _failure(worker, chunk, device, reason, advanced, seen)


def give_up(worker: WorkerView, seen: Snapshot) -> Bury:
    """Judge a worker that not even SIGKILL ends: it keeps its device and its lock, and nobody waits for either."""
    chunk, device = _chunk(worker, seen), replace(seen.device(worker.device), lost=True)
    reason = "it cannot even be killed"
    if chunk is None:
        return Bury(worker.name, None, None, device, reason, given_up=True)
    attempts = replace(chunk.attempts, lock=chunk.attempts.lock + 1, error=reason, device=worker.device)
    return Bury(worker.name, chunk.id, attempts, device, reason, given_up=True)


def _unborn(worker: WorkerView, device: DeviceView, seen: Snapshot) -> DeviceView:
    """The device of a worker that died before it had anything to do: no chunk is to blame."""
    count = device.unborn + 1
    later = seen.now + WAIT_SECONDS[min(count, len(WAIT_SECONDS) - 1)]
    return replace(device, unborn=count, error=_reason(worker, seen), not_before=later)


def _chunk(worker: WorkerView, seen: Snapshot) -> ChunkView | None:
    return next((view for view in seen.chunks if view.id == worker.chunk), None)


def _failure(
    worker: WorkerView, chunk: ChunkView, device: DeviceView, reason: str, advanced: bool, seen: Snapshot
) -> Bury:
    before = chunk.attempts
    for_good = _spoke(worker) and worker.state is not None and worker.state.for_good
    count = 0 if advanced else before.attempts + 1
    failed = before.failed_devices if advanced else tuple(dict.fromkeys((*before.failed_devices, device.id)))
    attempts = replace(
        before,
        attempts=count,
        kills=0,
        not_before=seen.now + WAIT_SECONDS[min(count, len(WAIT_SECONDS) - 1)],
        failed_devices=failed,
        set_aside=for_good or count > seen.retries or len(failed) >= CHUNK_DEVICES,
        error=reason,
        device=device.id,
        remedy=worker.state.remedy if worker.state is not None and _spoke(worker) else "",
        for_good=for_good,
    )
    chunks_failed = () if advanced or for_good else (*device.failed, chunk.id)
    device = replace(device, failed=chunks_failed, not_before=attempts.not_before)
    return Bury(worker.name, chunk.id, attempts, device, reason)


def _after_kill(before: ChunkAttempts, advanced: bool, worker: WorkerView, seen: Snapshot) -> ChunkAttempts:
    kills = 0 if advanced else before.kills + 1
    memory_kills = 0 if advanced else before.memory_kills
    if by_limit := _by_killer(worker, seen) and seen.host.memory_bound != MACHINE:
        memory_kills += 1
    waits = memory_kills if by_limit else max(kills - FREE_KILLS, 0)
    return replace(
        before,
        attempts=0 if advanced else before.attempts,
        kills=kills,
        memory_kills=memory_kills,
        not_before=seen.now + WAIT_SECONDS[min(waits, len(WAIT_SECONDS) - 1)],
        set_aside=memory_kills > seen.retries,
    )


def _by_killer(worker: WorkerView, seen: Snapshot) -> bool:
    """Whether the kernel's memory killer is who ended it, as far as its counters tell."""
    return worker.killed is None and worker.exit_code in (None, -SIGKILL) and bool(seen.host.memory_killer)


def _spoke(worker: WorkerView) -> bool:
    """Whether it wrote down itself why it fails: then nobody from outside ended it."""
    state = worker.state
    return state is not None and state.order >= worker.order and state.outcome == "failed"


def _reason(worker: WorkerView, seen: Snapshot) -> str:
    state = worker.state
    if worker.killed is not None:
        return "it hung and was ended"
    if state is not None and _spoke(worker) and state.problem:
        return state.problem
    if _by_killer(worker, seen):
        return f"the kernel's memory killer ended it: {seen.host.memory_killer}"
    if worker.exit_code is None:
        return "it ended without a word"
    if worker.exit_code < 0:
        return f"it was ended by signal {-worker.exit_code}"
    return f"it ended with exit code {worker.exit_code}"
