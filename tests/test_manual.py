"""The manual: its menu has every page, its reference every option, and a link that leads out of it is refused."""

import sys
from pathlib import Path

import click
import pytest
import yaml

from vda.cli import main

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import manual  # noqa: E402


def test_the_menu_has_every_page_once() -> None:
    named = manual.names_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    docs = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(named) == sorted(docs | {*manual.OUTSIDE.values(), manual.COMMANDS})


def leaves(group: click.Group, prefix: str) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        whole = f"{prefix} {name}"
        found |= leaves(command, whole) if isinstance(command, click.Group) else {whole: command}
    return found


def test_the_reference_has_every_command_with_every_option() -> None:
    sections = dict(part.split("\n", 1) for part in manual.reference().split("\n## ")[1:])
    commands = leaves(main, "vda")
    assert sections.keys() == {name for name, command in commands.items() if not command.hidden}
    for name, section in sections.items():
        rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        for option in commands[name].params:
            if isinstance(option, click.Option) and not option.hidden:
                assert any(option.opts[0] in row for row in rows), (name, option.opts)


def test_a_page_that_no_menu_has_is_named(tmp_path: Path) -> None:
    for name in ("index.md", "lost.md"):
        (tmp_path / name).write_text("# A page\n")
    nav = [{"Start": "index.md"}, {"More": [{"Gone": "gone.md"}]}]
    lost, gone = manual.not_in_nav(nav, tmp_path)
    assert "lost.md" in lost and "gone.md" in gone


def test_links_lead_to_where_a_page_lies_in_the_manual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "secret.py").touch()
    page = tmp_path / "README.md"
    places = {page: tmp_path / "out" / "index.md", tmp_path / "docs" / "a.md": tmp_path / "out" / "a.md"}
    page.write_text("[a](docs/a.md#part), [here](#there), [far](https://example.org/x)")
    assert (
        manual.with_links(page, places[page], places)
        == "[a](a.md#part), [here](#there), [far](https://example.org/x)"
    )
    page.write_text("[code](secret.py)")
    with pytest.raises(SystemExit, match=r"README\.md links to secret\.py"):
        manual.with_links(page, places[page], places)


def test_what_a_browser_would_load_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org/">a link to follow</a><script src="x.js"></script>'
    )
    assert manual.remote(tmp_path) == []
    (tmp_path / "b.html").write_text('<link rel="stylesheet" href="https://fonts.example.org/css">')
    [found] = manual.remote(tmp_path)
    assert found.startswith("b.html loads <link") and "fonts.example.org" in found
