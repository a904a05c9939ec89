"""``vda report``: a page to judge each result by, and figures that hundreds can be sifted by."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vda.cli.options import Command, json_option, quiet_option
from vda.cli.output import say
from vda.cli.types import PATH
from vda.errors import VdaError

if TYPE_CHECKING:
    from vda.evaluation.gate import Condition
    from vda.reporter import Reporter


@click.command(cls=Command)
@click.argument("scenes", type=PATH, nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 1 if it holds of a scene, such as 'seam>1.5' or 'invalid>2%'; may be given several times. "
    "Figures: seam, seam_median, flicker, drift, untied, invalid, codes, codes_share.",
)
@quiet_option
@json_option
@click.pass_context
def report(
    ctx: click.Context, scenes: tuple[Path, ...], conditions: tuple[str, ...], quiet: bool, as_json: bool
) -> None:
    """Write report.html of each merged SCENE: frames and depth, seams, flicker, and how it was made.

    Its figures are printed too: with --json as one object, of several scenes as {"scenes": [...]}.

    Example: vda report data/film --fail-if 'seam>1.5' --fail-if 'drift>10%'
    """
    from vda.cli.progress import Progress
    from vda.evaluation.gate import Condition

    parsed = [Condition.parse(text) for text in conditions]
    progress = Progress(quiet)
    told = [_report(scene, parsed, progress, alone=len(scenes) == 1) for scene in scenes]
    progress.close()
    if as_json:
        say(json.dumps(told[0] if len(told) == 1 else {"scenes": told}))
    else:
        for one in told:
            say(*_lines(one))
    if any(one["failed"] for one in told):
        ctx.exit(1)


def _report(root: Path, conditions: "list[Condition]", reporter: "Reporter", *, alone: bool) -> dict[str, Any]:
    """What came of a scene. One that cannot be reported on fails, and costs no other its report."""
    from vda.evaluation.gate import met
    from vda.evaluation.quality import measure_quality
    from vda.evaluation.report import write_report
    from vda.scene.scene import Scene

    try:
        scene = Scene(root).require()
        quality = measure_quality(scene, reporter=reporter)
        path = write_report(scene, reporter, quality)
    except VdaError as error:
        if alone:
            raise
        return {"scene": str(root), "report": None, "failed": [str(error)]}
    failed = list(met(conditions, quality))
    return {"scene": str(root), "report": str(path), **quality.to_json(), "failed": failed}


def _lines(told: dict[str, Any]) -> Iterator[str]:
    from vda.evaluation.quality import FIGURES, in_digits

    yield told["report"] or told["scene"]
    for name in FIGURES:
        if name in told:
            yield f"  {name:<14}{in_digits(told[name])}"
    yield from (f"  {name} was not measured: {why}." for name, why in told.get("not_measured", {}).items())
    yield from (f"  failed: {sentence}" for sentence in told["failed"])
