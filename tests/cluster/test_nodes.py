"""The SLURM that the other tests use: it does what a cluster's does."""

from pathlib import Path

from cluster.awaiting import until
from cluster.world import Cluster

JOB = """#!/bin/bash
#SBATCH --array=0-5%4 --gres=gpu:1 --requeue --open-mode=append --output={folder}/%a.out
echo "node=$SLURMD_NODENAME restart=${{SLURM_RESTART_COUNT:-0}} gpu=$CUDA_VISIBLE_DEVICES"
while [ $SLURM_ARRAY_TASK_ID = 0 ] && [ ! -e {folder}/go ]; do sleep 0.1; done
echo done
"""


def test_an_array_has_a_gpu_each_and_a_requeued_task_starts_again(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(JOB.format(folder=tmp_path))
    job = cluster.slurm.ask("sbatch", "--parsable", tmp_path / "job.sh")
    first = tmp_path / "0.out"
    until(lambda: first.exists() and "restart=0" in first.read_text(), "the first task", cluster.told)
    cluster.slurm.ask("scontrol", "requeue", f"{job}_0")
    until(lambda: "restart=1" in first.read_text(), "the requeued task", cluster.told)
    (tmp_path / "go").touch()
    cluster.until_all_ended()
    told = {path.name: path.read_text() for path in tmp_path.glob("*.out")}
    assert len(told) == 6
    assert all(text.endswith("done\n") for text in told.values()), told
    assert {line[-1] for text in told.values() for line in text.splitlines() if "gpu=" in line} == {"0", "1"}
