"""Weights and frames that are the same on every machine, for comparing with values computed elsewhere.

In: a model's name, or a frame's index and size. Out: the model filled with weights, or the frame, made by integer
arithmetic. With these weights the network means nothing; ``reference_values.npz`` holds what the public
implementation makes of them, thinned out.
"""

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vda.network import VideoDepthModel, build_model

with np.load(Path(__file__).with_name("reference_values.npz")) as file:
    REFERENCE = dict(file)


def seeded_model(name: str) -> VideoDepthModel:
    """Return the model called ``name`` with weights that follow from their names and shapes alone."""
    model = build_model(name)
    for key, tensor in model.state_dict().items():
        if not key.endswith("pos_encoder.pe"):
            tensor.copy_(torch.from_numpy(seeded_tensor(key, tuple(tensor.shape))))
    return model


def seeded_tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    normal = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if key.endswith("output_conv2.2.bias"):
        # So that most of the depth is above the last ReLU.
        return np.full(shape, 4.0, np.float32)
    if key.endswith(".gamma"):
        return 0.1 + 0.02 * normal
    if not key.endswith("weight"):
        return 0.02 * normal
    return normal / np.sqrt(np.float32(np.prod(shape[1:]))) if len(shape) > 1 else 1 + 0.1 * normal


def last_convolution(model: VideoDepthModel) -> nn.Conv2d:
    """The convolution whose output is the depth, but for the last ReLU."""
    last = model.head.scratch.output_conv2[2]
    assert isinstance(last, nn.Conv2d)
    return last


def spread_depth(model: VideoDepthModel) -> None:
    """Random weights give nearly constant depth; spread it, so that rounding is small beside its range."""
    last = last_convolution(model)
    assert last.bias is not None
    with torch.no_grad():
        last.weight.mul_(30)
        last.bias.fill_(4.0)


def seeded_images(seed: int, *shape: int) -> torch.Tensor:
    """Return normal noise of ``shape``, float32."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def pattern_frame(height: int, width: int) -> np.ndarray:
    """Return a pattern with edges in every direction, uint8 RGB ``[height, width, 3]``."""
    y, x = np.mgrid[:height, :width]
    return (np.stack([4 * x, 4 * y, 2 * (x + y)], -1) % 256).astype(np.uint8)


def slow_frame(index: int, height: int, width: int) -> np.ndarray:
    """Return frame ``index`` of a slowly moving pattern, uint8 RGB ``[height, width, 3]``."""
    y, x = np.mgrid[:height, :width]
    moved = [2 * x + index // 4, 3 * y + index // 3, x + y + index // 5]
    return (np.stack(moved, -1) % 256).astype(np.uint8)
