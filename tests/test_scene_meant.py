"""A film, a folder of one, a folder inside a scene or above it, where a scene is wanted: the scene is named."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from depth_runs import make_video

from vda.cli import main

# Every command that takes a scene and no other depth, with what else it needs.
COMMANDS: dict[str, list[str]] = {
    "run": ["--devices", "cpu"],
    "merge": [],
    "task": ["--chunk", "0"],
    "status": [],
    "monitor": ["--once"],
    "stop": [],
    "redo": ["--chunk", "0"],
    "clean": [],
    "report": [],
    "relink": ["film.mp4"],
    "enrich": ["--tracks", "t.json", "--output", "o.json"],
    "export": ["--to", "ply", "--output", "o", "--fov", "60"],
    "view": ["--export", "v.html"],
}


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    make_video(tmp_path / "films" / "film one.mp4", 3)
    make_video(tmp_path / "film.mp4", 3)
    split("films/film one.mp4")
    (tmp_path / "t.json").write_text('{"tracks": []}')
    return tmp_path


def split(*arguments: str) -> None:
    assert CliRunner().invoke(main, ["split", *arguments, "--devices", "cpu"]).exit_code == 0


def refused(command: str, given: str) -> str:
    result = CliRunner().invoke(main, [command, given, *COMMANDS[command]])
    assert result.exit_code in (1, 2), result.output
    return " ".join(result.stderr.split())


def test_the_commands_are_all_that_take_a_scene() -> None:
    def takes_a_scene(command: Any) -> bool:
        return any(parameter.name in ("scene", "scenes") for parameter in command.params)

    assert {name for name, command in main.commands.items() if takes_a_scene(command)} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_the_scene_that_was_meant(planned: Path, command: str) -> None:
    given_ones = ["films/film one.mp4", "data/film one/vda_chunks", "data", "films", "data/film one/scene.json"]
    if command == "report":
        given_ones.remove("data")  # a folder of scenes stands for all of them there
    for given in given_ones:
        assert "Give the scene 'data/film one' in its place." in refused(command, given), given


def test_of_several_scenes_some_are_named(planned: Path) -> None:
    for name in "abcd":
        split("film.mp4", "--scene", f"data/{name}")
    assert "Give one scene: data/a, data/b, data/c or one of 2 more." in refused("status", "data")


def test_a_film_without_a_scene_is_told_how_to_get_one(planned: Path) -> None:
    assert "'vda depth film.mp4'" in refused("run", "film.mp4")
    assert "check the path" in refused("run", "nothing")


def test_a_plan_that_did_not_come_to_an_end(planned: Path) -> None:
    (planned / "data" / "film one" / "vda_chunks" / "chunks_metadata.json").unlink()
    assert "give the command again that began it" in refused("run", "data/film one")
