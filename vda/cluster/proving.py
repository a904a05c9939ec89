"""Half precision on a cluster: a first job on each kind of node tries it, and a scene gets one precision.

      vda_run/cluster/proofs/draft.json    what the scene would be computed with, in float32 for now
      vda_run/cluster/proofs/<kind>.json   how a device of this kind did with it (``vda task SCENE --prove``)

In: a planned scene and what it would be computed with. Out: proofs, one for each kind of device, and the guess
that ``resolve.Resolver`` fixes the precision by. Which kinds of node there are, and how a job gets to one, is not
known here.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vda.errors import DeviceError, SceneError
from vda.files import write_json
from vda.machine.devices import Device
from vda.records import filled, read_record, refused_as
from vda.reporter import Reporter
from vda.scene.runstate import RunFiles, device_slug
from vda.scene.scene import RunRecord, Scene
from vda.shown import quoted
from vda.supervisor import Crew, PaceTelling, Trials, prove_devices

if TYPE_CHECKING:
    from vda.compute.precision import Proof, Verdict

_AGAIN = "Remove it, and give the same command again: the kind is then tried anew."


@dataclass(frozen=True)
class KindProof:
    """What a first job found on a kind of device; ``problem`` where that is wrong even in float32."""

    kind: str
    computed_with: dict[str, Any]
    host: str
    proof: dict[str, Any] | None = None
    problem: str = ""
    remedy: str = ""


def proofs_folder(scene: Scene) -> Path:
    return RunFiles(scene.run_dir).cluster_dir / "proofs"


def kind_of(device: Device) -> str:
    """What all devices share that give the same proof: a card's name; of CPUs, whether they have bfloat16."""
    if device.kind == "cpu":
        return "cpu-bf16" if device.has_bf16 else "cpu"
    return device_slug(device.name)


def proving_command(scene: Scene) -> list[str]:
    """What ``vda`` does in a first job on each kind of node, from any folder, after ``ask_for_proofs``."""
    return ["task", str(scene.root.resolve()), "--prove"]


def ask_for_proofs(scene: Scene, draft: RunRecord) -> None:
    """Write down what first jobs are to try: ``draft`` in other precisions. What was found before is forgotten."""
    for path in proofs_folder(scene).glob("*") if proofs_folder(scene).is_dir() else ():
        path.unlink(missing_ok=True)
    write_json(proofs_folder(scene) / "draft.json", asdict(replace(draft, precision="fp32")))


def prove_here(scene: Scene, device: Device, crew: Crew, host: str, reporter: Reporter) -> KindProof:
    """Try what was asked for on this machine's ``device``, and leave the proof of its kind.

    Raises ``SceneError`` where nothing was asked for, ``DeviceError`` where the device is wrong even in float32.
    """
    path = proofs_folder(scene) / "draft.json"
    if not path.is_file():
        raise SceneError(
            f"Nothing is to be tried for {scene.root}.",
            f"Begin with 'vda run {quoted(scene.root)} --on slurm --prove', or --on ray.",
        )
    draft = read_record(path, RunRecord, _AGAIN)
    found = KindProof(kind_of(device), _tried(draft), host)
    try:
        proof = _prove(Trials(crew, scene, draft, PaceTelling(reporter, [device], {scene: draft})), device)
    except DeviceError as error:
        _write(scene, replace(found, problem=error.problem, remedy=error.remedy))
        raise
    found = replace(found, proof=replace(proof, device=found.kind).to_record())
    _write(scene, found)
    reporter.say(f"Proven on {found.kind}: {_words(proof)}.")
    return found


def _prove(trials: Trials, device: Device) -> "Proof":
    """Try each half precision that the device may compute in: what others pass is not known here."""
    from vda.compute.precision import policy

    verdict = policy(device, trials.record.model)
    rounds: list[Verdict] = [verdict.narrowed(name) for name in verdict.candidates if name != "fp32"]
    for each in rounds or [verdict]:
        trials.prove([device], {device.id: each})
    return trials.proofs[device.id]


def _words(proof: "Proof") -> str:
    from vda.compute.precision import WORDS

    passed = [WORDS[name] for name in proof.figures if name not in proof.failed]
    return ", ".join([*passed, "float32"])


def read_proofs(scene: Scene, record: RunRecord) -> "dict[str, Proof]":
    """The proofs that first jobs left of what ``record`` says, by kind of device.

    Raises ``DeviceError`` where a kind is wrong even in float32.
    """
    from vda.compute.precision import Proof

    proofs = {}
    for path in sorted(proofs_folder(scene).glob("*.json")):
        if path.name == "draft.json" or path.name.startswith("."):
            continue
        found = read_record(path, KindProof, _AGAIN)
        if found.computed_with != _tried(record):
            # Of another model or size, which the scene was to be computed with before.
            continue
        if found.problem:
            raise DeviceError(found.problem, found.remedy)
        with refused_as(path, _AGAIN):
            proofs[found.kind] = filled(Proof, found.proof)
    return proofs


def by_proofs(scene: Scene) -> "Callable[[RunRecord, Sequence[Device]], dict[str, Proof]]":
    """What ``Resolver`` takes as ``guess``: it chooses the best precision that every kind passes.

    With none it is float32: half precision would have to be tried on nodes that nobody has yet.
    """

    def guess(record: RunRecord, devices: Sequence[Device]) -> "dict[str, Proof]":
        begun = scene.run_record()
        known = {proof.id for proof in begun.proofs} if begun is not None else set()
        return {kind: proof for kind, proof in read_proofs(scene, record).items() if kind not in known}

    return guess


def require_proven(scene: Scene, device: Device, crew: Crew, host: str, reporter: Reporter) -> None:
    """Raise ``DeviceError`` where ``device`` fails the precision that the scene was proven in.

    A kind that no first job met is tried here, once for all tasks.
    """
    from vda.compute.precision import check_joining

    record = scene.run_record()
    assert record is not None, "a task computes what is fixed"
    if record.precision == "fp32" or record.asked_precision != "auto":
        return
    proofs = read_proofs(scene, record)
    if kind_of(device) not in proofs:
        trials = Trials(crew, scene, record, PaceTelling(reporter, [device], {scene: record}))
        proof = prove_devices(trials, [device], record.precision)[device.id]
        found = KindProof(
            kind_of(device), _tried(record), host, replace(proof, device=kind_of(device)).to_record()
        )
        _write(scene, found)
        proofs = read_proofs(scene, record)
    check_joining(proofs[kind_of(device)], record.precision)  # type: ignore[arg-type]


def _tried(record: RunRecord) -> dict[str, Any]:
    """What a proof is of: all that changes a window, but the precision."""
    return {name: value for name, value in record.computed_with.items() if name != "precision"}


def _write(scene: Scene, found: KindProof) -> None:
    write_json(proofs_folder(scene) / f"{found.kind}.json", asdict(found))
