"""What ``vda enrich`` and ``vda export`` share: the camera, where it was, and going on without metres."""

import click

from vda.cli.options import together
from vda.cli.types import CROP, PATH, SIZE

allow_relative_option = click.option(
    "--allow-relative", is_flag=True, help="Go on without metres: positions and clouds up to scale."
)
pose_options = together(
    click.option("--poses", type=PATH, help="transforms.json, COLMAP model or TUM trajectory."),
    click.option("--image-base", type=click.IntRange(0, 1), help="Whether the images' names count from 0 or 1."),
)
camera_options = together(
    click.option("--fx", type=float, help="Focal length in pixels; --fy, --cx and --cy go with it."),
    click.option("--fy", type=float, help="Vertical focal length in pixels [default: fx]."),
    click.option("--cx", type=float, help="Column of the principal point [default: the middle]."),
    click.option("--cy", type=float, help="Row of the principal point [default: the middle]."),
    click.option(
        "--camera-size", type=SIZE, help="Size of the image that --fx ... are for [default: the video's]."
    ),
    click.option("--camera", type=PATH, help="OpenCV, COLMAP, nerfstudio, ROS or Open3D file."),
    click.option("--camera-id", type=int, help="Which camera of a COLMAP file."),
    click.option(
        "--camera-turn",
        type=click.Choice(["0", "90", "180", "270"]),
        callback=lambda ctx, param, value: None if value is None else int(value),
        help="Degrees that the camera is turned clockwise.",
    ),
    click.option("--camera-crop", type=CROP, help="The part of the camera's image that the video shows."),
    click.option("--fov", type=float, help="Horizontal field of view in degrees."),
    click.option("--assume-fov", is_flag=True, help="Go on with 60 degrees where nothing is known."),
)
