"""``vda eval``: depth against ground truth."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.comparing import compare_pair, refuse_what_is_about_truth
from vda.cli.options import Command, by_order_option, json_option, overwrite_option, quiet_option
from vda.cli.output import say
from vda.cli.types import PATH
from vda.errors import UsageError

if TYPE_CHECKING:
    from vda.evaluation.stage import Evaluation
    from vda.metrics import Figures

_HEADER = f"{'':<10}{'AbsRel':>9}{'RMSE m':>9}{'delta1':>9}{'delta2':>9}{'delta3':>9}{'log10':>9}{'TAE':>9}"


@click.command("eval", cls=Command)
@click.argument("depth", type=PATH)
@click.argument("truth", type=PATH)
@click.option("--truth-scale", type=float, help="Numbers of TRUTH per metre: 1000 for millimetres.")
@click.option("--depth-scale", type=float, help="Numbers of DEPTH per metre, where it has no depth.json.")
@click.option(
    "--cap",
    "cap_m",
    type=float,
    default=80.0,
    show_default=True,
    help="Farthest truth that counts, in metres; 10 is usual indoors.",
)
@click.option(
    "--border", type=click.IntRange(min=0), default=0, show_default=True, help="Pixels left out at each edge."
)
@click.option("--cameras", type=PATH, help="transforms.json or a folder with poses, for the temporal error.")
@by_order_option
@click.option("--figure", type=PATH, help="Write a picture: frame, depth, truth, error.")
@click.option("--pairs", is_flag=True, help="DEPTH against another result in TRUTH's place, and no truth.")
@click.option("--page", type=PATH, help="With --pairs: write a page of HTML with plots and difference maps.")
@overwrite_option
@quiet_option
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    depth: Path,
    truth: Path,
    truth_scale: float | None,
    depth_scale: float | None,
    cap_m: float,
    border: int,
    cameras: Path | None,
    by_order: bool,
    figure: Path | None,
    pairs: bool,
    page: Path | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure DEPTH (a scene, a depth folder or a stack) against TRUTH (16-bit PNGs, NPY, NPZ or EXR).

    Relative depth gets one scale and one shift for the whole video; metric depth is taken as it is. The same
    figures of a vertical ramp and of a constant stand beside it. With --pairs TRUTH is another result of the film,
    and what the two differ by is measured in its place.

    Example: vda eval data/film truth/ --truth-scale 1000 --cap 10
    """
    if pairs:
        refuse_what_is_about_truth(ctx)
        compare_pair(
            depth,
            truth,
            a_scale=depth_scale,
            b_scale=truth_scale,
            border=border,
            by_order=by_order,
            figure=figure,
            page=page,
            overwrite=overwrite,
            quiet=quiet,
            as_json=as_json,
        )
        return
    if page is not None:
        raise UsageError("--page is for two results of one film.", "Give --pairs with it, or leave it out.")
    from vda.cli.progress import Progress
    from vda.evaluation.stage import evaluate as run

    progress = Progress(quiet)
    result = run(
        depth,
        truth,
        truth_scale=truth_scale,
        depth_scale=depth_scale,
        cap_m=cap_m,
        border=border,
        cameras=cameras,
        by_order=by_order,
        figure=figure,
        overwrite=overwrite,
        reporter=progress,
    )
    progress.close()
    say(json.dumps(result.to_json()) if as_json else _table(result))


def _table(result: "Evaluation") -> str:
    rows = [_HEADER, _row("depth", result.depth)]
    rows += [_row(name, figures) for name, figures in result.baselines.items()]
    return "\n".join([*rows, _basis(result)])


def _basis(result: "Evaluation") -> str:
    """What the figures were taken over, and how the depth was aligned."""
    measured = result.depth
    aligned = "metric, not aligned"
    if result.kind == "inverse_depth":
        aligned = f"scale {measured.scale:.6g} and shift {measured.shift:.6g} for the video"
    basis = (
        f"{measured.frames} frames of {result.width} x {result.height}, matched by {result.matched_by}; "
        f"{measured.pixels:,} pixels, {measured.coverage:.1%} of those with truth; {aligned}; "
        f"cap {result.cap_m:g} m, border {result.border}."
    )
    if result.unmatched_depth or result.unmatched_truth:
        basis += (
            f"\nWithout a partner, and left out: {result.unmatched_depth} frames of depth and "
            f"{result.unmatched_truth} of truth."
        )
    if result.shots > 1 and result.kind == "inverse_depth":
        basis += (
            f"\nThe depth has {result.shots} shots, each with a scale of its own, and one stands for all; "
            "to measure a shot alone, compute it with --frames A:B."
        )
    if measured.scale < 0:
        basis += "\nThe scale is negative: what the depth calls near is far, on the whole."
    return basis


def _row(name: str, figures: "Figures") -> str:
    numbers = (figures.abs_rel, figures.rmse, figures.delta1, figures.delta2, figures.delta3, figures.log10)
    tae = f"{'-':>9}" if figures.tae is None else f"{figures.tae:9.3f}"
    return f"{name:<10}" + "".join(f"{number:9.4f}" for number in numbers) + tae
