"""Rendered training clips on disk, outside the work tree: rendered once, read a few frames at a time.

A clip is one ``.npy`` file, its seed and shape in its name, with a record per frame: ``rgb`` (uint8 ``[H, W, 3]``)
and ``inverse_depth`` (float16 ``[H, W]``, 1/metre, 0 for the sky). Files appear whole, so any number of renderers
and readers may share a folder. This file does not know how batches are made or what a network is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vda.errors import InputError
from vda.files import DAMAGED_ARRAYS, atomic_path, damage, storage_errors, user_cache
from vda.training.clips import render_clip, training_style

# Seeds from here on are the judge's: training refuses them.
HELD_OUT_SEED = 900_000
_NAME = re.compile(r"clip_(\d+)_(\d+)x(\d+)x(\d+)\.npy")


@dataclass(frozen=True, order=True)
class Clip:
    """One clip to be rendered or read: ``frames`` frames of ``height`` x ``width`` from ``seed``."""

    seed: int
    frames: int
    height: int
    width: int

    @property
    def name(self) -> str:
        return f"clip_{self.seed:06d}_{self.frames}x{self.height}x{self.width}.npy"


def default_cache() -> Path:
    """The user's cache folder for clips and checkpoints."""
    return user_cache() / "vda" / "training"


def listed(folder: Path) -> list[Clip]:
    """The finished clips in ``folder``, in the order of their seeds."""
    matches = (_NAME.fullmatch(path.name) for path in folder.glob("clip_*.npy"))
    return sorted(Clip(*map(int, match.groups())) for match in matches if match)


def frame_type(height: int, width: int) -> np.dtype:
    """One frame's record."""
    return np.dtype([("rgb", np.uint8, (height, width, 3)), ("inverse_depth", np.float16, (height, width))])


def read(folder: Path, clip: Clip, frames: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return RGB ``[T, H, W, 3]`` uint8 and inverse depth ``[T, H, W]`` float16 of the given frames.

    Raises ``InputError`` where the file holds another clip, or none.
    """
    path = folder / clip.name
    try:
        stored = np.load(path, mmap_mode="r")
        if stored.shape != (clip.frames,) or stored.dtype != frame_type(clip.height, clip.width):
            raise ValueError(f"{stored.dtype} {list(stored.shape)}")
    except DAMAGED_ARRAYS as error:
        raise InputError(
            f"{path} is not the clip that its name promises: {damage(error)}.", "Remove it; it is rendered again."
        ) from error
    records = stored[list(frames)]
    return records["rgb"], records["inverse_depth"]


def render(folder: Path, clip: Clip) -> None:
    """Render ``clip`` into ``folder`` unless it is there."""
    path = folder / clip.name
    if path.exists():
        return
    records = np.empty(clip.frames, frame_type(clip.height, clip.width))
    style = training_style(clip.seed) if clip.seed < HELD_OUT_SEED else None
    records["rgb"], records["inverse_depth"] = render_clip(clip.seed, clip.frames, clip.height, clip.width, style)
    with atomic_path(path) as temporary, storage_errors(path), temporary.open("wb") as handle:
        np.save(handle, records)
