"""The network by OpenVINO, part by part where that is faster than PyTorch on this CPU.

In: a model in float32, the same in the scene's precision, and which parts OpenVINO computes. Out: what has the
model's ``encode`` and ``decode``, for the engine. This file does not know scenes, nor who decides on the parts.

Programs are made of traces, one for each size of pictures, in float32; OpenVINO rounds to bfloat16 by itself. What
follows the encoder is cut in two, for the finer maps of a whole window would take gigabytes. Translating a trace
takes seconds, so what comes of it is kept in the user's cache.
"""

import hashlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vda import network
from vda.errors import StorageError
from vda.files import DAMAGED_ARRAYS, array_in, atomic_writer, user_cache
from vda.network.head import DepthHead, FrameFeatures
from vda.network.model import VideoDepthModel
from vda.network.slots import WINDOW_SLOTS
from vda.scene.runstate import EngineParts

# Frames whose finest maps are in memory at once; it divides a window.
_FINE_FRAMES = 4
# Translations that are kept in the user's cache; a model at one size has three, as large as its weights.
_KEPT = 24

_Program = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


class OpenVinoModel:
    """``encode`` and ``decode`` of ``model`` (float32), computed in ``precision`` (fp32 or bf16) on a CPU.

    What is not in ``parts`` PyTorch computes, with ``plain``: the same model in that precision. ``weights_sha256``
    says which weights it has, for translations of it to be known by. ``place`` is OpenVINO's name of the device.
    """

    def __init__(
        self,
        model: VideoDepthModel,
        plain: VideoDepthModel,
        precision: str,
        threads: int,
        parts: EngineParts,
        weights_sha256: str,
        place: str = "CPU",
    ) -> None:
        self.plain, self.parts = plain, parts
        self._model, self._core = model, _openvino().Core()
        self._programs: dict[tuple[object, ...], _Program] = {}
        self._weights = f"{model.preset.name} {weights_sha256}"
        self._place = place
        self._settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "NUM_STREAMS": 1,
            **({"INFERENCE_NUM_THREADS": threads} if place == "CPU" else {}),
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

    def prepare(self, features: FrameFeatures) -> None:
        """Make what ``decode`` runs for a window of such ``features``, without running it."""
        level1, level2, level3, level4 = (maps.float() for maps in features)
        few = slice(_FINE_FRAMES)
        self._ready(_Coarse(self._model.head, level2[:1]), [level3, level4])
        self._ready(_Fine(self._model.head), [torch.zeros_like(level2[few]), level2[few], level1[few]])

    def _run(self, module: nn.Module, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        return self._ready(module, inputs)(inputs)

    def _ready(self, module: nn.Module, inputs: list[Tensor]) -> _Program:
        key = (type(module), *(tuple(part.shape) for part in inputs))
        if key not in self._programs:
            self._programs[key] = self._program(module, [part.contiguous() for part in inputs])
        return self._programs[key]

    def _program(self, module: nn.Module, example: list[Tensor]) -> _Program:
        path = _kept_at(self._weights, type(module).__name__, example)
        kept = _kept(path)
        if kept is None:
            kept = _translated(module, example)
            _keep(path, *kept)
        # Of what is kept in the first process, too: every run has the same bytes.
        compiled = self._core.compile_model(self._core.read_model(*kept), self._place, self._settings)

        def run(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
            found = compiled([np.ascontiguousarray(part.numpy()) for part in inputs])
            return tuple(torch.from_numpy(found[place]) for place in range(len(compiled.outputs)))

        return run


def faster_parts(model: OpenVinoModel, images: Tensor) -> EngineParts:
    """Hold each part against PyTorch with ``images`` ``[n, 3, h, w]``, a micro-batch.

    PyTorch prepares itself for what it has not computed yet, and is shown a frame first. OpenVINO has done so when
    a program is made, and takes each frame by itself, so that one stands for ``n``.
    """
    ours, plain = model.parts, model.plain
    model.parts = EngineParts(True, True)
    with torch.inference_mode():
        model.encode(images[:1])
        encoding = len(images) * _seconds(lambda: model.encode(images[:1]))
        plain.encode(images)
        encoder = encoding < _seconds(lambda: plain.encode(images))
        one = plain.encode(images[:1])
        window = FrameFeatures(*(maps.expand(WINDOW_SLOTS, -1, -1, -1).contiguous() for maps in one))
        model.prepare(window)
        plain.decode(one)
        rest = _seconds(lambda: model.decode(window)) < _seconds(lambda: plain.decode(window))
    model.parts = ours
    return EngineParts(encoder, rest)


def _seconds(work: Callable[[], object]) -> float:
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


def _kept_at(weights: str, part: str, example: Iterable[Tensor]) -> Path:
    """Where the translation of ``part`` for tensors like ``example`` is kept.

    Other weights, another PyTorch or OpenVINO, and other code of the network have another place.
    """
    identity = hashlib.sha256()
    for word in (
        weights,
        part,
        torch.__version__,
        _openvino().__version__,
        *(str(tuple(t.shape)) for t in example),
    ):
        identity.update(f"{word}\n".encode())
    for source in (*sorted(Path(network.__file__).parent.glob("*.py")), Path(__file__)):
        identity.update(source.read_bytes())
    return user_cache() / "vda" / "openvino" / f"{identity.hexdigest()[:32]}.npz"


def _kept(path: Path) -> tuple[bytes, bytes] | None:
    """The translation in OpenVINO's own form, what it does and its weights; None where none is whole."""
    try:
        # The archive's checksums are looked at as it is read.
        with path.open("rb") as file, np.load(file) as archive:
            found = array_in(archive, "model").tobytes(), array_in(archive, "weights").tobytes()
        path.touch()
    except DAMAGED_ARRAYS:
        return None
    return found


def _keep(path: Path, model: bytes, weights: bytes) -> None:
    """Keep a translation, and of all there are those that were wanted last; without room none is kept."""
    with suppress(StorageError, OSError):
        with atomic_writer(path, durable=False) as file:
            np.savez(file, model=np.frombuffer(model, np.uint8), weights=np.frombuffer(weights, np.uint8))
        there = sorted(path.parent.glob("*.npz"), key=lambda kept: kept.stat().st_mtime)
        for old in there[:-_KEPT]:
            old.unlink(missing_ok=True)


def _translated(module: nn.Module, example: list[Tensor]) -> tuple[bytes, bytes]:
    openvino = _openvino()
    shapes = [tuple(part.shape) for part in example]
    with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        # That a trace holds for one size, and how OpenVINO makes it: neither is for anybody to mend.
        for kind in (torch.jit.TracerWarning, DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        traced = openvino.convert_model(module.eval(), example_input=tuple(example), input=shapes)
        path = Path(folder) / "network.xml"
        openvino.save_model(traced, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _openvino() -> Any:
    """The package, without the one beside it that tells its makers of each import and each conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
