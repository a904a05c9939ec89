#!/usr/bin/env python3
"""The manual as web pages: README, ``docs/`` and a reference that is made from the commands.

    make docs      # build/manual/index.html

Pages are put together in ``build/manual-pages``: README and others lie outside of ``docs/``, and their links
have to change; then zensical makes the site, and takes every warning (a link or an anchor that leads nowhere) for
an error. The reference is made at each build and kept nowhere, so it cannot differ from what the commands do.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import yaml

from vda.cli import main as vda

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "mkdocs.yml"
# Pages that lie outside of docs/, and what they are called in the manual.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "data/README.md": "sample.md",
}
COMMANDS = "commands.md"
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
# What a browser would fetch from elsewhere; links that somebody may follow are none.
REMOTE = re.compile(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+")


def main() -> None:
    settings = yaml.safe_load(CONFIG.read_text())
    pages = ROOT / settings["docs_dir"]
    site = ROOT / settings["site_dir"]
    gather(pages)
    complain(not_in_nav(settings["nav"], pages))
    # Its cache would not notice that a page is gone.
    built = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=ROOT)
    if built.returncode:
        sys.exit("The manual has warnings, and they count as errors. Mend the pages that are named above.")
    complain(remote(site))
    print(f"{site.relative_to(ROOT)}/index.html")


def complain(found: list[str]) -> None:
    if found:
        sys.exit("\n".join(found))


def gather(pages: Path) -> None:
    """All pages and what they show, in the folder ``pages``, with links as they are there."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    places = {ROOT / "docs" / path.relative_to(pages): path for path in pages.rglob("*")}
    places |= {ROOT / name: pages / called for name, called in OUTSIDE.items()}
    for source, target in places.items():
        if source.suffix == ".md":
            target.write_text(with_links(source, target, places))
    (pages / COMMANDS).write_text(reference())


def with_links(source: Path, target: Path, places: dict[Path, Path]) -> str:
    """The page's text; a link that leads out of the manual is an error, for the site lacks what it names."""

    def changed(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        name, mark, anchor = link.partition("#")
        if not name or "://" in name:
            return match[0]
        named = (source.parent / name).resolve()
        if named not in places:
            sys.exit(f"{source.relative_to(ROOT)} links to {link}, which is not in the manual.")
        return f"{before}{os.path.relpath(places[named], target.parent)}{mark}{anchor}{after}"

    return LINK.sub(changed, source.read_text())


def not_in_nav(nav: object, pages: Path) -> list[str]:
    named = set(names_in(nav))
    there = {str(path.relative_to(pages)) for path in pages.rglob("*.md")}
    return [
        *(f"mkdocs.yml does not name {page}, so nobody would find it." for page in sorted(there - named)),
        *(f"mkdocs.yml names {page}, and there is no such page." for page in sorted(named - there)),
    ]


def names_in(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    return [name for entry in entries for name in names_in(entry)]


def remote(site: Path) -> list[str]:
    """What a browser would load from the network: the manual is read on machines that have none."""
    return [
        f"{page.relative_to(site)} loads {found}"
        for page in sorted(site.rglob("*.html"))
        for found in REMOTE.findall(page.read_text())
    ]


def reference() -> str:
    """All commands as one page of Markdown, in the order of ``vda --help``."""
    parts = ["# All commands", "", "Made from the commands themselves; `vda COMMAND --help` says the same.", ""]
    for name, command in commands(vda, "vda"):
        parts += described(name, command)
    return "\n".join(parts) + "\n"


def commands(group: click.Group, prefix: str) -> list[tuple[str, click.Command]]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        if command.hidden:
            continue
        whole = f"{prefix} {name}"
        found += commands(command, whole) if isinstance(command, click.Group) else [(whole, command)]
    return found


def described(name: str, command: click.Command) -> list[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", "```text", usage, "```", "", *paragraphs(command.help or "", name)]
    records = [record for option in command.get_params(context) if (record := option.get_help_record(context))]
    lines += ["| option | what it does |", "|---|---|"]
    # An argument without words of its own stands in the usage, and every command has --help.
    lines += [f"| {coded(name)} | {escaped(text)} |" for name, text in records if text and "--help" not in name]
    return [*lines, ""]


def paragraphs(text: str, name: str) -> list[str]:
    """The command's help: its sentences, and its examples as code."""
    lines = []
    for part in text.replace("\b", "").split("\n\n"):
        words = " ".join(part.split())
        if words.startswith("Example: "):
            lines += ["```sh", words.removeprefix("Example: "), "```", ""]
        elif words:
            lines += [escaped(words), ""]
    return lines


def coded(text: str) -> str:
    """An option in a cell of a table: its names as code; words to choose from may go over several lines."""
    names, mark, choices = " ".join(text.split()).partition(" [")
    return f"`{names}`" + (" " + escaped(choices.rstrip("]")).replace("\\|", ", ") if mark else "")


def escaped(text: str) -> str:
    """Words of a command's help in Markdown, which knows other signs than a terminal."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", plain)


if __name__ == "__main__":
    main()
