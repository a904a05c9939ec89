"""Trying half precision on devices before a scene begins, each in a process of its own.

In: what a scene would be computed with, and devices. Out: a proof for each. A process that dies or hangs is a
proof as well: half precision fails there. What is concluded from the proofs is not known here.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vda.compute.trial import TrialRequest, read_proof
from vda.launch import Launched
from vda.machine.devices import Device
from vda.scene.runstate import WorkerFiles, WorkerSettings
from vda.scene.scene import RunRecord, Scene
from vda.supervisor.crew import Crew
from vda.supervisor.seen import Patience

if TYPE_CHECKING:
    from vda.compute.precision import Proof, Verdict

_POLL_SECONDS = 0.05


@dataclass
class _Running:
    files: WorkerFiles
    verdict: "Verdict"
    launched: Launched
    began: float


def prove_devices(crew: Crew, scene: Scene, record: RunRecord, devices: Sequence[Device]) -> "dict[str, Proof]":
    """Return the proof of each device by its id; nothing is computed where there is nothing to choose.

    Raises ``DeviceError`` where a device is wrong even in float32.
    """
    from vda.compute.precision import Proof, policy

    verdicts = {device.id: policy(device) for device in devices}
    running = {
        device.id: _start(crew, scene, record, device, verdicts[device.id])
        for device in devices
        if verdicts[device.id].candidates != ("fp32",)
    }
    proofs = {name: Proof(verdict.device, verdict.refused) for name, verdict in verdicts.items()}
    proofs.update({name: _await(trial) for name, trial in running.items()})
    return proofs


def _start(crew: Crew, scene: Scene, record: RunRecord, device: Device, verdict: "Verdict") -> _Running:
    files = crew.new_files(device)
    TrialRequest(scene.key, record, verdict).write(files.trial_path)
    settings = WorkerSettings(device.id, crew.threads, crew.batch_size, trial=True)
    return _Running(files, verdict, crew.launch(files, device, settings), time.monotonic())


def _await(trial: _Running) -> "Proof":

    while (code := trial.launched.exit_code()) is None:
        if time.monotonic() - trial.began > Patience().first:
            trial.launched.kill()
            return _failed(trial.verdict, "its trial hung")
        time.sleep(_POLL_SECONDS)
    if not trial.files.proof_path.is_file():
        return _failed(trial.verdict, f"its trial ended with exit code {code}")
    return read_proof(trial.files.proof_path)


def _failed(verdict: "Verdict", reason: str) -> "Proof":
    from vda.compute.precision import Proof

    halves = [name for name in verdict.candidates if name != "fp32"]
    return Proof(verdict.device, {**verdict.refused, **dict.fromkeys(halves, reason)})
