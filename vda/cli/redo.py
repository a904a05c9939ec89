"""``vda redo``: compute one chunk again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.options import Command, gathered_run, quiet_option, run_options, scene_argument
from vda.cli.output import say
from vda.shown import quoted

if TYPE_CHECKING:
    from vda.supervisor.resolve import RunSettings


@click.command(cls=Command)
@scene_argument
@click.option("--chunk", type=click.IntRange(min=0), required=True, help="The chunk's number in 'vda status'.")
@run_options
@quiet_option
@gathered_run
def redo(scene: Path, chunk: int, run: "RunSettings", quiet: bool) -> None:
    """Throw away the raw windows of one chunk of SCENE and compute them again, with what the scene was begun with.

    Example: vda redo data/film --chunk 3
    """
    from vda.api.pipeline import redo as compute_again
    from vda.cli.progress import Progress
    from vda.scene.scene import Scene

    progress = Progress(quiet)
    compute_again(Scene(scene), chunk, run, progress)
    progress.close()
    say(f"Chunk {chunk} is computed again. 'vda merge {quoted(scene)} --overwrite' makes the depth of it.")
