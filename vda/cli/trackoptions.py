"""What ``vda enrich``, ``export`` and ``view`` share: tracks, the camera, where it was, no need of metres."""

import click

from vda.cli.options import together
from vda.cli.types import CROP, PATH, SIZE, OneOf

allow_relative_option = click.option(
    "--allow-relative", is_flag=True, help="Go on without metres: positions and clouds up to scale."
)
track_file_options = together(
    click.option("--track-format", type=OneOf("vda.tracks:FORMATS"), help="Where the content does not tell."),
    click.option("--frame-base", type=click.IntRange(0, 1), help="Whether the file counts frames from 0 or 1."),
    click.option("--frame-field", help="The field that holds the frame, in CSV and JSON lists."),
    click.option("--track-size", type=SIZE, help="Size of the image the tracks' pixels are for."),
)
pose_options = together(
    click.option("--poses", type=PATH, help="COLMAP model, transforms.json, cameras.json or TUM trajectory."),
    click.option("--image-base", type=click.IntRange(0, 1), help="Whether the images' names count from 0 or 1."),
    click.option("--image-folder", help="The folder of this video's images, where a rig has several."),
)
camera_options = together(
    click.option("--fx", type=float, help="Focal length in pixels; --fy, --cx and --cy go with it."),
    click.option("--fy", type=float, help="Vertical focal length in pixels [default: fx]."),
    click.option("--cx", type=float, help="Column of the principal point [default: the middle]."),
    click.option("--cy", type=float, help="Row of the principal point [default: the middle]."),
    click.option(
        "--camera-size",
        type=SIZE,
        help="Size of the image that --fx ... or a bare matrix are for [default: the video's].",
    ),
    click.option("--camera", type=PATH, help="OpenCV, COLMAP, nerfstudio, ROS, Open3D file or matrix."),
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
