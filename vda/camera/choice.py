"""Which camera a video was taken with: what the user gives, or the track file, fitted to the video.

In go the user's choice, the size of the video and how it was turned; out come ``Intrinsics`` for the upright
video, and sentences that say what was done to get there. No camera is ever made up unasked.
"""

from dataclasses import dataclass, field
from pathlib import Path

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
    (``rotation_deg``, clockwise), where the sizes agree with that.
    """

    quarter_turns: int | None = None
    crop: tuple[int, int, int, int] | None = None
    rotation_deg: int = 0


@dataclass(frozen=True)
class CameraChoice:
    """What the user said about the camera; everything may be left out.

    ``numbers`` (fx, fy, cx, cy) are for images of ``numbers_size`` (width, height), or of the video's size; fy may
    be left out where pixels are square, cx and cy where the principal point is in the middle.
    """

    numbers: tuple[float, float | None, float | None, float | None] | None = None
    numbers_size: tuple[int, int] | None = None
    file: Path | None = None
    camera_id: int | None = None
    fov_deg: float | None = None
    assume_fov: bool = False
    setting: CameraSetting = field(default_factory=CameraSetting)


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
        given = Intrinsics(width, height, fx, fx if fy is None else fy, *centre)
        return fit_to_video(given, size, choice.setting, reporter)
    if choice.file is not None:
        camera, format_name = read_camera(choice.file, choice.camera_id)
        reporter.say(f"The camera is from {choice.file} ({format_name}, lens: {camera.distortion_model}).")
        return fit_to_video(camera, size, choice.setting, reporter)
    if choice.fov_deg is not None:
        return Intrinsics.from_fov(*size, choice.fov_deg)
    if own is not None:
        reporter.say("The camera is the track file's own.")
        return fit_to_video(own, size, choice.setting, reporter)
    if choice.assume_fov:
        reporter.say(f"No camera is given: a horizontal field of view of {_GUESSED_FOV_DEG:g} degrees is assumed.")
        return Intrinsics.from_fov(*size, _GUESSED_FOV_DEG)
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
    if turns:
        camera = camera.rotated(turns)
        reporter.say(f"The camera is turned clockwise by {90 * turns} degrees.")
    if (camera.width, camera.height) == size:
        return camera
    if not camera.has_aspect_of(*size):
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
    turned = setting.rotation_deg in (90, 270) and not camera.has_aspect_of(*size)
    return setting.rotation_deg // 90 if turned and camera.has_aspect_of(size[1], size[0]) else 0


def _cropped(camera: Intrinsics, crop: tuple[int, int, int, int]) -> Intrinsics:
    left, top, width, height = crop
    inside = min(left, top) >= 0 and left + width <= camera.width and top + height <= camera.height
    if not inside or min(width, height) < 1:
        raise InputError(
            f"The crop {left},{top},{width},{height} does not lie in the camera's {camera.width}x{camera.height}.",
            "Give LEFT,TOP,WIDTH,HEIGHT in pixels of the image the camera was calibrated for.",
        )
    return camera.cropped(left, top, width, height)
