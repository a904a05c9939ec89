"""Kills at random moments: nothing is lost, nothing is done twice at once, nobody stays behind."""

import subprocess
import sys
from pathlib import Path


def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    # In a process of its own: it forks, and takes in the orphans.
    chaos = Path(__file__).with_name("chaos.py")
    code = f"import chaos, pathlib; assert chaos.torment(pathlib.Path({str(tmp_path)!r}), 50, seed=1) >= 50"
    result = subprocess.run([sys.executable, "-c", code], cwd=chaos.parent, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
