"""``vda depth``: everything from video to depth."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.detaching import detach_options, go_on_without_terminal
from vda.cli.options import (
    Command,
    json_option,
    merge_options,
    merge_settings,
    one_root,
    planning,
    quiet_option,
    restart_option,
    run_options,
    run_settings,
    split_options,
)


@click.command(cls=Command)
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="VIDEO...")
@click.option("--scene", "root", type=click.Path(path_type=Path), help="Scene directory [default: data/<stem>].")
@split_options
@run_options
@merge_options
@click.option("--create-video/--no-video", default=True, show_default=True, help="depth_visualization.mp4.")
@restart_option
@detach_options
@quiet_option
@json_option
@click.pass_context
def depth(
    ctx: click.Context,
    videos: tuple[Path, ...],
    root: Path | None,
    discard_windows: bool,
    detach: bool,
    if_idle: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Turn each VIDEO into 16-bit depth, one image a frame. Interrupted, the same command goes on.

    Example: vda depth film.mp4 --devices 0,1
    """
    if detach:
        from vda.video import probe

        for video in videos:
            probe(video)
        return go_on_without_terminal(ctx, one_root(videos, root), if_idle=if_idle)
    from vda.cli.progress import Progress
    from vda.pipeline import depth as run_all

    progress = Progress(quiet)
    results = run_all(
        list(videos),
        one_root(videos, root),
        run_settings(**settings),
        merge_settings(**settings, keep_finished=True),
        **planning(**settings),
        discard_windows=discard_windows,
        reporter=progress,
    )
    progress.close()
    if as_json:
        click.echo(json.dumps({"scenes": [result.to_json() for result in results]}))
    else:
        for result in results:
            click.echo(f"{result.frames} frames of depth in {result.folder}")
