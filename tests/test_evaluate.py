"""Depth in files against truth in files: formats, pairing, sizes, the picture and the command."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from click.testing import CliRunner
from clips import make_clip
from numpy.typing import NDArray
from pictures import read_codes, read_picture
from reporters import Stages

from vda.camera.poses import read_cameras
from vda.cli.evaluate import evaluate as command
from vda.comparing.pairing import Pairing, pair_frames
from vda.comparing.truth import evaluate
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.colours import INVALID_RGB, colorize, colorize_codes
from vda.depthmaps.files import write_png16
from vda.depthmaps.source import DepthSource
from vda.errors import InputError, UsageError
from vda.files import write_json
from vda.scene.scene import Scene
from vda.splitting.stage import split
from vda.video import FrameIndex

Array = NDArray[np.float32]

HEIGHT, WIDTH, FRAMES = 48, 80, 5
CAP_M = 10.0


@pytest.fixture
def truth_m() -> Array:
    """A floor with a box in front of it that comes nearer, whole millimetres, [frames, height, width]."""
    depth = np.repeat(np.linspace(8, 2, HEIGHT)[:, None], WIDTH, axis=1)
    stack = np.stack([depth] * FRAMES)
    for frame in range(FRAMES):
        stack[frame, 20:40, 30:50] = 1.8 - 0.1 * frame
    return np.round(stack, 3).astype(np.float32)


def millimetres(folder: Path, depth_m: Array, first: int = 0, step: int = 1) -> Path:
    folder.mkdir(parents=True)
    for place, frame in enumerate(depth_m):
        write_png16(folder / f"{first + step * place:06d}.png", np.rint(frame * 1000).astype(np.uint16))
    return folder


def merged(folder: Path, values: NDArray[np.floating], quantizer: Quantizer) -> Path:
    """A folder as ``vda merge`` leaves it."""
    folder.mkdir(parents=True)
    for frame, value in enumerate(values):
        write_png16(folder / f"depth_{frame:06d}.png", quantizer.encode(value.astype(np.float32)))
    DepthRecord(quantizer, len(values), WIDTH, HEIGHT, "mini").write(folder / "depth.json")
    return folder


@pytest.fixture
def scene(tmp_path: Path, truth_m: Array) -> Path:
    """A scene whose relative depth is wrong by a known factor in the box alone: 1.5 times its inverse depth."""
    inverse = 1 / truth_m
    inverse[:, 20:40, 30:50] *= 1.5
    merged(tmp_path / "scene" / "vda_merged_depth", 3 * inverse + 1, Quantizer.for_range(1, 5))
    return tmp_path / "scene"


def test_right_depth_has_no_error_but_its_rounding_to_sixteen_bits(tmp_path: Path, truth_m: Array) -> None:
    depth = merged(tmp_path / "depth", 2 / truth_m, Quantizer.for_range(0, 2))
    result = evaluate(depth, millimetres(tmp_path / "truth", truth_m), truth_scale=1000, cap_m=CAP_M)
    assert result.depth.abs_rel < 1e-4
    assert (result.depth.delta1, result.depth.frames, result.matched_by) == (1, FRAMES, "index")
    assert result.depth.scale == pytest.approx(0.5, rel=1e-3)
    assert result.baselines["constant"].abs_rel > result.baselines["ramp"].abs_rel > 0.1


def test_every_format_of_truth_gives_the_same_figures(tmp_path: Path, truth_m: Array, scene: Path) -> None:
    expected = evaluate(scene, millimetres(tmp_path / "png", truth_m), truth_scale=1000, cap_m=CAP_M)
    np.save(tmp_path / "truth.npy", truth_m)
    np.savez_compressed(tmp_path / "truth.npz", depth=truth_m)
    for folder in ("npy", "exr"):
        (tmp_path / folder).mkdir()
    for frame, depth in enumerate(truth_m):
        np.save(tmp_path / "npy" / f"{frame:04d}.npy", depth)
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Z": depth}) as file:
            file.write(str(tmp_path / "exr" / f"{frame:04d}.exr"))
    for name in ("truth.npy", "truth.npz", "npy", "exr"):
        figures = evaluate(scene, tmp_path / name, cap_m=CAP_M).depth
        assert figures.abs_rel == pytest.approx(expected.depth.abs_rel, rel=1e-5), name
        assert figures.pixels == expected.depth.pixels == FRAMES * HEIGHT * WIDTH


def test_relative_depth_is_aligned_and_metric_depth_is_not(tmp_path: Path, truth_m: Array) -> None:
    truth = millimetres(tmp_path / "truth", truth_m)
    metric = merged(tmp_path / "metric", truth_m * 1.1, Quantizer.millimetres())
    assert evaluate(metric, truth, truth_scale=1000).depth.abs_rel == pytest.approx(0.1, abs=1e-3)
    centimetres = tmp_path / "centimetres.npy"
    np.save(centimetres, truth_m * 120)
    result = evaluate(centimetres, truth, truth_scale=1000, depth_scale=100)
    assert (result.kind, result.depth.abs_rel) == ("depth", pytest.approx(0.2, abs=1e-3))
    np.save(tmp_path / "inverse.npy", 7 / truth_m + 2)
    assert evaluate(tmp_path / "inverse.npy", truth, truth_scale=1000).depth.abs_rel < 1e-4


def test_codes_that_mean_no_truth_do_not_count(tmp_path: Path, truth_m: Array, scene: Path) -> None:
    truth = millimetres(tmp_path / "truth", truth_m)
    codes = read_codes(truth / "000002.png")
    codes[0], codes[1] = 0, 65535
    write_png16(truth / "000002.png", codes)
    result = evaluate(scene, truth, truth_scale=1000, cap_m=100)
    assert result.depth.pixels == FRAMES * HEIGHT * WIDTH - 2 * WIDTH


def test_frames_that_could_not_be_decoded_lower_the_coverage(tmp_path: Path, truth_m: Array) -> None:
    inverse = 1 / truth_m
    inverse[3] = np.nan
    depth = merged(tmp_path / "depth", inverse, Quantizer.for_range(0, 1))
    result = evaluate(depth, millimetres(tmp_path / "truth", truth_m), truth_scale=1000, cap_m=CAP_M)
    assert result.depth.coverage == pytest.approx((FRAMES - 1) / FRAMES)
    assert result.baselines["ramp"].coverage == 1


def test_the_border_is_left_out(tmp_path: Path, truth_m: Array, scene: Path) -> None:
    truth = millimetres(tmp_path / "truth", truth_m)
    result = evaluate(scene, truth, truth_scale=1000, cap_m=CAP_M, border=4)
    assert result.depth.pixels == FRAMES * (HEIGHT - 8) * (WIDTH - 8)
    with pytest.raises(InputError, match="No pixel"):
        evaluate(scene, truth, truth_scale=1000, cap_m=CAP_M, border=24)


def test_depth_of_another_size_is_brought_to_the_truths(tmp_path: Path, truth_m: Array) -> None:
    inverse = np.stack([cv2.resize(1 / frame, (WIDTH // 2, HEIGHT // 2)) for frame in truth_m])
    np.save(tmp_path / "small.npy", inverse)
    truth = millimetres(tmp_path / "truth", truth_m)
    result = evaluate(tmp_path / "small.npy", truth, truth_scale=1000, cap_m=CAP_M)
    assert (result.width, result.height) == (WIDTH, HEIGHT)
    # Only the box's edge is blurred: a thirtieth of the picture.
    assert result.depth.abs_rel < 0.05
    assert result.depth.delta1 > 0.95
    np.save(tmp_path / "square.npy", inverse[:, :, : HEIGHT // 2])
    with pytest.raises(InputError, match="not of the same picture"):
        evaluate(tmp_path / "square.npy", truth, truth_scale=1000)


def numbered(frames: list[int]) -> DepthSource:
    return DepthSource(frames, lambda place: np.zeros((1, 1), np.float32))


def timed(times_s: list[float]) -> DepthSource:
    return replace(numbered(list(range(len(times_s)))), times_s=tuple(times_s))


@pytest.mark.parametrize(
    ("depth", "truth", "pairs", "unmatched"),
    [
        ([0, 1, 2], [0, 1, 2], [(0, 0), (1, 1), (2, 2)], (0, 0)),
        ([0, 1, 2, 3], [1, 3], [(1, 1), (3, 3)], (2, 0)),
        ([10, 11], list(range(100)), [(10, 10), (11, 11)], (0, 98)),
    ],
)
def test_frames_are_paired_by_index(
    depth: list[int], truth: list[int], pairs: list[tuple[int, int]], unmatched: tuple[int, int]
) -> None:
    assert pair_frames(numbered(depth), numbered(truth)) == Pairing(tuple(pairs), "index", *unmatched)


@pytest.mark.parametrize("truth", [[1, 2, 3], [0, 50, 100]])
def test_frames_are_paired_by_order_only_where_that_is_asked_for(truth: list[int]) -> None:
    depth = numbered([0, 1, 2])
    with pytest.raises(InputError, match=r"3 frames of depth and 3 of truth, and only [12] have .*--by-order if"):
        pair_frames(depth, numbered(truth))
    pairs = tuple(zip([0, 1, 2], truth, strict=True))
    assert pair_frames(depth, numbered(truth), by_order=True) == Pairing(pairs, "order")
    with pytest.raises(InputError, match="3 frames of depth and 2 of truth, which cannot be paired by order"):
        pair_frames(depth, numbered(truth[:2]), by_order=True)


def test_times_are_paired_with_the_nearest_within_half_a_step() -> None:
    depth, truth = timed([5.0, 5.1, 5.2, 5.3, 5.4]), timed([5.04, 5.12, 5.31, 5.58])
    assert pair_frames(depth, truth) == Pairing(((0, 0), (1, 1), (3, 2)), "time", 2, 1)
    # Two are near to one: the nearer has it.
    assert pair_frames(timed([1.0, 1.04, 1.2, 1.4]), timed([1.03, 1.4])).pairs == ((1, 0), (3, 1))


def test_times_of_two_clocks_and_times_against_numbers_are_refused_with_the_counts() -> None:
    with pytest.raises(InputError, match=r"2 frames of depth and 3 of truth, and no two times are within"):
        pair_frames(timed([0.0, 0.1]), timed([1e9, 1e9 + 0.1, 1e9 + 0.2]))
    for depth, truth in ((numbered([0, 1]), timed([0.0, 0.1, 0.2])), (timed([0.0, 0.1]), numbered([0, 1, 2]))):
        with pytest.raises(InputError, match=r"named by times .* 2 frames of depth and 3 of truth"):
            pair_frames(depth, truth)


def stamped(folder: Path, depth_m: Array, start: float = 1305031102.175304) -> Path:
    """Files named as the TUM RGB-D benchmark names them: seconds since 1970, at 30 frames a second."""
    folder.mkdir()
    for place, frame in enumerate(depth_m):
        name = f"{start + place / 30:.6f}.png"
        write_png16(folder / name, np.rint(frame * 5000).astype(np.uint16))
    return folder


def test_truth_named_by_times_of_which_some_are_lost_is_paired_by_time(tmp_path: Path, truth_m: Array) -> None:
    """Each frame is another distance away: paired wrongly, the error is at least a tenth."""
    distances = np.stack([np.full((HEIGHT, WIDTH), 2.0 + 0.5 * place) for place in range(10)]).astype(np.float32)
    truth = stamped(tmp_path / "truth", distances)
    for lost in (1, 4, 7):
        sorted(truth.iterdir())[lost].rename(tmp_path / f"lost{lost}.png")
    # The camera's own clock is 4 ms behind that of the depth sensor.
    depth = stamped(tmp_path / "depth", distances, 1305031102.179304)
    arguments = [str(depth), str(truth), "--truth-scale", "5000", "--depth-scale", "5000", "-q"]
    figures = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert figures["matched_by"] == "time"
    assert (figures["depth"]["frames"], figures["unmatched_depth"], figures["unmatched_truth"]) == (7, 3, 0)
    assert figures["depth"]["abs_rel"] < 1e-3
    shown = CliRunner().invoke(command, arguments).stdout
    assert "matched by time" in shown
    assert "left out: 3 frames of depth and 0 of truth" in shown
    # Without names that tell, the counts have to be equal and the order asked for.
    np.save(tmp_path / "depth.npy", distances)
    refused = CliRunner().invoke(command, [str(tmp_path / "depth.npy"), *arguments[1:], "--by-order"])
    assert refused.exit_code == 2
    assert "10 frames of depth and 7 of truth" in refused.stderr
    np.save(tmp_path / "depth.npy", np.delete(distances, (1, 4, 7), axis=0) * 5000)
    by_order = CliRunner().invoke(command, [str(tmp_path / "depth.npy"), *arguments[1:], "--by-order"])
    assert "matched by order" in by_order.stdout


def test_a_scene_has_the_times_of_its_video(tmp_path: Path, truth_m: Array, scene: Path) -> None:
    split(make_clip(tmp_path / "clip.mp4", range(FRAMES)), Scene(scene))
    times_s = FrameIndex.load(Scene(scene).index_path).times_s
    truth = tmp_path / "truth"
    truth.mkdir()
    for place in (0, 1, 3):
        write_png16(truth / f"{times_s[place]:.4f}.png", np.rint(truth_m[place] * 1000).astype(np.uint16))
    result = evaluate(scene, truth, truth_scale=1000, cap_m=CAP_M)
    assert (result.matched_by, result.depth.frames, result.unmatched_depth) == ("time", 3, 2)


def test_inverse_depth_is_no_truth(scene: Path) -> None:
    with pytest.raises(InputError, match="inverse depth, not truth"):
        evaluate(scene, scene / "vda_merged_depth", truth_scale=1000)


def test_depth_and_truth_of_different_videos_are_refused() -> None:
    with pytest.raises(InputError, match="3 frames of depth and 4 of truth, and only 2"):
        pair_frames(numbered([0, 1, 2]), numbered([1, 2, 3, 4]))


def test_pairs_keep_together_what_belongs_together(tmp_path: Path, truth_m: Array) -> None:
    np.save(tmp_path / "depth.npy", 1 / truth_m)
    some = millimetres(tmp_path / "some", truth_m[1::2], first=1, step=2)
    result = evaluate(tmp_path / "depth.npy", some, truth_scale=1000, cap_m=CAP_M)
    assert (result.depth.frames, result.matched_by) == (2, "index")
    assert result.depth.abs_rel < 1e-4


# ------------------------------------------------------------------------------------------------------ cameras


@pytest.fixture
def wall(tmp_path: Path) -> tuple[Path, Path]:
    """Depth that says 2 m twice of a wall at 2 m and then at 1.5 m: carried, it is 25 % off both ways."""
    np.save(tmp_path / "depth.npy", np.full((2, HEIGHT, WIDTH), 2, np.float32))
    np.save(tmp_path / "truth.npy", np.stack([np.full((HEIGHT, WIDTH), depth) for depth in (2.0, 1.5)]))
    return tmp_path / "depth.npy", tmp_path / "truth.npy"


def approach(z: float) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[2, 3] = z
    return pose


def seven_scenes(folder: Path) -> Path:
    folder.mkdir()
    for frame, z in enumerate((0, 0.5)):
        np.savetxt(folder / f"frame-{frame:06d}.pose.txt", approach(z))
    matrix = np.array([[60, 0, WIDTH / 2], [0, 60, HEIGHT / 2], [0, 0, 1]])
    np.savetxt(folder / "camera-intrinsics.txt", matrix)
    return folder


def nerfstudio(path: Path) -> Path:
    """The same motion in OpenGL's axes: forward is -z."""
    frames = [
        {"file_path": f"images/{frame:06d}.png", "transform_matrix": approach(-z).tolist()}
        for frame, z in enumerate((0, 0.5))
    ]
    write_json(path, {"fl_x": 60, "fl_y": 60, "cx": 40, "cy": 24, "w": WIDTH, "h": HEIGHT, "frames": frames})
    return path


def synthetic(folder: Path) -> Path:
    """As ``vda synth`` writes them, in a folder with other things."""
    folder.mkdir()
    poses = [{"frame": frame, "camera_to_world": approach(z).tolist()} for frame, z in enumerate((0, 0.5))]
    camera = {"width": WIDTH, "height": HEIGHT, "fx": 60, "fy": 60, "cx": 39.5, "cy": 23.5}
    write_json(folder / "cameras.json", camera | {"poses": poses})
    return folder


@pytest.mark.parametrize("layout", [seven_scenes, nerfstudio, synthetic])
def test_the_temporal_error_from_cameras_in_files(
    tmp_path: Path, wall: tuple[Path, Path], layout: Callable[[Path], Path]
) -> None:
    result = evaluate(*wall, depth_scale=1, cap_m=CAP_M, cameras=layout(tmp_path / "cameras"))
    assert result.depth.tae == pytest.approx(25)
    assert evaluate(*wall, depth_scale=1, cap_m=CAP_M).depth.tae is None


def test_opengls_axes_are_turned_into_ours(tmp_path: Path) -> None:
    # In OpenGL y is up and the camera looks along -z: right 0.1, up 0.2 and forward 0.3 is (0.1, 0.2, -0.3) there.
    path = nerfstudio(tmp_path / "transforms.json")
    values = json.loads(path.read_text())
    motion = np.eye(4)
    motion[:3, 3] = 0.1, 0.2, -0.3
    values["frames"][1]["transform_matrix"] = (approach(0) @ motion).tolist()
    write_json(path, values)
    poses = read_cameras(path, (WIDTH, HEIGHT)).camera_to_world
    relative = np.linalg.inv(poses[0]) @ poses[1]
    assert relative[:3, 3] == pytest.approx([0.1, -0.2, 0.3])
    assert relative[:3, :3] == pytest.approx(np.eye(3))


def test_cameras_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = seven_scenes(tmp_path / "poses")
    (folder / "frame-000001.pose.txt").write_text("1 2 3\n")
    with pytest.raises(InputError, match="4 x 4"):
        read_cameras(folder, (WIDTH, HEIGHT))
    with pytest.raises(InputError, match=r"no \*.pose.txt"):
        read_cameras(tmp_path, (WIDTH, HEIGHT))
    path = nerfstudio(tmp_path / "transforms.json")
    values = json.loads(path.read_text())
    del values["frames"][1]["transform_matrix"]
    write_json(path, values)
    with pytest.raises(InputError, match="pose for each frame"):
        read_cameras(path, (WIDTH, HEIGHT))


# ----------------------------------------------------------------------------------------------------- pictures


def test_colours_run_from_dark_to_bright_and_show_what_is_missing() -> None:
    rgb = colorize(np.array([[1.0, 2.0, 3.0, -9.0, 9.0, np.nan]]), 1, 3)
    brightness = rgb[0].astype(int).sum(axis=1)
    assert brightness[0] < brightness[1] < brightness[2]
    assert (brightness[3], brightness[4]) == (brightness[0], brightness[2])
    assert tuple(rgb[0, 5]) == INVALID_RGB
    assert np.array_equal(colorize(np.array([1.0, 3.0]), 3, 1), colorize(np.array([3.0, 1.0]), 1, 3))
    assert np.array_equal(colorize(np.array([2.0, 2.0]), 2, 2)[0], rgb[0, 0])


@pytest.mark.parametrize(
    ("quantizer", "near_to_far"),
    [(Quantizer.for_range(0, 2), [65535, 30000, 1]), (Quantizer.millimetres(), [500, 3000, 40000])],
)
def test_near_codes_are_bright_whatever_they_mean(quantizer: Quantizer, near_to_far: list[int]) -> None:
    rgb = colorize_codes(np.array([*near_to_far, 0], np.uint16), quantizer)
    brightness = rgb[:3].astype(int).sum(axis=1)
    assert brightness[0] > brightness[1] > brightness[2]
    assert tuple(rgb[3]) == INVALID_RGB


def test_an_unknown_colour_map_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="plasm"):
        colorize(np.zeros((1, 1)), 0, 1, "plasm")


def test_the_figure_shows_the_videos_own_frames_where_there_are_any(
    tmp_path: Path, truth_m: Array, scene: Path
) -> None:
    truth = millimetres(tmp_path / "truth", truth_m)
    draw = partial(evaluate, scene, truth, truth_scale=1000, cap_m=CAP_M)
    draw(figure=tmp_path / "three.png")
    video = make_clip(tmp_path / "clip.mp4", range(FRAMES))
    split(video, Scene(scene))
    draw(figure=tmp_path / "four.png")
    video.unlink()
    draw(figure=tmp_path / "again.png")
    widths = [read_picture(tmp_path / f"{name}.png").shape[1] for name in ("three", "four", "again")]
    assert widths[1] == pytest.approx(widths[0] * 4 / 3, rel=0.01)
    assert widths[2] == widths[0]


def test_a_figure_is_not_overwritten_by_itself(tmp_path: Path, truth_m: Array, scene: Path) -> None:
    truth, figure = millimetres(tmp_path / "truth", truth_m), tmp_path / "figure.png"
    figure.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        evaluate(scene, truth, truth_scale=1000, figure=figure)
    assert figure.read_text() == "mine"
    for name, words in (("figure.jpg", "no .png"), (".", "no .png"), ("folder.png", "is a folder")):
        (tmp_path / "folder.png").mkdir(exist_ok=True)
        stages = Stages()
        with pytest.raises(UsageError, match=words):
            evaluate(scene, truth, truth_scale=1000, figure=tmp_path / name, overwrite=True, reporter=stages)
        assert not stages.begun
    evaluate(scene, truth, truth_scale=1000, figure=figure, overwrite=True)
    assert read_picture(figure).size


# -------------------------------------------------------------------------------------------------- the command


def test_the_command_prints_a_table_and_the_same_figures_as_json(
    tmp_path: Path, truth_m: Array, scene: Path
) -> None:
    truth = millimetres(tmp_path / "truth", truth_m)
    arguments = [str(scene), str(truth), "--truth-scale", "1000", "--cap", "10", "-q"]
    table = CliRunner().invoke(command, arguments).stdout.splitlines()
    figures = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert table[0].split() == ["depth", "by", "frame", "ramp", "constant"]
    rows = {line[:18].strip(): line[18:].split() for line in table[1:] if line[18:19] == " "}
    names = {"AbsRel": "abs_rel", "SqRel, m": "sq_rel", "RMSE log": "rmse_log", "delta1": "delta1"}
    told = [figures["depth"], figures["depth"]["over_frames"]["median"], *figures["baselines"].values()]
    for title, name in names.items():
        assert [float(cell) for cell in rows[title]] == pytest.approx([of[name] for of in told], abs=5e-5)
    assert figures["baselines"].keys() == {"ramp", "constant"}
    assert any(f"{FRAMES} frames of {WIDTH} x {HEIGHT}, matched by index" in line for line in table)
    # The range that counts, and what is cut off, are said and written.
    assert any("truth from 0.001 m to 10 m, border 0, crop none" in line for line in table)
    assert (figures["least_m"], figures["cap_m"], figures["border"], figures["crop"]) == (0.001, 10, 0, None)


def test_the_command_says_so_if_near_and_far_are_exchanged(tmp_path: Path, truth_m: Array) -> None:
    np.save(tmp_path / "depth.npy", truth_m)
    arguments = [
        str(tmp_path / "depth.npy"),
        str(millimetres(tmp_path / "truth", truth_m)),
        "--truth-scale",
        "1000",
    ]
    shown = CliRunner().invoke(command, arguments).stdout
    assert shown.splitlines()[0].split() == ["depth", "(!)", "depth", "up", "by", "frame", "ramp", "constant"]
    assert "(!) The best scale of depth is negative" in shown
    figures = json.loads(CliRunner().invoke(command, [*arguments, "--json", "-q"]).stdout)
    assert figures["upside_down"] == ["depth"]
    # What is left of it the right way up is the constant.
    assert figures["depth"]["upright"]["abs_rel"] == pytest.approx(figures["baselines"]["constant"]["abs_rel"])
    assert figures["depth"]["upright"]["abs_rel"] > figures["depth"]["abs_rel"]


def test_a_ramp_has_no_free_flip_either(tmp_path: Path, truth_m: Array) -> None:
    np.save(tmp_path / "depth.npy", 1 / truth_m[:, ::-1])
    np.save(tmp_path / "truth.npy", truth_m[:, ::-1])
    result = evaluate(tmp_path / "depth.npy", tmp_path / "truth.npy", cap_m=CAP_M)
    assert result.upside_down == ["ramp"]
    ramp, constant = result.baselines["ramp"], result.baselines["constant"]
    assert ramp.right_way_up.abs_rel == pytest.approx(constant.abs_rel)
    assert ramp.abs_rel < constant.abs_rel


@pytest.mark.parametrize(
    ("align", "words"),
    [
        ("scale", "scale 0.5 for the video, by least squares in inverse depth"),
        ("median", r"scale 0\.(5|4999)\d* of inverse depth for the video, by the medians of depth"),
        ("frame-median", "each frame's own scale, by its medians of depth: 0.5 of inverse depth in the median"),
        ("none", "not aligned"),
    ],
)
def test_depth_is_aligned_as_asked_and_that_is_said(
    tmp_path: Path, truth_m: Array, align: str, words: str
) -> None:
    np.save(tmp_path / "depth.npy", 2 / truth_m)
    np.save(tmp_path / "truth.npy", truth_m)
    arguments = [str(tmp_path / "depth.npy"), str(tmp_path / "truth.npy"), "--align", align, "-q"]
    assert re.search(words, CliRunner().invoke(command, arguments).stdout)
    figures = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert figures["align"] == align
    # Twice the inverse depth is half the depth.
    assert figures["depth"]["abs_rel"] == pytest.approx(0.5 if align == "none" else 0, abs=5e-5)
    assert figures["baselines"]["ramp"]["scale"] != 1


def test_metric_depth_is_shown_as_it_is_and_aligned(tmp_path: Path, truth_m: Array) -> None:
    np.save(tmp_path / "depth.npy", 1.25 * truth_m + 0.5)
    np.save(tmp_path / "truth.npy", truth_m)
    arguments = [str(tmp_path / "depth.npy"), str(tmp_path / "truth.npy"), "--depth-scale", "1", "-q"]
    table = CliRunner().invoke(command, arguments).stdout.splitlines()
    figures = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert (figures["kind"], figures["align"]) == ("depth", "none")
    assert figures["depth"]["abs_rel"] == pytest.approx(float(np.mean(0.25 + 0.5 / truth_m)), rel=1e-4)
    aligned = figures["aligned"]
    assert (aligned["scale"], aligned["shift"]) == pytest.approx((0.8, -0.4), abs=1e-4)
    assert aligned["abs_rel"] == pytest.approx(0, abs=1e-4)
    assert table[0].split() == ["depth", "by", "frame", "aligned", "ramp", "constant"]
    assert any("scale 0.8 and shift -0.4 m" in line for line in table)
    # Asked for one way, there is that one, and relative depth has but one.
    asked = json.loads(CliRunner().invoke(command, [*arguments, "--align", "scale-shift", "--json"]).stdout)
    assert asked["aligned"] is None and asked["depth"]["abs_rel"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("cap", ["0", "-1", "nan", "inf", "0.001"])
def test_a_cap_that_leaves_nothing_is_refused_before_anything_is_read(tmp_path: Path, cap: str) -> None:
    refused = CliRunner().invoke(command, [str(tmp_path / "none"), str(tmp_path / "none"), "--cap", cap])
    assert (refused.exit_code, "A cap of" in refused.stderr) == (2, True)


def test_crops_count_what_benchmarks_count(tmp_path: Path, truth_m: Array) -> None:
    np.save(tmp_path / "depth.npy", 1 / truth_m)
    np.save(tmp_path / "truth.npy", truth_m)
    run = partial(evaluate, tmp_path / "depth.npy", tmp_path / "truth.npy", cap_m=CAP_M)
    # 0.40810811 to 0.99189189 of 48 rows, 0.03594771 to 0.96405229 of 80 columns, rounded down; the border cuts
    # more.
    assert run(crop="garg").depth.pixels == FRAMES * (47 - 19) * (77 - 2)
    assert run(crop="garg", border=4).depth.pixels == FRAMES * (44 - 19) * (76 - 4)
    with pytest.raises(InputError, match="640 x 480"):
        run(crop="nyu")


def test_a_camera_without_poses_gives_normals_and_no_temporal_error(tmp_path: Path, truth_m: Array) -> None:
    np.save(tmp_path / "depth.npy", 1 / truth_m)
    np.save(tmp_path / "truth.npy", truth_m)
    arguments = [str(tmp_path / "depth.npy"), str(tmp_path / "truth.npy"), "-q"]
    plain = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert "normal_mean" not in plain["depth"]
    figures = json.loads(CliRunner().invoke(command, [*arguments, "--fov", "60", "--json"]).stdout)["depth"]
    assert (figures["normal_mean"], figures["normal_a1"], figures["tae"]) == (pytest.approx(0, abs=0.01), 1, None)
    assert "normals mean, deg" in CliRunner().invoke(command, [*arguments, "--fov", "60"]).stdout
    twice = CliRunner().invoke(command, [*arguments, "--fov", "60", "--cameras", str(tmp_path)])
    assert (twice.exit_code, "given twice" in twice.stderr) == (2, True)


def test_the_command_says_so_if_one_scale_stands_for_several_shots(
    tmp_path: Path, truth_m: Array, scene: Path
) -> None:
    arguments = [str(scene), str(millimetres(tmp_path / "truth", truth_m)), "--truth-scale", "1000", "-q"]
    assert "shots" not in CliRunner().invoke(command, arguments).stdout
    record = DepthRecord.read(scene / "vda_merged_depth" / "depth.json")
    shots = [{"start_frame": 0, "end_frame": 2}, {"start_frame": 2, "end_frame": FRAMES}]
    replace(record, shots=shots).write(scene / "vda_merged_depth" / "depth.json")
    assert "2 shots, each with a scale of its own" in CliRunner().invoke(command, arguments).stdout
    assert json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)["shots"] == 2


def test_the_command_says_what_is_missing_in_two_sentences(tmp_path: Path, truth_m: Array, scene: Path) -> None:
    truth = millimetres(tmp_path / "truth", truth_m)
    result = CliRunner().invoke(command, [str(scene), str(truth), "-q"])
    assert result.exit_code == 2
    assert "--truth-scale 1000" in result.stderr
    assert "Traceback" not in result.output
