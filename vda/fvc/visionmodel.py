"""A vision model of the Hugging Face hub: pictures in, one vector each out.

In: a model's name or folder, RGB pictures. Out: float32 vectors: the model's pooled output, else the mean of its
last hidden states over all tokens or places. Micro-batches begin as large as asked and are halved where memory
runs out. This file does not know videos.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vda.errors import DeviceError, UsageError, WeightsError, WorkError
from vda.fvc.fallback import is_out_of_memory
from vda.records import is_count
from vda.reporter import Reporter

BATCH_VARIABLE: Final = "VDA_BATCH_SIZE"
# A ViT-L of 224 pixels takes some 20 MB per picture without gradients: half a GB, which all have.
DEFAULT_BATCH: Final = 32


class VisionModel:
    """A loaded model on its device. ``batch_size`` pictures are in it at once; the reporter is told of fewer."""

    def __init__(self, name: str, model: Any, processor: Any, device: str, batch_size: int) -> None:
        self.name = name
        self.batch_size = batch_size
        self._model = model.to(device).eval().requires_grad_(False)
        self._processor = processor
        self._device = device

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the weights, and of how pictures are prepared: a name or a folder may come to hold others."""
        import torch

        digest = hashlib.sha256(self._processor.to_json_string().encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def vectors(self, pictures: Iterable[np.ndarray], reporter: Reporter) -> Iterator[NDArray[np.float32]]:
        """Yield the vector of each RGB uint8 picture [height, width, 3].

        No more than a micro-batch is held. Raises ``WorkError`` where one picture alone is too much, or where the
        model gives no numbers.
        """
        coming = iter(pictures)
        while held := list(islice(coming, self.batch_size)):
            while held:
                found, reason = self._tried(held[: self.batch_size])
                if found is None:
                    self._halve(reason, reporter)
                    continue
                held = held[len(found) :]
                yield from found

    def _halve(self, reason: str, reporter: Reporter) -> None:
        if self.batch_size == 1:
            raise WorkError(
                f"Out of memory with one picture in {self.name}: {reason}.",
                "Take a smaller model, or free memory.",
            )
        self.batch_size //= 2
        reporter.say(f"Out of memory: going on with micro-batches of {self.batch_size}.")

    def _tried(self, pictures: list[np.ndarray]) -> tuple[NDArray[np.float32] | None, str]:
        """The vectors, or why memory ran out; the error holds tensors, and must be gone before less is tried."""
        try:
            return self._embedded(pictures), ""
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None, str(error).strip().split("\n")[0]

    def _embedded(self, pictures: list[np.ndarray]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            inputs = self._processor(images=pictures, return_tensors="pt", input_data_format="channels_last")
            given = self._model(pixel_values=inputs["pixel_values"].to(self._device, self._model.dtype))
            vectors = _pooled(given).float()
            if not bool(vectors.isfinite().all()):
                raise WorkError(f"{self.name} gives no numbers.", "Take a version of it in float32.")
            made: NDArray[np.float32] = vectors.cpu().numpy()
            return made


def _pooled(given: Any) -> Any:
    """[n, width] of whatever a model gives."""
    pooled = getattr(given, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)
    hidden = given.last_hidden_state
    return hidden.mean(1) if hidden.ndim == 3 else hidden.flatten(2).mean(2)


def load_vision_model(name: str, *, device: str = "auto", batch_size: int = 0) -> VisionModel:
    """Load ``name``, a folder or a repository of the hub; of models for text too, the part that sees.

    ``batch_size`` 0 is that of ``VDA_BATCH_SIZE``, else 32. Raises ``UsageError`` without transformers, or for a
    batch size that is none, ``WeightsError`` where there is no such model, and ``DeviceError`` for a device that
    is not there.
    """
    if find_spec("transformers") is None:
        raise UsageError(
            "Embeddings need the package transformers, which is not installed.",
            "Install it: pip install 'vda-toolkit[train]'.",
        )
    size = batch_size or _stated_batch()
    place = _device(device)
    path = Path(name)
    if (path.is_absolute() or name.startswith((".", "~"))) and not path.is_dir():
        raise WeightsError(
            f"There is no folder {name}.", "Check the path, or give a name on the hub (OWNER/NAME)."
        )
    model, processor = _loaded(name)
    return VisionModel(name, getattr(model, "vision_model", model), processor, place, size)


def _stated_batch() -> int:
    stated = os.environ.get(BATCH_VARIABLE, "").strip()
    if not stated or stated == "0":
        return DEFAULT_BATCH
    if not is_count(stated):
        raise UsageError(f"{BATCH_VARIABLE} is {stated!r}, and not a number.", "Set it to 1 or more, or unset it.")
    return int(stated)


def _device(asked: str) -> str:
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"The model cannot be put on {asked}: {str(error).splitlines()[0]}.", "Give cpu, or cuda:0."
        ) from error
    return asked


def _loaded(name: str) -> tuple[Any, Any]:
    """From the folder, else the hub's cache, else the hub: what is here needs no network."""
    from transformers import AutoImageProcessor, AutoModel

    reasons = []
    for local in (True, False):
        try:
            # Never a pickle, which may ask for anything, and never code that comes with a model.
            model = AutoModel.from_pretrained(
                name, local_files_only=local, use_safetensors=True, trust_remote_code=False
            )
            return model, AutoImageProcessor.from_pretrained(
                name, local_files_only=local, use_fast=False, trust_remote_code=False
            )
        # What comes out of the loader (its own errors, the hub's, OSError, ValueError) changes with its version.
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            reasons.append(str(error).strip().split("\n")[0].rstrip("."))
            if Path(name).is_dir():
                break
    raise WeightsError(
        f"{name} could not be loaded as a vision model: {reasons[-1]}.",
        "Give a folder with config.json, preprocessor_config.json and model.safetensors, or a name on the hub; "
        "without a network, a model that is in its cache.",
    )
