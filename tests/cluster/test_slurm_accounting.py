"""A SLURM whose controller has forgotten what ended, and whose accounting has not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from depth_runs import check

from cluster import nodes
from cluster.accounting import PROGRAMS_OF_ACCOUNTING, AccountedSlurm
from cluster.awaiting import until
from cluster.conftest import given
from cluster.scenes import Film, names_of_chunk, windows_digest
from cluster.world import Cluster, task_id

CHUNK = 2
# Up to two more windows are computed while the first is held; the last is left.
HELD = names_of_chunk(CHUNK)[0]


@pytest.fixture
def accounted(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Cluster]:
    if missing := nodes.missing(PROGRAMS_OF_ACCOUNTING):
        pytest.skip(f"no accounting of SLURM here: {', '.join(missing)} not found")
    with nodes.running(AccountedSlurm, tmp_path_factory.mktemp("accounted")) as started:
        yield from given(started, tmp_path)


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


def status(cluster: Cluster, scene: Path) -> Any:
    return json.loads(check(cluster.vda("status", scene, "--json")).stdout)
