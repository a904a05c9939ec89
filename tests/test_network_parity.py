"""The network against values of the public implementation, tap by tap, so that a failure says where.

The values are those of ``seeded.py``'s weights in float32 on a CPU. The bound of 3e-5 on values up to 9 is what
separates rounding from, say, a LayerNorm with another epsilon.
"""

import hashlib
import os

import numpy as np
import pytest
import torch
from seeded import REFERENCE, seeded_images, seeded_model, slow_frame
from torch import Tensor

from vda.network import PRESETS, VideoDepthModel, build_model, to_network

BOUND = 3e-5
slow = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="minutes long: run by `make slow`")
LARGE = [pytest.param("vitb", marks=slow), pytest.param("vitl", marks=slow)]

# How many tensors the published checkpoints hold, and the SHA-256 of their sorted "name (shape)" lines.
CHECKPOINTS = {
    "vits": (351, "420af04eee17cc07b813b8b55283d2fcb7e9da0649f3f75cda039ef54aaeb736"),
    "vitb": (351, "878fd01c5e0b16d2f2d49df85c1f95d829c05f62c24f046277752198cdec2bef"),
    "vitl": (519, "53aed06f971840d6648b1db592bbd939ea69b7942a77fab89679b46dba46ce20"),
}


@pytest.fixture(scope="module")
def vits() -> VideoDepthModel:
    return seeded_model("vits")


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "mini"])
def test_tensors_are_named_and_shaped_as_in_the_published_checkpoints(name: str) -> None:
    with torch.device("meta"):
        state = build_model(name).state_dict()
    lines = "\n".join(sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in state.items()))
    assert (len(state), hashlib.sha256(lines.encode()).hexdigest()) == CHECKPOINTS[name.removeprefix("metric-")]


def test_the_position_tables_are_sines_and_cosines(vits: VideoDepthModel) -> None:
    table = vits.state_dict()[
        "head.motion_modules.2.temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder.pe"
    ]
    assert table.shape == (1, 32, 64)
    angle = 31 / 10000 ** (6 / 64)
    np.testing.assert_allclose(table[0, 31, 6:8], [np.sin(angle), np.cos(angle)], rtol=0, atol=1e-5)


def assert_taps(model: VideoDepthModel, images: Tensor, name: str, tokens: int, channels: int) -> None:
    with torch.inference_mode():
        maps = model.pretrained(images)
    for index, tap in enumerate(maps):
        thinned = tap.flatten(2).transpose(1, 2)[:, ::tokens, ::channels]
        np.testing.assert_allclose(
            thinned, REFERENCE[f"{name}_tap{index}"], rtol=0, atol=BOUND, err_msg=f"{name}, tap {index}"
        )


def assert_window(model: VideoDepthModel, name: str) -> None:
    with torch.inference_mode():
        depth = model(seeded_images(7, 1, 32, 3, 70, 98))[0].numpy()
    chosen = depth[REFERENCE[f"{name}_frames"], ::9, ::9]
    np.testing.assert_allclose(chosen, REFERENCE[f"{name}_window"], rtol=0, atol=BOUND)
    means = depth.mean((1, 2), dtype=np.float64)
    np.testing.assert_allclose(means, REFERENCE[f"{name}_mean"], rtol=0, atol=BOUND)


def test_taps_agree_on_a_resized_grid(vits: VideoDepthModel) -> None:
    assert_taps(vits, seeded_images(7, 1, 32, 3, 70, 98)[0, :2], "vits", 4, 16)


def test_taps_agree_on_the_trained_grid(vits: VideoDepthModel) -> None:
    assert_taps(vits, seeded_images(8, 1, 3, 518, 518), "vits_518", 37 * 4, 16)


def test_a_window_agrees(vits: VideoDepthModel) -> None:
    assert_window(vits, "vits")


def test_a_window_of_a_video_agrees(vits: VideoDepthModel) -> None:
    slots = [0, 12, *range(24, 54)]
    images = [torch.from_numpy(to_network(slow_frame(slot, 64, 96), 112, 70)) for slot in slots]
    with torch.inference_mode():
        depth = vits.decode(vits.encode(torch.stack(images)), micro_batch=8)
    chosen = depth[REFERENCE["slow_slots"], ::9, ::9]
    np.testing.assert_allclose(chosen, REFERENCE["slow_window"], rtol=0, atol=BOUND)


@pytest.mark.parametrize("name", LARGE)
def test_large_models_agree(name: str) -> None:
    model = seeded_model(name)
    assert_taps(model, seeded_images(7, 1, 32, 3, 70, 98)[0, :2], name, 4, 64)
    assert_window(model, name)
