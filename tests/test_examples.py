"""Every command that README and manual show works, in a folder with a film, its scene and what goes with it."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from examples import OWN, PAGES, ROOT, Example, command_of, examples, parse, words_of
from exampleworld import make_world

ALL = list(examples())
OURS = {"vda": "-m vda", "python": "", "python3": ""}
# What a test leaves alone: it would change the machine, or another one.
ELSEWHERE = ("make", "pip", "git", "ssh", "scp", "rsync", "docker")
# Seconds until a command counts as one that does not end by itself.
LONGEST = 600
slow = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="minutes long: run by `make slow`")


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_the_real_commands_read_it(example: Example) -> None:
    assert example.asked in ("", "anew", "parsed", "slow"), example.asked
    assert bool(example.reason) == (example.asked in ("parsed", "slow")), "a block that is not run says why"
    for line in example.lines:
        try:
            parse(line)
        except (click.ClickException, KeyError) as error:
            pytest.fail(f"{example.name}: {line}\n{error!r}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without network, GPU or weights, in an empty folder."""
    for name in ("VDA_WEIGHTS", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


RUN = {page: [each for each in ALL if each.page == page and each.asked in ("", "anew")] for page in PAGES}
WHOLE = {page: [each for each in ALL if each.page == page and each.asked != "parsed"] for page in PAGES}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if RUN[page]], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_examples_of_a_page_run_one_after_the_other(
    page: Path, world: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = shutil.copytree(world, alone / "here", symlinks=True)
    monkeypatch.chdir(here)
    signal.signal(signal.SIGALRM, does_not_end)
    for example in RUN[page]:
        if example.asked == "anew":
            shutil.rmtree(here / "data" / "film")
        if example.plain:
            for line in example.ending:
                run_line(example, line, here)
        else:
            run_shell(example.name, "\n".join(example.ending), here)


def run_line(example: Example, line: str, here: Path) -> None:
    words = [word for part in words_of(line) for word in globbed(part, here)]
    if words[0] == "vda" or words[0] in OWN:
        command, rest, name = command_of(words)
        signal.alarm(LONGEST)
        result = CliRunner().invoke(command, rest, prog_name=name)
        signal.alarm(0)
        assert result.exit_code == 0, f"{example.name}: {line}\n{result.output}\n{result.exception!r}"
    elif words[0] not in ELSEWHERE:
        run_shell(example.name, line, here)


def does_not_end(*_: object) -> None:
    raise TimeoutError(f"It has not ended after {LONGEST} s: if it never does, mark its block as parsed.")


def globbed(word: str, here: Path) -> list[str]:
    # A pattern in quotes stays one: pages put it in quotes where a command reads it.
    if word.endswith("*/"):
        return sorted(f"{path.relative_to(here)}" for path in here.glob(word) if path.is_dir())
    return [word]


def run_shell(name: str, text: str, here: Path) -> None:
    programs = here / ".programs"
    programs.mkdir(exist_ok=True)
    runs = {name: f'exec "{sys.executable}" {code} "$@"' for name, code in OURS.items()}
    for program, does in (runs | dict.fromkeys(ELSEWHERE, ":")).items():
        path = programs / program
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)
    told = subprocess.run(
        ["bash", "-eu", "-c", text],
        cwd=here,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=LONGEST * 2,
    )
    assert told.returncode == 0, f"{name}\n{told.stdout}\n{told.stderr}"


@slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if WHOLE[page]], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_shell_runs_what_takes_minutes_too(page: Path, world: Path, alone: Path) -> None:
    here = shutil.copytree(world, alone / "here", symlinks=True)
    for example in WHOLE[page]:
        if example.asked == "anew":
            shutil.rmtree(here / "data" / "film")
        run_shell(example.name, "\n".join(example.ending), here)


PYTHON = [each for each in ALL if each.python]


@pytest.mark.parametrize("example", PYTHON, ids=lambda example: example.name)
def test_what_python_in_pages_imports_is_there(example: Example) -> None:
    tree = ast.parse(example.text)
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(tree, example.name, "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_in_the_text_are_options_of_their_commands(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"`(vda [a-z][^`]*)`", text):
        command, rest, _ = command_of(line.replace("'", "").split())
        assert not isinstance(command, click.Group) or not rest, line
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known, line
