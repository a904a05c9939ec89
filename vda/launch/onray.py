"""Commands of ours as tasks of Ray: on a cluster that is there, or on one of this machine that ends with us.

In: commands, and what each needs. Out: how each ended. ``raydriver`` speaks with Ray in a process of its own. This
file does not know what a command does.
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vda import __version__
from vda.errors import DeviceError, UsageError, WorkError
from vda.files import storage_errors
from vda.launch.interrupts import first_is_asked
from vda.machine.packages import require_package
from vda.reporter import Reporter, Silence
from vda.scene.runstate import last_lines

_DRIVER = ("-m", "vda.launch.raydriver")
# Ray tries for a minute to reach a cluster, and asks its nodes for another.
_READY_SECONDS = 150.0
_LOOK_SECONDS = 0.2
# What a command says that wants to be started again (sysexits.h: EX_TEMPFAIL).
AGAIN = 75
# After the second Ctrl-C; what Ray has to tidy up is a second's work.
_CLOSING_SECONDS = 20.0


@dataclass(frozen=True)
class Needs:
    """What a task is given: GPUs (a part of one may be asked for), and CPUs; 0 CPUs: a fair share of a node's."""

    gpus: float = 1.0
    cpus: int = 0


@dataclass(frozen=True)
class RayNode:
    """A node that can take tasks, as Ray tells of it."""

    name: str
    cpus: int
    gpus: float


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit ``code`` and last words, or why there is none (``lost``, ``cancelled``)."""

    code: int | None
    said: str = ""
    node: str = ""
    lost: str = ""
    cancelled: bool = False


def ray_address(given: str | None) -> str | None:
    """The cluster to use: what was given, else what ``RAY_ADDRESS`` says; None is one of our own."""
    address = given or os.environ.get("RAY_ADDRESS") or None
    if address and address.startswith("ray://"):
        raise UsageError(
            f"{address} is the address of Ray's client server, which cannot take tasks back.",
            "Give the cluster's own address (10.0.0.1:6379), on one of its nodes, where 'auto' finds it too.",
        )
    return None if address == "local" else address


@dataclass
class RayTasks:
    """Tasks of one Ray cluster, for a ``with`` block; ``folder`` is what every node has to see.

    ``log`` takes what Ray prints. Raises ``UsageError`` where Ray is not installed or its versions differ,
    ``DeviceError`` where no node can take a task, ``WorkError`` where Ray itself comes to an end.
    """

    address: str | None
    needs: Needs
    folder: Path
    log: Path
    nodes: list[RayNode] = field(default_factory=list, init=False)
    _events: "queue.SimpleQueue[dict[str, Any] | None]" = field(default_factory=queue.SimpleQueue, init=False)
    _running: set[str] = field(default_factory=set, init=False)
    _driver: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        require_package("ray", "--on ray", "ray")
        self.address = ray_address(self.address)
        asked = {"address": self.address, "gpus": self.needs.gpus, "sees": str(self.folder)}
        with storage_errors(self.log):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            output = self.log.open("ab")
        with output:
            self._driver = subprocess.Popen(
                [sys.executable, *_DRIVER, json.dumps(asked)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                # Ctrl-C is for the command, which says what is to end.
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._begin()
        except BaseException:
            self._close(0.0)
            raise
        return self

    def _listen(self) -> None:
        assert self._driver.stdout is not None
        with self._driver.stdout as lines:
            for line in lines:
                self._events.put(json.loads(line))
        self._events.put(None)

    def _begin(self) -> None:
        event = self._next(_READY_SECONDS)
        if event is None or event["event"] == "refused":
            raise self._refused(event or {"kind": "", "why": "it does not answer"})
        for about in event["nodes"]:
            _require_fit(about, self.folder)
        self.nodes = [RayNode(about["node"], about["cpus"], about["gpus"]) for about in event["nodes"]]
        if not self.nodes:
            raise DeviceError(
                f"No node of {self.name} has {'a GPU' if self.needs.gpus else 'a CPU to spare'}.",
                "Add a node that has, or compute on CPUs with --devices cpu.",
            )

    @property
    def name(self) -> str:
        return f"the Ray cluster {self.address}" if self.address else "the Ray of this machine"

    @property
    def cpus(self) -> int:
        """CPUs of a task: what was asked for, else the share of a node that a GPU, or a task, has there."""
        shares = (
            int(node.cpus * min(self.needs.gpus / node.gpus, 1) if self.needs.gpus else node.cpus)
            for node in self.nodes
        )
        return self.needs.cpus or max(min(shares), 1)

    def submit(
        self, key: str, command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """Have ``vda COMMAND`` run on some node; what it prints is appended to ``log`` there."""
        self._running.add(key)
        wish = {
            "key": key,
            "command": list(command),
            "log": str(log.resolve()),
            "variables": dict(variables or {}),
        }
        self._wish({"do": "submit", "gpus": self.needs.gpus, "cpus": self.cpus, **wish})

    def cancel(self) -> None:
        """Tell all commands to end, as SIGTERM does; asked again, kill them."""
        self._wish({"do": "cancel"})

    @property
    def running(self) -> frozenset[str]:
        """The keys of tasks that wait or run."""
        return frozenset(self._running)

    def ended(self, seconds: float) -> tuple[str, Ended] | None:
        """The next task that ended, with its key; None where none does within ``seconds``."""
        event = self._next(seconds)
        if event is None:
            return None
        key = event["key"]
        self._running.discard(key)
        if "lacks" in event or "blind" in event:
            raise _unfit(event["node"], event.get("lacks"), self.folder)
        names = ("said", "node", "lost", "cancelled")
        return key, Ended(event["code"], **{name: event[name] for name in names if name in event})

    def _next(self, seconds: float) -> dict[str, Any] | None:
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if event is None:
            raise self._refused({"kind": "", "why": "the connection ended"})
        return event

    def _wish(self, wish: dict[str, Any]) -> None:
        assert self._driver.stdin is not None
        try:
            self._driver.stdin.write(json.dumps(wish) + "\n")
            self._driver.stdin.flush()
        except OSError:
            # Its end is met with the next look, with what it said.
            return

    def _refused(self, event: dict[str, Any]) -> UsageError | WorkError:
        why = event["why"]
        if "ersion mismatch" in why:
            return UsageError(
                f"{self.name} has another Python or Ray than this machine: {_versions(why)}.",
                "Give both the same versions of Python and of the package ray.",
            )
        where = "it could not be reached" if self.address else "it could not be started"
        return WorkError(
            f"Ray cannot be used: {where} or came to an end ({why.splitlines()[0] if why else event['kind']}).",
            "See that the cluster answers ('ray status') and give the same command again; it goes on.",
            log=self.log,
            tail=last_lines(self.log),
        )

    def _close(self, seconds: float) -> None:
        assert self._driver.stdin is not None
        with suppress(OSError):
            self._driver.stdin.close()
        try:
            self._driver.wait(seconds)
        except subprocess.TimeoutExpired:
            # While Ray looks for a cluster it hears no other signal; what it started ends with it.
            self._driver.kill()
            self._driver.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(_CLOSING_SECONDS)


def run_tasks(
    commands: Mapping[str, Sequence[str]],
    needs: Needs,
    folder: Path,
    address: str | None = None,
    *,
    retries: int = 3,
    reporter: Reporter | None = None,
) -> dict[str, Ended]:
    """Run ``vda COMMAND`` for each of ``commands``, by key, on Ray; return how each ended.

    ``folder`` is what every node has to see: ``<key>.ray.log`` is written there. Tasks whose process or node died
    run again, up to ``retries`` times, and so do those that ask for it (exit code 75). Ctrl-C tells all to end.
    Raises as ``RayTasks`` does.
    """
    reporter, ended, lost = reporter or Silence(), {}, Counter[str]()
    with RayTasks(address, needs, folder, folder / "ray.log") as tasks, first_is_asked() as interrupted:
        reporter.begin("tasks", len(commands))
        for key, command in commands.items():
            tasks.submit(key, command, folder / f"{key}.ray.log")
        told = False
        while tasks.running:
            if interrupted() and not told:
                told = True
                reporter.say("Ending. Ctrl-C again ends at once.")
                tasks.cancel()
            if (found := tasks.ended(_LOOK_SECONDS)) is None:
                continue
            key, end = found
            lost[key] += 1
            if not told and (end.lost or end.code == AGAIN) and lost[key] <= retries:
                tasks.submit(key, commands[key], folder / f"{key}.ray.log")
                continue
            ended[key] = end
            reporter.at(len(ended))
        if told:
            raise KeyboardInterrupt
    return ended


def _require_fit(about: dict[str, Any], folder: Path) -> None:
    """Refuse a node that answered that it cannot work for us."""
    if about.get("has_vda") is False:
        raise _unfit(about["node"], about["python"], folder)
    if about.get("sees") is False:
        raise _unfit(about["node"], None, folder)


def _unfit(node: str, python: str | None, folder: Path) -> UsageError:
    if python:
        return UsageError(
            f"Ray's node {node} lacks this program: its {python} has no package vda.",
            f"Install the same version there ({__version__}), or start Ray there from an environment that has it.",
        )
    return UsageError(
        f"Ray's node {node} does not see {folder}.",
        "Put it on a file system that all nodes see under the same path.",
    )


def _versions(why: str) -> str:
    """``Ray: 2.60.0 Python: 3.11.7 there, ...``, of what Ray says in some lines."""
    found = re.findall(r"(Ray|Python): ([\w.]+)", why)
    half = len(found) // 2
    there, here = (" and ".join(" ".join(pair) for pair in part) for part in (found[:half], found[half:]))
    return f"{there} there, {here} here"
