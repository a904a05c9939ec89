"""The page's words: what a browser is told of a film before it asks for a frame, and the page itself.

In go a film, its space and its tracks; out come facts as JSON and HTML. Names of strangers' files are text here
and in the page's script, never HTML. This file does not know servers.
"""

import html
import json
from collections.abc import Sequence
from fractions import Fraction
from importlib.resources import files
from typing import Any, Final

import numpy as np

from vda.depthmaps.colours import colour_table
from vda.shown import counted, printable
from vda.viewing.film import Film
from vda.viewing.space import Space
from vda.viewing.things import Things

_BAR_COLOURS: Final = 12
ASSETS: Final = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
# All is in the file, and viser's page unpacks itself by script.
_POLICY_OF_FILE: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob: data:; "
    "worker-src blob: data:; connect-src blob: data:; img-src blob: data:; style-src 'unsafe-inline'; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)


def asset(name: str) -> str:
    """One of the files beside this."""
    return files("vda.viewing").joinpath(name).read_text(encoding="utf-8")


def facts_of(
    film: Film,
    space: Space,
    things: Things | None,
    colormap: str,
    *,
    places: Sequence[int] | None = None,
    step: int = 1,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """What the page has to know: of all frames, or of those at ``places``, with every ``step``-th pixel."""
    record = film.record
    chosen = range(len(film.frames)) if places is None else places
    times = film.times_s()
    shape = float(Fraction(record.pixel_aspect)) * record.width / record.height
    said = [
        *notes,
        *([_hole_note(record.missing_frames)] if record.missing_frames else []),
        *space.notes,
        "The cloud is thinned out, and the sky and pixels on depth edges are left out of it.",
    ]
    return {
        "name": printable(film.name),
        "about": f"{counted(len(film.frames), 'frame')}, depth {record.width} x {record.height} ({record.model})",
        "frames": [int(film.frames[place]) for place in chosen],
        "times": [times[place] if np.isfinite(times[place]) else 0.0 for place in chosen],
        "width": -(-record.width // step),
        "height": -(-record.height // step),
        "step": step,
        "shape": shape,
        "kind": record.quantizer.kind,
        "unit": space.unit,
        "plain": space.is_plain,
        "fits": space.fits,
        "missing": list(record.missing_frames),
        "things": things is not None,
        "cloud": True,
        "bar": _bar(colormap),
        "notes": [printable(note, one_line=True) for note in said],
    }


def _hole_note(missing: Sequence[int]) -> str:
    return f"{counted(len(missing), 'frame')} could not be decoded: they show the picture before, without depth."


def _bar(colormap: str) -> list[str]:
    table = colour_table(colormap)[np.linspace(0, 255, _BAR_COLOURS).round().astype(int)]
    return ["#" + bytes(colour).hex() for colour in table]


def served_page(name: str) -> str:
    """The page as the server gives it, which asks for all else."""
    style, script = '<link rel="stylesheet" href="page.css">', '<script src="page.js"></script>'
    return _filled({"style": style, "script": script, "policy": "", "kept": ""}, name)


def kept_page(name: str, kept: dict[str, Any], licence: str) -> str:
    """The page as one file, with everything that it shows (``kept``) and the ``licence`` of what is not ours."""
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY_OF_FILE)}">',
        "style": f"<style>{asset('page.css')}</style>",
        "kept": f'<script type="application/json" id="kept">{_in_script(kept)}</script>'
        f"<footer class='faint'><details><summary>Licences of the cloud's viewer (viser)</summary>"
        f"<pre>{html.escape(licence)}</pre></details></footer>",
        "script": f"<script>{asset('page.js')}</script>",
    }
    return _filled(parts, name)


def _in_script(value: object) -> str:
    """JSON that ends no script and begins no comment, whatever is in its texts."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _filled(parts: dict[str, str], name: str) -> str:
    page = asset("page.html").replace("@title@", html.escape(printable(name, one_line=True)))
    # The parts hold each other's marks in none of their texts; the last, which holds strangers' texts, goes last.
    for mark in ("policy", "style", "script", "kept"):
        page = page.replace(f"<!--{mark}-->", parts[mark], 1)
    return page
