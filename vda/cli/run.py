"""``vda run``: compute the raw windows on the devices."""

from pathlib import Path
from typing import Any

import click

from vda.cli.options import Command, quiet_option, restart_option, run_options, run_settings


@click.command(cls=Command)
@click.argument("scenes", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SCENE...")
@run_options
@restart_option
@quiet_option
def run(scenes: tuple[Path, ...], quiet: bool, **settings: Any) -> None:
    """Compute the raw windows of each planned SCENE that are not there yet.

    Example: vda run data/film --devices 0,1,2,3,4
    """
    from vda.cli.progress import Progress
    from vda.pipeline import run as compute
    from vda.scene import Scene

    progress = Progress(quiet)
    compute([Scene(root) for root in scenes], run_settings(**settings), progress)
    progress.close()
