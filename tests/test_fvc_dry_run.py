"""``vda fvc scale --dry-run``: what is told is what then happens, and nothing is written."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from clips import make_clip
from data_sets import data_set, scaled, table

from vda.cli import main
from vda.outlook import forecaster

COUNT, FRAMES = 4, 30


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set that is scaled."""
    folder = tmp_path_factory.mktemp("given")
    data_set(folder, COUNT, FRAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call(*SCALE, "-q").exit_code == 0
    return folder


@pytest.fixture
def work(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with caches of its own beside it."""
    folder = tmp_path / "work"
    shutil.copytree(given, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


SCALE = ("fvc", "scale", "videos.csv", "--output-dir", "out", "--size", "64", "--jobs", "1")


def call(*words: str) -> click.testing.Result:
    return CliRunner().invoke(main, words)


def dry(*words: str) -> click.testing.Result:
    """A command with ``--dry-run``, after which all that was there is there as it was, and nothing else."""

    def listing() -> dict[str, tuple[int, int]]:
        found = {str(path): path.lstat() for path in Path.cwd().parent.rglob("*")}
        return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}

    before = listing()
    told = call(*words, "--dry-run")
    assert listing() == before
    return told


def foretold(*words: str) -> dict[str, Any]:
    told = dry(*words, "--json")
    assert told.exit_code == 0, told.output
    return dict(json.loads(told.stdout))


def test_what_is_told_is_what_comes_of_it(work: Path) -> None:
    written = sum((work / "out" / row["video_path"]).stat().st_size for row in scaled(work / "out"))
    again = foretold(*SCALE)
    assert (again["to_scale"], again["kept"], again["frames"]) == (0, COUNT, None)
    anew = foretold(*SCALE, "--delete-existing", "--max-frames", "10")
    assert (anew["to_scale"], anew["frames"]) == (COUNT, COUNT * 10)
    shutil.rmtree(work / "out")
    told = foretold(*SCALE)
    assert (told["rows"], told["to_scale"], told["kept"], told["failed"]) == (COUNT, COUNT, 0, {})
    assert told["frames"] == COUNT * FRAMES and told["seconds"] > 0
    assert written <= told["disk_bytes"] <= 1.5 * written


def test_rows_that_are_no_more_and_videos_that_are_not_there_are_told(work: Path) -> None:
    make_clip(work / "new.mp4", range(12))
    rows = ({"video_path": name, "label": "real"} for name in ("video1.mp4", "new.mp4", "nowhere.mp4"))
    table(work / "videos.csv", rows)
    told, text = dry(*SCALE, "--json"), dry(*SCALE)
    found = json.loads(told.stdout)
    assert (found["to_scale"], found["kept"], found["removed"], found["frames"]) == (1, 1, COUNT - 1, 12)
    really = call(*SCALE, "-q")
    assert told.exit_code == text.exit_code == really.exit_code == 1
    first = "Error: 1 of 3 videos could not be scaled."
    assert first in told.stderr and first in text.stderr and first in really.stderr
    assert [row["state"] for row in _log(work)].count("failed") == len(found["failed"]) == 1
    assert next(iter(found["failed"].values())) in text.stdout and "nowhere.mp4" in text.stdout


def _log(work: Path) -> list[dict[str, str]]:
    with (work / "out" / "scaled_log.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_depth_that_is_made_first_has_its_own_forecasts(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecaster, "try_cpu", lambda order: None)
    shutil.rmtree(work / "out")
    made = ("--make-depth", "--modality", "both", "--model", "mini", "--devices", "cpu", "--end-idx", "1")
    told = foretold(*SCALE, *made)
    [depth] = told["depth"]
    assert depth["frames"] == FRAMES and depth["outputs"] == ["png16"]
    assert depth["scene"].startswith("out/scenes/") and told["to_scale"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--make-depth",),
        ("--start-idx", "9"),
        ("--shard", "7/2"),
        ("--size", "63"),
        ("--method", "autoencoder"),
        ("--fps", "5", "--stride", "2"),
        ("--size", "32"),
        ("--modality", "both", "--make-depth", "--weights", "nowhere"),
    ],
    ids=" ".join,
)
def test_what_would_be_refused_is_refused_in_the_same_words(work: Path, words: tuple[str, ...]) -> None:
    told, really = dry(*SCALE, *words), call(*SCALE, *words)
    assert really.exit_code == 2
    assert (told.exit_code, told.stderr) == (really.exit_code, really.stderr)


@pytest.mark.parametrize("name", ["nowhere.csv", "other.csv", "video0.mp4"])
def test_a_table_that_cannot_be_used_is_refused(work: Path, name: str) -> None:
    make_clip(work / "new.mp4", range(3))
    table(work / "other.csv", [{"video_path": "new.mp4", "label": "real"}])
    words = (*SCALE[:2], name, *SCALE[3:])
    told, really = dry(*words), call(*words)
    assert really.exit_code == 2
    assert (told.exit_code, told.stderr) == (really.exit_code, really.stderr)
