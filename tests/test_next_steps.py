"""Each stage names the next command, which is pasted as it is."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from depth_runs import make_video, make_weights, run_options

from vda.cli import main


def call(*words: object) -> tuple[str, list[str]]:
    """Run a command; return all it says on standard error, and the words of the command that it names."""
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    named = [line.partition(": ")[2] for line in result.stderr.splitlines() if "vda " in line and ": vda" in line]
    return result.stderr, shlex.split(named[-1])[1:] if named else []


def test_the_commands_that_are_named_lead_to_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    video = make_video(tmp_path / "it's a $film.mp4", 3)
    weights = make_weights(tmp_path / "w.safetensors")
    _, after_split = call("split", video, "--devices", "cpu")
    assert after_split == ["run", "data/it's a $film"]
    computing = [*run_options(weights), "--devices", "cpu", "--on", "inline"]
    _, after_run = call(*after_split, *computing)
    assert after_run == ["merge", "data/it's a $film"]
    _, after_merge = call(*after_run)
    assert after_merge == ["view", "data/it's a $film"]
    assert (tmp_path / "data" / "it's a $film" / "vda_merged_depth" / "depth.json").is_file()
    _, after_all = call("depth", video, *computing, "--no-video")
    assert after_all == after_merge
    quiet, none = call("depth", video, *computing, "--no-video", "-q")
    assert (quiet, none) == ("", [])
