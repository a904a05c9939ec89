"""A comparison in words: for the terminal and for the page.

In: a ``Comparison``. Out: sentences and rows of a table. This file does not know where they are shown.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vda.comparing.differences import LIMITS
from vda.comparing.results import Result
from vda.comparing.stage import Comparison
from vda.comparing.steady import Steadiness
from vda.shown import counted


def percent(share: float | None) -> str:
    """A share of 1 in percent with three digits that count; ``-`` where there is none."""
    if share is None or not np.isfinite(share):
        return "-"
    # What is left of sums of numbers that cancel is nothing to be told.
    return f"{round(100 * share, 9) + 0.0:.3g} %"


def plain(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}g}"


def basis(comparison: Comparison) -> Iterator[str]:
    """What was compared, how A was fitted, and what was left out: a sentence each."""
    together, film = comparison.together, comparison.film
    (a_width, a_height), (b_width, b_height) = together.sizes
    width, height = together.size
    yield f"{counted(len(comparison.frames), 'frame')} of {width} x {height}, matched by {together.matched_by}."
    if together.sizes[0] != together.sizes[1]:
        yield (
            f"A is {a_width} x {a_height} and B {b_width} x {b_height}: the larger was brought to the size of the "
            "smaller, each pixel the mean of the area it covers (half-pixel centres)."
        )
    if together.are_of_two_files:
        yield "The two scenes are of different video files: that these are one film's is taken on trust."
    yield from _fitted(comparison)
    only_a, only_b = together.left_out
    if only_a or only_b:
        yield f"Frames that only one has were left out: {only_a} of A and {only_b} of B."
    if comparison.border:
        yield f"{comparison.border} pixels at every edge were left out."
    if film.opposed:
        yield f"In {film.opposed} frames what is nearer in A is farther in B: no scale above 0 fits them."


def _fitted(comparison: Comparison) -> Iterator[str]:
    together = comparison.together
    if together.quantity == "depth":
        yield "Both are metric, and were taken as they are."
        return
    if "depth" in (together.a.kind, together.b.kind):
        metric = "A" if together.a.kind == "depth" else "B"
        yield f"{metric} is metric and the other is not: both were compared as inverse depth."
    rulers = list(comparison.rulers.values())
    if len(rulers) == 1:
        fit = rulers[0].fit
        yield (
            f"A was fitted to B by one scale, {fit.scale:.6g}, and one shift, {fit.shift:.6g}, for the whole film "
            "(least squares in inverse depth, scale not below 0)."
        )
    else:
        yield (
            f"The two have {len(rulers)} shots, each with a scale of its own: A was fitted to B shot by shot "
            "(least squares in inverse depth, scale not below 0)."
        )
    if flat := sum(ruler.fit.scale == 0 for ruler in rulers):
        where = "" if len(rulers) == 1 else f" in {flat} shots"
        yield f"No scale above 0 fits{where}: what is nearer in A is farther in B, or A is the same everywhere."


def figure_rows(comparison: Comparison) -> list[tuple[str, str]]:
    """The film's figures, as ``differences`` defines them: a name, and the figure with its unit."""
    film, unit = comparison.film, comparison.unit
    metres = [("mean in metres", f"{film.mean_m:.4g} m")] if comparison.together.quantity == "depth" else []
    over = zip(LIMITS, film.over, strict=True)
    return [
        ("mean difference", f"{percent(film.mean)} of {unit}"),
        *metres,
        ("root mean square", percent(film.rms)),
        ("with a fit for each frame", f"{percent(film.own_rms)} root mean square"),
        ("bias", f"{percent(film.bias)}, signed"),
        *((f"off by more than {100 * limit:g} %", f"{percent(share)} of the pixels") for limit, share in over),
        ("largest", percent(film.largest)),
        ("scale of A against B", f"wanders by {percent(film.wander)} over the frames (standard deviation)"),
        ("correlation", plain(comparison.correlation, 6)),
        ("pixels", f"{film.pixels:,}; {percent(film.only_a)} only in A, {percent(film.only_b)} only in B"),
    ]


def side_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """What each result is and how steady: a name, and that of A and of B."""
    sides = comparison.together.a, comparison.together.b
    made = [_made_with(side) for side in sides]
    names = sorted({name for row in made for name in row}, key=list(_MADE_WITH).index)
    rows = [(name, *(str(row.get(name, "-")) for row in made)) for name in names]
    sizes = [f"{width} x {height}" for width, height in comparison.together.sizes]
    a, b = comparison.steadiness
    measured = [
        ("kind", *(side.kind.replace("_", " ") for side in sides)),
        ("frames", *(str(len(side.source)) for side in sides)),
        ("size", *sizes),
        ("largest seam", *(_seam(one) for one in (a, b))),
        ("median seam", plain(a.seam_median), plain(b.seam_median)),
        ("flicker", percent(a.flicker), percent(b.flicker)),
    ]
    return [(name, of_a, of_b) for name, of_a, of_b in (*rows, *measured)]


def _seam(one: Steadiness) -> str:
    return "-" if one.seam is None else f"{one.seam:.3g} ({one.seams} looked at)"


# What the settings of ``depth.json`` call it.
_MADE_WITH = {
    "model": "model",
    "input size": "input_size",
    "precision": "precision",
    "aligned": "align",
    "refined": "refine",
}


def _made_with(result: Result) -> dict[str, Any]:
    record = result.source.record
    if record is None:
        return {}
    known = {**record.settings, "model": record.model}
    return {name: known[key] for name, key in _MADE_WITH.items() if known.get(key)}
