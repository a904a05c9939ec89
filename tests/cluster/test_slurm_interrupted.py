"""SLURM ends tasks in their middle, in all its ways: no window is lost or done twice, the bytes are the same.

A task is held at the second of its chunk's eight windows, so one is done when it is told to end. Up to two more
are computed by then, and are written as well; the last ones are for the successor.
"""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from depth_runs import check

from cluster.awaiting import until
from cluster.nodes import found
from cluster.scenes import Film, names_of_chunk, submitted, windows_digest
from cluster.world import Cluster, identities, task_id

CHUNKS, CHUNK = 2, 1
FIRST, HELD, *REST = names_of_chunk(CHUNK, windows=8)
LAST = REST[-1]


@pytest.fixture
def scene(cluster: Cluster, film: Film, tmp_path: Path) -> Path:
    cluster.gate.hold(HELD)
    return replace(film, chunks=CHUNKS).plan(tmp_path / "scene")


def test_a_requeued_task_finishes_its_window_and_its_successor_goes_on(
    cluster: Cluster, film: Film, scene: Path
) -> None:
    cluster.hand_over(film, scene)
    held = cluster.until_held(HELD)
    before = identities(scene, [FIRST])
    cluster.slurm.ask("scontrol", "requeue", task_id(cluster.task(scene, CHUNK)))
    cluster.until_told()
    cluster.gate.release(HELD)
    cluster.until_gone(held)
    finished = identities(scene, [HELD])
    assert not (scene / "vda_windows" / LAST).exists()
    cluster.finish(film, scene)
    assert cluster.task(scene, CHUNK)["Restarts"] == "1"
    assert identities(scene, [FIRST, HELD]) == [*before, *finished]


def test_a_requeued_task_that_is_killed_in_its_window_loses_that_window_alone(
    cluster: Cluster, film: Film, scene: Path
) -> None:
    cluster.hand_over(film, scene)
    held = cluster.until_held(HELD)
    before = identities(scene, [FIRST])
    cluster.slurm.ask("scontrol", "requeue", task_id(cluster.task(scene, CHUNK)))
    # It is told, does not end within KillWait, and is killed; the next one comes to the same window.
    cluster.until_held(HELD, held)
    cluster.until_gone(held)
    cluster.gate.release(HELD)
    cluster.finish(film, scene)
    assert identities(scene, [FIRST]) == before


def test_a_cancelled_task_is_submitted_by_the_same_command(cluster: Cluster, film: Film, scene: Path) -> None:
    cluster.hand_over(film, scene)
    held = cluster.until_held(HELD)
    first = cluster.task(scene, CHUNK)
    cluster.slurm.ask("scancel", task_id(first))
    cluster.until_told()
    cluster.gate.release(HELD)
    cluster.until_all_ended()
    cluster.until_gone(held)
    assert windows_digest(scene).keys() >= film.windows.keys() - set(REST)
    assert LAST not in windows_digest(scene)
    cluster.finish(film, scene)
    second = [task for task in cluster.tasks() if int(task["ArrayJobId"]) > int(first["ArrayJobId"])]
    assert [task["ArrayTaskId"] for task in second] == [str(CHUNK)]


def test_an_urgent_job_preempts_and_the_tasks_come_back(
    cluster: Cluster, film: Film, scene: Path, tmp_path: Path
) -> None:
    cluster.hand_over(film, scene)
    held = cluster.until_held(HELD)
    script = f"touch {tmp_path}/urgent; while [ ! -e {tmp_path}/over ]; do sleep 0.1; done"
    options = ["--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
    cluster.slurm.ask("sbatch", *options, "--wrap", script)
    cluster.until_told()
    cluster.gate.release(HELD)
    until((tmp_path / "urgent").exists, "the urgent job", cluster.told)
    cluster.until_gone(held)
    assert windows_digest(scene).keys() < film.windows.keys()
    (tmp_path / "over").touch()
    cluster.finish(film, scene)
    assert int(cluster.task(scene, CHUNK)["Restarts"]) >= 1


def test_a_waiting_command_submits_a_cancelled_task_by_itself(cluster: Cluster, film: Film, scene: Path) -> None:
    waiting = cluster.start(*cluster.command(film, scene))
    held = cluster.until_held(HELD)
    first = cluster.task(scene, CHUNK)
    cluster.slurm.ask("scancel", "--signal=KILL", "--full", task_id(first))
    cluster.until_held(HELD, held)
    cluster.gate.release(HELD)
    told, _ = waiting.communicate(timeout=300)
    assert waiting.returncode == 0, told
    film.require_same(scene)
    check(cluster.vda("status", scene))


def test_a_job_whose_command_was_killed_before_it_noted_it_is_known_and_ended(
    cluster: Cluster, film: Film, scene: Path, tmp_path: Path
) -> None:
    """Another job of the same person, of the same name and comment, is let be."""
    asked = ["--slurm", "hold", "--slurm", "job-name=mine", "--slurm", "comment=mine"]
    others = ("--hold", "--job-name=mine", "--comment=mine", "--wrap", "true")
    other = cluster.slurm.ask("sbatch", "--parsable", *others)
    programs = tmp_path / "programs"
    programs.mkdir()
    sbatch = found("sbatch")
    (programs / "sbatch").write_text(
        f'#!/bin/sh\n"{sbatch}" "$@"\ncase "$*" in *--test-only*) ;; *) kill -KILL $PPID ;; esac\n'
    )
    (programs / "sbatch").chmod(0o755)
    killed = replace(cluster, programs=programs).vda(*cluster.command(film, scene, *asked, "--detach"))
    assert killed.returncode == -signal.SIGKILL and not submitted(scene)
    (job,) = {task["ArrayJobId"] for task in cluster.tasks() if task["Command"].startswith(f"{scene}/")}
    told = json.loads(check(cluster.vda("status", scene, "--json")).stdout)
    assert told["engine"]["live_jobs"] == [job]
    assert f"queued or at work already (job {job})" in cluster.hand_over(film, scene)
    assert f"Cancelled: job {job} of SLURM" in check(cluster.vda("stop", scene)).stdout
    assert [line.split()[0] for line in cluster.queue()] == [other]
