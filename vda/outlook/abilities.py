"""What a device can run: which models its memory holds at the usual size, and, if measured, how fast.

In: a device and its free memory. Out: ``Ability`` records. Memory is added up by ``compute.footprint`` without the
device. Frames per second are measured with random weights, which are as fast as any, in a process that sees this
device alone: this file is a program as well.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from vda.errors import DeviceError
from vda.launch.local import POLITE
from vda.machine.devices import Device
from vda.models.weights import MINI
from vda.network.preprocess import net_size
from vda.network.presets import PRESETS
from vda.scene.windows import WINDOW_STEP, sequence_windows

if TYPE_CHECKING:
    import torch

    from vda.compute.precision import Precision
    from vda.network.model import VideoDepthModel

# Films are 16:9; each model at its own size for them.
_FILM: Final = (1920, 1080)
# Metric models are the relative ones with other weights.
MODELS: Final = (MINI, "vits", "vitb", "vitl")
# What CUDA itself takes of a card, beside all tensors: it is not in what is added up.
_CUDA_BYTES: Final = 500_000_000
_TIMED_WINDOWS: Final = 4


@dataclass(frozen=True)
class Ability:
    """A model in a precision at the network's size for 16:9.

    ``memory_bytes``: the least that a device needs for it. None where it was not looked at, as are
    ``frames_per_second`` where nothing was measured.
    """

    model: str
    precision: str
    net_width: int
    net_height: int
    memory_bytes: int | None = None
    fits: bool | None = None
    frames_per_second: float | None = None

    def __str__(self) -> str:
        size = f"{self.net_height} x {self.net_width}"
        if self.frames_per_second is not None:
            return f"{self.model} {self.frames_per_second:.3g} frames/s at {size}"
        return f"{self.model} {(self.memory_bytes or 0) / 1e9:.1f} GB"


def by_memory(free_bytes: int, precision: "Precision", models: Iterable[str] = MODELS) -> Iterator[Ability]:
    """Say of each model whether a GPU with so much free memory holds it in ``precision``, one frame at a time."""
    for name in models:
        least = _least_bytes(name, precision)
        yield Ability(name, precision, *_size(name), least, least <= free_bytes)


# The walk through a large model takes a second, and a machine may have many cards.
@cache
def _least_bytes(name: str, precision: "Precision") -> int:
    from vda.compute.footprint import footprint
    from vda.compute.precision import dtype_of
    from vda.network.model import empty_model

    model = empty_model(name).set_precision(dtype_of(precision))
    needs = footprint(model, *_size(name))
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    # With kept features on the host, as the memory ladder ends.
    return _CUDA_BYTES + weights + max(needs.encoder.at(1), needs.head.at(1))


def by_measurement(device: Device, precision: "Precision", models: Iterable[str]) -> list[Ability]:
    """Run ``models`` on ``device``: on a CPU for a second's worth (``compute.pace``), else for two windows.

    Raises ``DeviceError`` with the last line that the process left, where it failed.
    """
    environment = {**os.environ, **POLITE, **device.environment()}
    command = [sys.executable, "-m", "vda.outlook.abilities", device.kind, precision, *models]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"])[-1]
        raise DeviceError(f"{device.label} could not be measured: {last}.", "Run 'vda doctor' without --measure.")
    return [Ability(**ability) for ability in json.loads(ran.stdout)]


def main(arguments: list[str]) -> None:
    """``python -m vda.outlook.abilities KIND PRECISION MODEL...``: measure here, and print the records."""
    import torch

    kind, precision, *models = arguments
    found = [_measured(torch.device(kind), precision, model) for model in models]  # type: ignore[arg-type]
    sys.stdout.write(json.dumps([asdict(ability) for ability in found]))


def _measured(device: "torch.device", precision: "Precision", name: str) -> Ability:
    from vda.compute.pace import BATCHES, measure
    from vda.compute.precision import dtype_of
    from vda.network.model import build_model

    width, height = _size(name)
    model = build_model(name).set_precision(dtype_of(precision)).to(device)
    if device.type == "cpu":
        # As ``compute.computer`` begins with.
        batches = (1,) if name == MINI else BATCHES
        seconds = measure(model, width, height, batches).seconds_a_frame
    else:
        seconds = seconds_a_window(model, device, width, height) / WINDOW_STEP
    return Ability(name, precision, width, height, frames_per_second=1 / seconds)


def seconds_a_window(model: "VideoDepthModel", device: "torch.device", width: int, height: int) -> float:
    """Compute some windows of an endless gray film; return what one takes, when everything is warm.

    From the first that arrives to the last: a GPU's arrive one late, so that a single one would hide its launch.
    """
    from vda.compute.engine import Engine, Picture

    gray = np.zeros((3, height, width), np.float32)
    engine = Engine(model, device)
    engine.fit = engine.fit_from_the_start(0, width, height)
    endless = sequence_windows(0, 10 * WINDOW_STEP)
    windows = [window.frame_indices for window in islice(endless, 1, 2 + _TIMED_WINDOWS)]
    with closing(engine.compute(windows, lambda order: (Picture(index, gray, True) for index in order))) as depths:
        next(depths)
        began = time.perf_counter()
        for _ in depths:
            pass
        return (time.perf_counter() - began) / _TIMED_WINDOWS


def _size(model: str) -> tuple[int, int]:
    return net_size(*_FILM, PRESETS[model].input_size, PRESETS[model].patch)


if __name__ == "__main__":
    main(sys.argv[1:])
