"""The promised names: every command answers ``--help`` with an example, and the docs name only what exists."""

import configparser
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vda.cli import main

ROOT = Path(__file__).parents[1]


def commands(group: click.Group, prefix: str = "vda") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix} {name}")
        else:
            found[f"{prefix} {name}"] = command
    return found


ALL = commands(main)


@pytest.mark.parametrize("name", ALL)
def test_help_has_an_example_that_starts_like_the_command(name: str) -> None:
    result = CliRunner().invoke(main, [*name.split()[1:], "--help"])
    assert result.exit_code == 0
    assert f"Example: {name}" in " ".join(result.output.split())


@pytest.mark.parametrize("name", ALL)
def test_every_option_says_in_a_sentence_what_it_does(name: str) -> None:
    for option in ALL[name].params:
        if isinstance(option, click.Option):
            text = (option.help or "").strip()
            assert len(text.split()) > 2 and text.endswith("."), (name, option.opts, text)
            # "Frames a second" is read as one second: per is what is meant.
            assert not re.search(r" an? (second|device|metre|worker|frame|chunk|pixel)\b(?! of)", text), text


def test_stages_have_their_own_names() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    scripts = [line.split(" = ") for line in config["options.entry_points"]["console_scripts"].split("\n") if line]
    named = {name: target.split(":") for name, target in scripts}
    assert {"vda", "vda-split", "vda-run", "vda-merge", "vda-enrich", "vda-monitor"} <= named.keys()
    for name, (module, attribute) in named.items():
        command = getattr(import_module(module), attribute)
        assert command is main or f"vda {command.name}" == name.replace("-", " ")


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]
)
def test_pages_name_only_commands_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    lines = [line for block in text.split("```")[1::2] for line in block.splitlines()]
    lines += re.findall(r"`(vda [^`]+)`", text)
    for line in lines:
        if match := re.match(r"vda ([a-z]+)(?: ([a-z]+))?", line.strip()):
            one, two = (f"vda {match[1]}", f"vda {match[1]} {match[2]}")
            assert one in ALL or two in ALL, line


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target


def test_usage_errors_exit_with_2() -> None:
    for arguments in (["depth"], ["split", "a.mp4", "--chunks", "0"], ["run", "x", "--on", "moon"], ["nonsense"]):
        assert CliRunner().invoke(main, arguments).exit_code == 2, arguments


WITHOUT_THE_EXTRAS = """
import sys
for name in ("polars", "pandera", "sklearn", "diffusers", "OpenEXR", "scenedetect", "viser", "plyfile"):
    sys.modules[name] = None
from click.testing import CliRunner
from vda.cli import main
for names in sys.argv[1:]:
    result = CliRunner().invoke(main, [*names.split()[1:], "--help"])
    assert result.exit_code == 0, (names, result.output, result.exception)
"""


def test_help_needs_no_package_that_is_an_extra() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_THE_EXTRAS, *ALL], check=True)
