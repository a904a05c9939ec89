"""``make gpu`` on a CPU: it has to run at once when there is a card for an hour, and nobody there to mend it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[1]

# All that this project installs beside PyTorch, NumPy and OpenCV, and what those need, is not there.
_BARE = """
import runpy, sys

# To import what is None here is an ImportError.
sys.modules.update(dict.fromkeys({absent!r}))
sys.argv = ["bench.gpu", *sys.argv[1:]]
runpy.run_module("bench.gpu", run_name="__main__")
"""
_ABSENT = {
    "av", "click", "huggingface_hub", "isal", "matplotlib", "numcodecs", "psutil", "pynvml", "safetensors",
    "scipy", "tqdm", "yaml", "pandas", "polars",
}  # fmt: skip


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-c", code] if code else ["-m", "bench.gpu"]), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_it_runs_with_pytorch_numpy_and_opencv_alone(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    stages = ["machine", "parity", "traffic", "precision", "speed", "memory", "shortage", "overlap", "compiled"]
    ended = run(
        *("--device", "cpu", "--tiny", "--here", "--json", str(path), "--only", ",".join(stages)),
        code=_BARE.format(absent=_ABSENT),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = written(path)["stages"]
    assert list(found) == stages
    assert not [name for name, stage in found.items() if "failed" in stage]
    assert found["parity"]["vits, float32"]["window"] < 3e-5
    assert found["traffic"]["run 0"]["holds"]
    (shortage,) = (value for value in found["shortage"].values() if isinstance(value, dict))
    # Eight frames and then 32 are refused until two are left of each, the encoder's first.
    assert [step.split(":")[0] for step in shortage["steps"]] == ["encoder"] * 2 + ["head"] * 4
    assert "left out" in found["overlap"]["frames of a film"]
    assert found["speed"]["vits, eager"]["ms_per_frame"] > 0


def test_a_stage_that_fails_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """There is no such device: of the first stage nothing comes, and the second is begun all the same."""
    path = tmp_path / "found.json"
    ended = run("--device", "nowhere", "--tiny", "--json", str(path), "--only", "machine,compiled")
    found = written(path)["stages"]
    assert ended.returncode == 1
    assert "nowhere" in found["machine"]["failed"] and "nowhere" in found["compiled"]["failed"]
    assert "Failed: machine, compiled" in ended.stdout


@pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="starts PyTorch five times: run by `make slow`")
def test_all_of_it_runs_in_processes_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    ended = run("--device", "cpu", "--tiny", "--json", str(path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert written(path)["stages"]["two_workers"]["two"]["times_as_fast"] > 0
