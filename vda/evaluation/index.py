"""An index of many scenes' reports: a row for each, worst first, with its verdict, a picture and its figures.

In: a ``SceneRow`` for each scene, of a few kilobytes. Out: a page that links to the reports beside it. This
file measures nothing.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from vda.depthmaps.colours import colorize, shown_range
from vda.depthmaps.source import open_depth
from vda.errors import VdaError
from vda.evaluation.frames import reduced
from vda.evaluation.page import fit, jpeg, section, whole_page
from vda.evaluation.quality import in_digits
from vda.evaluation.verdict import Level
from vda.files import write_bytes
from vda.scene.scene import Scene
from vda.scene.status import scene_status

_THUMB_WIDTH = 240
_SHOWN = ("flicker", "flicker_worst", "seam", "drift", "invalid")


@dataclass(frozen=True)
class SceneRow:
    """What the index says of a scene: ``state`` is its verdict, or why it has none; ``report`` its page.

    ``thumbnail`` is HTML; ``failed`` are sentences of conditions that it does not pass.
    """

    name: str
    state: str
    level: Level
    report: Path | None = None
    thumbnail: str = ""
    figures: dict[str, float | None] = field(default_factory=dict)
    failed: Sequence[str] = ()


def entry_of(
    scene: Scene, verdict: str, level: Level, figures: Mapping[str, float | None], failed: Sequence[str]
) -> SceneRow:
    """The row of a scene that has a report, of which ``figures`` are those that a ``Quality`` has."""
    shown = {name: figures.get(name) for name in _SHOWN}
    name = scene.root.resolve().name
    return SceneRow(name, verdict, level, scene.report_path, _thumbnail(scene), shown, failed)


def entry_without(root: Path) -> SceneRow:
    """The row of a scene that has no report: how far it is, in words without its folder."""
    scene = Scene(root)
    name = root.resolve().name
    if not scene.is_planned():
        return SceneRow(name, "no scene is there", Level.BAD)
    try:
        state = scene_status(scene)
    except VdaError:
        return SceneRow(name, "its files cannot be read", Level.BAD)
    done = f"{state['frames_done']:,} of {state['frames_total']:,} frames"
    return SceneRow(name, f"no report: {state['state']}, {done}", Level.BAD)


def _thumbnail(scene: Scene) -> str:
    """The depth of the middle frame; nothing where it cannot be read, which its report says."""
    try:
        depth = open_depth(scene.merged_dir)
        image = depth.read(depth.frames[len(depth.frames) // 2])
    except VdaError:
        return ""
    kind = depth.record.quantizer.kind if depth.record else "inverse_depth"
    with np.errstate(divide="ignore"):
        shown = 1 / image if kind == "depth" else image
    return jpeg(reduced(colorize(shown, *(shown_range(image, kind) or (0.0, 1.0))), _THUMB_WIDTH), "depth")


def write_index(path: Path, entries: Sequence[SceneRow]) -> Path:
    """Write the page of ``entries`` to ``path``, worst first, then by name; return the path."""
    rows = sorted(
        entries, key=lambda entry: (not entry.failed, -entry.level, entry.report is not None, entry.name)
    )
    heads = "".join(f"<th>{name}</th>" for name in ("", "scene", "verdict", "figures"))
    body = "".join(_row(entry, path.absolute().parent) for entry in rows)
    good = sum(entry.level == Level.GOOD and not entry.failed for entry in entries)
    note = (
        f"Worst first. {good} of {len(entries)} are steady in all that was measured. Whether depth is right is "
        "another question: that takes truth (vda eval)."
    )
    table = f'<table class="scenes"><tr>{heads}</tr>{body}</table>'
    page = whole_page("Depth of several scenes", [section("Scenes", table, note)])
    write_bytes(path, page.encode())
    return path


def _row(entry: SceneRow, folder: Path) -> str:
    name = fit(entry.name)
    if entry.report is not None:
        way = quote(os.path.relpath(entry.report.absolute(), folder).replace(os.sep, "/"))
        name = f'<a href="{way}">{name}</a>'
    failed = "".join(f"<br><small>{fit(sentence)}</small>" for sentence in entry.failed)
    figures = "<br>".join(f"{figure} {in_digits(value)}" for figure, value in entry.figures.items())
    word = f'<span class="word {entry.level.name.lower()}">{fit(entry.state)}</span>'
    return f"<tr><td>{entry.thumbnail}</td><td>{name}</td><td>{word}{failed}</td><td>{figures}</td></tr>"
