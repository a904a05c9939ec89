"""Precision on a cluster: each kind of node proves what it can, and the scene gets the one that all pass."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from chaos import ForkLauncher, fork
from depth_runs import INPUT_SIZE, make_video, make_weights

import vda.cluster.task
from vda.api.pipeline import plan_scene
from vda.cluster import proving
from vda.cluster.proving import ask_for_proofs, by_proofs, proofs_folder, read_proofs
from vda.cluster.task import TaskSettings, run_proof, run_task
from vda.cluster.taskfiles import read_task
from vda.compute import precision
from vda.compute.precision import PrecisionFigures, Verdict
from vda.errors import DeviceError, SceneError
from vda.files import write_json
from vda.launch.local import LocalLauncher
from vda.machine.devices import cpu_device
from vda.reporter import Silence
from vda.scene.runstate import RunFiles
from vda.scene.scene import RunRecord, Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor import Crew
from vda.supervisor.resolve import Resolver, RunSettings

HALF = Verdict("cpu", ("bf16", "fp32"), {"fp16": "it is not tried here"})
GOOD = {"is_finite": True, "is_constant": False, "mean_difference": 0.001, "p99_difference": 0.004}
GOOD |= {"scale": 1.0, "shift": 0.0, "seconds": 1.0, "fp32_seconds": 2.0}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return plan_scene(make_video(tmp_path / "v.mp4", 40), tmp_path / "scene", PlanSettings(chunks=1))


@pytest.fixture
def resolver(scene: Scene, tmp_path: Path) -> Resolver:
    """As on a login node, where no device is looked for."""
    settings = RunSettings("mini", make_weights(tmp_path / "w.safetensors"), INPUT_SIZE)
    crew = Crew(scene, LocalLauncher(), 1)
    return Resolver(settings, (), crew, Silence(), guess=by_proofs(scene))


def left(
    scene: Scene, draft: RunRecord, kind: str, failed: dict[str, str], *passed: str, problem: str = ""
) -> None:
    """Write what a first job on a kind of node would leave."""
    proof = {"device": kind, "failed": failed, "figures": dict.fromkeys(passed, GOOD)}
    tried = {key: value for key, value in draft.computed_with.items() if key != "precision"}
    record = {"kind": kind, "computed_with": tried, "host": "n1", "proof": None if problem else proof}
    write_json(proofs_folder(scene) / f"{kind}.json", {**record, "problem": problem, "remedy": "Leave it out."})


@pytest.mark.parametrize(
    ("kinds", "chosen"),
    [
        ({}, "fp32"),
        ({"a": ({}, "fp16", "bf16")}, "fp16"),
        ({"a": ({}, "fp16", "bf16"), "b": ({"fp16": "it has NaN"}, "bf16")}, "bf16"),
        ({"a": ({"bf16": "too old"}, "fp16"), "b": ({"fp16": "it has NaN"}, "bf16")}, "fp32"),
        ({"a": ({}, "fp16"), "cpu": ({"fp16": "no units", "bf16": "no units"},)}, "fp32"),
    ],
)
def test_one_precision_that_every_kind_passes_is_fixed(
    scene: Scene, resolver: Resolver, kinds: dict[str, tuple[Any, ...]], chosen: str
) -> None:
    draft = resolver.draft(scene)
    for kind, (failed, *passed) in kinds.items():
        left(scene, draft, kind, failed, *passed)
    resolver.fix(scene)
    record = scene.run_record()
    assert record is not None and record.precision == chosen
    assert {proof.id for proof in record.proofs} == set(kinds)


def test_proofs_of_something_else_do_not_count_and_what_is_wrong_in_float32_is_said(
    scene: Scene, resolver: Resolver
) -> None:
    draft = resolver.draft(scene)
    left(scene, replace(draft, input_size=64), "a", {}, "fp16")
    assert read_proofs(scene, draft) == {}
    left(scene, draft, "b", {}, problem="b gives values that are not finite, even in float32.")
    with pytest.raises(DeviceError, match="not finite"):
        resolver.fix(scene)
    assert scene.run_record() is None


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """Runs something as a task would, in a process whose CPU may try bfloat16; returns its exit code."""
    monkeypatch.setattr(vda.cluster.task, "LocalLauncher", ForkLauncher)
    monkeypatch.setattr(precision, "policy", lambda device, model: HALF)

    def run(work: Callable[[], object]) -> int:
        pid = fork(cast(Callable[[], None], work), Path(os.environ["PYTEST_TASK_LOG"]))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run


def test_a_first_job_tries_on_the_node_it_lands_on(
    scene: Scene,
    resolver: Resolver,
    tried: Callable[[Callable[[], object]], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTEST_TASK_LOG", str(tmp_path / "task.out"))
    monkeypatch.setattr(PrecisionFigures, "problem", lambda figures, **keywords: None)
    with pytest.raises(SceneError, match="Nothing is to be tried"):
        run_proof(scene, TaskSettings("cpu", threads=1))
    draft = resolver.draft(scene)
    ask_for_proofs(scene, draft)
    assert tried(lambda: run_proof(scene, TaskSettings("cpu", threads=1))) == 0, (
        tmp_path / "task.out"
    ).read_text()
    (found,) = read_proofs(scene, draft).values()
    assert (
        "bf16" not in found.failed and "bf16" in found.figures and found.failed["fp16"] == "it is not tried here"
    )
    # What a trial computed counts for nothing before it is known what the scene's precision is.
    assert not list(scene.windows_dir.glob("window_*")) and not RunFiles(scene.run_dir).claimed_chunks()
    resolver.fix(scene)
    record = scene.run_record()
    assert record is not None and record.precision == "bf16"
    assert tried(lambda: run_task(scene, 0, TaskSettings("cpu", threads=1))) == 0
    assert not scene.unfinished_chunks(scene.plan())


def test_a_kind_that_no_first_job_met_is_tried_by_its_first_task(
    scene: Scene, resolver: Resolver, tried: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_TASK_LOG", str(tmp_path / "task.out"))
    draft = resolver.draft(scene)
    left(scene, draft, "NVIDIA-A100", {"fp16": "broken"}, "bf16")
    resolver.fix(scene)
    monkeypatch.setattr(PrecisionFigures, "problem", lambda figures, **keywords: "its values are not finite")
    assert tried(lambda: run_task(scene, 0, TaskSettings("cpu", threads=1))) == 1
    record = read_task(scene, 0)
    assert record is not None and "begun in bfloat16" in record.problem and "not finite" in record.problem
    assert not list(scene.windows_dir.glob("window_*"))


def test_what_is_told_apart_is_kinds_of_devices_and_no_single_ones() -> None:
    assert proving.kind_of(cpu_device(0)) == proving.kind_of(cpu_device(1))
