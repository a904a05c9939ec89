"""A page of HTML that is one file: its style, its sections, and the pictures inside it.

In: words and pictures. Out: HTML that asks the network for nothing and is read on white and on black, on wide
screens and on narrow ones. This file does not know what a page tells.
"""

import base64
import html
from collections.abc import Iterable

import cv2
import numpy as np

from vda.depthmaps.colours import Rgb
from vda.shown import printable

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --paper: #ffffff; --faint: #66707a; --line: #d8dde2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --paper: #14181c; --faint: #98a2ac; --line: #333a42; }
}
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.note { color: var(--faint); }
img { max-width: 100%; height: auto; display: block; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem; }
.strip img { width: 100%; } figure { margin: 0; } figcaption { color: var(--faint); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid var(--line); padding: .25rem .5rem;
  vertical-align: top; overflow-wrap: anywhere; } th { text-align: left; padding: .25rem .5rem; }
td:first-child { color: var(--faint); width: 12rem; }
@media (max-width: 30rem) { td:first-child { width: 7rem; } }
"""


def whole_page(title: str, parts: Iterable[str]) -> str:
    """The page of ``parts`` (sections, as HTML) under ``title`` (plain words)."""
    name = html.escape(printable(title))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head><body><h1>{name}</h1>"
        f"{''.join(parts)}</body></html>\n"
    )


def section(title: str, body: str, note: str) -> str:
    """A section: ``title`` is one of the page's own, ``note`` plain words, ``body`` HTML."""
    return f"<section><h2>{title}</h2><p class='note'>{html.escape(printable(note))}</p>{body}</section>"


def jpeg(picture: Rgb) -> str:
    """A picture, uint8 [height, width, 3], as an element of the page."""
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'


def svg_image(svg: str, alt: str) -> str:
    """A drawing as an element of the page."""
    # As an image, names inside one drawing cannot be taken for those of another.
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'
