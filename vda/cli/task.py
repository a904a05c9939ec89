"""``vda task``: compute one chunk, as an engine's task does."""

from pathlib import Path
from typing import Literal

import click

from vda.cli.options import (
    Command,
    batch_size_option,
    decoder_option,
    quiet_option,
    retries_option,
    scene_argument,
)


@click.command(cls=Command)
@scene_argument
@click.option("--chunk", type=click.IntRange(min=0), help="The chunk's number in 'vda status'.")
@click.option("--prove", is_flag=True, help="Try half precision on this kind of device instead, before a run.")
@click.option("--devices", default="auto", show_default=True, help="The one to compute on: auto, cpu, 0, cuda:0.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads [default: what the job may use].")
@batch_size_option
@retries_option
@click.option(
    "--stage-video",
    metavar="DIR",
    help="Read the video from a copy in this folder of the machine's own disk, or its temporary one: auto.",
)
@decoder_option
@quiet_option
@click.pass_context
def task(
    ctx: click.Context,
    scene: Path,
    chunk: int | None,
    prove: bool,
    devices: str,
    threads: int | None,
    batch_size: int,
    retries: int,
    stage_video: str | None,
    decoder: Literal["cpu", "gpu"],
    quiet: bool,
) -> None:
    """Compute what is missing of one chunk of a planned SCENE on one device: what 'vda run --on' has engines do.

    It can be run on any machine that sees the scene, and again. A signal (TERM, USR1, USR2, INT) ends it after the
    window in hand. Exit codes: 0 the chunk is whole, 75 it is to be started again, 1 it failed, 2 bad input.

    Example: vda task data/film --chunk 3
    """
    from vda.cli.progress import Progress
    from vda.cluster.task import EXIT_STOPPED, TaskSettings, run_proof, run_task
    from vda.errors import UsageError
    from vda.scene.scene import Scene

    progress = Progress(quiet)
    settings = TaskSettings(devices, threads, batch_size, retries, stage_video, decoder)
    if (chunk is None) != prove:
        raise UsageError("A task computes a chunk or proves a precision.", "Give either --chunk or --prove.")
    if chunk is None:
        run_proof(Scene(scene), settings, progress)
        return progress.close()
    outcome = run_task(Scene(scene), chunk, settings, progress)
    progress.close()
    if outcome == "stopped":
        ctx.exit(EXIT_STOPPED)
