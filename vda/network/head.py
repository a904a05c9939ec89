"""The dense prediction head (DPT) with its temporal modules: four maps of each frame in, depth out.

The head is cut in two. :meth:`DepthHead.per_frame` is everything that is a function of one frame alone; its
result, :class:`FrameFeatures`, may be kept and used in every window that holds the frame. :meth:`DepthHead.window`
is the rest: it mixes the frames of one window. This file knows neither the encoder's inside nor which frames make
a window. Parameter names are those of the published checkpoints (prefix ``head.``).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vda.network.slots import WINDOW_SLOTS
from vda.network.temporal import MOST_POSITIONS, TemporalModule

# Positions that a CPU's cache holds with all that the temporal module makes of them: up to 1.7 times the speed.
CACHED_POSITIONS = 64

# Patches (of one frame or of several) whose fine maps a CPU works on at once; more of them only leave its cache.
CACHED_PATCHES = 512


class FrameFeatures(NamedTuple):
    """All that the network computes of frames one by one, in the model's dtype, fine to coarse.

    With a patch grid of ``rows`` by ``columns``:
    ``level1`` ``[frames, features, 4 * rows, 4 * columns]``, after ``layer1_rn`` and ``refinenet1.resConfUnit1``;
    ``level2`` ``[frames, features, 2 * rows, 2 * columns]``, after ``layer2_rn`` and ``refinenet2.resConfUnit1``;
    ``level3`` ``[frames, channels, rows, columns]`` and
    ``level4`` ``[frames, channels, ceil(rows / 2), ceil(columns / 2)]``, before their temporal modules.
    """

    level1: Tensor
    level2: Tensor
    level3: Tensor
    level4: Tensor


class ResidualUnit(nn.Module):
    """ReLU, 3x3, ReLU, 3x3, plus the input as it came (not the rectified one)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, features)
        self.conv2 = conv3x3(features, features)

    def forward(self, maps: Tensor) -> Tensor:
        return self.conv2(self.conv1(maps.relu()).relu_()) + maps


class FusionBlock(nn.Module):
    """Joins a coarser path with a finer map and brings the sum to the next size.

    ``resConfUnit1`` is not called here: in the two finest blocks it belongs to the work done per frame.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, kernel_size=1)
        self.resConfUnit1 = ResidualUnit(features)
        self.resConfUnit2 = ResidualUnit(features)

    def forward(self, total: Tensor, size: Sequence[int]) -> Tensor:
        # The 1x1 convolution commutes with the resize, and before it there are a quarter of the pixels.
        return resize(self.out_conv(self.resConfUnit2(total)), size)


class Scratch(nn.Module):
    """Everything behind the four maps, under the name that the checkpoints give it."""

    def __init__(self, features: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn = (
            conv3x3(width, features, bias=False) for width in channels
        )
        self.refinenet1 = FusionBlock(features)
        self.refinenet2 = FusionBlock(features)
        self.refinenet3 = FusionBlock(features)
        self.refinenet4 = FusionBlock(features)
        self.output_conv1 = conv3x3(features, features // 2)
        self.output_conv2 = nn.Sequential(
            conv3x3(features // 2, 32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 1, kernel_size=1),
            nn.ReLU(inplace=True),
        )


class DepthHead(nn.Module):
    """Four maps of ``inputs`` channels to depth.

    ``channels`` are the maps' own widths in the head, ``patch`` is the side of a cell of the patch grid in pixels.
    ``pyramid`` says that the encoder's maps already have the head's four sizes; a plain transformer's are all at
    the patch grid and have to be brought there.
    """

    def __init__(
        self, inputs: Sequence[int], features: int, channels: Sequence[int], patch: int, pyramid: bool = False
    ) -> None:
        super().__init__()
        self.patch = patch
        self.projects = nn.ModuleList(
            nn.Conv2d(width, channel, kernel_size=1) for width, channel in zip(inputs, channels, strict=True)
        )
        self.resize_layers = nn.ModuleList([nn.Identity()] * 4 if pyramid else pyramid_layers(channels))
        self.motion_modules = nn.ModuleList(
            TemporalModule(width) for width in (channels[2], channels[3], features, features)
        )
        self.scratch = Scratch(features, channels)

    def per_frame(self, maps: Sequence[Tensor]) -> FrameFeatures:
        """Return what needs one frame alone, of the encoder's four maps of some frames."""
        sized = [
            resized(project(tap))
            for tap, project, resized in zip(maps, self.projects, self.resize_layers, strict=True)
        ]
        scratch = self.scratch
        return FrameFeatures(
            scratch.refinenet1.resConfUnit1(scratch.layer1_rn(sized[0])),
            scratch.refinenet2.resConfUnit1(scratch.layer2_rn(sized[1])),
            sized[2],
            sized[3],
        )

    def window(self, features: FrameFeatures, micro_batch: int) -> Tensor:
        """Return the raw depth ``[slots, rows * patch, columns * patch]`` in float32 of one window.

        ``features`` holds the window's slots in order, at most 32; they may lie on another device and are then
        brought to the model's as they are needed. Memory beyond the result and the maps at twice the patch grid
        goes with ``micro_batch``, the number of frames (or as many tokens of all frames) worked on at once.
        """
        path = self.coarse_path(features, micro_batch)
        frames = micro_batch
        if _fits_a_cache(path):
            frames = min(frames, max(1, CACHED_PATCHES // features.level3[0, 0].numel()))
        parts = zip(path.split(frames), features.level2.split(frames), features.level1.split(frames), strict=True)
        return torch.cat([self.fine_path(*part) for part in parts])

    def coarse_path(self, features: FrameFeatures, micro_batch: int) -> Tensor:
        """Run all that mixes frames; the result has level2's size."""
        scratch, device = self.scratch, self.scratch.output_conv1.weight.device
        map3 = self._in_time(0, features.level3.to(device), micro_batch)
        map4 = self._in_time(1, features.level4.to(device), micro_batch)
        path = torch.cat(
            [
                scratch.refinenet4(scratch.layer4_rn(part), features.level3.shape[-2:])
                for part in map4.split(micro_batch)
            ]
        )
        path = self._in_time(2, path, micro_batch)
        path = torch.cat(
            [
                scratch.refinenet3(
                    part + scratch.refinenet3.resConfUnit1(scratch.layer3_rn(finer)), features.level2.shape[-2:]
                )
                for part, finer in zip(path.split(micro_batch), map3.split(micro_batch), strict=True)
            ]
        )
        return self._in_time(3, path, micro_batch)

    def _in_time(self, index: int, maps: Tensor, micro_batch: int) -> Tensor:
        # As many tokens at once as a micro-batch of frames has.
        positions = max(1, maps.shape[-2] * maps.shape[-1] * micro_batch // WINDOW_SLOTS)
        positions = min(positions, MOST_POSITIONS)
        if _fits_a_cache(maps):
            positions = min(positions, CACHED_POSITIONS)
        return self.motion_modules[index](maps, positions)

    def fine_path(self, path: Tensor, level2: Tensor, level1: Tensor) -> Tensor:
        """Depth, float32, of some frames of a window, by ``coarse_path`` and their finer maps."""
        scratch = self.scratch
        height, width = level1.shape[-2:]
        path = scratch.refinenet2(path + level2.to(path.device), (height, width))
        path = scratch.refinenet1(path + level1.to(path.device), (2 * height, 2 * width))
        path = resize(scratch.output_conv1(path), (height // 4 * self.patch, width // 4 * self.patch))
        # In float32 whatever the rest runs in: half precision would show as steps in the depth.
        return scratch.output_conv2(path.float()).squeeze(1)


def _fits_a_cache(maps: Tensor) -> bool:
    """Whether work is cut to what a CPU's cache holds: where PyTorch does it, and not whoever is shown a trace."""
    return maps.device.type == "cpu" and not torch.jit.is_tracing()


def pyramid_layers(channels: Sequence[int]) -> list[nn.Module]:
    """Return the layers that bring maps at the patch grid to 4, 2, 1 and 1/2 times its size."""
    return [
        nn.ConvTranspose2d(channels[0], channels[0], kernel_size=4, stride=4),
        nn.ConvTranspose2d(channels[1], channels[1], kernel_size=2, stride=2),
        nn.Identity(),
        nn.Conv2d(channels[3], channels[3], kernel_size=3, stride=2, padding=1),
    ]


def conv3x3(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=bias)


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps bilinearly, corners on corners."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)
