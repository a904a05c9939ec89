"""``vda clean``: remove what the result no longer needs."""

from pathlib import Path

import click

from vda.cli.options import Command, scene_argument
from vda.cli.output import say


@click.command(cls=Command)
@scene_argument
def clean(scene: Path) -> None:
    """Remove the raw windows and the run's state of a merged SCENE.

    Example: vda clean data/film
    """
    from vda.merging.stage import remove_intermediates
    from vda.scene.scene import Scene

    freed = remove_intermediates(Scene(scene).require())
    say(f"{freed / 1e6:.1f} MB freed; the depth in {Scene(scene).merged_dir} stays.")
