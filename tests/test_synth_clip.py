"""Clips as files: the truth in them, read back by the readers that the other commands use."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import read_codes

from vda.camera.files import read_camera
from vda.camera.intrinsics import project
from vda.camera.poses import read_cameras
from vda.cli.synth import synth
from vda.depthmaps.source import open_depth
from vda.errors import UsageError
from vda.synth.clip import ClipSpec, RenderedClip, render_clip, write_clip
from vda.tracks import read_tracks
from vda.video import index_frames, probe, read_frames

INDOORS = ClipSpec(seed=8, frames=5, width=160, height=90, style="hall", motion="walk")
OUTDOORS = ClipSpec(seed=3, frames=3, width=160, height=90, fps=10.0, style="street", motion="still")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "clip"
    write_clip(out, INDOORS, samples=1, crf=10)
    return out


@pytest.fixture(scope="module")
def rendered() -> RenderedClip:
    return render_clip(INDOORS)


@pytest.fixture(scope="module")
def tracks(written: Path) -> list[dict[str, Any]]:
    return json.loads((written / "tracks.json").read_text())["tracks"]


def test_the_video_shows_the_rendered_pictures(written: Path, rendered: RenderedClip) -> None:
    info = probe(written / "video.mp4")
    pictures = [frame.rgb for frame in read_frames(info, index_frames(info), 0, INDOORS.frames)]
    assert len(pictures) == INDOORS.frames
    for picture, original in zip(pictures, rendered.rgb, strict=True):
        error = np.mean((picture.astype(float) - original) ** 2)
        assert 10 * np.log10(255**2 / error) > 28


def test_depth_images_hold_the_truth_to_half_a_code(written: Path, rendered: RenderedClip) -> None:
    source = open_depth(written / "depth")
    for index, depth in enumerate(rendered.depth_m):
        np.testing.assert_allclose(source.read(index), depth, atol=0.0005001)
        codes = read_codes(written / f"depth/depth_{index:06d}.png")
        assert codes.dtype == np.uint16
        np.testing.assert_allclose(codes / 1000, depth, atol=0.0005001)


def test_outdoors_the_sky_is_no_depth_and_the_scale_reaches_farther(tmp_path: Path) -> None:
    truth = write_clip(tmp_path, OUTDOORS, samples=1)
    depth = render_clip(OUTDOORS).depth_m[2]
    codes = read_codes(tmp_path / "depth/depth_000002.png")
    assert truth["codes_per_metre"] == 256
    assert np.isinf(depth).any()
    near = depth < 255
    assert near.any()
    assert (codes[~np.isfinite(depth)] == 0).all()
    np.testing.assert_allclose(codes[near] / 256, depth[near], atol=0.5001 / 256)


def test_cameras_are_read_back_as_they_were(written: Path, rendered: RenderedClip) -> None:
    own, _ = read_camera(written / "cameras.json")
    assert own == rendered.intrinsics
    poses = json.loads((written / "cameras.json").read_text())["poses"]
    for index, pose in enumerate(poses):
        np.testing.assert_array_equal(pose["camera_to_world"], rendered.camera_to_world[index])
        assert pose["time_s"] == index / 25
    shared = read_cameras(written / "transforms.json", (160, 90))
    assert shared.intrinsics.fx == pytest.approx(own.fx)
    assert (shared.intrinsics.cx, shared.intrinsics.cy) == (own.cx, own.cy)
    for index, pose in shared.camera_to_world.items():
        np.testing.assert_allclose(pose, rendered.camera_to_world[index], atol=1e-12)


def test_contact_points_agree_with_depth_and_projection(
    tracks: list[dict[str, Any]], rendered: RenderedClip
) -> None:
    compared = 0
    for record in (record for record in tracks if record["detected"]):
        frame = int(record["frame"].removeprefix("frame_"))
        position = np.array([record["position_3d"][axis] for axis in "xyz"])
        np.testing.assert_allclose(
            project(rendered.intrinsics, position[None])[0], record["contact_2d"], atol=1e-3
        )
        x, y = (int(value) for value in record["contact_2d"])
        depth = rendered.depth_m[frame, y, x]
        if record["contact_visible"]:
            assert position[2] == pytest.approx(depth, rel=1e-5)
            compared += 1
        else:
            assert depth < position[2]
    assert compared > 5


def test_boxes_hold_the_thing_and_its_base_lies_below(
    tracks: list[dict[str, Any]], rendered: RenderedClip
) -> None:
    for record in (record for record in tracks if record["detected"]):
        x1, y1, x2, y2 = record["bbox"]
        assert -0.5 <= x1 < x2 <= 159.5
        assert -0.5 <= y1 < y2 <= 89.5
        x, y = record["contact_2d"]
        assert x1 < x < x2
        assert y == y2 - 0.5
        base = np.array([record["base_3d"][axis] for axis in "xyz"])
        world = rendered.camera_to_world[0]
        thing = rendered.world.things[record["track_id"]]
        if thing.motion is None and record["frame"] == "frame_00000":
            np.testing.assert_allclose(world[:3, :3] @ base + world[:3, 3], thing.place, atol=1e-5)


def test_visibility_counts_what_is_hidden(tracks: list[dict[str, Any]]) -> None:
    detected = [record for record in tracks if record["detected"]]
    assert all(0.25 <= record["visibility"] <= 1 for record in detected)
    assert any(record["visibility"] == 1 for record in detected)
    assert any(record["visibility"] < 1 for record in detected)


def test_the_track_file_is_read_as_the_classic_one(written: Path, tracks: list[dict[str, Any]]) -> None:
    read = read_tracks(written / "tracks.json")
    assert len(read.frame) == len(tracks)
    metadata = json.loads((written / "tracks.json").read_text())["metadata"]
    assert {o["track_id"] for o in metadata["objects"]} == {record["track_id"] for record in tracks}
    assert all(o["height_m"] > 0 for o in metadata["objects"])


def test_a_finished_clip_is_kept_unless_told_otherwise(written: Path) -> None:
    before = (written / "tracks.json").read_bytes()
    with pytest.raises(UsageError, match="overwrite"):
        write_clip(written, INDOORS)
    assert (written / "tracks.json").read_bytes() == before
    runner = CliRunner()
    size = ["--frames", "1", "--size", "32x18", "--samples", "1", "-q"]
    assert runner.invoke(synth, [str(written), *size]).exit_code == 2


def test_a_shorter_clip_in_anothers_place_leaves_none_of_its_depth(tmp_path: Path) -> None:
    for frames in (3, 1):
        write_clip(tmp_path, ClipSpec(4, frames, 32, 18), samples=1, overwrite=True)
    assert [path.name for path in (tmp_path / "depth").glob("*.png")] == ["depth_000000.png"]


def test_the_command_writes_a_clip_and_says_what_it_is(tmp_path: Path) -> None:
    arguments = [
        str(tmp_path / "c"),
        "--seed",
        "4",
        "--frames",
        "2",
        "--size",
        "64x36",
        "--samples",
        "1",
        "--json",
        "-q",
    ]
    result = CliRunner().invoke(synth, [*arguments, "--style", "table"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["seed"], told["frames"], told["style"], told["width"]) == (4, 2, "table", 64)
    assert told == json.loads((tmp_path / "c" / "truth.json").read_text())
    assert sorted(path.name for path in (tmp_path / "c" / "depth").glob("*.png")) == [
        "depth_000000.png",
        "depth_000001.png",
    ]


@pytest.mark.parametrize("change", [{"frames": 0}, {"width": 0}, {"fps": 0.0}, {"seed": -1}])
def test_impossible_clips_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no clip"):
        ClipSpec(**({"seed": 0, "frames": 1} | change))


def test_a_device_that_is_not_there_and_a_place_that_is_a_file_are_told_in_a_sentence(tmp_path: Path) -> None:
    small = ["--frames", "1", "--size", "32x18", "-q"]
    result = CliRunner().invoke(synth, [str(tmp_path / "c"), *small, "--device", "cuda:99"])
    assert result.exit_code == 1
    assert "cuda:99" in result.stderr
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(synth, [str(tmp_path / "file"), *small])
    assert result.exit_code == 1
    assert str(tmp_path / "file") in result.stderr
