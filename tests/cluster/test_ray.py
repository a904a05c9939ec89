"""Chunks on a real Ray of two nodes: the same bytes as here, whoever dies on the way, and nothing left running."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from cluster.awaiting import until
from cluster.scenes import Film, names_of_chunk, windows_digest
from cluster.world import Gate

ROOT = Path(__file__).parents[2]
VDA = [sys.executable, "-c", "from vda.cli import main; main()"]
# Of Ray's own processes on this machine: the commands of its daemons.
DAEMONS = re.compile(r"raylet|gcs_server")


@dataclass
class Nodes:
    """The cluster, and the gate that its tasks pass."""

    process: subprocess.Popen[str]
    gate: Gate
    environment: dict[str, str]
    address: str = ""

    def tell(self, word: str = "") -> str:
        assert self.process.stdin and self.process.stdout
        if word:
            self.process.stdin.write(f"{word}\n")
            self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def start(self, scene: Path, *options: object) -> subprocess.Popen[str]:
        where = ["--on", "ray", "--ray-address", self.address]
        return self.vda("run", scene, *where, *options)

    def vda(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*VDA, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )

    def until_held(self, window: str, others: set[int] | None = None) -> int:
        """A process that waits at ``window`` and is none of ``others``."""
        held = until(lambda: self.gate.waiting(window) - (others or set()), f"a task at {window}")
        return held.pop()

    def hold(self, *windows: str) -> None:
        for path in self.gate.folder.iterdir():
            path.unlink()
        for window in windows:
            self.gate.hold(window)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'vda-toolkit[ray]'")
    gate = tmp_path_factory.mktemp("gate")
    path = [str(Path(__file__).with_name("gate")), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **{key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "VDA_TEST_GATE": str(gate),
        "OMP_NUM_THREADS": "1",
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
        assert started.stdin
        started.stdin.close()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)


def ended(command: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = command.communicate(timeout=240)
    return command.returncode, said


def parents_of(process: int) -> tuple[int, int]:
    """Of a worker that computes: ``vda task``, and the process of Ray's that started that."""
    task = psutil.Process(process).parent()
    assert task is not None and "task" in task.cmdline()
    ray = task.parent()
    assert ray is not None and ray.cmdline()[0].startswith("ray::")
    return task.pid, ray.pid


def test_the_sample_on_two_nodes_is_the_sample_here(nodes: Nodes, sample: Film, tmp_path: Path) -> None:
    scene = sample.plan(tmp_path / "scene")
    nodes.hold()
    # As many threads as the run here has, for bytes are the same with the same number.
    code, said = ended(nodes.start(scene, *sample.options, "--threads", os.cpu_count()))
    assert code == 0, said
    assert "4 chunks on the Ray cluster" in said and "2 nodes" in said
    assert "raylet" not in said
    sample.require_same(scene)


def test_whoever_is_killed_the_work_is_done(nodes: Nodes, film: Film, tmp_path: Path) -> None:
    """The worker, then ``vda task``, then Ray's process: each in the middle of a chunk of its own."""
    scene = film.plan(tmp_path / "scene")
    windows = [names_of_chunk(chunk)[1] for chunk in range(3)]
    nodes.hold(*windows)
    command = nodes.start(scene, *film.options)
    worker = nodes.until_held(windows[0])
    os.kill(worker, signal.SIGKILL)
    nodes.until_held(windows[0], {worker})
    nodes.gate.release(windows[0])
    for window, place in ((windows[1], 0), (windows[2], 1)):
        worker = nodes.until_held(window)
        task, _ = killed = parents_of(worker)
        os.kill(killed[place], signal.SIGKILL)
        until(lambda: not psutil.pid_exists(killed[place]), "the end of what was killed")  # noqa: B023
        # The orphan ends with its window; what Ray started is not left alone.
        nodes.gate.release(window)
        until(lambda: not psutil.pid_exists(task), "the end of the task")  # noqa: B023
    code, said = ended(command)
    assert code == 0, said
    assert "goes to another task" in said
    film.require_same(scene)


def test_a_node_that_goes_takes_nothing_with_it(nodes: Nodes, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene")
    windows = [names_of_chunk(chunk)[1] for chunk in range(2)]
    nodes.hold(*windows)
    command = nodes.start(scene, *film.options)
    for window in windows:
        nodes.until_held(window)
    try:
        assert nodes.tell("remove") == "remove"
        for window in windows:
            nodes.gate.release(window)
        code, said = ended(command)
    finally:
        assert nodes.tell("add") == "add"
    assert code == 0, said
    film.require_same(scene)


def test_interrupted_it_ends_and_the_same_command_takes_what_is_missing(
    nodes: Nodes, film: Film, tmp_path: Path
) -> None:
    scene = film.plan(tmp_path / "scene")
    window = names_of_chunk(2)[1]
    nodes.hold(window)
    command = nodes.start(scene, *film.options)
    nodes.until_held(window)
    # The fourth chunk is whole then, or its window in hand will be.
    until(lambda: len(windows_digest(scene)) >= 9, "three chunks' windows")
    command.send_signal(signal.SIGINT)
    assert command.stdout
    until(lambda: "Ending with the windows in hand" in command.stdout.readline(), "the first answer")  # type: ignore[union-attr]
    nodes.gate.release(window)
    code, said = ended(command)
    assert code == 130, said
    times = {path.name: path.stat().st_mtime_ns for path in (scene / "vda_windows").glob("window_*.npz")}
    assert window in times and len(times) < len(film.windows)
    chunks = sum(not set(names_of_chunk(chunk)) <= times.keys() for chunk in range(film.chunks))
    code, said = ended(nodes.start(scene, *film.options))
    assert code == 0, said
    assert re.search(rf"\b{chunks} chunks? on the Ray cluster", said), said
    assert {name: (scene / "vda_windows" / name).stat().st_mtime_ns for name in times} == times
    film.require_same(scene)


def test_vda_stop_ends_it_after_the_windows_in_hand(nodes: Nodes, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene")
    window = names_of_chunk(0)[1]
    nodes.hold(window)
    command = nodes.start(scene, *film.options)
    nodes.until_held(window)
    code, said = ended(nodes.vda("status", scene))
    assert "running" in said.splitlines()[0], said
    stop = nodes.vda("stop", scene)
    until(lambda: (scene / "vda_run" / "stop").exists(), "the request")
    nodes.gate.release(window)
    assert ended(stop)[0] == 0
    code, said = ended(command)
    assert code == 1 and "Stopped as asked" in said
    assert window in windows_digest(scene)


def test_twice_interrupted_it_ends_at_once(nodes: Nodes, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene")
    window = names_of_chunk(0)[1]
    nodes.hold(window)
    command = nodes.start(scene, *film.options)
    worker = nodes.until_held(window)
    task, _ = parents_of(worker)
    assert command.stdout
    command.send_signal(signal.SIGINT)
    until(lambda: "Ending with the windows in hand" in command.stdout.readline(), "the first answer")  # type: ignore[union-attr]
    command.send_signal(signal.SIGINT)
    # The window stays held: nobody finishes it.
    assert ended(command)[0] == 130
    until(lambda: not psutil.pid_exists(worker) and not psutil.pid_exists(task), "the end of worker and task")
    assert window not in windows_digest(scene)


def test_a_ray_of_its_own_goes_with_the_command(nodes: Nodes, film: Film, tmp_path: Path) -> None:
    """Another's Ray on the machine is neither used nor ended."""
    scene = film.plan(tmp_path / "scene")
    nodes.hold()
    daemons = ray_daemons()
    code, said = ended(nodes.vda("run", scene, "--on", "ray", "--devices", "cpu", *film.options))
    assert code == 0, said
    assert "on the Ray of this machine: 1 node, no GPU" in said
    film.require_same(scene)
    until(lambda: ray_daemons() == daemons, "the end of its daemons")


def ray_daemons() -> set[int]:
    found = psutil.process_iter(["cmdline"])
    return {
        each.pid for each in found if each.info["cmdline"] and DAEMONS.search(Path(each.info["cmdline"][0]).name)
    }


def test_a_cluster_that_does_not_answer_is_said_in_two_sentences(nodes: Nodes, film: Film, tmp_path: Path) -> None:
    scene = film.plan(tmp_path / "scene")
    code, said = ended(nodes.vda("run", scene, "--on", "ray", "--ray-address", "127.0.0.1:9", *film.options))
    assert code == 1 and "Ray cannot be used: it could not be reached" in said
    assert "Traceback" not in said
