"""Merging: CPU time and frames per second to 848x478, what holds more cores back, and memory for a long video."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.figures import Figure
from bench.material import computed_scene
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge, merge_chunks
from vda.reporter import Silence
from vda.scene.chunks import plan_independent
from vda.scene.planfile import plan_metadata

SHORT, LONG = 1_000, 20_000
FAST_FRAMES = 240
_PEAK = (
    "import resource, sys; from pathlib import Path; from vda.merging.stage import *; "
    "a, b, c = map(Path, sys.argv[1:]); "
    "merge_chunks(a, b, c, MergeSettings()); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        peaks = [_peak_mb(Path(folder) / str(frames), frames, 32, 24) for frames in (SHORT, LONG)]
        yield Figure(f"merge: peak memory for {LONG} small frames", peaks[1], "MB")
        yield Figure(f"merge: against {SHORT} frames", peaks[1] / peaks[0], "", 1.1)
        chunks = _of_chunks(Path(folder) / "fast")
        yield Figure("merge: other programs' chunks to PNG16 at 848x478", chunks.rate, "frames/s", 60, "at least")
        spent = _of_windows(Path(folder) / "large", (848, 478), (924, 518))
        yield Figure("merge: windows of 924x518 to PNG16 at 848x478", spent.rate, "frames/s", 100, "at least")
        yield Figure("merge: the same, CPU of a frame", spent.cpu_ms, "ms", 16)
        # Where no pixels are, nearly all is Python, which one thread at a time may run: at 300 frames a second
        # there are 3.3 ms for it.
        small = _of_windows(Path(folder) / "small", (32, 16), (28, 14))
        yield Figure("merge: CPU of a frame of 32x16", small.cpu_ms, "ms", 1e3 / 300)
        yield Figure("merge: of it, the thread that keeps order", small.ordering_ms, "ms", 1e3 / 300)


def _write_chunks(root: Path, frames: int, width: int, height: int) -> None:
    """Write a plan and, for each of its chunks, depth that moves, with the noise of a network."""
    plan = plan_independent(frames, 5, 32)
    (root / "depth").mkdir(parents=True)
    facts = {"fps": 25.0, "width": width, "height": height}
    (root / "plan.json").write_text(json.dumps(plan_metadata(plan, facts)))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 1e-3, (height, width)).astype(np.float32)
    for chunk in plan.chunks:
        shape = (chunk.stop - chunk.start, height, width)
        path = root / "depth" / f"chunk_{chunk.index:02d}_depths.npy"
        stack = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        for place in range(shape[0]):
            stack[place] = 2 + np.sin((x + chunk.start + place) / 40) + y / height + np.roll(noise, place, 1)
        stack.flush()


def _peak_mb(root: Path, frames: int, width: int, height: int) -> float:
    """Peak resident memory of a process that merges; pages of the inputs that happen to be mapped count too."""
    _write_chunks(root, frames, width, height)
    command = [sys.executable, "-c", _PEAK, *(str(root / name) for name in ("plan.json", "depth", "out"))]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1e3


@dataclass(frozen=True)
class _Spent:
    """Of the second pass: frames a second, and milliseconds of CPU a frame, of all threads and of the main one."""

    rate: float
    cpu_ms: float
    ordering_ms: float


def _of_chunks(root: Path) -> _Spent:
    _write_chunks(root, FAST_FRAMES, 848, 478)
    clock = _Clock()
    merge_chunks(root / "plan.json", root / "depth", root / "out", MergeSettings(), reporter=clock)
    return clock.spent(FAST_FRAMES)


def _of_windows(root: Path, size: tuple[int, int], net_size: tuple[int, int]) -> _Spent:
    scene = computed_scene(root, FAST_FRAMES, size, net_size)
    clock = _Clock()
    merge(scene, MergeSettings(), reporter=clock)
    return clock.spent(FAST_FRAMES)


class _Clock(Silence):
    """Takes the times at which the newest stage began: after the fit, before the first frame is written."""

    began: tuple[float, float, float]

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self.began = _times()

    def spent(self, frames: int) -> _Spent:
        wall, cpu, ordering = (now - then for now, then in zip(_times(), self.began, strict=True))
        return _Spent(frames / wall, 1e3 * cpu / frames, 1e3 * ordering / frames)


def _times() -> tuple[float, float, float]:
    return time.perf_counter(), time.process_time(), time.thread_time()
