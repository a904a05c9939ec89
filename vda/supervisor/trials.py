"""Trying half precision on devices before a scene begins, each in a process of its own.

In: what a scene would be computed with, and devices. Out: a proof for each, and the windows that were computed for
it. A process that dies or hangs is a proof as well: half precision fails there. What is concluded from the proofs
is not known here.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING

from vda.compute.trial import TrialRequest, read_proof, read_window
from vda.launch import Launched
from vda.machine.devices import Device
from vda.network.packing import packed
from vda.scene.runstate import WorkerFiles
from vda.scene.scene import RunRecord, Scene, WindowId
from vda.scene.windowstore import WindowStore
from vda.supervisor.crew import Crew
from vda.supervisor.seen import Patience
from vda.supervisor.telling import PaceTelling

if TYPE_CHECKING:
    from vda.compute.precision import Proof, Verdict

_POLL_SECONDS = 0.05


@dataclass
class _Running:
    files: WorkerFiles
    verdict: "Verdict"
    launched: Launched
    began: float


@dataclass
class Trials:
    """Proofs of devices by their ids, for a scene that would be computed as ``record`` says.

    Each device computes a window of its own, the first that are missing, so that what trying costs is the windows
    in the precisions that are not chosen.
    """

    crew: Crew
    scene: Scene
    record: RunRecord
    telling: PaceTelling
    proofs: "dict[str, Proof]" = field(default_factory=dict, init=False)
    _computed: list[tuple[WindowId, WorkerFiles]] = field(default_factory=list, init=False)

    def prove(self, devices: Sequence[Device], verdicts: "Mapping[str, Verdict]") -> None:
        """Try on each of ``devices`` what its verdict says; nothing is computed where there is nothing to choose.

        Raises ``DeviceError`` where a device is wrong even in float32.
        """
        from vda.compute.precision import Proof

        choosing = [device for device in devices if verdicts[device.id].candidates != ("fp32",)]
        # Another engine than PyTorch is proven in float32 as well.
        tried = choosing if self.record.engine == "torch" else devices
        windows = self._windows(len(tried)) if tried else []
        running = {
            device.id: self._start(device, verdicts[device.id], windows[number % len(windows)])
            for number, device in enumerate(tried)
        }
        for device in devices:
            verdict = verdicts[device.id]
            proof = Proof(verdict.device, verdict.refused)
            if device.id in running:
                proof = self._await(running[device.id])
            self.proofs[device.id] = proof.after(self.proofs.get(device.id))

    def keep(self, record: RunRecord) -> None:
        """Keep the windows in the precision of ``record``, the scene's own by now, and forget the rest."""
        store = WindowStore.of(self.scene, record)
        for key, files in self._computed:
            found = read_window(files, record.precision)
            if found is not None and not self.scene.window_path(key).exists():
                depth, undecoded = found
                store.write(key, packed(depth), undecoded)
            shutil.rmtree(files.folder, ignore_errors=True)
        self._computed.clear()

    def _windows(self, count: int) -> list[WindowId]:
        """The first ``count`` windows that are missing, or the first of all where none is."""
        plan = self.scene.plan()
        missing = chain.from_iterable(self.scene.missing_windows(chunk) for chunk in plan.chunks)
        return [key for key, _ in islice(missing, count)] or [(0, 0)]

    def _start(self, device: Device, verdict: "Verdict", window: WindowId) -> _Running:
        files = self.crew.new_files(device)
        TrialRequest(self.scene.key, self.record, verdict, window).write(files.trial_path)
        self._computed.append((window, files))
        return _Running(files, verdict, self.crew.launch(files, device, trial=True), time.monotonic())

    def _await(self, trial: _Running) -> "Proof":
        while (code := trial.launched.exit_code()) is None:
            if time.monotonic() - trial.began > Patience().first:
                trial.launched.kill()
                return _failed(trial.verdict, "its trial hung")
            self.telling.tell()
            time.sleep(_POLL_SECONDS)
        if not trial.files.proof_path.is_file():
            return _failed(trial.verdict, f"its trial ended with exit code {code}")
        return read_proof(trial.files.proof_path)


def prove_devices(trials: Trials, devices: Sequence[Device], only: str | None = None) -> "dict[str, Proof]":
    """Return the proof of each device by its id. ``only``: the precision of the scene that the devices join.

    A device tries no further than to the first precision that it passes. Where another device fails that one, what
    they may agree on instead is tried in another round.
    """
    from vda.compute.precision import agree, policy

    verdicts = {device.id: policy(device, trials.record.model) for device in devices}
    if only is not None:
        verdicts = {name: verdict.narrowed(only) for name, verdict in verdicts.items()}
    trials.prove(devices, verdicts)
    while only is None and devices:
        chosen = agree(list(trials.proofs.values())).precision
        able = [device for device in devices if chosen in verdicts[device.id].candidates]
        open_ones = [device for device in able if not trials.proofs[device.id].tells(chosen)]
        if not open_ones:
            break
        trials.prove(open_ones, {device.id: verdicts[device.id].narrowed(chosen) for device in open_ones})
    return trials.proofs


def _failed(verdict: "Verdict", reason: str) -> "Proof":
    from vda.compute.precision import Proof

    halves = [name for name in verdict.candidates if name != "fp32"]
    return Proof(verdict.device, {**verdict.refused, **dict.fromkeys(halves, reason)})
