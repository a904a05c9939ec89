"""Two commands on one scene, and two scenes of one video, at once: one is refused in words, or both are right."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from chaos import fork
from depth_runs import INPUT_SIZE, depth_digest, make_video, make_weights

from vda.api.pipeline import RunSettings, plan_scene, redo, run
from vda.errors import SceneError
from vda.machine.locks import exclusive_lock, folder_lock
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge, remove_intermediates
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings

FRAMES = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("once")
    return make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")


def settings(files: tuple[Path, Path]) -> RunSettings:
    return RunSettings("mini", files[1], INPUT_SIZE, threads=1, devices="cpu", on="inline")


def compute(files: tuple[Path, Path], root: Path) -> Scene:
    scene = plan_scene(files[0], root, PlanSettings(chunks=2))
    run([scene], settings(files))
    return scene


@pytest.fixture(scope="module")
def scene(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Computed, and merged by nobody else."""
    scene = compute(files, tmp_path_factory.mktemp("quiet") / "scene")
    merge(scene, MergeSettings())
    return scene


def at_once(folder: Path, *works: Callable[[], object]) -> list[str]:
    """Do each in a process of its own; return what each said of why it ended, empty where it ended well."""
    said = [folder / f"{n}.said" for n in range(len(works))]
    pids = [
        fork(partial(in_words, work, path), path.with_suffix(".log"))
        for work, path in zip(works, said, strict=True)
    ]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * len(works)
    return [path.read_text() for path in said]


def in_words(work: Callable[[], object], said: Path) -> None:
    said.write_text("")
    try:
        work()
    except SceneError as error:
        said.write_text(str(error))


def test_two_scenes_of_one_video_are_both_right(files: tuple[Path, Path], scene: Scene, tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    ends = at_once(tmp_path, *(lambda root=root: merge(compute(files, root), MergeSettings()) for root in roots))
    assert ends == ["", ""]
    assert [depth_digest(root) == depth_digest(scene.root) for root in roots] == [True, True]


def test_of_two_merges_at_once_one_is_refused_or_both_are_right(scene: Scene, tmp_path: Path) -> None:
    expected = depth_digest(scene.root)
    for again in range(3):
        ends = at_once(tmp_path, *[lambda: merge(scene, MergeSettings(overwrite=True))] * 2)
        assert "" in ends, again
        assert all("being merged or cleaned by another command" in end for end in ends if end), ends
        assert depth_digest(scene.root) == expected
        assert not list(scene.merged_dir.rglob(".*"))


def test_what_is_being_merged_is_not_merged_again_nor_cleaned(scene: Scene) -> None:
    with folder_lock(scene.root) as ours:
        assert ours
        for work in (lambda: merge(scene, MergeSettings(overwrite=True)), lambda: remove_intermediates(scene)):
            with pytest.raises(SceneError, match=r"another command\. Wait until") as refused:
                work()
            assert refused.value.remedy
    merge(scene, MergeSettings(overwrite=True))


def test_what_is_being_computed_is_not_cleaned_nor_computed_again(files: tuple[Path, Path], scene: Scene) -> None:
    windows = scene.finished_windows()
    with exclusive_lock(RunFiles(scene.run_dir).supervisor_lock):
        with pytest.raises(SceneError, match=r"is being computed.*vda stop"):
            remove_intermediates(scene)
        with pytest.raises(SceneError, match="already being computed"):
            redo(scene, 0, settings(files))
        with pytest.raises(SceneError, match="already being computed"):
            run([scene], settings(files))
    assert scene.finished_windows() == windows
