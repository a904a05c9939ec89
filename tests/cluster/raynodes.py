"""A real Ray of two nodes on this machine, each with one pretended GPU, in a process of its own.

It prints the cluster's address and then obeys its input: ``remove`` ends the second node as a power cut does,
``add`` starts another. At the end of its input all of it goes down.
"""

import os
import sys
from typing import Any

from ray.cluster_utils import Cluster

# All CPUs for each: bytes are those of a run here only with as many threads. Ray's store of objects stays empty.
NODE: dict[str, Any] = {"num_cpus": os.cpu_count(), "num_gpus": 1, "object_store_memory": 80 << 20}


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = cluster.add_node(**NODE)
    tell(cluster.address)
    for line in sys.stdin:
        if line.strip() == "remove":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**NODE)
        tell(line.strip())
    cluster.shutdown()


if __name__ == "__main__":
    main()
