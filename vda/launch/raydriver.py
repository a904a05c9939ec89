"""What speaks with Ray: a process of its own, so that Ray's talk, signals and end are not those of the command.

    python -m vda.launch.raydriver '{"address": null, "gpus": 1, "sees": "/data/film"}'

In: a JSON line per wish on standard input, as ``onray`` writes them. Out: a JSON line per event on standard
output. Standard input that ends is a command that is gone: its tasks are told to end, and so does this. What runs
on the nodes goes there by value, so it uses the standard library alone. Nothing is run again here: whoever asked
knows what another attempt is worth.
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

# How long one look at the tasks waits, and how long a node has to answer who it is: its first worker starts then.
_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 60.0


def work(command: list[str], log: str, variables: dict[str, str]) -> dict[str, Any]:
    """On a node: run ``python -m vda COMMAND``; return its exit ``code``, its last words and the ``node``.

    Cancelled once it tells the command to end, and waits until it has; cancelled again it kills it and all that it
    started. The command is told to end as well when this process dies.
    """
    import contextlib
    import ctypes
    import os
    import platform
    import signal
    import subprocess
    import sys
    from importlib.util import find_spec
    from pathlib import Path

    node = platform.node()
    if find_spec("vda") is None:
        return {"node": node, "code": None, "lacks": sys.executable}
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    ours = os.getpid()

    def die_with_parent() -> None:
        if libc is not None:
            libc.prctl(1, signal.SIGTERM)
            # It may have died before.
            if os.getppid() != ours:
                os._exit(143)

    # A job of SLURM's that Ray was started in: its tasks are no shares of that.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    try:
        output = Path(log).open("ab")  # noqa: SIM115
    except OSError as error:
        return {"node": node, "code": None, "blind": f"{log}: {error.strerror}"}
    with output:
        begin = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "vda", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**kept, **variables},
            preexec_fn=die_with_parent,
        )
    told = False
    while True:
        try:
            code = process.wait(0.2)
            break
        except subprocess.TimeoutExpired:
            continue
        except KeyboardInterrupt:
            if told:
                import psutil

                with contextlib.suppress(psutil.Error):
                    for child in psutil.Process(process.pid).children(recursive=True):
                        child.kill()
                process.kill()
            told = True
            process.send_signal(signal.SIGTERM)
    with Path(log).open("rb") as file:
        file.seek(max(begin, Path(log).stat().st_size - 4096))
        said = file.read().decode(errors="replace").splitlines()[-12:]
    return {"node": node, "code": code, "said": "\n".join(said)}


def answer(folder: str) -> dict[str, Any]:
    """On a node: whether it can work for us."""
    import sys
    from importlib.util import find_spec
    from pathlib import Path

    return {"python": sys.executable, "has_vda": find_spec("vda") is not None, "sees": Path(folder).is_dir()}


class Driver:
    """Hands commands to Ray, and tells what becomes of them. ``emit`` takes the events."""

    def __init__(self, asked: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
        import ray

        self._ray, self._emit, self._asked = ray, emit, asked
        self._running: dict[Any, str] = {}
        ray.init(
            # Without "local" Ray takes whatever cluster it finds on this machine.
            address=asked["address"] or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            include_dashboard=None if asked["address"] else False,
        )

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that live and have what a task needs: name, CPUs, GPUs, and what they answer."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        found, asked = [], {}
        ask = self._ray.remote(num_cpus=0, max_retries=0, max_calls=1)(answer)
        for node in self._ray.nodes():
            has = node["Resources"]
            about = {
                "node": node["NodeManagerHostname"],
                "cpus": int(has.get("CPU", 0)),
                "gpus": has.get("GPU", 0),
            }
            if not node["Alive"] or about["gpus"] < self._asked["gpus"] or not about["cpus"]:
                continue
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[ask.options(scheduling_strategy=there).remote(self._asked["sees"])] = about
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
        task = self._ray.remote(num_gpus=wish["gpus"], num_cpus=wish["cpus"], max_retries=0, max_calls=1)(work)
        reference = task.options(name=wish["key"]).remote(wish["command"], wish["log"], wish["variables"])
        self._running[reference] = wish["key"]

    def cancel(self) -> None:
        """Tell all tasks to end; those that wait will not begin. A second time: at once."""
        for reference in self._running:
            self._ray.cancel(reference)

    def look(self) -> None:
        """Tell of tasks that ended; wait a moment for the next."""
        if not self._running:
            return
        ended, _ = self._ray.wait(list(self._running), timeout=_LOOK_SECONDS)
        for reference in ended:
            self._emit({"event": "ended", "key": self._running.pop(reference), **self._outcome(reference)})

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
    emit({"event": "ready", "nodes": driver.nodes()})
    is_open = True
    while is_open or driver.is_at_work:
        with suppress(queue.Empty):
            while True:
                wish = came.get(timeout=0.0 if driver.is_at_work else _LOOK_SECONDS)
                if wish is None or wish["do"] == "cancel":
                    is_open = is_open and wish is not None
                    driver.cancel()
                else:
                    driver.submit(wish)
        driver.look()
    # What was started here ends here; of another cluster, the job.
    driver.close()


def main(arguments: list[str]) -> int:
    """Serve; what Ray and others print goes where this process's errors go."""
    events = os.dup(1)
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        # A command that is gone is known by its wishes' end.
        with suppress(BrokenPipeError):
            os.write(events, json.dumps(event).encode() + b"\n")

    serve(json.loads(arguments[0]), sys.stdin, emit)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
