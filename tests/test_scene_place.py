"""Where a video's scene goes where nobody says: a folder of its own below ``data``, never the folder above."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from vda.cli import main
from vda.splitting.stage import scene_root

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("video", "scene"),
    [
        ("films/street.mp4", "street"),
        ("my film.final.mov", "my film.final"),
        ("...mp4", "...mp4"),
        ("..mp4", "..mp4"),
        (".mp4", ".mp4"),
        ("....", "...."),
        ("a..mp4", "a."),
    ],
)
def test_a_scene_is_a_folder_below_data(video: str, scene: str) -> None:
    assert scene_root(Path(video), None) == Path("data") / scene
    assert scene_root(Path(video), None).resolve().parent == Path("data").resolve()


STAND_IN = """#!{python}
import json, sys
print(json.dumps(sys.argv[1:]))
"""
NAMES = [
    "...mp4",
    "my films/Holiday 2024.mp4",
    'it\'s "quoted" $5 #1.mp4',
    "a$$b$(shell touch made_by_make)`touch made_by_a_shell`$(touch made_too).mp4",
    "50% off.mp4",
    "-dash.mp4",
    "back\\slash\\.mp4",
    "c:olon;semi&and|or>.mp4",
    "two\nlines\tand a tab.mp4",
    "shot.%04d.exr",
    "Übung (1) [a]*?.mp4",
    "trailing space.mp4 ",
]


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment that is set up, whose ``vda`` says what it was given."""
    program = tmp_path / "venv" / "bin" / "vda"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    for ready in (".ready", ".ready-test"):
        (tmp_path / "venv" / ready).touch()
    return tmp_path / "venv"


def given(venv: Path, target: str, *variables: str) -> list[str]:
    command = ["make", "-s", target, f"VENV={venv}", *variables]
    # What the tests' own make was given, such as ARGS, is not for this one.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES")}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return list(json.loads(made.stdout))


@pytest.mark.parametrize("name", NAMES)
def test_make_hands_the_film_on_as_it_was_typed(venv: Path, name: str) -> None:
    """The scene is then named as the program names it, for there is no ``--scene``."""
    plain = ["depth", "--model", "auto", "--devices", "auto", "--", name]
    assert given(venv, "depth", f"VIDEO={name}") == plain
    assert not list(ROOT.glob("made_*"))
    # And the program takes it for the film.
    command = main.commands["depth"]
    assert isinstance(command, click.Command)
    assert command.make_context("depth", plain[1:]).params["videos"] == (Path(name),)


def test_make_hands_scenes_and_tracks_on_as_well(venv: Path) -> None:
    odd = "data/$it's #1"
    assert given(venv, "depth", "VIDEO=a.mp4", f"SCENE={odd}")[:2] == ["depth", f"--scene={odd}"]
    enrich = given(venv, "enrich", f"SCENE={odd}", "TRACKS=$t.json", "ARGS=--overwrite")
    assert enrich == [
        "enrich",
        "--tracks=$t.json",
        f"--output={odd}/tracks_3d.json",
        "--overwrite",
        "--",
        odd,
    ]
    assert given(venv, "monitor", f"SCENE={odd}") == ["monitor", "--", odd]
    assert given(venv, "monitor") == ["monitor"]
