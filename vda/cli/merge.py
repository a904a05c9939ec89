"""``vda merge``: align, blend, write depth."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from vda.cli.options import (
    Command,
    by_order_option,
    dry_run_option,
    gathered_merge,
    json_option,
    merge_options,
    quiet_option,
    scene_argument,
    together,
    video_option,
)
from vda.cli.output import say
from vda.cli.types import PartOfMerge
from vda.shown import counted, quoted

if TYPE_CHECKING:
    from vda.merging.parts import Part
    from vda.merging.settings import MergeSettings

other_depth_options = together(
    click.option(
        "--kind",
        type=click.Choice(["inverse_depth", "depth"]),
        default="inverse_depth",
        show_default=True,
        help="What depth of other programs is: larger is nearer, or metres.",
    ),
    click.option("--input-scale", type=float, help="Codes per metre of other programs' images [default: 1]."),
    click.option("--allow-gaps", is_flag=True, help="Frames of missing or short chunks become invalid."),
    by_order_option,
)


@click.command(cls=Command)
@scene_argument
@merge_options
@video_option(False)
@other_depth_options
@click.option(
    "--part",
    type=PartOfMerge(),
    help="Make this part of the merge alone: fits first, then ranges I of N of the frames, in any order, on any "
    "machines, and end last. Give other options with fits.",
)
@click.option(
    "--on",
    type=click.Choice(["local", "slurm", "ray"]),
    default="local",
    show_default=True,
    help="Where parts of the merge are made: here in one go, or as jobs of SLURM, tasks of Ray.",
)
@click.option("--slurm", multiple=True, metavar="NAME=VALUE", help="An option of sbatch, such as time=1:00:00.")
@click.option("--ray-address", help="The Ray cluster to use [default: RAY_ADDRESS, or one of this machine].")
@click.option("--ranges", type=click.IntRange(min=1), help="Into how many the frames are shared out there.")
@click.option("--detach", is_flag=True, help="Return once SLURM has the jobs.")
@dry_run_option
@quiet_option
@json_option
@gathered_merge
def merge(
    scene: Path,
    merge: "MergeSettings",
    discard_windows: bool,
    part: "Part | None",
    on: Literal["local", "slurm", "ray"],
    slurm: tuple[str, ...],
    ray_address: str | None,
    ranges: int | None,
    detach: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Join the raw windows of SCENE, or blend the chunks in its vda_depth_final, into one depth image per frame.

    Example: vda merge data/film --format png16 --format npz
    """
    from vda.api.keywords import require_local
    from vda.api.pipeline import merge_scene
    from vda.cli.progress import Progress
    from vda.scene.scene import Scene

    progress = Progress(quiet)
    if dry_run:
        from vda.api.rehearsal import forecast_merge
        from vda.cli.foretelling import foretell

        return foretell(forecast_merge(Scene(scene), merge, reporter=progress), as_json=as_json)
    if on != "local":
        from vda.api.mergejobs import merge_elsewhere

        found = merge_elsewhere(
            Scene(scene),
            merge,
            on,
            slurm=slurm,
            ray_address=ray_address,
            ranges=ranges,
            waits=not detach,
            part=part,
            discard_windows=discard_windows,
            reporter=progress,
        )
        progress.close()
        if found is not None:
            say(
                json.dumps(found.to_json())
                if as_json
                else f"{counted(found.frames, 'frame')} of depth in {found.folder}"
            )
        return None
    require_local(slurm=slurm, ray_address=ray_address, ranges=ranges, detach=detach)
    result = merge_scene(Scene(scene), merge, discard_windows=discard_windows, part=part, reporter=progress)
    progress.close()
    is_there = part in (None, "end")
    made = f"{counted(result.frames, 'frame')} of depth {'' if is_there else 'of this merge, which goes '}in "
    say(json.dumps(result.to_json()) if as_json else f"{made}{result.folder}")
    if is_there:
        progress.say(f"Next: vda view {quoted(scene)}")
