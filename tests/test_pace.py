"""How many frames at once a CPU takes, and how long the official model takes there: measured, said, and kept."""

import json
from pathlib import Path

import pytest
import torch
from depth_runs import make_video, make_weights, vda_here

from vda.compute import pace
from vda.compute.pace import measure
from vda.network.head import FrameFeatures
from vda.network.model import build_model
from vda.network.slots import WINDOW_SLOTS
from vda.scene.events import ChunkBegun, read_events
from vda.scene.runstate import Pace, RunFiles
from vda.scene.scene import Scene


class Clock:
    """Stands for the clock: a frame of the encoder takes what ``frame`` says for its micro-batch."""

    def __init__(self, frame: dict[int, float]) -> None:
        self.now, self.frame = 0.0, frame
        self.model = build_model("mini")
        self._encode = self.model.encode
        self.model.encode = self.encode  # type: ignore[method-assign]

    def encode(self, images: torch.Tensor) -> FrameFeatures:
        self.now += self.frame[len(images)] * len(images)
        return self._encode(images)

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("frame", "batch"),
    [
        ({1: 0.01, 2: 0.008, 4: 0.007, 8: 0.006}, 8),
        ({1: 0.01, 2: 0.0099, 4: 0.0099, 8: 0.0099}, 1),
        # 8 frames twice would take more than what is left of the second.
        ({1: 0.07, 2: 0.06, 4: 0.05}, 4),
        ({1: 3.0}, 1),
    ],
)
def test_the_fastest_micro_batch_is_taken(
    frame: dict[int, float], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(frame)
    monkeypatch.setattr(pace, "time", clock)
    found = measure(clock.model, 32, 32)
    # The head takes no time by this clock, and each frame goes through the encoder once.
    assert found.micro_batch == batch
    assert found.seconds_a_frame == pytest.approx(frame[batch])
    assert clock.now < 1.5 or frame[1] > 1


@pytest.mark.parametrize("batch", [0, WINDOW_SLOTS + 1])
def test_what_no_worker_could_have_written_is_measured_again(tmp_path: Path, batch: int) -> None:
    (tmp_path / "pace.json").write_text(json.dumps({"micro_batch": batch, "seconds_a_frame": 1.0}))
    assert Pace.found(tmp_path / "pace.json") is None


def micro_batches(scene: Path) -> set[str]:
    return {entry.event.memory for entry in read_events(Scene(scene)) if isinstance(entry.event, ChunkBegun)}


def test_the_official_model_is_announced_and_the_built_in_one_is_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    video, scene = make_video(tmp_path / "clip.mp4", 25), tmp_path / "scene"
    weights = tmp_path / "vits.pth"
    torch.save(build_model("vits").state_dict(), weights)
    options = ["--scene", scene, "--input-size", 28, "--devices", "cpu", "--on", "inline", "--precision", "fp32"]
    said = vda_here("depth", video, *options, "--no-video", "--model", "vits", "--weights", weights).stderr
    assert "vits takes about" in said and "for 25 frames" in said
    files = RunFiles(Scene(scene).run_dir)
    kept = Pace.found(files.pace_path("fp32"))
    assert kept is not None and micro_batches(scene) == {f"micro-batches of {kept.micro_batch} and 32"}

    # What is kept with the scene holds, whatever this machine would find today.
    Pace(3, 1.0).write(files.pace_path("fp32"))
    for file in [*Scene(scene).windows_dir.glob("*.npz"), *Scene(scene).logs_dir.glob("*")]:
        file.unlink()
    said = vda_here("run", scene, *options[2:], "--model", "vits", "--weights", weights).stderr
    assert "takes about" not in said and micro_batches(scene) == {"micro-batches of 3 and 32"}

    mini = ["--model", "mini", "--weights", make_weights(tmp_path / "mini.safetensors")]
    said = vda_here("depth", video, *options, "--no-video", "--restart", *mini).stderr
    assert "takes about" not in said and micro_batches(scene) == {"micro-batches of 1 and 32"}
    assert Pace.found(files.pace_path("fp32")) is None
