"""``vda merge``: align, blend, write depth."""

import json
from pathlib import Path

import click

from vda.cli.options import Command, json_option, merge_options, quiet_option, scene_argument


@click.command(cls=Command)
@scene_argument
@merge_options
@click.option("--create-video/--no-video", default=False, show_default=True, help="depth_visualization.mp4.")
@quiet_option
@json_option
def merge(
    scene: Path,
    formats: tuple[str, ...],
    overwrite: bool,
    colormap: str,
    create_video: bool,
    discard_windows: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Join the raw windows of SCENE into one depth image a frame.

    Example: vda merge data/film --format png16 --format npz
    """
    from vda.cli.progress import Progress
    from vda.merge import MergeSettings
    from vda.pipeline import merge_scene
    from vda.scene import Scene

    progress = Progress(quiet)
    settings = MergeSettings(formats, overwrite, create_video, colormap)
    result = merge_scene(Scene(scene), settings, discard_windows=discard_windows, reporter=progress)
    progress.close()
    click.echo(json.dumps(result.to_json()) if as_json else f"{result.frames} frames of depth in {result.folder}")
