"""A scene's frames: pictures with their exact depth and pose, in any order and in batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vda.synth.raster import Parts, Placed, View, trace
from vda.synth.scenes import Scene
from vda.synth.shading import Shader
from vda.synth.sins import develop
from vda.synth.textures import Atlas
from vda.synth.things import Array

TEXTURE_SIZE = 256
_BAND_PIXELS = 1 << 16


@dataclass(frozen=True)
class RenderedFrame:
    """One frame: ``rgb`` uint8 [H, W, 3]; ``depth_m`` float32 [H, W], metres along the optical axis at pixel
    centres, infinity where there is sky; ``thing`` int32 [H, W], index into the scene's things, -1 for sky;
    ``camera_to_world`` float64 [4, 4]."""

    index: int
    time_s: float
    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    thing: NDArray[np.int32]
    camera_to_world: Array


def render_frames(
    scene: Scene,
    frame_indices: Iterable[int],
    width: int,
    height: int,
    *,
    fps: float = 25.0,
    device: str | torch.device = "cpu",
    batch: int = 2,
    samples: int = 1,
) -> Iterator[RenderedFrame]:
    """Yield the frames in the order asked for.

    Depth, poses and thing numbers are the same bytes for any order and batch size on one kind of device.
    ``samples`` squared rays a pixel make the colours smoother; the truth is that of the pixel's centre.
    """
    device = torch.device(device)
    atlas = Atlas(list(scene.patterns), TEXTURE_SIZE, device)
    shader = Shader(scene.things, scene.light, atlas, device)
    parts = Parts(scene.things)
    pending = iter(frame_indices)
    while indices := list(islice(pending, batch)):
        yield from _render(scene, parts, shader, indices, (width, height), fps, device, samples)


def _render(
    scene: Scene,
    parts: Parts,
    shader: Shader,
    indices: list[int],
    size: tuple[int, int],
    fps: float,
    device: torch.device,
    samples: int,
) -> Iterator[RenderedFrame]:
    times = [index / fps for index in indices]
    placed = [parts.at(time) for time in times]
    camera = scene.intrinsics(*size)
    views = [View(scene.camera_to_world(time), camera) for time in times]
    hits = trace(placed, views, device)
    turns = torch.from_numpy(np.stack([_normal_turns(p) for p in placed])).to(device)
    if samples == 1:
        light = shader.colours(hits, views, times, turns)
    else:
        light = torch.cat(
            [
                _smooth(shader.colours(trace(placed, band, device), band, times, turns), samples)
                for band in _bands(views, samples)
            ],
            dim=1,
        )
    linear, depth = light.contiguous().cpu().numpy(), hits.depth.cpu().numpy()
    owners = np.append(parts.owners, -1).astype(np.int32)  # the last for part -1, which is the sky
    thing = owners[hits.part.cpu().numpy()]
    for row, index in enumerate(indices):
        flow = _flow(scene, times[row], camera.fx)
        rgb = develop(linear[row], scene.sins, scene.seed, index, times[row], flow)
        yield RenderedFrame(index, times[row], rgb, depth[row], thing[row], views[row].camera_to_world)


def _bands(views: list[View], samples: int) -> Iterator[list[View]]:
    """The views with ``samples`` times as many pixels each way, in bands of rows that fit into a CPU's cache."""
    camera = views[0].intrinsics
    fine = camera.scaled(camera.width * samples, camera.height * samples)
    step = samples * max(1, _BAND_PIXELS // (fine.width * samples))
    for top in range(0, fine.height, step):
        band = fine.cropped(0, top, fine.width, min(step, fine.height - top))
        yield [View(view.camera_to_world, band) for view in views]


def _smooth(light: Tensor, samples: int) -> Tensor:
    """Means of ``samples`` x ``samples`` pixels of [F, H, W, 3]."""
    return torch.nn.functional.avg_pool2d(light.permute(0, 3, 1, 2), samples).permute(0, 2, 3, 1)


def _normal_turns(placed: Placed) -> NDArray[np.float32]:
    """World from unit part, for normals: the inverse transpose of the parts' stretched rotations, [P, 9]."""
    return (placed.turns / placed.halves[:, None, :]).reshape(-1, 9).astype(np.float32)


def _flow(scene: Scene, time_s: float, focal_px: float) -> tuple[float, float]:
    """How fast the picture moves as the camera turns, in pixels per second to the right and down."""
    step = 1e-3
    now, later = scene.camera_to_world(time_s)[:3, :3], scene.camera_to_world(time_s + step)[:3, :3]
    ahead = later.T @ now[:, 2]
    return float(ahead[0] * focal_px / step), float(ahead[1] * focal_px / step)
