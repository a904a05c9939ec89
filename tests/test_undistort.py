"""Lenses taken out on the way out: OpenCV's lens formula makes the pictures, arithmetic knows the truth."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import test_export
from boards import write_depth
from exportcases import Lens, to_surface
from test_export import CAMERA, FRAMES, TRUTH, calibrate, pose, run, transforms

from vda.camera.choice import CameraChoice
from vda.camera.intrinsics import Intrinsics
from vda.camera.undistorting import Undistortion, pinhole_of
from vda.errors import InputError
from vda.scene.scene import Scene

pytestmark = pytest.mark.whole

scene = test_export.scene
OPENCV = {"k1": -0.28, "k2": 0.08, "p1": 0.002, "p2": -0.003}
FISHEYE = {"distortion_model": "fisheye", "k1": 0.05, "k2": -0.01, "k3": 0.0, "k4": 0.0}


def lens_file(folder: Path, lens: dict[str, Any]) -> Path:
    path = folder / "lens.json"
    numbers = {"width": 160, "height": 120, "fx": 120.0, "fy": 121.0, "cx": 81.0, "cy": 58.0}
    path.write_text(json.dumps({**numbers, **lens}))
    return path


def camera_of(lens: dict[str, Any]) -> Lens:
    bends = tuple(float(lens[name]) for name in lens if name[0] in "kp")
    return Lens(bends=bends, fisheye="distortion_model" in lens)


@pytest.fixture(params=[OPENCV, FISHEYE], ids=["opencv", "fisheye"])
def lens(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


@pytest.fixture
def bent_scene(scene: Scene, lens: dict[str, Any]) -> Scene:
    write_depth(scene.merged_dir, [camera_of(lens).depth(frame) for frame in range(FRAMES)], TRUTH)
    calibrate(scene)
    return scene


def world_points(depth: np.ndarray, camera: dict[str, float], frame: int) -> np.ndarray:
    """By nerfstudio's definition: pixels from the corner, a pinhole, z-depth; in the true pose."""
    rows, columns = np.nonzero(depth > 0)
    z = depth[rows, columns]
    x = (columns + 0.5 - camera["cx"]) / camera["fl_x"] * z
    y = (rows + 0.5 - camera["cy"]) / camera["fl_y"] * z
    return np.stack([x, y, z], axis=1) @ pose(frame)[:3, :3].T + pose(frame)[:3, 3]


def test_undistorted_depth_lies_on_the_true_surfaces(
    bent_scene: Scene, lens: dict[str, Any], tmp_path: Path
) -> None:
    choice = CameraChoice(file=lens_file(tmp_path, lens))
    report = run(
        bent_scene,
        "nerfstudio",
        tmp_path / "out",
        poses=transforms(tmp_path),
        camera=choice,
        undistort=True,
        points=0,
    )
    told = json.loads((tmp_path / "out" / "transforms.json").read_text())
    assert not any(told.get(name) for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    assert told["camera_model"] == "OPENCV"
    for frame in range(FRAMES):
        codes = cv2.imread(str(tmp_path / "out" / f"depth/frame_{frame:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert codes is not None
        assert (codes > 0).mean() > 0.99
        points = world_points(codes * 0.001, told, frame)
        # Depth is that of a pixel at most half a pixel away, 8 cm at the wall, which is turned by 12 degrees.
        assert np.percentile(to_surface(points), 99) < 0.03
        assert to_surface(points).max() < 0.2
    assert any("lens is taken out" in said for said in report.said)


def test_pictures_are_undistorted_as_opencv_does_it(lens: dict[str, Any]) -> None:
    numbers = tuple(float(lens[name]) for name in lens if name[0] in "kp")
    camera = Intrinsics(160, 120, 120.0, 121.0, 81.0, 58.0, lens.get("distortion_model", "opencv"), numbers)
    pinhole = pinhole_of(camera)
    x, y = np.meshgrid(np.linspace(0, 255, 160), np.linspace(0, 255, 120))
    rgb = np.stack([x, y, x / 2 + y / 2], axis=-1).astype(np.uint8)
    undo = cv2.fisheye.initUndistortRectifyMap if "distortion_model" in lens else cv2.initUndistortRectifyMap
    maps = undo(camera.matrix, np.array(numbers), np.eye(3), pinhole.matrix, (160, 120), cv2.CV_32FC1)
    expected = cv2.remap(rgb, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    found = Undistortion(camera).picture(rgb)
    assert np.abs(found.astype(int) - np.asarray(expected, int)).max() <= 2


def test_the_pinhole_keeps_the_axis_and_shows_no_blank(lens: dict[str, Any]) -> None:
    numbers = tuple(float(lens[name]) for name in lens if name[0] in "kp")
    camera = Intrinsics(160, 120, 120.0, 121.0, 81.0, 58.0, lens.get("distortion_model", "opencv"), numbers)
    pinhole = pinhole_of(camera)
    assert pinhole.distortion_model == "none"
    assert pinhole.fx / pinhole.fy == pytest.approx(120 / 121)
    assert np.isfinite(Undistortion(camera).depth(np.ones((120, 160), np.float32))).all()
    assert pinhole_of(CAMERA) == CAMERA
    half, whole = pinhole_of(camera.scaled(80, 60)), pinhole.scaled(80, 60)
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(half, name) == pytest.approx(getattr(whole, name))


def test_a_hole_stays_a_hole() -> None:
    camera = replace(CAMERA, distortion_model="opencv", distortion=(-0.28, 0.08, 0.002, -0.003))
    depth = np.full((120, 160), 5.0, np.float32)
    depth[40:80, 60:100] = np.nan
    found = Undistortion(camera).depth(depth)
    assert np.isnan(found[50:70, 70:90]).all()
    assert set(np.unique(found[np.isfinite(found)])) == {5.0}


@pytest.mark.parametrize("target", ["gaussian-splatting", "rerun"])
def test_readers_without_lens_refuse_one(
    bent_scene: Scene, lens: dict[str, Any], tmp_path: Path, target: str
) -> None:
    choice = CameraChoice(file=lens_file(tmp_path, lens))
    with pytest.raises(InputError, match="lens distortion") as caught:
        run(bent_scene, target, tmp_path / "out", poses=transforms(tmp_path), camera=choice)
    assert "--undistort" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_splatting_gets_images_and_a_model_of_the_undistorted_camera(
    bent_scene: Scene, lens: dict[str, Any], tmp_path: Path
) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    choice = CameraChoice(file=lens_file(tmp_path, lens))
    run(
        bent_scene,
        "gaussian-splatting",
        tmp_path / "out",
        poses=transforms(tmp_path),
        camera=choice,
        undistort=True,
    )
    model = pycolmap.Reconstruction(str(tmp_path / "out" / "sparse/0"))
    params = json.loads((tmp_path / "out" / "sparse/0" / "depth_params.json").read_text())
    camera = next(iter(model.cameras.values()))
    assert camera.model_name == "PINHOLE"
    assert len(model.images) == FRAMES
    for image in model.images.values():
        # As the loader: the name without its last suffix; inverse depth = code / 65536 * scale + offset.
        stem = image.name[: -len(image.name.split(".")[-1]) - 1]
        codes = cv2.imread(str(tmp_path / "out" / "depths" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert codes is not None
        inverse = codes / 65536 * params[stem]["scale"] + params[stem]["offset"]
        fx, fy, cx, cy = camera.params
        told = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
        assert np.percentile(to_surface(world_points(1 / inverse, told, int(stem.split("_")[-1]))), 99) < 0.03
        assert (tmp_path / "out" / "images" / image.name).is_file()
    points = np.array([point.xyz for point in model.points3D.values()])
    assert np.percentile(to_surface(points), 99) < 0.03


def test_a_tum_folder_says_that_its_pictures_have_a_lens(
    bent_scene: Scene, lens: dict[str, Any], tmp_path: Path
) -> None:
    choice = CameraChoice(file=lens_file(tmp_path, lens))
    report = run(bent_scene, "tum", tmp_path / "out", poses=transforms(tmp_path), camera=choice)
    assert any("give your program the numbers" in said for said in report.said)


def test_undistorted_cameras_fit_every_format(bent_scene: Scene, lens: dict[str, Any], tmp_path: Path) -> None:
    choice = CameraChoice(file=lens_file(tmp_path, lens))
    report = run(
        bent_scene, "cameras", tmp_path / "out", poses=transforms(tmp_path), camera=choice, undistort=True
    )
    assert {"camera.chan", "camera.usda"} <= {path.name for path in report.written}
    assert not any("left out" in said for said in report.said)


@pytest.mark.parametrize("k1", [-2.0, -0.5])
def test_no_pixel_shows_what_lies_beyond_where_a_lens_formula_turns_back(k1: float) -> None:
    # r (1 + k1 r^2) grows up to r^2 = -1 / (3 k1); what is farther out is projected onto what is nearer.
    camera = Intrinsics(160, 120, 120.0, 120.0, 79.5, 59.5, "opencv", (k1, 0.0, 0.0, 0.0))
    lens = Undistortion(camera)
    turn = np.sqrt(-1 / (3 * k1))
    rows, columns = np.mgrid[0:120, 0:160]
    bent_x, bent_y = (columns - 79.5) / 120, (rows - 59.5) / 120
    bent = np.hypot(bent_x, bent_y)
    straight = np.linspace(0, turn, 10_000)
    radius = np.interp(bent, straight * (1 + k1 * straight**2), straight, right=np.nan)
    true_x = (bent_x * radius / bent).astype(np.float32)
    shown = lens.depth(true_x)
    wanted = (columns - lens.pinhole.cx) / lens.pinhole.fx
    assert np.isfinite(shown).mean() > 0.99
    # The nearest pixel is half a pixel off; near the turn a pixel is many directions wide.
    within = np.hypot(wanted, (rows - lens.pinhole.cy) / lens.pinhole.fy) < 0.75 * turn
    assert within.mean() > 0.7
    assert np.abs(shown - wanted)[within].max() < 0.03
    assert np.abs(wanted).max() < turn
