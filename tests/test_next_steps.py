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


def test_clips_that_are_handed_out_come_back_as_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    video, weights = make_video(tmp_path / "a b.mp4", 24), make_weights(tmp_path / "w.safetensors")
    parts = ["--chunks", "2", "--overlap", "8", "--extract", "--devices", "cpu"]
    said, merging = call("split", video, *parts, "--chunking", "independent")
    assert merging == ["merge", "data/a b"]
    there = shlex.split(
        next(line for line in said.splitlines() if line.startswith("There,")).partition(": vda ")[2]
    )
    made, _, place = next(line for line in said.splitlines() if line.startswith("Here,")).partition(" becomes ")
    made = made.removeprefix("Here, its ")
    for clip in ("chunk_00", "chunk_01"):
        elsewhere = tmp_path / "elsewhere" / clip
        elsewhere.mkdir(parents=True)
        (elsewhere / f"{clip}.mp4").write_bytes(
            (tmp_path / "data/a b/vda_video_chunks" / f"{clip}.mp4").read_bytes()
        )
        monkeypatch.chdir(elsewhere)
        words = [word.replace("chunk_00", clip) for word in there]
        call(*words, *run_options(weights), "--devices", "cpu", "--on", "inline", "-q")
        here = tmp_path / place.replace("chunk_00", clip)
        here.parent.mkdir(exist_ok=True)
        here.write_bytes((elsewhere / made.replace("chunk_00", clip)).read_bytes())
    monkeypatch.chdir(tmp_path)
    call(*merging)
    assert len(list((tmp_path / "data/a b/vda_merged_depth").glob("depth_*.png"))) == 24
