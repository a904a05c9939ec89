"""Pixels that are no place in space: flying points at edges, and the sky. The truth is made by arithmetic."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import test_export
from boards import write_depth
from exportcases import to_surface
from test_export import FRAMES, TRUTH, calibrate, colmap, depth_at, run, transforms

from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.doubtful import on_edges, sky
from vda.exporting import ExportReport
from vda.scene.scene import Scene

scene = test_export.scene
NET_WIDTH = 64


def seen_by_a_network(depth: np.ndarray) -> np.ndarray:
    """Coarse and soft, as networks leave it: fewer pixels, a blur, and straight lines in between."""
    height, width = depth.shape
    small = cv2.resize(1 / depth, (NET_WIDTH, NET_WIDTH * height // width), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 0.7)
    return 1 / cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def flying_share(folder: Path) -> float:
    """The share of a cloud's points that are farther from every surface than 2 % of their own distance."""
    plyfile = pytest.importorskip("plyfile")
    vertices = [plyfile.PlyData.read(path)["vertex"] for path in sorted(folder.glob("*.ply"))]
    points = np.concatenate([np.stack([v[axis] for axis in "xyz"], axis=1) for v in vertices])
    assert len(points) > 1000
    return float((to_surface(points) > 0.02 * np.linalg.norm(points, axis=1)).mean())


@pytest.fixture
def soft_scene(scene: Scene) -> Scene:
    write_depth(scene.merged_dir, [seen_by_a_network(depth_at(frame)) for frame in range(FRAMES)], TRUTH)
    record = DepthRecord.read(scene.depth_record_path)
    replace(record, settings={"net_width": NET_WIDTH}).write(scene.depth_record_path)
    calibrate(scene)
    return scene


def dropped(report: ExportReport) -> float:
    return float(next(said for said in report.said if "depth edge" in said).split("%")[0]) / 100


def test_flying_points_fall_below_a_fifth(soft_scene: Scene, tmp_path: Path) -> None:
    poses = transforms(tmp_path)
    run(soft_scene, "ply", tmp_path / "all", poses=poses, stride=1)
    report = run(soft_scene, "ply", tmp_path / "some", poses=poses, stride=1, edges="drop")
    before, after = flying_share(tmp_path / "all"), flying_share(tmp_path / "some")
    assert before > 0.01
    assert after < before / 5
    assert 0.01 < dropped(report) < 0.25


def test_edges_have_no_depth_where_a_file_can_say_so(soft_scene: Scene, tmp_path: Path) -> None:
    poses = transforms(tmp_path)
    for target, image in (("nerfstudio", "frame_000002.png"), ("colmap", "frame_000002.tiff")):
        report = run(soft_scene, target, tmp_path / target, poses=poses, edges="drop", points=0)
        codes = cv2.imread(str(tmp_path / target / "depth" / image), cv2.IMREAD_UNCHANGED)
        assert codes is not None
        assert (codes == 0).mean() == pytest.approx(dropped(report), abs=0.03)


def test_splatting_keeps_edges_and_says_so(scene: Scene, tmp_path: Path) -> None:
    report = run(scene, "gaussian-splatting", tmp_path / "s", poses=colmap(tmp_path), edges="drop")
    assert any("--edges" in said and "leave nothing out" in said for said in report.said)
    assert not any("depth edge" in said for said in report.said)


def test_a_plane_has_no_edges_however_steep() -> None:
    # A floor 1.5 m below a camera that looks at the horizon: depth is 1.5 f / (row - horizon).
    rows = np.arange(200)[:, None] + 1.0
    floor = np.broadcast_to(1.5 * 300 / rows, (200, 160))
    assert floor.max() / floor.min() == 200
    assert not on_edges(floor, 4).any()


def test_the_sky_is_what_is_far_and_above() -> None:
    rows = np.arange(200)[:, None] + np.zeros((1, 160))
    depth = 1.5 * 300 / np.maximum(rows - 100, 1e-9)
    depth[rows <= 100] = np.inf
    depth[60:150, 40:60] = 9.0
    found = sky(depth)
    assert found[:100, :40].all()
    assert not found[60:150, 40:60].any()
    # The nearest twentieth is at 4.8 m or nearer; the floor is at 50 times that two rows below the horizon.
    assert not found[103:].any()


def test_bars_do_not_tie_what_is_far_to_the_upper_edge() -> None:
    rows = np.arange(200)[:, None] + np.zeros((1, 160))
    depth = 1.5 * 300 / np.maximum(rows - 20, 1e-9)
    depth[rows <= 60] = 900.0
    depth[:30, :] = depth[:, :40] = np.nan
    # A far window in a near wall, which bars to the left would lead upwards.
    depth[30:, 40:] = 3.0
    depth[40:60, 40:80] = 900.0
    bars = np.isnan(depth)
    assert not sky(depth, bars).any()
    assert sky(depth)[50, 60]


def test_a_room_has_no_sky_and_nothing_known_is_none() -> None:
    assert not sky(depth_at(0)).any()
    assert not sky(np.full((50, 50), np.nan)).any()
    # A hole far from the upper edge is no sky either.
    depth = np.full((100, 100), 3.0)
    depth[40:60, 40:60] = np.nan
    assert not sky(depth).any()
