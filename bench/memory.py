"""Peak memory of `vda run` and `vda merge` for a long video against a short one; the size of raw windows."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from bench.figures import Figure
from vda.network.packing import packed
from vda.scene.rawwindows import write_raw_window
from vda.video import write_clip

SHORT, LONG = 200, 2000
# Of what most films have at the least, and of frames that a leak per frame would show in: a run alone.
LARGE, FEW, MANY = (1280, 720), 400, 4000
INPUT_SIZE = 64


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        peaks = {frames: _peaks(Path(folder), frames) for frames in (SHORT, LONG)}
        for stage in ("run", "merge"):
            short, long = peaks[SHORT][stage], peaks[LONG][stage]
            yield Figure(f"vda {stage}: peak memory for {LONG} frames", long / 1e6, "MB")
            yield Figure(f"vda {stage}: against {SHORT} frames", long / short, "", 1.1)
        few, many = (_peak_of_run(_film(Path(folder), frames, LARGE)) for frames in (FEW, MANY))
        yield Figure(f"vda run, {LARGE[0]}x{LARGE[1]}: peak memory for {MANY} frames", many / 1e6, "MB")
        yield Figure(f"vda run, {LARGE[0]}x{LARGE[1]}: against {FEW} frames", many / few, "", 1.05)
        yield Figure(
            "raw windows at 518x924, noise of 1e-3", _window_bytes(Path(folder)) / 1e6, "MB per frame", 1.0
        )


def _peaks(folder: Path, frames: int) -> dict[str, int]:
    video = _film(folder, frames, (160, 120))
    return {"run": _peak_of_run(video), "merge": _peak("merge", video.with_suffix(""), "-q")}


def _film(folder: Path, frames: int, size: tuple[int, int]) -> Path:
    width, height = size
    video = folder / f"{width}x{height}_{frames}.mp4"
    y, x = np.mgrid[:height, :width]
    pictures = (
        np.stack([(x + i) % 256, (y + 2 * i) % 256, (x + y) % 256], -1).astype(np.uint8) for i in range(frames)
    )
    write_clip(video, pictures, fps=Fraction(25), options={"preset": "ultrafast"})
    return video


def _peak_of_run(video: Path) -> int:
    """Split and run the film in a scene beside it."""
    scene = video.with_suffix("")
    _peak("split", video, "--scene", scene, "--devices", "cpu", "-q")
    return _peak("run", scene, "--model", "mini", "--input-size", INPUT_SIZE, "--devices", "cpu", "-q")


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
