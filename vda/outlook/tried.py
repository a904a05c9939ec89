"""A piece of the computing tried on this CPU: how long it takes, in a process of its own, as a worker is.

In: a scene whose run is fixed, kept in memory or not. Out: seconds of a frame; and, where that takes seconds, a
window from the middle of the film with its pace and the memory that it took. Nothing is written but a temporary
file. This file does not know what is concluded from it.
"""

import os
import pickle
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import psutil

from vda.depthmaps.codes import Float32Array
from vda.errors import VdaError
from vda.launch.local import POLITE
from vda.network.packing import packed
from vda.network.slots import WINDOW_SLOTS
from vda.outlook.sampled import SampledWindow
from vda.scene.chunks import Chunk
from vda.scene.rawwindows import write_raw_window
from vda.scene.scene import RunRecord, Scene
from vda.scene.windows import WINDOW_STEP, Window

if TYPE_CHECKING:
    from vda.network.model import VideoDepthModel

# Of two windows, the second of which takes up most of the first.
FRAMES: Final = WINDOW_SLOTS + WINDOW_STEP
# A first frame that took longer is not computed again to know better.
_COLD_SECONDS: Final = 5.0


@dataclass(frozen=True)
class TrialOrder:
    """What to try: the network of ``record`` with so many ``threads``, and a window within ``seconds``.

    ``is_here`` False: its weights are still to be fetched; any would take as long, and none gives a window.
    """

    scene: Scene
    record: RunRecord
    threads: int
    is_here: bool
    seconds: float


@dataclass(frozen=True)
class CpuTrial:
    """``seconds_a_frame`` and ``memory_bytes`` are a worker's; ``seconds_per_window`` those of a ``window``.

    Without one the memory is the most that the network's layers may need.
    """

    seconds_a_frame: float
    memory_bytes: int
    window: SampledWindow | None = None
    seconds_per_window: float | None = None


def try_cpu(order: TrialOrder) -> CpuTrial | None:
    """Carry ``order`` out; None where the process ended without an answer. Raises what it met, in words."""
    told = subprocess.run(
        [sys.executable, "-c", "from vda.outlook.tried import main; main()"],
        input=pickle.dumps(order),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # The child imports this very package, wherever it was found.
        env={**POLITE, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if told.returncode or not told.stdout:
        return None
    answer = pickle.loads(told.stdout)
    if isinstance(answer, CpuTrial):
        return answer
    problem, remedy = answer
    raise VdaError(problem, remedy)


def main() -> None:
    """Read an order, carry it out, and answer: the process that ``try_cpu`` starts."""
    order: TrialOrder = pickle.load(sys.stdin.buffer)
    try:
        answer: CpuTrial | tuple[str, str] = _tried(order)
    except VdaError as error:
        answer = error.problem, error.remedy
    pickle.dump(answer, sys.stdout.buffer)


def _tried(order: TrialOrder) -> CpuTrial:
    import torch

    from vda.compute.computer import load_network
    from vda.compute.precision import dtype_of, set_float32_means_float32
    from vda.network.model import build_model

    torch.set_num_threads(order.threads)
    set_float32_means_float32()
    record = order.record
    model = load_network(record) if order.is_here else build_model(record.model).eval()
    model.set_precision(dtype_of(record.precision))
    pace = _seconds_a_frame(model, record)
    if not order.is_here or FRAMES * pace > order.seconds:
        return CpuTrial(pace, _most_memory(model, record))
    window, seconds = _computed(model, order.scene, record, order.threads)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return CpuTrial(pace, memory, window, seconds)


def _most_memory(model: "VideoDepthModel", record: RunRecord) -> int:
    """What a worker may come to need: this process, which has the model, and what a window takes beside it."""
    from vda.compute.footprint import footprint

    needs = footprint(model, record.net_width, record.net_height)
    more = needs.features + max(needs.encoder.at(1), needs.head.at(WINDOW_SLOTS))
    return psutil.Process().memory_info().rss + more


def _seconds_a_frame(model: "VideoDepthModel", record: RunRecord) -> float:
    import torch

    from vda.compute.pace import measure

    image = torch.zeros(1, 3, record.net_height, record.net_width)
    began = time.perf_counter()
    with torch.inference_mode():
        model.decode(model.encode(image))
    # What PyTorch prepares at the first time is much for a small model, and nothing for a large one.
    if (cold := time.perf_counter() - began) > _COLD_SECONDS:
        return cold
    return measure(model, record.net_width, record.net_height).seconds_a_frame


def _computed(
    model: "VideoDepthModel", scene: Scene, record: RunRecord, threads: int
) -> tuple[SampledWindow, float]:
    """Compute a window in the middle of the film's middle chunk, and how long it took.

    The one before it is computed first, where there is one: it is the second that tells the pace.
    """
    import torch

    from vda.compute.computer import scene_source
    from vda.compute.engine import Engine
    from vda.compute.ladder import MemoryFit

    plan = scene.plan()
    chunk = plan.chunks[len(plan.chunks) // 2]
    windows, device = _middle(chunk), torch.device("cpu")
    source = scene_source(scene, plan, chunk.sequence.index, record, threads, device)
    engine = Engine(model, device, MemoryFit(1))
    seconds: list[float] = []
    depths = []
    began = time.perf_counter()
    for answer in engine.compute([window.frame_indices for window in windows], source):
        depths.append(answer.depth)
        seconds.append(time.perf_counter() - began - sum(seconds))
    stored = _stored_bytes(depths[-1])
    return SampledWindow(windows[-1], chunk.sequence.shot, depths[-1], stored), seconds[-1]


def _middle(chunk: Chunk) -> list[Window]:
    windows = list(chunk.windows())
    last = max(1, len(windows) // 2)
    return windows[last - 1 : last + 1]


def _stored_bytes(values: Float32Array) -> int:
    with TemporaryDirectory(prefix="vda-") as folder:
        path = Path(folder) / "window.npz"
        write_raw_window(path, packed(values))
        return path.stat().st_size
