"""How good the built-in model is: on synthetic clips it never saw, and on a folder of real RGB-D frames.

In go weights and the clips to judge on; out come rows of figures by the field's protocol
(``vda.metrics``), beside two that know nothing: a vertical ramp and a constant. This file does not know
how the model was trained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from safetensors.torch import load_file

from vda.camera.intrinsics import Intrinsics
from vda.camera.poses import read_cameras
from vda.errors import InputError
from vda.metrics import Figures, measure, ramp
from vda.metrics.masks import inside_border
from vda.network import VideoDepthModel, build_model
from vda.stills.numbering import number_names
from vda.training.cache import HELD_OUT_SEED, Clip, read, render
from vda.training.clips import clip_world
from vda.training.inmemory import still_depth, video_depth

# The field's usual caps, indoors and outdoors.
INDOOR_CAP_M = 10.0
SYNTHETIC_CAP_M = 80.0
# A raw Kinect's colour and depth cameras stand apart: near the border they see different things.
RGBD_BORDER = 40
_REMEDY = "Give a folder with all three files of every frame."
# Three windows each, so that joining is judged too.
HELD_OUT_CLIPS = 24
HELD_OUT_FRAMES = 64
HELD_OUT_SIZE = (216, 384)

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """One video with its truth: ``rgb`` ``[T, H, W, 3]``, ``depth_m`` ``[T, H, W]``.

    With a camera (``poses``: camera to world), the temporal error is among the figures.
    """

    name: str
    rgb: np.ndarray
    depth_m: np.ndarray
    cap_m: float
    border: int = 0
    intrinsics: Intrinsics | None = None
    poses: np.ndarray | None = None

    def figures(self, predict: Predict) -> Figures:
        """What ``predict`` (RGB to inverse depth ``[T, H, W]``) is worth here."""
        count, height, width = self.depth_m.shape
        mask = inside_border((height, width), self.border)
        return measure(
            predict(self.rgb),
            self.depth_m,
            [mask] * count,
            cap_m=self.cap_m,
            intrinsics=self.intrinsics,
            poses=self.poses,
        )


def loaded(weights: Path) -> VideoDepthModel:
    """The built-in model with the weights of a safetensors file, in float32."""
    model = build_model("mini")
    model.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    return model.eval()


def predictors(model: VideoDepthModel, input_size: int, stills: bool) -> dict[str, Predict]:
    """The model, optionally the model without time, and the two that know nothing, by name."""
    chosen: dict[str, Predict] = {"mini": lambda rgb: video_depth(model, rgb, input_size)}
    if stills:
        chosen["mini, 32 copies of one frame"] = lambda rgb: still_depth(model, rgb, input_size)
    return chosen | {
        "vertical ramp": lambda rgb: np.stack([ramp(*rgb.shape[1:3])] * len(rgb)),
        "constant": lambda rgb: np.ones(rgb.shape[:3], np.float32),
    }


def table(samples: list[Sample], chosen: dict[str, Predict]) -> dict[str, list[Figures]]:
    """Figures of every predictor on every sample."""
    return {name: [sample.figures(predict) for sample in samples] for name, predict in chosen.items()}


def as_markdown(rows: dict[str, list[Figures]]) -> str:
    """A table of each predictor's means over the samples, everything the right way up.

    Where the best fit of a sample is upside down it is counted, and what enters the mean is the best fit that is
    not: what calls far near is of no use as depth, however well its negative fits.
    """
    lines = ["| | AbsRel | delta1 | DBE acc, com (px) | TAE | upside down |", "|---|---|---|---|---|---|"]
    for name, of_samples in rows.items():
        figures = [sample.right_way_up for sample in of_samples]
        absrel, delta1 = (np.mean([getattr(f, key) for f in figures]) for key in ("abs_rel", "delta1"))
        edges = [(f.boundaries.dbe_acc, f.boundaries.dbe_com) for f in figures if f.boundaries is not None]
        distances = "{:.2f}, {:.2f}".format(*np.mean(edges, axis=0)) if edges else "-"
        temporal = [f.tae for f in figures if f.tae is not None]
        tae = f"{np.mean(temporal):.3f}" if temporal else "-"
        flipped = sum(sample.upside_down for sample in of_samples)
        lines.append(
            f"| {name} | {absrel:.4f} | {delta1:.3f} | {distances} | {tae} | {flipped} of {len(figures)} |"
        )
    return "\n".join(lines)


def in_words(name: str, figures: Figures) -> str:
    """One sample's figures in a line; an upside-down fit is marked, and what its best comes to stands after it."""
    upright = figures.right_way_up
    told = f"{name}: AbsRel {upright.abs_rel:.3f}, delta1 {upright.delta1:.3f}"
    if figures.upside_down:
        told += f" (!) upside down at its best: {figures.abs_rel:.3f}, {figures.delta1:.3f}"
    return told


def held_out(folder: Path) -> list[Sample]:
    """The synthetic clips that no training run may see, rendered into ``folder`` unless they are there."""
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + HELD_OUT_CLIPS)
    return [synthetic(folder, Clip(seed, HELD_OUT_FRAMES, *HELD_OUT_SIZE)) for seed in seeds]


def synthetic(folder: Path, clip: Clip) -> Sample:
    """A rendered clip; infinitely far, in the sky, there is no truth. No camera: too much in it moves for TAE."""
    render(folder, clip)
    rgb, inverse_depth = read(folder, clip, range(clip.frames))
    world, _ = clip_world(clip.seed, clip.frames)
    with np.errstate(divide="ignore"):
        depth = 1 / inverse_depth.astype(np.float32)
    return Sample(f"{clip.seed} ({world.style}, {world.motion})", rgb, depth, SYNTHETIC_CAP_M)


def rgbd_folder(folder: Path) -> Sample:
    """A folder as 7-Scenes has them: ``NAME.color.jpg``, ``.depth.png`` (uint16 millimetres) and ``.pose.txt``.

    Raises ``InputError`` where a picture lacks one of the others.
    """
    named = sorted(path.name.removesuffix(".color.jpg") for path in folder.glob("*.color.jpg"))
    numbering = number_names(named, folder)
    names = [named[place] for place in numbering.places]
    rgb = np.stack([_picture(folder / f"{name}.color.jpg", cv2.IMREAD_COLOR_RGB) for name in names])
    depth = np.stack([_picture(folder / f"{name}.depth.png", cv2.IMREAD_UNCHANGED) for name in names])
    height, width = depth.shape[1:]
    cameras = read_cameras(folder, (width, height))
    if lacking := sorted(set(numbering.frames) - cameras.camera_to_world.keys()):
        raise InputError(f"{folder} has no pose of frame {lacking[0]}.", _REMEDY)
    poses = np.stack([cameras.camera_to_world[frame] for frame in numbering.frames])
    return Sample(folder.name, rgb, depth / 1000.0, INDOOR_CAP_M, RGBD_BORDER, cameras.intrinsics, poses)


def _picture(path: Path, how: int) -> np.ndarray:
    picture = cv2.imread(str(path), how)
    if picture is None:
        raise InputError(f"{path} is missing or no picture.", _REMEDY)
    return picture
