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
    """End the run of SCENE; each worker finishes the window in hand. Jobs of SLURM are cancelled.

    Example: vda stop data/film
    """
    from vda.api.engines import has_live_jobs, stop_jobs
    from vda.scene.runstate import RunFiles
    from vda.scene.scene import Scene

    made = Scene(scene).require()
    files = RunFiles(made.run_dir)
    jobs = stop_jobs(made)
    if jobs:
        say(f"Cancelled: job {', '.join(jobs)} of SLURM.")

    def goes_on() -> bool:
        return files.is_supervised() or bool(files.live_claims())

    if not goes_on() and not jobs:
        say("Nobody computes this scene now.")
        return
    files.stop_path.touch()
    say("Each worker ends after the window in hand. 'vda run' goes on from there.")
    while wait and goes_on():
        time.sleep(0.1)
    while wait and jobs and has_live_jobs(made):
        time.sleep(1.0)
