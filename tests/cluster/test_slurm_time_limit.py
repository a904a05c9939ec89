"""A time limit that strikes in the middle of a chunk.

SLURM tells a task up to a minute before it is asked to: of three minutes it has at least half of one.
"""

from dataclasses import replace
from pathlib import Path

from cluster.scenes import Film, names_of_chunk
from cluster.world import Cluster, identities

# In two chunks: of eight windows a task that has one in its hands, and two more behind it, leaves some.
CHUNKS, CHUNK = 2, 1
FIRST, HELD, *_, LAST = names_of_chunk(CHUNK, windows=8)


def test_a_task_ends_ahead_of_its_time_limit_and_goes_on_in_the_next_one(
    cluster: Cluster, film: Film, tmp_path: Path
) -> None:
    scene = replace(film, chunks=CHUNKS).plan(tmp_path / "scene")
    cluster.gate.hold(HELD)
    cluster.hand_over(film, scene, "--slurm", "time=3")
    held = cluster.until_held(HELD)
    before = identities(scene, [FIRST])
    cluster.until_told()
    cluster.gate.release(HELD)
    cluster.until_gone(held)
    assert not (scene / "vda_windows" / LAST).exists()
    finished = identities(scene, [HELD])
    # Nobody gave a command again: the task queued itself.
    cluster.until_all_ended()
    film.require_same(scene)
    assert identities(scene, [FIRST, HELD]) == [*before, *finished]
    assert int(cluster.task(scene, CHUNK)["Restarts"]) >= 1
