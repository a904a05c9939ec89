"""``vda doctor``: what this machine can do, what is missing, and the command that mends it."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from vda.cli.options import Command, json_option
from vda.cli.output import say
from vda.cli.types import PATH

_MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


@click.command(cls=Command)
@click.argument("folder", type=PATH, default=Path("data"))
@click.option(
    "--measure", is_flag=True, help="Run models on each device and say how many frames per second it does."
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, folder: Path, measure: bool, as_json: bool) -> None:
    """Look at everything a run needs, with scenes in FOLDER [default: data]: devices, disk, locks, weights.

    It ends with 1 where 'vda depth' would not run. Nothing is fetched, and nothing is changed.

    Example: vda doctor
    """
    from vda.outlook.doctor import examine

    findings = list(examine(folder, measured=measure))
    if as_json:
        say(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    for finding in findings if not as_json else ():
        say(f"{_MARKS[finding.state]}  {finding.name}: {finding.found}")
        if finding.remedy is not None:
            say(f"       {finding.remedy}")
    if any(finding.state == "wrong" for finding in findings):
        ctx.exit(1)
