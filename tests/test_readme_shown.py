"""The README where the package is shown, which is not this folder: each link leads somewhere there too."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import manual  # noqa: E402

import setup  # noqa: E402

README = (ROOT / "README.md").read_text()
TARGET = re.compile(r"\]\(([^)\s]+)\)")


def test_without_an_address_words_stay_and_no_link_to_a_file() -> None:
    text = setup.shown(README, None)
    assert all(target.startswith(("https://", "#")) for target in TARGET.findall(text))
    assert "Troubleshooting by symptom" in text and "](" not in text.split("## The manual")[1]


def test_with_an_address_links_lead_to_pages_of_the_manual(tmp_path: Path) -> None:
    manual.gather(tmp_path)
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    pages = {re.sub(r"\.md$", ".html", re.sub(r"README\.md$", "index.html", name)) for name in there}
    targets = TARGET.findall(setup.shown(README, "https://example.org/vda/"))
    ours = [target.removeprefix("https://example.org/vda/") for target in targets if "example.org" in target]
    assert len(ours) > 25 and all(target.startswith("https://") for target in targets)
    assert {target.partition("#")[0] for target in ours} <= pages


def test_code_is_left_alone() -> None:
    assert setup.shown("`a[0](x)` and [a](https://example.org)", None) == "`a[0](x)` and [a](https://example.org)"
