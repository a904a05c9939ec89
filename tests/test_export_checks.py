"""What is wrong with an export is said before its first frame, and nothing of somebody's own is replaced."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exportcases import Case, Lens, build, rig, transforms
from test_export import run

from vda.camera.choice import CameraChoice
from vda.camera.colmapmodel import model_files
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import PosedCamera
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.errors import InputError, UsageError, VideoError
from vda.exporting import TARGETS
from vda.scene.scene import Scene

PLAIN = Case(lambda frame: Lens(), transforms)
FOV = {"camera": CameraChoice(fov_deg=60.0)}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return build(tmp_path, PLAIN)


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    return transforms(tmp_path, PLAIN)


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("ply", {"near": 5.0, "far": 3.0}, "No depth lies between"),
        ("ply", {"near": float("nan")}, "--near nan is not possible"),
        ("ply", {"tracks": Path("tracks.json")}, "no place for tracks"),
        ("ply", {"image_folder": "left"}, "there are no poses"),
        ("ply", {"image_base": 1}, "there are no poses"),
        ("ply", {"by_order": True}, "there are no poses"),
        ("cameras", {"edges": "drop"}, "Cameras have no depth"),
        ("cameras", {"far": 3.0}, "Cameras have no depth"),
    ],
)
def test_wishes_without_sense_are_refused(
    scene: Scene, tmp_path: Path, target: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        run(scene, target, tmp_path / "out", **FOV, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "cameras"])
def test_a_film_that_is_gone_is_said_before_anything_is_fitted(
    scene: Scene, poses: Path, tmp_path: Path, target: str
) -> None:
    scene.video().path.unlink()
    scene.depth_path(0).write_bytes(b"no image: whoever fits depth would fall over it")
    with pytest.raises(VideoError):
        run(scene, target, tmp_path / "out", poses=poses)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_in_place_of_a_folder_is_said_and_the_other_way_round(
    scene: Scene, poses: Path, tmp_path: Path, target: str
) -> None:
    output = tmp_path / "out"
    if target == "rerun":
        output.mkdir()
    else:
        output.write_text("mine")
    with pytest.raises(UsageError, match="is a f"):
        run(scene, target, output, poses=poses, overwrite=True)
    assert output.is_dir() or output.read_text() == "mine"


@pytest.mark.parametrize(
    ("target", "lens"),
    [
        ("nerfstudio", [0.1, 0.01, 0, 0, 0, 0.2, 0.1, 0.05]),
        ("colmap", [0.1, 0, 0, 0, 0, 0, 0, 0, 0.01, 0, 0, 0]),
        ("dn-splatter", [0.1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.05, 0.02]),
    ],
)
def test_a_lens_that_a_format_has_no_words_for_is_refused_before_the_first_frame(
    scene: Scene, poses: Path, tmp_path: Path, target: str, lens: list[float]
) -> None:
    camera = tmp_path / "camera.json"
    numbers = {"width": 160, "height": 120, "fx": 120, "fy": 120, "cx": 80, "cy": 60}
    camera.write_text(json.dumps({**numbers, "distortion_model": "opencv", "distortion": lens}))
    with pytest.raises(InputError, match="lens"):
        run(scene, target, tmp_path / "out", poses=poses, camera=CameraChoice(file=camera))
    assert not (tmp_path / "out").exists()


def test_the_share_of_pixels_without_direction_is_said(scene: Scene, poses: Path, tmp_path: Path) -> None:
    # r (1 - 2 r^2) is 2/3 sqrt(1/6) = 0.272 at most: of 160 x 120 pixels a circle of 120 x 0.272 pixels is left.
    camera = tmp_path / "camera.json"
    numbers = {"width": 160, "height": 120, "fx": 120, "fy": 120, "cx": 79.5, "cy": 59.5}
    camera.write_text(json.dumps({**numbers, "distortion_model": "opencv", "distortion": [-2.0, 0, 0, 0]}))
    report = run(scene, "ply", tmp_path / "out", poses=poses, camera=CameraChoice(file=camera))
    (told,) = [line for line in report.said if "lens model covers" in line]
    share = 1 - np.pi * (120 * 2 / 3 * np.sqrt(1 / 6)) ** 2 / (160 * 120)
    assert float(told.split()[1].rstrip("%")) / 100 == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("colmap", "sparse/0/images.bin"),
        ("colmap", "sparse/0/images.txt"),
        ("colmap", "images/frame_000003.png"),
        ("dn-splatter", "colmap/sparse/0/cameras.bin"),
        ("nerfstudio", "transforms.json"),
        ("nerfstudio", "images/frame_000000.png"),
        ("cameras", "sparse/0/points3D.bin"),
        ("cameras", "cameras.json"),
    ],
)
def test_cameras_and_images_of_others_stay(
    scene: Scene, poses: Path, tmp_path: Path, target: str, name: str
) -> None:
    """COLMAP and the loader of Gaussian splatting read ``.bin`` first, so text beside it would be passed over."""
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match="not written by an export"):
        run(scene, target, tmp_path / "out", poses=poses, overwrite=True)
    assert mine.read_text() == "mine"
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [mine]


def test_splatting_adds_to_a_reconstruction_and_undistorted_keeps_away(
    scene: Scene, poses: Path, tmp_path: Path
) -> None:
    model = tmp_path / "out" / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "images.bin").write_bytes(b"mine")
    run(scene, "gaussian-splatting", tmp_path / "out", poses=poses, overwrite=True)
    assert (model / "depth_params.json").is_file()
    with pytest.raises(UsageError, match="not written by an export"):
        run(scene, "gaussian-splatting", tmp_path / "out", poses=poses, overwrite=True, undistort=True)


def test_poses_that_this_export_would_remove_are_refused(scene: Scene, poses: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(scene, "cameras", out, poses=poses)
    for own in (out / "cameras.json", out / "sparse" / "0"):
        with pytest.raises(UsageError, match="an export's own"):
            run(scene, "ply", out, poses=own, overwrite=True)
    assert (out / "cameras.json").is_file()
    assert run(scene, "ply", tmp_path / "clouds", poses=out / "cameras.json").frames == 6


@pytest.mark.parametrize(
    ("target", "package"), [("ply", "plyfile"), ("nerfstudio", "plyfile"), ("rerun", "rerun")]
)
def test_a_missing_package_is_said_before_the_first_frame(
    scene: Scene, poses: Path, tmp_path: Path, target: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match="need"):
        run(scene, target, tmp_path / "out", poses=poses)
    assert not (tmp_path / "out").exists()


def in_shots(scene: Scene, cut: int) -> None:
    """Have the depth in two shots, as relative depth."""
    record = DepthRecord.read(scene.merged_dir / "depth.json")
    shots = [{"start_frame": 0, "end_frame": cut}, {"start_frame": cut, "end_frame": 6}]
    replace(record, shots=[{**shot, "scale": [1.0], "shift": [0.0]} for shot in shots]).write(
        scene.merged_dir / "depth.json"
    )


def test_a_reconstruction_of_one_shot_needs_no_points_in_the_others(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    case = Case(lambda frame: Lens(), rig, posed=(0, 1, 2), unit=0.37)
    scene = build(tmp_path, case)
    in_shots(scene, 3)
    report = run(scene, "ply", tmp_path / "out", poses=rig(tmp_path, case), image_folder="left")
    assert report.frames == 3
    (fit,) = report.fits
    # The reconstruction's unit is 0.37 to the metre.
    assert fit.scale == pytest.approx(0.37, rel=1e-2) or 1 / fit.scale == pytest.approx(0.37, rel=1e-2)


def test_shots_without_metres_are_not_sent_to_a_calibration_that_refuses_them(
    scene: Scene, poses: Path, tmp_path: Path
) -> None:
    record = DepthRecord.read(scene.merged_dir / "depth.json")
    replace(record, quantizer=Quantizer.for_range(0.0, 1.0)).write(scene.merged_dir / "depth.json")
    in_shots(scene, 3)
    with pytest.raises(InputError, match="2 shots") as caught:
        run(scene, "ply", tmp_path / "out", poses=poses)
    assert "every shot is fitted" in caught.value.remedy
    shutil.rmtree(scene.merged_dir)


@pytest.mark.parametrize("target", ["ply", "rerun"])
def test_relative_depth_is_not_put_into_a_world_of_another_unit(
    scene: Scene, poses: Path, tmp_path: Path, target: str
) -> None:
    record = DepthRecord.read(scene.merged_dir / "depth.json")
    replace(record, quantizer=Quantizer.for_range(0.0, 1.0)).write(scene.merged_dir / "depth.json")
    with pytest.raises(InputError, match="would not meet"):
        run(scene, target, tmp_path / "out", poses=poses, allow_relative=True)
    assert run(scene, target, tmp_path / "alone", allow_relative=True, **FOV).unit == "relative"


def test_frames_without_depth_are_counted(scene: Scene, poses: Path, tmp_path: Path) -> None:
    # The wall is 20 m away, and the camera comes a tenth of a metre nearer with every frame.
    report = run(scene, "ply", tmp_path / "out", poses=poses, near=1000.0)
    assert any(line.startswith("6 of 6 frames have no depth") for line in report.said)


def test_a_name_with_a_blank_is_not_written_into_a_model_that_would_cut_it(tmp_path: Path) -> None:
    camera = Intrinsics(160, 120, 120.0, 120.0, 79.5, 59.5)
    with pytest.raises(InputError, match="blank in its name"):
        model_files([PosedCamera(0, 0.0, "my shot 0001.png", camera, np.eye(4))])
