"""What a test with Ray is given: a cluster of two nodes whose tasks pass a gate, and commands that use it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cluster.awaiting import until
from cluster.scenes import ROOT
from cluster.world import Gate

VDA = [sys.executable, "-c", "from vda.cli import main; main()"]
Command = subprocess.Popen[str]


@dataclass
class Nodes:
    """The cluster, and the gate that its tasks pass."""

    process: Command
    gate: Gate
    environment: dict[str, str]
    address: str = ""

    def tell(self, word: str = "") -> str:
        assert self.process.stdin and self.process.stdout
        if word:
            self.process.stdin.write(f"{word}\n")
            self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def start(self, *words: object) -> Command:
        """``vda WORDS`` on this cluster."""
        return self.vda(*words, "--on", "ray", "--ray-address", self.address)

    def vda(self, *arguments: object) -> Command:
        return subprocess.Popen(
            [*VDA, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )

    def until_held(self, command: Command, window: str, others: set[int] | None = None) -> int:
        """A process that waits at ``window`` and is none of ``others``; at once the failure, where all is over."""

        def held() -> set[int]:
            found = self.gate.waiting(window) - (others or set())
            if not found and command.poll() is not None:
                pytest.fail(f"It ended before {window}: {command.communicate()[0]}", pytrace=False)
            return found

        return until(held, f"a task at {window}").pop()

    def gpus(self) -> list[str]:
        """What each task was given, with its variables of SLURM's, of those since the last ``hold``."""
        return [path.read_text() for path in self.gate.folder.glob("gpu.*")]

    def hold(self, *windows: str) -> None:
        for path in self.gate.folder.iterdir():
            path.unlink()
        for window in windows:
            self.gate.hold(window)


@contextmanager
def ray_nodes(gate: Path) -> Iterator[Nodes]:
    path = [str(Path(__file__).with_name("gate")), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **{key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "VDA_TEST_GATE": str(gate),
        "VDA_TEST_GPUS": str(gate),
        # As where Ray was started in a job of SLURM's: tasks are no shares of that.
        "SLURM_PROCID": "1",
        "SLURM_NTASKS": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "OMP_NUM_THREADS": "1",
        # How soon Ray finds that a node is gone: five looks in vain.
        "RAY_health_check_period_ms": "500",
        # Its tasks give way to all else otherwise, such as to other tests.
        "RAY_worker_niceness": "0",
    }
    started = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("raynodes.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )
    found = Nodes(started, Gate(gate), environment)
    try:
        # Ray may print lines of its own before.
        while not re.fullmatch(r"[\d.]+:\d+", found.address):
            found.address = found.tell()
            assert started.poll() is None
        yield found
    finally:
        assert started.stdin and started.stdout
        started.stdin.close()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
        started.stdout.close()


def ended(command: Command) -> tuple[int, str]:
    said, _ = command.communicate(timeout=240)
    return command.returncode, said


def parents_of(process: int) -> tuple[int, int]:
    """Of a worker that computes: ``vda task``, and the process of Ray's that started that."""
    task = psutil.Process(process).parent()
    assert task is not None and "task" in task.cmdline()
    ray = task.parent()
    assert ray is not None and ray.cmdline()[0].startswith("ray::")
    return task.pid, ray.pid
