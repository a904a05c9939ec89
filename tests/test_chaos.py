"""Kills at random moments: nothing is lost, nothing is done twice at once, nobody stays behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

slow = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="minutes long: run by `make slow`")


@pytest.mark.parametrize("kills", [25, pytest.param(100, marks=slow)])
def test_kills_change_nothing(tmp_path: Path, kills: int) -> None:
    # In a process of its own: it forks, and takes in the orphans.
    chaos = Path(__file__).with_name("chaos.py")
    code = f"import chaos, pathlib; assert chaos.torment(pathlib.Path({str(tmp_path)!r}), {kills}, 1) >= {kills}"
    result = subprocess.run([sys.executable, "-c", code], cwd=chaos.parent, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
