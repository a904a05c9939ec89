"""``vda depth``: everything from video to depth."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.detaching import detach_options, go_on_without_terminal
from vda.cli.options import (
    Command,
    dry_run_option,
    gathered_merge,
    gathered_plan,
    gathered_run,
    json_option,
    merge_options,
    quiet_option,
    restart_option,
    run_options,
    scene_option,
    split_options,
    video_option,
)
from vda.cli.output import say
from vda.cli.types import PATH
from vda.shown import counted, quoted

if TYPE_CHECKING:
    from vda.merging.settings import MergeSettings
    from vda.splitting.settings import PlanSettings
    from vda.supervisor.resolve import RunSettings


@click.command(cls=Command)
@click.argument("videos", nargs=-1, required=True, type=PATH, metavar="VIDEO...")
@scene_option
@split_options
@run_options
@merge_options
@video_option(True)
@restart_option
@detach_options
@dry_run_option
@quiet_option
@json_option
@click.pass_context
@gathered_plan
@gathered_run
@gathered_merge
def depth(
    ctx: click.Context,
    videos: tuple[Path, ...],
    root: Path | None,
    plan: "PlanSettings",
    run: "RunSettings",
    merge: "MergeSettings",
    discard_windows: bool,
    detach: bool,
    if_idle: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Turn each VIDEO into 16-bit depth, one image per frame. Interrupted, the same command goes on.

    VIDEO is a film, or images: a folder, a pattern ('shot.%04d.exr', 'frames/*.png') or a text file with one path
    a line. A folder of films, a glob in quotes or a list stands for all films in it.

    Example: vda depth film.mp4 --devices 0,1
    """
    from vda.splitting.inputs import find_videos
    from vda.splitting.stage import scene_roots

    videos = tuple(find_videos(videos))
    if dry_run:
        from vda.api.rehearsal import forecast_depth
        from vda.cli.foretelling import foretell
        from vda.cli.progress import Progress

        progress, roots = Progress(quiet), scene_roots(videos, root)
        outlook = forecast_depth(
            list(videos), roots, run, merge, plan, discard_windows=discard_windows, reporter=progress
        )
        progress.close()
        return foretell(outlook, as_json=as_json)
    if detach and run.on == "slurm":
        from vda.api.todepth import submit_depth
        from vda.cli.progress import Progress
        from vda.errors import UsageError

        if discard_windows:
            raise UsageError(
                "Jobs that nobody waits for remove no windows.",
                "Leave --discard-windows out, and give 'vda clean' once it is merged; or leave --detach out.",
            )
        progress = Progress(quiet)
        submit_depth(list(videos), scene_roots(videos, root), run, merge, plan, reporter=progress)
        return progress.close()
    if detach:
        from vda.video import probe

        for video in videos:
            probe(video)
        return go_on_without_terminal(ctx, scene_roots(videos, root), if_idle=if_idle)
    from vda.api.todepth import depth as compute
    from vda.cli.progress import Progress

    progress = Progress(quiet)
    outcome = compute(
        list(videos),
        scene_roots(videos, root),
        run,
        merge,
        plan,
        discard_windows=discard_windows,
        reporter=progress,
    )
    progress.close()
    if as_json:
        failed = {"failed": [failure.to_json() for failure in outcome.failures]} if outcome.failures else {}
        say(json.dumps({"scenes": [result.to_json() for result in outcome.results], **failed}))
    else:
        for result in outcome.results:
            say(f"{counted(result.frames, 'frame')} of depth in {result.folder}")
        if len(outcome.results) == 1:
            progress.say(f"Look at it: vda view {quoted(outcome.results[0].folder.parent)}")
    outcome.require_all()
