"""What the host does for each frame, 1080p to 924x518: CPU time of each step, and a run with a stub network."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bench.figures import Figure
from vda.compute.chunk import compute_chunk
from vda.compute.computer import Computer
from vda.compute.engine import Engine
from vda.network.head import FrameFeatures
from vda.network.packing import packed
from vda.network.preprocess import Preparer, net_size
from vda.network.presets import PRESETS
from vda.scene.rawwindows import write_raw_window
from vda.scene.scene import RunRecord, Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.video import index_frames, probe, read_frames, write_clip

SAMPLE = Path(__file__).parents[1] / "data" / "sample.mp4"
WIDTH, HEIGHT, INPUT_SIZE = 1920, 1080, 518
# Five windows: the film is written anew each time.
FRAMES = 98
NEW_FRAMES = 22
CORES = 2


class StubNetwork:
    """In the network's place: takes what it is given, and answers with the same window each time."""

    preset = PRESETS["vits"]

    def __init__(self, window: np.ndarray) -> None:
        self._window = torch.from_numpy(window)

    def encode(self, images: torch.Tensor) -> FrameFeatures:
        return FrameFeatures(*(images[:, :1, :1, :1] for _ in FrameFeatures._fields))

    def decode(self, features: FrameFeatures, *, micro_batch: int = 32) -> torch.Tensor:
        return self._window


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    # As a worker has it.
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = _film(folder / "film.mp4")
        yield Figure("decoding to RGB", _cpu(lambda: _decode(video), FRAMES), "ms of CPU per frame")
        yield Figure("resizing and normalising", _prepare(video), "ms of CPU per frame", 4)
        window = _window()
        path = folder / "window.npz"
        stored = _cpu(lambda: write_raw_window(path, packed(window)), NEW_FRAMES)
        yield Figure("storing a raw window, its smooth depth with noise of 1e-3", stored, "ms of CPU per frame", 5)
        yield Figure("its size", path.stat().st_size / NEW_FRAMES / 1e6, "MB per frame", 1)
        wall, cpu = _stub_run(video, folder / "scene", window)
        yield Figure("a stub in the network's place: CPU", cpu / FRAMES * 1e3, "ms per frame")
        yield Figure(
            "video to raw windows, if two cores did nothing else",
            CORES * FRAMES / cpu,
            "frames/s",
            110,
            "at least",
        )
        yield Figure("the same by the clock", FRAMES / wall, "frames/s")


def _film(path: Path) -> Path:
    info = probe(SAMPLE)
    index = index_frames(info)
    sample = [frame.rgb for frame in read_frames(info, index, 0, min(len(index), 50))]
    large = [cv2.resize(rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for rgb in sample]
    pictures = (np.asarray(large[place % len(large)], np.uint8) for place in range(FRAMES))
    write_clip(path, pictures, fps=Fraction(25))
    return path


def _window() -> np.ndarray:
    random = np.random.default_rng(2)
    width, height = net_size(WIDTH, HEIGHT, INPUT_SIZE)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    scene = np.sin(x / 90) + np.cos(y / 70) + (x + 2 * y > 900)
    noise = random.standard_normal((32, height, width), np.float32)
    noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / np.float32(3)
    return np.asarray(scene + 1e-3 * np.ptp(scene) * noise, np.float32)


def _cpu(work: Callable[[], Any], frames: int, rounds: int = 3) -> float:
    """Milliseconds of CPU per frame: the least of three."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent) / frames * 1e3


def _decode(video: Path) -> None:
    info = probe(video)
    for _ in read_frames(info, index_frames(info), 0, FRAMES, threads=CORES):
        pass


def _prepare(video: Path) -> float:
    info = probe(video)
    frames = [frame.rgb for frame in read_frames(info, index_frames(info), 0, 20)]
    prepare = Preparer(*net_size(WIDTH, HEIGHT, INPUT_SIZE))

    def prepare_all() -> None:
        # A worker lets each go once the network has it, and so its memory is used again: kept, they would all
        # be in memory that nobody had touched, which takes a third more.
        for rgb in frames:
            prepare(rgb)

    return _cpu(prepare_all, len(frames))


def _stub_run(video: Path, folder: Path, window: np.ndarray) -> tuple[float, float]:
    """Seconds by the clock and of CPU for a whole chunk, as a worker computes it."""
    scene = Scene(folder)
    split(video, scene, PlanSettings(chunks=1))
    width, height = net_size(WIDTH, HEIGHT, INPUT_SIZE)
    record = RunRecord("vits", "vits", "", "0" * 64, "", "", False, INPUT_SIZE, width, height, "fp32", "", "0")
    scene.write_run(record)
    engine = Engine(StubNetwork(window), torch.device("cpu"))  # type: ignore[arg-type]
    computer = Computer(engine, record, CORES, folder / "fits.json")
    began, spent = time.perf_counter(), sum(os.times()[:2])
    compute_chunk(scene, 0, computer)
    return time.perf_counter() - began, sum(os.times()[:2]) - spent
