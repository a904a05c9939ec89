"""``vda export``: depth for other programs."""

import json
from typing import Any

import click

from vda.cli.options import (
    Command,
    by_order_option,
    json_option,
    overwrite_option,
    quiet_option,
    scene_argument,
    together,
)
from vda.cli.output import say
from vda.cli.trackoptions import allow_relative_option, camera_options, pose_options, track_file_options
from vda.cli.types import PATH, OneOf
from vda.shown import counted

export_options = together(
    click.option(
        "--to",
        type=OneOf("vda.exporting:TARGETS"),
        required=True,
        help="The program, or the kind of file, that the depth is for.",
    ),
    click.option("--output", type=PATH, required=True, help="A folder; for rerun a .rrd file."),
    pose_options,
    by_order_option,
    click.option(
        "--every", type=click.IntRange(min=1), default=1, show_default=True, help="Export every n-th frame."
    ),
    click.option(
        "--stride", type=click.IntRange(min=1), default=2, show_default=True, help="Clouds have every n-th pixel."
    ),
    click.option("--near", type=float, default=0.0, show_default=True, help="Nothing nearer than this."),
    click.option("--far", type=float, default=float("inf"), show_default=True, help="Nothing farther than this."),
    click.option(
        "--edges",
        type=click.Choice(["keep", "drop"]),
        default="keep",
        show_default=True,
        help="Leave out pixels at depth edges, which are points of no surface.",
    ),
    click.option(
        "--sky",
        type=click.Choice(["keep", "drop"]),
        default="keep",
        show_default=True,
        help="Leave out the sky: fifty times as far as the nearest things, up to the upper edge.",
    ),
    click.option(
        "--undistort",
        is_flag=True,
        help="Take the lens out: pictures, depth and cameras are those of a pinhole camera.",
    ),
    allow_relative_option,
    click.option(
        "--depth-as",
        type=OneOf("vda.exporting:DEPTH_KINDS"),
        help="The kind of depth file, for nerfstudio (png16 if left out) and colmap (tiff): float32 has no limit.",
    ),
    click.option(
        "--points",
        type=click.IntRange(min=0),
        default=100_000,
        show_default=True,
        help="World points for a training to begin with (nerfstudio, colmap, dn-splatter); 0: none.",
    ),
    click.option(
        "--tracks", type=PATH, help="A track file of any format, for rerun; in space where vda enrich wrote it."
    ),
    track_file_options,
    overwrite_option,
)


@click.command(cls=Command)
@scene_argument
@export_options
@camera_options
@quiet_option
@json_option
def export(quiet: bool, as_json: bool, **options: Any) -> None:
    """Write the depth of SCENE for another program.

    Example: vda export data/film --to gaussian-splatting --poses colmap/sparse/0 --output splat
    """
    from vda.api.space import export as export_depth
    from vda.cli.progress import Progress

    progress = Progress(quiet)
    report = export_depth(**options, reporter=progress)
    progress.close()
    say(json.dumps(report.to_json()) if as_json else f"{counted(report.frames, 'frame')} in {options['output']}")
