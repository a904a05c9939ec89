"""``vda split``: plan the chunks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.options import (
    Command,
    gathered_plan,
    json_option,
    quiet_option,
    restart_option,
    scene_option,
    split_options,
)
from vda.cli.output import say
from vda.cli.types import PATH
from vda.shown import counted, quoted

if TYPE_CHECKING:
    from vda.scene.scene import Scene
    from vda.splitting.settings import PlanSettings


@click.command(cls=Command)
@click.argument("video", type=PATH)
@scene_option
@split_options
@click.option("--devices", default="auto", show_default=True, help="As in 'vda run'; only for how many chunks.")
@restart_option
@quiet_option
@json_option
@gathered_plan
def split(
    video: Path, root: Path | None, plan: "PlanSettings", devices: str, restart: bool, quiet: bool, as_json: bool
) -> None:
    """Count the frames of VIDEO exactly and plan its chunks.

    Example: vda split film.mp4 --scene data/film --chunks 5
    """
    from vda.api.pipeline import find_devices, plan_scene
    from vda.cli.progress import Progress
    from vda.splitting.stage import scene_root

    progress = Progress(quiet or as_json)
    scene = plan_scene(
        video,
        scene_root(video, root),
        plan,
        restart=restart,
        devices=find_devices(devices, progress).devices,
        reporter=progress,
    )
    progress.close()
    made = scene.plan()
    if as_json:
        facts = {
            "scene": str(scene.root),
            "total_frames": made.total_frames,
            "frames": len(made.frames),
            "chunks": len(made.chunks),
        }
        say(json.dumps(facts))
    else:
        say(f"{made.count_words()} in {counted(len(made.chunks), 'chunk')}: {scene.plan_path}")
    for sentence in _next_steps(scene, with_clips=plan.extract):
        progress.say(sentence)


def _next_steps(scene: "Scene", *, with_clips: bool) -> Iterator[str]:
    """The next commands; of clips also those on the machine that gets one, and where its depth comes to lie."""
    here = quoted(scene.root)
    if not with_clips:
        yield f"Next: vda run {here}"
        return
    yield f"Clips for other machines, one per chunk: {scene.clips_dir}"
    yield "There, for each of them: vda depth chunk_00.mp4 --scene chunk_00 --format npz --no-video"
    yield f"Here, its chunk_00/vda_merged_depth/depths.npz becomes {scene.depths_dir / 'chunk_00_depths.npz'}"
    yield f"Or all of it here: vda run {here}"
    yield f"Next, once all depth is there: vda merge {here}"
