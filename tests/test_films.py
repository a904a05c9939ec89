"""Several films, each to its end: merged while others are computed, on a disk that holds the windows of a few."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from depth_runs import check, depth_digest, make_video, make_weights, run_keywords, run_options
from depth_runs import vda as run_program
from reporters import Stages, Steps

import vda
from vda.api import pipeline, todepth
from vda.api.films import DepthOutcome
from vda.api.todepth import depth
from vda.errors import WorkError
from vda.merging.settings import MergeSettings
from vda.reporter import Reporter
from vda.scene.scene import Scene
from vda.supervisor.resolve import RunSettings

PATIENCE_S = 240


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return make_weights(tmp_path / "w.safetensors")


@pytest.fixture(autouse=True)
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than such films."""
    monkeypatch.setattr(pipeline, "report_scene", lambda scene, reporter: None)


def settings(weights: Path) -> RunSettings:
    return RunSettings("mini", weights, 32, devices="cpu", on="inline", threads=1)


def films(folder: Path, count: int, last: int | None = None) -> tuple[list[Path], list[Path]]:
    names = "abcdefgh"[:count]
    lengths = [3 + place for place in range(count)]
    lengths[-1] = last or lengths[-1]
    videos = [make_video(folder / f"{name}.mp4", frames) for name, frames in zip(names, lengths, strict=True)]
    return videos, [folder / "data" / name for name in names]


def with_windows(roots: list[Path]) -> list[str]:
    return [root.name for root in roots if Scene(root).finished_windows()]


def run(
    videos: list[Path], roots: list[Path], weights: Path, seen: Callable[[int], None], **options: Any
) -> DepthOutcome:
    merging = MergeSettings(create_video=False)
    return depth(videos, roots, settings(weights), merging, reporter=Steps(seen), **options)


def test_the_first_film_is_finished_before_the_last_is_computed(tmp_path: Path, weights: Path) -> None:
    # The last has most to compute, which is what is taken first within a film.
    videos, roots = films(tmp_path, 3, last=80)
    first, last = Scene(roots[0]), Scene(roots[2])
    merged = threading.Event()
    computed_then: list[int] = []

    def wait_for_the_first(done: int) -> None:
        # Who is told holds the supervisor up: nothing more is given out until the first film is merged.
        # By the count, for the window may be there and the supervisor not know of it yet.
        if done >= 3 and first.finished_windows() and not merged.is_set():
            for _ in range(PATIENCE_S * 20):
                if first.depth_record_path.is_file():
                    merged.set()
                    break
                threading.Event().wait(0.05)
            computed_then.append(len(last.finished_windows()))

    outcome = run(videos, roots, weights, wait_for_the_first)
    assert merged.is_set()
    assert computed_then == [0]
    assert [result.frames for result in outcome.results] == [3, 4, 80]
    alone = tmp_path / "alone"
    for video, root in zip(videos, roots, strict=True):
        run([video], [alone / root.name], weights, lambda done: None)
        assert depth_digest(root) == depth_digest(alone / root.name)


def test_windows_of_a_few_films_are_on_the_disk_however_slow_the_merging(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, roots = films(tmp_path, 5)
    looks, most, go_on = [0], [0], threading.Event()

    def look(done: int) -> None:
        most[0] = max(most[0], len(with_windows(roots)))
        # Nothing changes any more once the films that may wait do: then the first is let through.
        looks[0] = looks[0] + 1 if most[0] >= 2 else 0
        if looks[0] > 8:
            go_on.set()

    plain = pipeline.merge_scene

    def slow(scene: Scene, *arguments: Any, **options: Any) -> Any:
        assert go_on.wait(PATIENCE_S)
        return plain(scene, *arguments, **options)

    monkeypatch.setattr(todepth, "merge_scene", slow)
    outcome = run(videos, roots, weights, look, discard_windows=True)
    # One device: the film in hand, and two that wait to be merged or are.
    assert 2 <= most[0] <= 3
    assert len(outcome.results) == 5
    assert with_windows(roots) == []


def test_each_film_is_counted_with_its_name_and_its_place(tmp_path: Path, weights: Path) -> None:
    class Stopped(Exception):
        pass

    class UpToTheSecond(Stages):
        def say(self, sentence: str) -> None:
            if sentence.startswith("b.mp4 (2 of 2): 4 frames"):
                raise Stopped

    videos, roots = films(tmp_path, 2)
    told = UpToTheSecond()
    with pytest.raises(Stopped):
        depth(videos, roots, settings(weights), MergeSettings(), reporter=told)
    assert ("a.mp4 (1 of 2): counting frames", 3) in told.totals
    assert ("b.mp4 (2 of 2): counting frames", 4) in told.totals


def test_from_python_several_are_given_as_a_list(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    videos, _ = films(tmp_path / "all", 2)
    first, second = vda.depth(videos, **run_keywords(weights), create_video=False)
    assert [len(first), len(second)] == [3, 4]
    assert depth_digest(Path("data/a")) and depth_digest(Path("data/b"))
    # A folder in the list is the films in it, and what is finished is not made again.
    again = vda.depth([tmp_path / "all"], **run_keywords(weights), create_video=False)
    assert [len(one) for one in again] == [3, 4]
    (tmp_path / "all" / "c.mp4").write_bytes(b"no film" * 99)
    with pytest.raises(WorkError, match="1 of 3 videos failed"):
        vda.depth([tmp_path / "all"], **run_keywords(weights), create_video=False)
    with pytest.raises(vda.VdaError, match="names one scene"):
        vda.depth(videos, "data/one", **run_keywords(weights))  # type: ignore[call-overload]


def test_a_film_that_cannot_be_merged_keeps_no_other_from_it(tmp_path: Path, weights: Path) -> None:
    videos, roots = films(tmp_path, 3)
    roots[1].mkdir(parents=True)
    (roots[1] / "vda_merged_depth").write_text("a file where a folder is to be")
    outcome = run(videos, roots, weights, lambda done: None)
    assert [result.folder.parent.name for result in outcome.results] == ["a", "c"]
    assert [failure.video for failure in outcome.failures] == [videos[1]]
    with pytest.raises(WorkError, match=r"1 of 3 videos failed\. The others are finished") as told:
        outcome.require_all()
    (part,) = told.value.parts
    assert part.startswith(f"{videos[1]}: ") and "vda_merged_depth" in part


def test_a_film_that_somebody_else_computes_keeps_no_other_from_it(tmp_path: Path, weights: Path) -> None:
    from vda.machine.locks import exclusive_lock
    from vda.scene.runstate import RunFiles

    videos, roots = films(tmp_path, 2)
    (roots[0] / "vda_run").mkdir(parents=True)
    with exclusive_lock(RunFiles(Scene(roots[0]).run_dir).supervisor_lock):
        outcome = run(videos, roots, weights, lambda done: None)
    assert [result.folder.parent.name for result in outcome.results] == ["b"]
    assert "already being computed" in outcome.failures[0].error.problem


def test_a_window_found_damaged_by_a_merge_beside_is_computed_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, roots = films(tmp_path, 2)
    plain = pipeline.merge_scene
    harmed: list[str] = []

    def harm_once(scene: Scene, *arguments: Any, **options: Any) -> Any:
        if not harmed:
            harmed.append(scene.root.name)
            path = scene.window_path((0, 0))
            path.write_bytes(path.read_bytes()[:-20])
        return plain(scene, *arguments, **options)

    monkeypatch.setattr(todepth, "merge_scene", harm_once)
    outcome = run(videos, roots, weights, lambda done: None)
    assert harmed == ["a"]
    assert [result.frames for result in outcome.results] == [3, 4]


def test_windows_that_were_just_going_are_not_computed_again(tmp_path: Path, weights: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 40)
    root = tmp_path / "data" / "a"
    run([video], [root], weights, lambda done: None)
    scene = Scene(root)
    before = scene.depth_record_path.stat().st_mtime_ns
    # Killed after the first of two was removed.
    scene.window_path((0, 0)).unlink()
    outcome = run([video], [root], weights, lambda done: None, discard_windows=True)
    assert outcome.results[0].frames == 40
    assert scene.finished_windows() == set()
    assert scene.depth_record_path.stat().st_mtime_ns == before


def test_ctrl_c_waits_for_no_merge_beside(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos, roots = films(tmp_path, 2)
    at_work = threading.Event()

    def endless(scene: Scene, settings: MergeSettings, *, reporter: Reporter, **options: Any) -> None:
        reporter.begin("writing depth", 1_000_000)
        at_work.set()
        while True:
            reporter.at(1)

    def press(done: int) -> None:
        if done >= 3 and with_windows(roots) and at_work.wait(PATIENCE_S):
            raise KeyboardInterrupt

    monkeypatch.setattr(todepth, "merge_scene", endless)
    with pytest.raises(KeyboardInterrupt):
        run(videos, roots, weights, press)
    assert "merging" not in {thread.name for thread in threading.enumerate()}


def test_killed_the_same_command_goes_on(tmp_path: Path, weights: Path) -> None:
    films(tmp_path, 2)
    arguments = ["depth", "a.mp4", "b.mp4", "--no-video", "--discard-windows", "--devices", "cpu"]
    arguments = [*arguments, *map(str, run_options(weights))]
    process = subprocess.Popen(
        [sys.executable, "-c", "from vda.cli import main; main()", *arguments], cwd=tmp_path
    )
    first = Scene(tmp_path / "data" / "a")
    while not first.depth_record_path.is_file() and process.poll() is None:
        threading.Event().wait(0.02)
    process.kill()
    process.wait(PATIENCE_S)
    made = first.depth_record_path.stat().st_mtime_ns
    check(run_program(*arguments, cwd=tmp_path))
    assert first.depth_record_path.stat().st_mtime_ns == made
    assert [len(depth_digest(tmp_path / "data" / name)) for name in "ab"] == [3, 4]
    assert with_windows([tmp_path / "data" / name for name in "ab"]) == []
