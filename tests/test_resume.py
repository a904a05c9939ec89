"""Killed in the middle and started again: the same bytes, and at most two windows computed again."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from depth_runs import check, depth_digest, make_video, make_weights, run_options, vda, vda_here
from halting import halted, halting, runs

from vda.scene.events import WindowBegun, read_events
from vda.scene.scene import Scene, WindowId

# A window keeps 25 frames, and each one more 22.
FRAMES, WINDOWS = 150, 7


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "mini.safetensors")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", FRAMES)


def command(video: Path, scene: Path, weights: Path) -> list[object]:
    return [
        "depth",
        video,
        "--scene",
        scene,
        *run_options(weights),
        "--chunks",
        2,
        "--devices",
        "cpu",
        "--no-video",
    ]


@pytest.fixture(scope="module")
def undisturbed(video: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    scene = tmp_path_factory.mktemp("undisturbed") / "scene"
    check(vda_here(*command(video, scene, weights), "--on", "inline", "-q"))
    return depth_digest(scene)


def windows_begun(scene: Path) -> list[WindowId]:
    events = (entry.event for entry in read_events(Scene(scene)))
    return [event.window for event in events if isinstance(event, WindowBegun)]


def worker_pids(scene: Path) -> list[int]:
    states = [json.loads(path.read_text()) for path in (scene / "vda_run" / "workers").glob("*/state.json")]
    return [state["pid"] for state in states if psutil.pid_exists(state["pid"])]


@pytest.mark.parametrize("also_the_program", [False, True], ids=["worker", "worker and program"])
def test_a_kill_costs_at_most_two_windows(
    video: Path, weights: Path, undisturbed: dict[str, str], tmp_path: Path, also_the_program: bool
) -> None:
    scene = tmp_path / "scene"
    arguments = [
        sys.executable,
        "-c",
        "from vda.cli import main; main()",
        *map(str, command(video, scene, weights)),
    ]
    # Three windows are there when it is killed.
    halts = halting(tmp_path, "vda.compute.worker", "window_", 4)
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **halts}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as program:
        worker = halted(tmp_path / "halted", runs(program))
        if also_the_program:
            program.kill()
        worker.kill()
        assert program.stdout is not None
        said = program.stdout.read().decode()
    assert program.returncode == (-signal.SIGKILL if also_the_program else 0), said
    if also_the_program:
        again = check(vda(*command(video, scene, weights)))
        found = re.search(rf"(\d+) of {FRAMES} frames were already computed", again.stderr)
        assert found is not None and int(found[1]) >= 60
    assert depth_digest(scene) == undisturbed
    begun = windows_begun(scene)
    assert len(set(begun)) == WINDOWS
    assert len(begun) - WINDOWS <= 2
    assert not worker_pids(scene)
