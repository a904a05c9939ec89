"""Nodes that are taken for dead while their tasks go on, and come back: two writers of one window do no harm."""

import os
import signal
from pathlib import Path

from cluster.awaiting import until
from cluster.scenes import Film, names_of_chunk
from cluster.world import Cluster, identities

CHUNKS, CHUNK = 2, 1
FIRST, HELD, *_ = names_of_chunk(CHUNK, windows=8)


def test_a_node_is_set_down_and_back_with_its_orphan_at_work(cluster: Cluster, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene", CHUNKS)
    cluster.gate.hold(HELD)
    cluster.hand_over(film, scene)
    orphan = cluster.until_held(HELD)
    before = identities(scene, [FIRST])
    node = cluster.task(scene, CHUNK)["NodeList"]
    # The network to the node fails: nobody there hears that the job goes on elsewhere.
    daemon = cluster.slurm.daemon_of(node)
    os.kill(daemon, signal.SIGSTOP)
    cluster.slurm.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    successor = cluster.until_held(HELD, orphan)
    assert cluster.task(scene, CHUNK)["NodeList"] != node
    # Both write the window now; the orphan ends by itself, for the chunk is another's.
    cluster.gate.release(HELD)
    cluster.until_gone(orphan | successor)
    os.kill(daemon, signal.SIGCONT)
    until(lambda: cluster.slurm.resumed(node), "the node to be back", cluster.told)
    cluster.finish(film, scene)
    assert identities(scene, [FIRST]) == before


def test_a_node_dies_and_its_orphan_goes_on(cluster: Cluster, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene", CHUNKS)
    cluster.gate.hold(HELD)
    waiting = cluster.start(*cluster.command(film, scene))
    orphan = cluster.until_held(HELD)
    before = identities(scene, [FIRST])
    node = cluster.task(scene, CHUNK)["NodeList"]
    cluster.slurm.kill_node(node)
    successor = cluster.until_held(HELD, orphan)
    assert cluster.slurm.node_state(node).startswith("down")
    cluster.gate.release(HELD)
    cluster.until_gone(orphan | successor)
    told, _ = waiting.communicate(timeout=300)
    assert waiting.returncode == 0, told
    film.require_same(scene)
    assert identities(scene, [FIRST]) == before
    cluster.slurm.start_node(node)
    until(lambda: cluster.slurm.node_state(node) == "idle", "the node to be back", cluster.told)
