"""What the network takes of a device's memory, found by walking through it without any.

In: a model, in its precision, and the network's size. Out: bytes. The walk is on PyTorch's "meta" device, where
tensors have shapes and no contents, while the storages that live at once are added up: whatever the layers are,
they count themselves. What a device's libraries take beside the tensors is not in it.
"""

import copy
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vda.compute.ladder import Footprint, Growth
from vda.network.model import FrameFeatures, VideoDepthModel
from vda.network.slots import WINDOW_SLOTS

# Two points of each line: what needs memory grows evenly with the frames at once.
_ENCODED = (1, 3)
_DECODED = (8, 16)


def footprint(model: VideoDepthModel, net_width: int, net_height: int) -> Footprint:
    """Return what ``model`` needs at this size beside its weights, in its dtype; nothing is computed."""
    shadow = copy.deepcopy(model, _without_contents(model))
    weights = (*shadow.parameters(), *shadow.buffers())

    def encoded(frames: int) -> FrameFeatures:
        return shadow.encode(torch.empty(frames, 3, net_height, net_width, device="meta"))

    def decoded(frames: int) -> Tensor:
        return shadow.decode(features, micro_batch=frames)

    with torch.inference_mode():
        features = encoded(WINDOW_SLOTS)
    kept = sum(maps.nbytes for maps in features)
    return Footprint(kept, _line(encoded, _ENCODED, weights), _line(decoded, _DECODED, (*weights, *features)))


def peak_bytes(work: Callable[[], object], besides: Iterable[Tensor] = ()) -> int:
    """Return the most bytes of tensors that live at once while ``work`` runs, without those of ``besides``.

    Attention counts as the fused kernels compute it, which hold no matrix of weights.
    """
    with torch.inference_mode(), _Fused(), _Living(besides) as living:
        work()
    return living.most


def _without_contents(model: VideoDepthModel) -> dict[int, Any]:
    """What a deep copy is to take instead of the weights: their likes without contents."""
    copies: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        copies[id(tensor)] = torch.nn.Parameter(empty, False) if isinstance(tensor, torch.nn.Parameter) else empty
    return copies


def _line(work: Callable[[int], object], points: tuple[int, int], besides: tuple[Tensor, ...]) -> Growth:
    few, many = (peak_bytes(partial(work, frames), besides) for frames in points)
    more = max(many - few, 0) // (points[1] - points[0])
    return Growth(max(few - more * points[0], 0), more)


class _Fused(TorchFunctionMode):
    """Attention in one step, as devices have it; without a device PyTorch would take its parts."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if function is F.scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return function(*args, **(kwargs or {}))


class _Living(TorchDispatchMode):
    """Adds up the storages that the operations make, until they are let go."""

    def __init__(self, besides: Iterable[Tensor]) -> None:
        super().__init__()
        self.most = self._now = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in besides}

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name in self._known:
            return
        self._known.add(name)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._let_go, name, size)

    def _let_go(self, name: int, size: int) -> None:
        self._known.discard(name)
        self._now -= size
