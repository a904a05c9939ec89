"""A device's trial: a window of a video computed in the precisions worth trying, before the scene begins.

In: a request (a scene, what it would be computed with, what is worth trying) in a worker's folder. Out: the proof
beside it and the window in each precision, or the sentences of an error. It runs in a process of its own, for what
it tries may take the process down. This file does not know what is concluded from the proof.
"""

import copy
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vda.compute.chunk import answers
from vda.compute.computer import (
    Computer,
    begin_with,
    hand_over,
    load_network,
    run_files,
    scene_source,
    torch_device,
)
from vda.errors import DeviceError, VdaError
from vda.files import atomic_writer, write_json
from vda.records import FilePath, Index, filled, read_record, refused_as
from vda.scene.chunks import Plan
from vda.scene.runstate import WorkerFiles, WorkerSettings
from vda.scene.scene import RunRecord, Scene, WindowId, chunk_windows

if TYPE_CHECKING:
    import numpy as np

    from vda.compute.engine import FrameSource, Picture
    from vda.compute.precision import Precision, Proof, Verdict

_AGAIN: Final = "Run the same command again: the device is then tried anew."


@dataclass(frozen=True)
class TrialRequest:
    """What to try: a window of the scene in ``root``, computed as ``record`` says, in other precisions."""

    root: str
    record: RunRecord
    verdict: "Verdict"
    window: WindowId

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "TrialRequest":
        from vda.compute.precision import Verdict

        values = read_record(path, dict[str, Any], _AGAIN)
        with refused_as(path, _AGAIN):
            record, verdict = filled(RunRecord, values.get("record")), filled(Verdict, values.get("verdict"))
            window = filled(tuple[Index, Index], values.get("window"), "window")
            return cls(filled(FilePath, values.get("root"), "root"), record, verdict, window)


def read_proof(path: Path) -> "Proof":
    """Read what a trial left: raise the ``DeviceError`` it ended with, ``InputError`` where it is no proof."""
    from vda.compute.precision import Proof

    values = read_record(path, dict[str, Any], _AGAIN)
    with refused_as(path, _AGAIN):
        if "problem" in values:
            problem, remedy = (filled(str, values.get(name), name) for name in ("problem", "remedy"))
            raise DeviceError(problem, remedy)
        return Proof.from_record(values.get("proof"))


def read_window(files: WorkerFiles, precision: str) -> "tuple[np.ndarray, tuple[int, ...]] | None":
    """The window that a trial computed in ``precision`` and its slots without a picture; None without any."""
    import numpy as np

    path = files.tried_path(precision)
    if not path.is_file():
        return None
    with np.load(path) as arrays:
        return arrays["depth"], tuple(arrays["missing"].tolist())


def run_trial(files: WorkerFiles, settings: WorkerSettings) -> int:
    """Do what the request in the worker's folder asks for and leave the proof; return the exit code."""
    try:
        request = TrialRequest.read(files.trial_path)
        trial = _Trial(request, settings, files)
        write_json(files.proof_path, {"proof": trial.proof(request.verdict).to_record()})
    except VdaError as error:
        write_json(files.proof_path, {"problem": error.problem, "remedy": error.remedy})
    return 0


class _Trial:
    """Computes a window in one precision after the other, each on a fresh copy of the model, and keeps it."""

    def __init__(self, request: TrialRequest, settings: WorkerSettings, files: WorkerFiles) -> None:
        import torch

        from vda.compute.precision import set_float32_means_float32

        torch.set_num_threads(settings.threads)
        set_float32_means_float32()
        scene = Scene(Path(request.root))
        plan = scene.plan()
        self._window = _frames(plan, request.window)
        device = torch_device(settings.device)
        pictures = scene_source(scene, plan, request.window[0], request.record, settings.threads, device)
        self._source = _kept(pictures, self._window)
        self._network = load_network(request.record)
        self._run = run_files(scene, files, settings)
        self._record, self._settings, self._files = request.record, settings, files

    def proof(self, verdict: "Verdict") -> "Proof":
        from vda.compute.precision import prove

        return prove(self.compute, verdict, self.by_pytorch if self._record.engine != "torch" else None)

    def by_pytorch(self) -> "tuple[np.ndarray, float]":
        """The window in float32 by PyTorch, which other engines are held against."""
        return self.compute("fp32", by_pytorch=True)

    def compute(self, precision: "Precision", *, by_pytorch: bool = False) -> "tuple[np.ndarray, float]":
        """Return the window in ``precision`` and the seconds it took, when everything was warm; keep it.

        What ``by_pytorch`` is computed where the scene's engine is another is not kept.
        """
        import numpy as np

        from vda.compute.engine import Engine
        from vda.compute.precision import dtype_of

        device = torch_device(self._settings.device)
        engine = Engine(copy.deepcopy(self._network).set_precision(dtype_of(precision)).to(device), device)
        record = replace(self._record, precision=precision)
        engine.fit = begin_with(engine, record, self._run, self._settings.batch_size)
        if not by_pytorch and record.engine == "openvino":
            hand_over(engine, self._network, record, self._run, self._settings.threads, self._settings.device)
        computer = Computer(engine, self._record, self._settings.threads, self._files.folder / "fits.json")
        # Two slots have all the kernels made and loaded that 32 need.
        list(answers([self._window[:2]], self._source, engine, computer))
        began = time.perf_counter()
        (answer,) = answers([self._window], self._source, engine, computer)
        seconds = time.perf_counter() - began
        if by_pytorch:
            return answer.depth, seconds
        with atomic_writer(self._files.tried_path(record.precision)) as file:
            np.savez(file, depth=answer.depth, missing=np.array(answer.missing, np.int64))
        return answer.depth, seconds


def _frames(plan: Plan, key: WindowId) -> tuple[int, ...]:
    windows = (window for chunk in plan.chunks for name, window in chunk_windows(chunk) if name == key)
    return next(windows).frame_indices


def _kept(source: "FrameSource", window: tuple[int, ...]) -> "FrameSource":
    """The pictures of one window, decoded once: what is timed is the device."""
    pictures: dict[int, Picture] = {picture.index: picture for picture in source(sorted(set(window)))}
    return lambda order: (pictures[index] for index in order)
