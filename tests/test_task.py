"""A chunk as a task: the bytes of a local run, also without locks, where two compute it, and after kills."""

import errno
import fcntl
import os
import platform
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from threading import get_ident
from typing import Any

import psutil
import pytest
from chaos import ForkLauncher, fork
from depth_runs import INPUT_SIZE, make_video, make_weights, vda_here
from depth_runs import vda as program
from halting import halt_at, halted

import vda.cluster.task
import vda.compute.worker
import vda.launch.local
from vda.api.engines import joined_status
from vda.api.pipeline import RunSettings, merge_scene, plan_scene, redo, run
from vda.cluster import staging
from vda.cluster.lease import Lease
from vda.cluster.task import EXIT_STOPPED, TaskSettings, run_task
from vda.cluster.taskfiles import TaskName, TaskRecord, read_task
from vda.compute.chunk import Surroundings
from vda.errors import DeviceError, SceneError, StorageError
from vda.machine.devices import Device
from vda.merging.settings import MergeSettings
from vda.merging.stage import remove_intermediates
from vda.scene.events import DecodedThere, read_events
from vda.scene.runstate import Outcome, RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor import hold

# A window of 32 frames, and one more for each 22: five of them, in chunks of two and three.
FRAMES, CHUNKS = 100, 2


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Path, Path]:
    """A scene that a local run computed, its video and its weights."""
    folder = tmp_path_factory.mktemp("quiet")
    video, weights = make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")
    scene = plan_scene(video, folder / "scene", PlanSettings(chunks=CHUNKS))
    run([scene], settings(weights))
    return scene, video, weights


@pytest.fixture
def scene(quiet: tuple[Scene, Path, Path], tmp_path: Path) -> Scene:
    """The same scene, fixed and not begun."""
    done, video, _ = quiet
    scene = plan_scene(video, tmp_path / "scene", PlanSettings(chunks=CHUNKS))
    record = done.run_record()
    assert record is not None
    scene.write_run(record)
    return scene


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Starts tasks as processes with forked workers; those that are left are ended."""
    monkeypatch.setattr(vda.cluster.task, "LocalLauncher", ForkLauncher)
    started: list[int] = []

    def start(
        scene: Scene, chunk: int, before: Callable[[], None] = lambda: None, stage_video: str | None = None
    ) -> int:
        def work() -> None:
            before()
            settings = TaskSettings("cpu", threads=1, stage_video=stage_video)
            sys.exit(EXIT_STOPPED if run_task(scene, chunk, settings) == "stopped" else 0)

        started.append(fork(work, scene.root / "task.out"))
        return started[-1]

    yield start
    for pid in started:
        # Of one that was waited for the number may be somebody else's by now.
        with suppress(ChildProcessError):
            if lives(pid):
                for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
                    process.kill()


def lives(pid: int) -> bool:
    """Whether a child goes on; ``ChildProcessError`` where it was waited for already."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def settings(weights: Path) -> RunSettings:
    return RunSettings(model="mini", weights=weights, input_size=INPUT_SIZE, threads=1, devices="cpu", on="inline")


def no_copying(_copy: object) -> bool:
    raise AssertionError("It was copied again.")


def windows(scene: Scene) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(scene.windows_dir.glob("window_*.npz"))}


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def with_locks_that(mean: int | None) -> Callable[[], None]:
    """Locks below scenes fail with this error number; or (None) always succeed, and nobody is seen to hold one."""
    real = fcntl.fcntl

    def pretended(handle: int, command: int, argument: bytes = b"") -> object:
        if command not in (fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW, fcntl.F_OFD_GETLK):
            return real(handle, command, argument)
        descriptor = handle if isinstance(handle, int) else handle.fileno()
        if "/scene/" not in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            return real(handle, command, argument)
        if mean is not None:
            raise OSError(mean, os.strerror(mean))
        free = struct.pack("hhqqi4x", fcntl.F_UNLCK, 0, 0, 0, 0)
        return free if command == fcntl.F_OFD_GETLK else argument

    def pretend() -> None:
        vars(fcntl)["fcntl"] = pretended

    return pretend


def without_claims() -> None:
    """As if each of several tasks could believe that it has the chunk."""

    def take(lease: Lease) -> None:
        return None

    def renew(lease: Lease) -> bool:
        return True

    Lease.take, Lease.renew = take, renew  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("locks", [None, errno.ENOLCK, errno.EOPNOTSUPP], ids=["always", "ENOLCK", "EOPNOTSUPP"])
def test_two_writers_of_each_chunk_without_locks_give_the_local_runs_bytes(
    quiet: tuple[Scene, Path, Path], scene: Scene, starting: Callable[..., int], locks: int | None
) -> None:
    def without_both() -> None:
        without_claims()
        with_locks_that(locks)()

    # A local run left its lock file, and the tasks ask whether somebody holds it.
    RunFiles(scene.run_dir).folder.mkdir()
    RunFiles(scene.run_dir).supervisor_lock.touch()
    tasks = [starting(scene, chunk, without_both) for chunk in (0, 0, 1, 1)]
    assert [ended(pid) for pid in tasks] == [0, 0, 0, 0], (scene.root / "task.out").read_text()
    assert windows(scene) == windows(quiet[0]) != {}


@pytest.mark.parametrize(("locks", "problem"), [(None, "keeps no locks"), (errno.ENOLCK, "takes no locks")])
def test_a_local_run_is_refused_where_nobodys_locks_are_seen(
    scene: Scene, locks: int | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are seen to live by their locks; a task has its own on its machine's disk."""
    monkeypatch.setattr(fcntl, "fcntl", fcntl.fcntl)
    with_locks_that(locks)()
    with pytest.raises(StorageError, match=problem) as refused:
        run([scene], RunSettings(devices="cpu"))
    assert "vda task" in (refused.value.remedy or "")
    assert not list(scene.run_dir.glob("workers/*"))


@pytest.mark.parametrize("locks", [None, errno.ENOLCK])
def test_a_task_whose_node_keeps_no_locks_is_told_of_another_folder(
    scene: Scene, locks: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "fcntl", fcntl.fcntl)
    monkeypatch.setattr(tempfile, "tempdir", str(scene.root))
    with_locks_that(locks)()
    with pytest.raises(StorageError, match="keeps none") as refused:
        run_task(scene, 0, TaskSettings("cpu", threads=1))
    assert "TMPDIR" in refused.value.remedy
    assert not list(scene.root.glob("vda-task-*"))


def test_what_a_killed_task_left_is_gone_on_with_at_once(
    quiet: tuple[Scene, Path, Path], scene: Scene, starting: Callable[..., int], tmp_path: Path
) -> None:
    marker = tmp_path / "halted"
    pid = starting(scene, 0, lambda: halt_at(marker, "window_", 2))
    halted(marker, lambda: lives(pid))
    for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
        process.kill()
    assert ended(pid) == -signal.SIGKILL
    assert RunFiles(scene.run_dir).claim_path(0).is_file()
    kept = {path: path.stat().st_mtime_ns for path in scene.windows_dir.glob("window_*.npz")}
    assert [ended(starting(scene, chunk)) for chunk in (0, 1)] == [0, 0]
    assert windows(scene) == windows(quiet[0])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list(RunFiles(scene.run_dir).claims_dir.glob("*.json"))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's own disk: where tasks have their homes."""
    folder = tmp_path / "node"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def halt_at_lock(marker: Path) -> None:
    """Stop this process once, between opening the lock of its home and taking it."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "fcntl.fcntl" and arguments[1] == fcntl.F_OFD_SETLK and not marker.exists():
            lock = Path(f"/proc/self/fd/{arguments[0]}").readlink()
            if lock.name == "supervisor.lock" and lock.parents[1].name.startswith("vda-task-"):
                marker.write_text(str(os.getpid()))
                signal.pthread_kill(get_ident(), signal.SIGSTOP)

    sys.addaudithook(look)


def test_tasks_that_begin_at_once_on_a_node_leave_each_others_homes(
    quiet: tuple[Scene, Path, Path], scene: Scene, starting: Callable[..., int], node: Path, tmp_path: Path
) -> None:
    """One that is about to take its lock lives, too: where its home was swept, each worker ended as it began."""

    def late() -> None:
        # Such workers were started again for ever.
        signal.alarm(240)
        halt_at_lock(tmp_path / "halted")

    pid = starting(scene, 0, late)
    task = halted(tmp_path / "halted", lambda: lives(pid))
    assert ended(starting(scene, 1)) == 0
    task.resume()
    assert ended(pid) == 0
    assert windows(scene) == windows(quiet[0])
    assert not list(node.iterdir())


def test_a_task_whose_home_is_removed_says_so_and_the_next_one_goes_on(
    quiet: tuple[Scene, Path, Path], scene: Scene, starting: Callable[..., int], node: Path, tmp_path: Path
) -> None:
    """As a node's tidying does: its workers find nobody to work for, each as it begins."""

    def begin() -> None:
        signal.alarm(240)
        halt_at(tmp_path / "halted", "window_", 1)

    pid = starting(scene, 0, begin)
    worker = halted(tmp_path / "halted", lambda: lives(pid))
    # At once: of files that go one by one the task removes the others itself meanwhile, as it ends.
    next(node.glob("vda-task-*")).rename(tmp_path / "removed")
    assert ended(pid) == 1
    worker.resume()
    worker.wait(timeout=240)
    record = read_task(scene, 0)
    assert record is not None and record.phase == "failed"
    assert "supervisor.lock was removed" in record.problem and "again" in record.remedy
    assert [ended(starting(scene, chunk)) for chunk in (0, 1)] == [0, 0]
    assert windows(scene) == windows(quiet[0])


def test_an_orphan_that_comes_back_harms_nothing_and_ends(
    quiet: tuple[Scene, Path, Path], scene: Scene, starting: Callable[..., int], tmp_path: Path
) -> None:
    marker = tmp_path / "halted"
    orphan = starting(scene, 0, lambda: halt_at(marker, "window_", 2))
    halted(marker, lambda: lives(orphan))
    frozen = [psutil.Process(orphan), *psutil.Process(orphan).children(recursive=True)]
    for process in frozen:
        process.suspend()
    claim = RunFiles(scene.run_dir).claim_path(0)
    os.utime(claim, (claim.stat().st_mtime - 61,) * 2)
    assert ended(starting(scene, 0)) == 0
    for process in frozen:
        process.resume()
    # All windows of the chunk are there by now, or it sees that another has the claim.
    assert ended(orphan) in (0, EXIT_STOPPED)
    assert ended(starting(scene, 1)) == 0
    assert windows(scene) == windows(quiet[0])
    assert not any(process.is_running() and process.status() != "zombie" for process in frozen)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_ends_it_after_the_window_in_hand(
    quiet: tuple[Scene, Path, Path], scene: Scene, starting: Callable[..., int], number: int, tmp_path: Path
) -> None:
    marker = tmp_path / "halted"
    pid = starting(scene, 0, lambda: halt_at(marker, "window_", 1))
    worker = halted(marker, lambda: lives(pid))
    # As a scheduler does, to all processes of the job.
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        process.send_signal(number)
    worker.resume()
    code = ended(pid)
    record = read_task(scene, 0)
    assert record is not None and record.exit == code
    assert (code, record.phase) in ((EXIT_STOPPED, "stopped"), (0, "done"))
    there = windows(scene)
    assert there == {name: data for name, data in windows(quiet[0]).items() if name in there}
    assert not list(scene.windows_dir.glob(".tmp-*")) and not RunFiles(scene.run_dir).live_claims()


def test_a_task_that_is_always_ended_before_its_first_window_is_not_begun_for_ever(
    scene: Scene, starting: Callable[..., int]
) -> None:
    def always_too_short() -> None:
        task = os.getpid()

        def told_to_end(scene: Scene, chunk: int, computer: object, around: Surroundings, **_: object) -> Outcome:
            os.kill(task, signal.SIGUSR1)
            while not around.should_stop():
                time.sleep(0.002)
            return "stopped"

        vda.compute.worker.compute_chunk = told_to_end  # type: ignore[assignment]

    codes = [ended(starting(scene, 0, always_too_short)) for _ in range(4)]
    assert codes == [EXIT_STOPPED, EXIT_STOPPED, EXIT_STOPPED, 1]
    record = read_task(scene, 0)
    assert record is not None and "4 times in a row" in record.problem and "time=" in record.remedy
    # A person who gives it more time has it begun again.
    assert ended(starting(scene, 0)) == 0


def test_a_request_to_stop_is_seen_before_anything_is_begun(scene: Scene, starting: Callable[..., int]) -> None:
    scene.run_dir.mkdir()
    RunFiles(scene.run_dir).stop_path.touch()
    assert ended(starting(scene, 0)) == EXIT_STOPPED
    assert windows(scene) == {}


def test_while_a_claim_lives_nobody_removes_windows(quiet: tuple[Scene, Path, Path], tmp_path: Path) -> None:
    scene = plan_scene(quiet[1], tmp_path / "scene", PlanSettings(chunks=CHUNKS))
    run([scene], settings(quiet[2]))
    merge_scene(scene, MergeSettings())
    before = windows(scene)
    assert Lease.on(RunFiles(scene.run_dir), 1, TaskName("slurm 7_1", "n5")).take() is None
    anew = replace(settings(quiet[2]), restart=True)
    for removing in (
        lambda: run([scene], settings(quiet[2])),
        lambda: run([scene], anew),
        lambda: redo(scene, 0, settings(quiet[2])),
        lambda: plan_scene(quiet[1], scene.root, PlanSettings(chunks=3), restart=True),
        lambda: remove_intermediates(scene),
        lambda: merge_scene(scene, MergeSettings(overwrite=True), discard_windows=True),
    ):
        with pytest.raises(SceneError, match="slurm 7_1 on n5") as refused:
            removing()
        assert "vda stop" in refused.value.remedy
    assert windows(scene) == before
    # Merging removes nothing.
    merge_scene(scene, MergeSettings(overwrite=True))


def test_what_another_machine_writes_at_the_moment_is_not_swept(scene: Scene) -> None:
    young, old = (scene.windows_dir / f".tmp-{name}-window_000_00001.npz" for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    with ExitStack() as locks:
        held = hold([scene], locks)
        assert Lease.on(RunFiles(scene.run_dir), 0, TaskName("slurm 7_0", "n5")).take() is None
        held.sweep()
        assert (young.exists(), old.exists()) == (True, False)
        RunFiles(scene.run_dir).claim_path(0).unlink()
        held.sweep()
        assert not young.exists()


def test_the_command_computes_a_chunk_and_says_what_came_of_it(
    quiet: tuple[Scene, Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ARRAY_JOB_ID", "123"), ("ARRAY_TASK_ID", "1"), ("RESTART_COUNT", "2")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    done = program(
        "task", scene.root, "--chunk", 1, "--devices", "cpu", "--threads", 1, "-q", SLURMD_NODENAME="n5"
    )
    assert done.returncode == 0, done.stderr
    record = read_task(scene, 1)
    assert record is not None and (record.task, record.restart, record.host) == ("slurm 123_1", 2, "n5")
    assert (record.phase, record.windows, record.windows_total, record.exit) == ("done", 3, 3, 0)
    assert (scene.root / record.log).name == "chunk_001.slurm-123_1.log"
    assert len(windows(scene)) == 3 and windows(scene).items() <= windows(quiet[0]).items()
    refused = vda_here("task", scene.root, "--chunk", 2)
    assert refused.returncode == 2 and "no chunk 2" in refused.stderr


def test_the_next_task_of_a_node_finds_the_copy_of_the_video_and_the_last_one_removes_it(
    scene: Scene, starting: Callable[..., int], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert ended(starting(scene, 0, stage_video=str(disk))) == 0
    [copy] = disk.rglob("film.mp4")
    assert copy.read_bytes() == scene.video().path.read_bytes()
    known = {"host": platform.node(), "folder": str(copy.parent), "is_read": False}
    assert joined_status(scene)["copies"] == [known]
    assert f"left on nodes ({platform.node()}:{copy.parent})" in program("status", scene.root).stdout

    def never_again() -> None:
        staging._Copy._copied = no_copying  # type: ignore[method-assign,assignment]

    assert ended(starting(scene, 1, never_again, str(disk))) == 0, (scene.root / "task.out").read_text()
    assert not [path for path in disk.rglob("*") if path.is_file()]
    assert joined_status(scene)["copies"] == []


def test_a_chunk_that_fails_says_why_and_counts(
    scene: Scene, starting: Callable[..., int], quiet: tuple[Scene, Path, Path]
) -> None:
    video = scene.video().path
    away = video.rename(video.with_suffix(".away"))
    try:
        assert ended(starting(scene, 0)) == 1
    finally:
        away.rename(video)
    record = read_task(scene, 0)
    assert isinstance(record, TaskRecord) and record.phase == "failed" and record.for_good
    assert str(video) in record.problem and record.remedy
    assert not RunFiles(scene.run_dir).live_claims()


def test_a_scene_that_is_not_fixed_is_refused(quiet: tuple[Scene, Path, Path], tmp_path: Path) -> None:
    scene = plan_scene(quiet[1], tmp_path / "scene", PlanSettings(chunks=CHUNKS))
    with pytest.raises(SceneError, match="not fixed"):
        run_task(scene, 0)


def test_a_task_that_was_given_a_gpu_does_not_compute_on_the_cpu(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(DeviceError, match="given a GPU"):
        run_task(scene, 0, TaskSettings("auto", threads=1))
    assert not RunFiles(scene.run_dir).live_claims()


def test_a_gpus_decoder_is_for_nvidias_gpus(scene: Scene) -> None:
    with pytest.raises(DeviceError, match="this task computes on cpu"):
        run_task(scene, 0, TaskSettings("cpu", threads=1, decoder="gpu"))
    assert not RunFiles(scene.run_dir).live_claims()


def test_a_task_has_its_gpu_decode(
    quiet: tuple[Scene, Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is pretended: its decoder is asked, cannot, and the CPU goes on with the same pictures."""
    card = Device("cpu", "cuda", "a card")
    monkeypatch.setattr(vda.cluster.task, "_device", lambda request, reporter: card)
    monkeypatch.setattr(vda.cluster.task, "LocalLauncher", ForkLauncher)
    assert run_task(scene, 0, TaskSettings("cpu", threads=1, decoder="gpu")) == "done"
    told = [entry.event for entry in read_events(scene) if isinstance(entry.event, DecodedThere)]
    assert told and "it cannot decode this film" in told[-1].doubts
    assert windows(scene).items() <= windows(quiet[0]).items()
