"""Where the training looks: clips of ``synth``'s worlds as plain arrays.

A seed, a length and a size go in; pictures and inverse depth come out. This file knows nothing of learning.
"""

import numpy as np

from vda.synth.render import render_frames
from vda.synth.worlds import World, sample_world

FPS = 25.0
# Short clips are for stills: frames this far apart show the world from places that differ.
STILLS_STEP = 10
# Longer clips are for windows, whose frames follow one another.
LONGEST_STILLS = 16


# Which styles a training sees: those that the model is worst at more often than ``STYLES`` draws them.
SHARES = {
    "room": 0.22,
    "table": 0.19,
    "corridor": 0.05,
    "hall": 0.07,
    "street": 0.13,
    "field": 0.09,
    "yard": 0.15,
    "abstract": 0.1,
}


def training_style(seed: int) -> str:
    """The style that a training gives the world of ``seed``."""
    # Apart from the world's own draws, which begin with the bare seed.
    generator = np.random.default_rng([seed, 1])
    return str(generator.choice(list(SHARES), p=list(SHARES.values())))


def render_clip(
    seed: int, frames: int, height: int, width: int, style: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return RGB ``[T, H, W, 3]`` uint8 and inverse depth ``[T, H, W]`` float16 (1/metre, 0 for the sky)."""
    world, times = clip_world(seed, frames, style)
    rgb = np.empty((frames, height, width, 3), np.uint8)
    inverse_depth = np.empty((frames, height, width), np.float16)
    indices = [round(time * FPS) for time in times]
    for place, frame in enumerate(render_frames(world, indices, width, height, fps=FPS)):
        rgb[place], inverse_depth[place] = frame.rgb, 1 / frame.depth_m
    return rgb, inverse_depth


def clip_world(seed: int, frames: int, style: str | None = None) -> tuple[World, list[float]]:
    """The clip's world and the times of its frames in seconds.

    Up to ``LONGEST_STILLS`` frames are ``STILLS_STEP`` apart; more are consecutive.
    """
    step = STILLS_STEP if frames <= LONGEST_STILLS else 1
    world = sample_world(seed, duration_s=frames * step / FPS, style=style)
    return world, [index * step / FPS for index in range(frames)]
