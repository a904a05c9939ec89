"""``vda stop``: end a run cleanly."""

import time
from pathlib import Path

import click

from vda.cli.options import Command, scene_argument
from vda.cli.output import say


@click.command(cls=Command)
@scene_argument
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when it has ended.")
def stop(scene: Path, wait: bool) -> None:
    """End the run of SCENE; each worker finishes the window in hand.

    Example: vda stop data/film
    """
    from vda.scene.runstate import RunFiles
    from vda.scene.scene import Scene

    files = RunFiles(Scene(scene).require().run_dir)

    def goes_on() -> bool:
        return files.is_supervised() or bool(files.live_claims())

    if not goes_on():
        say("Nobody computes this scene now.")
        return
    files.stop_path.touch()
    say("Each worker ends after the window in hand. 'vda run' goes on from there.")
    while wait and goes_on():
        time.sleep(0.1)
