"""Views of a second eye against what a second camera sees of rendered worlds, and the time that a view takes.

The left camera's picture and depth go in; the right camera's picture is the truth. Depth is the exact one, or as
coarse and soft as a network's. Figures are PSNR in dB over all worlds' pixels that the left camera sees too, over
those of them within 12 pixels of a depth edge, and over those that it does not see, which are filled in.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure
from vda.stereo.disparity import sharpened
from vda.stereo.warping import view
from vda.synth.cameras import Array, CameraPath
from vda.synth.render import render_frames
from vda.synth.worlds import World, sample_world

Floats = NDArray[np.float32]

WORLDS = [("room", 3), ("room", 4), ("yard", 5), ("yard", 6), ("hall", 7), ("corridor", 11), ("street", 13)]
WIDTH, HEIGHT = 640, 360
PARALLAX = 0.02
NEAR_EDGE = 12
# How many pixels of the picture one of the network's is, and what is asked of views with edges made steps.
DEPTHS = {
    "exact depth": (0.0, 33.5),
    "depth half as fine": (2.0, 32.5),
    "depth of 192 pixels": (WIDTH / 192, 31.5),
}
MOST_MS = 400.0


class _Aside(CameraPath):
    """A camera ``metres`` to the right of another."""

    def __init__(self, path: CameraPath, metres: float) -> None:
        super().__init__(**vars(path))
        object.__setattr__(self, "metres", metres)

    def camera_to_world(self, time_s: float) -> Array:
        pose = super().camera_to_world(time_s).copy()
        pose[:3, 3] += vars(self)["metres"] * pose[:3, 0]
        return pose


def measure() -> Iterator[Figure]:
    for name, (coarseness, bound) in DEPTHS.items():
        radius = max(2, int(np.ceil(coarseness)))
        for edges, made in (("as they are", None), ("made steps", radius)):
            squares, pixels = np.sum([_errors(world, coarseness, made) for world in WORLDS], axis=0)
            for place, error in zip(("seen by both", "near edges", "filled in"), squares / pixels, strict=True):
                asked = bound if made and place == "near edges" else None
                yield Figure(
                    f"{name}, edges {edges}: {place}", 10 * np.log10(255**2 / error), "dB", asked, "at least"
                )
    yield Figure("both views of 1920 x 1080, one thread", _milliseconds(), "ms", MOST_MS)


def _errors(world: tuple[str, int], coarseness: float, radius: int | None) -> tuple[list[float], list[int]]:
    """The sums of squared errors in three parts of the picture, and how many pixels they have."""
    left, right, disparity, of_right = _pair(*world)
    both, edges = _seen_by_both(disparity, of_right), _near_edges(of_right)
    if coarseness:
        disparity = _as_of_a_network(disparity, coarseness)
    made = view(left, disparity if radius is None else sharpened(disparity, radius), -1.0)
    error = np.square(made.astype(np.float32) - right).mean(-1)
    parts = (both, both & edges, ~both)
    return [float(error[part].sum()) for part in parts], [int(part.sum()) for part in parts]


@cache
def _pair(style: str, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats, Floats]:
    """Both cameras' pictures and disparities: 2 per cent of the width for the nearest but for 2 per cent."""
    world = sample_world(seed, 0.4, style, sins=False)
    rgb, inverse = _rendered(world)
    nearest, focal = float(np.percentile(inverse, 98)), world.intrinsics(WIDTH, HEIGHT).fx
    pixels = PARALLAX * WIDTH
    aside = replace(world, camera=_Aside(world.camera, pixels / (focal * nearest)))
    right, right_inverse = _rendered(aside)
    return rgb, right, pixels * inverse / nearest, pixels * right_inverse / nearest


def _rendered(world: World) -> tuple[NDArray[np.uint8], Floats]:
    frame = next(iter(render_frames(world, [0], WIDTH, HEIGHT, samples=3)))
    return frame.rgb, (1 / frame.depth_m).astype(np.float32)


def _as_of_a_network(disparity: Floats, coarseness: float) -> Floats:
    size = (round(WIDTH / coarseness), round(HEIGHT / coarseness))
    coarse = cv2.GaussianBlur(cv2.resize(disparity, size, interpolation=cv2.INTER_AREA), (0, 0), 0.6)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), np.float32)


def _seen_by_both(disparity: Floats, of_right: Floats) -> NDArray[np.bool_]:
    """Whether the left camera sees what a pixel of the right one shows: it has that depth there."""
    columns = np.arange(WIDTH) + of_right
    nearest = np.clip(np.rint(columns), 0, WIDTH - 1).astype(int)
    same = np.abs(np.take_along_axis(disparity, nearest, axis=1) - of_right) < 0.75
    return np.asarray(same & (columns <= WIDTH - 1))


def _near_edges(disparity: Floats) -> NDArray[np.bool_]:
    square = np.ones((3, 3), np.uint8)
    steps = cv2.dilate(disparity, square) - cv2.erode(disparity, square) > 1
    return np.asarray(cv2.dilate(steps.astype(np.uint8), np.ones((1, 2 * NEAR_EDGE + 1), np.uint8)) > 0)


def _milliseconds() -> float:
    left, _, disparity, _ = _pair(*WORLDS[4])
    picture = np.asarray(cv2.resize(left, (1920, 1080)), np.uint8)
    large = np.asarray(cv2.resize(disparity, (1920, 1080)) * 3, np.float32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        edged = sharpened(large, 10)
        for share in (0.5, -0.5):
            view(picture, edged, share)
        taken.append(time.perf_counter() - start)
    cv2.setNumThreads(threads)
    return 1000 * min(taken)
