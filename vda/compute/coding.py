"""A window's codes, made on the device that computed the window: what ``network/packing.py`` makes on the host.

In: raw depth as a tensor. Out: the same integers as the host's, and the figures that belong to them, still on the
device, so that the host need not wait. This file does not know files.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vda.network.packing import BITS, FINE_BITS, LATTICE, SHARE, SQUEEZED, WindowCodes

# Slots at once: few enough that their float64 weighs little beside the window, enough to fill a card.
_SLOTS = 4


class DeviceCodes(NamedTuple):
    """``folded`` int32 ``[slots, h, w]``; ``figures`` float64: offset, step, all lowest, all highest codes."""

    folded: Tensor
    figures: Tensor

    def on_host(self) -> WindowCodes:
        """Return the codes as NumPy's; both tensors lie on the host by now."""
        offset, step, *ends = self.figures.tolist()
        lowest, highest = torch.tensor(ends, dtype=torch.float64).to(torch.int64).view(2, -1).numpy()
        # The same 32 bits, which NumPy has a type for.
        return WindowCodes(self.folded.numpy().view("uint32"), offset, step, lowest, highest)


def window_codes(depth: Tensor) -> DeviceCodes:
    """Quantise float32 ``depth`` ``[slots, h, w]`` in its own memory, which holds the codes afterwards.

    In float64, which ``mps`` has not. Nothing here waits for the device.
    """
    low, high = (end.double() for end in torch.aminmax(depth))
    step = (high - low) / _levels(depth, low, high)
    inverse = 1 / step
    folded, ends = depth.view(torch.int32), []
    for values, place in zip(depth.split(_SLOTS), folded.split(_SLOTS), strict=True):
        scaled = (values.double() - low) * inverse
        # A constant window has no step, and all its codes are 0.
        codes = torch.where(step > 0, scaled, 0.0).round().int()
        ends.append(torch.stack(torch.aminmax(codes.flatten(1), dim=1)))
        place.copy_(_folded(codes))
    return DeviceCodes(folded, torch.cat([torch.stack([low, step]), torch.cat(ends, 1).flatten().double()]))


def _levels(depth: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How many steps the range has: more where a few values far above the others take nearly all of it."""
    rows, columns = (-(-side // LATTICE) for side in depth.shape[1:])
    values = depth[:, ::rows, ::columns].flatten().double().sort().values
    place = SHARE * (len(values) - 1)
    below = values[int(place)]
    upper = below + (values[min(int(place) + 1, len(values) - 1)] - below) * (place % 1)
    fine = upper - low < SQUEEZED * (high - low)
    return torch.where(fine, (1 << FINE_BITS) - 1.0, (1 << BITS) - 1.0)


def _folded(codes: Tensor) -> Tensor:
    """Second differences along both axes, the sign in the lowest bit."""
    for axis in (-1, -2):
        codes = torch.cat([codes.narrow(axis, 0, 1), codes.diff(dim=axis)], axis)
    return (codes << 1) ^ (codes >> 31)
