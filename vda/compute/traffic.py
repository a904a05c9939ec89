"""What goes to a device and what comes back, beside what it computes: on a GPU in streams of their own.

In: tensors on one side. Out: the same on the other, as soon as somebody asks for them. A GPU then computes while
frames come and results go, and the host never waits for what it does not need yet. On other devices all of it
happens at once. This file does not know what the tensors mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Arriving(Protocol):
    """Tensors on their way; ``arrived`` returns them where they were sent, whole."""

    def arrived(self) -> tuple[Tensor, ...]: ...


class Traffic(Protocol):
    @property
    def late(self) -> int:
        """How many windows may be on their way while the next is computed."""
        ...

    def ready(self, tensor: Tensor) -> Tensor:
        """Return ``tensor``, of the host, where it can be sent from without anybody waiting; from any thread."""
        ...

    def send(self, tensors: Sequence[Tensor]) -> Arriving:
        """Begin to bring ``tensors`` to the device. ``arrived`` makes the device wait for them, not the host."""
        ...

    def fetch(self, tensors: Sequence[Tensor]) -> Arriving:
        """Begin to bring ``tensors`` to the host, once what the device was given before is done.

        ``arrived`` makes the host wait for them. Nobody may write into them any more.
        """
        ...


@dataclass(frozen=True)
class _Here:
    tensors: tuple[Tensor, ...]

    def arrived(self) -> tuple[Tensor, ...]:
        return self.tensors


@dataclass(frozen=True)
class AtOnce:
    """Traffic of a device that has no streams."""

    device: torch.device
    late: int = 0

    def ready(self, tensor: Tensor) -> Tensor:
        return tensor

    def send(self, tensors: Sequence[Tensor]) -> Arriving:
        return _Here(tuple(tensor.to(self.device) for tensor in tensors))

    def fetch(self, tensors: Sequence[Tensor]) -> Arriving:
        return _Here(tuple(tensor.cpu() for tensor in tensors))


@dataclass(frozen=True)
class _Sent:
    """``event``: when the last of ``tensors`` is on the device."""

    tensors: tuple[Tensor, ...]
    event: torch.cuda.Event

    def arrived(self) -> tuple[Tensor, ...]:
        stream = torch.cuda.current_stream(self.tensors[0].device)
        stream.wait_event(self.event)
        for tensor in self.tensors:
            # Made in another stream: its memory must not be used again before this one is done with it.
            tensor.record_stream(stream)
        return self.tensors


@dataclass(frozen=True)
class _Fetched:
    tensors: tuple[Tensor, ...]
    event: torch.cuda.Event

    def arrived(self) -> tuple[Tensor, ...]:
        self.event.synchronize()
        return self.tensors


class Streamed:
    """Traffic of a GPU: a stream for each way, and pinned memory, which a GPU copies from and to by itself."""

    late = 1

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._there, self._back = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def ready(self, tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor)

    def send(self, tensors: Sequence[Tensor]) -> Arriving:
        with torch.cuda.stream(self._there):
            sent = tuple(tensor.to(self._device, non_blocking=True) for tensor in tensors)
            return _Sent(sent, self._there.record_event())

    def fetch(self, tensors: Sequence[Tensor]) -> Arriving:
        self._back.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._back):
            fetched = tuple(_fetched(tensor, self._back) for tensor in tensors)
            return _Fetched(fetched, self._back.record_event())


def _fetched(tensor: Tensor, stream: torch.cuda.Stream) -> Tensor:
    tensor.record_stream(stream)
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def traffic_of(device: torch.device) -> Traffic:
    return Streamed(device) if device.type == "cuda" else AtOnce(device)
