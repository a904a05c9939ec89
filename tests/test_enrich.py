"""Tracks into space: the right metres at the right frames, and a reason wherever there are none."""

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from boards import WALL_M, Board, boards_for, depth_of, record_of, tracks_of, write_depth, write_scene
from click.testing import CliRunner
from pictures import read_picture
from reporters import Stages, Steps

from vda.calibration.choice import CalibrationChoice
from vda.calibration.fit import KnownDistance
from vda.calibration.sampling import Region, mask_pixels, measure, quantile
from vda.camera.choice import CameraChoice
from vda.camera.intrinsics import Intrinsics
from vda.cli.enrich import enrich as enrich_command
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.enriching.motion import MotionModel
from vda.enriching.settings import DepthChoice, EnrichSettings, Report
from vda.enriching.stage import enrich_file
from vda.errors import InputError, UsageError, VdaError
from vda.scene.scene import Scene
from vda.tracks import Asked, Skip, read_tracks
from vda.video import ClipWriter, FrameIndex, index_frames, probe

WIDE = Intrinsics.from_fov(320, 240, 100.0)
LONG = Intrinsics.from_fov(320, 240, 12.0)
BROWN = Intrinsics(320, 240, 200.0, 203.0, 165.0, 117.0, "opencv", (-0.28, 0.07, 0.001, -0.002, 0.0))
FISHEYE = Intrinsics(320, 240, 150.0, 150.0, 158.0, 121.0, "fisheye", (0.02, -0.005, 0.001, 0.0))
FRAMES = 4


def save(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def camera_file(path: Path, camera: Intrinsics) -> Path:
    names = ("width", "height", "fx", "fy", "cx", "cy", "distortion_model", "distortion")
    return save(path, {name: getattr(camera, name) for name in names})


def run(folder: Path, content: Any, depth: Path, **options: Any) -> tuple[Report, dict[str, Any]]:
    """Enrich the classic file ``content``; return the report and the file that came out."""
    tracks, output = save(folder / "tracks.json", content), folder / "out.json"
    options.setdefault("camera", CameraChoice(file=camera_file(folder / "brown.json", BROWN)))
    report = enrich_file(EnrichSettings(tracks, output, DepthChoice(folder=depth), overwrite=True, **options))
    return report, json.loads(output.read_text())


def relative_errors(records: list[dict[str, Any]]) -> np.ndarray:
    """Distances from the truth over the truth's distance from the camera."""
    found = np.array([[record["vda_position_3d"][axis] for axis in "xyz"] for record in records])
    truth = np.array([record["truth"] for record in records])
    return np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1)


@pytest.mark.parametrize("camera", [WIDE, LONG, BROWN, FISHEYE], ids=["wide", "long", "brown", "fisheye"])
def test_with_true_depth_positions_are_right_within_a_percent(tmp_path: Path, camera: Intrinsics) -> None:
    boards = boards_for(camera)
    depth = write_depth(tmp_path / "depth", [depth_of(camera, boards, frame) for frame in range(FRAMES)])
    choice = CameraChoice(file=camera_file(tmp_path / "camera.json", camera))
    report, out = run(tmp_path, tracks_of(camera, boards, FRAMES), depth, camera=choice)
    assert report.enriched == len(boards) * FRAMES
    assert np.median(relative_errors(out["tracks"])) < 0.01


def test_a_video_stored_on_its_side_takes_the_camera_of_the_stored_picture(tmp_path: Path) -> None:
    upright = BROWN.rotated(1)
    boards = boards_for(upright)
    scene = write_scene(tmp_path / "scene", upright.width, upright.height, rotation_deg=90)
    write_depth(scene.merged_dir, [depth_of(upright, boards, frame) for frame in range(FRAMES)])
    report, out = run(tmp_path, tracks_of(upright, boards, FRAMES), scene.merged_dir)
    assert any("turned clockwise by 90" in sentence for sentence in report.said)
    assert np.median(relative_errors(out["tracks"])) < 0.01


def test_depth_smaller_than_the_video_and_a_camera_for_yet_another_size(tmp_path: Path) -> None:
    boards = boards_for(BROWN)
    small = BROWN.scaled(160, 120)
    scene = write_scene(tmp_path / "scene", BROWN.width, BROWN.height)
    write_depth(scene.merged_dir, [depth_of(small, boards, frame) for frame in range(FRAMES)])
    choice = CameraChoice(file=camera_file(tmp_path / "large.json", BROWN.scaled(1280, 960)))
    report, out = run(tmp_path, tracks_of(BROWN, boards, FRAMES), scene.merged_dir, camera=choice)
    assert any("1280x960" in sentence and "scaled to 320x240" in sentence for sentence in report.said)
    assert np.median(relative_errors(out["tracks"])) < 0.01


def test_contact_points_are_seen_where_they_are(tmp_path: Path) -> None:
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), 5.0, np.float32)])
    content = {
        "intrinsics": {"fx": 100.0, "fy": 200.0, "cx": 160.0, "cy": 120.0},
        "tracks": [{"frame": "frame_00000", "contact_2d": [180.0, 80.0], "bbox": [0, 0, 9, 9]}],
    }
    _, out = run(tmp_path, content, depth, camera=CameraChoice())
    assert out["tracks"][0]["vda_position_3d"] == {"x": 1.0, "y": -1.0, "z": 5.0}
    assert out["tracks"][0]["vda_depth_std"] == 0


def test_without_a_camera_the_error_says_how_to_give_one(tmp_path: Path) -> None:
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), 5.0, np.float32)])
    content = {"tracks": [{"frame": 0, "contact_2d": [159.5, 119.5]}]}
    with pytest.raises(InputError) as caught:
        run(tmp_path, content, depth, camera=CameraChoice())
    assert all(way in caught.value.remedy for way in ("--fx", "--camera", "--fov", "--assume-fov"))
    report, out = run(tmp_path, content, depth, camera=CameraChoice(assume_fov=True))
    assert any("assumed" in sentence for sentence in report.said)
    assert out["tracks"][0]["vda_position_3d"] == {"x": 0.0, "y": 0.0, "z": 5.0}


def test_relative_depth_is_refused_without_a_calibration_and_has_another_name_when_wanted(tmp_path: Path) -> None:
    boards = boards_for(BROWN)
    images = [depth_of(BROWN, boards, frame) for frame in range(FRAMES)]
    depth = write_depth(tmp_path / "depth", images, relative=(0.05, 0.0))
    with pytest.raises(InputError, match="no metres") as caught:
        run(tmp_path, tracks_of(BROWN, boards, FRAMES), depth)
    assert "--known-distance" in caught.value.remedy
    assert not (tmp_path / "out.json").exists()
    report, out = run(tmp_path, tracks_of(BROWN, boards, FRAMES), depth, allow_relative=True)
    record = out["tracks"][0]
    assert report.relative
    assert "vda_position_3d" not in record and "vda_depth" not in record
    # 1 / metres = 0.05 * value, so positions up to scale are twentieths of the truth.
    assert record["vda_position_relative"]["z"] == pytest.approx(record["truth"][2] / 20, rel=0.01)


def test_every_record_without_a_position_has_its_reason(tmp_path: Path) -> None:
    image = np.full((240, 320), 5.0, np.float32)
    image[:, 200:] = np.nan
    depth = write_depth(tmp_path / "depth", [image])
    records = [
        {"frame": 0, "contact_2d": [50, 50]},
        {"frame": 0, "contact_2d": [250, 50]},
        {"frame": 0, "contact_2d": [-3, 50]},
        {"frame": 0, "contact_2d": [50, 240]},
        {"frame": 7, "contact_2d": [50, 50]},
        {"frame": 0, "bbox": [-80, 20, -10, 60]},
        {"frame": 0, "bbox": [60, 20, 50, 60]},
        {"frame": 0, "contact_2d": [float("nan"), 1]},
        {"frame": 0, "bbox": [-40, 20, 40, 60]},
    ]
    report, out = run(tmp_path, {"tracks": records}, depth)
    assert [record.get("vda_reason") for record in out["tracks"]] == [
        None,
        "too few valid depth pixels",
        "outside the image",
        "outside the image",
        "no depth for the frame",
        "outside the image",
        "the box is turned inside out",
        "a coordinate is not a finite number",
        None,
    ]
    assert sum(report.skipped.values()) == 7 and report.enriched == 2
    # Of the box that hangs over the edge the visible half is looked at, and its middle is the place.
    assert out["tracks"][8]["vda_position_3d"]["x"] < out["tracks"][0]["vda_position_3d"]["x"]


def test_where_the_lens_model_ends_there_is_no_ray(tmp_path: Path) -> None:
    camera = Intrinsics(320, 240, 60.0, 60.0, 159.5, 119.5, "fisheye", (0.0, 0.0, 0.0, 0.0))
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), 5.0, np.float32)])
    choice = CameraChoice(file=camera_file(tmp_path / "camera.json", camera))
    # 60 pixels a radian: 100 pixels from the middle are beyond 90 degrees.
    records = [{"frame": 0, "contact_2d": [259.5, 119.5]}, {"frame": 0, "contact_2d": [189.5, 119.5]}]
    report, out = run(tmp_path, {"tracks": records}, depth, camera=choice)
    assert report.skipped == {"outside what the lens model covers": 1}
    assert out["tracks"][1]["vda_position_3d"]["x"] == pytest.approx(5 * np.tan(0.5), rel=1e-4)


def test_a_damaged_depth_image_costs_its_own_records_only(tmp_path: Path) -> None:
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), 5.0, np.float32)] * 3)
    (depth / "depth_000001.png").write_bytes(b"not a picture")
    records = [{"frame": frame, "contact_2d": [50, 50]} for frame in range(3)]
    report, out = run(tmp_path, {"tracks": records}, depth)
    assert [record["vda_valid"] for record in out["tracks"]] == [True, False, True]
    assert any("frame 1" in sentence for sentence in report.said)


class CountedDepth:
    """Depth that keeps a log of what is read; a frame's depth is its index plus one."""

    def __init__(self, frames: int) -> None:
        self.frames = range(frames)
        self.log: list[int] = []

    def read(self, frame: int) -> np.ndarray:
        self.log.append(frame)
        return np.full((24, 32), frame + 1.0, np.float32)


def test_each_image_is_read_once_in_order_whatever_the_order_of_the_records(tmp_path: Path) -> None:
    frames = np.random.default_rng(3).permutation(np.repeat(np.arange(9), 5)).tolist()
    path = save(tmp_path / "t.json", {"tracks": [{"frame": frame, "contact_2d": [9, 9]} for frame in frames]})
    depth = CountedDepth(9)
    seen: list[int] = []
    found = measure(read_tracks(path), depth, (32, 24), Region(), lambda values: values, Steps(seen.append))
    assert depth.log == list(range(9))
    assert found.value.tolist() == [frame + 1 for frame in frames]
    assert seen == list(range(1, 10))


def pole_before_sky() -> np.ndarray:
    """A pole of two pixels' width at 6 m; behind it a wall at 64 m."""
    image = np.full((240, 320), WALL_M, np.float32)
    image[:, 160:162] = 6.0
    return image


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (Region(), WALL_M),
        (Region(statistic="nearest"), 6.0),
        (Region(statistic="percentile", percentile=10), 6.0),
        (Region(window_px=1), 6.0),
    ],
)
def test_thin_things_before_the_sky_on_request(tmp_path: Path, region: Region, expected: float) -> None:
    depth = write_depth(tmp_path / "depth", [pole_before_sky()])
    _, out = run(tmp_path, {"tracks": [{"frame": 0, "contact_2d": [160, 100]}]}, depth, region=region)
    assert out["tracks"][0]["vda_depth"] == expected


@pytest.mark.parametrize("form", ["polygon", "runs", "compressed"])
def test_a_mask_says_which_pixels_belong_to_a_record(tmp_path: Path, form: str) -> None:
    mask = np.zeros((240, 320), np.uint8)
    mask[20:200, 160:162] = 1
    segmentation: Any = [[160.5, 20.5, 161.5, 20.5, 161.5, 199.5, 160.5, 199.5]]
    if form != "polygon":
        coded = pytest.importorskip("pycocotools.mask").encode(np.asfortranarray(mask))
        segmentation = {"size": [240, 320], "counts": coded["counts"].decode()}
    if form == "runs":
        edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0)).tolist()
        segmentation["counts"] = np.diff([0, *edges, mask.size]).tolist()
    assert {tuple(place) for place in mask_pixels(segmentation, (320, 240))} == {
        (float(x), float(y)) for y, x in zip(*np.nonzero(mask), strict=True)
    }
    depth = write_depth(tmp_path / "depth", [pole_before_sky()])
    records = [
        {"frame": 0, "bbox": [140, 20, 182, 200], "segmentation": segmentation},
        {"frame": 0, "bbox": [1, 1, 9, 9]},
    ]
    options: dict[str, Any] = {"region": Region("mask"), "asked": Asked(masks=True)}
    report, out = run(tmp_path, {"tracks": records}, depth, **options)
    assert out["tracks"][0]["vda_depth"] == 6.0
    assert report.skipped == {"no mask": 1}


@pytest.mark.parametrize(
    "mask", [None, [], "x", [[1, 2]], {"size": [1 << 40, 1 << 40], "counts": [1]}, {"counts": 3}]
)
def test_a_mask_that_cannot_be_read_has_no_pixels(mask: Any) -> None:
    assert len(mask_pixels(mask, (320, 240))) == 0


def test_quantiles_leave_nan_out_and_take_infinity_as_far() -> None:
    nan, inf = np.nan, np.inf
    rows = np.array([[3.0, nan, 1.0, 2.0], [nan, nan, nan, nan], [1.0, inf, inf, nan], [1.0, inf, 2.0, nan]])
    assert quantile(rows, 0.5).tolist()[0] == 2.0
    assert np.isnan(quantile(rows, 0.5)[1])
    assert quantile(rows, 0.5)[2:].tolist() == [inf, 2.0]
    assert quantile(np.array([[1.0, 2.0, 4.0, 8.0]]), 0.5).tolist() == [3.0]


def test_a_spread_is_the_standard_deviation_where_noise_is_normal(tmp_path: Path) -> None:
    image = np.random.default_rng(5).normal(10, 0.2, (240, 320)).astype(np.float32)
    image[::25] = 1.0
    depth = write_depth(tmp_path / "depth", [image])
    _, out = run(tmp_path, {"tracks": [{"frame": 0, "bbox": [20, 20, 300, 220]}]}, depth)
    assert out["tracks"][0]["vda_depth"] == pytest.approx(10, abs=0.1)
    assert out["tracks"][0]["vda_depth_std"] == pytest.approx(0.2, rel=0.25)


def moving(frames: list[int]) -> dict[str, Any]:
    """A board goes 1.5 m/s to the right and 2 m/s away, at 10 frames per second; one record is undetected."""
    board = Board(1, -2.0, 0.0, 6.0, (0.15, 0.0, 0.2))
    records = [record_of(BROWN, board, frame) for frame in frames]
    records[len(frames) // 2]["detected"] = False
    return {"tracks": records}


def walk_depth(folder: Path, frames: int) -> Path:
    board = Board(1, -2.0, 0.0, 6.0, (0.15, 0.0, 0.2))
    noise = np.random.default_rng(11)
    images = [depth_of(BROWN, [board], frame) * noise.normal(1, 0.01) for frame in range(frames)]
    return write_depth(folder, [image.astype(np.float32) for image in images])


def test_smoothing_finds_the_velocity_and_bridges_what_was_not_seen(tmp_path: Path) -> None:
    depth = walk_depth(tmp_path / "depth", 30)
    content = moving(list(range(30)))
    report, out = run(tmp_path, content, depth, motion=MotionModel(), times_fps=10.0)
    middle = out["tracks"][15]
    assert report.skipped == {"not detected": 1}
    assert middle["vda_bridged"] is True and "vda_position_3d" not in middle
    smoothed = np.array([[record["vda_position_smoothed"][axis] for axis in "xyz"] for record in out["tracks"]])
    truth = np.array([record["truth"] for record in out["tracks"]])
    seen = [record for record in out["tracks"] if record["vda_valid"]]
    raw = np.array([[record["vda_position_3d"][axis] for axis in "xyz"] for record in seen])
    raw_truth = np.array([record["truth"] for record in seen])
    assert np.linalg.norm(smoothed - truth, axis=1).mean() < 0.8 * np.linalg.norm(raw - raw_truth, axis=1).mean()
    assert [middle["vda_velocity"][axis] for axis in "xyz"] == pytest.approx([1.5, 0.0, 2.0], abs=0.5)
    assert middle["vda_speed"] == pytest.approx(2.5, abs=0.5)


def test_frames_between_records_are_bridged_at_the_tracks_own_step(tmp_path: Path) -> None:
    depth = walk_depth(tmp_path / "depth", 30)
    content = moving([0, 1, 2, 3, 4, 8, 9, 10, 11])
    _, out = run(tmp_path, content, depth, motion=MotionModel(), times_fps=10.0)
    bridges = out["metadata"]["vda_bridges"]
    assert [(bridge["frame"], bridge["track_id"]) for bridge in bridges] == [(5, 1), (6, 1), (7, 1)]
    assert bridges[1]["vda_position_smoothed"]["x"] == pytest.approx(-2.0 + 6 * 0.15, abs=0.15)
    assert bridges[1]["vda_position_smoothed"]["z"] == pytest.approx(6.0 + 6 * 0.2, rel=0.03)


def test_a_sheet_has_units_in_its_titles_and_opens_as_it_is(tmp_path: Path) -> None:
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), metres, np.float32) for metres in (5.0, 7.5)])
    records = [
        {"frame": frame, "track_id": 4, "class": "Fußgänger", "contact_2d": [149.5, 119.5], "detected": detected}
        for frame, detected in ((0, True), (1, True), (0, False))
    ]
    plain = CameraChoice(numbers=(100.0, 100.0, 159.5, 119.5))
    report, _ = run(tmp_path, {"tracks": records}, depth, camera=plain, also=("sheet",), times_fps=8.0)
    path = tmp_path / "out_sheet.csv"
    assert path in report.written
    # Excel takes a file for UTF-8 by this mark, and RFC 4180 ends lines so.
    assert path.read_bytes().startswith(b"\xef\xbb\xbfframe,time [s],track,class,")
    assert path.read_bytes().count(b"\r\n") == path.read_bytes().count(b"\n") == 4
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    # 10 pixels left of the middle, a focal length of 100 pixels: a tenth of the distance.
    names = ("frame", "time [s]", "class", "depth [m]", "x [m]", "y [m]", "z [m]", "valid", "reason")
    assert [[row[name] for name in names] for row in rows] == [
        ["0", "0", "Fußgänger", "5", "-0.5", "0", "5", "true", ""],
        ["1", "0.125", "Fußgänger", "7.5", "-0.75", "0", "7.5", "true", ""],
        ["0", "0", "Fußgänger", "", "", "", "", "false", "not detected"],
    ]
    assert rows[0]["point x [px]"] == "149.5"


def test_a_sheets_speeds_are_in_metres_per_second_and_lengths_without_metres_have_no_unit(tmp_path: Path) -> None:
    depth = walk_depth(tmp_path / "depth", 12)
    run(tmp_path, moving(list(range(12))), depth, motion=MotionModel(), times_fps=10.0, also=("sheet",))
    titles = (tmp_path / "out_sheet.csv").read_text("utf-8-sig").splitlines()[0].split(",")
    assert {"smoothed x [m]", "velocity z [m/s]", "speed [m/s]", "bridged", "valid share"} <= set(titles)
    relative = write_depth(tmp_path / "relative", [np.full((240, 320), 5.0, np.float32)], (1.0, 0.0))
    content = {"tracks": [{"frame": 0, "contact_2d": [50, 50]}]}
    report, _ = run(tmp_path, content, relative, allow_relative=True, also=("sheet",))
    titles = (tmp_path / "out_sheet.csv").read_text("utf-8-sig").splitlines()[0].split(",")
    assert {"x [relative]", "depth [relative]"} <= set(titles)
    assert not [title for title in titles if title.endswith("[m]")]
    assert any("times in out_sheet.csv are empty" in sentence for sentence in report.said)
    (tmp_path / "new_sheet.csv").write_text("mine")
    files = (tmp_path / "tracks.json", tmp_path / "new.json")
    with pytest.raises(UsageError, match="is there already"):
        enrich_file(EnrichSettings(*files, DepthChoice(folder=depth), also=("sheet",)))


def test_velocities_follow_the_videos_own_clock(tmp_path: Path) -> None:
    """The frames 10 to 19 are shown twice as slowly: there the same steps are half the speed."""
    scene = write_scene(tmp_path / "scene", BROWN.width, BROWN.height)
    walk_depth(scene.merged_dir, 20)
    pts = np.cumsum([0, *[1] * 9, *[2] * 10]).astype(np.int64)
    FrameIndex(pts, Fraction(1, 10), "decoded").save(scene.index_path)
    _, out = run(tmp_path, moving(list(range(20))), scene.merged_dir, motion=MotionModel(acceleration=10.0))
    speeds = [record["vda_speed"] for record in out["tracks"]]
    assert np.median(speeds[2:8]) / np.median(speeds[12:18]) == pytest.approx(2, rel=0.3)


def test_a_long_gap_begins_a_track_anew_and_times_have_to_be_known(tmp_path: Path) -> None:
    depth = walk_depth(tmp_path / "depth", 30)
    content = moving([0, 1, 2, 3, 25, 26, 27])
    content["tracks"].insert(4, {**content["tracks"][3], "frame": 14, "detected": False})
    with pytest.raises(UsageError, match="velocity"):
        run(tmp_path, content, depth, motion=MotionModel())
    _, out = run(tmp_path, content, depth, motion=MotionModel(max_gap_s=0.5), times_fps=10.0)
    assert "vda_speed" not in out["tracks"][4]
    assert "vda_speed" in out["tracks"][0] and "vda_speed" in out["tracks"][-1]


@pytest.mark.parametrize("name", [-1, None])
def test_what_belongs_to_no_track_is_not_smoothed_and_said(tmp_path: Path, name: int | None) -> None:
    """Two people who were not told apart: smoothed as one they would meet between each other."""
    depth = walk_depth(tmp_path / "depth", 30)
    content = moving(list(range(30)))
    for record in content["tracks"]:
        record["track_id"] = name
    report, out = run(tmp_path, content, depth, motion=MotionModel(), times_fps=10.0)
    assert not any("vda_position_smoothed" in record for record in out["tracks"])
    assert "30 records belong to no track and are not smoothed." in report.said


def test_smoothing_without_metres_is_refused(tmp_path: Path) -> None:
    boards = boards_for(BROWN)
    depth = write_depth(tmp_path / "depth", [depth_of(BROWN, boards, 0)], relative=(0.05, 0.0))
    with pytest.raises(UsageError, match="metres"):
        run(tmp_path, tracks_of(BROWN, boards, 1), depth, allow_relative=True, motion=MotionModel(), times_fps=5.0)


def classic_of_6552(folder: Path) -> tuple[Path, Path]:
    """6,552 records, every 96th undetected (68 of them, and one frame more than records), depth = frame + 1 mm."""
    depth = folder / "depth"
    depth.mkdir()
    for frame in range(6553):
        cv2.imwrite(str(depth / f"depth_{frame:06d}.png"), np.full((6, 8), frame + 1, np.uint16))
    DepthRecord(Quantizer.millimetres(), 6553, 8, 6, "test").write(depth / "depth.json")
    lost = {i * 96 for i in range(68)}
    records = [
        {"frame": f"frame_{i + 1:05d}", "detected": i not in lost, "confidence": 0.9, "bbox": [1, 1, 5, 5]}
        | ({"contact_2d": [3.0, 2.0]} if i not in lost else {"contact_2d": None})
        for i in range(6552)
    ]
    intrinsics = {"fx": 10.0, "fy": 10.0, "cx": 3.5, "cy": 2.5}
    return depth, save(folder / "tracks.json", {"metadata": {}, "intrinsics": intrinsics, "tracks": records})


def test_the_classic_script_on_6552_records_of_which_68_are_undetected(tmp_path: Path, script: Any) -> None:
    depth, tracks = classic_of_6552(tmp_path)
    arguments = ["--tracking", str(tracks), "--depth_dir", str(depth), "--output", str(tmp_path / "out.json")]
    result = CliRunner().invoke(script, arguments)
    assert result.exit_code == 0, result.output
    out = json.loads((tmp_path / "out.json").read_text())
    assert (out["metadata"]["vda_processed"], out["metadata"]["vda_skipped"]) == (6484, 68)
    assert out["metadata"]["vda_skipped_reasons"] == {"not detected": 68}
    assert len(out["tracks"]) == 6552
    enriched = [(i, record) for i, record in enumerate(out["tracks"]) if "vda_position_3d" in record]
    assert len(enriched) == 6484
    # The number in a record's frame is the index of its depth image, whose depth is one millimetre more.
    assert all(record["vda_depth"] == pytest.approx((i + 2) / 1000, rel=1e-6) for i, record in enriched)


@pytest.fixture
def script() -> Any:
    import importlib.util

    path = Path(__file__).parents[1] / "tools" / "apply_vda_depth_simple.py"
    spec = importlib.util.spec_from_file_location("apply_vda_depth_simple", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def film_scene(folder: Path) -> Scene:
    """A scene with a grey video of three frames, and boards in its depth."""
    video = folder / "video.mp4"
    with ClipWriter(video, fps=Fraction(10)) as writer:
        for _ in range(3):
            writer.write(np.full((240, 320, 3), 90, np.uint8))
    scene, info = write_scene(folder / "scene", 320, 240), probe(video)
    scene.write_video(info)
    index_frames(info).save(scene.index_path)
    write_depth(scene.merged_dir, [depth_of(BROWN, boards_for(BROWN), frame) for frame in range(3)])
    return scene


def test_a_figure_shows_the_boxes_on_the_frame_and_the_ground_from_above(tmp_path: Path) -> None:
    scene = film_scene(tmp_path)
    content = tracks_of(BROWN, boards_for(BROWN), 3)
    run(tmp_path, content, scene.merged_dir, figure=tmp_path / "figure.png")
    picture = read_picture(tmp_path / "figure.png")
    assert picture.shape == (240, 320 + 240, 3)
    x1, y1, _, y2 = content["tracks"][0]["bbox"]
    edge = picture[round((y1 + y2) / 2), round(x1)].astype(int)
    assert np.ptp(edge) > 60, "the box is drawn in a colour, on grey"
    above = picture[:, 320:].astype(int)
    assert (np.ptp(above, axis=2) > 60).sum() > 50, "coloured things stand on the ground"
    run(tmp_path, content, scene.merged_dir, figure=tmp_path / "figure.mp4")
    assert len(index_frames(probe(tmp_path / "figure.mp4"))) == 3


@pytest.mark.parametrize("name", ["figure.png", "figure.gif"])
def test_a_figure_that_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), 5.0, np.float32)])
    with pytest.raises(UsageError):
        run(tmp_path, {"tracks": [{"frame": 0, "contact_2d": [5, 5]}]}, depth, figure=tmp_path / name)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("wrong", ["no times", "no poses", "no metres", "no metres in the world", "no film"])
def test_what_is_wrong_is_said_before_depth_is_measured(tmp_path: Path, wrong: str) -> None:
    scene, stages = film_scene(tmp_path), Stages()
    kinds: dict[str, dict[str, Any]] = {
        "no times": {"depth": DepthChoice(folder=walk_depth(tmp_path / "depth", 3)), "motion": MotionModel()},
        "no poses": {"poses": tmp_path / "nowhere.json"},
        "no metres": {"motion": MotionModel(), "allow_relative": True},
        "no metres in the world": {"poses": tmp_path / "nowhere.json", "allow_relative": True},
        "no film": {"figure": tmp_path / "figure.png"},
    }
    if "metres" in wrong:
        boards = boards_for(BROWN)
        write_depth(scene.merged_dir, [depth_of(BROWN, boards, n) for n in range(3)], relative=(0.05, 0.0))
    if wrong == "no film":
        scene.video().path.unlink()
    asked = {"depth": DepthChoice(scene=scene.root), "camera": CameraChoice(fov_deg=60), **kinds[wrong]}
    tracks = save(tmp_path / "tracks.json", tracks_of(BROWN, boards_for(BROWN), 3))
    with pytest.raises(VdaError):
        enrich_file(EnrichSettings(tracks, tmp_path / "out.json", **asked), reporter=stages)
    assert "enriching" not in stages.begun
    assert not (tmp_path / "out.json").exists()


def test_the_command_reports_and_never_overwrites(tmp_path: Path) -> None:
    boards = boards_for(BROWN)
    depth = write_depth(tmp_path / "depth", [depth_of(BROWN, boards, 0)])
    tracks = save(tmp_path / "t.json", tracks_of(BROWN, boards, 1))
    arguments = ["--tracks", str(tracks), "--output", str(tmp_path / "o.json"), "--depth-dir", str(depth)]
    arguments += ["--fov", "70", "--json", "--also", "csv"]
    first = CliRunner().invoke(enrich_command, arguments)
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert (report["records"], report["enriched"], report["skipped"]) == (3, 3, 0)
    assert [Path(path).name for path in report["written"]] == ["o.json", "o_table.csv"]
    before = (tmp_path / "o.json").read_bytes()
    again = CliRunner().invoke(enrich_command, arguments)
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    assert (tmp_path / "o.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no merged depth"),
        (["--shift", "1"], "--scale"),
        (["--fy", "1"], "--fx"),
        (["--known-size", "tall"], "known size"),
        (["--known-distance", "1:2=3"], "known distance"),
        (["--window", "0"], "window"),
    ],
)
def test_wrong_usage_ends_with_two_sentences_and_2(tmp_path: Path, options: list[str], words: str) -> None:
    write_scene(tmp_path / "scene", 320, 240)
    tracks = save(tmp_path / "t.json", {"tracks": []})
    arguments = [str(tmp_path / "scene"), "--tracks", str(tracks), "--output", str(tmp_path / "o.json"), *options]
    result = CliRunner().invoke(enrich_command, arguments)
    assert result.exit_code == 2
    assert words in result.stderr and "Traceback" not in result.stderr


def test_depth_that_does_not_say_what_it_is_needs_a_scale(tmp_path: Path) -> None:
    folder = tmp_path / "sensor"
    folder.mkdir()
    cv2.imwrite(str(folder / "frame-000003.png"), np.full((240, 320), 2500, np.uint16))
    content = {"tracks": [{"frame": 3, "contact_2d": [50, 50]}]}
    with pytest.raises(UsageError, match="does not say"):
        run(tmp_path, content, folder)
    tracks, output = save(tmp_path / "t.json", content), tmp_path / "o.json"
    choice = CameraChoice(fov_deg=60.0)
    enrich_file(EnrichSettings(tracks, output, DepthChoice(folder=folder, scale=1000.0), camera=choice))
    assert json.loads(output.read_text())["tracks"][0]["vda_depth"] == 2.5


def test_a_folder_of_depth_is_read_by_the_number_that_varies_or_by_order_if_asked(tmp_path: Path) -> None:
    tracks = save(
        tmp_path / "t.json", {"tracks": [{"frame": frame, "contact_2d": [50, 50]} for frame in (0, 3, 9)]}
    )

    def depths(folder: str, names: list[str], *options: str) -> list[Any]:
        (tmp_path / folder).mkdir(exist_ok=True)
        for metres, name in enumerate(names, 1):
            cv2.imwrite(str(tmp_path / folder / name), np.full((240, 320), 1000 * metres, np.uint16))
        arguments = ["--tracks", tracks, "--output", tmp_path / "o.json", "--depth-dir", tmp_path / folder]
        asked = [*map(str, arguments), "--depth-scale", "1000", "--fov", "60", "--overwrite", "-q", *options]
        result = CliRunner().invoke(enrich_command, asked)
        if result.exit_code:
            return [result.exit_code, "--by-order" in result.stderr]
        return [record.get("vda_depth") for record in json.loads((tmp_path / "o.json").read_text())["tracks"]]

    assert depths("thin", ["cam1_depth_000003.png", "cam1_depth_000009.png"]) == [None, 1.0, 2.0]
    two = [f"cam{number}_depth_{number + 3}.png" for number in range(4)]
    assert depths("two", two) == [2, True]
    assert depths("two", two, "--by-order") == [1.0, 4.0, None]


def test_tracks_of_another_picture_are_refused(tmp_path: Path) -> None:
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), 5.0, np.float32)])
    with pytest.raises(InputError, match="not the same picture"):
        run(tmp_path, {"metadata": {"width": 1920, "height": 1080}, "tracks": []}, depth)


def test_skip_reasons_have_words() -> None:
    assert all(skip.text for skip in Skip if skip != Skip.NONE)


class TestMasks:
    """COCO segmentations: what pycocotools writes is read, and what is broken is no mask."""

    SIZE = (24, 18)

    @pytest.mark.parametrize("seed", range(6))
    def test_compressed_runs_are_the_mask_they_were_made_of(self, seed: int) -> None:
        from pycocotools import mask as coco_mask

        truth = np.random.default_rng(seed).random((18, 24)) < (0.02, 0.5, 0.98)[seed % 3]
        coded = coco_mask.encode(np.asfortranarray(truth.astype(np.uint8)))
        pixels = mask_pixels({"size": [18, 24], "counts": coded["counts"].decode()}, self.SIZE)
        assert {(int(x), int(y)) for x, y in pixels} == {(int(x), int(y)) for y, x in np.argwhere(truth)}

    @pytest.mark.parametrize("counts", ["zz", "~~~~", "0", "", "P", "oooooooooo", "ü", [1, "a"], [-4, 436], None])
    def test_broken_runs_are_no_mask(self, counts: Any) -> None:
        assert len(mask_pixels({"size": [18, 24], "counts": counts}, self.SIZE)) == 0

    @pytest.mark.parametrize(
        "polygon",
        [
            [["a", "b", "c", "d", "e", "f"]],
            [[1, 1, 5, 1, float("nan"), 5]],
            [[1, 1, 5, 1, 1e300, 5]],
            [[1, 1, 5, 1, None, 5]],
            [[1, 1, 5, 1]],
            "text",
        ],
    )
    def test_polygons_of_no_numbers_are_no_mask(self, polygon: Any) -> None:
        assert len(mask_pixels(polygon, self.SIZE)) == 0

    def test_a_polygon_is_its_pixels(self) -> None:
        """COCO's corners: the square from (2, 3) to (6, 5) holds the pixels 2 to 5 and 3 to 4."""
        pixels = mask_pixels([[2, 3, 6, 3, 6, 5, 2, 5]], self.SIZE)
        inside = {(x, y) for x in range(2, 6) for y in range(3, 5)}
        assert inside <= {(int(x), int(y)) for x, y in pixels}


def test_a_frame_number_beyond_all_reason_asks_for_no_memory(tmp_path: Path) -> None:
    """A tracker that writes time stamps for frames: without care, a time for each frame below takes 12.5 TiB."""
    depth = walk_depth(tmp_path / "depth", 30)
    content = moving(list(range(30)))
    content["tracks"].append({**content["tracks"][0], "frame": "frame_1700000000000"})
    report, out = run(tmp_path, content, depth, motion=MotionModel(), times_fps=10.0)
    assert report.skipped == {"not detected": 1, "no depth for the frame": 1}
    assert "vda_position_smoothed" in out["tracks"][0]


def on_half_the_picture(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A scene of 320x240, and tracks that somebody's tracker found in pictures of 640x480."""
    boards = boards_for(WIDE)
    scene = write_scene(tmp_path / "scene", WIDE.width, WIDE.height)
    write_depth(scene.merged_dir, [depth_of(WIDE, boards, frame) for frame in range(FRAMES)])
    content = tracks_of(WIDE.scaled(2 * WIDE.width, 2 * WIDE.height), boards, FRAMES)
    content["metadata"] = {"width": 2 * WIDE.width, "height": 2 * WIDE.height}
    return scene.merged_dir, content


def test_a_focal_length_is_for_the_videos_size_whatever_the_tracks_are_for(tmp_path: Path) -> None:
    depth, content = on_half_the_picture(tmp_path)
    choice = CameraChoice(numbers=(WIDE.fx, WIDE.fy, WIDE.cx, WIDE.cy))
    _, out = run(tmp_path, content, depth, camera=choice)
    assert np.median(relative_errors(out["tracks"])) < 0.01
    larger = WIDE.scaled(4 * WIDE.width, 4 * WIDE.height)
    choice = CameraChoice((larger.fx, larger.fy, larger.cx, larger.cy), (larger.width, larger.height))
    _, out = run(tmp_path, content, depth, camera=choice)
    assert np.median(relative_errors(out["tracks"])) < 0.01


def test_known_distances_are_at_the_videos_pixels(tmp_path: Path) -> None:
    """Depth of 5 m on the left and 10 m on the right half; the tracks are for pictures twice as large."""
    scene = write_scene(tmp_path / "scene", 320, 240)
    image = np.full((240, 320), 5.0, np.float32)
    image[:, 160:] = 10.0
    write_depth(scene.merged_dir, [image], relative=(0.5, 0.01))
    content = {
        "metadata": {"width": 640, "height": 480},
        "tracks": [{"frame": 0, "contact_2d": [500.0, 240.0]}, {"frame": 0, "contact_2d": [100.0, 240.0]}],
    }
    points = CalibrationChoice(distances=(KnownDistance(0, 100, 120, 5.0), KnownDistance(0, 250, 120, 10.0)))
    _, out = run(tmp_path, content, scene.merged_dir, camera=CameraChoice(fov_deg=60), calibration=points)
    assert [record["vda_depth"] for record in out["tracks"]] == pytest.approx([10, 5], rel=1e-3)


def test_where_no_size_is_the_videos_numbers_without_one_are_refused(tmp_path: Path) -> None:
    depth = write_depth(tmp_path / "depth", [np.full((240, 320), 5.0, np.float32)])
    (depth / "depth.json").unlink()
    content = {"tracks": [{"frame": 0, "contact_2d": [159.5, 119.5]}]}
    settings = EnrichSettings(
        save(tmp_path / "t.json", content),
        tmp_path / "o.json",
        DepthChoice(folder=depth, scale=1000),
        asked=Asked(size=(640, 480)),
        camera=CameraChoice(numbers=(500.0, None, None, None)),
    )
    with pytest.raises(UsageError, match="which of them"):
        enrich_file(settings)
    enrich_file(replace(settings, camera=CameraChoice((500.0, None, None, None), (640, 480))))
