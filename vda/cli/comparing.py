"""What ``vda eval --pairs`` does: two results against each other, told as a table, and perhaps drawn.

In: the options of ``vda eval``. Out: what is printed. Options that are about truth have no meaning here.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vda.cli.output import say
from vda.errors import UsageError

if TYPE_CHECKING:
    from vda.comparing.stage import Comparison

_OF_PAIRS = {
    "pairs", "page", "depth", "truth", "truth_scale", "depth_scale", "border", "by_order", "figure", "overwrite",
    "quiet", "as_json",
}  # fmt: skip


def refuse_what_is_about_truth(ctx: click.Context) -> None:
    """Raise ``UsageError`` for an option that two results have no use for."""
    given = [
        parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name not in _OF_PAIRS
        and ctx.get_parameter_source(str(parameter.name)) == ParameterSource.COMMANDLINE
        and parameter.expose_value
    ]
    if given:
        raise UsageError(
            f"{', '.join(given)} is about truth, and with --pairs there is none.",
            "Leave it out, or leave out --pairs to measure against truth.",
        )


def of_pairs(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options of ``vda eval`` that ``compare_pair`` takes, by its names."""
    names = {"depth_scale": "a_scale", "truth_scale": "b_scale"}
    return {names.get(name, name): value for name, value in options.items() if name in _OF_PAIRS}


def compare_pair(
    a: Path,
    b: Path,
    *,
    a_scale: float | None,
    b_scale: float | None,
    border: int,
    by_order: bool,
    figure: Path | None,
    page: Path | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from vda.cli.progress import Progress
    from vda.comparing.page import write_page
    from vda.comparing.pictures import draw_sheet, show_worst
    from vda.comparing.stage import compare
    from vda.evaluation.figures import require_png
    from vda.files import refuse_to_overwrite

    require_png(figure)
    for path in (figure, page):
        refuse_to_overwrite(path, overwrite=overwrite)
    progress = Progress(quiet)
    comparison = compare(
        a, b, a_scale=a_scale, b_scale=b_scale, border=border, by_order=by_order, reporter=progress
    )
    progress.close()
    shown = show_worst(comparison) if figure or page else None
    if figure is not None and shown is not None:
        draw_sheet(figure, shown)
    if page is not None:
        write_page(page, comparison, shown)
    say(*([json.dumps(comparison.to_json())] if as_json else _told(comparison)))


def _told(comparison: "Comparison") -> list[str]:
    from vda.comparing.words import basis, figure_rows, side_rows

    lines = [f"{name:<28}{value}" for name, value in figure_rows(comparison)]
    lines += ["", f"{'':<28}{'A':<24}B"]
    lines += [f"{name:<28}{of_a:<24}{of_b}" for name, of_a, of_b in side_rows(comparison)]
    frames = ", ".join(str(frame.frame) for frame in comparison.worst)
    return [*lines, "", *basis(comparison), f"The frames farthest apart: {frames}."]
