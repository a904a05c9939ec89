"""A page of HTML that is one file: its style, its sections, and the pictures inside it.

In: words and pictures. Out: HTML that asks the network for nothing and is read on white and on black, on wide
screens and on narrow ones. This file does not know what a page tells.
"""

import base64
import html
import re
from collections.abc import Iterable

import cv2
import numpy as np

from vda.depthmaps.colours import Rgb
from vda.shown import printable

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --paper: #ffffff; --faint: #5d6771; --line: #d8dde2;
  --good: #1b7a3d; --unknown: #5d6771; --some: #9a6200; --bad: #b3261e; --tint: #f4f6f8; --link: #0b62b0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --paper: #14181c; --faint: #98a2ac; --line: #333a42;
    --good: #5fcf87; --unknown: #98a2ac; --some: #e8b04a; --bad: #ff8a80; --tint: #1d2329; --link: #7cb8f2; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
a { color: var(--link); } p.note { color: var(--faint); margin: .25rem 0 .75rem; }
img, video { max-width: 100%; height: auto; display: block; } video { width: 100%; background: #000; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .75rem .5rem; }
.strip.wide { grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .25rem; }
figure { margin: 0; scroll-margin-top: 1rem; } figcaption { color: var(--faint); font-size: .85rem; }
figure:target { outline: 3px solid var(--some); outline-offset: 3px; }
label.zoom { display: block; cursor: zoom-in; position: relative; } label.zoom img { width: 100%; }
label.zoom input { position: absolute; opacity: 0; }
label.zoom input:focus-visible + img { outline: 2px solid var(--link); }
label.zoom input:checked + img { position: fixed; inset: 0; z-index: 1; width: 100%; height: 100%;
  object-fit: contain; background: #000e; cursor: zoom-out; padding: .5rem; }
table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid var(--line); padding: .25rem .5rem;
  vertical-align: top; overflow-wrap: anywhere; } th { text-align: left; padding: .25rem .5rem; }
td:first-child { color: var(--faint); width: 12rem; }
.verdict { background: var(--tint); border-radius: .5rem; padding: .75rem 1rem; }
.verdict p.word { font-size: 1.3rem; font-weight: 600; margin: 0 0 .5rem; }
.verdict ul { padding-left: 0; list-style: none; margin: 0; } .verdict li { margin: .5rem 0; padding-left: .75rem;
  border-left: .3rem solid; border-color: var(--unknown); } .verdict small { display: block; color: var(--faint); }
.verdict li.good { border-color: var(--good); } .verdict li.some { border-color: var(--some); }
.verdict li.bad { border-color: var(--bad); }
.word.good { color: var(--good); } .word.some { color: var(--some); } .word.bad { color: var(--bad); }
.option { white-space: nowrap; }
.scenes td:first-child { width: 10rem; } .scenes label.zoom { max-width: 12rem; }
@media (max-width: 30rem) {
  td:first-child { width: 7rem; }
  .scenes tr { display: grid; border-top: 1px solid var(--line); padding: .5rem 0; }
  .scenes tr:first-child { display: none; }
  .scenes td, .scenes td:first-child { border: 0; width: auto; padding: .1rem 0; }
}
@media print { body { max-width: none; } .strip, section figure { break-inside: avoid; } video { display: none; } }
"""
# Nothing is fetched and nothing runs: pictures are in the page, and a film may lie beside it.
_POLICY = "default-src 'none'; img-src data:; media-src 'self' file:; style-src 'unsafe-inline'"


def whole_page(title: str, parts: Iterable[str]) -> str:
    """The page of ``parts`` (sections, as HTML) under ``title`` (plain words)."""
    name = html.escape(printable(title))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{name}</title><style>{_STYLE}</style></head><body><h1>{name}</h1>"
        f"{''.join(parts)}</body></html>\n"
    )


def section(title: str, body: str, note: str) -> str:
    """A section: ``title`` is one of the page's own, ``note`` plain words, ``body`` HTML."""
    said = f"<p class='note'>{fit(note)}</p>" if note else ""
    return f"<section><h2>{title}</h2>{said}{body}</section>"


def fit(text: str) -> str:
    """Any text as HTML: escaped, and without what would be obeyed or cannot be written."""
    return html.escape(printable(text))


def advice(text: str) -> str:
    """Plain words that name options as HTML, in which no line ends inside an option."""
    return re.sub(r"--[a-z][a-z-]*", r'<span class="option">\g<0></span>', fit(text))


def jpeg(picture: Rgb, alt: str = "") -> str:
    """A picture, uint8 [height, width, 3], as an element of the page: a click makes it large, another small."""
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80])
    image = f'<img alt="{fit(alt)}" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'
    return f'<label class="zoom"><input type="checkbox" aria-label="enlarge {fit(alt)}">{image}</label>'


def svg_image(svg: str, alt: str) -> str:
    """A drawing as an element of the page."""
    # As an image, names inside one drawing cannot be taken for those of another.
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'
