"""A checkpoint's tensors, read without running anything in the file, and the models that they fit.

In goes a ``.safetensors`` file or a ``.pth`` pickle (described by ``declared``, then read with
``weights_only=True``); out comes a state dict, or the differences from a model's, by names and shapes. This file
does not know where checkpoints are kept.
"""

import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vda.errors import WeightsError
from vda.machine.shortage import is_out_of_memory, memory_error
from vda.models.declared import NOT_PLAIN, REMEDY, require_plain
from vda.network.presets import PRESETS

if TYPE_CHECKING:
    from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def load_state_dict(path: Path) -> "dict[str, Tensor]":
    """Read a checkpoint's tensors to the CPU, floating ones as float32; no code in the file is ever run.

    Raises ``WeightsError`` for anything that is not a plain dictionary of named tensors.
    """
    import torch

    state = _read(path)
    if not isinstance(state, dict) or not state:
        raise WeightsError(f"{path} holds {_describe(state)}, not a state dict.", REMEDY)
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(f"{path} is no state dict: its entry {name!r} is {_describe(value)}.", REMEDY)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def models_that_fit(state: "Mapping[str, Tensor]") -> tuple[str, ...]:
    """Name every model whose state dict has these names and shapes."""
    shapes = shapes_of(state)
    return tuple(model for model in PRESETS if expected_shapes(model) == shapes)


def require_fit(path: Path, state: "Mapping[str, Tensor]", model: str, own: "Mapping[str, Tensor]") -> None:
    """Raise ``WeightsError`` unless ``state``, from ``path``, has the names and shapes of ``model``'s ``own``."""
    problem = difference(shapes_of(own), state)
    if problem is None:
        return
    fits = models_that_fit(state)
    raise WeightsError(
        f"{path} is not a checkpoint of {model}: {problem}.",
        f"It is one of {' or '.join(fits)}: use --model {fits[0]}."
        if fits
        else "Give a checkpoint of that model.",
    )


def require_finite(path: Path, state: "Mapping[str, Tensor]") -> None:
    """Raise ``WeightsError`` where a value is infinite or not a number."""
    import torch

    broken = next((name for name, value in state.items() if not torch.isfinite(value).all()), None)
    if broken is not None:
        raise WeightsError(f"{path} has values in {broken} that are not finite.", "Fetch or train it again.")


@cache
def expected_shapes(model: str) -> Shapes:
    """Return the names and shapes of a model's state dict; nothing is allocated for it.

    The first call takes two seconds, in which torch loads what knows shapes without numbers.
    """
    import torch

    from vda.network.model import build_model

    with torch.device("meta"):
        return shapes_of(build_model(model).state_dict())


def shapes_of(state: "Mapping[str, Tensor]") -> Shapes:
    return {name: tuple(value.shape) for name, value in state.items()}


def difference(expected: Shapes, state: "Mapping[str, Tensor]") -> str | None:
    """Say in a few words how ``state`` differs from what is expected, or return None where it does not."""
    found = shapes_of(state)
    differences = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of another shape": [name for name in expected if name in found and found[name] != expected[name]],
    }
    parts = [f"{len(names)} {what} (first {names[0]})" for what, names in differences.items() if names]
    return "tensors " + ", ".join(parts) if parts else None


def _read(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    try:
        if _is_safetensors(path):
            return load_file(path)
        require_plain(path)
        with warnings.catch_warnings():
            # Before it refuses a pickle that torch did not write, torch.load warns about its protocol.
            warnings.simplefilter("ignore")
            # Mapped, what a storage asks for beyond the file is refused and not read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except WeightsError:
        raise
    # A file of anybody's making can raise nearly anything while it is parsed: zip, pickle, JSON and OS errors.
    except Exception as error:
        if is_out_of_memory(error):
            raise memory_error(error) from error
        reason = "it is empty" if path.is_file() and path.stat().st_size == 0 else _reason(error)
        raise WeightsError(f"{path} could not be read as a checkpoint: {reason}.", REMEDY) from error


def _is_safetensors(path: Path) -> bool:
    """Tell by content as well, for caches keep files under names without a suffix: a length, then JSON."""
    with path.open("rb") as handle:
        return path.suffix == ".safetensors" or handle.read(9)[8:] == b"{"


def _reason(error: Exception) -> str:
    """Shorten what the libraries say; of a refused pickle they would advise to run it, which nobody should."""
    if type(error).__name__ == "UnpicklingError":
        return NOT_PLAIN
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return "an empty dictionary" if not value else f"a dictionary (of {', '.join(map(repr, list(value)[:3]))})"
    return f"a value of type {type(value).__name__}"
