"""The engine against the straightforward way of computing, and the built-in model's frames per second."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bench.baseline import baseline_window
from bench.figures import Figure
from vda.api.pipeline import RunSettings
from vda.api.todepth import depth
from vda.compute.engine import Engine, Picture
from vda.merging.settings import MergeSettings
from vda.network.model import VideoDepthModel, build_model
from vda.network.preprocess import net_size
from vda.scene.windows import sequence_windows
from vda.video import index_frames, probe

SAMPLE = Path(__file__).parents[1] / "data" / "sample.mp4"
ROUNDS = 2
FRAMES = 91


def measure() -> Iterator[Figure]:
    torch.set_num_threads(2)
    model = build_model("vits")
    pixels = _frames(FRAMES, *net_size(1280, 720, 280))
    ours, plain = [], []
    for _ in range(ROUNDS):
        # In turn, so that a machine that slows down slows both.
        plain.append(_baseline_seconds(model, pixels))
        ours.append(_engine_seconds(model, pixels))
    yield Figure("vits at 280: the straightforward way", min(plain) / FRAMES * 1e3, "ms per frame")
    yield Figure("vits at 280: the engine", min(ours) / FRAMES * 1e3, "ms per frame")
    ratios = [slow / fast for slow, fast in zip(plain, ours, strict=True)]
    yield Figure("vits at 280: times the straightforward speed", float(np.median(ratios)), "", 1.5, "at least")
    mini = build_model("mini")
    pixels = _frames(FRAMES, *net_size(640, 360, mini.preset.input_size, mini.preset.patch))
    seconds = min(_engine_seconds(mini, pixels) for _ in range(ROUNDS))
    yield Figure("mini at its default size, 640x360, the network alone", FRAMES / seconds, "frames/s")
    yield Figure("mini, video to depth, 640x360", _whole_rate(), "frames/s", 5, "at least")


def _whole_rate() -> float:
    """Frames of the sample a second with one worker of two threads: from nothing to PNGs and visualization."""
    frames = len(index_frames(probe(SAMPLE)).pts)
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        wanted = RunSettings(model="mini", devices="cpu", threads=2)
        depth([SAMPLE], [Path(place) / "scene"], wanted, MergeSettings(create_video=True))
        return frames / (time.perf_counter() - began)


def _frames(count: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, height, width)).astype(np.float32)


def _engine_seconds(model: VideoDepthModel, pixels: np.ndarray) -> float:
    windows = [window.frame_indices for window in sequence_windows(0, len(pixels))]
    began = time.perf_counter()
    for _ in Engine(model, torch.device("cpu")).compute(
        windows, lambda order: (Picture(index, pixels[index], True) for index in order)
    ):
        pass
    return time.perf_counter() - began


def _baseline_seconds(model: VideoDepthModel, pixels: np.ndarray) -> float:
    """As many windows as the public implementation computes: ceil(frames / 22)."""
    count = -(-len(pixels) // 22)
    began = time.perf_counter()
    for k in range(count):
        first = [0, 22 * k - 10] if k else [0, 1]
        frames = [min(index, len(pixels) - 1) for index in [*first, *range(22 * k + 2, 22 * k + 32)]]
        with torch.inference_mode():
            baseline_window(model, torch.from_numpy(pixels[frames]))
    return time.perf_counter() - began
