"""Poses that are none: refused with the place where they stand, in every format that holds poses."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vda.camera.poses import read_cameras
from vda.camera.reconstruction import read_reconstruction
from vda.errors import InputError, UsageError

TIMES_S = np.arange(4) / 25
TURNED = np.eye(4)
TURNED[:3, :3] = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
NUMBERS = {"width": 160, "height": 96, "fx": 120.0, "fy": 120.0, "cx": 80.0, "cy": 48.0}
NO_POSES = {
    "not finite": np.full((4, 4), np.nan),
    "scaled": TURNED @ np.diag([2.0, 2.0, 2.0, 1.0]),
    "mirrored": TURNED @ np.diag([-1.0, 1.0, 1.0, 1.0]),
    "nothing": np.zeros((4, 4)),
    "of projective space": np.vstack([TURNED[:3], [0, 0, 0.5, 1]]),
}


def transforms(folder: Path, matrices: list[np.ndarray]) -> Path:
    frames = [
        {"file_path": f"images/{i:04d}.png", "transform_matrix": matrix.tolist()}
        for i, matrix in enumerate(matrices)
    ]
    path = folder / "transforms.json"
    path.write_text(json.dumps({"w": 160, "h": 96, "fl_x": 120.0, "frames": frames}))
    return path


def own(folder: Path, matrices: list[np.ndarray], frames: tuple[int, ...] = (0, 1, 2, 3)) -> Path:
    poses = [
        {"frame": frame, "camera_to_world": matrix.tolist()}
        for frame, matrix in zip(frames, matrices, strict=False)
    ]
    path = folder / "cameras.json"
    path.write_text(json.dumps({**NUMBERS, "poses": poses}))
    return path


def trajectory(folder: Path, text: str) -> Path:
    path = folder / "trajectory.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("make", [transforms, own])
@pytest.mark.parametrize("name", NO_POSES)
def test_a_matrix_that_is_no_pose_is_refused(make: object, name: str, tmp_path: Path) -> None:
    assert callable(make)
    path = make(tmp_path, [TURNED, NO_POSES[name]])
    with pytest.raises(InputError, match="pose"):
        read_reconstruction(path, TIMES_S)
    with pytest.raises(InputError, match="pose"):
        read_cameras(path, (160, 96))


def test_a_rotation_written_with_three_digits_is_one(tmp_path: Path) -> None:
    (view,) = read_reconstruction(own(tmp_path, [TURNED.round(3)]), TIMES_S)
    assert np.allclose(view.camera_to_world, TURNED, atol=1e-3)


@pytest.mark.parametrize("line", ["0.04 0 0 0 0 0 0 0", "0.04 nan 0 0 0 0 0 1", "inf 0 0 0 0 0 0 1"])
def test_a_line_of_a_trajectory_that_is_no_pose_is_refused(line: str, tmp_path: Path) -> None:
    path = trajectory(tmp_path, f"0 0 0 0 0 0 0 1\n{line}\n")
    with pytest.raises(InputError, match="no pose") as caught:
        read_reconstruction(path, TIMES_S)
    assert line.split()[0].split(".")[0] in caught.value.problem


def test_comments_of_a_trajectory_may_stand_anywhere_in_a_line(tmp_path: Path) -> None:
    (view,) = read_reconstruction(trajectory(tmp_path, "  # time tx ty tz\n0 1 2 3 0 0 0 1\n"), TIMES_S)
    assert view.camera_to_world[:3, 3].tolist() == [1, 2, 3]


def test_two_poses_of_one_frame_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several poses of frame 2"):
        read_reconstruction(own(tmp_path, [TURNED, np.eye(4), TURNED], (0, 2, 2)), TIMES_S)


def test_what_tells_of_images_names_is_refused_where_there_are_none(tmp_path: Path) -> None:
    for path in (own(tmp_path, [TURNED]), trajectory(tmp_path, "0 0 0 0 0 0 0 1\n")):
        for options in ({"image_base": 1}, {"image_folder": "left"}):
            with pytest.raises(UsageError, match="no images' names"):
                read_reconstruction(path, TIMES_S, **options)
