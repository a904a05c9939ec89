"""Kills real workers and supervisors at random moments, and holds the result against a quiet run's.

    python tests/chaos.py --kills 500 --seed 1

Processes are forked from one that has PyTorch loaded already (unless ``--exec`` is given): what is tested is what
happens between them, and seconds of importing after every kill would leave time for few. Orphans become children
of this process, so that none can hide.
"""

import argparse
import ctypes
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil
import torch
from depth_runs import INPUT_SIZE, depth_digest, make_video, make_weights

import vda.launch.local
from vda.api.pipeline import RunSettings, plan_scene, run
from vda.compute import worker
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.scene.events import WindowBegun, WindowComputed, read_events
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings

PR_SET_CHILD_SUBREAPER = 36
FRAMES, CHUNKS = 256, 4


def fork(work: Callable[[], None], log: Path) -> int:
    """Run ``work`` in a process of its own session, and return its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if pid := os.fork():
        return pid
    code = 1
    try:
        os.setsid()
        # As after an exec: a supervisor's lock must not live on in its workers.
        os.closerange(3, 1024)
        with log.open("ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


class Forked:
    """A forked worker, as a launcher's ``Launched``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def exit_code(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class ForkLauncher:
    """Starts workers by forking."""

    def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> Forked:
        return Forked(fork(lambda: sys.exit(worker.main([str(home), name])), log))


def settings(weights: Path, devices: str) -> RunSettings:
    return RunSettings(model="mini", weights=weights, input_size=INPUT_SIZE, threads=1, devices=devices)


def supervise(scene: Path, weights: Path, *, by_exec: bool = False) -> int:
    """Start a supervisor and return its pid; ``by_exec`` as people do, with all that is imported."""
    if by_exec:
        options = f"run {scene} --model mini --weights {weights} --input-size {INPUT_SIZE} --threads 1 -q"
        command = [sys.executable, "-m", "vda", *options.split(), "--devices", "cpu,cpu"]
        return fork(lambda: os.execv(sys.executable, command), scene / "supervisor.out")

    def work() -> None:
        vda.launch.local.LocalLauncher = ForkLauncher  # type: ignore[assignment,misc]
        run([Scene(scene)], settings(weights, "cpu,cpu"))

    return fork(work, scene / "supervisor.out")


class Chaos:
    """Kills what computes ``scene`` until it has killed ``kills`` times or the work is done; then lets it end."""

    def __init__(
        self, scene: Path, weights: Path, seed: int, mean_seconds: float, *, by_exec: bool = False
    ) -> None:
        self.scene, self.weights, self.by_exec = scene, weights, by_exec
        self.random = random.Random(seed)
        self.mean_seconds = mean_seconds
        self.killed = 0

    def run(self, kills: int) -> None:
        supervisor = supervise(self.scene, self.weights, by_exec=self.by_exec)
        while True:
            if self.killed < kills:
                time.sleep(self.random.expovariate(1 / self.mean_seconds))
                self.strike(supervisor)
            code = self.reap(supervisor, wait=self.killed >= kills)
            if code == 0:
                return
            if code is not None:
                assert code == -signal.SIGKILL, (self.scene / "supervisor.out").read_text()
                # Now and then its workers are left alone for long enough to end.
                time.sleep(self.random.choice((0.0, 0.0, self.mean_seconds)))
                supervisor = supervise(self.scene, self.weights, by_exec=self.by_exec)

    def strike(self, supervisor: int) -> None:
        """Kill the supervisor, a worker, or all of them."""
        processes = [
            p.pid for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE
        ]
        workers = [pid for pid in processes if pid != supervisor]
        dice = self.random.random()
        victims = processes if dice < 0.1 else [supervisor] if dice < 0.35 else workers
        if not victims:
            return
        for pid in victims if dice < 0.1 else [self.random.choice(victims)]:
            try:
                os.kill(pid, signal.SIGKILL)
                self.killed += 1
            except ProcessLookupError:
                continue

    def reap(self, supervisor: int, *, wait: bool) -> int | None:
        """Collect orphans that ended; return the supervisor's exit code, or None while it lives."""
        while True:
            pid, status = os.waitpid(supervisor if wait else -1, 0 if wait else os.WNOHANG)
            if pid == supervisor:
                return os.waitstatus_to_exitcode(status)
            if pid == 0:
                return None


def overlaps(scene: Scene) -> list[str]:
    """Where the events of a chunk show a process after another one had begun with it."""
    found = []
    entries = [entry for entry in read_events(scene) if isinstance(entry.event, WindowBegun | WindowComputed)]
    ended: set[tuple[int, int]] = set()
    for before, entry in pairwise(sorted(entries, key=lambda entry: (entry.chunk, entry.unix_s))):
        if before.pid != entry.pid:
            ended.add((before.chunk, before.pid))
        if (entry.chunk, entry.pid) in ended:
            found.append(f"chunk {entry.chunk}: {entry.event} by {entry.pid}")
    return found


def processes_left(seconds: float = 240.0) -> list[str]:
    """Child processes of any depth that do not end by themselves."""
    deadline = time.monotonic() + seconds
    while children := psutil.Process().children(recursive=True):
        for child in children:
            try:
                os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:
                continue
        if time.monotonic() > deadline:
            return [f"{child.pid} {child.cmdline()}" for child in children]
        time.sleep(0.05)
    return []


def check_quiet_run(
    folder: Path, video: Path, weights: Path, *, by_exec: bool = False
) -> tuple[dict[str, str], float]:
    """Compute the video undisturbed; return its images' hashes and the seconds that it took."""
    scene = plan_scene(video, folder / "quiet", PlanSettings(chunks=CHUNKS))
    began = time.monotonic()
    os.waitpid(supervise(scene.root, weights, by_exec=by_exec), 0)
    seconds = time.monotonic() - began
    merge(scene, MergeSettings())
    return depth_digest(scene.root), seconds


def torment(folder: Path, kills: int, seed: int, kills_a_run: int = 25, *, by_exec: bool = False) -> int:
    """Run after run with ``kills_a_run`` kills each, until there were ``kills``; raise where anything is wrong."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    torch.set_num_threads(1)
    video, weights = make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")
    expected, seconds = check_quiet_run(folder, video, weights, by_exec=by_exec)
    assert len(expected) == FRAMES
    total = 0
    while total < kills:
        scene = plan_scene(video, folder / f"run_{total:04d}", PlanSettings(chunks=CHUNKS))
        chaos = Chaos(scene.root, weights, seed + total, seconds / 12, by_exec=by_exec)
        chaos.run(min(kills_a_run, kills - total))
        assert not processes_left(), processes_left(0)
        merge(scene, MergeSettings())
        assert depth_digest(scene.root) == expected, "the depth is not that of the quiet run"
        assert not overlaps(scene), overlaps(scene)
        assert not [path for path in scene.windows_dir.iterdir() if path.name.startswith(".tmp")]
        assert not RunFiles(scene.run_dir).workers()
        total += chaos.killed
        sys.stderr.write(f"{total} kills, {scene.root.name} as the quiet run\n")
        shutil.rmtree(scene.root)
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--exec", action="store_true", help="Start processes as people do, imports and all.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        torment(Path(place), options.kills, options.seed, by_exec=options.exec)
