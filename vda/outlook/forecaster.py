"""Forecasts made: how long, how much disk and memory, from what was measured or recorded.

In: a scene rehearsed as far as a start goes before its first write, what is to be merged, the devices. Out: its
``Forecast``. Figures come from this scene's earlier windows, from a piece of it tried just now (``sampled``), or
from the largest that files of a kind can be; a time that nothing tells stays unknown. This file does not know how
a start is rehearsed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from vda.errors import VdaError
from vda.machine.devices import Device
from vda.machine.host import disk_free_bytes, host_memory
from vda.merging.settings import MergeSettings
from vda.outlook.forecast import (
    ComputingOutlook,
    DiskOutlook,
    Forecast,
    MemoryOutlook,
    TimeOutlook,
    WeightsOutlook,
)
from vda.outlook.rehearsed import Rehearsed
from vda.outlook.sampled import FrameCost, SampledWindow, window_there, write_some
from vda.outlook.tried import FRAMES, CpuTrial, TrialOrder, try_cpu
from vda.scene.runstate import DeviceNotes, Pace, RunFiles
from vda.scene.scene import RunRecord
from vda.scene.windows import WINDOW_STEP
from vda.supervisor import most_by_frame, outputs_of, window_bytes
from vda.supervisor.resolve import Resolver

# Other windows and frames of a film differ from those that were weighed: a bound from above is of more use.
_MARGIN: Final = 1.15
# Whoever asks waits no longer than this for what is computed to be measured, over all films.
_MOST_SECONDS: Final = 20.0
# Records, logs and the report with its pictures, and what of them grows with the film.
_OTHERS_BYTES, _OTHERS_PER_FRAME = 1_000_000, 100


@dataclass
class Forecaster:
    """Makes the forecasts of one command. ``resolver`` fixed the scenes that are computed (None: none is).

    What was measured of one film's network holds for the next; ``threads`` are those of a worker.
    """

    devices: Sequence[Device] = ()
    threads: int = 1
    resolver: Resolver | None = None
    _spent: float = field(default=0.0, init=False)
    _trials: dict[tuple[str, tuple[object, ...]], CpuTrial | None] = field(default_factory=dict, init=False)
    """What was tried, by scene and network; and of each network the last."""
    _paces: dict[tuple[object, ...], CpuTrial] = field(default_factory=dict, init=False)

    def of(
        self,
        scene: Rehearsed,
        settings: MergeSettings | None,
        *,
        computes: bool,
        keeps: Sequence[str] = (),
        replaces: Sequence[str] = (),
        said: Sequence[str] = (),
    ) -> Forecast:
        """The forecast of ``scene``: computed where it ``computes``, and merged as ``settings`` ask."""
        plan, record = scene.plan(), scene.run_record()
        windows = sum(1 for _ in plan.windows())
        todo = windows - len(scene.finished_windows()) if computes else 0
        sample = None if record is None or not (todo or settings) else self._sample(scene, record, todo)
        written = None
        if record is not None and sample is not None and settings is not None:
            written = write_some(scene, sample, record, settings)
        computing = self._computing(scene, record, sample) if record is not None and todo else None
        return Forecast(
            scene.root,
            scene.video().path,
            len(plan.frames),
            plan.total_frames,
            len(plan.chunks),
            windows,
            todo,
            () if settings is None else outputs_of(settings),
            self._time(scene, record, todo, settings, written),
            self._disk(scene, todo, sample, settings, written),
            computing,
            tuple(keeps),
            tuple(replaces),
            tuple(said),
        )

    def _sample(self, scene: Rehearsed, record: RunRecord, todo: int) -> SampledWindow | None:
        """A window of the scene: one that is there, or one that is computed now, where that takes seconds."""
        if finished := scene.finished_windows():
            return window_there(scene, sorted(finished))
        trial = self._tried(scene, record) if todo and self._has_cpu else None
        return None if trial is None else trial.window

    @property
    def _has_cpu(self) -> bool:
        return any(device.kind == "cpu" for device in self.devices)

    def _tried(self, scene: Rehearsed, record: RunRecord) -> CpuTrial | None:
        """A piece of the film tried on the CPU, once; another film's pace where there is no time for more."""
        assert self.resolver is not None
        network = _network(record)
        if (scene.key, network) in self._trials:
            return self._trials[scene.key, network]
        known = self._paces.get(network)
        if known is not None and self._spent + FRAMES * known.seconds_a_frame > _MOST_SECONDS:
            return replace(known, window=None)
        is_here = self.resolver.weights_of(record).is_here
        began = time.monotonic()
        trial = try_cpu(TrialOrder(scene, record, self.threads, is_here, _MOST_SECONDS - self._spent))
        self._spent += time.monotonic() - began
        self._trials[scene.key, network] = trial
        if trial is not None:
            self._paces[network] = trial
        return trial

    def _computing(self, scene: Rehearsed, record: RunRecord, sample: SampledWindow | None) -> ComputingOutlook:
        assert self.resolver is not None
        weights = self.resolver.weights_of(record)
        place = weights.source if weights.source == "built-in" else str(weights.path)
        return ComputingOutlook(
            tuple(
                device.label if device.kind != "cpu" else f"{device.label} ({device.name})"
                for device in self.devices
            ),
            WeightsOutlook(record.model, place, not weights.is_here, weights.fetch_bytes),
            (record.net_width, record.net_height),
            self._precision(scene, record),
            self._memory(scene, record),
        )

    def _precision(self, scene: Rehearsed, record: RunRecord) -> str:
        """The precision in words; where it is tried first, that is said: this has not been."""
        from vda.compute.precision import WORDS, policy

        name = WORDS[record.precision]  # type: ignore[index]
        is_begun = _same_run(scene, record)
        tried = [device.label for device in self.devices if len(policy(device, record.model).candidates) > 1]
        if is_begun or record.asked_precision != "auto" or not tried:
            return f"{name}, as the scene was begun" if is_begun else record.precision_reason.rstrip(".")
        return f"{name}, if {', '.join(tried)} passes the trial before the first window"

    def _memory(self, scene: Rehearsed, record: RunRecord) -> MemoryOutlook:
        workers, free = len(self.devices), host_memory().available_bytes
        notes = _notes(scene, record)
        known = [note.peak_memory_bytes for device in self.devices if (note := notes.get(device.id)) is not None]
        if any(known):
            return MemoryOutlook(max(known), workers, free, "of this scene's earlier workers")
        trial = self._paces.get(_network(record))
        if trial is not None and all(device.kind == "cpu" for device in self.devices):
            tried = trial.seconds_per_window is not None
            source = "as a window computed just now" if tried else "at the most, by the network's layers"
            return MemoryOutlook(trial.memory_bytes, workers, free, source)
        return MemoryOutlook(None, workers, free, "until the first window")

    def _time(
        self,
        scene: Rehearsed,
        record: RunRecord | None,
        todo: int,
        settings: MergeSettings | None,
        written: FrameCost | None,
    ) -> TimeOutlook:
        writing: float | None = 0.0
        sources = []
        if settings is not None:
            writing = None if written is None else written.seconds * len(scene.plan().frames)
            sources = [
                "nothing tells how long writing takes" if written is None else "some frames written just now"
            ]
        if not todo or record is None:
            return TimeOutlook(0.0, writing, "; ".join(sources))
        known = [self._seconds_per_window(scene, record, device) for device in self.devices]
        sources = [*dict.fromkeys(source for _, source in known), *sources]
        paces = [pace for pace, _ in known if pace]
        computing = todo / sum(1 / pace for pace in paces) if len(paces) == len(known) else None
        return TimeOutlook(computing, writing, "; ".join(sources))

    def _seconds_per_window(self, scene: Rehearsed, record: RunRecord, device: Device) -> tuple[float | None, str]:
        """What a device takes for a window, and how that is known; None where it is not."""
        note = _notes(scene, record).get(device.id)
        if note is not None and note.seconds_per_window is not None:
            return note.seconds_per_window, "by this scene's earlier windows"
        if device.kind != "cpu":
            return None, f"unknown until the first window: {device.label} was never measured here"
        if (pace := Pace.found(RunFiles(scene.run_dir).pace_path(record.precision))) and _same_run(scene, record):
            return pace.seconds_a_frame * WINDOW_STEP, "by what its first worker measured"
        if (trial := self._tried(scene, record)) is None:
            return None, "unknown until the first window: a trial of this CPU gave no answer"
        if trial.seconds_per_window is not None:
            return trial.seconds_per_window, "by a window computed just now"
        return trial.seconds_a_frame * WINDOW_STEP, "by a frame computed just now"

    def _disk(
        self,
        scene: Rehearsed,
        todo: int,
        sample: SampledWindow | None,
        settings: MergeSettings | None,
        written: FrameCost | None,
    ) -> DiskOutlook:
        frames = len(scene.plan().frames)
        parts = {}
        if todo:
            each = window_bytes(scene) if sample is None else sample.file_bytes * _MARGIN
            parts["raw windows"] = round(todo * each)
        if settings is not None:
            names = outputs_of(settings)
            by_frame = most_by_frame(scene, settings) if written is None else written.bytes_by_output
            margin = 1.0 if written is None else _MARGIN
            parts |= {name: round(frames * by_frame[name] * margin) for name in names}
        parts["records and report"] = _OTHERS_BYTES + _OTHERS_PER_FRAME * frames
        weighed = (
            "weighed on a window and some frames" if sample is not None else "at the most: none could be weighed"
        )
        return DiskOutlook(parts, disk_free_bytes(scene.root), weighed)


def _network(record: RunRecord) -> tuple[object, ...]:
    return record.network, record.net_width, record.net_height


def _same_run(scene: Rehearsed, record: RunRecord) -> bool:
    """Whether what is on the disk was computed with the same, and is kept."""
    known = None if scene.anew else scene.there.run_record()
    return known is not None and known.computed_with == record.computed_with


def _notes(scene: Rehearsed, record: RunRecord) -> dict[str, DeviceNotes]:
    """What earlier workers of the scene left of the devices; nothing where they computed something else."""
    if not scene.there.run_path.is_file():
        return {}
    try:
        known = scene.there.run_record()
        same = known is not None and known.computed_with == record.computed_with
        return RunFiles(scene.run_dir).home().read_devices() if same else {}
    except VdaError:
        return {}
