"""A device that is measured, with the networks and frames that it is measured with."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vda.compute.engine import Engine, Picture
from vda.compute.ladder import MemoryFit
from vda.machine.shortage import is_out_of_memory
from vda.network.encoder import VisionTransformer
from vda.network.model import VideoDepthModel, build_model
from vda.scene.windows import sequence_windows


@dataclass(frozen=True)
class Card:
    """``sizes`` are the network's (width, height), ``picture`` is a film's; ``windows`` are timed together."""

    device: torch.device
    tiny: bool
    models: tuple[str, ...] = ("vits", "vitl")
    sizes: tuple[tuple[int, int], ...] = ((518, 518), (924, 518))
    picture: tuple[int, int] = (1920, 1080)
    windows: int = 6
    encoder_batch: int = 8

    @classmethod
    def named(cls, name: str, tiny: bool) -> "Card":
        """The device called ``name``; float32 means float32 on it from now on."""
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        device = torch.device(name)
        if not tiny:
            return cls(device, False)
        if device.type == "cpu":
            # Threads that wait for each other's turn take longer than the work.
            torch.set_num_threads(1)
        return cls(device, True, ("vits",), ((28, 28),), (48, 40), 2, 2)

    @property
    def half(self) -> torch.dtype:
        """Half precision; a CPU has bfloat16 alone."""
        return torch.bfloat16 if self.device.type == "cpu" else torch.float16

    @property
    def fit(self) -> MemoryFit:
        return MemoryFit(self.encoder_batch, 4)

    @property
    def frames(self) -> int:
        return 3 + 22 * self.windows

    def model(self, name: str, dtype: torch.dtype) -> VideoDepthModel:
        return copy.deepcopy(_network(name, self.tiny)).set_precision(dtype).to(self.device)

    def images(self, count: int, size: tuple[int, int]) -> Tensor:
        torch.manual_seed(1)
        return torch.randn(count, 3, size[1], size[0]).to(self.device)

    def engine(self, model: VideoDepthModel, fit: MemoryFit | None = None) -> Engine:
        return Engine(model, self.device, fit or self.fit, codes_there=self.device.type != "mps")

    def source(self, size: tuple[int, int]) -> Callable[[Sequence[int]], Iterator[Picture]]:
        """Frames that are there already, in bytes: what decodes them is not measured."""
        width, height = self.picture
        few = [np.random.default_rng(k).integers(0, 256, (height, width, 3), np.uint8) for k in range(4)]
        return lambda order: (Picture(index, few[index % len(few)], True, size) for index in order)

    def slots(self) -> list[tuple[int, ...]]:
        """The windows of a film."""
        return [window.frame_indices for window in sequence_windows(0, self.frames)]

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, work: Callable[[], object], times: int = 5) -> float:
        """The median of some times after one that warms up; a tiny card's first."""
        taken = []
        for _ in range(1 if self.tiny else 1 + times):
            self.wait()
            began = time.perf_counter()
            with torch.inference_mode():
                work()
            self.wait()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken[1:] or taken)

    def peak(self, work: Callable[[], object]) -> int | None:
        """The most bytes of tensors at once while ``work`` runs, beyond those before; None where nobody counts."""
        if self.device.type != "cuda":
            return None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        with torch.inference_mode():
            work()
        self.wait()
        return torch.cuda.max_memory_allocated(self.device) - before

    def tried(self, work: Callable[[], Any]) -> Any:
        """What ``work`` gives, or how it failed: of one measurement among others."""
        try:
            return work()
        except Exception as error:
            short = "out of memory" if is_out_of_memory(error) else f"{type(error).__name__}: {str(error)[:200]}"
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return {"failed": short}


@cache
def _network(name: str, tiny: bool) -> VideoDepthModel:
    """Random weights whose depth has a range, so that rounding is small beside it."""
    torch.manual_seed(0)
    model = build_model(name)
    if tiny:
        # As wide as the small model, with a block for each of its maps.
        model.pretrained = VisionTransformer(384, 6, 4, (0, 1, 2, 3))
    last = model.head.scratch.output_conv2[2]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    with torch.no_grad():
        last.weight.mul_(30)
        last.bias.fill_(4.0)
    return model
