"""The memory ladder: ways of computing the same windows with less and less memory. None changes the result.

In: how memory is used now, and which part it ran out in. Out: the next way down, or where to start. Micro-batches
have one fixed shape each, so another rung moves no more than the last bits. This file does not know torch.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from vda.network.slots import WINDOW_SLOTS
from vda.records import Within

# Far more frames at once than any device holds.
_Batch = Annotated[int, Within(1, 1 << 16)]

# Where memory runs out: in the encoder, in the head, or where features of a window are kept and joined for it.
Part = Literal["encoder", "head", "features"]

# More at once gain a GPU nothing: the public code came from 5.1 to 2.0 GB by few frames in its head.
_MOST_IN_ENCODER = 8
_MOST_IN_HEAD = 4
# For what allocators lose between tensors, and for what kernels take beside them.
_SHARE = 0.85


@dataclass(frozen=True)
class MemoryFit:
    """Frames in the encoder at once, frames in the head at once, and whether kept features lie on the host."""

    encoder_batch: _Batch
    head_batch: _Batch = WINDOW_SLOTS
    features_on_host: bool = False

    def __str__(self) -> str:
        where = ", features on the host" if self.features_on_host else ""
        return f"micro-batches of {self.encoder_batch} and {self.head_batch}{where}"


@dataclass(frozen=True)
class Growth:
    """Bytes that a part needs: whatever happens, and for each frame at once."""

    fixed: int
    per_frame: int

    def at(self, frames: int) -> int:
        return self.fixed + self.per_frame * frames


@dataclass(frozen=True)
class Footprint:
    """Bytes that the network needs beside its weights: ``features`` are those of a whole window's frames."""

    features: int
    encoder: Growth
    head: Growth


def step_down(fit: MemoryFit, part: Part) -> MemoryFit | None:
    """The next way down after memory ran out in ``part``; None where nothing is left that would help it."""
    for rung in _RUNGS[part]:
        if rung == "features" and not fit.features_on_host:
            return replace(fit, features_on_host=True)
        if rung == "encoder" and fit.encoder_batch > 1:
            return replace(fit, encoder_batch=_half(fit.encoder_batch))
        if rung == "head" and fit.head_batch > 1:
            return replace(fit, head_batch=_half(fit.head_batch))
    return None


# A part's own rung first. Where its frames are one already, features make room for it by leaving the device.
_RUNGS: dict[Part, tuple[Part, ...]] = {
    "encoder": ("encoder", "features"),
    "head": ("head", "features"),
    "features": ("features", "head", "encoder"),
}


def first_fit(batch_size: int, free_bytes: int | None, needs: Footprint | None) -> MemoryFit:
    """Where to start: the encoder at ``batch_size`` if it is not 0, else both parts by the device's free memory.

    ``free_bytes`` None stands for the CPU, whose cache loses by more than one frame at a time.
    """
    if free_bytes is None or needs is None:
        return MemoryFit(min(batch_size or 1, WINDOW_SLOTS))
    room = int(free_bytes * _SHARE)
    # Joined for a window, its features are there twice.
    on_host = 2 * needs.features + needs.head.at(1) > room
    head = _most(needs.head, room - (0 if on_host else 2 * needs.features), _MOST_IN_HEAD)
    kept = 0 if on_host else needs.features
    encoder = min(batch_size, WINDOW_SLOTS) or _most(needs.encoder, room - kept, _MOST_IN_ENCODER)
    return MemoryFit(encoder, head, on_host)


def _most(needs: Growth, room: int, limit: int) -> int:
    """The largest power of two of frames, at most ``limit``, that there is ``room`` for; at least 1."""
    frames = 1
    while 2 * frames <= limit and needs.at(2 * frames) <= room:
        frames *= 2
    return frames


def _half(batch: int) -> int:
    """The next smaller power of two."""
    return 1 << ((batch - 1).bit_length() - 1)
