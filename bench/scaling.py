"""`vda fvc scale`: memory for long and large videos, CPU against a plain pipeline, two jobs against one."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
from av.video.stream import VideoStream

from bench.figures import Figure
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.video import write_clip

SHORT, LONG = 300, 3000
SMALL, LARGE = (320, 180), (7680, 4320)
LARGE_FRAMES = 24
VIDEOS, VIDEO_FRAMES = 20, 120


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        peaks = {frames: _scaled(folder, _video(folder, frames, SMALL))[0] for frames in (SHORT, LONG)}
        yield Figure(f"vda fvc scale: peak memory for {LONG} frames", peaks[LONG] / 1e6, "MB")
        yield Figure(f"vda fvc scale: against {SHORT} frames", peaks[LONG] / peaks[SHORT], "", 1.1)
        large, _ = _scaled(folder, _video(folder, LARGE_FRAMES, LARGE))
        yield Figure(f"vda fvc scale: peak memory for {LARGE[0]}x{LARGE[1]}", large / 1e9, "GB", 2.0)
        many = [_video(folder, VIDEO_FRAMES, (1280, 720), f"video{number}") for number in range(VIDEOS)]
        yield Figure("vda fvc scale: CPU against the plain pipeline", _cpu_ratio(folder, many), "", 1.15)
        seconds = {jobs: _scaled(folder, *many, jobs=jobs)[1] for jobs in (1, 2)}
        yield Figure("vda fvc scale: frames of 1280x720 to 256", VIDEOS * VIDEO_FRAMES / seconds[1], "frames/s")
        yield Figure("vda fvc scale: time of --jobs 2 against --jobs 1", seconds[2] / seconds[1], "", 1.0)


def _video(folder: Path, frames: int, size: tuple[int, int], name: str = "") -> Path:
    path = folder / f"{name or f'{size[0]}_{frames}'}.mp4"
    y, x = np.mgrid[: size[1], : size[0]].astype(np.uint16)
    pictures = (
        np.stack([(x + i) % 256, (y + 2 * i) % 256, (x + y) % 256], -1).astype(np.uint8) for i in range(frames)
    )
    write_clip(path, pictures, fps=Fraction(25), options={"preset": "ultrafast"})
    return path


def _cpu_ratio(folder: Path, videos: list[Path]) -> float:
    """CPU time of scaling all ``videos`` against that of ``_plain``, once each has loaded what it needs."""
    counted: dict[str, float] = {}
    for few in (videos[:1], videos):
        table = _table(folder, *few)
        began = time.process_time()
        for video in few:
            _plain(video, folder / f"plain_{video.name}", ScaleSettings())
        counted["plain"] = time.process_time() - began
        scale(table, folder / f"cpu_{len(few)}", ScaleSettings())
        counted["vda"] = time.process_time() - began - counted["plain"]
    return counted["vda"] / counted["plain"]


def _plain(source: Path, path: Path, settings: ScaleSettings) -> None:
    """Decode, resize and encode as anybody would with PyAV and OpenCV, at the same settings."""
    options = {"crf": str(settings.crf), "preset": "veryfast", "g": str(settings.gop)}
    options["x264-params"] = "mbtree=0:cpu-independent=1"
    with av.open(str(source)) as old, av.open(str(path), "w", options={"movflags": "+faststart"}) as new:
        old.streams.video[0].thread_type = "AUTO"
        stream = new.add_stream("libx264", rate=old.streams.video[0].average_rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = settings.size
        stream.codec_context.thread_count = 1
        for frame in old.decode(video=0):
            rgb = frame.to_ndarray(format="rgb24")
            shape = tuple(round(side * settings.size / max(rgb.shape[:2])) for side in rgb.shape[:2])
            canvas = np.zeros((settings.size, settings.size, 3), np.uint8)
            top, left = ((settings.size - side) // 2 for side in shape)
            inner = cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_AREA)
            canvas[top : top + shape[0], left : left + shape[1]] = inner
            new.mux(stream.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24")))
        new.mux(stream.encode(None))


def _table(folder: Path, *videos: Path) -> Path:
    table = folder / f"{videos[0].stem}.csv"
    table.write_text("video_path,label\n" + "".join(f"{video.name},real\n" for video in videos))
    return table


def _scaled(folder: Path, *videos: Path, jobs: int = 1) -> tuple[int, float]:
    """Peak resident bytes of the command's own process, looked at 50 times a second, and its seconds."""
    table = _table(folder, *videos)
    out = folder / f"{table.stem}_out{jobs}"
    command = ["fvc", "scale", str(table), "--output-dir", str(out), "--jobs", str(jobs), "-q"]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "vda", *command],
        stdout=subprocess.DEVNULL,
    )
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, watched.memory_info().rss)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit("vda fvc scale failed")
    return peak, time.monotonic() - began
