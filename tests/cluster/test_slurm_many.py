"""More chunks than an array of SLURM may have: each is submitted once, and every task finds its own."""

from pathlib import Path

import numpy as np
from clips import make_clip
from depth_runs import check, make_weights, run_options

from cluster.scenes import windows_digest
from cluster.world import Cluster

CHUNKS = 1200
# Of 32 frames the first window, of 22 each that follows.
FRAMES = 32 + 22 * (CHUNKS - 1)
BLACK = np.zeros((48, 80, 3), np.uint8)


def test_1200_chunks_where_an_array_has_1001_at_the_most(cluster: Cluster, tmp_path: Path) -> None:
    scene, tasks = tmp_path / "scene", tmp_path / "tasks"
    tasks.mkdir()
    # Nobody looks at its pictures.
    video = make_clip(
        tmp_path / "film.mp4", range(FRAMES), draw=lambda number: BLACK, options={"preset": "ultrafast"}
    )
    weights = make_weights(tmp_path / "weights.safetensors")
    check(cluster.vda("split", video, "--scene", scene, "--chunks", CHUNKS, "-q"))
    options = [*run_options(weights), "--devices", "cpu", "--slurm", "cpus-per-task=1", "--detach"]
    stand_in = {"VDA_TEST_TASKS": str(tasks)}
    check(cluster.vda("run", scene, "--on", "slurm", *options, **stand_in))
    # Each index of the array is at most what SLURM takes.
    submitted = {task["ArrayJobId"] for task in cluster.tasks() if f"{scene}/" in task.get("StdOut", "")}
    assert len(submitted) == 2
    cluster.until_all_ended()
    told = {int(path.name.removeprefix("chunk_")): path.read_text().splitlines() for path in tasks.iterdir()}
    assert sorted(told) == list(range(CHUNKS))
    assert {len(lines) for lines in told.values()} == {1}
    assert len({line for lines in told.values() for line in lines}) == CHUNKS
    assert not windows_digest(scene)
