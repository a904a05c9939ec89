"""From a frame to the network's input, on the device: what ``preprocess.to_network`` does on the host.

In: RGB in bytes, already on the device. Out: the normalised image, to within 2e-5 of the host's. Only the weights
of the resize are made on the host. This file knows neither models nor how frames come to the device.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vda.network.preprocess import MEAN, STD

# OpenCV's and PyTorch's parameter of the cubic; the formula is Keys' (1981).
_A = -0.75
_TAPS = 4


def to_network_there(rgb: Tensor, net_width: int, net_height: int) -> Tensor:
    """Return the float32 image ``[3, net_height, net_width]`` for uint8 RGB ``[height, width, 3]``, on its device.

    Bicubic (a = -0.75, half-pixel centres, no antialiasing), then ImageNet's mean and standard deviation.
    """
    # Rows first: they lie together in memory, and most frames are larger than the network's input.
    resized = _along(_along(rgb, 0, net_height), 1, net_width)
    factor, offset = _normalising(rgb.device)
    return torch.addcmul(-offset, resized, factor).permute(2, 0, 1)


def _along(maps: Tensor, axis: int, size: int) -> Tensor:
    """Resize ``maps`` to ``size`` along ``axis``, each value a weighted sum of four."""
    if maps.shape[axis] == size:
        return maps.float()
    places, weights = _taps(maps.shape[axis], size, maps.device)
    shape = [-1 if dim == axis else 1 for dim in range(maps.ndim)]
    total = maps.index_select(axis, places[0]) * weights[0].view(shape)
    for place, weight in zip(places[1:], weights[1:], strict=True):
        total.addcmul_(maps.index_select(axis, place).float(), weight.view(shape))
    return total


@lru_cache(maxsize=16)
def _taps(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each of ``new`` values takes its four from, and their weights: ``[4, new]`` both."""
    # In float64: PyTorch's own resize rounds the place to float32, which moves what it gives by up to 9e-4.
    place = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(place)
    distances = np.abs((place - first) - np.arange(-1, _TAPS - 1)[:, None])
    places = np.clip(first.astype(np.int64) + np.arange(-1, _TAPS - 1)[:, None], 0, old - 1)
    return torch.from_numpy(places).to(device), torch.from_numpy(_cubic(distances)).to(device)


def _cubic(distance: np.ndarray) -> np.ndarray:
    near = ((_A + 2) * distance - (_A + 3)) * distance * distance + 1
    far = ((_A * distance - 5 * _A) * distance + 8 * _A) * distance - 4 * _A
    return np.where(distance <= 1, near, far).astype(np.float32)


@lru_cache(maxsize=4)
def _normalising(device: torch.device) -> tuple[Tensor, Tensor]:
    factor, offset = (torch.from_numpy(values).to(device) for values in (1 / (255 * STD), MEAN / STD))
    return factor, offset
