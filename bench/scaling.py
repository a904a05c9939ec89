"""Peak memory of `vda fvc scale` for a long video against a short one, and for one of 8K; rows a second."""

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
from vda.video import write_clip

SHORT, LONG = 300, 3000
SMALL, LARGE = (320, 180), (7680, 4320)
LARGE_FRAMES = 24
VIDEOS, VIDEO_FRAMES = 20, 60


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        peaks = {frames: _scaled(folder, _video(folder, frames, SMALL))[0] for frames in (SHORT, LONG)}
        yield Figure(f"vda fvc scale: peak memory for {LONG} frames", peaks[LONG] / 1e6, "MB")
        yield Figure(f"vda fvc scale: against {SHORT} frames", peaks[LONG] / peaks[SHORT], "", 1.1)
        large, _ = _scaled(folder, _video(folder, LARGE_FRAMES, LARGE))
        yield Figure(f"vda fvc scale: peak memory for {LARGE[0]}x{LARGE[1]}", large / 1e9, "GB", 2.0)
        many = [_video(folder, VIDEO_FRAMES, (1280, 720), f"video{number}") for number in range(VIDEOS)]
        _, seconds = _scaled(folder, *many)
        yield Figure("vda fvc scale: frames of 1280x720 to 256", VIDEOS * VIDEO_FRAMES / seconds, "frames/s")


def _video(folder: Path, frames: int, size: tuple[int, int], name: str = "") -> Path:
    path = folder / f"{name or f'{size[0]}_{frames}'}.mp4"
    y, x = np.mgrid[: size[1], : size[0]].astype(np.uint16)
    pictures = (
        np.stack([(x + i) % 256, (y + 2 * i) % 256, (x + y) % 256], -1).astype(np.uint8) for i in range(frames)
    )
    write_clip(path, pictures, fps=Fraction(25), options={"preset": "ultrafast"})
    return path


def _scaled(folder: Path, *videos: Path) -> tuple[int, float]:
    """Peak resident bytes of one process, looked at 50 times a second, and its seconds."""
    table = folder / f"{videos[0].stem}.csv"
    table.write_text("video_path,label\n" + "".join(f"{video.name},real\n" for video in videos))
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "vda", "fvc", "scale", table, "--output-dir", folder / f"{table.stem}_out", "-q"],
        stdout=subprocess.DEVNULL,
    )
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, watched.memory_info().rss)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit("vda fvc scale failed")
    return peak, time.monotonic() - began
