"""SLURM ends tasks in their middle: no window is lost or done twice, the bytes are the same.

A task is held at the second of its chunk's four windows, so one is done when it is told to end. The third is being
computed by then; the last is for the successor.
"""

from pathlib import Path

import pytest

from cluster.scenes import Film, names_of_chunk
from cluster.world import Cluster, identities, task_id

CHUNK = 1
FIRST, HELD, _, LAST = names_of_chunk(CHUNK)


@pytest.fixture
def scene(cluster: Cluster, film: Film, tmp_path: Path) -> Path:
    cluster.gate.hold(HELD)
    return film.plan(tmp_path / "scene")


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
