"""Cameras from other programs' files: ROS, bare matrices, COLMAP's fisheyes, rigs. Values by their definitions."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import test_export
from test_export import FRAMES, calibrate, colmap, pose, run, transforms

from vda.camera.choice import CameraChoice
from vda.camera.conventions import corner_to_centre
from vda.camera.files import colmap_camera, read_camera
from vda.camera.intrinsics import Intrinsics, project
from vda.camera.reconstruction import read_reconstruction
from vda.errors import InputError
from vda.scene.scene import Scene

scene = test_export.scene

# As `ros2 topic echo` prints a message; there is one after every frame.
MESSAGE = """header:
  stamp:
    sec: {sec}
    nanosec: 0
  frame_id: camera
height: 480
width: 640
distortion_model: plumb_bob
d:
- -0.1
- 0.02
- 0.001
- -0.002
- 0.0
k: [{fx}, 0.0, 321.5, 0.0, 502.0, 239.5, 0.0, 0.0, 1.0]
---
"""


@pytest.mark.parametrize("name", ["info.yaml", "info.txt", "info"])
def test_a_recorded_topic_is_one_camera(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("".join(MESSAGE.format(sec=i, fx=500.0) for i in range(3)))
    camera, format_name = read_camera(path)
    assert format_name == "ROS camera_info"
    # ROS counts pixels as OpenCV does.
    assert (camera.width, camera.height, camera.fx, camera.fy) == (640, 480, 500.0, 502.0)
    assert (camera.cx, camera.cy) == (321.5, 239.5)
    assert camera.distortion == (-0.1, 0.02, 0.001, -0.002, 0.0)


def test_a_topic_of_two_cameras_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "info.yaml"
    path.write_text(MESSAGE.format(sec=0, fx=500.0) + MESSAGE.format(sec=0, fx=510.0))
    with pytest.raises(InputError, match="2 different cameras"):
        read_camera(path)


@pytest.mark.parametrize(
    "text",
    [
        "500 0 321\n0 502 239\n0 0 1\n",
        "500, 0, 321, 0, 502, 239, 0, 0, 1",
        "5.0e2 0 321 0\n0 502 239 0\n0 0 1 0\n0 0 0 1\n",
    ],
    ids=["rows", "a line", "4 x 4"],
)
def test_a_bare_matrix_is_for_the_size_that_is_given(tmp_path: Path, text: str) -> None:
    path = tmp_path / "K.txt"
    path.write_text(text)
    camera, _ = read_camera(path, size=(640, 480))
    assert (camera.width, camera.height) == (640, 480)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 502, 321, 239)
    assert camera.distortion_model == "none"


@pytest.mark.parametrize("text", ["500 9 321 0 502 239 0 0 1", "1 2 3 4 5 6 7 8 9"], ids=["skew", "no camera"])
def test_a_matrix_that_is_no_camera_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "K.txt"
    path.write_text(text)
    with pytest.raises(InputError, match="is not fx 0 cx"):
        read_camera(path, size=(640, 480))


def test_a_bare_matrix_for_another_size_is_scaled(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "K.txt"
    path.write_text("240 0 160 0 242 120 0 0 1")
    choice = CameraChoice(file=path, numbers_size=(320, 240))
    run(scene, "cameras", tmp_path / "out", poses=transforms(tmp_path), camera=choice)
    own = json.loads((tmp_path / "out" / "cameras.json").read_text())
    # Half the size; a pixel's middle moves by half a pixel of the other size: (160 + 0.5) / 2 - 0.5.
    assert [own[name] for name in ("fx", "fy", "cx", "cy")] == pytest.approx([120, 121, 79.75, 59.75])


COLMAP_LENSES: dict[str, list[float]] = {
    "SIMPLE_PINHOLE": [500, 322, 238],
    "PINHOLE": [500, 502, 322, 238],
    "SIMPLE_RADIAL": [500, 322, 238, -0.12],
    "RADIAL": [500, 322, 238, -0.12, 0.03],
    "OPENCV": [500, 502, 322, 238, -0.12, 0.03, 0.001, -0.002],
    "FULL_OPENCV": [500, 502, 322, 238, -0.12, 0.03, 0.001, -0.002, 0.01, 0.02, -0.01, 0.005],
    "SIMPLE_RADIAL_FISHEYE": [300, 322, 238, 0.04],
    "RADIAL_FISHEYE": [300, 322, 238, 0.04, -0.01],
    "OPENCV_FISHEYE": [300, 302, 322, 238, 0.04, -0.01, 0.002, -0.001],
}


@pytest.mark.parametrize("model", COLMAP_LENSES)
def test_colmaps_cameras_see_what_colmap_says(model: str) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    numbers = COLMAP_LENSES[model]
    theirs = pycolmap.Camera(model=model, width=640, height=480, params=numbers)
    points = np.random.default_rng(1).uniform((-0.6, -0.45, 1), (0.6, 0.45, 1), (50, 3))
    expected = np.array([theirs.img_from_cam(point) for point in points])
    found = project(colmap_camera(model, 640, 480, numbers), points)
    assert found == pytest.approx(corner_to_centre(expected), abs=1e-9)


@pytest.mark.parametrize("model", ["FOV", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE"])
def test_lenses_that_opencv_has_not_are_refused_by_name(model: str) -> None:
    with pytest.raises(InputError, match=model):
        colmap_camera(model, 640, 480, [500.0] * 16)


def rig(folder: Path) -> Path:
    """Two cameras, the right one half a metre beside; images have the frames' numbers in both folders."""
    model = colmap(folder)
    lines = (model / "images.txt").read_text().splitlines()
    images = []
    for place, line in enumerate(lines[::2]):
        words = line.split()
        other = [*words]
        words[9] = f"left/{place:04d}.jpg"
        other[0], other[9] = str(place + 100), f"right/{place:04d}.jpg"
        # World to camera: half a metre to the right, in units of 0.37 m, takes x down.
        other[5] = str(float(words[5]) - 0.5 * test_export.UNIT)
        images += [" ".join(words), lines[2 * place + 1], " ".join(other), ""]
    (model / "images.txt").write_text("\n".join(images) + "\n")
    return model


def test_a_rig_is_asked_about(scene: Scene, tmp_path: Path) -> None:
    model = rig(tmp_path)
    with pytest.raises(InputError, match="same frames in 2 folders") as caught:
        run(scene, "gaussian-splatting", tmp_path / "out", poses=model)
    assert caught.value.remedy.endswith("--image-folder left|right.")
    with pytest.raises(InputError, match="No image"):
        run(scene, "gaussian-splatting", tmp_path / "out", poses=model, image_folder="middle")


def test_the_camera_of_a_rig_that_is_named_is_taken(scene: Scene, tmp_path: Path) -> None:
    model = rig(tmp_path)
    for side, aside in (("left", 0.0), ("right", 0.5)):
        run(scene, "cameras", tmp_path / side, poses=model, image_folder=side)
        poses = json.loads((tmp_path / side / "cameras.json").read_text())["poses"]
        assert len(poses) == FRAMES
        for frame, entry in enumerate(poses):
            found = np.array(entry["camera_to_world"])[:3, 3] / test_export.UNIT
            assert found == pytest.approx(pose(frame)[:3, 3] + aside * pose(frame)[:3, 0], abs=1e-6)


def test_folders_of_different_frames_are_one_camera(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    value = json.loads(transforms(tmp_path).read_text())
    for place, frame in enumerate(value["frames"]):
        frame["file_path"] = f"{'first' if place < 2 else 'second'}/frame_{place:05d}.png"
    path = tmp_path / "parts.json"
    path.write_text(json.dumps(value))
    assert run(scene, "tum", tmp_path / "out", poses=path).frames == FRAMES


@pytest.mark.parametrize("form", ["frame-{:06d}.color.jpg", "{:d}.png", "cam1_rgb_{:04d}.jpeg"])
def test_names_of_data_sets_tell_their_frames(scene: Scene, tmp_path: Path, form: str) -> None:
    calibrate(scene)
    value = json.loads(transforms(tmp_path).read_text())
    value["frames"] = value["frames"][::2]
    for place, frame in enumerate(value["frames"]):
        frame["file_path"] = form.format(2 * place)
    path = tmp_path / "names.json"
    path.write_text(json.dumps(value))
    run(scene, "nerfstudio", tmp_path / "out", poses=path, points=0)
    assert {file.name for file in (tmp_path / "out" / "images").iterdir()} == {
        f"frame_{frame:06d}.png" for frame in (0, 2, 4)
    }
    assert cv2.imread(str(tmp_path / "out" / "depth" / "frame_000004.png"), cv2.IMREAD_UNCHANGED) is not None


@pytest.mark.parametrize(
    ("rows", "columns"),
    [("rows: 3", "kols: 3"), ("rows: 1", "cols: 1"), ("rows: -3", "cols: 3"), ("rows: 3", "cols: 0")],
)
def test_a_matrix_of_opencv_is_its_data(tmp_path: Path, rows: str, columns: str) -> None:
    """Of such sizes OpenCV's own reader writes past the matrix, which ends the process."""
    head = "%YAML:1.0\n---\nimage_width: 8\nimage_height: 6\ncamera_matrix: !!opencv-matrix\n"
    data = "data: [ 50., 0., 3.5, 0., 5.1e+01, 2.5, 0., 0., 1. ]"
    (tmp_path / "k.yaml").write_text(f"{head}   {rows}\n   {columns}\n   dt: d\n   {data}\n")
    assert read_camera(tmp_path / "k.yaml")[0] == Intrinsics(8, 6, 50, 51, 3.5, 2.5)


@pytest.mark.parametrize(
    "text",
    [
        "m: !!opencv-matrix\n   rows: 1\n   cols: 1\n   dt: d\n   data: [    data: [ 1. ]\n",
        " a: 1\nm: !!opencv-matrix\n   rows: 1\n   dt: d\n---   data: [ 1. ]\n",
        "m: !!opencv-matrix [ 1. ]\n",
        "m: !!python/object/apply:os.getcwd []\n",
        "",
    ],
)
def test_a_damaged_file_of_opencv_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "k.yaml").write_text(f"%YAML:1.0\n---\n{text}")
    with pytest.raises(InputError, match=r"k\.yaml"):
        read_camera(tmp_path / "k.yaml")


def binary_model(folder: Path) -> Path:
    """A model that COLMAP's own package writes: a rig of two cameras, two frames, a point that is seen twice."""
    pycolmap = pytest.importorskip("pycolmap")
    text, binary = folder / "text", folder / "binary"
    text.mkdir(parents=True)
    binary.mkdir()
    (text / "cameras.txt").write_text("1 PINHOLE 8 6 50 50 4 3\n2 OPENCV 8 6 50 50 4 3 0.1 0 0 0\n")
    (text / "rigs.txt").write_text("1 2 CAMERA 1 CAMERA 2 1 1 0 0 0 1 0 0\n")
    (text / "frames.txt").write_text("1 1 1 0 0 0 0 0 1 2 CAMERA 1 1 CAMERA 2 2\n2 1 1 0 0 0 0 0 2 1 CAMERA 1 3\n")
    images = [f"{i} 1 0 0 0 0 0 1 {1 + (i == 2)} {i:04d}.png\n4 3 {1 if i < 3 else -1}\n" for i in (1, 2, 3)]
    (text / "images.txt").write_text("".join(images))
    (text / "points3D.txt").write_text("1 0 0 5 255 0 0 0.5 1 0 2 0\n")
    pycolmap.Reconstruction(str(text)).write_binary(str(binary))
    return binary


@pytest.mark.parametrize("name", ["cameras.bin", "rigs.bin", "frames.bin", "images.bin", "points3D.bin"])
def test_a_binary_model_that_counts_more_than_it_has_is_refused(tmp_path: Path, name: str) -> None:
    """Its own reader makes room for all that is counted, until there is no more memory."""
    model = binary_model(tmp_path)
    assert len(read_reconstruction(model, np.arange(3) / 25, 1)) == 3
    data = (model / name).read_bytes()
    for wrong in (data[:-40], (1 << 40).to_bytes(8, "little") + data[8:], data[:7], b""):
        (model / name).write_bytes(wrong)
        with pytest.raises(InputError, match="COLMAP model"):
            read_reconstruction(model, np.arange(3) / 25, 1)


def test_a_point_that_is_seen_too_often_is_refused(tmp_path: Path) -> None:
    model = binary_model(tmp_path)
    data = bytearray((model / "points3D.bin").read_bytes())
    assert data[8 + 43] == 2
    data[8 + 43 : 8 + 51] = (1 << 33).to_bytes(8, "little")
    (model / "points3D.bin").write_bytes(data)
    with pytest.raises(InputError, match=r"points3D\.bin"):
        read_reconstruction(model, np.arange(3) / 25, 1)
