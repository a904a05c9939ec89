"""Tracks in the world: with the camera's poses, still things stand still and all has one unit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import Board, depth_of, record_of, write_depth, write_scene
from numpy.typing import NDArray

from vda.camera.choice import CameraChoice
from vda.camera.intrinsics import Intrinsics
from vda.camera.reconstruction import View
from vda.depthmaps.source import DepthSource
from vda.enriching.motion import MotionModel
from vda.enriching.settings import DepthChoice, EnrichSettings, Report
from vda.enriching.stage import enrich_file
from vda.enriching.world import MovingCamera, carried, carried_back, moving_camera
from vda.errors import InputError, UsageError
from vda.reporter import Noted, Silence

CAMERA = Intrinsics(320, 240, 250.0, 250.0, 159.5, 119.5)
FRAMES, FPS = 12, 10.0
STEP_M = 0.1


def turned(yaw_deg: float, place: tuple[float, float, float]) -> NDArray[np.float64]:
    """Camera to world: x right, y down, z forward; turned to the right by ``yaw_deg``."""
    cos, sin = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose = np.eye(4)
    pose[:3, :3] = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
    pose[:3, 3] = place
    return pose


def test_between_two_poses_the_camera_turns_and_moves_evenly() -> None:
    poses = np.stack([turned(0, (0, 0, 0)), turned(40, (4, 0, 2))])
    camera = MovingCamera(np.array([10, 20]), np.array([1.0, 2.0]), poses, 1.5)
    found = camera.at(np.array([9, 10, 13, 20, 21]), np.array([0.9, 1.0, 1.3, 2.0, 2.1]))
    assert np.isnan(found[[0, 4]]).all()
    assert found[1:4] == pytest.approx(np.stack([poses[0], turned(12, (1.2, 0, 0.6)), poses[1]]))
    assert np.isnan(MovingCamera(np.array([10, 20]), np.array([1.0, 2.0]), poses, 0.5).at(
        np.array([13]), np.array([1.3])
    )).all()  # fmt: skip


def test_what_is_carried_into_the_world_comes_back() -> None:
    poses = np.stack([turned(angle, (angle, 1, 2)) for angle in (0.0, 30.0, 75.0)])
    points = np.array([[1.0, 2, 3], [0, 0, 5], [-1, 0.5, 9]])
    assert carried(poses, points)[1] == pytest.approx([30 + 5 * 0.5, 1, 2 + 5 * np.sqrt(3) / 2])
    assert carried_back(poses, carried(poses, points)) == pytest.approx(points)


def viewed(frame: int, unit_m: float) -> View:
    """A view whose points lie on a wall at 8 m, in a reconstruction whose unit is ``unit_m`` metres."""
    pixels = np.array([(x, y) for x in range(20, 300, 40) for y in range(20, 220, 40)], np.float64)
    return View(
        f"{frame}.png", frame, turned(0, (frame / unit_m, 0, 0)), CAMERA, pixels, np.full(len(pixels), 8 / unit_m)
    )


def wall(metres: float = 8.0) -> DepthSource:
    return DepthSource(range(3), lambda place: np.full((120, 160), metres, np.float32))


@pytest.mark.parametrize("unit_m", [0.25, 1.0, 40.0])
def test_points_say_how_long_the_unit_of_poses_is(unit_m: float) -> None:
    views = [viewed(frame, unit_m) for frame in range(3)]
    camera = moving_camera(views, lambda frames: frames / FPS, wall(), lambda values: values, 1.0, Silence())
    assert camera.poses[:, 0, 3] == pytest.approx([0, 1, 2])


def test_points_without_depth_are_refused_and_poses_without_points_are_taken_for_metres() -> None:
    views = [viewed(frame, 1.0) for frame in range(3)]
    with pytest.raises(InputError, match="lie where there is depth"):
        moving_camera(views, lambda frames: frames / FPS, wall(np.nan), lambda values: values, 1.0, Silence())
    bare = [View(v.name, v.frame, v.camera_to_world, None, np.zeros((0, 2)), np.zeros(0)) for v in views]
    noted = Noted(Silence())
    camera = moving_camera(bare, lambda frames: frames / FPS, wall(), lambda values: values, 1.0, noted)
    assert camera.poses[2, 0, 3] == 2
    assert any("taken to be a metre" in sentence for sentence in noted.said)


def film(tmp_path: Path, poses: Path | None, **options: Any) -> tuple[Report, list[dict[str, Any]]]:
    """A camera that goes 0.1 m to the right per frame and looks straight on; one board, still in the world."""
    boards = [Board(1, 0.5 - STEP_M * frame, 0.0, 6.0, (0, 0, 0)) for frame in range(FRAMES)]
    scene = write_scene(tmp_path / "scene", CAMERA.width, CAMERA.height)
    write_depth(scene.merged_dir, [depth_of(CAMERA, [board], 0) for board in boards])
    records = [
        {**record_of(CAMERA, board, 0), "frame": f"frame_{n:05d}"} for n, board in enumerate(boards)
    ]  # fmt: skip
    tracks, output = tmp_path / "t.json", tmp_path / "o.json"
    tracks.write_text(json.dumps({"tracks": records}))
    numbers = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)
    settings = EnrichSettings(
        tracks,
        output,
        DepthChoice(scene=scene.root),
        camera=CameraChoice(numbers=numbers),
        times_fps=FPS,
        poses=poses,
        overwrite=True,
        **options,
    )
    return enrich_file(settings), json.loads(output.read_text())["tracks"]


def transforms(path: Path, frames: range) -> Path:
    """nerfstudio's file: its cameras look along -z with y up, so columns 1 and 2 of ours are turned round."""
    entries = []
    for frame in frames:
        matrix = np.eye(4)
        matrix[:3, :3] = np.diag([1, -1, -1])
        matrix[0, 3] = STEP_M * frame
        entries.append({"file_path": f"images/frame_{frame:05d}.png", "transform_matrix": matrix.tolist()})
    camera = {"w": 320, "h": 240, "fl_x": 250.0, "fl_y": 250.0, "cx": 160.0, "cy": 120.0}
    path.write_text(json.dumps({**camera, "camera_model": "OPENCV", "frames": entries}))
    return path


def vectors(records: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([[record[name][axis] for axis in "xyz"] for record in records])


def test_a_still_thing_stands_still_in_the_world(tmp_path: Path) -> None:
    _, records = film(tmp_path, transforms(tmp_path / "transforms.json", range(FRAMES)), motion=MotionModel())
    world = vectors(records, "vda_world_3d")
    assert world == pytest.approx(np.tile(world[0], (FRAMES, 1)), abs=0.03)
    assert world[:, 2] == pytest.approx(np.full(FRAMES, 6.0), rel=0.01)
    assert np.linalg.norm(vectors(records, "vda_world_velocity"), axis=1).max() < 0.1
    assert max(record["vda_speed"] for record in records) < 0.1
    # Without poses it goes to the left as fast as the camera goes to the right.
    _, alone = film(tmp_path, None, motion=MotionModel())
    assert "vda_world_3d" not in alone[0]
    assert vectors(alone, "vda_velocity").mean(axis=0) == pytest.approx([-STEP_M * FPS, 0, 0], abs=0.1)


def test_a_trajectory_of_tum_puts_things_at_the_same_places(tmp_path: Path) -> None:
    lines = [f"{frame / FPS:.6f} {STEP_M * frame:.6f} 0 0 0 0 0 1" for frame in range(FRAMES)]
    (tmp_path / "trajectory.txt").write_text("# time tx ty tz qx qy qz qw\n" + "\n".join(lines))
    _, records = film(tmp_path, tmp_path / "trajectory.txt")
    world = vectors(records, "vda_world_3d")
    assert world == pytest.approx(np.tile(world[0], (FRAMES, 1)), abs=0.03)


def test_records_without_a_pose_have_no_place_and_are_counted(tmp_path: Path) -> None:
    path = transforms(tmp_path / "transforms.json", range(FRAMES - 4))
    report, records = film(tmp_path, path, motion=MotionModel())
    assert ["vda_world_3d" in record for record in records] == [True] * (FRAMES - 4) + [False] * 4
    assert "4 records are of frames without a pose and have no place in the world." in report.said
    assert any("smoothed without the camera's poses" in sentence for sentence in report.said)
    assert all("vda_position_smoothed" in record for record in records)


def test_a_box_is_as_large_as_its_thing(tmp_path: Path) -> None:
    """By the pinhole: pixels times depth over the focal length."""
    _, records = film(tmp_path, None)
    for record in records:
        x1, y1, x2, y2 = record["bbox"]
        size = record["vda_box_3d"]
        assert size["width"] == pytest.approx((x2 - x1) * record["vda_depth"] / 250, rel=1e-4)
        assert size["height"] == pytest.approx((y2 - y1) * record["vda_depth"] / 250, rel=1e-4)


def test_relative_depth_has_no_place_in_the_world(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene", CAMERA.width, CAMERA.height)
    board = Board(1, 0.0, 0.0, 6.0, (0, 0, 0))
    write_depth(scene.merged_dir, [depth_of(CAMERA, [board], 0)], relative=(0.05, 0.0))
    (tmp_path / "t.json").write_text(json.dumps({"tracks": [record_of(CAMERA, board, 0)]}))
    settings = EnrichSettings(
        tmp_path / "t.json",
        tmp_path / "o.json",
        DepthChoice(scene=scene.root),
        camera=CameraChoice(fov_deg=60),
        allow_relative=True,
        times_fps=FPS,
        poses=transforms(tmp_path / "transforms.json", range(1)),
    )
    with pytest.raises(UsageError, match="into the world"):
        enrich_file(settings)
