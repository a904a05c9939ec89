"""``vda stop``: end a run cleanly."""

from pathlib import Path

import click

from vda.cli.options import Command, scene_argument


@click.command(cls=Command)
@scene_argument
def stop(scene: Path) -> None:
    """Ask the run of SCENE to end; each worker finishes the window in hand.

    Example: vda stop data/film
    """
    from vda.runstate import RunFiles
    from vda.scene import Scene

    files = RunFiles(Scene(scene).require().run_dir)
    if not files.is_supervised():
        click.echo("Nobody computes this scene now.")
        return
    files.stop_path.touch()
    click.echo("Each worker ends after the window in hand. 'vda run' goes on from there.")
