"""Counting the frames of a 4K film (`vda split`) against decoding alone, in turn: CPU time and speed."""

import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure
from vda.video import index_frames, probe, write_clip

# So many frames that opening the film and writing the index, some 20 ms, count for little.
WIDTH, HEIGHT, FRAMES = 3840, 2160, 60
ROUNDS = 3


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        write_clip(film, _pictures(), fps=Fraction(25), options={"preset": "veryfast", "crf": "23"})
        yield Figure("split: the 4K film", film.stat().st_size * 8 * 25 / FRAMES / 1e6, "Mbit/s")
        info = probe(film)

        def decode() -> None:
            with av.open(film) as container:
                container.streams.video[0].thread_type = "AUTO"
                for _ in container.decode(video=0):
                    pass

        def count() -> None:
            with tempfile.TemporaryDirectory() as empty:
                index_frames(info, cache_dir=Path(empty))

        decode()
        rounds = np.array([[_spent(decode), _spent(count)] for _ in range(ROUNDS)])
    wall, cpu = np.moveaxis(rounds, 2, 0)
    yield Figure("split: CPU of decoding a frame", float(np.median(cpu[:, 0])) / FRAMES * 1e3, "ms")
    yield Figure(
        "split: CPU of decoding, of that of counting",
        float(np.median(cpu[:, 0] / cpu[:, 1])),
        "",
        0.95,
        "at least",
    )
    yield Figure(
        "split: of the decoder's own speed", float(np.median(wall[:, 0] / wall[:, 1])), "", 0.95, "at least"
    )


def _spent(work: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _pictures() -> Iterator[NDArray[np.uint8]]:
    """A picture that is moved, with grain of its own in every frame: as hard to decode as what a camera gives."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    grain = random.normal(0, 4, (HEIGHT + 64, WIDTH + 64)).astype(np.float32)
    for frame in range(FRAMES):
        dy, dx = random.integers(0, 64, 2)
        grey = 110 + 60 * np.sin((x + 7 * frame) / 60) * np.cos((y - 3 * frame) / 45)
        grey += 25 * np.sign(np.sin((x + 2 * y + 9 * frame) / 31)) + grain[dy : dy + HEIGHT, dx : dx + WIDTH]
        shown = np.clip(grey, 0, 255).astype(np.uint8)
        yield np.stack([shown, shown, 255 - shown // 2], -1)
