"""``vda status``: the state of a scene from its files alone, in each stage of its life."""

import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from vda.cli import main
from vda.machine.locks import exclusive_lock
from vda.scene.chunks import Plan, plan_independent, plan_linked
from vda.scene.runstate import ChunkAttempts, Recomputed, RunFiles, WorkerState
from vda.scene.scene import Scene, chunk_windows
from vda.scene.status import Estimate, estimate, scene_status
from vda.supervisor.jobs import Job


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """300 frames: 14 windows in chunks of 4, 5 and 5."""
    scene = Scene(tmp_path / "film")
    scene.root.mkdir()
    scene.video_path.write_text("{}")
    scene.write_plan(plan_linked(300, 3), {"input_path": "film.mp4"})
    return scene


def finish(scene: Scene, windows: range) -> None:
    scene.windows_dir.mkdir(exist_ok=True)
    for k in windows:
        path = scene.window_path((0, k))
        path.touch()
        os.utime(path, (1000 + 2 * k, 1000 + 2 * k))


def state(scene: Scene) -> str:
    return str(scene_status(scene)["state"])


def test_the_states_of_a_scene(scene: Scene) -> None:
    assert state(scene) == "planned"
    finish(scene, range(3))
    assert state(scene) == "incomplete"
    RunFiles(scene.run_dir).write_attempts({1: ChunkAttempts(4, set_aside=True, error="it hung", device="cpu")})
    assert state(scene) == "failed"
    with exclusive_lock(RunFiles(scene.run_dir).supervisor_lock):
        assert state(scene) == "running"
    finish(scene, range(14))
    assert state(scene) == "complete"
    scene.merged_dir.mkdir()
    scene.depth_record_path.write_text("{}")
    assert state(scene) == "merged"


def test_figures_of_a_run(scene: Scene) -> None:
    finish(scene, range(6))
    (scene.windows_dir / ".tmp-123-window_000_00007.npz").touch()
    files = RunFiles(scene.run_dir)
    files.write_attempts({0: ChunkAttempts(attempts=1, error="it ended by signal 11", device="cpu")})
    with ExitStack() as locks:
        locks.enter_context(exclusive_lock(files.supervisor_lock))
        worker = files.worker("cpu-1")
        locks.enter_context(exclusive_lock(worker.alive_lock))
        state = WorkerState("cpu-1", "cpu", 1, 0.0, "computing", scene=scene.key, chunk=1, seconds_per_window=2.0)
        state.write(worker.state_path)
        result = CliRunner().invoke(main, ["status", str(scene.root), "--json"])
    seen = json.loads(result.output)
    # Windows 0 to 5 settle the frames up to where window 6 begins to count.
    assert (seen["frames_done"], seen["frames_total"]) == (22 * 6 + 3, 300)
    assert (seen["windows_done"], seen["windows_total"]) == (6, 14)
    assert [chunk["state"] for chunk in seen["chunks"]] == ["done", "running", "waiting"]
    assert seen["chunks"][0]["error"] == "it ended by signal 11"
    assert seen["chunks"][1]["device"] == "cpu"
    # Eight windows are left, of two seconds each.
    assert seen["eta_seconds"] == pytest.approx(8 * 2)
    assert seen["fps"] == pytest.approx((300 - 135) / 16)
    assert seen["devices"] == [
        {"device": "cpu", "phase": "computing", "scene": scene.key, "chunk": 1, "fps": pytest.approx(11)}
    ]


def test_a_merged_scene_whose_windows_went_is_not_told_as_undone(scene: Scene) -> None:
    scene.merged_dir.mkdir()
    scene.depth_record_path.write_text("{}")
    state = scene_status(scene)
    assert (state["state"], state["frames_done"], state["windows_done"]) == ("merged", 300, 0)
    assert {chunk["state"] for chunk in state["chunks"]} == {"done"}
    shown = CliRunner().invoke(main, ["status", str(scene.root)]).output
    assert "merged, 300 of 300 frames" in shown and "The raw windows were removed" in shown


def test_before_a_window_is_finished_nothing_is_promised() -> None:
    assert estimate(14, 300, []) is None
    assert estimate(14, 300, [(None, 5), (None, 5)]) is None
    assert estimate(0, 0, [(2.0, 0)]) is None


def test_the_estimate_is_of_all_devices_at_work() -> None:
    # A window in 1 s and one in 3 s: 4 windows in 3 s, so 16 windows take 12.
    both = estimate(16, 352, [(1.0, 4), (3.0, 2)])
    assert both is not None
    assert both.seconds_left == pytest.approx(12)
    assert both.fps == pytest.approx(352 / 12)
    # Who has finished none is taken for as slow as the slowest that has: 2 windows in 3 s.
    assert estimate(16, 352, [(3.0, 4), (None, 4)]) == Estimate(pytest.approx(352 / 24), pytest.approx(24))  # type: ignore[arg-type]


def test_the_last_chunk_on_a_slow_device_is_what_is_waited_for() -> None:
    last = estimate(10, 220, [(1.0, 0), (20.0, 10)])
    assert last is not None and last.seconds_left == pytest.approx(200)


@pytest.mark.parametrize(
    "plan", [plan_independent(6553, 5, 32), plan_linked(6553, 5)], ids=lambda plan: plan.chunking
)
def test_frames_are_the_films_though_chunks_share_some(tmp_path: Path, plan: Plan) -> None:
    scene = Scene(tmp_path)
    scene.video_path.write_text("{}")
    scene.write_plan(plan, {"input_path": "film.mp4"})
    assert scene_status(scene)["frames_total"] == 6553
    assert Job.of(scene).frames_total == 6553
    scene.windows_dir.mkdir()
    for chunk in plan.chunks:
        for key, _ in chunk_windows(chunk):
            scene.window_path(key).touch()
    assert scene_status(scene)["frames_done"] == 6553
    assert [chunk["frames_total"] for chunk in scene_status(scene)["chunks"]] == [
        chunk.keep_stop - chunk.keep_start for chunk in plan.chunks
    ]


def test_windows_computed_again_are_counted_once(scene: Scene) -> None:
    files = RunFiles(scene.run_dir)
    files.folder.mkdir()
    for window in ((0, 3), (0, 3), (0, 4)):
        files.note_recomputed(Recomputed(window, "its values are not finite", "fp32"))
    assert scene_status(scene)["recomputed_windows"] == 2
    shown = CliRunner().invoke(main, ["status", str(scene.root)]).output
    assert "2 windows were computed again in float32" in shown


def test_stop_where_nobody_computes_says_so(scene: Scene) -> None:
    result = CliRunner().invoke(main, ["stop", str(scene.root)])
    assert (result.exit_code, result.output) == (0, "Nobody computes this scene now.\n")
    assert not RunFiles(scene.run_dir).stop_path.exists()
