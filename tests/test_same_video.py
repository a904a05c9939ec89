"""A scene and its video: another in its place, one that grows, both moved, and a plan taken up elsewhere."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from depth_runs import INPUT_SIZE, depth_digest, make_video, make_weights

from vda.api.pipeline import RunSettings, merge_scene, plan_scene, run
from vda.cli import main
from vda.errors import SceneError, VideoError, WorkError
from vda.machine.devices import Device
from vda.merging.settings import MergeSettings
from vda.scene.scene import Scene
from vda.scene.windowstore import WindowStore
from vda.splitting.settings import PlanSettings
from vda.video import read_frames

FRAMES = 70


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "w.safetensors")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("film") / "v.mp4", FRAMES)


@pytest.fixture
def home(film: Path, tmp_path: Path) -> Path:
    """A folder with a video and its scene, as ``vda split`` leaves them."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(film, folder / "v.mp4")
    plan_scene(folder / "v.mp4", folder / "scene")
    return folder


def settings(weights: Path) -> RunSettings:
    return RunSettings("mini", weights, INPUT_SIZE, threads=1, devices="cpu", on="inline")


def replace_by_another_of_the_same_size(video: Path) -> None:
    """As a copy over it would, even with the time of the old file: only bytes differ."""
    before, data = video.stat(), bytearray(video.read_bytes())
    data[len(data) // 2] ^= 0xFF
    video.write_bytes(data)
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_another_video_of_the_same_size_is_refused_before_anything_is_computed(home: Path, weights: Path) -> None:
    replace_by_another_of_the_same_size(home / "v.mp4")
    with pytest.raises(VideoError, match="another video"):
        run([Scene(home / "scene")], settings(weights))
    assert not (home / "scene" / "vda_windows").exists()


def test_a_video_that_grew_is_refused_with_both_sizes(home: Path, weights: Path) -> None:
    size = (home / "v.mp4").stat().st_size
    with (home / "v.mp4").open("ab") as handle:
        handle.write(b"more")
    with pytest.raises(VideoError, match=f"grown .* from {size} bytes to {size + 4}"):
        run([Scene(home / "scene")], settings(weights))


def test_a_video_replaced_between_two_readings_is_found_at_the_second(home: Path) -> None:
    info, index = Scene(home / "scene").film()
    assert len(list(read_frames(info, index, 0, 3))) == 3
    replace_by_another_of_the_same_size(home / "v.mp4")
    with pytest.raises(VideoError, match="another video"):
        list(read_frames(info, index, 0, 3))


def grow(video: Path) -> None:
    with video.open("ab") as handle:
        handle.write(bytes(1000))


@pytest.mark.parametrize("change", [replace_by_another_of_the_same_size, grow, Path.unlink])
def test_a_video_that_changes_while_it_is_computed_gives_no_other_depth(
    home: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """It changes under the worker, behind the first window: the rest is right, or is refused in words."""
    scene, film, write = Scene(home / "scene"), (home / "v.mp4").read_bytes(), WindowStore.write
    changed: list[int] = []

    def write_and_change(store: WindowStore, *window: Any) -> None:
        write(store, *window)
        if not changed:
            changed.append(1)
            change(home / "v.mp4")

    monkeypatch.setattr(WindowStore, "write", write_and_change)
    said = ""
    try:
        run([scene], replace(settings(weights), retries=0))
    except WorkError as error:
        said = error.problem + error.remedy
    assert changed and (not said or "v.mp4" in said), said
    with pytest.raises(VideoError, match=r"v\.mp4"):
        scene.require_video()
    (home / "v.mp4").write_bytes(film)
    run([scene], settings(weights))
    merge_scene(scene, MergeSettings())
    quiet = plan_scene(home / "v.mp4", home / "quiet")
    run([quiet], settings(weights))
    merge_scene(quiet, MergeSettings())
    assert depth_digest(scene.root) == depth_digest(quiet.root)


def test_pictures_beside_depth_are_of_the_video_that_was_computed(home: Path, weights: Path) -> None:
    scene = Scene(home / "scene")
    run([scene], settings(weights))
    replace_by_another_of_the_same_size(home / "v.mp4")
    with pytest.raises(VideoError, match="another video"):
        merge_scene(scene, MergeSettings(create_video=True, side_by_side=True))
    # Depth itself needs no video any more; the report leaves its pictures out and says so.
    merge_scene(scene, MergeSettings(), with_report=True)
    assert "another video" in (home / "scene" / "report.html").read_text()


def test_a_scene_split_with_a_relative_path_is_found_from_anywhere(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(film, tmp_path / "v.mp4")
    monkeypatch.chdir(tmp_path)
    plan_scene(Path("v.mp4"), Path("scene"))
    monkeypatch.chdir("/")
    assert Scene(tmp_path / "scene").require_video().path == tmp_path / "v.mp4"


def test_a_scene_that_moved_with_its_video_finds_it(home: Path, tmp_path: Path) -> None:
    home.rename(tmp_path / "elsewhere")
    found = Scene(tmp_path / "elsewhere" / "scene").require_video()
    assert found.path == tmp_path / "elsewhere" / "v.mp4"


def test_a_copy_with_another_video_in_the_old_place_finds_its_own(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "copy")
    replace_by_another_of_the_same_size(home / "v.mp4")
    assert Scene(tmp_path / "copy" / "scene").require_video().path == tmp_path / "copy" / "v.mp4"


def test_the_same_video_given_from_another_place_is_taken_from_there(home: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.mp4"
    (home / "v.mp4").rename(moved)
    with pytest.raises(VideoError, match="no file"):
        Scene(home / "scene").require_video()
    plan_scene(moved, home / "scene")
    assert Scene(home / "scene").require_video().path == moved


def test_a_scene_is_told_where_its_video_is_now(home: Path, tmp_path: Path) -> None:
    moved, other = tmp_path / "my films" / "moved.mp4", tmp_path / "other.mp4"
    moved.parent.mkdir()
    (home / "v.mp4").rename(moved)
    shutil.copy(moved, other)
    replace_by_another_of_the_same_size(other)
    scene = Scene(home / "scene")
    with pytest.raises(VideoError, match="no file") as gone:
        scene.require_video()
    assert "vda relink" in gone.value.remedy
    before = scene.video_path.read_bytes(), scene.plan_path.read_bytes()
    refused = CliRunner().invoke(main, ["relink", str(scene.root), str(other)])
    assert refused.exit_code == 2 and "another video" in refused.stderr
    assert (scene.video_path.read_bytes(), scene.plan_path.read_bytes()) == before
    told = CliRunner().invoke(main, ["relink", str(scene.root), str(moved)])
    assert told.exit_code == 0 and str(moved) in told.stdout
    assert scene.require_video().path == moved
    assert json.loads(scene.plan_path.read_text())["video_info"]["input_path"] == str(moved)


def devices(names: str) -> tuple[Device, ...]:
    return tuple(Device(name, "cpu", name) for name in names.split(","))


def test_a_plan_made_for_other_devices_is_kept_and_frames_are_held_against_it(film: Path, tmp_path: Path) -> None:
    scene = plan_scene(film, tmp_path / "s", PlanSettings(frames=(5, 65)), devices=devices("cpu0,cpu1")).plan()
    again = plan_scene(film, tmp_path / "s", PlanSettings(frames=(5, 65)), devices=devices("cpu0")).plan()
    assert again == scene
    # Linked chunks give the same depth however many there are.
    assert plan_scene(film, tmp_path / "s", PlanSettings(chunks=1, frames=(5, 65))).plan() == scene
    with pytest.raises(SceneError, match="already planned"):
        plan_scene(film, tmp_path / "s", PlanSettings(frames=(0, 65)))


def test_independent_chunks_are_held_to_their_number_only_where_it_is_asked_for(
    film: Path, tmp_path: Path
) -> None:
    first = PlanSettings(chunking="independent", overlap=4)
    scene = plan_scene(film, tmp_path / "s", first, devices=devices("cpu0,cpu1")).plan()
    assert plan_scene(film, tmp_path / "s", first, devices=devices("cpu0")).plan() == scene
    with pytest.raises(SceneError, match="already planned"):
        plan_scene(film, tmp_path / "s", PlanSettings(2, chunking="independent", overlap=4))
    with pytest.raises(SceneError, match="already planned"):
        plan_scene(film, tmp_path / "s", PlanSettings(chunking="independent", overlap=8))
