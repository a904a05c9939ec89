"""What a test with SLURM is given: programs that speak to it, and a gate that holds a task in its middle."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from depth_runs import check, vda

from cluster.awaiting import until
from cluster.nodes import Slurm
from cluster.scenes import ROOT, Film

ENDED = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "DEADLINE", "OUT_OF_MEMORY"}


@dataclass
class Gate:
    """Where workers wait that are about to finish a window which a test holds."""

    folder: Path

    def hold(self, window: str) -> None:
        (self.folder / f"{window}.hold").touch()

    def release(self, window: str) -> None:
        (self.folder / f"{window}.hold").unlink(missing_ok=True)

    def waiting(self, window: str) -> set[int]:
        """The processes that came as far as ``window`` while it was held."""
        return {int(path.suffix[1:]) for path in self.folder.glob(f"{window}.[0-9]*")}


@dataclass(frozen=True)
class Cluster:
    """A SLURM that tests may use and break. ``folder`` is the test's own."""

    slurm: Slurm
    folder: Path
    programs: Path | None = None

    @property
    def gate(self) -> Gate:
        return Gate(self.folder / "gate")

    @property
    def environment(self) -> dict[str, str]:
        """For ``vda`` and its jobs: this checkout, the gate, this SLURM, and a node's own disk."""
        path = [str(Path(__file__).with_name("gate")), str(ROOT), os.environ.get("PYTHONPATH", "")]
        programs = [str(self.programs)] if self.programs else []
        return {
            **self.slurm.environment,
            "PATH": os.pathsep.join([*programs, self.slurm.environment["PATH"]]),
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "VDA_TEST_GATE": str(self.gate.folder),
            "TMPDIR": str(self.local_disk),
        }

    @property
    def local_disk(self) -> Path:
        return self.folder / "local"

    def vda(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """The program on the login node."""
        return vda(*words, cwd=None, **self.environment, **environment)

    def command(self, film: Film, scene: Path, *more: object) -> list[object]:
        """What hands a scene over, and waits for it unless ``--detach`` is among ``more``."""
        return ["run", scene, "--on", "slurm", *film.options, "--devices", "cpu", *more]

    def hand_over(self, film: Film, scene: Path, *more: object) -> str:
        """Submit what is missing of a scene, and return without waiting for it."""
        result = check(self.vda(*self.command(film, scene, *more, "--detach")))
        return result.stdout + result.stderr

    def finish(self, film: Film, scene: Path, *more: object) -> str:
        """Submit what is missing of a scene, and wait for its end; it must be the film as computed here."""
        result = self.vda(*self.command(film, scene, *more))
        assert result.returncode == 0, f"{result.stdout}{result.stderr}\n{self.told()}\n{_logs(scene)}"
        film.require_same(scene)
        return result.stdout + result.stderr

    def start(self, *words: object) -> subprocess.Popen[str]:
        """The program on the login node, in the background."""
        command = [sys.executable, "-m", "vda", *map(str, words)]
        return subprocess.Popen(
            command, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def until_held(self, window: str, others: set[int] | None = None) -> set[int]:
        """The processes that wait at ``window``, once there is one that is none of ``others``."""
        return until(lambda: self.gate.waiting(window) - (others or set()), f"a task at {window}", self.told)

    def until_told(self) -> None:
        """Until a task on some node has been told to end: it notes that on the node's own disk."""
        until(lambda: list(self.local_disk.glob("vda-task-*/run/stop")), "a task that is to end", self.told)

    def until_all_ended(self) -> None:
        until(lambda: not self.queue(), "an empty queue", self.told)

    def until_gone(self, pids: set[int]) -> None:
        until(lambda: not any(is_alive(pid) for pid in pids), f"the end of {pids}", self.told)

    def queue(self) -> list[str]:
        """The jobs and tasks that wait or run: id, state and reason."""
        return self.slurm.ask("squeue", "--noheader", "--array", "--format=%i %T %r").splitlines()

    def tasks(self) -> list[dict[str, str]]:
        """All jobs and tasks that this SLURM knows, ended ones too, with the fields of ``scontrol show job``."""
        shown = self.slurm.ask("scontrol", "--oneliner", "show", "job").splitlines()
        lines = [line.split() for line in shown if line.startswith("JobId=")]
        return [dict(word.partition("=")[::2] for word in line if "=" in word) for line in lines]

    def task(self, scene: Path, chunk: int) -> dict[str, str]:
        """The task of a scene that had ``chunk`` last."""
        return [task for task in self.tasks() if task.get("ArrayTaskId") == str(chunk) and is_of(task, scene)][-1]

    def told(self) -> str:
        return "\n".join([*self.queue(), self.slurm.logs()])


def is_of(task: dict[str, str], scene: Path) -> bool:
    return f"{scene}/" in task.get("StdOut", "")


def task_id(task: dict[str, str]) -> str:
    return f"{task['ArrayJobId']}_{task['ArrayTaskId']}"


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def identities(scene: Path, windows: Sequence[str]) -> list[tuple[int, int]]:
    """Which files these windows are, and since when: one that is written again becomes another."""
    found = [(scene / "vda_windows" / window).stat() for window in windows]
    return [(status.st_ino, status.st_mtime_ns) for status in found]


def _logs(scene: Path) -> str:
    logs = sorted((scene / "vda_logs").glob("chunk_*.slurm-*.log"))
    return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)
