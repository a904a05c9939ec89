"""From a video to depth images: the same bytes however the work is shared out."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from depth_runs import check, depth_digest, make_video, make_weights, run_options, vda, vda_here
from pictures import read_codes

from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.scene.events import WindowBegun, read_events
from vda.scene.scene import Scene

FRAMES = 75


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "mini.safetensors")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", FRAMES)


@pytest.fixture(scope="module")
def whole(video: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene computed as one chunk by one worker inside the process."""
    scene = tmp_path_factory.mktemp("whole") / "scene"
    options = [*run_options(weights), "--chunks", 1, "--on", "inline", "--devices", "cpu"]
    check(vda_here("depth", video, "--scene", scene, *options, "--format", "png16", "--format", "npz", "-q"))
    return scene


@pytest.fixture(scope="module")
def bent(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Digests of the same scene's depth in codes that are not even."""
    scene = tmp_path_factory.mktemp("bent") / "scene"
    shutil.copytree(whole, scene)
    return merged_in_other_codes(scene)


def merged_in_other_codes(scene: Path) -> dict[str, dict[str, str]]:
    digests = {}
    for coding in ("sqrt", "log"):
        merge(Scene(scene), MergeSettings(coding=coding, overwrite=True))
        digests[coding] = depth_digest(scene)
    return digests


def test_every_frame_has_its_image_at_the_videos_size(whole: Path) -> None:
    digest = depth_digest(whole)
    assert list(digest) == [f"depth_{index:06d}.png" for index in range(FRAMES)]
    # A video that moves gives depth that moves: no image is another's copy.
    assert len(set(digest.values())) == FRAMES
    image = read_codes(whole / "vda_merged_depth" / "depth_000040.png")
    assert (image.dtype, image.shape) == (np.uint16, (48, 80))


def test_the_record_turns_codes_into_the_values_before_them(whole: Path) -> None:
    folder = whole / "vda_merged_depth"
    record = json.loads((folder / "depth.json").read_text())
    assert (record["kind"], record["unit"], record["invalid"]) == ("inverse_depth", "relative", 0)
    assert (record["frames"], record["width"], record["height"], record["model"]) == (FRAMES, 80, 48, "mini")
    with np.load(folder / "depths.npz") as archive:
        depths = archive["depths"]
    assert (depths.dtype, depths.shape) == (np.float32, (FRAMES, 48, 80))
    for index in (0, 31, 40, 74):
        codes = read_codes(folder / f"depth_{index:06d}.png").astype(np.float64)
        assert codes.min() >= 1
        values = record["offset"] + record["scale"] * codes
        assert np.abs(values - depths[index]).max() <= 0.5001 * record["scale"] + 1e-6


def test_storing_the_windows_costs_less_than_half_a_step(whole: Path) -> None:
    record = json.loads((whole / "vda_merged_depth" / "depth.json").read_text())
    assert 0 < record["raw_window_error_steps"] < 0.5


def test_a_visualization_of_as_many_frames_is_written(whole: Path) -> None:
    from vda.video import index_frames, probe

    path = whole / "vda_merged_depth" / "depth_visualization.mp4"
    info = probe(path)
    assert (info.codec, info.pixel_format, info.width, info.height) == ("h264", "yuv420p", 80, 48)
    assert len(index_frames(info)) == FRAMES


@pytest.mark.parametrize(
    ("chunks", "program", "how"),
    [(7, vda, ["--devices", "cpu,cpu"]), (3, vda_here, ["--devices", "cpu", "--on", "inline"])],
    ids=["seven chunks, two workers", "three chunks inline"],
)
def test_chunks_and_workers_do_not_change_a_byte_in_any_coding(
    whole: Path,
    bent: dict[str, dict[str, str]],
    video: Path,
    weights: Path,
    tmp_path: Path,
    chunks: int,
    program: Callable[..., subprocess.CompletedProcess[str]],
    how: list[str],
) -> None:
    scene = tmp_path / "scene"
    options = [*run_options(weights), "--chunks", chunks, *how, "--no-video", "-q"]
    check(program("depth", video, "--scene", scene, *options))
    assert depth_digest(scene) == depth_digest(whole)
    assert merged_in_other_codes(scene) == bent
    assert len({digest["depth_000040.png"] for digest in (depth_digest(whole), *bent.values())}) == 3


def test_the_stages_one_by_one_give_the_same(whole: Path, video: Path, weights: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    planned = json.loads(check(vda_here("split", video, "--scene", scene, "--chunks", 2, "--json")).stdout)
    assert (planned["total_frames"], planned["chunks"]) == (FRAMES, 2)
    state = json.loads(check(vda_here("status", scene, "--json")).stdout)
    assert (state["state"], state["frames_total"], state["frames_done"]) == ("planned", FRAMES, 0)
    check(vda_here("run", scene, *run_options(weights), "--devices", "cpu", "-q"))
    state = json.loads(check(vda_here("status", scene, "--json")).stdout)
    assert (state["state"], state["frames_done"]) == ("complete", FRAMES)
    assert [chunk["state"] for chunk in state["chunks"]] == ["done", "done"]
    check(vda_here("merge", scene, "--discard-windows"))
    assert depth_digest(scene) == depth_digest(whole)
    state = json.loads(check(vda_here("status", scene, "--json")).stdout)
    assert state["state"] == "merged"
    assert not list((scene / "vda_windows").glob("window_*"))


def test_a_range_of_frames_keeps_the_videos_indices(video: Path, weights: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    options = [*run_options(weights), "--devices", "cpu", "--on", "inline", "--frames", "30:60", "-q"]
    check(vda_here("depth", video, "--scene", scene, *options))
    assert list(depth_digest(scene)) == [f"depth_{index:06d}.png" for index in range(30, 60)]


def test_depth_whose_windows_were_discarded_is_not_computed_again(
    video: Path, weights: Path, tmp_path: Path
) -> None:
    scene = tmp_path / "scene"
    options = [
        *run_options(weights),
        "--devices",
        "cpu",
        "--on",
        "inline",
        "--frames",
        "0:25",
        "--discard-windows",
    ]
    check(vda_here("depth", video, "--scene", scene, *options))
    again = check(vda_here("depth", video, "--scene", scene, *options))
    assert "already" in again.stderr
    begun = [entry for entry in read_events(Scene(scene)) if isinstance(entry.event, WindowBegun)]
    assert [entry.chunk for entry in begun] == [0]
    refused = vda_here("depth", video, "--scene", scene, *options, "--input-size", 48)
    assert refused.returncode == 2
    assert "--restart" in refused.stderr


def test_finished_depth_is_not_made_again_nor_overwritten(whole: Path, video: Path, weights: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole / "vda_merged_depth").iterdir()}
    again = check(vda_here("depth", video, "--scene", whole, *run_options(weights), "--devices", "cpu"))
    assert "already" in again.stderr
    refused = vda_here("merge", whole)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert {path: path.stat().st_mtime_ns for path in (whole / "vda_merged_depth").iterdir()} == before


def test_other_settings_for_a_begun_scene_are_refused_by_name(whole: Path, video: Path, weights: Path) -> None:
    options = [*run_options(weights), "--devices", "cpu", "--input-size", 48]
    refused = vda_here("run", whole, *options)
    assert refused.returncode == 2
    assert "input size 32 became 48" in refused.stderr
    assert "--restart" in refused.stderr
    refused = vda_here("split", video, "--scene", whole, "--frames", "0:50")
    assert refused.returncode == 2
    assert "already planned with 1 chunk (linked)" in refused.stderr


def test_restart_throws_away_what_was_computed_otherwise(video: Path, weights: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    common = [
        "--scene",
        scene,
        *run_options(weights),
        "--devices",
        "cpu",
        "--on",
        "inline",
        "--frames",
        "0:25",
        "-q",
    ]
    check(vda_here("depth", video, *common))
    first = depth_digest(scene)
    check(vda_here("depth", video, *common, "--input-size", 48, "--restart"))
    assert depth_digest(scene).keys() == first.keys()
    assert depth_digest(scene) != first
    assert json.loads((scene / "vda_windows" / "run.json").read_text())["input_size"] == 48
