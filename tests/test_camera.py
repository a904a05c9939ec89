"""Pixels to points and back, for every lens; and cameras as the programs of others write them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vda.camera.choice import CameraSetting, fit_to_video
from vda.camera.conventions import resized
from vda.camera.files import read_camera
from vda.camera.intrinsics import (
    Intrinsics,
    normalise,
    pixel_grid,
    project,
    same_shape,
    unproject,
    unproject_image,
)
from vda.errors import InputError
from vda.reporter import Noted, Silence

PINHOLE = Intrinsics(640, 480, 500.0, 510.0, 310.0, 250.0)
BROWN = Intrinsics(640, 480, 536.0, 530.0, 342.0, 235.0, "opencv", (-0.27, -0.04, 0.0018, -0.0003, 0.24))
RATIONAL = Intrinsics(
    640, 480, 536.0, 530.0, 342.0, 235.0, "opencv", (0.1, -0.04, 0.001, -0.002, 0.02, 0.3, 0.02, 0.01)
)
FISHEYE = Intrinsics(640, 480, 320.0, 322.0, 318.0, 241.0, "fisheye", (0.05, -0.01, 0.002, 0.0005))
LENSES = [PINHOLE, BROWN, RATIONAL, FISHEYE]


def some_pixels() -> np.ndarray:
    return np.random.default_rng(7).uniform([0, 0], [639, 479], (500, 2))


def test_a_point_on_the_axis_is_seen_at_the_principal_point_and_a_metre_aside_a_focal_length_away() -> None:
    seen = project(PINHOLE, np.array([[0.0, 0.0, 3.0], [1.0, 0.0, 1.0], [0.0, 2.0, 4.0]]))
    assert seen == pytest.approx(np.array([[310.0, 250.0], [810.0, 250.0], [310.0, 505.0]]))


@pytest.mark.parametrize("camera", LENSES)
def test_what_is_unprojected_is_seen_where_it_was(camera: Intrinsics) -> None:
    pixels, depth = some_pixels(), np.random.default_rng(1).uniform(0.5, 80, 500)
    points = unproject(camera, pixels, depth)
    assert points[:, 2] == pytest.approx(depth)
    assert project(camera, points) == pytest.approx(pixels, abs=1e-3)


def test_the_lens_is_opencvs() -> None:
    points = np.random.default_rng(2).uniform([-1, -1, 2], [1, 1, 9], (50, 3))
    seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), BROWN.matrix, np.array(BROWN.distortion))
    assert project(BROWN, points) == pytest.approx(seen[:, 0], abs=1e-9)


def test_nothing_is_seen_behind_the_camera_and_a_pixel_beyond_the_fisheyes_ninety_degrees_has_no_ray() -> None:
    assert np.isnan(project(PINHOLE, np.array([[0.0, 0.0, -1.0], [np.nan, 0.0, 1.0]]))).all()
    assert np.isnan(normalise(FISHEYE, np.array([[9000.0, 241.0], [np.nan, 3.0]]))).all()


@pytest.mark.parametrize("camera", LENSES)
def test_resizing_moves_no_ray(camera: Intrinsics) -> None:
    smaller = resized(some_pixels(), (640, 480), (250, 140))
    assert normalise(camera.scaled(250, 140), smaller) == pytest.approx(normalise(camera, some_pixels()), abs=1e-6)


def test_pixel_centres_are_integers_so_two_pixels_merge_between_their_centres() -> None:
    assert resized(np.array([[0.5, 0.5], [-0.5, -0.5]]), (4, 4), (2, 2)).tolist() == [
        [0.0, 0.0],
        [-0.5, -0.5],
    ]


@pytest.mark.parametrize("camera", LENSES)
def test_a_turned_image_shows_turned_points(camera: Intrinsics) -> None:
    # Turned clockwise, what was at the bottom left is at the top left: (x, y) is seen at (height - 1 - y, x).
    pixels = some_pixels()
    turned = np.stack([479 - pixels[:, 1], pixels[:, 0]], axis=1)
    rays, turned_rays = normalise(camera, pixels), normalise(camera.rotated(1), turned)
    assert turned_rays == pytest.approx(np.stack([-rays[:, 1], rays[:, 0]], axis=1), abs=1e-5)
    assert camera.rotated(1).rotated(3) == camera


def test_a_cropped_image_keeps_its_rays() -> None:
    crop = BROWN.cropped(100, 50, 300, 200)
    assert (crop.width, crop.height) == (300, 200)
    assert normalise(crop, np.array([[20.0, 30.0]])) == pytest.approx(normalise(BROWN, np.array([[120.0, 80.0]])))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((1920, 1080), (1280, 720), True),
        # A film of 1.85:1 and one of 16:9 are 4 % apart; a crop of 1.5 % is another picture too.
        ((1920, 1080), (1998, 1080), False),
        ((1920, 1080), (1920, 1064), False),
        # ScanNet's colour is 1296x968 and its depth 640x480.
        ((1296, 968), (640, 480), True),
        ((1080, 1920), (1920, 1080), False),
    ],
)
def test_sizes_of_one_picture_differ_by_rounding_alone(
    one: tuple[int, int], other: tuple[int, int], same: bool
) -> None:
    assert same_shape(one, other) is same_shape(other, one) is same


def test_a_field_of_view_reaches_from_edge_to_edge() -> None:
    camera = Intrinsics.from_fov(800, 600, 90.0)
    assert camera.horizontal_fov_deg == pytest.approx(90)
    assert normalise(camera, np.array([[-0.5, 299.5], [799.5, 299.5]]))[:, 0].tolist() == pytest.approx([-1, 1])


def test_a_depth_image_becomes_points_pixel_by_pixel() -> None:
    depth = np.full((3, 4), 2.0, np.float32)
    depth[1, 2] = np.nan
    points = unproject_image(Intrinsics(8, 6, 10, 10, 3.5, 2.5), depth)
    assert points.shape == (3, 4, 3)
    assert np.isnan(points[1, 2]).all()
    assert points[0, 0].tolist() == pytest.approx([-0.6, -0.4, 2.0])
    assert pixel_grid(4, 3)[5].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "numbers",
    [(0.0, 5.0, 1.0, 1.0), (5.0, float("nan"), 1.0, 1.0), (5.0, 5.0, float("inf"), 1.0)],
)
def test_impossible_cameras_are_refused(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError):
        Intrinsics(640, 480, *numbers)
    with pytest.raises(InputError):
        Intrinsics(640, 480, 5.0, 5.0, 1.0, 1.0, "opencv", (1.0,))


OPENCV_YAML = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 535.5, 0., 342.25, 0., 536.5, 235.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.25, -0.04, 0.002, -0.0003, 0.24 ]
"""
ROS_YAML = """image_width: 640
image_height: 480
camera_name: test
camera_matrix:
  rows: 3
  cols: 3
  data: [438.5, 0.0, 305.5, 0.0, 437.25, 243.5, 0.0, 0.0, 1.0]
distortion_model: {model}
distortion_coefficients:
  rows: 1
  cols: {count}
  data: {lens}
projection_matrix:
  rows: 3
  cols: 4
  data: [393.65, 0.0, 322.8, 0.0, 0.0, 393.65, 241.1, 0.0, 0.0, 0.0, 1.0, 0.0]
"""


def camera_from(tmp_path: Path, name: str, text: str) -> Intrinsics:
    (tmp_path / name).write_text(text)
    return read_camera(tmp_path / name)[0]


def test_opencv_yaml(tmp_path: Path) -> None:
    camera = camera_from(tmp_path, "left.yml", OPENCV_YAML)
    expected = (-0.25, -0.04, 0.002, -0.0003, 0.24)
    assert camera == Intrinsics(640, 480, 535.5, 536.5, 342.25, 235.5, "opencv", expected)


@pytest.mark.parametrize("suffix", ["json", "yml"])
def test_what_opencv_writes_itself(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"camera.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("fisheye_model", 1)
    storage.write("camera_matrix", np.array([[300.0, 0, 320], [0, 301, 240], [0, 0, 1]]))
    storage.write("distortion_coefficients", np.array([[0.1, 0.01, 0.001, 0.0001]]))
    storage.release()
    camera, name = read_camera(path)
    assert name == "OpenCV"
    assert camera == Intrinsics(640, 480, 300, 301, 320, 240, "fisheye", (0.1, 0.01, 0.001, 0.0001))


@pytest.mark.parametrize(
    ("model", "lens", "expected"),
    [
        ("plumb_bob", [-0.36, 0.11, 0.001, 0.0005, 0.0], "opencv"),
        ("rational_polynomial", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], "opencv"),
        ("equidistant", [0.1, 0.2, 0.3, 0.4], "fisheye"),
    ],
)
def test_ros_camera_info_uses_the_raw_image_and_not_the_rectified_one(
    tmp_path: Path, model: str, lens: list[float], expected: str
) -> None:
    camera = camera_from(tmp_path, "info.yaml", ROS_YAML.format(model=model, lens=lens, count=len(lens)))
    assert camera == Intrinsics(640, 480, 438.5, 437.25, 305.5, 243.5, expected, tuple(lens))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SIMPLE_PINHOLE 800 600 700 400 300", Intrinsics(800, 600, 700, 700, 399.5, 299.5)),
        ("PINHOLE 800 600 700 710 400 300", Intrinsics(800, 600, 700, 710, 399.5, 299.5)),
        (
            "SIMPLE_RADIAL 800 600 700 400 300 -0.5",
            Intrinsics(800, 600, 700, 700, 399.5, 299.5, "opencv", (-0.5, 0, 0, 0)),
        ),
        (
            "RADIAL 800 600 700 400 300 -0.5 0.2",
            Intrinsics(800, 600, 700, 700, 399.5, 299.5, "opencv", (-0.5, 0.2, 0, 0)),
        ),
        (
            "OPENCV 800 600 700 710 400 300 1 2 3 4",
            Intrinsics(800, 600, 700, 710, 399.5, 299.5, "opencv", (1, 2, 3, 4)),
        ),
        (
            "FULL_OPENCV 800 600 700 710 400 300 1 2 3 4 5 6 7 8",
            Intrinsics(800, 600, 700, 710, 399.5, 299.5, "opencv", (1, 2, 3, 4, 5, 6, 7, 8)),
        ),
        (
            "SIMPLE_RADIAL_FISHEYE 800 600 700 400 300 0.1",
            Intrinsics(800, 600, 700, 700, 399.5, 299.5, "fisheye", (0.1, 0, 0, 0)),
        ),
        (
            "OPENCV_FISHEYE 800 600 700 710 400 300 0.1 0.2 0.3 0.4",
            Intrinsics(800, 600, 700, 710, 399.5, 299.5, "fisheye", (0.1, 0.2, 0.3, 0.4)),
        ),
    ],
)
def test_colmap_counts_pixels_from_their_corner(tmp_path: Path, line: str, expected: Intrinsics) -> None:
    assert camera_from(tmp_path, "cameras.txt", f"# Camera list\n1 {line}\n") == expected


def test_of_several_colmap_cameras_one_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "cameras.txt"
    path.write_text("1 SIMPLE_PINHOLE 8 6 7 4 3\n7 SIMPLE_PINHOLE 80 60 70 40 30\n")
    with pytest.raises(InputError, match="2 cameras"):
        read_camera(path)
    assert read_camera(path, camera_id=7)[0].fx == 70


def transforms(**more: object) -> str:
    return json.dumps({"frames": [{"file_path": "a.png"}, {"file_path": "b.png"}], **more})


def test_nerfstudio_and_instant_ngp(tmp_path: Path) -> None:
    numbers = {"fl_x": 1375.5, "fl_y": 1374.5, "cx": 554.5, "cy": 965.5, "w": 1080.0, "h": 1920.0}
    lens = {"k1": 0.05, "k2": -0.08, "p1": -0.001, "p2": 0.0002}
    camera = camera_from(tmp_path, "transforms.json", transforms(**numbers, **lens))
    expected = (0.05, -0.08, -0.001, 0.0002, 0.0)
    assert camera == Intrinsics(1080, 1920, 1375.5, 1374.5, 554.0, 965.0, "opencv", expected)
    fisheye = camera_from(
        tmp_path, "transforms.json", transforms(**numbers, k1=0.1, camera_model="OPENCV_FISHEYE")
    )
    assert (fisheye.distortion_model, fisheye.distortion) == ("fisheye", (0.1, 0.0, 0.0, 0.0))
    angle = camera_from(tmp_path, "transforms.json", transforms(camera_angle_x=np.pi / 2, w=800, h=600))
    assert (angle.fx, angle.cx) == (pytest.approx(400), 399.5)


def test_frames_with_different_intrinsics_are_not_one_camera(tmp_path: Path) -> None:
    frames = [{"fl_x": 100.0}, {"fl_x": 101.0}]
    with pytest.raises(InputError, match="different intrinsics"):
        camera_from(tmp_path, "transforms.json", json.dumps({"w": 8, "h": 6, "frames": frames}))


def test_open3d_stores_columns(tmp_path: Path) -> None:
    text = json.dumps(
        {"width": 640, "height": 480, "intrinsic_matrix": [525.0, 0, 0, 0, 526.0, 0, 319.5, 239.5, 1]}
    )
    assert camera_from(tmp_path, "camera.json", text) == Intrinsics(640, 480, 525, 526, 319.5, 239.5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.txt", ""),
        ("words.txt", "this is no camera"),
        ("camera.json", "{}"),
        ("camera.json", '{"fx": 5, "fy": 5'),
        ("camera.yaml", "a: [1, 2"),
        ("camera.yaml", "camera_matrix: 5"),
        ("cameras.txt", "1 THIN_PRISM_FISHEYE 8 6 1 2 3 4 5"),
        ("cameras.txt", "1 OPENCV 8 6 1 2 3 4"),
        ("camera.yml", OPENCV_YAML[: len(OPENCV_YAML) // 2]),
        ("info.yaml", ROS_YAML.format(model="made_up", lens=[], count=0)),
    ],
)
def test_files_without_a_usable_camera_are_refused_in_words(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        camera_from(tmp_path, name, text)
    assert caught.value.remedy


def test_a_camera_for_another_resolution_is_scaled_and_that_is_said() -> None:
    told = Noted(None)
    camera = fit_to_video(BROWN, (1280, 960), CameraSetting(), told)
    assert camera == BROWN.scaled(1280, 960)
    assert "640x480" in told.said[0] and "1280x960" in told.said[0]


def test_a_turned_video_takes_its_turned_camera() -> None:
    told = Noted(None)
    camera = fit_to_video(BROWN, (480, 640), CameraSetting(rotation_deg=90), told)
    assert camera == BROWN.rotated(1)
    assert "90 degrees" in told.said[0]


def test_a_video_stored_upside_down_is_ambiguous_and_that_is_said() -> None:
    told = Noted(None)
    assert fit_to_video(BROWN, (640, 480), CameraSetting(rotation_deg=180), told) == BROWN
    assert "--camera-turn 180" in told.said[0]
    assert fit_to_video(BROWN, (640, 480), CameraSetting(2, rotation_deg=180), told) == BROWN.rotated(2)


def test_a_cropped_video_takes_the_part_of_the_camera_that_it_shows() -> None:
    camera = fit_to_video(BROWN, (150, 100), CameraSetting(crop=(100, 50, 300, 200)), Silence())
    assert camera == BROWN.cropped(100, 50, 300, 200).scaled(150, 100)


@pytest.mark.parametrize("setting", [CameraSetting(), CameraSetting(crop=(500, 0, 300, 300))])
def test_a_shape_that_does_not_fit_is_refused(setting: CameraSetting) -> None:
    with pytest.raises(InputError):
        fit_to_video(BROWN, (300, 300), setting, Silence())


class TestLensesUnderOtherNames:
    """A lens that is passed over puts every ray beside its pixel, in silence."""

    NUMBERS = (-0.28, 0.07, 0.001, -0.002, 0.03)
    MATRIX = ((500.0, 0.0, 320.0), (0.0, 505.0, 240.0), (0.0, 0.0, 1.0))

    @pytest.mark.parametrize(
        "name", ["dist_coeff", "dist_coeffs", "distCoeffs", "distortion_coefficients", "dist"]
    )
    def test_opencv_json(self, tmp_path: Path, name: str) -> None:
        content = {"camera_matrix": self.MATRIX, name: [list(self.NUMBERS)], "image_size": [640, 480]}
        (tmp_path / "c.json").write_text(json.dumps(content))
        camera, _ = read_camera(tmp_path / "c.json")
        assert (camera.distortion_model, camera.distortion) == ("opencv", self.NUMBERS)

    @pytest.mark.parametrize("matrix", [True, False])
    def test_numbers_under_their_own_names(self, tmp_path: Path, matrix: bool) -> None:
        """OpenCV's order is k1 k2 p1 p2 k3, whatever the order in the file."""
        lens = dict(zip(("k1", "k2", "p1", "p2", "k3"), self.NUMBERS, strict=True))
        plain = {"fx": 500.0, "fy": 505.0, "cx": 320.0, "cy": 240.0, "width": 640, "height": 480}
        whole = {"camera_matrix": self.MATRIX, "image_width": 640, "image_height": 480}
        (tmp_path / "c.json").write_text(
            json.dumps({**dict(sorted(lens.items())), **(whole if matrix else plain)})
        )
        camera, _ = read_camera(tmp_path / "c.json")
        assert (camera.distortion_model, camera.distortion) == ("opencv", self.NUMBERS)

    @pytest.mark.parametrize(
        ("named", "words"),
        [
            ({"camera_type": "equirectangular"}, "no rays of a pinhole"),
            ({"projection": "Orthographic"}, "no rays of a pinhole"),
            ({"model": "double sphere", "alpha": 0.5}, "no rays of a pinhole"),
            ({"xi": 1.1}, "no rays of a pinhole"),
            ({"camera_model": "OPENCV_FISHEYE", "k1": 0.05}, "called a fisheye"),
        ],
    )
    @pytest.mark.parametrize("matrix", [False, True])
    def test_numbers_under_the_name_of_other_rays_are_no_pinhole(
        self, tmp_path: Path, named: dict[str, Any], words: str, matrix: bool
    ) -> None:
        numbers: dict[str, Any] = {"fx": 130, "fy": 130, "cx": 80, "cy": 60}
        if matrix:
            numbers = {"K": [130, 0, 80, 0, 130, 60, 0, 0, 1]}
        path = tmp_path / "camera.json"
        path.write_text(json.dumps({**numbers, "width": 160, "height": 120, "camera_name": "rig", **named}))
        with pytest.raises(InputError, match=words):
            read_camera(path)

    @pytest.mark.parametrize("model", ["EQUIRECTANGULAR", "FISHEYE624", "ORTHOPHOTO"])
    def test_what_has_no_pinholes_rays_is_refused(self, tmp_path: Path, model: str) -> None:
        content = {
            "camera_model": model,
            "w": 640,
            "h": 320,
            "fl_x": 1,
            "fl_y": 1,
            "cx": 320,
            "cy": 160,
            "frames": [],
        }
        (tmp_path / "transforms.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=model):
            read_camera(tmp_path / "transforms.json")

    def test_a_k4_that_opencv_reads_in_another_formula_is_refused(self, tmp_path: Path) -> None:
        """nerfstudio: 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8; OpenCV's k4 stands in a denominator."""
        content = {"w": 640, "h": 480, "fl_x": 500, "fl_y": 500, "cx": 320, "cy": 240, "k1": 0.1, "k4": 0.01}
        (tmp_path / "transforms.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="k4"):
            read_camera(tmp_path / "transforms.json")
        (tmp_path / "transforms.json").write_text(json.dumps({**content, "camera_model": "OPENCV_FISHEYE"}))
        assert read_camera(tmp_path / "transforms.json")[0].distortion == (0.1, 0.0, 0.0, 0.01)
