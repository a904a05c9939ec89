"""Commands of ours as tasks of Ray: on a cluster that is there, or on one of this machine that ends with us.

In: commands, and what each needs. Out: how each ended. ``raydriver`` speaks with Ray in a process of its own, and
``raywork`` is what that has the nodes do. This file does not know what a command does.
"""

import json
import platform
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vda import __version__
from vda.errors import DeviceError, UsageError, WorkError
from vda.files import storage_errors
from vda.launch.rayfaults import ray_address, refused, unanswered, unfit
from vda.machine.packages import require_package
from vda.shown import counted

_DRIVER = ("-m", "vda.launch.raydriver")
# A port that takes connections may be anybody's: Ray would look for a cluster behind it for minutes. To start one
# of our own takes seconds, on a machine with much else to do a minute. Then nodes are asked, for a minute.
_CONNECT_SECONDS, _START_SECONDS, _READY_SECONDS = 60.0, 150.0, 90.0
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
    """A node that can take tasks, as Ray tells of it; ``gpu`` is what Ray calls its GPUs, if anything."""

    name: str
    id: str
    cpus: int
    gpus: float
    gpu: str = ""
    cpu: str = ""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit ``code`` and last words, or why there is none (``lost``, ``cancelled``)."""

    code: int | None
    said: str = ""
    node: str = ""
    lost: str = ""
    cancelled: bool = False


@dataclass
class RayTasks:
    """Tasks of one Ray cluster, for a ``with`` block.

    Every node has to see the files ``logs``, which lie where commands work; the first takes what Ray prints.
    Raises ``UsageError`` where Ray is not installed, its versions differ, or a node lacks what it needs,
    ``DeviceError`` where no node can take a task, ``WorkError`` where Ray does not answer or comes to an end.
    """

    address: str | None
    needs: Needs
    logs: Sequence[Path]
    nodes: list[RayNode] = field(default_factory=list, init=False)
    _events: "queue.SimpleQueue[dict[str, Any] | None]" = field(default_factory=queue.SimpleQueue, init=False)
    _running: set[str] = field(default_factory=set, init=False)
    _driver: subprocess.Popen[str] = field(init=False)
    _word: str = field(default="", init=False)

    def __enter__(self) -> Self:
        require_package("ray", "--on ray", "ray")
        self.address = ray_address(self.address)
        if problem := unanswered(self.address):
            raise self._refused(problem)
        self._word = self._mark()
        fit = self._word, [str(log.resolve()) for log in self.logs], __version__
        asked = {"address": self.address, "gpus": self.needs.gpus, "cpus": self.needs.cpus, "fit": fit}
        with storage_errors(self.logs[0]), self.logs[0].open("ab") as output:
            self._driver = subprocess.Popen(
                [sys.executable, *_DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                # Ctrl-C is for the command, which says what is to end.
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()
        self._wish(asked)
        try:
            self._begin()
        except BaseException:
            self._close(0.0)
            raise
        return self

    def _mark(self) -> str:
        """A word in each log, by which nodes know that they see these very files; return it."""
        mark = uuid.uuid4().hex
        for log in self.logs:
            with storage_errors(log):
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("a") as file:
                    file.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} on {platform.node()}: {mark}\n")
        return mark

    def _listen(self) -> None:
        assert self._driver.stdout is not None
        with self._driver.stdout as lines:
            for line in lines:
                self._events.put(json.loads(line))
        self._events.put(None)

    def _begin(self) -> None:
        self._await("connected", _CONNECT_SECONDS if self.address else _START_SECONDS)
        found = self._await("ready", _READY_SECONDS)["nodes"]
        for about in found:
            if "unfit" in about:
                raise unfit(about)
        names = ("id", "cpus", "gpus", "gpu", "cpu")
        self.nodes = [
            RayNode(about["node"], **{name: about[name] for name in names if name in about}) for about in found
        ]
        if not self.nodes:
            raise self._without_nodes()

    def _await(self, word: str, seconds: float) -> dict[str, Any]:
        event = self._next(seconds)
        if event is None or event["event"] != word:
            raise self._refused((event or {}).get("why", "it does not answer"))
        return event

    def _without_nodes(self) -> DeviceError:
        has = [*(["a GPU"] if self.needs.gpus else []), counted(max(self.needs.cpus, 1), "CPU")]
        return DeviceError(
            f"No node of {self.name} has {' and '.join(has)}.",
            f"Add a node that has, or {'give fewer --threads' if self.needs.cpus > 1 else 'look at ray status'}"
            f"{', or compute on CPUs with --devices cpu' if self.needs.gpus else ''}.",
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

    def kinds(self) -> list[RayNode]:
        """A node of each kind: of what computes a task, a GPU or CPUs."""
        return list({node.gpu if self.needs.gpus else node.cpu: node for node in reversed(self.nodes)}.values())

    def submit(
        self,
        key: str,
        command: Sequence[str],
        log: Path,
        variables: Mapping[str, str] | None = None,
        like: RayNode | None = None,
    ) -> None:
        """Have ``vda COMMAND`` run on a node, of the kind of ``like``; what it prints is appended to ``log``."""
        self._running.add(key)
        wish = {
            "key": key,
            "command": list(command),
            "log": str(log.resolve()),
            "variables": dict(variables or {}),
            "gpu": like.gpu if like and self.needs.gpus else "",
            "node": like.id if like else "",
        }
        self._wish({"do": "submit", "gpus": self.needs.gpus, "cpus": self.cpus, **wish})

    def cancel(self, *, at_once: bool = False) -> None:
        """Tell all commands to end, as SIGTERM does; ``at_once``: kill them and all that they started."""
        self._wish({"do": "kill" if at_once else "cancel"})

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
        if "unfit" in event:
            raise unfit(event)
        names = ("said", "node", "lost", "cancelled")
        return key, Ended(event["code"], **{name: event[name] for name in names if name in event})

    def _next(self, seconds: float) -> dict[str, Any] | None:
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if event is None:
            raise self._refused("the connection ended")
        return event

    def _wish(self, wish: dict[str, Any]) -> None:
        assert self._driver.stdin is not None
        try:
            self._driver.stdin.write(json.dumps(wish) + "\n")
            self._driver.stdin.flush()
        except OSError:
            # Its end is met with the next look, with what it said.
            return

    def _refused(self, why: str) -> UsageError | WorkError:
        return refused(why, self.name, self.logs[0], self._word, is_ours=self.address is None)

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
        if kind is KeyboardInterrupt:
            self.cancel(at_once=True)
        self._close(_CLOSING_SECONDS)
