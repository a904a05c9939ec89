"""``vda report``: a page to judge each result by, and figures that hundreds can be sifted by."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vda.cli.options import Command, json_option, overwrite_option, quiet_option
from vda.cli.output import say
from vda.cli.types import PATH
from vda.errors import VdaError

if TYPE_CHECKING:
    from vda.cli.gate import Condition
    from vda.evaluation.index import SceneRow
    from vda.reporter import Reporter
    from vda.viewing.reports import SceneReport


@click.command(cls=Command)
@click.argument("scenes", type=PATH, nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 1 if it holds of a scene, such as 'seam>1.5' or 'invalid>2%'; may be given several times. "
    "Figures: seam, seam_median, flicker, flicker_worst, drift, untied, invalid, codes, codes_share.",
)
@click.option(
    "--index", type=PATH, help="Write a page that lists all scenes, worst first, with links to their reports."
)
@click.option("--paths", is_flag=True, help="Name the folders of this machine in the pages.")
@overwrite_option
@quiet_option
@json_option
@click.pass_context
def report(
    ctx: click.Context,
    scenes: tuple[Path, ...],
    conditions: tuple[str, ...],
    index: Path | None,
    paths: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write report.html of each merged SCENE: a verdict, frames and depth, seams, flicker, and how it was made.

    A folder of scenes stands for those in it. Figures are printed too: with --json as one object, of several
    scenes as {"scenes": [...]}. A report stays as long as nothing changes that it shows; --overwrite is for the
    page of --index.

    Example: vda report data/film --fail-if 'seam>1.5' --fail-if 'drift>10%'
    """
    from vda.cli.gate import Condition
    from vda.cli.progress import Progress
    from vda.files import refuse_to_overwrite

    parsed = [Condition.parse(text) for text in conditions]
    refuse_to_overwrite(index, overwrite=overwrite)
    roots = [root for given in scenes for root in _scenes_in(given)]
    progress = Progress(quiet)
    alone = len(roots) == 1 and index is None
    told = [_report(root, parsed, progress, alone=alone, with_paths=paths) for root in roots]
    progress.close()
    if index is not None:
        from vda.evaluation.index import write_index

        write_index(index, [one.row() for one in told])
    _say([one.figures for one in told], index, as_json)
    if any(one.figures["failed"] for one in told):
        ctx.exit(1)


def _scenes_in(given: Path) -> Sequence[Path]:
    """The scenes of a folder that is none itself and has some; else what was given."""
    from vda.scene.scene import Scene

    if Scene(given).is_planned() or not given.is_dir():
        return [given]
    return sorted(path for path in given.iterdir() if path.is_dir() and Scene(path).is_planned()) or [given]


@dataclass(frozen=True)
class _Told:
    """What came of a scene: ``figures`` as they are printed, and its report, if it has one."""

    root: Path
    figures: dict[str, Any]
    report: "SceneReport | None" = None

    def row(self) -> "SceneRow":
        """The scene as the index has it; reads its depth, for a picture."""
        from vda.evaluation.index import entry_of, entry_without
        from vda.evaluation.verdict import Level
        from vda.scene.scene import Scene

        found = self.report
        if found is None:
            return entry_without(self.root)
        failed = self.figures["failed"]
        return entry_of(Scene(self.root), found.verdict, Level[found.level], found.figures, failed)


def _report(
    root: Path, conditions: "list[Condition]", reporter: "Reporter", *, alone: bool, with_paths: bool
) -> _Told:
    """Report on a scene. One that cannot be reported on fails, and costs no other its report."""
    from vda.cli.gate import met
    from vda.scene.scene import Scene
    from vda.viewing.reports import report_scene

    try:
        scene = Scene(root).require()
        report = report_scene(scene, reporter, all_seams=True, with_paths=with_paths)
    except VdaError as error:
        if alone:
            raise
        return _Told(root, {"scene": str(root), "report": None, "verdict": None, "failed": [str(error)]})
    told = {"scene": str(root), "report": str(scene.report_path), "verdict": report.verdict, **report.figures}
    return _Told(root, {**told, "failed": list(met(conditions, report.figures))}, report)


def _say(told: Sequence[dict[str, Any]], index: Path | None, as_json: bool) -> None:
    if as_json:
        several = {"scenes": told} | ({"index": str(index)} if index else {})
        say(json.dumps(told[0] if len(told) == 1 and not index else several))
        return
    for one in told:
        say(*_lines(one))
    if index is not None:
        say(f"Index: {index}")


def _lines(told: dict[str, Any]) -> Iterator[str]:
    from vda.evaluation.quality import FIGURES, in_digits

    yield told["report"] or told["scene"]
    if told["verdict"]:
        yield f"  {told['verdict']}."
    for name in FIGURES:
        if name in told:
            yield f"  {name:<14}{in_digits(told[name])}"
    yield from (f"  {name} was not measured: {why}." for name, why in told.get("not_measured", {}).items())
    yield from (f"  failed: {sentence}" for sentence in told["failed"])
