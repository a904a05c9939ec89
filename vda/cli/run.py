"""``vda run``: compute the raw windows on the devices."""

from pathlib import Path
from typing import Any

import click

from vda.cli.detaching import detach_options, go_on_without_terminal
from vda.cli.options import Command, quiet_option, restart_option, run_options, run_settings


@click.command(cls=Command)
@click.argument("scenes", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SCENE...")
@run_options
@restart_option
@detach_options
@quiet_option
@click.pass_context
def run(
    ctx: click.Context, scenes: tuple[Path, ...], detach: bool, if_idle: bool, quiet: bool, **settings: Any
) -> None:
    """Compute the raw windows of each planned SCENE that are not there yet.

    Example: vda run data/film --devices 0,1,2,3,4
    """
    if detach:
        from vda.scene.scene import Scene

        for root in scenes:
            Scene(root).require()
        return go_on_without_terminal(ctx, scenes, if_idle=if_idle)
    from vda.cli.progress import Progress
    from vda.pipeline import run as compute
    from vda.scene.scene import Scene

    progress = Progress(quiet)
    compute([Scene(root) for root in scenes], run_settings(**settings), progress)
    progress.close()
