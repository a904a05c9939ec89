"""Several videos in one command: one that is bad does not lose the others."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from depth_runs import make_video, make_weights, run_options
from pretended_slurm import pretend_slurm, submitted

from vda.cli import main


def _depth(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["depth", *map(str, arguments), "--on", "inline", "--no-video", "-q"])
    return result.exit_code, result.stdout, result.stderr


def test_a_bad_film_is_listed_at_the_end_and_the_others_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    films = tmp_path / "films"
    films.mkdir()
    make_video(films / "a.mp4", 5)
    make_video(films / "c.mp4", 3)
    (films / "b.mp4").write_bytes(b"no film at all" * 99)
    options = [*run_options(make_weights(tmp_path / "w.safetensors")), "--devices", "cpu"]
    code, out, err = _depth("films", "absent.mp4", "--json", *options)
    assert code == 1
    told = json.loads(out)
    assert [Path(scene["folder"]).parent.name for scene in told["scenes"]] == ["a", "c"]
    assert [Path(failed["video"]).name for failed in told["failed"]] == ["b.mp4", "absent.mp4"]
    assert "2 of 4 videos failed" in err
    lines = [line.strip() for line in err.splitlines() if line.startswith("  ")]
    assert [line.partition(":")[0] for line in lines] == ["films/b.mp4", "absent.mp4"]
    assert "cannot be opened as a video" in lines[0] and "There is no file absent.mp4" in lines[1]
    assert len(list((tmp_path / "data" / "c" / "vda_merged_depth").glob("depth_*.png"))) == 3
    # Asked for something of the plan that only one has: that one fails, and is as it was.
    code, out, err = _depth("films/a.mp4", "films/c.mp4", "--json", "--frames", "0:3", *options)
    assert (code, [Path(failed["video"]).name for failed in json.loads(out)["failed"]]) == (1, ["a.mp4"])
    assert "is already planned" in err
    (films / "b.mp4").unlink()
    code, out, err = _depth("films", *options)
    assert (code, err) == (0, "")


def test_a_single_bad_film_is_told_as_it_is(tmp_path: Path) -> None:
    code, _, err = _depth(tmp_path / "absent.mp4")
    assert code == 2
    assert err.startswith(f"Error: There is no file {tmp_path / 'absent.mp4'}.")


def test_two_films_of_one_name_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    code, _, err = _depth(tmp_path / "a.mp4", tmp_path / "b" / "a.mov")
    assert code == 2
    assert "would share the scene data/a" in err


def test_a_film_that_could_not_be_merged_is_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        make_video(tmp_path / f"{name}.mp4", 3)
    # Depth of another program is in the way; it is as it was at the end.
    foreign = tmp_path / "data" / "b" / "vda_merged_depth" / "depth_000000.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"of another program")
    options = [*run_options(make_weights(tmp_path / "w.safetensors")), "--devices", "cpu"]
    code, out, err = _depth("a.mp4", "b.mp4", "--json", *options)
    told = json.loads(out)
    assert (code, [Path(failed["video"]).name for failed in told["failed"]]) == (1, ["b.mp4"])
    assert err.count("holds depth that no merge here has written") == 1
    windows = {name: len(list((tmp_path / "data" / name / "vda_windows").glob("window_*"))) for name in "ab"}
    assert windows == {"a": 1, "b": 0}
    assert [path.name for path in foreign.parent.iterdir()] == [foreign.name]


def test_formats_that_depth_lacks_are_merged_by_a_job_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "a.mp4", 3)
    options = [*run_options(make_weights(tmp_path / "w.safetensors")), "--devices", "cpu"]
    assert _depth("a.mp4", *options)[0] == 0
    programs = tmp_path / "programs"
    pretend_slurm(programs, monkeypatch)

    def submit(*more: object) -> list[str]:
        words = ["depth", "a.mp4", *options, "--no-video", "-q", "--on", "slurm", "--detach", *more]
        told = CliRunner().invoke(main, list(map(str, words)))
        assert told.exit_code == 0, told.output
        return submitted(programs)

    assert submit() == []
    assert [call.rpartition("/")[2] for call in submit("--format", "npz")] == ["merge.sbatch all"]
    batch = (tmp_path / "data" / "a" / "vda_run" / "cluster" / "merge.sbatch").read_text()
    assert "--format npz" in batch
