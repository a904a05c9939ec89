"""Raw windows that are flipped, cut short or another's: found, put aside, computed again, and noted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from depth_runs import INPUT_SIZE, depth_digest, make_video, make_weights

from vda.api.pipeline import RunSettings, merge_scene, plan_scene, run
from vda.api.todepth import depth
from vda.errors import DamagedWindowError, WeightsError
from vda.merging.settings import MergeSettings
from vda.scene.scene import Scene

FRAMES = 70


def settings(weights: Path, **changes: object) -> RunSettings:
    return RunSettings("mini", weights, INPUT_SIZE, threads=1, devices="cpu", on="inline", **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, dict[str, str]]:
    """A video, weights, a computed scene that is not merged, and the depth that it should give."""
    folder = tmp_path_factory.mktemp("whole")
    video, weights = make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")
    run([plan_scene(video, folder / "scene")], settings(weights))
    shutil.copytree(folder / "scene", folder / "merged")
    merge_scene(Scene(folder / "merged"), MergeSettings())
    return video, weights, folder / "scene", depth_digest(folder / "merged")


@pytest.fixture
def scene(whole: tuple[Path, Path, Path, dict[str, str]], tmp_path: Path) -> Scene:
    shutil.copytree(whole[2], tmp_path / "scene")
    return Scene(tmp_path / "scene")


def flip(scene: Scene) -> None:
    path = scene.window_path((0, 1))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut_short(scene: Scene) -> None:
    path = scene.window_path((0, 1))
    path.write_bytes(path.read_bytes()[:-1000])


def swap(scene: Scene) -> None:
    shutil.copy(scene.window_path((0, 2)), scene.window_path((0, 1)))


HARMS = pytest.mark.parametrize("harm", [flip, cut_short, swap])


def noted(scene: Scene) -> list[list[int]]:
    lines = scene.damaged_windows_path.read_text().splitlines()
    return [json.loads(line)["window"] for line in lines]


@HARMS
def test_a_run_finds_what_is_damaged_and_computes_just_that_again(
    whole: tuple[Path, Path, Path, dict[str, str]], scene: Scene, harm: Callable[[Scene], None]
) -> None:
    untouched = scene.window_path((0, 0)).stat().st_mtime_ns
    harm(scene)
    run([scene], settings(whole[1]))
    assert noted(scene) == [[0, 1]]
    assert scene.window_path((0, 0)).stat().st_mtime_ns == untouched
    merge_scene(scene, MergeSettings())
    assert depth_digest(scene.root) == whole[3]


@HARMS
def test_merging_puts_it_aside_and_says_what_to_do_and_depth_does_it(
    whole: tuple[Path, Path, Path, dict[str, str]], scene: Scene, harm: Callable[[Scene], None]
) -> None:
    video, weights, _, expected = whole
    harm(scene)
    with pytest.raises(DamagedWindowError, match="Run 'vda run'"):
        merge_scene(scene, MergeSettings())
    assert noted(scene) == [[0, 1]]
    assert (0, 1) not in scene.finished_windows()
    shutil.copy(scene.windows_dir / "damaged" / "window_000_00001.npz", scene.windows_dir)
    depth([video], [scene.root], settings(weights), MergeSettings())
    assert depth_digest(scene.root) == expected


def test_a_window_of_another_run_is_not_taken(
    whole: tuple[Path, Path, Path, dict[str, str]], scene: Scene, tmp_path: Path
) -> None:
    video = whole[0]
    other = plan_scene(video, tmp_path / "other")
    run([other], settings(make_weights(tmp_path / "others.safetensors", seed=6)))
    shutil.copy(other.window_path((0, 1)), scene.window_path((0, 1)))
    with pytest.raises(DamagedWindowError, match="one of another run"):
        merge_scene(scene, MergeSettings())


def test_wrong_weights_are_said_before_a_film_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        depth([tmp_path / "film.mp4"], [tmp_path / "s"], settings(tmp_path / "nowhere.pth"), MergeSettings())
    wrong = make_weights(tmp_path / "video_depth_anything_vits.pth")
    with pytest.raises(WeightsError, match="named as the checkpoint of vits"):
        depth([tmp_path / "film.mp4"], [tmp_path / "s"], settings(wrong), MergeSettings())
