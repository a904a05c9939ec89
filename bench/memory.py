"""Peak memory of `vda run` and `vda merge` for a long video against a short one; the size of raw windows."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from bench.figures import Figure
from vda.network.packing import packed
from vda.scene.rawwindows import write_raw_window
from vda.video import write_clip

SHORT, LONG = 200, 2000
INPUT_SIZE = 64


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        peaks = {frames: _peaks(Path(folder), frames) for frames in (SHORT, LONG)}
        for stage in ("run", "merge"):
            short, long = peaks[SHORT][stage], peaks[LONG][stage]
            yield Figure(f"vda {stage}: peak memory for {LONG} frames", long / 1e6, "MB")
            yield Figure(f"vda {stage}: against {SHORT} frames", long / short, "", 1.1)
        yield Figure(
            "raw windows at 518x924, noise of 1e-3", _window_bytes(Path(folder)) / 1e6, "MB per frame", 1.0
        )


def _peaks(folder: Path, frames: int) -> dict[str, int]:
    from fractions import Fraction

    video, scene = folder / f"{frames}.mp4", folder / str(frames)
    y, x = np.mgrid[:120, :160]
    pictures = (
        np.stack([(x + i) % 256, (y + 2 * i) % 256, (x + y) % 256], -1).astype(np.uint8) for i in range(frames)
    )
    write_clip(video, pictures, fps=Fraction(25))
    _peak("split", video, "--scene", scene, "--devices", "cpu")
    run = _peak("run", scene, "--model", "mini", "--input-size", INPUT_SIZE, "--devices", "cpu", "-q")
    return {"run": run, "merge": _peak("merge", scene, "-q")}


def _peak(*arguments: object) -> int:
    """The largest sum of resident memory of the program and its children, looked at 20 times a second."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from vda.cli import main; main()", *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        peak = max(peak, sum(_resident(member) for member in family))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"vda {arguments[0]} failed")
    return peak


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _window_bytes(folder: Path) -> float:
    random = np.random.default_rng(2)
    y, x = np.mgrid[:518, :924].astype(np.float32)
    scene = np.sin(x / 90) + np.cos(y / 70) + (x + 2 * y > 900)
    noise = random.standard_normal((8, 518, 924)).astype(np.float32)
    noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / np.float32(3)
    path = folder / "window.npz"
    write_raw_window(path, packed((scene + 1e-3 * np.ptp(scene) * noise).astype(np.float32)))
    return path.stat().st_size / 8 * 32 / 22
