"""Half precision that goes wrong: caught before the start, caught at every window, never in the result."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from depth_runs import INPUT_SIZE, make_video
from safetensors.torch import save_file
from seeded import spread_depth

from vda.api.pipeline import RunSettings, plan_scene, run
from vda.compute import precision
from vda.compute.precision import Verdict
from vda.errors import DeviceError
from vda.network.model import build_model
from vda.scene.events import WindowComputed, WindowRecomputed, read_events
from vda.scene.rawwindows import open_raw_window
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene
from vda.scene.status import scene_status
from vda.splitting.settings import PlanSettings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A video of two windows, and weights whose middle is beyond what float16 holds."""
    folder = tmp_path_factory.mktemp("halves")
    torch.manual_seed(5)
    model = build_model("mini")
    spread_depth(model)
    # The path's size is a matter of two neighbouring convolutions; float32 does not mind.
    large, small = model.head.scratch.refinenet1.out_conv, model.head.scratch.output_conv1
    assert large.bias is not None
    with torch.no_grad():
        large.weight.mul_(2.0**20)
        large.bias.mul_(2.0**20)
        small.weight.mul_(2.0**-20)
    save_file(model.state_dict(), folder / "w.safetensors")
    return make_video(folder / "v.mp4", 40), folder / "w.safetensors"


def compute(files: tuple[Path, Path], root: Path, **settings: object) -> Scene:
    video, weights = files
    scene = plan_scene(video, root, PlanSettings(chunks=1))
    asked = {"model": "mini", "weights": weights, "input_size": INPUT_SIZE, "threads": 1, "devices": "cpu"}
    run([scene], RunSettings(on="inline", **{**asked, **settings}))  # type: ignore[arg-type]
    return scene


def windows(scene: Scene) -> Mapping[str, np.ndarray]:
    paths = sorted(scene.windows_dir.glob("*.npz"))
    return {path.name: np.stack([open_raw_window(path).slot(slot) for slot in range(32)]) for path in paths}


def assert_same_depth(one: Scene, other: Scene) -> None:
    depths, expected = windows(one), windows(other)
    assert len(depths) == 2
    assert all(np.array_equal(depths[name], expected[name]) for name in expected)
    assert all(np.isfinite(depth).all() and depth.std() > 0 for depth in depths.values())


@pytest.fixture(scope="module")
def exact(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return compute(files, tmp_path_factory.mktemp("exact") / "scene", precision="fp32")


@pytest.fixture
def every_device_may_try(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict("cpu", ("fp16", "fp32"), {"bf16": "it is not tried here"})
    monkeypatch.setattr(precision, "policy", lambda device, model: verdict)


def test_the_first_comparison_catches_it(
    files: tuple[Path, Path], exact: Scene, tmp_path: Path, every_device_may_try: None
) -> None:
    scene = compute(files, tmp_path / "scene")
    record = json.loads(scene.run_path.read_text())
    assert record["precision"] == "fp32"
    assert "float16 fails on cpu: its values are not finite." in record["precision_reason"]
    assert record["proofs"][0]["figures"]["fp16"]["is_finite"] is False
    assert_same_depth(scene, exact)
    assert RunFiles(scene.run_dir).recomputed() == []


def test_the_window_check_catches_what_was_let_through(
    files: tuple[Path, Path], exact: Scene, tmp_path: Path
) -> None:
    scene = compute(files, tmp_path / "scene", precision="fp16")
    record = json.loads(scene.run_path.read_text())
    assert record["precision"] == "fp16"
    assert record["precision_reason"] == "float16, because it was asked for."
    assert record["proofs"] == []
    assert_same_depth(scene, exact)
    listed = RunFiles(scene.run_dir).recomputed()
    assert [entry.window for entry in listed] == [(0, 0), (0, 1)]
    assert {entry.problem for entry in listed} == {"its values are not finite"}
    assert scene_status(scene)["recomputed_windows"] == 2
    events = [entry.event for entry in read_events(scene)]
    assert [event.window for event in events if isinstance(event, WindowRecomputed)] == [(0, 0), (0, 1)]
    assert {event.precision for event in events if isinstance(event, WindowComputed)} == {"fp32"}


def test_a_device_that_joins_later_and_fails_is_refused(
    files: tuple[Path, Path], exact: Scene, tmp_path: Path, every_device_may_try: None
) -> None:
    scene = Scene(Path(shutil.copytree(exact.root, tmp_path / "scene")))
    record = json.loads(scene.run_path.read_text())
    scene.run_path.write_text(json.dumps({**record, "asked_precision": "auto", "precision": "fp16"}))
    with pytest.raises(DeviceError, match="begun in float16, which cpu fails") as refused:
        compute(files, tmp_path / "scene")
    assert "--restart --precision fp32" in refused.value.remedy
