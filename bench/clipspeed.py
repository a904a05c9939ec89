"""Clips per second from ``ScaledVideos``: random access with short groups of pictures, and with workers."""

import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from bench.figures import Figure
from vda.fvc import ClipChoice, ScaledVideos
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.video import write_clip

VIDEOS, FRAMES, SIZE = 8, 300, 256
CLIP_FRAMES, CLIPS = 16, 80
SHORT_GROUP, LONG_GROUP = 12, 250
WORKERS = 2


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as place:
        metadata = _metadata(Path(place))
        rates = {}
        for group in (SHORT_GROUP, LONG_GROUP):
            folder = Path(place) / f"gop{group}"
            scale(metadata, folder, ScaleSettings(size=SIZE, gop=group))
            rates[group] = _clips_per_second(folder, 0)
        alone = rates[SHORT_GROUP]
        yield Figure(f"clips of {CLIP_FRAMES} frames, no worker", alone, "clips/s")
        yield Figure("clips per second: gop 12 against 250", alone / rates[LONG_GROUP], "", 1.5, "at least")
        together = _clips_per_second(Path(place) / f"gop{SHORT_GROUP}", WORKERS)
        yield Figure(f"clips per second: {WORKERS} workers against none", together / alone)


def _metadata(folder: Path) -> Path:
    y, x = np.mgrid[:SIZE, :SIZE]
    noise = np.random.default_rng(0).integers(0, 12, (SIZE, SIZE, 3))
    for number in range(VIDEOS):
        pictures = (
            ((np.stack([x + 2 * i, y + i, x + y + number], -1) % 200) + np.roll(noise, i, 0)).astype(np.uint8)
            for i in range(FRAMES)
        )
        write_clip(folder / f"{number}.mp4", pictures, fps=Fraction(25), options={"preset": "ultrafast"})
    table = folder / "videos.csv"
    table.write_text("video_path,label\n" + "".join(f"{number}.mp4,real\n" for number in range(VIDEOS)))
    return table


def _clips_per_second(folder: Path, workers: int) -> float:
    """After a first epoch, in which workers start and lists of frames are read."""
    videos = ScaledVideos(folder, ClipChoice(CLIP_FRAMES, random=True))
    loader = DataLoader(videos, batch_size=2, num_workers=workers, persistent_workers=workers > 0)
    epochs = CLIPS // VIDEOS
    began = 0.0
    for epoch in range(epochs + 1):
        if epoch == 1:
            began = time.monotonic()
        videos.set_epoch(epoch)
        for _ in loader:
            pass
    return epochs * VIDEOS / (time.monotonic() - began)
