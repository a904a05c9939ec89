"""The example of a training, run as a person would: it learns, twice the same, and says when it does not."""

import json
import math
import subprocess
import sys
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import clips
import numpy as np
import pytest
import torch
from data_sets import table

from vda.fvc.folds import write_folds
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "train_classifier.py"
SIZE, FRAMES, VIDEOS = 48, 12, 16


def real_or_fake(video: int, frame: int) -> np.ndarray:
    """A wave that moves; in a fake (odd ``video``) a patch of it is a fine chequer, at another place each time."""
    y, x = np.mgrid[:SIZE, :SIZE]
    wave = np.sin(2 * np.pi * (x * (1 + video % 3) + y * (1 + video % 2) + 2 * frame) / SIZE)
    rgb = np.stack([128 + 60 * wave] * 3, -1)
    if video % 2:
        left = (5 * video) % (SIZE // 2)
        patch = np.s_[left : left + SIZE // 2, left : left + SIZE // 2]
        rgb[patch] += 40 * (((x // 2 + y // 2 + frame) % 2) * 2 - 1)[patch][..., None]
    return rgb.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fakes")
    for video in range(VIDEOS):
        clips.make_clip(folder / f"{video}.mp4", range(FRAMES), draw=partial(real_or_fake, video))
    rows = [{"video_path": f"{video}.mp4", "label": ("real", "fake")[video % 2]} for video in range(VIDEOS)]
    scale(table(folder / "videos.csv", rows), folder / "scaled", ScaleSettings(size=SIZE))
    write_folds(folder / "scaled" / "scaled_metadata.csv", folder / "scaled" / "folds.csv", folds=2)
    return folder / "scaled" / "folds.csv"


def train(table: Path, history: Path, *options: str) -> tuple[dict[str, Any], str]:
    fixed = ["--frames", "6", "--batch", "8", "--workers", "0", "--history", str(history)]
    ran = subprocess.run(
        [sys.executable, EXAMPLE, table, *fixed, *options], capture_output=True, text=True, check=True
    )
    return json.loads(history.read_text()), ran.stdout


def test_it_learns_and_two_runs_with_one_seed_are_the_same(fakes: Path, tmp_path: Path) -> None:
    made, said = train(fakes, tmp_path / "one.json", "--epochs", "12")
    # How many epochs there are to be changes none of them.
    again = train(fakes, tmp_path / "two.json", "--epochs", "4")[0]["epochs"]
    numbers = {epoch["epoch"] for epoch in again}
    assert len(numbers) == 4 and again == [epoch for epoch in made["epochs"] if epoch["epoch"] in numbers]
    assert len(made["balanced_accuracy"]) == 2
    for fold in ("0", "1"):
        losses = [epoch["loss"] for epoch in made["epochs"] if epoch["fold"] == fold]
        assert losses[0] == pytest.approx(math.log(2), abs=0.1)
        assert losses[-1] < losses[0] / 2
    assert np.mean(made["balanced_accuracy"]) > 0.7
    assert "of a guess 0.6931" in said and "WARNING" not in said


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = spec_from_file_location("train_classifier", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (7, 3, 3, 16, 16), generator=generator, dtype=torch.uint8), torch.arange(7) % 2


def test_micro_batches_add_up_to_the_same_gradient(example: ModuleType) -> None:
    norms = []
    for micro_batch in (7, 3, 1):
        loss, norm, logits = example.Trainer(2, 0, 1e-3, micro_batch).step(*batch())
        norms.append(norm)
        assert loss == pytest.approx(example.loss_by_hand(logits, batch()[1]), rel=1e-5)
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-4) and norms[0] > 0


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(example: ModuleType) -> None:
    whole, small = (example.Trainer(2, 0, 1e-3, 7) for _ in range(2))
    forward = small.network.forward

    def only_three(video: torch.Tensor) -> torch.Tensor:
        if len(video) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(video)

    small.network.forward = only_three
    loss, norm, _ = whole.step(*batch())
    assert small.step(*batch())[:2] == pytest.approx((loss, norm), rel=1e-4)
    assert small.micro_batch == 3


def test_a_training_that_learns_nothing_is_said(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = example.Trainer(2, 0, 1e-3, 7)
    trainer.network.requires_grad_(False)
    with pytest.raises(SystemExit, match="Nothing is trained"):
        example.check_beginning(trainer, torch.zeros(7, 2), batch()[1])
    example.check_epoch(example.Epoch("0", 1, loss=0.69, gradient_norm=0.0, spread=0.0))
    said = capsys.readouterr().out
    assert "no gradient" in said and "the same of all videos" in said


def test_a_loss_that_begins_far_from_a_guess_is_said(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    logits = torch.tensor([[4.0, -4.0]] * 7)
    example.check_beginning(example.Trainer(2, 0, 1e-3, 7), logits, batch()[1])
    assert "does not begin at a guess" in capsys.readouterr().out


def test_accuracy_is_balanced_over_labels(example: ModuleType) -> None:
    label = torch.tensor([0, 0, 0, 1])
    assert example.balanced_accuracy(torch.tensor([[1.0, 0.0]] * 4), label) == 0.5


def test_a_table_that_is_not_there_is_said_without_a_traceback(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, EXAMPLE, tmp_path / "absent.csv"], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "absent.csv could not be read as a table: No such file" in ran.stderr
    assert "Traceback" not in ran.stderr
