"""What ``vda enrich`` and ``vda export`` share: the camera that a video was taken with, and depth without metres.

In: what somebody typed of a camera. Out: a ``CameraChoice``. This file does not know what it is wanted for.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vda.cli.options import gathered, together
from vda.cli.types import CROP, PATH, SIZE
from vda.errors import UsageError

if TYPE_CHECKING:
    from vda.camera.choice import CameraChoice

allow_relative_option = click.option(
    "--allow-relative", is_flag=True, help="Go on without metres: positions and clouds up to scale."
)
camera_options = together(
    click.option("--fx", type=float, help="Focal length in pixels; --fy, --cx and --cy go with it."),
    click.option("--fy", type=float, help="Vertical focal length in pixels [default: fx]."),
    click.option("--cx", type=float, help="Column of the principal point [default: the middle]."),
    click.option("--cy", type=float, help="Row of the principal point [default: the middle]."),
    click.option(
        "--camera-size", type=SIZE, help="Size of the image that --fx ... are for [default: the video's]."
    ),
    click.option("--camera", "camera_file", type=PATH, help="OpenCV, COLMAP, nerfstudio, ROS or Open3D file."),
    click.option("--camera-id", type=int, help="Which camera of a COLMAP file."),
    click.option("--camera-turn", type=click.Choice(["0", "90", "180", "270"]), help="Turn the camera clockwise."),
    click.option("--camera-crop", type=CROP, help="The part of the camera's image that the video shows."),
    click.option("--fov", type=float, help="Horizontal field of view in degrees."),
    click.option("--assume-fov", is_flag=True, help="Go on with 60 degrees where nothing is known."),
)


def camera_choice(
    *,
    fx: float | None,
    fy: float | None,
    cx: float | None,
    cy: float | None,
    camera_size: tuple[int, int] | None,
    camera_file: Path | None,
    camera_id: int | None,
    camera_turn: str | None,
    camera_crop: tuple[int, int, int, int] | None,
    fov: float | None,
    assume_fov: bool,
) -> "CameraChoice":
    from vda.camera.choice import CameraChoice, CameraSetting

    if fx is None and (fy, cx, cy) != (None, None, None):
        raise UsageError("--fy, --cx and --cy are of no use without --fx.", "Give --fx as well.")
    return CameraChoice(
        numbers=None if fx is None else (fx, fy, cx, cy),
        numbers_size=camera_size,
        file=camera_file,
        camera_id=camera_id,
        fov_deg=fov,
        assume_fov=assume_fov,
        setting=CameraSetting(None if camera_turn is None else int(camera_turn) // 90, camera_crop),
    )


gathered_camera = gathered("camera", camera_choice)
