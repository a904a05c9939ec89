"""``vda view``: look at a scene."""

import threading
from contextlib import suppress
from typing import Any

import click

from vda.cli.options import Command, by_order_option, overwrite_option, quiet_option, scene_argument, together
from vda.cli.output import say
from vda.cli.trackoptions import camera_options, pose_options, track_file_options
from vda.cli.types import PATH
from vda.shown import counted

view_options = together(
    click.option(
        "--tracks", type=PATH, help="A track file of any format [default: SCENE/tracks_3d.json, if there]."
    ),
    track_file_options,
    click.option("--colormap", default="inferno", show_default=True, help="A colour map of Matplotlib's."),
    click.option("--export", type=PATH, metavar="FILE.html", help="Keep the page in one file, to be sent."),
    click.option(
        "--export-frames", type=click.IntRange(2, 200), help="How many frames are kept, evenly [default: 48]."
    ),
    overwrite_option,
    click.option("--host", default="127.0.0.1", show_default=True, help="Where the page is served."),
    click.option("--port", type=click.IntRange(0, 65535), default=0, help="Its port [default: one that is free]."),
    click.option("--no-browser", is_flag=True, help="Open no browser."),
    pose_options,
    by_order_option,
    camera_options,
)


@click.command(cls=Command)
@scene_argument
@view_options
@quiet_option
def view(quiet: bool, no_browser: bool, **options: Any) -> None:
    """Look at SCENE: frame and depth, values, tracks, and the cloud to turn around.

    The page is served to this machine alone, under an address that nobody can guess, until Ctrl-C.

    Example: vda view data/film
    """
    from vda.api.looking import open_browser, view_settings
    from vda.cli.progress import Progress
    from vda.viewing.settings import exposure
    from vda.viewing.stage import keep_view, open_view

    settings = view_settings(**options)
    progress = Progress(quiet)
    if settings.export is not None:
        kept = keep_view(settings, reporter=progress)
        progress.close()
        say(f"{kept.frames} of {counted(kept.of, 'frame')} in {kept.path}")
        return
    with open_view(settings, reporter=progress) as door:
        progress.close()
        if (warning := exposure(settings.host)) is not None:
            say(f"Warning: {warning}", err=True)
        say(door.url)
        if not no_browser:
            open_browser(door)
        _until_interrupted()


def _until_interrupted() -> None:
    # Ctrl-C is how a look ends, and no failure.
    with suppress(KeyboardInterrupt):
        say("The page is there until Ctrl-C.", err=True)
        threading.Event().wait()
