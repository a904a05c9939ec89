"""``vda relink``: where a scene's video is now."""

from pathlib import Path

import click

from vda.cli.options import Command, scene_argument
from vda.cli.output import say
from vda.cli.types import PATH


@click.command(cls=Command)
@scene_argument
@click.argument("video", type=PATH)
def relink(scene: Path, video: Path) -> None:
    """Tell SCENE that its video is at VIDEO now; another video is refused.

    Example: vda relink data/film /media/films/film.mp4
    """
    from vda.scene.scene import Scene

    say(f"{scene} takes its pictures from {Scene(scene).require().relink(video)}.")
