"""Batch number ``step`` of a run as a pure function of the recipe, the step and the clips that exist.

Out come network input ``[B, T, 3, h, w]`` and inverse depth ``[B, T, h, w]`` (float32, CPU). A resumed run thus
sees what an uninterrupted one would have seen. This file does not know the network or how clips are rendered.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vda.training.augment import augment
from vda.training.cache import Clip, read
from vda.training.recipe import Phase, Size

# In a long video's window (windows.slot_frames) slot 1 lies 12 frames before slot 2.
SECOND_ANCHOR = 12


def batch_at(folder: Path, clips: Sequence[Clip], phase: Phase, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Return one step's images and inverse depth.

    Clips shorter than ``phase.slots`` are passed over, unless there are no others.
    """
    generator = np.random.default_rng([seed, step])
    size = phase.sizes[int(generator.integers(len(phase.sizes)))]
    usable = [clip for clip in clips if clip.frames >= phase.slots] or clips
    chosen = generator.choice(len(usable), phase.clips, replace=len(usable) < phase.clips)
    made = [
        _example(folder, usable[int(index)], phase.slots, size, np.random.default_rng([seed, step, place]))
        for place, index in enumerate(chosen)
    ]
    return torch.stack([images for images, _ in made]), torch.stack([depths for _, depths in made])


def _example(
    folder: Path, clip: Clip, count: int, size: Size, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    rgb, inverse_depth = read(folder, clip, slots(clip.frames, count, generator))
    images = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    return augment(images, torch.from_numpy(inverse_depth).float(), size, generator)


def slots(frames: int, count: int, generator: np.random.Generator) -> list[int]:
    """Frame indices for ``count`` slots out of a clip of ``frames``: one still, or a window with its anchors.

    A window is, as at inference, either a video's first (consecutive frames) or a later one: any earlier frame
    for slot 0, the one ``SECOND_ANCHOR`` back for slot 1, consecutive frames from slot 2 on. Past the end the last
    frame repeats.
    """
    if count <= 2:
        return sorted(int(i) for i in generator.choice(frames, count, replace=False))
    start = int(generator.integers(max(frames - count + 3, 1)))
    if start < 2 or generator.random() < 0.15:
        chosen = list(range(start, start + count))
    else:
        anchor = int(generator.integers(start))
        chosen = [anchor, max(start - SECOND_ANCHOR, 0), *range(start, start + count - 2)]
    return [min(i, frames - 1) for i in chosen]
