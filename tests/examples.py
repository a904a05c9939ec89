"""The examples of the README and the manual: which there are, what is asked of each, and a folder to run them in.

A block of code whose first word is a program's is an example of the shell. It is run line by line in a folder that
has what the pages speak of: ``film.mp4`` (the first frames of the sample), its scene, tracks, cameras, truth. A
comment before the block says otherwise, with the reason:

    <!-- parsed: needs two GPUs -->       each command is read by the real one, which then does nothing
    <!-- slow: computes four films -->    the same, but ``make slow`` runs the block
    <!-- anew -->                         the scene of the film is taken away first
"""

import configparser
import contextlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from vda.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# What may stand at the beginning of a line of an example.
PROGRAMS = (
    "vda",
    "make",
    "pip",
    "python",
    "git",
    "ssh",
    "rsync",
    "scp",
    "tools/",
    "runners/",
    ".venv/bin/",
    "bash",
)
OWN = {"vda-split", "vda-run", "vda-merge", "vda-enrich", "vda-scale", "vda-monitor"}
_BLOCK = re.compile(r"(?:<!-- (\w+)(?:: ([^>]*))? -->\n+)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A block of commands: where it stands, what its comment asks for (or nothing) and why."""

    page: Path
    line: int
    asked: str
    reason: str
    text: str
    python: bool = False

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @cached_property
    def lines(self) -> list[str]:
        """One command each, without comments and empty lines; lines that go on are joined. Python is one."""
        if self.python:
            return [f"python -c {shlex.quote(self.text)}"]
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if words_of(line)]

    @property
    def ending(self) -> list[str]:
        """Lines that end by themselves: a page that is served, and the monitor, go on until they are stopped."""
        return [line for line in self.lines if not serves(words_of(line))]

    @property
    def plain(self) -> bool:
        """Whether each line is one command, with nothing that only a shell understands."""
        return not any(re.search(r"[|;<>&$`]|^(for|while|if|cd|export)\b", bare(line)) for line in self.lines)


def bare(line: str) -> str:
    """A line without what is in quotes and without its comment."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|(^|\s)#.*", "", line)


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def serves(words: list[str]) -> bool:
    how = {"vda view": {"--export"}, "vda monitor": {"--once", "--json"}}.get(" ".join(words[:2]))
    return how is not None and not how & set(words)


def examples() -> Iterator[Example]:
    for page in PAGES:
        text = page.read_text()
        for match in _BLOCK.finditer(text):
            asked, reason, language, code = match.groups()
            first = code.split()[0] if code.split() else ""
            shell = language in ("sh", "bash") or (not language and first.startswith(PROGRAMS))
            if shell or language == "python":
                line = text[: match.start(3)].count("\n") + 1
                yield Example(page, line, asked or "", reason or "", code, not shell)


def command_of(words: list[str]) -> tuple[click.Command, list[str], str]:
    """The command of ours that a line calls, and its arguments. Raises ``KeyError`` where there is none."""
    name, *rest = words
    command: click.Command = main
    if name in OWN:
        command = main if name == "vda" else _entry(name)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command = command.commands[rest[0]]
        name, rest = f"{name} {rest[0]}", rest[1:]
    return command, rest, name


def _entry(name: str) -> click.Command:
    from importlib import import_module

    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["options.entry_points"]["console_scripts"].split("\n")
    target = next(line.split(" = ")[1] for line in lines if line.startswith(f"{name} ="))
    module, attribute = target.split(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


def parse(line: str) -> None:
    """Have the real command read a line without doing anything; ``click.ClickException`` where it would refuse."""
    words = words_of(line)
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    if not words or not (words[0] == "vda" or words[0] in OWN):
        return parse_other(words)
    command, rest, name = command_of(words)
    with contextlib.suppress(click.exceptions.Exit):  # --help and --version
        command.make_context(name, rest)


def parse_other(words: list[str]) -> None:
    """Other programs as far as they are ours: targets of make, extras of pip, files of this project."""
    if words[:1] == ["make"]:
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = {word for word in words[1:] if not re.match(r"\w+=|-", word)}
        assert named <= targets, f"make has no {named - targets}"
    extras = configparser.ConfigParser(interpolation=None)
    extras.read(ROOT / "setup.cfg")
    for word in words:
        if match := re.fullmatch(r"(?:vda-toolkit|\.)\[([\w,]+)\]", word):
            assert set(match[1].split(",")) <= set(extras["options.extras_require"]), word
        if re.match(r"(tests|tools|runners|docs|bench)/.*\.(py|sh|ipynb)$", word):
            assert (ROOT / word).is_file(), word
        if re.match(r"(\S+ && )?vda ", word):  # what ssh is to run
            for part in word.split("&&"):
                parse(part)
