"""Where the training looks: clips of ``synth``'s scenes as plain arrays.

A seed, a length and a size go in; pictures and inverse depth come out. This file knows nothing of learning.
"""

import numpy as np

from vda.synth.render import render_frames
from vda.synth.scenes import sample_scene

FPS = 25.0
# Short clips are for stills: frames this far apart show the scene from places that differ.
STILLS_STEP = 10
LONGEST_STILLS = 16


def render_clip(seed: int, frames: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return RGB ``[T, H, W, 3]`` uint8 and inverse depth ``[T, H, W]`` float16 (1/metre, 0 for the sky).

    Up to ``LONGEST_STILLS`` frames are ``STILLS_STEP`` apart in time; more are consecutive.
    """
    step = STILLS_STEP if frames <= LONGEST_STILLS else 1
    scene = sample_scene(seed, duration_s=frames * step / FPS)
    rgb = np.empty((frames, height, width, 3), np.uint8)
    inverse_depth = np.empty((frames, height, width), np.float16)
    for place, frame in enumerate(render_frames(scene, range(0, frames * step, step), width, height, fps=FPS)):
        rgb[place], inverse_depth[place] = frame.rgb, 1 / frame.depth_m
    return rgb, inverse_depth
