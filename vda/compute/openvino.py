"""The network by OpenVINO, part by part where that is faster than PyTorch on this CPU.

In: a model in float32, the same in the scene's precision, and which parts OpenVINO computes. Out: what has the
model's ``encode`` and ``decode``, for the engine. This file does not know scenes, nor who decides on the parts.

Programs are made of traces, one for each size of pictures, in float32; OpenVINO rounds to bfloat16 by itself. What
follows the encoder is cut in two, for the finer maps of a whole window would take gigabytes.
"""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vda.network.head import DepthHead, FrameFeatures
from vda.network.model import VideoDepthModel
from vda.network.slots import WINDOW_SLOTS
from vda.scene.runstate import EngineParts

# Frames whose finest maps are in memory at once; it divides a window.
_FINE_FRAMES = 4

_Program = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


class OpenVinoModel:
    """``encode`` and ``decode`` of ``model`` (float32), computed in ``precision`` (fp32 or bf16) on a CPU.

    What is not in ``parts`` PyTorch computes, with ``plain``: the same model in that precision.
    """

    def __init__(
        self, model: VideoDepthModel, plain: VideoDepthModel, precision: str, threads: int, parts: EngineParts
    ) -> None:
        self.plain, self.parts = plain, parts
        self._model, self._core, self._programs = model, _openvino().Core(), {}  # type: ignore[var-annotated]
        self._settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }

    def encode(self, images: Tensor) -> FrameFeatures:
        """As ``VideoDepthModel.encode``; each frame is computed by itself."""
        if not self.parts.encoder:
            return self.plain.encode(images)
        frames = [self._run(_Encoding(self._model), [image]) for image in images.float().split(1)]
        return FrameFeatures(*(torch.cat(maps) for maps in zip(*frames, strict=True)))

    def decode(self, features: FrameFeatures, *, micro_batch: int = WINDOW_SLOTS) -> Tensor:
        """As ``VideoDepthModel.decode``; what is no whole window, PyTorch computes."""
        if not self.parts.rest or len(features.level1) != WINDOW_SLOTS:
            ready = FrameFeatures(*(maps.to(self.plain.dtype) for maps in features))
            return self.plain.decode(ready, micro_batch=micro_batch)
        level1, level2, level3, level4 = (maps.float() for maps in features)
        head = self._model.head
        (path,) = self._run(_Coarse(head, level2[:1]), [level3, level4])
        pieces = zip(*(maps.split(_FINE_FRAMES) for maps in (path, level2, level1)), strict=True)
        return torch.cat([self._run(_Fine(head), list(piece))[0] for piece in pieces])

    def _run(self, module: nn.Module, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        key = (type(module), *(tuple(part.shape) for part in inputs))
        if key not in self._programs:
            self._programs[key] = self._program(module, [part.contiguous() for part in inputs])
        program: _Program = self._programs[key]
        return program(inputs)

    def _program(self, module: nn.Module, example: list[Tensor]) -> _Program:
        openvino = _openvino()
        shapes = [tuple(part.shape) for part in example]
        with warnings.catch_warnings(), torch.no_grad():
            # That a trace holds for one size, and how OpenVINO makes it: neither is for anybody to mend.
            for kind in (torch.jit.TracerWarning, DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", kind)
            traced = openvino.convert_model(module.eval(), example_input=tuple(example), input=shapes)
        compiled = self._core.compile_model(traced, "CPU", self._settings)

        def run(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
            found = compiled([np.ascontiguousarray(part.numpy()) for part in inputs])
            return tuple(torch.from_numpy(found[place]) for place in range(len(compiled.outputs)))

        return run


def faster_parts(model: OpenVinoModel, images: Tensor) -> EngineParts:
    """Hold each part against PyTorch with ``images`` ``[n, 3, h, w]``, a micro-batch; a second time counts."""
    ours, plain = model.parts, model.plain
    model.parts = EngineParts(True, True)
    with torch.inference_mode():
        encoder = _seconds(lambda: model.encode(images)) < _seconds(lambda: plain.encode(images))
        one = plain.encode(images[:1])
        window = FrameFeatures(*(maps.expand(WINDOW_SLOTS, -1, -1, -1).contiguous() for maps in one))
        rest = _seconds(lambda: model.decode(window)) < _seconds(lambda: plain.decode(window))
    model.parts = ours
    return EngineParts(encoder, rest)


def _seconds(work: Callable[[], object]) -> float:
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class _Encoding(nn.Module):
    def __init__(self, model: VideoDepthModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.encode(images))


class _Coarse(nn.Module):
    """All that mixes frames; of the finer maps it needs the size alone."""

    def __init__(self, head: DepthHead, level2: Tensor) -> None:
        super().__init__()
        self.head, self.level2 = head, level2

    def forward(self, level3: Tensor, level4: Tensor) -> Tensor:
        return self.head.coarse_path(FrameFeatures(self.level2, self.level2, level3, level4), WINDOW_SLOTS)


class _Fine(nn.Module):
    def __init__(self, head: DepthHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, path: Tensor, level2: Tensor, level1: Tensor) -> Tensor:
        return self.head.fine_path(path, level2, level1)


def _openvino() -> Any:
    """The package, without the one beside it that tells its makers of each import and each conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
