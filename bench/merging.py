"""Merging other programs' chunks: frames per second at 848x478, and memory for a long video and a short one."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.figures import Figure
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
        yield Figure("merge: PNG16 at 848x478", _rate(Path(folder) / "fast"), "frames/s", 60, "at least")


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


def _rate(root: Path) -> float:
    """Frames a second of the second pass: after the fit, as far as the first frame that is written."""
    from vda.merging.settings import MergeSettings
    from vda.merging.stage import merge_chunks

    _write_chunks(root, FAST_FRAMES, 848, 478)
    clock = _Clock()
    merge_chunks(root / "plan.json", root / "depth", root / "out", MergeSettings(), reporter=clock)
    return FAST_FRAMES / (time.perf_counter() - clock.began)


class _Clock(Silence):
    """Takes the time at which the newest stage began."""

    began = 0.0

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self.began = time.perf_counter()
