"""What the pages say of each other: links that lead somewhere, and figures of speed on one page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "data").glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPEED = re.compile(r"\d (?:frames/s\b|times as fast|times the speed)")


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them: small letters, spaces as hyphens, other signs left out."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(place), f"{page.name} links to {target}"


def test_files_that_pages_name_are_there() -> None:
    """``vda/compute/ladder.py`` and the like: a move must not leave a page behind."""
    for page in PAGES:
        for name in re.findall(r"`((?:vda|tests|bench|tools|runners)/[\w./]+\.(?:py|sh))`", page.read_text()):
            assert (ROOT / name).is_file(), f"{page.name} names {name}"


def test_every_page_is_in_the_readmes_table() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"docs/{page.name}" in readme for page in (ROOT / "docs").glob("*.md"))


def test_speed_stands_on_one_page() -> None:
    """Figures that stand twice come to differ: they did."""
    named = {page.name for page in PAGES if SPEED.search(page.read_text())}
    assert named == {"performance.md"}
