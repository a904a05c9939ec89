"""Ctrl-C: once ends cleanly and says the very command that goes on, twice at once."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from depth_runs import make_video, make_weights, run_options
from halting import halted, halting, runs

from vda.cli import main
from vda.scene.scene import Scene

PATIENCE_S = 240


def started(tmp_path: Path) -> tuple[subprocess.Popen[str], psutil.Process, list[str]]:
    """A run in a process of its own, and its worker, which is stopped with its first window in hand."""
    make_video(tmp_path / "a b.mp4", 60)
    weights = make_weights(tmp_path / "w.safetensors")
    options = [*map(str, run_options(weights)), "--devices", "cpu", "--no-video"]
    arguments = ["depth", "a b.mp4", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", "from vda.cli import main; main()", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **halting(tmp_path, "vda.compute.worker", "window_", 1)},
    )
    return process, halted(tmp_path / "halted", runs(process)), arguments


def said(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    while words not in (line := process.stderr.readline()):
        assert line, f"ended without saying {words!r}"


def test_once_ends_with_the_windows_in_hand(tmp_path: Path) -> None:
    process, worker, arguments = started(tmp_path)
    process.send_signal(signal.SIGINT)
    said(process, "Ending with the windows in hand. Ctrl-C again ends at once")
    worker.resume()
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    (line,) = (line for line in told.splitlines() if line.startswith("Interrupted; what was finished is kept."))
    again = shlex.split(line.partition("This goes on: ")[2])
    assert again[-len(arguments) :] == arguments
    scene = Scene(tmp_path / "data" / "a b")
    assert scene.finished_windows()
    assert len(list(scene.run_dir.glob("workers/*"))) == 0


def test_twice_ends_at_once(tmp_path: Path) -> None:
    # Stopped, as if its window took an hour.
    process, worker, _ = started(tmp_path)
    process.send_signal(signal.SIGINT)
    said(process, "Ending with the windows in hand")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Interrupted; what was finished is kept." in told
    # Dead, whether somebody has waited for it or not.
    for _ in range(PATIENCE_S * 100):
        try:
            if Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                break
        except FileNotFoundError:
            break
        threading.Event().wait(0.01)
    else:
        pytest.fail("the worker still lives")


def test_the_command_that_goes_on_is_fit_to_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vda.api.todepth.depth", interrupted)
    name = "my films/it's $5 #1 (50%).mp4"
    result = CliRunner().invoke(main, ["depth", name, "--restart", "--model", "mini"])
    assert result.exit_code == 130
    # Begun anew, what was computed would be lost.
    again = shlex.split(result.stderr.partition("This goes on: ")[2])
    assert again[-4:] == ["depth", name, "--model", "mini"]
