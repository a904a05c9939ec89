"""A real Ray of two nodes on this machine, each with one pretended GPU and one CPU, in a process of its own.

It prints the cluster's address and then obeys its input: ``remove`` ends the second node as a power cut does,
``add`` starts another. At the end of its input all of it goes down.
"""

import sys
from typing import Any

from ray.cluster_utils import Cluster

# Ray keeps its objects there; ours are files.
NODE: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 << 20}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = cluster.add_node(**NODE)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "remove":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**NODE)
        print(line.strip(), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
