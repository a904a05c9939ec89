"""A merged scene of two independent chunks whose depth another program made, by arithmetic."""

from pathlib import Path

import numpy as np
from clips import make_clip

from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

FRAMES, WIDTH, HEIGHT = 36, 64, 48
# What the depth changes by from frame to frame.
CHANGE = 0.05
FIRST = """\
{"event": "chunk_begun", "unix_s": 100.0, "host": "h", "device": "GPU-1", "pid": 11, "chunk": 1, "windows": 2, \
"memory": "m"}
{"event": "window_computed", "unix_s": 110.0, "host": "h", "device": "GPU-1", "pid": 11, "chunk": 1, \
"sequence": 1, "k": 0, "start_frame": 18, "end_frame": 30, "seconds": 5.0, "precision": "fp32"}
"""
SECOND = """\
{"event": "chunk_begun", "unix_s": 160.0, "host": "h", "device": "GPU-2", "pid": 12, "chunk": 1, "windows": 1, \
"memory": "m"}
{"event": "window_computed", "unix_s": 220.0, "host": "h", "device": "GPU-2", "pid": 12, "chunk": 1, \
"sequence": 1, "k": 1, "start_frame": 30, "end_frame": 36, "seconds": 5.0, "precision": "fp32"}
"""


def make_scene(
    root: Path,
    *,
    jump: float = 0.0,
    overlap: int = 0,
    change: float = CHANGE,
    chunks: int = 2,
    holes: int = 0,
    nearest: float = 0.0,
    flat: int | None = None,
) -> Scene:
    """``jump`` is added to the depth of each chunk after the first, once more each time.

    ``change`` is what it rises by per frame; ``holes`` pixels of each frame have no depth, and one has ``nearest``
    more than the others; the chunk ``flat`` is the same everywhere.
    """
    root.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    video = make_clip(root / "a <b>.mp4", range(FRAMES), draw=lambda number: np.roll(noise, number, 1))
    scene = Scene(root / "scene <1>")
    plan = split(video, scene, PlanSettings(chunks=chunks, chunking="independent", overlap=overlap))
    scene.depths_dir.mkdir()
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for chunk in plan.chunks:
        frames = np.arange(chunk.start, chunk.stop)[:, None, None]
        stack = (2 + 0.1 * y + 0.02 * x + change * frames + jump * chunk.index).astype(np.float32)
        if chunk.index == flat:
            stack[:] = 3
        stack[:, 0, :holes] = np.nan
        stack[:, -1, -1] += nearest
        np.save(scene.depths_dir / f"chunk_{chunk.index:02d}_depths.npy", stack)
    scene.logs_dir.mkdir()
    scene.events_path("h_GPU-1").write_text(FIRST)
    scene.events_path("h_GPU-2").write_text(SECOND)
    merge(scene, MergeSettings())
    return scene
