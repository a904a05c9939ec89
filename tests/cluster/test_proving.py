"""``--prove`` with a real SLURM: a first job tries half precision on a node, and then the scene is begun."""

import json
from pathlib import Path

from depth_runs import check, vda

from cluster.scenes import Film, submitted
from cluster.world import Cluster


def test_a_first_job_proves_what_its_node_can_before_the_chunks_are_handed_over(
    cluster: Cluster, film: Film, tmp_path: Path
) -> None:
    scene = film.plan(tmp_path / "scene", chunks=2)
    command = ["run", scene, *film.options, "--devices", "cpu", "--on", "slurm", "--prove", "-q"]
    check(vda(*command, **cluster.environment))  # type: ignore[arg-type]
    record = json.loads((scene / "vda_windows" / "run.json").read_text())
    (proof,) = record["proofs"]
    assert proof["id"].startswith("cpu") and set(proof["failed"]) == {"fp16", "bf16"}
    assert record["precision"] == "fp32"
    jobs = submitted(scene)
    assert "proof" in json.dumps(jobs)
    film.require_same(scene)
