"""The state of a scene's work, from its files alone: what ``vda status`` prints, and what a monitor shows.

It needs nothing of a supervisor but the files it and its workers leave, so it works while they run, and after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vda.scene.chunks import Chunk, Plan
from vda.scene.runstate import AT_WORK, ChunkAttempts, Pause, RunFiles, WorkerState
from vda.scene.scene import Scene, WindowId, chunk_windows
from vda.scene.windows import WINDOW_STEP


@dataclass(frozen=True)
class Estimate:
    """Frames of the merged video a second, and the seconds until all of them are computed."""

    fps: float
    seconds_left: float


def estimate(windows_left: int, frames_left: int, working: Sequence[tuple[float | None, int]]) -> Estimate | None:
    """Say how fast it goes and how long it takes: the one figure that progress, status and monitor show.

    ``working`` are the devices that compute now: the seconds that each takes for a window, None before its first,
    and how many windows its chunk lacks. None before any of them has finished a window, for all else is a guess.
    """
    known = [seconds for seconds, _ in working if seconds]
    if not known or not windows_left:
        return None
    # A device that has not finished one is no faster than the slowest that has, as far as anybody knows.
    paces = [(seconds or max(known), left) for seconds, left in working]
    windows_a_second = sum(1 / seconds for seconds, _ in paces)
    longest = max(seconds * left for seconds, left in paces)
    fps = windows_a_second * frames_left / windows_left
    return Estimate(fps, max(windows_left / windows_a_second, longest))


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

    @property
    def windows_left(self) -> int:
        return len(self.frames) - len(self.finished)


def scene_status(scene: Scene) -> dict[str, Any]:
    """Return the state as JSON values: the names of ``vda status --json``.

    ``fps`` and ``eta_seconds`` are ``estimate``'s, None unless somebody computes the scene now.
    """
    finished = scene.finished_windows()
    plan = scene.plan()
    redone = bool(scene.redone_chunks())
    # Windows that went when their depth was there were computed all the same.
    spent = scene.depth_record_path.is_file() and not finished and not redone
    counted = [
        _Counted(chunk, frames, set(frames) if spent else frames.keys() & finished)
        for chunk, frames in zip(plan.chunks, _window_frames(plan), strict=True)
    ]
    files = RunFiles(scene.run_dir)
    attempts = files.read_attempts()
    workers = _live_workers(files)
    working = {state.chunk: state for state in workers if state.scene == scene.key and state.phase != "idle"}
    total = sum(item.frames_total for item in counted)
    done = sum(item.frames_done for item in counted)
    state = _state(scene, files, total, done, any(entry.set_aside for entry in attempts.values()))
    expected = _expected(counted, list(working.values())) if state == "running" else None
    record = scene.run_record()
    return {
        "scene": str(scene.root),
        "state": state,
        "frames_total": total,
        "frames_done": done,
        "shots": len(plan.shots),
        "windows_total": sum(len(item.frames) for item in counted),
        "windows_done": 0 if spent else sum(len(item.finished) for item in counted),
        "model": record and record.model,
        "precision": record and record.precision,
        "precision_reason": record and record.precision_reason,
        "recomputed_windows": len({entry.window for entry in files.recomputed()}),
        "chunks": [_chunk_status(item, attempts, working) for item in counted],
        "paused": _pause(files),
        "devices": [_device_status(worker, scene) for worker in workers],
        "fps": expected and expected.fps,
        "eta_seconds": expected and expected.seconds_left,
    }


def _expected(counted: list[_Counted], working: list[WorkerState]) -> Estimate | None:
    frames_left = sum(item.frames_total - item.frames_done for item in counted)
    at_work = [state for state in working if state.phase in AT_WORK and 0 <= state.chunk < len(counted)]
    paces = [(state.seconds_per_window, counted[state.chunk].windows_left) for state in at_work]
    return estimate(sum(item.windows_left for item in counted), frames_left, paces)


def _pause(files: RunFiles) -> str | None:
    """Why nothing new is begun at the moment; None where all goes on."""
    pause = Pause.read(files.home().pause_path) if files.is_supervised() else None
    return pause.reason if pause else None


def _device_status(worker: WorkerState, scene: Scene) -> dict[str, Any]:
    paced = worker.scene == scene.key and worker.seconds_per_window
    return {
        "device": worker.device,
        "phase": worker.phase,
        "scene": worker.scene,
        "chunk": worker.chunk,
        "fps": WINDOW_STEP / paced if paced else None,
    }


@lru_cache(maxsize=1)
def _window_frames(plan: Plan) -> list[dict[WindowId, int]]:
    """How many frames each window of each chunk settles; kept, for a monitor asks again and plans never change."""
    return [{key: chunk.settled(window) for key, window in chunk_windows(chunk)} for chunk in plan.chunks]


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
