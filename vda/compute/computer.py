"""A device with a scene's model on it, and the pictures that it is fed.

In: the record of a run, a device's id. Out: a ``Computer``, whose engine turns pictures into raw windows, and the
source of those pictures. This file knows neither chunks nor where windows are kept.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Literal

from vda.compute.ladder import MemoryFit
from vda.errors import InputError, WorkError
from vda.files import write_json
from vda.machine.locks import exclusive_lock
from vda.models.weights import MINI, load_model, resolve_weights
from vda.network.presets import PRESETS
from vda.picture.framing import Framing
from vda.records import read_record
from vda.scene.chunks import Plan
from vda.scene.runstate import EngineParts, RunFiles, WorkerFiles, WorkerSettings
from vda.scene.scene import RunRecord, Scene
from vda.video import Decoder, Frame, FrameIndex, VideoInfo, map_frame_list

if TYPE_CHECKING:
    import numpy as np
    import torch

    from vda.compute.engine import Engine, FrameSource, Picture
    from vda.network.model import VideoDepthModel


@dataclass
class Computer:
    """A device with the scene's model on it. ``threads`` are the CPU's; ``fits`` is where memory is remembered.

    ``decoder`` decodes the film: the CPU, or the device where that was asked for.
    """

    engine: "Engine"
    record: RunRecord
    threads: int
    fits: Path
    decoder: Decoder = field(default_factory=Decoder)
    _exact: "Engine | None" = field(default=None, init=False)

    def exact(self) -> "Engine":
        """The same model in float32, for windows that half precision spoils; counters go on in one place."""
        from vda.compute.engine import Engine

        if self._exact is None:
            model = load_network(self.record).to(self.engine.device)
            engine = self.engine
            self._exact = Engine(model, engine.device, engine.fit, engine.progress, engine.codes_there)
        return self._exact

    def use(self, fit: MemoryFit) -> None:
        """Use memory as ``fit`` says from now on, and remember it for this device and scene."""
        self.engine.release()
        self.engine.fit = fit
        if self._exact is not None:
            self._exact.fit = fit
        write_json(self.fits, asdict(fit), durable=False)


def load_computer(
    record: RunRecord,
    run: RunFiles,
    device_id: str,
    threads: int,
    batch_size: int = 0,
    decoder: Literal["cpu", "gpu"] = "cpu",
) -> Computer:
    """Build the scene's model on a device, in the precision fixed for the scene.

    Memory is used as was found to fit before, else as ``begin_with`` says.
    """
    import torch

    from vda.compute.engine import Engine
    from vda.compute.precision import dtype_of, set_float32_means_float32

    torch.set_num_threads(threads)
    set_float32_means_float32()
    device = torch_device(device_id)
    dtype = dtype_of(record.precision)
    # In float64, which a GPU's CUDA has and Apple's has not.
    codes_there = device.type == "cuda"
    network = load_network(record)
    exact = copy.deepcopy(network) if record.engine == "openvino" else network
    engine = Engine(network.set_precision(dtype).to(device), device, codes_there=codes_there)
    fits = run.fits_path(device_id)
    engine.fit = known_fit(fits) or begin_with(engine, record, run, batch_size)
    if record.engine == "openvino":
        hand_over(engine, exact, record, run, threads, device_id)
    return Computer(engine, record, threads, fits, Decoder(decoder))


def run_files(scene: Scene, files: WorkerFiles, settings: WorkerSettings) -> RunFiles:
    """What a worker has of the run of ``scene``: of a task of a cluster, locks and fits are on its own machine."""
    return RunFiles(scene.run_dir, files.home if settings.apart else None)


def begin_with(engine: "Engine", record: RunRecord, run: RunFiles, batch_size: int) -> MemoryFit:
    """Where ``engine`` begins to use memory: at ``batch_size`` (0: not asked for), or at what suits the device.

    The built-in model takes one frame at a time on a CPU: other micro-batches move its last bits, and who has no
    other model is to have the same bytes everywhere.
    """
    if engine.device.type == "cpu" and record.model != MINI:
        from vda.compute.pace import paced

        pace = paced(engine.model, record, run, batch_size)
        batch_size = batch_size or pace.micro_batch
    return engine.fit_from_the_start(batch_size, record.net_width, record.net_height)


def hand_over(
    engine: "Engine", exact: "VideoDepthModel", record: RunRecord, run: RunFiles, threads: int, device_id: str
) -> None:
    """Let OpenVINO compute the parts of ``engine``'s model that it is faster at, from ``exact``, the float32 one.

    The first worker on a CPU measures that, for all and for good: another choice would move the last bits. An
    Intel GPU computes all.
    """
    import torch

    from vda.compute.openvino import OpenVinoModel, faster_parts

    def ours(parts: EngineParts, place: str = "CPU") -> OpenVinoModel:
        return OpenVinoModel(exact, engine.model, record.precision, threads, parts, record.weights_sha256, place)

    kind, _, place = device_id.partition(":")
    if kind == "openvino":
        engine.model = ours(EngineParts(True, True), place)  # type: ignore[assignment]
        return
    with exclusive_lock(run.pace_lock, wait=True):
        path = run.parts_path(record.precision)
        parts = EngineParts.found(path)
        model = ours(parts or EngineParts(False, False))
        if parts is None:
            images = torch.zeros(engine.fit.encoder_batch, 3, record.net_height, record.net_width)
            model.parts = faster_parts(model, images).first(path)
    engine.model = model  # type: ignore[assignment]


def torch_device(device_id: str) -> "torch.device":
    """The device by PyTorch's name: a worker sees its own GPU and no other."""
    import torch

    kind = device_id.partition(":")[0]
    if kind in ("cpu", "openvino"):
        # Of an Intel GPU PyTorch knows nothing: it gives and takes arrays in the host's memory.
        return torch.device("cpu")
    # ROCm's builds of PyTorch call an AMD card "cuda".
    return torch.device(kind if kind == "mps" else "cuda:0")


def load_network(record: RunRecord) -> "VideoDepthModel":
    """The scene's model in float32 on the CPU; ``WorkError`` where its weights are not what they were."""
    weights = resolve_weights(record.model, Path(record.weights_path), fetch=False)
    if weights.sha256 != record.weights_sha256:
        raise WorkError(
            f"The weights in {record.weights_path} are not those the scene was begun with.",
            "Put the file back, or give --restart to compute the scene with the new ones.",
        )
    return load_model(record.model, weights)


def known_fit(path: Path) -> MemoryFit | None:
    try:
        return read_record(path, MemoryFit, "Remove it; it is found again.")
    except InputError:
        return None


def frame_source(
    info: VideoInfo,
    index: FrameIndex,
    plan: Plan,
    framing: Framing,
    record: RunRecord,
    threads: int,
    there: bool,
    decoder: Decoder | None = None,
) -> "FrameSource":
    """Return what the engine draws its pictures from: by place in the plan, framed, at their network's size.

    With ``there`` they are bytes as decoded, and the device does the rest. They are made in ``threads`` threads of
    what ``decoder`` gives (None: the CPU).
    """
    from vda.compute.engine import Picture
    from vda.network.preprocess import Preparer, net_size

    # The record's own size is that of the largest pictures; those of another shot may be cropped to less.
    size = net_size(*framing.box.size, record.input_size, PRESETS[record.model].patch)

    ours = local()

    def prepared(frame: Frame) -> "tuple[np.ndarray, bool]":
        seen = framing.seen(frame.rgb)
        if there:
            return seen, frame.decoded
        if not hasattr(ours, "preparer"):
            ours.preparer = Preparer(*size)
        return ours.preparer(seen), frame.decoded

    def source(order: Sequence[int]) -> "Iterator[Picture]":
        for start, stop in _runs(order):
            wanted = [plan.frame(place) for place in range(start, stop)]
            pictures = map_frame_list(prepared, info, index, wanted, threads=threads, decoder=decoder)
            for place, (pixels, decoded) in zip(range(start, stop), pictures, strict=True):
                yield Picture(place, pixels, decoded, size if there else None)

    return source


def scene_source(
    scene: Scene,
    plan: Plan,
    sequence: int,
    record: RunRecord,
    threads: int,
    device: "torch.device",
    decoder: Decoder | None = None,
) -> "FrameSource":
    """``frame_source`` of a scene's video for the windows of one sequence of its plan, computed on ``device``."""
    info, index = scene.film()
    shot = plan.sequences[sequence].shot
    there = device.type != "cpu"
    return frame_source(info, index, plan, scene.framings([shot])[shot], record, threads, there, decoder)


def _runs(order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Split ``order`` into half-open runs of consecutive frames."""
    start = 0
    for place in range(1, len(order) + 1):
        if place == len(order) or order[place] != order[place - 1] + 1:
            yield order[start], order[place - 1] + 1
            start = place
