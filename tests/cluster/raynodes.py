"""A real Ray of two nodes on this machine, each with one pretended GPU, in a process of its own.

It prints the cluster's address and then obeys its input: ``remove`` ends the second node as a power cut does,
``add`` starts another. At the end of its input all of it goes down.
"""

import sys
from typing import Any

# The GPU that each node has of its machine, as a job of SLURM's would be given it.
GPUS = ("4", "6")
KIND = "T4"


def node(gpu: str, kind: str = "") -> dict[str, Any]:
    """One CPU for each: Ray starts a process for every one of them ahead. Its store of objects stays empty."""
    return {
        "num_cpus": 1,
        "num_gpus": 1,
        # As Ray itself names the kind of a GPU that it finds.
        "resources": {f"accelerator_type:{kind}": 1} if kind else {},
        "object_store_memory": 80 << 20,
        "env_vars": {"CUDA_VISIBLE_DEVICES": gpu},
    }


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    from ray.cluster_utils import Cluster

    # Nobody looks at it, and nobody makes it larger.
    without = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args={**node(GPUS[0]), **without})
    second = cluster.add_node(**node(GPUS[1], KIND))
    tell(cluster.address)
    for line in sys.stdin:
        if line.strip() == "remove":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**node(GPUS[1], KIND))
        tell(line.strip())
    cluster.shutdown()


if __name__ == "__main__":
    main()
