"""The network by OpenVINO: PyTorch's depth, in whichever parts, proven and kept with the scene."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from depth_runs import INPUT_SIZE, make_video, make_weights
from seeded import spread_depth

from vda.api.pipeline import RunSettings, plan_scene, run
from vda.errors import DeviceError, SceneError, UsageError
from vda.machine import packages
from vda.network.model import build_model
from vda.scene.rawwindows import open_raw_window
from vda.scene.runstate import EngineParts, RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'vda-toolkit[openvino]'")


@pytest.mark.parametrize(
    ("name", "encoder", "rest"), [("mini", True, False), ("mini", False, True), ("vits", True, True)]
)
def test_every_choice_of_parts_computes_what_pytorch_computes(name: str, encoder: bool, rest: bool) -> None:
    from vda.compute.openvino import OpenVinoModel

    torch.manual_seed(1)
    model = build_model(name)
    spread_depth(model)
    images = torch.randn(32, 3, 2 * model.preset.patch, 3 * model.preset.patch)
    ours = OpenVinoModel(model, model, "fp32", 1, EngineParts(encoder, rest))
    with torch.inference_mode():
        expected, found = model.decode(model.encode(images)), ours.decode(ours.encode(images))
    assert found.dtype == torch.float32 and found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4 * (expected.max() - expected.min())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("openvino")
    return make_video(folder / "v.mp4", 25), make_weights(folder / "w.safetensors")


def compute(files: tuple[Path, Path], root: Path, **settings: object) -> Scene:
    scene = plan_scene(files[0], root, PlanSettings(chunks=1))
    asked = {"model": "mini", "weights": files[1], "input_size": INPUT_SIZE, "threads": 1, "devices": "cpu"}
    run([scene], RunSettings(on="inline", **{**asked, **settings}))  # type: ignore[arg-type]
    return scene


def depth(scene: Scene) -> np.ndarray:
    (path,) = scene.windows_dir.glob("*.npz")
    return np.stack([open_raw_window(path).slot(slot) for slot in range(32)])


def test_a_scene_is_proven_and_goes_on_with_its_engine_and_parts(files: tuple[Path, Path], tmp_path: Path) -> None:
    plain, scene = compute(files, tmp_path / "plain"), compute(files, tmp_path / "scene", engine="openvino")
    record = json.loads(scene.run_path.read_text())
    assert (record["engine"], record["precision"]) == ("openvino", "fp32")
    assert record["proofs"][0]["figures"]["fp32"]["mean_difference"] < 1e-4
    kept = EngineParts.found(RunFiles(scene.run_dir).parts_path("fp32"))
    assert kept is not None
    expected = depth(plain)
    assert np.abs(depth(scene) - expected).max() < 1e-3 * np.ptp(expected)

    # A resumed run is not asked for the engine again, and keeps to the parts.
    first = depth(scene)
    for path in scene.windows_dir.glob("*.npz"):
        path.unlink()
    compute(files, tmp_path / "scene")
    assert np.array_equal(depth(scene), first)
    with pytest.raises(SceneError, match="engine openvino became torch"):
        compute(files, tmp_path / "scene", engine="torch")


def test_an_engine_that_computes_something_else_is_refused(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vda.compute.openvino import OpenVinoModel

    broken = torch.full((32, 32, 64), torch.nan)
    monkeypatch.setattr(OpenVinoModel, "decode", lambda model, features, micro_batch=32: broken)
    with pytest.raises(DeviceError, match="not to be trusted on cpu: its values are not finite"):
        compute(files, tmp_path / "scene", engine="openvino")


def test_what_it_cannot_do_is_refused_at_the_start(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="float32 or bfloat16"):
        compute(files, tmp_path / "scene", engine="openvino", precision="fp16")
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as refused:
        compute(files, tmp_path / "scene", engine="openvino")
    assert "vda-toolkit[openvino]" in refused.value.remedy
