"""The network by OpenVINO: PyTorch's depth, in whichever parts, proven and kept with the scene."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from depth_runs import INPUT_SIZE, make_video, make_weights
from seeded import spread_depth
from torch import nn

from vda.api.pipeline import RunSettings, plan_scene, run
from vda.compute.openvino import _openvino as without_telemetry
from vda.errors import DeviceError, SceneError, UsageError
from vda.machine import packages
from vda.network.head import FrameFeatures
from vda.network.model import build_model
from vda.network.presets import PRESETS
from vda.scene.rawwindows import open_raw_window
from vda.scene.runstate import EngineParts, RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings

if find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed: pip install 'vda-toolkit[openvino]'", allow_module_level=True)
# Imported otherwise, it would tell its makers of each translation, each time in dozens of processes.
openvino = without_telemetry()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("name", "encoder", "rest"), [("mini", True, False), ("mini", False, True), ("vits", True, True)]
)
def test_every_choice_of_parts_computes_what_pytorch_computes(name: str, encoder: bool, rest: bool) -> None:
    from vda.compute.openvino import OpenVinoModel

    torch.manual_seed(1)
    model = build_model(name)
    spread_depth(model)
    images = torch.randn(32, 3, 2 * model.preset.patch, 3 * model.preset.patch)
    ours = OpenVinoModel(model, model, "fp32", 1, EngineParts(encoder, rest), "0" * 64)
    with torch.inference_mode():
        expected, found = model.decode(model.encode(images)), ours.decode(ours.encode(images))
    assert found.dtype == torch.float32 and found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4 * (expected.max() - expected.min())


class Small(nn.Module):
    """In a network's place, for translating one takes seconds: a convolution of each frame."""

    preset = PRESETS["mini"]

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = nn.Conv2d(3, 4, 3)

    def encode(self, images: torch.Tensor) -> FrameFeatures:
        return FrameFeatures(*(scale * self.convolution(images) for scale in (1, 2, 3, 4)))


def encoded(seed: int, weights: str) -> np.ndarray:
    """What a small network, by OpenVINO, makes of a fixed image with weights of ``seed`` that are called so."""
    from vda.compute.openvino import OpenVinoModel

    model: Any = Small(seed)
    ours = OpenVinoModel(model, model, "fp32", 1, EngineParts(True, False), weights)
    with torch.inference_mode():
        return ours.encode(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)).level1.numpy()


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("translated again")


def test_a_translation_is_kept_for_these_weights_and_made_anew_where_it_is_damaged(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoded(1, "1" * 64)
    assert np.abs(encoded(2, "2" * 64) - first).max() > 1e-3
    with monkeypatch.context() as patched:
        patched.setattr(openvino, "convert_model", refuse)
        # With another model in hand: what is kept is what is computed with.
        assert np.array_equal(encoded(2, "1" * 64), first)
        with pytest.raises(AssertionError, match="translated again"):
            encoded(1, "3" * 64)
    for path in cache.rglob("*.npz"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert np.array_equal(encoded(1, "1" * 64), first)
    for path in cache.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:1000])
    assert np.array_equal(encoded(1, "1" * 64), first)


def test_of_many_translations_those_that_were_wanted_last_are_kept_and_without_room_none(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vda.compute import openvino as ours

    monkeypatch.setattr(ours, "_KEPT", 1)
    first = encoded(1, "1" * 64)
    encoded(2, "2" * 64)
    (left,) = cache.rglob("*.npz")
    monkeypatch.setenv("XDG_CACHE_HOME", str(left))
    assert np.array_equal(encoded(1, "1" * 64), first)


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
