"""``vda report``: one page to judge the result by."""

import json
from pathlib import Path

import click

from vda.cli.options import Command, json_option, scene_argument
from vda.cli.output import say


@click.command(cls=Command)
@scene_argument
@json_option
def report(scene: Path, as_json: bool) -> None:
    """Write report.html of the merged SCENE: frames and depth, seams, flicker, and how it was made.

    Example: vda report data/film
    """
    from vda.cli.progress import Progress
    from vda.evaluation.report import write_report
    from vda.scene.scene import Scene

    path = write_report(Scene(scene).require(), Progress())
    say(json.dumps({"report": str(path)}) if as_json else str(path))
