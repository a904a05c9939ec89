"""``vda run``: compute the raw windows on the devices."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.detaching import detach_options, go_on_without_terminal
from vda.cli.options import (
    Command,
    dry_run_option,
    gathered_run,
    json_option,
    quiet_option,
    restart_option,
    run_options,
)
from vda.cli.output import say
from vda.cli.types import PATH
from vda.shown import quoted

if TYPE_CHECKING:
    from vda.supervisor.resolve import RunSettings


@click.command(cls=Command)
@click.argument("scenes", nargs=-1, required=True, type=PATH, metavar="SCENE...")
@run_options
@restart_option
@detach_options
@dry_run_option
@quiet_option
@json_option
@click.pass_context
@gathered_run
def run(
    ctx: click.Context,
    scenes: tuple[Path, ...],
    run: "RunSettings",
    detach: bool,
    if_idle: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compute the raw windows of each planned SCENE that are not there yet.

    Example: vda run data/film --devices 0,1,2,3,4
    """
    if dry_run:
        from vda.api.rehearsal import forecast_run
        from vda.cli.foretelling import foretell
        from vda.cli.progress import Progress
        from vda.scene.scene import Scene

        progress = Progress(quiet)
        outlook = forecast_run([Scene(root) for root in scenes], run, reporter=progress)
        progress.close()
        return foretell(outlook, as_json=as_json)
    if detach and run.on != "slurm":
        from vda.scene.scene import Scene

        for root in scenes:
            Scene(root).require()
        return go_on_without_terminal(ctx, scenes, if_idle=if_idle)
    from vda.api.engines import joined_status
    from vda.api.films import require_none
    from vda.api.pipeline import run as compute
    from vda.cli.progress import Progress
    from vda.errors import VdaError
    from vda.scene.scene import Scene

    progress = Progress(quiet)
    apart: dict[Scene, VdaError] | None = {} if len(scenes) > 1 else None
    compute([Scene(root) for root in scenes], run, progress, apart=apart, waits=not detach)
    progress.close()
    if as_json:
        say(json.dumps({"scenes": [joined_status(Scene(root)) for root in scenes if Scene(root).is_planned()]}))
    failed = {scene.root: error for scene, error in (apart or {}).items()}
    require_none(failed, len(scenes) - len(failed), "scenes")
    if detach:
        return None
    more = f", and so for each of the {len(scenes)} scenes" if len(scenes) > 1 else ""
    progress.say(f"Next: vda merge {quoted(scenes[0])}{more}")
