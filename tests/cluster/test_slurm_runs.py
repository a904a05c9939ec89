"""Chunks handed to a SLURM where nothing goes wrong: the same bytes as at home, each chunk once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from depth_runs import check

from cluster.awaiting import until
from cluster.scenes import CHUNKS, ROOT, Film, names_of_chunk, windows_digest
from cluster.world import Cluster, is_of, task_id


def test_the_sample_by_an_array_of_jobs(cluster: Cluster, sample: Film, tmp_path: Path) -> None:
    scene = sample.plan(tmp_path / "scene")
    cluster.finish(sample, scene)
    (job,) = {task["ArrayJobId"] for task in cluster.tasks() if is_of(task, scene)}
    logs = sorted(path.name for path in (scene / "vda_logs").glob("chunk_*.slurm-*"))
    assert logs == [f"chunk_{chunk:03d}.slurm-{job}_{chunk}.log" for chunk in range(CHUNKS)]


def test_two_commands_at_once_submit_each_chunk_once(cluster: Cluster, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene", chunks=2)
    both = [cluster.start(*cluster.command(film, scene)) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    film.require_same(scene)
    chunks = Counter(task["ArrayTaskId"] for task in cluster.tasks() if is_of(task, scene))
    assert chunks == {"0": 1, "1": 1}


def test_stopping_cancels_and_the_same_command_goes_on(cluster: Cluster, film: Film, tmp_path: Path) -> None:
    scene, window = film.plan(tmp_path / "scene", chunks=2), names_of_chunk(1, windows=8)[0]
    cluster.gate.hold(window)
    cluster.hand_over(film, scene)
    held = cluster.until_held(window)
    check(cluster.vda("stop", scene))
    cluster.gate.release(window)
    cluster.until_all_ended()
    cluster.until_gone(held)
    assert windows_digest(scene).keys() < film.windows.keys()
    cluster.finish(film, scene)


def test_a_command_that_dies_leaves_the_work_to_slurm(cluster: Cluster, film: Film, tmp_path: Path) -> None:
    scene, window = film.plan(tmp_path / "scene", chunks=2), names_of_chunk(1, windows=8)[1]
    cluster.gate.hold(window)
    waiting = cluster.start(*cluster.command(film, scene))
    cluster.until_held(window)
    waiting.kill()
    waiting.communicate()
    again = cluster.hand_over(film, scene)
    cluster.gate.release(window)
    cluster.until_all_ended()
    film.require_same(scene)
    chunks = Counter(task["ArrayTaskId"] for task in cluster.tasks() if is_of(task, scene))
    assert chunks == {"0": 1, "1": 1}, again


def test_the_state_is_told_by_slurm_and_by_the_files(cluster: Cluster, film: Film, tmp_path: Path) -> None:
    """And so is the node's own copy of the video, which goes with the last task."""
    scene, window, disk = film.plan(tmp_path / "scene"), names_of_chunk(3)[1], tmp_path / "disk"
    disk.mkdir()
    cluster.gate.hold(window)
    assert "copies all of" in cluster.hand_over(film, scene, "--stage-video", disk)
    cluster.until_held(window)
    until(lambda: len(windows_digest(scene)) == 13, "the other chunks and one window", cluster.told)
    said = check(cluster.vda("status", scene)).stdout
    assert task_id(cluster.task(scene, 3)) in said, said
    [copy] = disk.rglob("film.mp4")
    known = json.loads(check(cluster.vda("status", scene, "--json")).stdout)["copies"]
    assert [(each["folder"], each["is_read"]) for each in known] == [(str(copy.parent), True)]
    cluster.gate.release(window)
    cluster.finish(film, scene)
    cluster.until_all_ended()
    assert not list(disk.rglob("film.mp4*"))


def test_the_runner_does_the_same_by_hand(cluster: Cluster, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene", chunks=2)
    # Any run fixes what the scene is computed with; this one's tasks are cancelled at once.
    cluster.gate.hold(names_of_chunk(0)[0])
    cluster.hand_over(film, scene)
    check(cluster.vda("stop", scene))
    cluster.gate.release(names_of_chunk(0)[0])
    cluster.until_all_ended()
    (scene / "vda_run" / "stop").unlink(missing_ok=True)
    program = tmp_path / "vda"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vda "$@" --devices cpu --threads 1\n')
    program.chmod(0o755)
    words = ["--array=0-1", "--cpus-per-task=1", f"--export=ALL,VDA={program}", f"--output={tmp_path}/%a.log"]
    runner = [ROOT / "runners" / "slurm_chunks.sbatch", scene]
    subprocess.run(["sbatch", *words, *map(str, runner)], env=cluster.environment, check=True, capture_output=True)
    cluster.until_all_ended()
    film.require_same(scene)
