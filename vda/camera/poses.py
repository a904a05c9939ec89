"""Where the camera was at every frame, from the files that data sets keep it in.

In goes a file or a folder; out come intrinsics and, by frame index, poses from camera to world coordinates in the
Convention of ``camera``, in metres. This file does not know what the poses are wanted for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import from_opengl, pose_of
from vda.camera.files import read_camera
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import require_rigid
from vda.errors import InputError
from vda.files import read_json
from vda.records import NOT_AS_EXPECTED
from vda.stills.numbering import number_names

_FILES = ("cameras.json", "transforms.json")
_REMEDY = f"Give {' or '.join(_FILES)}, or a folder with one *.pose.txt a frame and camera-intrinsics.txt."


@dataclass(frozen=True)
class Cameras:
    """One camera's intrinsics, and its pose (camera to world, float64 [4, 4]) by frame index."""

    intrinsics: Intrinsics
    camera_to_world: dict[int, NDArray[np.float64]]

    def __post_init__(self) -> None:
        for frame, pose in self.camera_to_world.items():
            require_rigid(pose, f"frame {frame}")


def read_cameras(path: Path, size: tuple[int, int], *, by_order: bool = False) -> Cameras:
    """Read the cameras at ``path``: a clip's own ``cameras.json``, nerfstudio's ``transforms.json``, a folder
    with one of them, or a folder as 7-Scenes has them.

    The last has a 4 x 4 text file ``frame-000000.pose.txt`` for each frame and the 3 x 3 matrix
    ``camera-intrinsics.txt``, which says no size: ``size`` (width, height) is the images'. Frames are told by the
    names as ``number_names`` does, or are in their order (``by_order``). Raises ``InputError``.
    """
    if path.is_dir():
        inside = next((path / name for name in _FILES if (path / name).is_file()), None)
        return _from_folder(path, size, by_order) if inside is None else _from_json(inside, by_order)
    return _from_json(path, by_order)


def _from_json(path: Path, by_order: bool) -> Cameras:
    intrinsics, _ = read_camera(path)
    value = read_json(path)
    try:
        if "poses" in value:
            poses = {int(entry["frame"]): pose_of(entry["camera_to_world"]) for entry in value["poses"]}
        else:
            names = [str(frame["file_path"]) for frame in value["frames"]]
            matrices = [from_opengl(pose_of(frame["transform_matrix"])) for frame in value["frames"]]
            poses = _by_frame(names, matrices, path, by_order)
    except NOT_AS_EXPECTED as error:
        raise InputError(f"{path} has no pose for each frame: {type(error).__name__} {error}.", _REMEDY) from error
    return Cameras(intrinsics, poses)


def _by_frame(
    names: Sequence[str], poses: Sequence[NDArray[np.float64]], where: Path, by_order: bool
) -> dict[int, NDArray[np.float64]]:
    numbering = number_names(names, where, by_order=by_order)
    return {frame: poses[place] for frame, place in zip(numbering.frames, numbering.places, strict=True)}


def _from_folder(folder: Path, size: tuple[int, int], by_order: bool) -> Cameras:
    files = sorted(folder.glob("*.pose.txt"))
    if not files:
        raise InputError(f"{folder} holds no *.pose.txt.", _REMEDY)
    matrix = _read_matrix(folder / "camera-intrinsics.txt", (3, 3))
    fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    names = [file.name.removesuffix(".txt") for file in files]
    poses = _by_frame(names, [_read_matrix(file, (4, 4)) for file in files], folder, by_order)
    return Cameras(Intrinsics(*size, fx, fy, cx, cy), poses)


def _read_matrix(path: Path, shape: tuple[int, int]) -> NDArray[np.float64]:
    try:
        matrix = np.loadtxt(path, dtype=np.float64).reshape(shape)
        if not np.isfinite(matrix).all():
            raise ValueError("it has numbers that are not finite")
        return matrix
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a {shape[0]} x {shape[1]} matrix in text: {error}.", _REMEDY) from error
