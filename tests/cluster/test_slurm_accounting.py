"""A SLURM with an accounting: it knows what the controller has forgotten, and limits what a person has queued."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from depth_runs import check

from cluster import nodes
from cluster.accounting import PROGRAMS_OF_ACCOUNTING, SYSTEM_TABLES, AccountedSlurm
from cluster.awaiting import until
from cluster.conftest import given
from cluster.scenes import Film, names_of_chunk, submitted, windows_digest
from cluster.world import Cluster, task_id
from vda.launch.slurmcommands import indices

CHUNK = 2
# Up to two more windows are computed while the first is held; the last is left.
HELD = names_of_chunk(CHUNK)[0]


@pytest.fixture(scope="module")
def with_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountedSlurm]:
    if missing := nodes.missing(PROGRAMS_OF_ACCOUNTING):
        pytest.skip(f"no accounting of SLURM here: {', '.join(missing)} not found")
    with nodes.running(AccountedSlurm, tmp_path_factory.mktemp("accounted")) as started:
        yield started


@pytest.fixture
def accounted(with_accounting: AccountedSlurm, tmp_path: Path) -> Iterator[Cluster]:
    yield from given(with_accounting, tmp_path)


@pytest.fixture
def room_for_two(with_accounting: AccountedSlurm) -> Iterator[None]:
    if not SYSTEM_TABLES:
        pytest.skip("no system tables of MariaDB here, and without them no limits in SLURM's database")
    with_accounting.limit_jobs(2)
    yield
    with_accounting.limit_jobs(-1)


def test_what_the_controller_forgot_the_accounting_tells(accounted: Cluster, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene")
    accounted.gate.hold(HELD)
    accounted.hand_over(film, scene)
    held = accounted.until_held(HELD)
    task = accounted.task(scene, CHUNK)
    until(lambda: len(windows_digest(scene)) == len(film.windows) - 4, "the other chunks", accounted.told)
    accounted.slurm.ask("scancel", task_id(task))
    accounted.until_told()
    accounted.gate.release(HELD)
    accounted.until_gone(held)
    until(lambda: not accounted.tasks(), "a controller that knows nothing", accounted.told)
    told = status(accounted, scene)
    assert told["engine"]["accounting"] is True
    names = [f"{task['ArrayJobId']}_{chunk}" for chunk in range(film.chunks)]
    assert [chunk["task"] for chunk in told["chunks"]] == names
    states = ["COMPLETED"] * film.chunks
    states[CHUNK] = "CANCELLED"
    assert [chunk["task_state"] for chunk in told["chunks"]] == states
    said = accounted.finish(film, scene)
    assert f": 1 chunk of {scene} ({CHUNK})" in said


@pytest.mark.usefixtures("room_for_two")
def test_where_slurm_takes_two_tasks_of_a_person_the_others_come_as_these_end(
    accounted: Cluster, film: Film, tmp_path: Path
) -> None:
    scene = film.plan(tmp_path / "scene")
    held = [names_of_chunk(chunk)[0] for chunk in (0, 1)]
    for name in held:
        accounted.gate.hold(name)
    told = accounted.vda(*accounted.command(film, scene, "--detach"))
    assert told.returncode == 1 and f"only 2 of 4 chunks of {scene} are submitted" in told.stderr, told.stderr
    assert [job["chunks"] for job in submitted(scene)] == ["0-1"]
    for name in held:
        accounted.gate.release(name)
    accounted.finish(film, scene)
    assert {chunk for job in submitted(scene)[1:] for chunk in indices(job["chunks"])} >= {2, 3}


def status(cluster: Cluster, scene: Path) -> Any:
    return json.loads(check(cluster.vda("status", scene, "--json")).stdout)
