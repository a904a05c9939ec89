"""What is packaged and how: extras, versions, the containers' file, and what checks a change elsewhere.

Building and installing take minutes and a network: `make package` does them.
"""

import re
import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from vda.cli import main

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "runners" / "Dockerfile").read_text()
# For those who work on the package; `all` is for those who use it.
FOR_DEVELOPERS = {"all", "test", "dev", "docs"}


@pytest.fixture(scope="module")
def settings() -> ConfigParser:
    """``setup.cfg`` as setuptools reads it: an extra may take in another's lines."""
    found = ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def packages(lines: str) -> set[str]:
    """The names of requirements, as PyPI normalises them."""
    names = (re.match(r"[\w.-]+", line) for line in lines.split("\n") if line)
    return {re.sub(r"[-_.]+", "-", name.group()).lower() for name in names if name}


def test_all_has_every_extra_that_users_take(settings: ConfigParser) -> None:
    extras = settings["options.extras_require"]
    wanted = {package for name in extras if name not in FOR_DEVELOPERS for package in packages(extras[name])}
    assert packages(extras["all"]) == wanted
    assert wanted <= packages(extras["test"])


def test_a_tested_version_is_known_of_everything_that_is_asked_for(settings: ConfigParser) -> None:
    asked = packages(settings["options"]["install_requires"])
    asked |= {package for lines in settings["options.extras_require"].values() for package in packages(lines)}
    # The Makefile says which PyTorch.
    assert asked - {"torch"} <= packages((ROOT / "constraints.txt").read_text())


def test_every_python_that_is_promised_is_checked(settings: ConfigParser) -> None:
    promised = re.findall(r"Python :: (3\.\d+)", settings["metadata"]["classifiers"])
    assert promised[0] == settings["options"]["python_requires"].removeprefix(">=")
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == promised
    assert job["steps"][-1] == {"run": "bash .ci/run"}


def instructions() -> list[list[str]]:
    """The Dockerfile's instructions, a list of words each."""
    whole = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [shlex.split(line) for line in whole.splitlines() if line]


def test_the_container_takes_what_there_is() -> None:
    """What is copied is there and not ignored, and PyTorch is the one that the tests run with."""
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [name for word, *names in instructions() if word == "COPY" and "--from=build" not in names
              for name in names[:-1]]  # fmt: skip
    assert set(copied) == let_in
    assert all((ROOT / name).exists() for name in copied)
    torch = re.search(r"^TORCH = (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert torch is not None
    assert ["ARG", f"TORCH={torch[1]}"] in instructions()


def test_the_container_does_not_run_as_root_and_its_commands_exist(settings: ConfigParser) -> None:
    assert [names for word, *names in instructions() if word == "USER"] == [["1000"]]
    health = re.search(r"^HEALTHCHECK .* CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    assert health is not None
    program, command = yaml.safe_load(health[1])
    assert f"{program} = " in settings["options.entry_points"]["console_scripts"]
    assert command in main.commands
    extras = re.search(r"'\.\[(.+)\]'", DOCKERFILE)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(settings["options.extras_require"])


def test_hooks_before_a_commit_are_what_lint_runs() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = {hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]}
    assert entries == {"ruff format --check", "ruff check", "mypy"}
