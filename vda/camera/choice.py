"""Which camera a video was taken with: what the user gives, or the track file, fitted to the video.

In go the user's choice, the size of the video and how it was turned; out come ``Intrinsics`` for the upright
video, and sentences that say what was done to get there. No camera is ever made up unasked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vda.camera.files import read_camera
from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError, UsageError
from vda.reporter import Reporter

# The view of a 31 mm lens on 36 mm film: a guess, taken only where --assume-fov asks for it, and told.
_GUESSED_FOV_DEG = 60.0


@dataclass(frozen=True)
class CameraSetting:
    """How the video relates to the image the camera was calibrated for.

    ``crop`` (left, top, width, height) is the part of the calibrated image that the video shows; ``quarter_turns``
    how often that part was turned clockwise by 90 degrees to be upright. None: as the video's own record has it
    (``mirrored`` left with right, then ``rotation_deg``, clockwise), where the sizes agree with that.
    ``pixel_aspect`` is the width of the upright video's pixels by their height.
    """

    quarter_turns: int | None = None
    crop: tuple[int, int, int, int] | None = None
    rotation_deg: int = 0
    mirrored: bool = False
    pixel_aspect: Fraction = Fraction(1)

    def shape_shown(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size (width, height) that square pixels would give a video of ``size``, its height kept."""
        return max(1, round(size[0] * self.pixel_aspect)), size[1]


@dataclass(frozen=True)
class CameraChoice:
    """What the user said about the camera; everything may be left out.

    ``numbers`` (fx, fy, cx, cy), and a bare matrix in ``file``, are for images of ``numbers_size`` (width, height)
    or of the video's size; fy may be left out where it is fx but for the shape of the video's pixels, cx and cy
    where the principal point is in the middle.
    """

    numbers: tuple[float, float | None, float | None, float | None] | None = None
    numbers_size: tuple[int, int] | None = None
    file: Path | None = None
    camera_id: int | None = None
    fov_deg: float | None = None
    assume_fov: bool = False
    setting: CameraSetting = field(default_factory=CameraSetting)

    def of_video(self, record: Mapping[str, Any]) -> "CameraChoice":
        """The same for the video that a scene's ``record`` (``video.VideoInfo``) tells of: how it is shown."""
        setting = replace(
            self.setting,
            rotation_deg=int(record["rotation_deg"]),
            mirrored=bool(record["mirrored"]),
            pixel_aspect=Fraction(record["pixel_aspect"]),
        )
        return replace(self, setting=setting)


def choose_camera(
    own: Intrinsics | None, choice: CameraChoice, size: tuple[int, int], reporter: Reporter
) -> Intrinsics:
    """The camera for images of ``size`` (width, height): given numbers, a file, a field of view, else ``own``.

    ``own`` is what the track file says. Raises ``InputError`` where there is none, with all the ways to give one.
    """
    if sum(given is not None for given in (choice.numbers, choice.file, choice.fov_deg)) > 1:
        raise UsageError(
            "The camera is given twice.", "Give one of --fx --fy --cx --cy, --camera FILE and --fov DEGREES."
        )
    if choice.numbers is not None:
        width, height = choice.numbers_size or size
        fx, fy, cx, cy = choice.numbers
        centre = ((width - 1) / 2 if cx is None else cx, (height - 1) / 2 if cy is None else cy)
        # Numbers for the video's own pixels; those for images of another shape are for square ones.
        aspect = choice.setting.pixel_aspect if (width, height) == size else 1
        given = Intrinsics(width, height, fx, fx * float(aspect) if fy is None else fy, *centre)
        return fit_to_video(given, size, choice.setting, reporter)
    if choice.file is not None:
        camera, format_name = read_camera(choice.file, choice.camera_id, choice.numbers_size or size)
        reporter.say(f"The camera is from {choice.file} ({format_name}, lens: {camera.distortion_model}).")
        return fit_to_video(camera, size, choice.setting, reporter)
    if choice.fov_deg is not None:
        return Intrinsics.from_fov(*size, choice.fov_deg, float(choice.setting.pixel_aspect))
    if own is not None:
        reporter.say("The camera is the track file's own.")
        return fit_to_video(own, size, choice.setting, reporter)
    if choice.assume_fov:
        reporter.say(f"No camera is given: a horizontal field of view of {_GUESSED_FOV_DEG:g} degrees is assumed.")
        return Intrinsics.from_fov(*size, _GUESSED_FOV_DEG, float(choice.setting.pixel_aspect))
    raise InputError(
        "The camera is not known, so a pixel cannot be turned into a direction.",
        "Give --fx --fy --cx --cy, --camera FILE (OpenCV, COLMAP, nerfstudio, ROS, Open3D) or --fov DEGREES; "
        f"--assume-fov goes on with {_GUESSED_FOV_DEG:g} degrees.",
    )


def fit_to_video(
    camera: Intrinsics, size: tuple[int, int], setting: CameraSetting, reporter: Reporter
) -> Intrinsics:
    """Crop, turn and scale ``camera`` to a video of ``size`` (width, height), and tell ``reporter`` what was done.

    Raises ``InputError`` where the shapes do not agree: the video is then a part of the camera's image, or turned,
    in a way that only its owner knows.
    """
    if setting.crop is not None:
        camera = _cropped(camera, setting.crop)
        reporter.say(f"The camera is cropped to {camera.width}x{camera.height}, as asked.")
    if setting.rotation_deg == 180 and setting.quarter_turns is None:
        reporter.say(
            "The video is stored upside down; the camera is taken for the upright picture (or --camera-turn 180)."
        )
    turns = _turns(camera, size, setting)
    if setting.mirrored and turns and setting.quarter_turns is None:
        camera = camera.mirrored()
        reporter.say("The camera is mirrored, as the video is when it is shown.")
    elif setting.mirrored:
        reporter.say("The video is stored mirrored; the camera is taken for the picture as it is shown.")
    if turns:
        camera = camera.rotated(turns)
        reporter.say(f"The camera is turned clockwise by {90 * turns} degrees.")
    if (camera.width, camera.height) == size:
        return camera
    if not (camera.has_aspect_of(*size) or camera.has_aspect_of(*setting.shape_shown(size))):
        raise InputError(
            f"The camera is for images of {camera.width}x{camera.height}; the video is {size[0]}x{size[1]}, "
            "which has another shape.",
            "Say how it came about with --camera-turn 90|180|270 or --camera-crop LEFT,TOP,WIDTH,HEIGHT, "
            "or give the camera for the video's own size.",
        )
    reporter.say(
        f"The camera is for {camera.width}x{camera.height}: its numbers are scaled to {size[0]}x{size[1]}."
    )
    return camera.scaled(*size)


def _turns(camera: Intrinsics, size: tuple[int, int], setting: CameraSetting) -> int:
    """What was asked; else the video's own quarter turn, if only the turned camera has the video's shape."""
    if setting.quarter_turns is not None:
        return setting.quarter_turns
    shapes = (size, setting.shape_shown(size))
    lies = setting.rotation_deg in (90, 270) and not any(camera.has_aspect_of(*shape) for shape in shapes)
    turned = lies and any(camera.has_aspect_of(height, width) for width, height in shapes)
    return setting.rotation_deg // 90 if turned else 0


def _cropped(camera: Intrinsics, crop: tuple[int, int, int, int]) -> Intrinsics:
    left, top, width, height = crop
    inside = min(left, top) >= 0 and left + width <= camera.width and top + height <= camera.height
    if not inside or min(width, height) < 1:
        raise InputError(
            f"The crop {left},{top},{width},{height} does not lie in the camera's {camera.width}x{camera.height}.",
            "Give LEFT,TOP,WIDTH,HEIGHT in pixels of the image the camera was calibrated for.",
        )
    return camera.cropped(left, top, width, height)
