"""What the network promises: shapes, independence, precision, agreement with the straightforward way."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import pytest
import torch
from seeded import last_convolution, seeded_images, seeded_model

from vda.network import PRESETS, FrameFeatures, VideoDepthModel, build_model
from vda.scene.windows import Window

BASELINE = Path(__file__).parents[1] / "bench" / "baseline.py"


@pytest.fixture(scope="module")
def vits() -> VideoDepthModel:
    return seeded_model("vits")


@pytest.fixture(scope="module")
def mini() -> VideoDepthModel:
    return seeded_model("mini")


@pytest.fixture(scope="module")
def baseline() -> ModuleType:
    spec = importlib.util.spec_from_file_location("baseline", BASELINE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def encoded(model: VideoDepthModel, images: torch.Tensor, micro_batch: int) -> FrameFeatures:
    parts = [model.encode(part) for part in images.split(micro_batch)]
    return FrameFeatures(*(torch.cat(maps) for maps in zip(*parts, strict=True)))


def test_presets_say_what_each_model_is() -> None:
    assert list(PRESETS) == ["mini", "vits", "vitb", "vitl", "metric-vits", "metric-vitb", "metric-vitl"]
    assert [name for name, preset in PRESETS.items() if preset.metric] == [
        "metric-vits",
        "metric-vitb",
        "metric-vitl",
    ]
    assert (PRESETS["vitl"].patch, PRESETS["vitl"].input_size, PRESETS["mini"].patch) == (14, 518, 16)


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (5, 1), (1, 4)])
def test_vits_maps_have_the_sizes_of_a_pyramid(vits: VideoDepthModel, rows: int, columns: int) -> None:
    features = vits.encode(seeded_images(1, 2, 3, 14 * rows, 14 * columns))
    assert features.level1.shape == (2, 64, 4 * rows, 4 * columns)
    assert features.level2.shape == (2, 64, 2 * rows, 2 * columns)
    assert features.level3.shape == (2, 192, rows, columns)
    assert features.level4.shape == (2, 384, (rows + 1) // 2, (columns + 1) // 2)
    assert vits.decode(features).shape == (2, 14 * rows, 14 * columns)


@pytest.mark.parametrize(("height", "width"), [(32, 64), (48, 80)])
def test_mini_gives_depth_of_its_input_s_size(mini: VideoDepthModel, height: int, width: int) -> None:
    assert mini(seeded_images(1, 1, 3, 3, height, width)).shape == (1, 3, height, width)


@pytest.mark.parametrize("size", [(28, 41), (30, 42)])
def test_images_not_in_whole_patches_are_refused(vits: VideoDepthModel, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="whole patches of 14"):
        vits.encode(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("slots", [1, 5, 32])
def test_a_window_agrees_with_the_straightforward_way(
    vits: VideoDepthModel, baseline: ModuleType, slots: int
) -> None:
    images = seeded_images(2, slots, 3, 42, 70)
    depth = vits.decode(encoded(vits, images, 4), micro_batch=4)
    (expected,) = baseline.baseline_windows(vits, [images])
    torch.testing.assert_close(depth, expected, rtol=0, atol=3e-5)
    assert depth.std() > 0.1


def test_forward_is_each_clip_by_itself(mini: VideoDepthModel) -> None:
    clips = seeded_images(3, 2, 4, 3, 32, 48)
    together = mini(clips)
    for clip, depth in zip(clips, together, strict=True):
        torch.testing.assert_close(depth, mini.decode(mini.encode(clip)), rtol=0, atol=3e-5)


@pytest.mark.parametrize("name", ["vits", "mini"])
def test_a_frame_does_not_depend_on_the_others_of_its_micro_batch(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    side = 5 * PRESETS[name].patch
    images, others = seeded_images(4, 3, 3, side, side), 100 * seeded_images(5, 3, 3, side, side)
    others[1] = images[1]
    for level, other in zip(model.encode(images), model.encode(others), strict=True):
        assert torch.equal(level[1], other[1])
        assert not torch.equal(level[0], other[0])


@pytest.mark.parametrize("micro_batch", [1, 3, 5])
def test_micro_batches_change_nothing_but_rounding(vits: VideoDepthModel, micro_batch: int) -> None:
    images = seeded_images(6, 7, 3, 42, 70)
    whole = vits.decode(vits.encode(images))
    parts = vits.decode(encoded(vits, images, micro_batch), micro_batch=micro_batch)
    torch.testing.assert_close(parts, whole, rtol=0, atol=5e-5)


def test_frames_of_a_window_see_each_other_and_their_slots(vits: VideoDepthModel) -> None:
    images = seeded_images(7, 6, 3, 42, 42)
    depth = vits(images[None])[0]
    changed = images.clone()
    changed[5] = -changed[5]
    assert (vits(changed[None])[0, 0] - depth[0]).abs().max() > 1e-3
    turned = vits(images.flip(0)[None])[0].flip(0)
    assert (turned - depth).abs().max() > 1e-3


def test_depth_is_never_negative(vits: VideoDepthModel) -> None:
    depth = vits(3 * seeded_images(8, 1, 2, 3, 42, 42))
    assert depth.min() == 0 and depth.max() > 1


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.3), (torch.float16, 0.05)])
def test_half_precision_stays_near(vits: VideoDepthModel, dtype: torch.dtype, bound: float) -> None:
    images = seeded_images(9, 3, 3, 28, 42)
    half = deepcopy(vits).set_precision(dtype)
    features = half.encode(images)
    depth = half.decode(features)
    assert half.dtype == dtype and {level.dtype for level in features} == {dtype}
    assert depth.dtype == torch.float32
    exact = vits.decode(vits.encode(images))
    assert 0 < (depth - exact).abs().max() < bound * exact.max()


def test_the_last_convolutions_keep_their_exact_weights_in_half_precision(mini: VideoDepthModel) -> None:
    half = deepcopy(mini).set_precision(torch.bfloat16).state_dict()
    for key, tensor in mini.state_dict().items():
        last = "output_conv2" in key
        assert half[key].dtype == (torch.float32 if last else torch.bfloat16)
        assert not last or torch.equal(half[key], tensor)


def test_gradients_reach_every_weight_that_is_used() -> None:
    with torch.inference_mode(False), torch.enable_grad():
        model = build_model("mini").train()
        bias = last_convolution(model).bias
        assert bias is not None
        with torch.no_grad():
            # Far above the last ReLU, which would stop the gradient.
            bias.fill_(10.0)
        clips = torch.randn(2, 3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
        model(clips).square().mean().backward()
    unused = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert unused and all("refinenet4.resConfUnit1" in name for name in unused)


def test_a_saved_model_loads_strictly_and_computes_the_same(vits: VideoDepthModel) -> None:
    images = seeded_images(10, 2, 3, 42, 42)
    other = build_model("vits")
    other.load_state_dict(vits.state_dict(), strict=True)
    assert torch.equal(other(images[None]), vits(images[None]))


def test_who_plans_windows_loads_no_torch_and_who_names_the_network_does() -> None:
    """One number is both the slots of a window and the places in the network's table."""
    code = (
        "import sys, vda.scene.windows, vda.network; print('torch' in sys.modules);"
        "[getattr(vda.network, name) for name in vda.network.__all__]; print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]


def test_the_published_checkpoints_have_a_place_for_each_slot_of_a_window() -> None:
    """Video Depth Anything's tables of places are [1, 32, channels]."""
    tables = [table for name, table in build_model("vits").state_dict().items() if name.endswith("pos_encoder.pe")]
    assert {table.shape[1] for table in tables} == {32} == {len(Window(0, 40, 0).frame_indices)}
