"""The state of a scene's work, from its files alone: what ``vda status`` prints, and what a monitor shows.

It needs nothing of a supervisor but the files it and its workers leave, so it works while they run, and after.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import Any

from vda.scene.chunks import Chunk, Plan
from vda.scene.runstate import ChunkAttempts, Pause, RunFiles, WorkerState
from vda.scene.scene import Scene, WindowId, chunk_windows

# Recent enough to follow what happens to a run, enough not to jump with each window.
_RATE_WINDOWS = 20
# Five pauses: their median holds against two that were something else.
_PACE_WINDOWS = 6


@dataclass(frozen=True)
class _Counted:
    """A chunk's windows with the frames each settles, and those of them that are there."""

    chunk: Chunk
    frames: dict[WindowId, int]
    finished: set[WindowId]

    @property
    def frames_done(self) -> int:
        return sum(self.frames[key] for key in self.finished)

    @property
    def frames_total(self) -> int:
        return sum(self.frames.values())


def scene_status(scene: Scene) -> dict[str, Any]:
    """Return the state as JSON values: the names of ``vda status --json``.

    ``fps`` is over the last windows finished and None unless somebody computes; ``eta_seconds`` likewise.
    """
    finished = scene.finished_windows()
    plan = scene.plan()
    counted = [
        _Counted(chunk, frames, frames.keys() & finished)
        for chunk, frames in zip(plan.chunks, _window_frames(plan), strict=True)
    ]
    files = RunFiles(scene.run_dir)
    attempts = files.read_attempts()
    workers = _live_workers(files)
    working = {state.chunk: state for state in workers if state.scene == scene.key and state.phase != "idle"}
    total = sum(item.frames_total for item in counted)
    done = sum(item.frames_done for item in counted)
    state = _state(scene, files, total, done, any(entry.set_aside for entry in attempts.values()))
    fps = _recent_rate(scene, counted) if state == "running" else None
    record = scene.run_record()
    return {
        "scene": str(scene.root),
        "state": state,
        "frames_total": total,
        "frames_done": done,
        "shots": len(plan.shots),
        "windows_total": sum(len(item.frames) for item in counted),
        "windows_done": sum(len(item.finished) for item in counted),
        "model": record and record.model,
        "precision": record and record.precision,
        "precision_reason": record and record.precision_reason,
        "recomputed_windows": len({entry.window for entry in files.recomputed()}),
        "chunks": [_chunk_status(item, attempts, working) for item in counted],
        "paused": _pause(files),
        "devices": [_device_status(worker, scene, counted) for worker in workers],
        "fps": fps,
        "eta_seconds": (total - done) / fps if fps else None,
    }


def _pause(files: RunFiles) -> str | None:
    """Why nothing new is begun at the moment; None where all goes on."""
    pause = Pause.read(files.home().pause_path) if files.is_supervised() else None
    return pause.reason if pause else None


def _device_status(worker: WorkerState, scene: Scene, counted: list[_Counted]) -> dict[str, Any]:
    here = worker.scene == scene.key and 0 <= worker.chunk < len(counted)
    return {
        "device": worker.device,
        "phase": worker.phase,
        "scene": worker.scene,
        "chunk": worker.chunk,
        "fps": _device_rate(scene, counted[worker.chunk]) if here else None,
    }


def _device_rate(scene: Scene, item: _Counted) -> float | None:
    """Frames a second of whoever computes a chunk: it is one device's at a time, so its files tell.

    The median of the pauses between its last windows, so that a change of hands in between does not count.
    """
    times = sorted(seconds for _, seconds in _times(scene, item))[-_PACE_WINDOWS:]
    pauses = [after - before for before, after in pairwise(times)]
    if not pauses or median(pauses) <= 0:
        return None
    return median(item.frames[key] for key in sorted(item.finished)[-len(pauses) :]) / median(pauses)


@lru_cache(maxsize=1)
def _window_frames(plan: Plan) -> list[dict[WindowId, int]]:
    """How many frames each window of each chunk settles; kept, for a monitor asks again and plans never change."""
    return [{key: len(window.kept) for key, window in chunk_windows(chunk)} for chunk in plan.chunks]


def _live_workers(files: RunFiles) -> list[WorkerState]:
    states = [WorkerState.read(worker.state_path) for worker in files.home().workers() if worker.is_alive()]
    return [state for state in states if state is not None]


def _state(scene: Scene, files: RunFiles, total: int, done: int, gave_up: bool) -> str:
    if done == total:
        # After a redo the depth is of windows that are there no more.
        return "merged" if scene.depth_record_path.is_file() and not scene.redone_chunks() else "complete"
    if scene.depth_record_path.is_file() and not scene.finished_windows():
        return "merged"
    if files.is_supervised():
        return "running"
    if gave_up:
        return "failed"
    return "incomplete" if done or scene.run_path.is_file() else "planned"


def _chunk_status(
    item: _Counted, attempts: dict[int, ChunkAttempts], working: dict[int, WorkerState]
) -> dict[str, Any]:
    index = item.chunk.index
    history = attempts.get(index, ChunkAttempts())
    worker = working.get(index)
    if item.frames_done == item.frames_total:
        state = "done"
    elif history.set_aside:
        state = "failed"
    else:
        state = "running" if worker else "waiting"
    return {
        "index": index,
        "state": state,
        "device": worker.device if worker else history.device or None,
        "attempts": history.attempts,
        "frames_done": item.frames_done,
        "frames_total": item.frames_total,
        "error": history.error or None,
    }


def _recent_rate(scene: Scene, counted: list[_Counted]) -> float | None:
    """Frames a second over the last windows: the times at which their files appeared are the record."""
    times = sorted((seconds, item.frames[key]) for item in counted for key, seconds in _times(scene, item))
    recent = times[-_RATE_WINDOWS:]
    if len(recent) < 2 or recent[-1][0] == recent[0][0]:
        return None
    return sum(frames for _, frames in recent[1:]) / (recent[-1][0] - recent[0][0])


def _times(scene: Scene, item: _Counted) -> Iterator[tuple[WindowId, float]]:
    # Windows appear in a chunk's order, so its newest are at the end; they may be cleaned while we look.
    for key in sorted(item.finished)[-_RATE_WINDOWS:]:
        with suppress(FileNotFoundError):
            yield key, scene.window_path(key).stat().st_mtime
