"""What setup.cfg cannot say: the README as it stands where the package is shown, which is not this folder.

A link to a file beside the README leads nowhere there. Where setup.cfg names the manual's address
(``project_urls``: ``Documentation = https://…``), it leads to that page of the manual. Without one its words
stay, and of a picture what it shows.
"""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def shown(readme: str, manual: str | None) -> str:
    """The README with links that work anywhere. ``manual`` is the address of the folder that `make docs` fills."""

    def link(match: re.Match[str]) -> str:
        picture, words, target, anchor = match.groups(default="")
        if manual is None:
            return f"*({words})*" if picture else words
        # As tools/manual.py places them: what is in docs/, and pages from beside it in small letters.
        page = target.removeprefix("docs/") if target.startswith("docs/") else target.lower()
        page = re.sub(r"README\.md$", "index.html", page)
        return f"{picture}[{words}]({manual.rstrip('/')}/{re.sub(r'[.]md$', '.html', page)}{anchor})"

    # Every second part is code, in which brackets are no links.
    parts = re.split(r"(```.*?```|`[^`]*`)", readme, flags=re.DOTALL)
    return "".join(part if place % 2 else LINK.sub(link, part) for place, part in enumerate(parts))


def address() -> str | None:
    settings = ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    named = settings.get("metadata", "project_urls", fallback="")
    found = re.search(r"^\s*Documentation\s*=\s*(\S+)", named, re.MULTILINE)
    return found[1] if found else None


if __name__ == "__main__":
    setup(long_description=shown((ROOT / "README.md").read_text(encoding="utf-8"), address()))
