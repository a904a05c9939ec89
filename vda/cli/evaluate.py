"""``vda eval``: depth against ground truth."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.comparing import compare_pair, of_pairs, refuse_what_is_about_truth
from vda.cli.options import Command, by_order_option, json_option, overwrite_option, quiet_option, together
from vda.cli.output import say
from vda.cli.types import PATH, OneOf
from vda.errors import UsageError

rule_options = together(
    click.option("--truth-scale", type=float, help="Numbers of TRUTH per metre: 1000 for millimetres."),
    click.option("--depth-scale", type=float, help="Numbers of DEPTH per metre, where it has no depth.json."),
    click.option(
        "--align",
        type=OneOf("vda.metrics.alignment:ALIGNS"),
        help="How depth is brought to metres: scale and shift, or a scale alone, by least squares over the video; "
        "one ratio of medians for the video, or per frame; or not. By default scale-shift, and none for metric "
        "depth.",
    ),
    click.option(
        "--cap",
        "cap_m",
        type=float,
        default=80.0,
        show_default=True,
        help="Farthest truth that counts, in metres; 10 is usual indoors.",
    ),
    click.option(
        "--border",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Pixels left out at each edge.",
    ),
    click.option(
        "--crop",
        type=OneOf("vda.metrics.masks:CROPS"),
        help="Count only the part that benchmarks of KITTI or NYU do.",
    ),
)
camera_options = together(
    click.option(
        "--cameras", type=PATH, help="transforms.json or a folder with poses, for the temporal error and normals."
    ),
    click.option(
        "--camera", type=PATH, help="A camera without poses, for normals: OpenCV, COLMAP, nerfstudio, ROS."
    ),
    click.option("--fov", type=float, help="Its horizontal field of view in degrees, in place of a file."),
)
output_options = together(
    by_order_option,
    click.option("--figure", type=PATH, help="Write a picture: frame, depth, truth, error."),
    click.option("--pairs", is_flag=True, help="DEPTH against another result in TRUTH's place, and no truth."),
    click.option("--page", type=PATH, help="With --pairs: write a page of HTML with plots and difference maps."),
    overwrite_option,
    quiet_option,
    json_option,
)


@click.command("eval", cls=Command)
@click.argument("depth", type=PATH)
@click.argument("truth", type=PATH)
@rule_options
@camera_options
@output_options
@click.pass_context
def evaluate(ctx: click.Context, depth: Path, truth: Path, pairs: bool, page: Path | None, **options: Any) -> None:
    """Measure DEPTH (a scene, a depth folder or a stack) against TRUTH (16-bit PNGs, NPY, NPZ or EXR).

    Relative depth gets one scale and one shift for the whole video; metric depth is taken as it is, and shown with
    scale and shift beside it; --align asks for something else. The same figures of a vertical ramp and of a
    constant stand beside it. With --pairs TRUTH is another result of the film, and what the two differ by is
    measured in its place.

    Example: vda eval data/film truth/ --truth-scale 1000 --cap 10
    """
    if pairs:
        refuse_what_is_about_truth(ctx)
        compare_pair(depth, truth, page=page, **of_pairs(options))
    elif page is not None:
        raise UsageError("--page is for two results of one film.", "Give --pairs with it, or leave it out.")
    else:
        _measure(depth, truth, **options)


def _measure(
    depth: Path, truth: Path, *, camera: Path | None, fov: float | None, quiet: bool, as_json: bool, **options: Any
) -> None:
    from vda.camera.choice import CameraChoice
    from vda.cli.evaltable import table
    from vda.cli.progress import Progress
    from vda.comparing.truth import evaluate as run

    progress = Progress(quiet)
    result = run(depth, truth, camera=CameraChoice(file=camera, fov_deg=fov), **options, reporter=progress)
    progress.close()
    say(*([json.dumps(result.to_json())] if as_json else table(result)))
