"""A world's frames: pictures with their exact depth and pose, in any order and in batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vda.errors import DeviceError
from vda.synth.raster import Hits, Parts, Placed, Viewpoint, trace
from vda.synth.shading import Shader
from vda.synth.sins import develop
from vda.synth.textures import Atlas
from vda.synth.things import Array
from vda.synth.worlds import World

# A world's 26 patterns with all their mip levels take 9 MB.
TEXTURE_SIZE = 256
# A quarter of a megabyte for each map of float32: bands stay in a CPU's cache.
_BAND_PIXELS = 1 << 16


@dataclass(frozen=True)
class RenderedFrame:
    """One frame: ``rgb`` uint8 [H, W, 3]; ``depth_m`` float32 [H, W], metres along the optical axis at pixel
    centres, infinity where there is sky; ``thing`` int32 [H, W], index into the world's things, -1 for sky;
    ``camera_to_world`` float64 [4, 4]."""

    index: int
    time_s: float
    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    thing: NDArray[np.int32]
    camera_to_world: Array


def render_frames(
    world: World,
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
    ``samples`` squared rays per pixel make the colours smoother; the truth is that of the pixel's centre. Raises
    ``DeviceError`` for a device that is not there.
    """
    session = _Session(world, width, height, fps, _usable(device), samples)
    pending = iter(frame_indices)
    while indices := list(islice(pending, batch)):
        yield from session.render(indices)


def _usable(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"PyTorch cannot use the device {device}.", "Choose another, for example cpu."
        ) from error


class _Session:
    """What the frames of a world share: patterns, still shadows, and where what stands still is."""

    def __init__(
        self, world: World, width: int, height: int, fps: float, device: torch.device, samples: int
    ) -> None:
        self._world, self._fps, self._device, self._samples = world, fps, device, samples
        self._camera = world.intrinsics(width, height)
        self._parts = Parts(world.things)
        atlas = Atlas(list(world.patterns), TEXTURE_SIZE, device)
        self._shader = Shader(world.things, world.light, atlas, device)

    def render(self, indices: list[int]) -> Iterator[RenderedFrame]:
        world, times = self._world, [index / self._fps for index in indices]
        placed = [self._parts.at(time) for time in times]
        views = [Viewpoint(world.camera_to_world(time), self._camera) for time in times]
        hits = trace(placed, views, self._device)
        linear = self._light(placed, views, times, hits).cpu().numpy()
        depth = hits.depth.cpu().numpy()
        owners = np.append(self._parts.owners, -1).astype(np.int32)  # the last for part -1, which is the sky
        thing = owners[hits.part.cpu().numpy()]
        for row, (index, time) in enumerate(zip(indices, times, strict=True)):
            rgb = develop(linear[row], world.sins, world.seed, index, time, _flow(world, time, self._camera.fx))
            yield RenderedFrame(index, time, rgb, depth[row], thing[row], views[row].camera_to_world)

    def _light(self, placed: list[Placed], views: list[Viewpoint], times: list[float], hits: Hits) -> Tensor:
        """Linear light float32 [F, H, W, 3]; with one sample a pixel, that of the rays that measured the depth."""
        turns = torch.from_numpy(np.stack([_normal_turns(p) for p in placed])).to(self._device)
        if self._samples == 1:
            return self._shader.colours(hits, views, times, turns).contiguous()
        bands = []
        for band in _bands(views, self._samples):
            fine = self._shader.colours(trace(placed, band, self._device), band, times, turns)
            bands.append(_smooth(fine, self._samples))
        return torch.cat(bands, dim=1).contiguous()


def _bands(views: list[Viewpoint], samples: int) -> Iterator[list[Viewpoint]]:
    """The views with ``samples`` times as many pixels each way, in bands of rows that fit into a CPU's cache."""
    camera = views[0].intrinsics
    fine = camera.scaled(camera.width * samples, camera.height * samples)
    step = samples * max(1, _BAND_PIXELS // (fine.width * samples))
    for top in range(0, fine.height, step):
        band = fine.cropped(0, top, fine.width, min(step, fine.height - top))
        yield [Viewpoint(view.camera_to_world, band) for view in views]


def _smooth(light: Tensor, samples: int) -> Tensor:
    """Means of ``samples`` x ``samples`` pixels of [F, H, W, 3]."""
    return torch.nn.functional.avg_pool2d(light.permute(0, 3, 1, 2), samples).permute(0, 2, 3, 1)


def _normal_turns(placed: Placed) -> NDArray[np.float32]:
    """World from unit part, for normals: the inverse transpose of the parts' stretched rotations, [P, 9]."""
    return (placed.turns / placed.halves[:, None, :]).reshape(-1, 9).astype(np.float32)


def _flow(world: World, time_s: float, focal_px: float) -> tuple[float, float]:
    """How fast the picture moves as the camera turns, in pixels per second to the right and down."""
    step = 1e-3
    now, later = world.camera_to_world(time_s)[:3, :3], world.camera_to_world(time_s + step)[:3, :3]
    ahead = later.T @ now[:, 2]
    return float(ahead[0] * focal_px / step), float(ahead[1] * focal_px / step)
