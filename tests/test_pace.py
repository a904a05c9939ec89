"""How long the official model takes on a CPU is said before it starts, and only then."""

from pathlib import Path

import pytest
import torch
from depth_runs import make_video, make_weights, vda

from vda.compute.pace import in_words, seconds_a_frame
from vda.network.model import build_model


@pytest.mark.parametrize(
    ("seconds", "words"), [(41, "41 seconds"), (89.6, "90 seconds"), (720, "12 minutes"), (12600, "3.5 hours")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_measuring_puts_the_threads_back() -> None:
    before = torch.get_num_threads()
    assert seconds_a_frame(build_model("mini"), 32, 32, before + 1) > 0
    assert torch.get_num_threads() == before


def test_the_official_model_is_announced_and_the_built_in_one_is_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    video, scene = make_video(tmp_path / "clip.mp4", 25), tmp_path / "scene"
    weights = tmp_path / "vits.pth"
    torch.save(build_model("vits").state_dict(), weights)
    options = ["--scene", scene, "--input-size", 28, "--devices", "cpu", "--on", "inline", "--no-video"]
    said = vda("depth", video, *options, "--model", "vits", "--weights", weights).stderr
    assert "vits takes about" in said and "for 25 frames" in said
    said = vda(
        "depth",
        video,
        *options,
        "--restart",
        "--model",
        "mini",
        "--weights",
        make_weights(tmp_path / "mini.safetensors"),
    ).stderr
    assert "takes about" not in said
