"""What trying half precision costs: windows computed for it are the scene's own, and nothing is tried in vain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from depth_runs import INPUT_SIZE, make_video, make_weights

from vda.api.pipeline import RunSettings, plan_scene, run
from vda.compute import precision
from vda.compute.precision import Precision, PrecisionFigures, Proof, Verdict
from vda.machine.devices import Device
from vda.scene.events import WindowComputed, read_events
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor import prove_devices

VERDICT = Verdict("cpu", ("bf16", "fp32"), {"fp16": "it is not tried here"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A video of two windows, and weights."""
    folder = tmp_path_factory.mktemp("trials")
    return make_video(folder / "v.mp4", 40), make_weights(folder / "w.safetensors")


def computed(files: tuple[Path, Path], root: Path, asked: str) -> tuple[dict[str, bytes], list[tuple[int, int]]]:
    """The raw windows of a scene, and those of them that its worker computed."""
    scene: Scene = plan_scene(files[0], root, PlanSettings(chunks=1))
    run(
        [scene],
        RunSettings("mini", files[1], INPUT_SIZE, asked, devices="cpu", threads=1, on="inline"),  # type: ignore[arg-type]
    )
    events = [entry.event for entry in read_events(scene)]
    windows = [event.window for event in events if isinstance(event, WindowComputed)]
    return {path.name: path.read_bytes() for path in scene.windows_dir.glob("*.npz")}, windows


@pytest.mark.parametrize(("problem", "chosen"), [(None, "bf16"), ("it is no faster", "fp32")])
def test_the_window_of_the_trial_is_the_result(
    problem: str | None, chosen: str, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "policy", lambda device, model: VERDICT)
    monkeypatch.setattr(PrecisionFigures, "problem", lambda figures: problem)
    tried, by_worker = computed(files, tmp_path / "tried", "auto")
    named, all_by_worker = computed(files, tmp_path / "named", chosen)
    assert (by_worker, all_by_worker) == ([(0, 1)], [(0, 0), (0, 1)])
    assert len(named) == 2 and tried == named


class Bench:
    """Stands for trials: a device passes what ``passes`` says of it, and what it was asked to try is noted."""

    def __init__(self, passes: Mapping[str, set[Precision]]) -> None:
        self.record, self.passes = SimpleNamespace(model="vits"), passes
        self.proofs: dict[str, Proof] = {}
        self.asked: list[tuple[str, tuple[Precision, ...]]] = []

    def prove(self, devices: Sequence[Device], verdicts: Mapping[str, Verdict]) -> None:
        figures = PrecisionFigures(True, False, 0.0, 0.0, 1.0, 0.0, 1.0, 2.0)
        for device in devices:
            candidates = verdicts[device.id].candidates
            self.asked.append((device.id, candidates))
            failed: dict[Precision, str] = {}
            passed: dict[Precision, PrecisionFigures] = {}
            for name in candidates[:-1]:
                if name in self.passes[device.id]:
                    passed[name] = figures
                    break
                failed[name] = "it is broken"
            self.proofs[device.id] = Proof(device.id, failed, passed).after(self.proofs.get(device.id))


def cards(*names: str) -> list[Device]:
    return [Device(name, "cuda", "NVIDIA A100", number, capability=(8, 0)) for number, name in enumerate(names)]


def test_what_one_card_fails_is_tried_on_the_others_in_another_round() -> None:
    bench = Bench({"a": {"fp16", "bf16"}, "b": {"bf16"}})
    proofs = prove_devices(cast(Any, bench), cards("a", "b"))
    both = ("fp16", "bf16", "fp32")
    assert bench.asked == [("a", both), ("b", both), ("a", ("bf16", "fp32"))]
    assert precision.agree(list(proofs.values())).precision == "bf16"


def test_where_no_two_agree_it_is_float32_after_all() -> None:
    bench = Bench({"a": {"fp16"}, "b": {"bf16"}})
    proofs = prove_devices(cast(Any, bench), cards("a", "b"))
    assert precision.agree(list(proofs.values())).precision == "fp32"


def test_a_card_that_joins_tries_the_scenes_precision_alone() -> None:
    bench = Bench({"c": {"fp16", "bf16"}})
    prove_devices(cast(Any, bench), cards("c"), "bf16")
    assert bench.asked == [("c", ("bf16", "fp32"))]
