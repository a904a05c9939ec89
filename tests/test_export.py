"""Depth for other programs: each file is read back as the program it is for reads it, and is where it belongs."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import Board, write_depth, write_scene
from click.testing import CliRunner
from pictures import read_codes, read_picture
from reporters import Steps
from scipy.spatial.transform import Rotation

from vda.calibration.fit import Calibration, save_calibration
from vda.camera.choice import CameraChoice
from vda.camera.intrinsics import Intrinsics, normalise, pixel_grid, project
from vda.camera.reconstruction import read_reconstruction
from vda.cli.export import export as export_command
from vda.depthmaps.codes import DepthRecord
from vda.errors import InputError, UsageError
from vda.exporting import ExportReport, ExportSettings, export
from vda.exporting.splatting import without_holes
from vda.scene.scene import Scene
from vda.video import ClipWriter, index_frames, probe

CAMERA = Intrinsics(160, 120, 120.0, 121.0, 81.0, 58.0)
BOARDS = [Board(1, -1.5, 0.0, 5.0), Board(2, 1.0, 0.2, 8.0)]
WALL_M = 20.0
FRAMES = 5
TRUTH = (0.2, 0.03)
UNIT = 0.37


def pose(frame: float) -> np.ndarray:
    """Camera to world: it walks to the right and turns to the left."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("yx", [-3.0 * frame, 1.0 * frame], degrees=True).as_matrix()
    matrix[:3, 3] = [0.2 * frame, -0.05 * frame, 0.1 * frame]
    return matrix


def depth_at(frame: int) -> np.ndarray:
    """Exact depth of boards and a wall that stand still in the world, seen from the frame's pose."""
    matrix = pose(frame)
    rays = (
        np.concatenate([normalise(CAMERA, pixel_grid(160, 120)), np.ones((160 * 120, 1))], axis=1)
        @ matrix[:3, :3].T
    )
    eye = matrix[:3, 3]
    depth = (WALL_M - eye[2]) / rays[:, 2]
    for board in BOARDS:
        steps = (board.z - eye[2]) / rays[:, 2]
        hit = eye + rays * steps[:, None]
        inside = (np.abs(hit[:, 0] - board.x) < 0.45) & (np.abs(hit[:, 1] - board.y) < 0.9)
        depth = np.where(inside & (steps < depth), steps, depth)
    return depth.reshape(120, 160).astype(np.float32)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene with its video (each frame of one grey), relative depth, and a hole in the depth."""
    scene = write_scene(tmp_path / "scene", 160, 120)
    video = tmp_path / "video.mp4"
    with ClipWriter(video, fps=Fraction(10), options={"crf": "10"}) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((120, 160, 3), 40 * frame + 20, np.uint8))
    info = probe(video)
    scene.write_video(info)
    index_frames(info).save(scene.index_path)
    images = [depth_at(frame) for frame in range(FRAMES)]
    images[1][:20, :30] = np.nan
    write_depth(scene.merged_dir, images, TRUTH)
    return scene


def transforms(folder: Path) -> Path:
    """The true poses as nerfstudio has them."""
    path = folder / "transforms.json"
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    frames = [
        {"file_path": f"images/frame_{i:05d}.png", "transform_matrix": (pose(i) @ flip).tolist()}
        for i in range(FRAMES)
    ]
    numbers = {"w": 160, "h": 120, "fl_x": 120.0, "fl_y": 121.0, "cx": 81.5, "cy": 58.5}
    path.write_text(json.dumps({**numbers, "frames": frames}))
    return path


def colmap(folder: Path) -> Path:
    """The true poses and points of boards and wall as a COLMAP text model, in a unit of 0.37 to the metre."""
    pytest.importorskip("pycolmap")
    random = np.random.default_rng(4)
    wall = np.stack([random.uniform(-8, 8, 80), random.uniform(-6, 6, 80), np.full(80, WALL_M)], axis=1)
    near = [[b.x + dx, b.y + dy, b.z] for b in BOARDS for dx in (-0.3, 0, 0.3) for dy in (-0.7, -0.2, 0.2, 0.7)]
    world = np.concatenate([wall, near])
    model = folder / "model"
    model.mkdir()
    (model / "cameras.txt").write_text("1 PINHOLE 160 120 120 121 81.5 58.5\n")
    images: list[str] = []
    tracks: dict[int, list[tuple[int, int]]] = {i: [] for i in range(len(world))}
    for frame in range(FRAMES):
        inverse = np.linalg.inv(pose(frame))
        local = world @ inverse[:3, :3].T + inverse[:3, 3]
        seen = project(CAMERA, local)
        depth = depth_at(frame)
        points: list[str] = []
        for i, (x, y) in enumerate(seen):
            if 1 <= x < 158 and 1 <= y < 118 and abs(depth[round(y), round(x)] - local[i, 2]) < 0.05:
                tracks[i].append((frame + 1, len(points)))
                points.append(f"{x + 0.5} {y + 0.5} {i + 1}")
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        shift = " ".join(map(str, inverse[:3, 3] * UNIT))
        images.append(f"{frame + 1} {w} {x} {y} {z} {shift} 1 sub/frame_{frame:04d}.jpg\n{' '.join(points)}\n")
    (model / "images.txt").write_text("".join(images))
    lines = [
        f"{i + 1} {' '.join(map(str, world[i] * UNIT))} 9 9 9 0.1 {' '.join(f'{a} {b}' for a, b in seen)}\n"
        for i, seen in tracks.items()
        if seen
    ]
    (model / "points3D.txt").write_text("".join(lines))
    return model


def run(scene: Scene, target: str, output: Path, **options: Any) -> ExportReport:
    return export(ExportSettings(scene.root, target, output, **options))


def calibrate(scene: Scene) -> None:
    save_calibration(Calibration(*TRUTH), scene.calibration_path)


def test_clouds_of_all_frames_lie_on_each_other(scene: Scene, tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    calibrate(scene)
    report = run(scene, "ply", tmp_path / "clouds", poses=transforms(tmp_path))
    assert (report.frames, report.unit) == (FRAMES, "metre")
    clouds = []
    for frame in range(FRAMES):
        vertex = plyfile.PlyData.read(tmp_path / "clouds" / f"cloud_{frame:06d}.ply")["vertex"].data
        clouds.append(np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float64))
        assert vertex["red"].mean() == pytest.approx(40 * frame + 20, abs=4)
    errors = []
    for first in range(FRAMES):
        for second in range(FRAMES):
            inverse = np.linalg.inv(pose(second))
            local = clouds[first] @ inverse[:3, :3].T + inverse[:3, 3]
            places = np.rint(project(CAMERA, local))
            inside = (places >= 0).all(axis=1) & (places[:, 0] < 160) & (places[:, 1] < 120)
            x, y = places[inside].astype(int).T
            errors.append(np.abs(local[inside, 2] / depth_at(second)[y, x] - 1))
    assert np.median(np.concatenate(errors)) < 0.01
    assert np.quantile(np.concatenate(errors), 0.9) < 0.01


def test_clouds_keep_to_their_range_and_steps(scene: Scene, tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    calibrate(scene)
    choice = CameraChoice(numbers=(120.0, 121.0, 81.0, 58.0))
    report = run(scene, "ply", tmp_path / "c", camera=choice, every=2, stride=4, near=3.0, far=6.0)
    names = sorted(path.name for path in (tmp_path / "c").glob("*.ply"))
    assert names == ["cloud_000000.ply", "cloud_000002.ply", "cloud_000004.ply"]
    data = plyfile.PlyData.read(tmp_path / "c" / names[0])
    assert not data.text
    z = data["vertex"].data["z"]
    expected = ((depth_at(0)[2::4, 2::4] >= 3) & (depth_at(0)[2::4, 2::4] <= 6)).sum()
    assert report.frames == 3 and len(z) == expected > 0
    assert (z.min(), z.max()) == (pytest.approx(5.0, rel=0.01),) * 2


def loaded_inverse_depth(folder: Path, name: str) -> np.ndarray:
    """The arithmetic of the splatting loader: code / 65536 * scale + offset."""
    params = json.loads((folder / "sparse" / "0" / "depth_params.json").read_text())[name]
    codes = read_codes(folder / "depths" / f"{name}.png")
    assert codes.dtype == np.uint16
    return codes.astype(np.float32) / 2**16 * params["scale"] + params["offset"]


@pytest.mark.parametrize("metric", [False, True])
def test_splatting_reads_the_reconstructions_inverse_depth(scene: Scene, tmp_path: Path, metric: bool) -> None:
    if metric:
        write_depth(scene.merged_dir, [depth_at(frame) * 1.07 for frame in range(FRAMES)])
    report = run(scene, "gaussian-splatting", tmp_path / "splat", poses=colmap(tmp_path))
    assert report.unit == "reconstruction"
    assert report.fits[0].error is not None and report.fits[0].error < 0.01
    for frame in range(FRAMES):
        inverse = loaded_inverse_depth(tmp_path / "splat", f"sub/frame_{frame:04d}")
        away = np.abs(inverse * depth_at(frame) * UNIT - 1)
        assert np.median(away) < 0.01
        assert np.quantile(away, 0.99) < 0.02
    params = json.loads((tmp_path / "splat" / "sparse" / "0" / "depth_params.json").read_text())
    assert len({json.dumps(pair) for pair in params.values()}) == 1


def test_an_image_that_is_mostly_holes_is_one_the_loader_leaves_out(scene: Scene, tmp_path: Path) -> None:
    images = [depth_at(frame) for frame in range(FRAMES)]
    images[2][:, :100] = np.nan
    write_depth(scene.merged_dir, images, TRUTH)
    report = run(scene, "gaussian-splatting", tmp_path / "splat", poses=colmap(tmp_path))
    params = json.loads((tmp_path / "splat" / "sparse" / "0" / "depth_params.json").read_text())
    scales = np.array([pair["scale"] for pair in params.values()])
    reliable = scales >= 0.2 * np.median(scales[scales > 0])
    assert reliable.tolist() == [True, True, False, True, True]
    assert any("without depth" in sentence for sentence in report.said)


def test_holes_get_the_code_of_the_nearest_pixel_and_never_the_farthest() -> None:
    codes = np.array([[7, 0, 0, 9], [7, 0, 0, 9]], np.uint16)
    assert without_holes(codes).tolist() == [[7, 7, 9, 9], [7, 7, 9, 9]]
    assert without_holes(np.zeros((2, 2), np.uint16)).tolist() == [[0, 0], [0, 0]]


def test_nerfstudio_reads_depth_in_the_unit_of_the_poses(scene: Scene, tmp_path: Path) -> None:
    run(scene, "nerfstudio", tmp_path / "ns", poses=colmap(tmp_path))
    meta = json.loads((tmp_path / "ns" / "transforms.json").read_text())
    assert (meta["w"], meta["h"], meta["fl_x"], meta["cx"]) == (160, 120, 120.0, 81.5)
    assert len(meta["frames"]) == FRAMES
    for frame, entry in enumerate(meta["frames"]):
        codes = read_codes(tmp_path / "ns" / entry["depth_file_path"])
        picture = read_picture(tmp_path / "ns" / entry["file_path"])
        assert picture.mean() == pytest.approx(40 * frame + 20, abs=4)
        depth = np.where(codes == 0, np.nan, codes * 0.001)
        truth = depth_at(frame) * UNIT
        assert np.nanmedian(np.abs(depth / truth - 1)) < 0.01
        assert np.isnan(depth).sum() == (600 if frame == 1 else 0)
        # OpenGL: the camera looks along its own -z.
        looks = -np.array(entry["transform_matrix"])[:3, 2]
        assert looks == pytest.approx(pose(frame)[:3, 2], abs=1e-6)
        assert np.array(entry["transform_matrix"])[:3, 3] == pytest.approx(pose(frame)[:3, 3] * UNIT, abs=1e-6)


def test_the_tum_folder_is_what_its_tools_read(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    trajectory = tmp_path / "trajectory.txt"
    # A tracker at 200 Hz, none of whose times is a frame's, and a line long after the video.
    moments = np.arange(-0.0127, 0.45, 0.005)
    lines = [
        " ".join(map(str, [t, *pose(10 * t)[:3, 3], *Rotation.from_matrix(pose(10 * t)[:3, :3]).as_quat()]))
        for t in moments
    ]
    trajectory.write_text("# time tx ty tz qx qy qz qw\n" + "\n".join(lines) + "\n99 0 0 0 0 0 0 1\n")
    choice = CameraChoice(numbers=(120.0, 121.0, 81.0, 58.0))
    report = run(scene, "tum", tmp_path / "tum", poses=trajectory, camera=choice)
    rows = [line.split() for line in (tmp_path / "tum" / "associations.txt").read_text().splitlines()]
    assert [float(row[0]) for row in rows] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    for frame, row in enumerate(rows):
        codes = read_codes(tmp_path / "tum" / row[3])
        truth = depth_at(frame)
        seen = codes > 0
        assert np.median(np.abs(codes[seen] / 5000 / truth[seen] - 1)) < 0.01
        assert not seen[truth > 13.2].any()
        assert (tmp_path / "tum" / row[1]).is_file()
    written = np.loadtxt(tmp_path / "tum" / "groundtruth.txt")
    assert written[:, 1:4] == pytest.approx(np.stack([pose(f)[:3, 3] for f in range(FRAMES)]), abs=1e-6)
    assert any("13.1" in sentence for sentence in report.said)


def test_a_recording_is_read_by_rerun_itself(scene: Scene, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    calibrate(scene)
    tracks = tmp_path / "tracks.json"
    place = {"x": 0.5, "y": 0.25, "z": 5.0}
    tracks.write_text(
        json.dumps({"tracks": [{"frame": 2, "bbox": [1, 2, 3, 4], "track_id": 7, "vda_position_3d": place}]})
    )
    run(scene, "rerun", tmp_path / "look.rrd", poses=transforms(tmp_path), tracks=tracks, stride=8)
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-v", str(tmp_path / "look.rrd")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for column in (
        "/world/camera@Transform3D:translation",
        "/world/camera/image@Pinhole:image_from_camera",
        "/world/camera/image/rgb@EncodedImage:blob",
        "/world/camera/image/depth@DepthImage:buffer",
        "/world/cloud@Points3D:positions",
        "/world/tracks@Points3D:labels",
    ):
        assert column in printed


@pytest.mark.parametrize("target", ["nerfstudio", "gaussian-splatting", "tum"])
def test_what_lives_in_a_reconstruction_is_refused_without_one(scene: Scene, tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match="reconstruction") as caught:
        run(scene, target, tmp_path / "out")
    assert "--poses" in caught.value.remedy
    with pytest.raises(InputError, match="no metres"):
        run(scene, target, tmp_path / "out", poses=transforms(tmp_path), allow_relative=True)
    assert not (tmp_path / "out").exists()


def test_relative_clouds_only_when_wanted(scene: Scene, tmp_path: Path) -> None:
    choice = CameraChoice(fov_deg=60.0)
    with pytest.raises(InputError, match="no metres"):
        run(scene, "ply", tmp_path / "c", camera=choice)
    assert run(scene, "ply", tmp_path / "c", camera=choice, allow_relative=True).unit == "relative"


def test_each_shot_has_its_own_fit(scene: Scene, tmp_path: Path) -> None:
    path = scene.depth_record_path
    record = DepthRecord.read(path)
    shots = [{"start_frame": 0, "end_frame": 3}, {"start_frame": 3, "end_frame": 5}]
    replace(record, shots=shots).write(path)
    report = run(scene, "gaussian-splatting", tmp_path / "splat", poses=colmap(tmp_path))
    assert len(report.fits) == 2
    expected = (TRUTH[0] / UNIT, TRUTH[1] / UNIT)
    assert all((fit.scale, fit.shift) == pytest.approx(expected, rel=0.03) for fit in report.fits)


def test_images_that_count_from_one_have_to_be_explained(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    path = transforms(tmp_path)
    value = json.loads(path.read_text())
    for frame, entry in enumerate(value["frames"]):
        entry["file_path"] = f"images/frame_{frame + 1:05d}.png"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match="from 0 or from 1"):
        run(scene, "ply", tmp_path / "c", poses=path)
    assert run(scene, "ply", tmp_path / "c", poses=path, image_base=1).frames == FRAMES


def test_images_are_told_by_the_number_that_varies_or_by_order_if_asked(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    path = transforms(tmp_path)
    value = json.loads(path.read_text())
    times_s = np.arange(FRAMES) / 25

    def named(names: list[str], **options: Any) -> list[float]:
        """Where the cameras of frame 0, 1 ... are along x: as far as the place in ``names`` that was put there."""
        frames = [dict(value["frames"][0], file_path=name) for name in names]
        for place, entry in enumerate(frames):
            entry["transform_matrix"] = np.eye(4).tolist()
            entry["transform_matrix"][0][3] = place
        path.write_text(json.dumps(value | {"frames": frames}))
        views = read_reconstruction(path, times_s, **options)
        assert [view.frame for view in views] == list(range(len(names)))
        return [float(view.camera_to_world[0, 3]) for view in views]

    # The last number is the version, in every name the same.
    assert named([f"shot_{frame:04d}_v2.png" for frame in (1, 0, 2)]) == [1, 0, 2]
    two = [f"cam{frame % 2}_{frame + 7}.png" for frame in range(FRAMES)]
    with pytest.raises(InputError, match="2 numbers in the names") as raised:
        named(two)
    assert "--by-order" in raised.value.remedy
    evens = list(range(0, FRAMES, 2))
    assert named(two, by_order=True) == [*evens, *range(1, FRAMES, 2)]
    with pytest.raises(InputError, match=f"{FRAMES - 1} images with a pose, and the video {FRAMES} frames"):
        named(two[1:], by_order=True)


@pytest.mark.parametrize("content", ["", "1 2 3\n", "words\n", "99 0 0 0 0 0 0 1\n"])
def test_what_is_no_trajectory_is_refused(scene: Scene, tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text(content)
    with pytest.raises(InputError):
        run(scene, "ply", tmp_path / "c", poses=path)


def test_the_command(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    arguments = [
        str(scene.root),
        "--to",
        "ply",
        "--output",
        str(tmp_path / "c"),
        "--fov",
        "60",
        "--json",
        "--every",
        "3",
    ]
    result = CliRunner().invoke(export_command, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames"] == 2
    again = CliRunner().invoke(export_command, arguments)
    assert again.exit_code == 2 and "--overwrite" in again.stderr


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("target", ["ply", "nerfstudio", "gaussian-splatting", "tum"])
def test_an_export_in_anothers_place_leaves_none_of_its_frames(scene: Scene, tmp_path: Path, target: str) -> None:
    calibrate(scene)
    poses, output = transforms(tmp_path), tmp_path / "out"
    run(scene, target, tmp_path / "fresh", poses=poses, every=3)
    run(scene, target, output, poses=poses)
    (output / "images").mkdir(exist_ok=True)
    for own in ("notes.txt", "images/frame_0001.png"):
        (output / own).write_text("somebody's own")
    assert len(files_in(output)) > len(files_in(tmp_path / "fresh")) + 2
    run(scene, target, output, poses=poses, every=3, overwrite=True)
    assert files_in(output) == files_in(tmp_path / "fresh") | {"notes.txt", "images/frame_0001.png"}


def test_what_an_interrupted_export_left_goes_as_well(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate(scene)
    poses, output = transforms(tmp_path), tmp_path / "out"

    def interrupted(frames: int) -> None:
        if frames == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(ExportSettings(scene.root, "nerfstudio", output, poses=poses), reporter=Steps(interrupted))
    left = {name for name in files_in(output) if name.startswith("depth/")}
    run(scene, "nerfstudio", output, poses=poses, every=4, overwrite=True)
    kept = {name for name in files_in(output) if name.startswith("depth/")}
    assert "depth/frame_000001.png" in left - kept
    assert kept == {"depth/frame_000000.png", "depth/frame_000004.png"}


def test_a_list_that_names_files_elsewhere_removes_none_of_them(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    output, own = tmp_path / "out", tmp_path / "own.txt"
    output.mkdir()
    own.write_text("somebody's own")
    (output / "vda_export.txt").write_text(f"../own.txt\n{own}\n")
    run(scene, "ply", output, poses=transforms(tmp_path), overwrite=True)
    assert own.exists()


def colmap_of(folder: Path, cameras: list[str], names: list[str] | None = None) -> Path:
    """A COLMAP text model whose image ``i`` is of frame ``i`` and has camera ``i`` of ``cameras``, in turn."""
    pytest.importorskip("pycolmap")
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text("".join(f"{i + 1} {camera}\n" for i, camera in enumerate(cameras)))
    lines = []
    for frame, name in enumerate(names or [f"frame_{frame:04d}.jpg" for frame in range(FRAMES)]):
        inverse = np.linalg.inv(pose(frame))
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        shift = " ".join(map(str, inverse[:3, 3]))
        lines.append(f"{frame + 1} {w} {x} {y} {z} {shift} {frame % len(cameras) + 1} {name}\n\n")
    (folder / "images.txt").write_text("".join(lines))
    (folder / "points3D.txt").write_text("")
    return folder


PINHOLE = "PINHOLE 160 120 120 121 81.5 58.5"


def test_every_image_keeps_its_own_camera(scene: Scene, tmp_path: Path) -> None:
    """A zoom: the second camera, for images twice as large, sees half as wide."""
    calibrate(scene)
    model = colmap_of(tmp_path / "model", [PINHOLE, "PINHOLE 320 240 480 484 163 117"])
    report = run(scene, "nerfstudio", tmp_path / "out", poses=model)
    frames = json.loads((tmp_path / "out" / "transforms.json").read_text())["frames"]
    assert [frame["fl_x"] for frame in frames] == pytest.approx([120, 240, 120, 240, 120])
    assert [frame["cx"] for frame in frames] == pytest.approx([81.5] * 5)
    assert any("2 cameras" in sentence for sentence in report.said)


@pytest.mark.parametrize(
    "cameras", [["PINHOLE 160 90 120 121 81.5 44"], [PINHOLE, "PINHOLE 90 160 120 121 44 81"]]
)
def test_a_camera_for_images_of_another_shape_is_refused(scene: Scene, tmp_path: Path, cameras: list[str]) -> None:
    calibrate(scene)
    with pytest.raises(InputError, match="another shape"):
        run(scene, "nerfstudio", tmp_path / "out", poses=colmap_of(tmp_path / "model", cameras))


def test_of_several_models_the_largest_is_taken_and_the_others_named(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    colmap_of(tmp_path / "sparse" / "0", [PINHOLE], ["frame_0000.jpg", "frame_0001.jpg"])
    colmap_of(tmp_path / "sparse" / "1", [PINHOLE])
    report = run(scene, "nerfstudio", tmp_path / "out", poses=tmp_path)
    assert report.frames == FRAMES
    [said] = [sentence for sentence in report.said if "others" in sentence]
    assert "sparse/1 is taken, with 5 images" in said and "sparse/0 (2)" in said


def test_a_rational_lens_is_not_handed_to_nerfstudio(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    lens = "FULL_OPENCV 160 120 120 121 81.5 58.5 0.1 0.01 0 0 0.001 0.02 0.003 0.0001"
    with pytest.raises(InputError, match="another formula"):
        run(scene, "nerfstudio", tmp_path / "out", poses=colmap_of(tmp_path / "model", [lens]))


def loaded_by_splatting(folder: Path, image: str) -> np.ndarray:
    """Inverse depth as the loader of Gaussian splatting has it (graphdeco: scene/cameras.py, dataset_readers.py).

    The stem is the image's name without what follows its last dot; codes are divided by 2^16, and taken times the
    scale plus the offset.
    """
    stem = image[: -len(image.split(".")[-1]) - 1]
    params = json.loads((folder / "sparse" / "0" / "depth_params.json").read_text())[stem]
    return read_codes(folder / "depths" / f"{stem}.png") / 2**16 * params["scale"] + params["offset"]


def test_splatting_finds_images_with_dots_in_their_names(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    names = [f"shot.{frame:04d}.png" for frame in range(FRAMES)]
    run(scene, "gaussian-splatting", tmp_path / "out", poses=colmap_of(tmp_path / "model", [PINHOLE], names))
    for frame, name in enumerate(names):
        known = (
            np.isfinite(depth_at(frame)) if frame != 1 else np.pad(np.ones((100, 130), bool), ((20, 0), (30, 0)))
        )
        found = 1 / loaded_by_splatting(tmp_path / "out", name)
        assert np.median(np.abs(found / depth_at(frame) - 1)[known]) < 0.01


def test_far_depth_stays_true_where_no_pixel_can_be_marked_invalid(scene: Scene, tmp_path: Path) -> None:
    calibrate(scene)
    model = colmap_of(tmp_path / "model", [PINHOLE])
    report = run(scene, "gaussian-splatting", tmp_path / "out", poses=model, far=10.0)
    found = 1 / loaded_by_splatting(tmp_path / "out", "frame_0000.jpg")
    assert np.abs(found / depth_at(0) - 1).max() < 0.02
    assert any("leave nothing out" in sentence for sentence in report.said)


def test_splatting_without_one_usable_image_is_refused(scene: Scene, tmp_path: Path) -> None:
    images = [
        np.where(np.arange(160) < 100, np.nan, depth_at(frame)).astype(np.float32) for frame in range(FRAMES)
    ]
    write_depth(scene.merged_dir, images, TRUTH)
    calibrate(scene)
    model = colmap_of(tmp_path / "model", [PINHOLE])
    with pytest.raises(InputError, match="half of its pixels"):
        run(scene, "gaussian-splatting", tmp_path / "out", poses=model)
