"""A short clip's depth in memory, by the very windows and the joining that a long video gets through the disk.

In go RGB frames ``[T, H, W, 3]`` (uint8); out comes inverse depth ``[T, H, W]`` (float32, the clip's size, up to
scale and shift). For judging the model; this file does not know scenes, files or the truth.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vda.joining.sequence import SequenceDepth, resize_depth
from vda.network import FrameFeatures, VideoDepthModel, net_size, to_network
from vda.network.slots import WINDOW_SLOTS
from vda.scene.windows import sequence_windows

# Bounds the memory; the numbers change by rounding only.
MICRO_BATCH = 8


@dataclass(frozen=True)
class WindowInMemory:
    """A raw window ``[32, h, w]`` as ``joining`` reads it."""

    depth: np.ndarray

    def slot(self, slot: int) -> np.ndarray:
        return self.depth[slot]


def video_depth(model: VideoDepthModel, frames: np.ndarray, input_size: int) -> np.ndarray:
    """Run the windows of ``frames`` and join them."""
    count, height, width = frames.shape[:3]
    features = _encoded(model, frames, input_size)
    windows = [
        WindowInMemory(_decoded(model, features, window.frame_indices)) for window in sequence_windows(0, count)
    ]
    joined = SequenceDepth.fitted(0, count, width, height, windows.__getitem__, metric=False)  # type: ignore[arg-type]
    return np.stack([joined.frame(index) for index in range(count)])


def still_depth(model: VideoDepthModel, frames: np.ndarray, input_size: int) -> np.ndarray:
    """The same weights without time: each frame gets a window of 32 copies of itself, and no joining."""
    height, width = frames.shape[1:3]
    features = _encoded(model, frames, input_size)
    copies = (_decoded(model, features, (index,) * WINDOW_SLOTS)[0] for index in range(len(frames)))
    return np.stack([resize_depth(depth, width, height) for depth in copies])


def _encoded(model: VideoDepthModel, frames: np.ndarray, input_size: int) -> FrameFeatures:
    height, width = frames.shape[1:3]
    net_width, net_height = net_size(width, height, input_size, model.preset.patch)
    images = np.stack([to_network(frame, net_width, net_height) for frame in frames])
    with torch.inference_mode():
        parts = [model.encode(part) for part in torch.from_numpy(images).split(MICRO_BATCH)]
    return FrameFeatures(*(torch.cat(maps) for maps in zip(*parts, strict=True)))


def _decoded(model: VideoDepthModel, features: FrameFeatures, frames: tuple[int, ...]) -> np.ndarray:
    slots = FrameFeatures(*(maps[list(frames)] for maps in features))
    with torch.inference_mode():
        return model.decode(slots, micro_batch=MICRO_BATCH).float().cpu().numpy()
