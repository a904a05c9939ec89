"""Cameras and first points for other programs: read back by their own libraries, or by the format's definition."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import test_export
from test_export import CAMERA, FRAMES, WALL_M, calibrate, colmap, depth_at, pose, run, transforms

from vda.camera.choice import CameraChoice
from vda.errors import UsageError
from vda.scene.scene import Scene

scene = test_export.scene
K1, K2, P1, P2 = -0.21, 0.05, 0.002, -0.003
# A corner of a board, and two points of the wall.
POINTS = np.array([[1.3, 0.9, 8.0], [-2.0, 1.0, WALL_M], [3.0, -2.0, WALL_M]])


def seen_at(frame: int, lens: tuple[float, ...] = ()) -> np.ndarray:
    """Where OpenCV sees the points in a frame, counted from the middle of the first pixel."""
    inverse = np.linalg.inv(pose(frame))
    matrix = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    turn = cv2.Rodrigues(inverse[:3, :3])[0]
    return cv2.projectPoints(POINTS, turn, inverse[:3, 3], matrix, np.array(lens or (0.0,) * 4))[0][:, 0]


def lens_file(folder: Path) -> Path:
    path = folder / "lens.json"
    numbers = {"width": 160, "height": 120, "fx": 120.0, "fy": 121.0, "cx": 81.0, "cy": 58.0}
    path.write_text(json.dumps({**numbers, "k1": K1, "k2": K2, "p1": P1, "p2": P2}))
    return path


def colmap_projections(model: Path, frame: int) -> np.ndarray:
    """Where COLMAP sees the points, by its own code; it counts from the corner of the first pixel."""
    pycolmap = pytest.importorskip("pycolmap")
    reconstruction = pycolmap.Reconstruction(str(model))
    image = next(i for i in reconstruction.images.values() if i.name.endswith(f"{frame:06d}.png"))
    return np.array([image.project_point(point) for point in POINTS]) - 0.5


@pytest.mark.parametrize(("target", "model"), [("colmap", "sparse/0"), ("dn-splatter", "colmap/sparse/0")])
def test_a_colmap_model_sees_what_opencv_sees(scene: Scene, tmp_path: Path, target: str, model: str) -> None:
    calibrate(scene)
    run(scene, target, tmp_path / "out", poses=transforms(tmp_path), points=500)
    for frame in range(FRAMES):
        assert colmap_projections(tmp_path / "out" / model, frame) == pytest.approx(seen_at(frame), abs=1e-6)
        assert (tmp_path / "out" / "images" / f"frame_{frame:06d}.png").is_file()


def test_a_lens_goes_with_the_colmap_model(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    choice = CameraChoice(file=lens_file(tmp_path))
    run(scene, "colmap", tmp_path / "out", poses=transforms(tmp_path), camera=choice, points=0)
    seen = colmap_projections(tmp_path / "out" / "sparse/0", 3)
    assert seen == pytest.approx(seen_at(3, (K1, K2, P1, P2)), abs=1e-6)
    assert np.abs(seen - seen_at(3)).max() > 0.5


def test_first_points_lie_on_the_surfaces(scene: Scene, tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    plyfile = pytest.importorskip("plyfile")
    calibrate(scene)
    run(scene, "colmap", tmp_path / "c", poses=transforms(tmp_path), points=1000)
    run(scene, "nerfstudio", tmp_path / "n", poses=transforms(tmp_path), points=1000)
    model = pycolmap.Reconstruction(str(tmp_path / "c" / "sparse/0"))
    own = np.array([point.xyz for point in model.points3D.values()])
    name = json.loads((tmp_path / "n" / "transforms.json").read_text())["ply_file_path"]
    vertices = plyfile.PlyData.read(tmp_path / "n" / name)["vertex"]
    other = np.stack([vertices[axis] for axis in "xyz"], axis=1)
    # Boards stand at 5 and 8 m, the wall at 20: everything there is has one of these z in the world.
    for points in (own, other):
        assert len(points) == 1000
        assert np.abs(points[:, 2:] - [5.0, 8.0, WALL_M]).min(axis=1).max() < 0.01
    assert vertices["red"].max() > vertices["red"].min()


def test_float_depth_as_nerfstudio_multiplies_it(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    for kind, read in (
        ("tiff", lambda path: np.asarray(cv2.imread(str(path), cv2.IMREAD_ANYDEPTH))),
        ("npy", np.load),
    ):
        out = tmp_path / kind
        run(scene, "nerfstudio", out, poses=transforms(tmp_path), depth_as=kind, points=0)
        frames = json.loads((out / "transforms.json").read_text())["frames"]
        # nerfstudio: the file's values times depth_unit_scale_factor, 0.001.
        depth = read(out / frames[4]["depth_file_path"]).astype(np.float64) * 0.001
        assert depth == pytest.approx(depth_at(4), rel=1e-3)
        hole = read(out / frames[1]["depth_file_path"])
        assert hole.dtype == np.float32
        assert not hole[:20, :30].any()


def test_depth_for_dn_splatter_and_beside_a_model_is_in_the_poses_unit(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    run(scene, "dn-splatter", tmp_path / "dn", poses=transforms(tmp_path))
    run(scene, "colmap", tmp_path / "c", poses=transforms(tmp_path))
    # Its reader sorts the names and pairs them with the sorted images.
    arrays = [np.load(path) for path in sorted((tmp_path / "dn" / "mono_depth").glob("*_aligned.npy"))]
    assert len(arrays) == FRAMES
    assert arrays[4] == pytest.approx(depth_at(4), rel=1e-3)
    tiff = cv2.imread(str(tmp_path / "c" / "depth" / "frame_000004.tiff"), cv2.IMREAD_UNCHANGED)
    assert tiff == pytest.approx(depth_at(4), rel=1e-3)


def test_a_kind_of_depth_is_refused_where_the_reader_has_one(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one kind of depth"):
        run(scene, "tum", tmp_path / "out", poses=transforms(tmp_path), depth_as="npy")


def test_usd_sees_what_opencv_sees(scene: Scene, tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd")
    geom = pytest.importorskip("pxr.UsdGeom")
    run(scene, "cameras", tmp_path / "out", poses=transforms(tmp_path))
    stage = usd.Stage.Open(str(tmp_path / "out" / "camera.usda"))
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, FRAMES - 1)
    assert geom.GetStageMetersPerUnit(stage) == 1
    camera = geom.Camera(next(prim for prim in stage.Traverse() if prim.IsA(geom.Camera)))
    for frame in range(FRAMES):
        frustum = camera.GetCamera(frame).frustum
        to_clip = np.array(frustum.ComputeViewMatrix()) @ np.array(frustum.ComputeProjectionMatrix())
        clip = np.concatenate([POINTS, np.ones((3, 1))], axis=1) @ to_clip
        # From -1 .. 1 with y up to pixels from the top-left corner, whose first middle is at a half.
        unit = clip[:, :2] / clip[:, 3:]
        pixels = (unit * [0.5, -0.5] + 0.5) * [160, 120] - 0.5
        assert pixels == pytest.approx(seen_at(frame), abs=1e-3)


def turn(axis: int, degrees: float) -> np.ndarray:
    """The rotation about x, y or z, counter-clockwise as seen from the axis' end."""
    vector = np.zeros(3)
    vector[axis] = np.radians(degrees)
    return cv2.Rodrigues(vector)[0]


def test_chan_is_turned_about_z_then_x_then_y(scene: Scene, tmp_path: Path) -> None:
    report = run(scene, "cameras", tmp_path / "out", poses=transforms(tmp_path))
    rows = [line.split() for line in (tmp_path / "out" / "camera.chan").read_text().splitlines()]
    assert [int(row[0]) for row in rows] == list(range(FRAMES))
    for frame, row in enumerate(rows):
        place, (rx, ry, rz), vfov = np.array(row[1:4], float), map(float, row[4:7]), float(row[7])
        rotation = turn(1, ry) @ turn(0, rx) @ turn(2, rz)
        assert place == pytest.approx(pose(frame)[:3, 3], abs=1e-9)
        # It looks along -z with y up.
        assert rotation @ [0, 0, -1] == pytest.approx(pose(frame)[:3, 2], abs=1e-9)
        assert rotation @ [0, 1, 0] == pytest.approx(-pose(frame)[:3, 1], abs=1e-9)
        assert np.tan(np.radians(vfov / 2)) == pytest.approx(60 / 121.0)
    # The principal point is at (81, 58), the middle at (79.5, 59.5).
    assert any("(+1.5, -1.5 pixels from the middle)" in said and "fx is 0.99" in said for said in report.said)


def test_cameras_json_comes_back_as_poses(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    run(scene, "cameras", tmp_path / "out", poses=transforms(tmp_path))
    own = json.loads((tmp_path / "out" / "cameras.json").read_text())
    assert [own[name] for name in ("width", "height", "fx", "fy", "cx", "cy")] == [160, 120, 120, 121, 81, 58]
    assert np.array(own["poses"][2]["camera_to_world"]) == pytest.approx(pose(2))
    assert [entry["time_s"] for entry in own["poses"]] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    run(scene, "tum", tmp_path / "tum", poses=tmp_path / "out" / "cameras.json")
    rows = np.loadtxt(tmp_path / "tum" / "groundtruth.txt")
    assert rows[:, 1:4] == pytest.approx(np.stack([pose(i)[:3, 3] for i in range(FRAMES)]), abs=1e-6)


def several_cameras(folder: Path) -> Path:
    """True poses; every frame is zoomed differently, its focal length 100 + 10 times its number."""
    value = json.loads(transforms(folder).read_text())
    for i, frame in enumerate(value["frames"]):
        frame.update({"fl_x": 100.0 + 10 * i, "fl_y": 100.0 + 10 * i})
    path = folder / "zoom.json"
    path.write_text(json.dumps(value))
    return path


def test_a_zoom_keeps_a_camera_for_each_frame(scene: Scene, tmp_path: Path) -> None:
    geom = pytest.importorskip("pxr.UsdGeom")
    usd = pytest.importorskip("pxr.Usd")
    pycolmap = pytest.importorskip("pycolmap")
    run(scene, "cameras", tmp_path / "out", poses=several_cameras(tmp_path))
    own = json.loads((tmp_path / "out" / "cameras.json").read_text())
    assert [entry["intrinsics"]["fx"] for entry in own["poses"]] == [100, 110, 120, 130, 140]
    shared: dict[str, Any] = json.loads((tmp_path / "out" / "transforms.json").read_text())
    assert [frame["fl_x"] for frame in shared["frames"]] == [100, 110, 120, 130, 140]
    model = pycolmap.Reconstruction(str(tmp_path / "out" / "sparse/0"))
    by_name = sorted(model.images.values(), key=lambda image: image.name)
    assert [model.cameras[image.camera_id].params[0] for image in by_name] == [100, 110, 120, 130, 140]
    stage = usd.Stage.Open(str(tmp_path / "out" / "camera.usda"))
    camera = geom.Camera(next(prim for prim in stage.Traverse() if prim.IsA(geom.Camera)))
    seen = [camera.GetCamera(frame) for frame in range(FRAMES)]
    fovs = [camera.GetFieldOfView(camera.FOVHorizontal) for camera in seen]
    assert fovs == pytest.approx([2 * np.degrees(np.arctan(80 / (100 + 10 * i))) for i in range(FRAMES)], rel=1e-5)


def test_formats_without_a_lens_are_left_out_and_named(scene: Scene, tmp_path: Path) -> None:
    choice = CameraChoice(file=lens_file(tmp_path))
    report = run(scene, "cameras", tmp_path / "out", poses=transforms(tmp_path), camera=choice)
    names = {path.name for path in report.written}
    assert names == {"cameras.json", "transforms.json", "cameras.txt", "images.txt", "points3D.txt"}
    assert [said.split()[0] for said in report.said if "left out" in said] == ["camera.chan", "camera.usda"]
    own = json.loads((tmp_path / "out" / "cameras.json").read_text())
    assert own["distortion"][:4] == [K1, K2, P1, P2]


def test_without_poses_only_the_intrinsics_are_there(scene: Scene, tmp_path: Path) -> None:
    report = run(scene, "cameras", tmp_path / "out", camera=CameraChoice(fov_deg=90.0))
    own = json.loads((tmp_path / "out" / "cameras.json").read_text())
    assert own["fx"] == pytest.approx(80)
    assert len(own["poses"]) == FRAMES
    assert "camera_to_world" not in own["poses"][0]
    assert [path.name for path in report.written] == ["cameras.json"]
    assert any("--poses" in said for said in report.said)


def test_names_and_unit_are_the_reconstructions(scene: Scene, tmp_path: Path) -> None:
    report = run(scene, "cameras", tmp_path / "out", poses=colmap(tmp_path))
    assert report.unit == "reconstruction"
    shared = json.loads((tmp_path / "out" / "transforms.json").read_text())
    assert shared["frames"][3]["file_path"] == "sub/frame_0003.jpg"
