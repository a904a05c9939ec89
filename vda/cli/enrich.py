"""``vda enrich``: 3D positions on somebody's tracks."""

import json
from typing import Any

import click

from vda.cli.options import Command, by_order_option, json_option, overwrite_option, quiet_option, together
from vda.cli.output import say
from vda.cli.trackoptions import allow_relative_option, camera_options, pose_options, track_file_options
from vda.cli.types import PATH

depth_folder_option = click.option("--depth-dir", type=PATH, help="Depth in place of the scene's own.")
track_options = together(
    click.option(
        "--depth-scale", type=float, help="Codes per metre of images without a record: 1000 for millimetres."
    ),
    by_order_option,
    track_file_options,
)
calibration_options = together(
    click.option("--scale", type=float, help="1/metres = scale * inverse depth + shift."),
    click.option("--shift", type=float, help="The shift that goes with --scale [default: 0]."),
    click.option(
        "--known-distance", multiple=True, metavar="FRAME:X,Y=METRES", help="Two or more, along the axis."
    ),
    click.option("--known-size", metavar="HEIGHT_M[,CLASS]", help="How tall the tracked things are."),
    click.option(
        "--pitch", type=click.FloatRange(-75, 75), help="Degrees the camera looks down [default: by the boxes]."
    ),
    click.option("--reference-depth", type=PATH, help="Depth in metres: a scene or images."),
    click.option("--reference-scale", type=float, help="Codes per metre of the reference's images."),
    allow_relative_option,
)
region_options = together(
    click.option(
        "--at",
        type=click.Choice(["auto", "window", "box", "mask"]),
        default="auto",
        show_default=True,
        help="Where depth is measured: at the point, in the box or mask; auto: by what the record has.",
    ),
    click.option("--window", type=int, default=7, show_default=True, help="Side of the window, in depth pixels."),
    click.option("--inner", type=float, default=0.5, show_default=True, help="Part of the box that is looked at."),
    click.option(
        "--box-point",
        type=click.Choice(["center", "bottom"]),
        default="center",
        show_default=True,
        help="The point of a box that stands for the thing.",
    ),
    click.option(
        "--statistic",
        type=click.Choice(["median", "nearest", "percentile"]),
        default="median",
        show_default=True,
        help="What is made of the depth of a record's pixels.",
    ),
    click.option("--percentile", type=float, default=20.0, show_default=True, help="For --statistic percentile."),
    click.option("--min-share", type=float, default=0.1, show_default=True, help="Least share of valid pixels."),
)
motion_options = together(
    click.option("--smooth", is_flag=True, help="Smooth every track, bridge its gaps, and give velocities."),
    click.option(
        "--acceleration", type=float, default=2.0, show_default=True, help="How hard things speed up, m/s^2."
    ),
    click.option("--max-gap", type=float, default=1.0, show_default=True, help="Longest gap bridged, in seconds."),
    click.option("--fps", type=float, help="Frames per second, where no scene knows the times."),
)
output_options = together(
    click.option(
        "--also",
        type=click.Choice(["csv", "parquet", "sheet"]),
        multiple=True,
        help="Also write a flat table beside the output; sheet: for spreadsheets, with units.",
    ),
    click.option("--figure", type=PATH, help="Tracks drawn: a .png, or a short .mp4."),
    overwrite_option,
    quiet_option,
    json_option,
)
rule_options = together(
    track_options,
    camera_options,
    pose_options,
    calibration_options,
    region_options,
    motion_options,
    output_options,
)


@click.command(cls=Command)
@click.argument("scene", type=PATH, required=False)
@click.option("--tracks", type=PATH, required=True, help="The tracker's file, or label folder.")
@click.option("--output", type=PATH, required=True, help="The same format, with fields added.")
@depth_folder_option
@rule_options
def enrich(quiet: bool, as_json: bool, **options: Any) -> None:
    """Say where in space the things of a track file are, by the depth of SCENE.

    Example: vda enrich data/film --tracks tracks.json --output tracks_3d.json --camera camera.yaml
    """
    from vda.api.space import enrich as put_into_space
    from vda.cli.progress import Progress

    progress = Progress(quiet)
    report = put_into_space(**options, reporter=progress)
    progress.close()
    if as_json:
        say(json.dumps(report.to_json()))
        return
    say(f"{report.enriched} of {report.records} records have a position: {report.written[0]}")
    for reason, count in report.skipped.items():
        say(f"  {count} skipped: {reason}")
