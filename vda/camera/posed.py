"""Cameras over time, as the project keeps them: ``cameras.json``.

    {"width", "height", "fx", "fy", "cx", "cy"[, "distortion_model", "distortion"],
     "poses": [{"frame", "time_s"[, "camera_to_world"][, "intrinsics"]}, ...]}

Numbers are in the Convention of ``camera``. Where all frames have one camera its numbers stand at the top, else
each pose has its own under ``intrinsics``. In go cameras, out comes the file's content, and the other way round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import pose_of
from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.files import read_json
from vda.records import NOT_AS_EXPECTED

_NUMBERS = ("width", "height", "fx", "fy", "cx", "cy")
# A matrix written with three digits is this near to a rotation.
_NEAR_ROTATION = 0.01


@dataclass(frozen=True, eq=False)
class PosedCamera:
    """The camera of a frame: ``camera_to_world`` float64 [4, 4], or None where no pose is known.

    ``name`` is that of the frame's image.
    """

    frame: int
    time_s: float
    name: str
    intrinsics: Intrinsics
    camera_to_world: NDArray[np.float64] | None


def require_rigid(pose: NDArray[np.float64], whose: str) -> None:
    """Raise ``InputError`` unless ``pose`` [4, 4] turns and moves, and does nothing else.

    A scaled or mirrored one would bend what is seen from it, each format in its own way.
    """
    turn = pose[:3, :3]
    rigid = (
        bool(np.isfinite(pose).all())
        and float(np.abs(turn.T @ turn - np.eye(3)).max()) < _NEAR_ROTATION
        and float(np.linalg.det(turn)) > 0
        and np.allclose(pose[3], [0, 0, 0, 1])
    )
    if not rigid:
        raise InputError(
            f"The pose of {whose} is no rotation and place: it is not finite, or scales or mirrors.",
            "Write it as a rotation with a column for the place, and leave out images without a pose.",
        )


def different(cameras: Sequence[PosedCamera]) -> list[Intrinsics]:
    """The intrinsics that occur, each once, in the order in which they come."""
    return list(dict.fromkeys(camera.intrinsics for camera in cameras))


def cameras_json(cameras: Sequence[PosedCamera]) -> dict[str, Any]:
    """The content of ``cameras.json``."""
    shared = different(cameras)
    one = len(shared) == 1
    poses = [_pose_json(camera, own=not one) for camera in cameras]
    return {**(_numbers(shared[0]) if one else {}), "poses": poses}


def read_cameras_json(path: Path) -> list[PosedCamera]:
    """The cameras of a ``cameras.json`` that have a pose. Raises ``InputError`` where it has another shape."""
    value = read_json(path)
    try:
        return [
            PosedCamera(
                int(pose["frame"]),
                float(pose.get("time_s", 0.0)),
                f"frame_{int(pose['frame']):06d}.png",
                _intrinsics(pose.get("intrinsics", value)),
                pose_of(pose["camera_to_world"]),
            )
            for pose in value["poses"]
            if "camera_to_world" in pose
        ]
    except NOT_AS_EXPECTED as error:
        raise InputError(
            f"{path} is not a cameras.json: {type(error).__name__} {error}.", "Write it again with vda export."
        ) from error


def _pose_json(camera: PosedCamera, *, own: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"frame": camera.frame, "time_s": camera.time_s}
    if camera.camera_to_world is not None:
        entry["camera_to_world"] = camera.camera_to_world.tolist()
    return {**entry, "intrinsics": _numbers(camera.intrinsics)} if own else entry


def _numbers(camera: Intrinsics) -> dict[str, Any]:
    numbers = {name: getattr(camera, name) for name in _NUMBERS}
    if camera.distortion_model == "none":
        return numbers
    return {**numbers, "distortion_model": camera.distortion_model, "distortion": list(camera.distortion)}


def _intrinsics(value: dict[str, Any]) -> Intrinsics:
    fx, fy, cx, cy = (float(value[name]) for name in _NUMBERS[2:])
    lens = tuple(float(number) for number in value.get("distortion", ()))
    model = str(value.get("distortion_model", "none"))
    return Intrinsics(int(value["width"]), int(value["height"]), fx, fy, cx, cy, model, lens)
