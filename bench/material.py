"""What the measurements of whole runs work on: a video that moves, planned as a scene."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from vda.api.pipeline import RunSettings
from vda.video import write_clip

INPUT_SIZE = 96


def make_video(path: Path, frames: int, fps: int = 30) -> Path:
    y, x = np.mgrid[:120, :160]
    pictures = (
        np.stack([(x + i) % 256, (y + 2 * i) % 256, (x + y) % 256], -1).astype(np.uint8) for i in range(frames)
    )
    write_clip(path, pictures, fps=Fraction(fps))
    return path


def settings(devices: str) -> RunSettings:
    """The built-in model, one thread per worker."""
    return RunSettings(model="mini", input_size=INPUT_SIZE, devices=devices, threads=1)
