"""What speaks with Ray: a process of its own, so that Ray's talk, signals and end are not those of the command.

    python -m vda.launch.raydriver <<< '{"address": null, "gpus": 1, "cpus": 0, "fit": ["4f1c", ["/log"], "0.1"]}'

In: on standard input a JSON line of what is needed, then one per wish, as ``onray`` writes them. Out: a JSON line
per event on standard output. Standard input that ends is a command that is gone: its tasks are told to end, and so
does this. Nothing is run again here: whoever asked knows what another attempt is worth.
"""

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from vda.launch import raywork

# How long one look at the tasks waits, and how long a node has to answer who it is: its first worker starts then.
_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 60.0
# The resource by which Ray tells the kind of a node's GPUs (ray.util.accelerators).
_GPU = "accelerator_type:"


class Driver:
    """Hands commands to Ray, and tells what becomes of them. ``emit`` takes the events."""

    def __init__(self, asked: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
        import ray

        # Nodes may have another version of what they are to do, or none.
        ray.cloudpickle.register_pickle_by_value(raywork)
        self._ray, self._emit, self._asked = ray, emit, asked
        self._running: dict[Any, str] = {}
        self._kills = False
        ray.init(
            # Without "local" Ray takes whatever cluster it finds on this machine.
            address=asked["address"] or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            include_dashboard=None if asked["address"] else False,
        )

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that live and have what a task needs: name, CPUs, GPUs, and what they answer."""
        found, asked = [], {}
        ask = self._ray.remote(num_cpus=0, max_retries=0, max_calls=1)(raywork.about_node)
        for node in self._ray.nodes():
            has = node["Resources"]
            about = {
                "node": node["NodeManagerHostname"],
                "id": node["NodeID"],
                "cpus": int(has.get("CPU", 0)),
                "gpus": has.get("GPU", 0),
                "gpu": next((name for name in sorted(has) if name.startswith(_GPU)), ""),
            }
            has_enough = about["gpus"] >= self._asked["gpus"] and about["cpus"] >= max(self._asked["cpus"], 1)
            if not node["Alive"] or not has_enough:
                continue
            asked[ask.options(scheduling_strategy=_only_on(about["id"])).remote(*self._asked["fit"])] = about
            found.append(about)
        answered, _ = (
            self._ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS) if asked else ([], [])
        )
        for reference in answered:
            # A node that went meanwhile is one that the work survives.
            with suppress(self._ray.exceptions.RayError):
                asked[reference].update(self._ray.get(reference))
        return found

    def submit(self, wish: dict[str, Any]) -> None:
        task = self._ray.remote(num_gpus=wish["gpus"], num_cpus=wish["cpus"], max_retries=0, max_calls=1)(
            raywork.work
        )
        options: dict[str, Any] = {"name": wish["key"]}
        if wish["gpu"]:
            # As Ray's own ``accelerator_type`` asks for it.
            options["resources"] = {wish["gpu"]: 0.001}
        elif wish["node"]:
            options["scheduling_strategy"] = _only_on(wish["node"])
        reference = task.options(**options).remote(
            wish["command"], wish["log"], wish["variables"], *self._asked["fit"]
        )
        self._running[reference] = wish["key"]

    def cancel(self, *, at_once: bool = False) -> None:
        """Tell all tasks to end; those that wait will not begin. ``at_once``: until they have."""
        self._kills = self._kills or at_once
        for reference in self._running:
            self._ray.cancel(reference)

    def look(self) -> None:
        """Tell of tasks that ended; wait a moment for the next."""
        if not self._running:
            return
        ended, _ = self._ray.wait(list(self._running), timeout=_LOOK_SECONDS)
        for reference in ended:
            self._emit({"event": "ended", "key": self._running.pop(reference), **self._outcome(reference)})
        if self._kills and not ended:
            # Of two that come at the same time a task hears one.
            self.cancel()

    def _outcome(self, reference: Any) -> dict[str, Any]:
        errors = self._ray.exceptions
        try:
            outcome: dict[str, Any] = self._ray.get(reference)
        except errors.TaskCancelledError:
            return {"code": None, "cancelled": True}
        except errors.RayError as error:
            # The task's process or its node is gone, or Ray ended it for want of memory.
            return {"code": None, "lost": str(error).strip().splitlines()[0]}
        return outcome

    def close(self) -> None:
        self._ray.shutdown()

    @property
    def is_at_work(self) -> bool:
        return bool(self._running)


def _only_on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def serve(asked: dict[str, Any], wishes: IO[str], emit: Callable[[dict[str, Any]], None]) -> None:
    """Do what ``wishes`` ask for until they end, and then until the tasks have."""
    came: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def read() -> None:
        for line in wishes:
            came.put(json.loads(line))
        came.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        driver = Driver(asked, emit)
    except Exception as error:
        emit({"event": "refused", "kind": type(error).__name__, "why": str(error).strip()})
        return
    emit({"event": "connected"})
    emit({"event": "ready", "nodes": driver.nodes()})
    is_open = True
    while is_open or driver.is_at_work:
        with suppress(queue.Empty):
            while True:
                wish = came.get(timeout=0.0 if driver.is_at_work else _LOOK_SECONDS)
                if wish is None or wish["do"] != "submit":
                    is_open = is_open and wish is not None
                    driver.cancel(at_once=wish is not None and wish["do"] == "kill")
                else:
                    driver.submit(wish)
        driver.look()
    # What was started here ends here; of another cluster, the job.
    driver.close()


def main() -> int:
    """Serve; what Ray and others print goes where this process's errors go."""
    events = os.dup(1)
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        # A command that is gone is known by its wishes' end.
        with suppress(BrokenPipeError):
            os.write(events, json.dumps(event).encode() + b"\n")

    serve(json.loads(sys.stdin.readline()), sys.stdin, emit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
