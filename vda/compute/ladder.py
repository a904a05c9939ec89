"""The memory ladder: ways of computing the same windows with less and less memory. None changes the result.

In: how memory is used now. Out: the next way down, or where to start. Micro-batches have one fixed shape each, so
another rung moves no more than the last bits. This file knows neither torch nor what ran out.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from vda.network.slots import WINDOW_SLOTS
from vda.records import Within

# Far more frames at once than any device holds.
_Batch = Annotated[int, Within(1, 1 << 16)]

# Bytes that a frame takes on its way through encoder and head, for each pixel at the network's size: a guess for
# the official small model in float32. Larger models start too high and step down once.
_BYTES_PER_PIXEL = 600
# The head's maps of a whole window, the kept features and the CUDA context need room as well.
_SHARE_FOR_ENCODER = 0.25


@dataclass(frozen=True)
class MemoryFit:
    """Frames in the encoder at once, frames in the head at once, and whether kept features lie on the host."""

    encoder_batch: _Batch
    head_batch: _Batch = WINDOW_SLOTS
    features_on_host: bool = False

    def __str__(self) -> str:
        where = ", features on the host" if self.features_on_host else ""
        return f"micro-batches of {self.encoder_batch} and {self.head_batch}{where}"


def step_down(fit: MemoryFit) -> MemoryFit | None:
    """The next way down: encoder first, then head, then features on the host; None below that."""
    if fit.encoder_batch > 1:
        return replace(fit, encoder_batch=_half(fit.encoder_batch))
    if fit.head_batch > 1:
        return replace(fit, head_batch=_half(fit.head_batch))
    return None if fit.features_on_host else replace(fit, features_on_host=True)


def first_fit(batch_size: int, free_bytes: int | None, net_width: int, net_height: int) -> MemoryFit:
    """Where to start: at ``batch_size`` if it is not 0, else by the device's free memory (None: the CPU, at 1).

    A CPU gains nothing from more than one frame at a time, and its cache loses.
    """
    if batch_size:
        return MemoryFit(min(batch_size, WINDOW_SLOTS))
    if free_bytes is None:
        return MemoryFit(1)
    frames = int(free_bytes * _SHARE_FOR_ENCODER / (_BYTES_PER_PIXEL * net_width * net_height))
    return MemoryFit(max(batch for batch in (1, 2, 4, 8, 16, 32) if batch <= max(frames, 1)))


def _half(batch: int) -> int:
    """The next smaller power of two."""
    return 1 << ((batch - 1).bit_length() - 1)
