"""``vda split``: plan the chunks."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.options import (
    Command,
    json_option,
    planning,
    quiet_option,
    restart_option,
    scene_for,
    split_options,
)


@click.command(cls=Command)
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--scene", "root", type=click.Path(path_type=Path), help="Scene directory [default: data/<stem>].")
@split_options
@click.option("--devices", default="auto", show_default=True, help="As in 'vda run'; only for how many chunks.")
@restart_option
@quiet_option
@json_option
def split(
    video: Path,
    root: Path | None,
    devices: str,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Count the frames of VIDEO exactly and plan its chunks.

    Example: vda split film.mp4 --scene data/film --chunks 5
    """
    from vda.cli.progress import Progress
    from vda.pipeline import find_devices, plan_scene

    progress = Progress(quiet or as_json)
    scene = plan_scene(
        video,
        scene_for(video, root),
        **planning(**settings),
        restart=settings["restart"],
        devices=find_devices(devices, progress).devices,
        reporter=progress,
    )
    progress.close()
    plan = scene.plan()
    if as_json:
        facts = {"scene": str(scene.root), "total_frames": plan.total_frames, "chunks": len(plan.chunks)}
        click.echo(json.dumps(facts))
    else:
        click.echo(f"{plan.total_frames} frames in {len(plan.chunks)} chunks: {scene.plan_path}")
