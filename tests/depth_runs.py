"""Small videos and a small network for tests of whole runs: weights are random, but bytes must agree."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from clips import make_clip
from safetensors.torch import save_file
from seeded import spread_depth

from vda.cli import main
from vda.network.model import build_model

INPUT_SIZE = 32


def make_weights(path: Path, seed: int = 5) -> Path:
    """Write random weights of the built-in architecture whose depth spreads over some range."""
    torch.manual_seed(seed)
    model = build_model("mini")
    spread_depth(model)
    save_file(model.state_dict(), path)
    return path


def make_video(path: Path, frames: int) -> Path:
    """Write ``frames`` numbered frames of 80x48."""
    return make_clip(path, range(frames))


def vda(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, on one thread."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", "from vda.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **environment},
    )


def vda_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program in this process: the same words and exit code, without the seconds that imports take."""
    words = list(map(str, arguments))
    result = CliRunner().invoke(main, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def run_options(weights: Path) -> list[object]:
    return ["--model", "mini", "--weights", weights, "--input-size", INPUT_SIZE, "--threads", 1]


def run_keywords(weights: Path) -> dict[str, Any]:
    """The same for ``vda.depth``, inside the process."""
    here = {"devices": "cpu", "on": "inline", "threads": 1}
    return {"model": "mini", "weights": weights, "input_size": INPUT_SIZE, **here}


def depth_digest(scene: Path) -> dict[str, str]:
    """The sha256 of every depth image of a scene, by name."""
    images = sorted((scene / "vda_merged_depth").glob("depth_*.png"))
    return {image.name: hashlib.sha256(image.read_bytes()).hexdigest() for image in images}


def check(result: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Fail with what the program said unless it ended well."""
    if result.returncode:
        pytest.fail(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result
