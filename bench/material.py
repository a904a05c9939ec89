"""What the measurements of whole runs work on: a video that moves, and a scene whose windows are computed."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vda.api.pipeline import RunSettings
from vda.network.packing import packed
from vda.scene.scene import RunRecord, Scene
from vda.scene.windows import sequence_windows
from vda.scene.windowstore import WindowStore
from vda.splitting.stage import split
from vda.video import write_clip

INPUT_SIZE = 96


def make_video(path: Path, frames: int, fps: int = 30) -> Path:
    y, x = np.mgrid[:120, :160]
    pictures = (
        np.stack([(x + i) % 256, (y + 2 * i) % 256, (x + y) % 256], -1).astype(np.uint8) for i in range(frames)
    )
    write_clip(path, pictures, fps=Fraction(fps))
    return path


def computed_scene(folder: Path, frames: int, size: tuple[int, int], net_size: tuple[int, int]) -> Scene:
    """A scene of a film of ``size`` (width, height), with windows of ``net_size`` as a network gives them."""
    folder.mkdir()
    width, height = size
    y, x = np.mgrid[:height, :width]
    pictures = (np.stack([x + i, y + 2 * i, x + y], -1).astype(np.uint8) for i in range(frames))
    write_clip(folder / "film.mp4", pictures, fps=Fraction(25), options={"preset": "ultrafast"})
    scene = Scene(folder / "scene")
    plan = split(folder / "film.mp4", scene)
    record = RunRecord(
        "vits", "vits", "", "0" * 64, "weights.pth", "", False, net_size[1], *net_size, "float32", "", ""
    )
    scene.write_run(record)
    store = WindowStore.of(scene, record)
    for sequence in plan.sequences:
        for window in sequence_windows(sequence.start, sequence.stop):
            depth = np.stack([_depth(frame, *net_size) for frame in window.frame_indices])
            store.write((sequence.index, window.k), packed(depth), ())
    return scene


def _depth(frame: int, width: int, height: int) -> NDArray[np.float32]:
    """Waves, an edge, and the noise of a network: float32 ``[height, width]``."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    noise = np.random.default_rng(frame).standard_normal((height, width)).astype(np.float32)
    noise += np.roll(noise, 1, 0) + np.roll(noise, 1, 1)
    surface = 3 + np.sin((x + frame) / 90) + np.cos(y / 70) + (x + 2 * y + 3 * frame > width)
    return (surface + 1.3e-3 * noise).astype(np.float32)


def settings(devices: str) -> RunSettings:
    """The built-in model, one thread per worker."""
    return RunSettings(model="mini", input_size=INPUT_SIZE, devices=devices, threads=1)
