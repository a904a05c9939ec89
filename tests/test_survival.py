"""What a run survives: stopped and unkillable workers, memory that runs out, a stop; and who may hold it."""

import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from depth_runs import INPUT_SIZE, make_video, make_weights
from halting import halting, is_halted
from reporters import Steps

from vda.api.pipeline import RunSettings, plan_scene, redo, run
from vda.compute import worker
from vda.compute.chunk import Surroundings
from vda.errors import SceneError, StorageError, UsageError, WorkError
from vda.launch.inline import InlineLauncher
from vda.launch.local import LocalLauncher, LocalProcess
from vda.machine.devices import Device
from vda.machine.locks import exclusive_lock
from vda.merging.settings import MergeSettings
from vda.network.model import VideoDepthModel
from vda.reporter import Silence
from vda.scene.events import (
    ChunkBegun,
    ChunkEnded,
    Event,
    EventLog,
    MemoryLowered,
    WindowComputed,
    read_events,
)
from vda.scene.rawwindows import open_raw_window
from vda.scene.runstate import Holder, Order, Pause, RunFiles, WorkerSettings, WorkerState
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor import Crew, Supervisor, hold, make_free, require_disk, room
from vda.supervisor.crew import Member
from vda.supervisor.holding import is_on_network
from vda.supervisor.resolve import Resolver
from vda.supervisor.seen import HostView, Patience

FRAMES = 92


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("survival")
    return make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")


@pytest.fixture
def scene(files: tuple[Path, Path], tmp_path: Path) -> Scene:
    """Five windows in two chunks."""
    return plan_scene(files[0], tmp_path / "scene", PlanSettings(chunks=2))


def settings(files: tuple[Path, Path], **changes: object) -> RunSettings:
    asked = RunSettings(
        model="mini", weights=files[1], input_size=INPUT_SIZE, threads=1, devices="cpu", on="inline"
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def quiet(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    scene = plan_scene(files[0], tmp_path_factory.mktemp("quiet") / "scene", PlanSettings(chunks=2))
    run([scene], settings(files))
    return windows(scene)


def windows(scene: Scene) -> dict[str, np.ndarray]:
    return {
        path.name: np.stack([open_raw_window(path).slot(slot) for slot in range(32)])
        for path in scene.windows_dir.glob("*.npz")
    }


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def supervisor(
    scene: Scene,
    files: tuple[Path, Path],
    launcher: object,
    locks: ExitStack,
    devices: str = "cpu",
    **changes: object,
) -> Supervisor:
    crew = Crew(scene, launcher, 1)  # type: ignore[arg-type]
    held = hold([scene], locks)
    names = [Device(name, "cpu", name) for name in devices.split(",")]
    Resolver(settings(files), names, crew, Silence()).fix(scene)
    return Supervisor(held, names, crew, **changes)  # type: ignore[arg-type]


def log(scene: Scene) -> str:
    return (scene.logs_dir / "supervisor.log").read_text()


def test_who_waits_for_room_too_long_leaves_its_chunk() -> None:
    answers = iter(["memory is full", "memory is full", "", ""])
    phases: list[str] = []
    patient = Surroundings(pause_reason=lambda: next(answers), phase=phases.append)
    assert patient.may_go_on()
    assert phases == ["paused", "computing"]
    assert not Surroundings(pause_reason=lambda: "memory is full", patience_s=0).may_go_on()
    assert not Surroundings(should_stop=lambda: True).may_go_on()


class Clock:
    """Goes a minute ahead at each look while ``waits`` is true: nobody has to wait, and nobody else is hurried."""

    def __init__(self, waits: Callable[[], bool]) -> None:
        self.waits, self.ahead_s = waits, 0.0

    def __call__(self) -> float:
        self.ahead_s += 60 * self.waits()
        return time.time() + self.ahead_s


class TestWorkers:
    def test_a_stopped_process_is_found_hanging_and_replaced(
        self, files: tuple[Path, Path], scene: Scene, quiet: dict[str, np.ndarray], tmp_path: Path
    ) -> None:
        marker = tmp_path / "halted"

        class HaltsTheFirst(LocalLauncher):
            def start(self, home: Path, name: str, log: Path, environment: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN202
                halts = halting(tmp_path, "vda.compute.worker", "window_", 2)
                return super().start(home, name, log, {**environment, **halts})

        with ExitStack() as locks:
            # However long a busy machine takes to end it.
            patience, clock = Patience(killed=1e9), Clock(lambda: is_halted(marker))
            supervisor(scene, files, HaltsTheFirst(), locks, patience=patience, clock=clock).run()
        assert not psutil.pid_exists(int(marker.read_text()))
        assert "hung and is killed" in log(scene)
        assert_equal(windows(scene), quiet)
        (failed,) = RunFiles(scene.run_dir).read_attempts().values()
        assert failed.error == "it hung and was ended"

    def test_nobody_waits_for_a_process_that_cannot_be_killed(
        self, files: tuple[Path, Path], scene: Scene, quiet: dict[str, np.ndarray]
    ) -> None:
        """As a process in the driver's hands: it holds its chunk and its lock, beats no more, and does not die."""
        with ExitStack() as stuck, ExitStack() as locks:

            class Immortal(InlineLauncher):
                def start(self, home: Path, name: str, log: Path, environment: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN202
                    if not name.startswith("bad"):
                        return super().start(home, name, log, environment)
                    files = RunFiles(home).worker(name)
                    WorkerState(name, "bad", 1, 0.0, "computing", 1, frames_decoded=1).write(files.state_path)
                    stuck.enter_context(exclusive_lock(files.alive_lock))
                    stuck.enter_context(exclusive_lock(RunFiles(scene.run_dir).chunk_lock(1)))
                    return Stuck()

            class Stuck:
                def exit_code(self) -> None:
                    return None

                def kill(self) -> None:
                    return None

            def only_the_bad_one_is_left() -> bool:
                named = {files.name.partition("-")[0]: files for files in RunFiles(scene.run_dir).workers()}
                if {"bad", "cpu"} - named.keys() or named["bad"].given_up_path.exists():
                    return False
                state = WorkerState.read(named["cpu"].state_path)
                return state is not None and state.phase == "idle"

            clock = Clock(only_the_bad_one_is_left)
            supervisor(scene, files, Immortal(), locks, "bad,cpu", clock=clock).run()
            assert "given up: it cannot even be killed" in log(scene)
            (worker,) = [files for files in RunFiles(scene.run_dir).workers() if files.name.startswith("bad")]
            assert worker.given_up_path.exists()
        assert_equal(windows(scene), quiet)


class TestAdopted:
    @pytest.mark.parametrize(("started_before_s", "ended"), [(0, True), (1000, False)])
    def test_it_is_killed_only_if_it_is_still_the_process_that_wrote_the_state(
        self, tmp_path: Path, started_before_s: float, ended: bool
    ) -> None:
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                files = RunFiles(tmp_path).worker("cpu-1")
                started = psutil.Process(process.pid).create_time() - started_before_s
                WorkerState("cpu-1", "cpu", process.pid, started).write(files.state_path)
                Member(files, "cpu", None, 0.0).kill(1.0)
                if ended:
                    assert process.wait() == -signal.SIGKILL
                else:
                    assert process.poll() is None
            finally:
                process.kill()

    def test_those_that_live_are_found_and_the_files_of_others_removed(self, scene: Scene) -> None:
        crew = Crew(scene, LocalLauncher(), 1)
        for name in ("cpu-alive", "cpu-dead", "cpu-late"):
            files = crew.home.worker(name)
            WorkerSettings("cpu", 1).write(files.settings_path)
            Order(3, scene.key, 1).write(files.order_path)
        with exclusive_lock(crew.home.worker("cpu-alive").alive_lock):
            (found,) = crew.adopt(7.0)
        assert (found.files.name, found.order, found.chunk) == ("cpu-alive", 3, (scene.key, 1))
        assert [files.name for files in crew.home.workers()] == ["cpu-alive"]
        # One that was on its way meanwhile finds no settings, and takes no orders.
        assert worker.main([str(crew.home.folder), "cpu-late"]) == worker.EXIT_FAILED


class TestMemory:
    @pytest.mark.parametrize(
        ("limit", "fit"),
        [
            ({"encode": 2}, {"encoder_batch": 2, "head_batch": 32, "features_on_host": False}),
            ({"decode": 8}, {"encoder_batch": 2, "head_batch": 8, "features_on_host": False}),
        ],
    )
    def test_the_ladder_changes_no_more_than_rounding(
        self,
        files: tuple[Path, Path],
        scene: Scene,
        quiet: dict[str, np.ndarray],
        monkeypatch: pytest.MonkeyPatch,
        limit: dict[str, int],
        fit: dict[str, object],
    ) -> None:
        encode, decode = VideoDepthModel.encode, VideoDepthModel.decode

        def poor_encode(model: VideoDepthModel, images: torch.Tensor) -> object:
            if len(images) > limit.get("encode", 32):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            return encode(model, images)

        def poor_decode(model: VideoDepthModel, features: object, *, micro_batch: int) -> object:
            if micro_batch > limit.get("decode", 32):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return decode(model, features, micro_batch=micro_batch)  # type: ignore[arg-type]

        monkeypatch.setattr(VideoDepthModel, "encode", poor_encode)
        monkeypatch.setattr(VideoDepthModel, "decode", poor_decode)
        run([scene], settings(files, batch_size=8 if "encode" in limit else 2))
        found = windows(scene)
        assert found.keys() == quiet.keys()
        span = max(depth.max() for depth in quiet.values()) - min(depth.min() for depth in quiet.values())
        assert max(np.abs(found[name] - quiet[name]).max() for name in quiet) <= span / 65535
        assert any(isinstance(entry.event, MemoryLowered) for entry in read_events(scene))
        remembered = (scene.run_dir / "fits_cpu.json").read_text()
        assert all(f'"{name}": {str(value).lower()}' in remembered for name, value in fit.items())

    def test_where_the_encoder_stays_and_only_the_place_of_features_changes_it_is_byte_for_byte(
        self, files: tuple[Path, Path], scene: Scene, quiet: dict[str, np.ndarray]
    ) -> None:
        scene.run_dir.mkdir(parents=True, exist_ok=True)
        (scene.run_dir / "fits_cpu.json").write_text(
            '{"encoder_batch": 1, "head_batch": 32, "features_on_host": true}'
        )
        run([scene], settings(files))
        begun = [entry.event for entry in read_events(scene) if isinstance(entry.event, ChunkBegun)]
        assert begun and all("features on the host" in event.memory for event in begun)
        assert_equal(windows(scene), quiet)

    def test_below_the_ladder_the_error_names_the_way_out(
        self, files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none_left(*arguments: object, **keywords: object) -> object:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        monkeypatch.setattr(VideoDepthModel, "encode", none_left)
        with pytest.raises(WorkError, match="does not suffice even for one frame") as failed:
            run([scene], settings(files, retries=0))
        assert "missing: chunk 0 (3 of 3 windows)" in failed.value.problem.replace("2 of 2", "3 of 3")
        assert "does not suffice" in failed.value.tail
        ends = [entry.event for entry in read_events(scene) if isinstance(entry.event, ChunkEnded)]
        assert {end.outcome for end in ends} == {"failed"}
        assert all("does not suffice" in end.problem for end in ends)


class TestRoom:
    def test_a_full_disk_pauses_and_room_lets_it_go_on(
        self, files: tuple[Path, Path], scene: Scene, quiet: dict[str, np.ndarray]
    ) -> None:
        told: list[int] = []

        def look(scene: Scene) -> HostView:
            return HostView(disk_free_bytes=0 if len(told) < 3 else 1 << 40)

        with ExitStack() as locks:
            work = supervisor(scene, files, InlineLauncher(), locks, look=look, window_bytes=10**6)
            work.reporter = Steps(told.append)
            work.run()
        assert "paused: the disk is full: 0 MB free, 1 MB needed to go on" in log(scene)
        assert log(scene).index("paused") < log(scene).index("starts")
        assert Pause.read(RunFiles(scene.run_dir).pause_path) is None
        assert_equal(windows(scene), quiet)

    def test_too_small_a_disk_is_refused_with_the_figure(
        self, files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "disk_free_bytes", lambda folder: 10_000)
        with pytest.raises(StorageError, match=r"takes up to 0\.00 GB of disk, and 0\.00 GB are free"):
            run([scene], settings(files))
        assert not windows(scene)
        monkeypatch.undo()
        require_disk([scene])

    def test_the_disk_needed_follows_from_what_is_written(
        self, files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Floats of 4 bytes leave no room for windows beside them, where 16 bits do."""
        run([scene], settings(files))
        width, height = scene.picture().framing().size
        for path in scene.windows_dir.glob("*.npz"):
            path.unlink()
        monkeypatch.setattr(room, "disk_free_bytes", lambda folder: 4 * width * height * len(scene.plan().frames))
        require_disk([scene], MergeSettings(formats=("png16",), create_video=False))
        with pytest.raises(StorageError, match="takes up to"):
            require_disk([scene], MergeSettings(formats=("npy",), create_video=False))


class TestHolding:
    def test_a_second_supervisor_is_refused_and_told_who_holds_it(
        self, files: tuple[Path, Path], scene: Scene
    ) -> None:
        with ExitStack() as locks:
            hold([scene], locks)
            with pytest.raises(SceneError, match=f"computed by process {os.getpid()} on "):
                run([scene], settings(files))
            with pytest.raises(SceneError, match="already being computed"):
                make_free(scene)
        run([scene], settings(files))

    @pytest.mark.parametrize(("age", "refused"), [(5, True), (120, False)])
    def test_on_a_network_a_fresh_lease_of_another_machine_counts(
        self, scene: Scene, age: float, refused: bool
    ) -> None:
        path = RunFiles(scene.run_dir).holder_path
        Holder(1, "elsewhere", time.time(), str(scene.run_dir)).write(path)
        then = time.time() - age
        os.utime(path, (then, then))
        with ExitStack() as locks:
            if refused:
                with pytest.raises(SceneError, match="process 1 on elsewhere"):
                    hold([scene], locks, lambda folder: True)
            else:
                hold([scene], locks, lambda folder: True)
        assert not is_on_network(scene.root)

    @pytest.mark.parametrize("ended", [0.0, 1.0])
    def test_a_request_to_stop_outlives_the_supervisor_that_died_before_it(
        self, scene: Scene, ended: float
    ) -> None:
        files = RunFiles(scene.run_dir)
        Holder(1, platform.node(), time.time(), str(scene.run_dir), ended=ended).write(files.holder_path)
        files.stop_path.touch()
        with ExitStack() as locks:
            hold([scene], locks)
            assert files.stop_path.exists() == (not ended)
        # It was for a run that has ended by now; tasks of a cluster would take it for theirs.
        assert not files.stop_path.exists()

    def test_what_was_set_aside_is_tried_again_by_the_next_command(
        self, files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch, quiet: dict[str, np.ndarray]
    ) -> None:
        def broken(*arguments: object, **keywords: object) -> object:
            raise ValueError("a card with a mind of its own")

        monkeypatch.setattr(VideoDepthModel, "decode", broken)
        with pytest.raises(WorkError, match="a card with a mind of its own"):
            run([scene], settings(files, retries=0))
        monkeypatch.undo()
        run([scene], settings(files, retries=0))
        assert_equal(windows(scene), quiet)


@pytest.fixture
def after_the_first_window(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the run to stop as soon as its first window is told of; once."""
    note = EventLog.note

    def noted(log: EventLog, event: Event) -> None:
        note(log, event)
        if isinstance(event, WindowComputed):
            RunFiles(scene.run_dir).stop_path.touch()
            monkeypatch.undo()

    monkeypatch.setattr(EventLog, "note", noted)


def test_asked_to_stop_it_finishes_the_window_in_hand(
    files: tuple[Path, Path], scene: Scene, quiet: dict[str, np.ndarray], after_the_first_window: object
) -> None:
    with pytest.raises(WorkError, match="Stopped as asked; missing: chunk"):
        run([scene], settings(files))
    some = windows(scene)
    assert 0 < len(some) < len(quiet)
    assert_equal(some, {name: quiet[name] for name in some})
    run([scene], settings(files))
    assert_equal(windows(scene), quiet)


def test_what_a_killed_writer_leaves_meanwhile_is_gone_at_the_end(files: tuple[Path, Path], scene: Scene) -> None:
    left = scene.windows_dir / ".tmp-of-a-killed-writer"

    def leave(frames: int) -> None:
        left.parent.mkdir(exist_ok=True)
        left.touch()

    with ExitStack() as locks:
        supervisor(scene, files, LocalLauncher(), locks, reporter=Steps(leave)).run()
    assert windows(scene) and not left.exists()


def test_a_run_whose_lock_is_removed_says_so_and_the_next_one_goes_on(
    files: tuple[Path, Path], scene: Scene, quiet: dict[str, np.ndarray]
) -> None:
    """Its workers are seen to be supervised by that lock: each ended as it began, and another was started."""
    lock = RunFiles(scene.run_dir).supervisor_lock
    removing, started = Steps(lambda _: lock.unlink(missing_ok=True)), []

    class Noting(LocalLauncher):
        def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> LocalProcess:
            started.append(super().start(home, name, log, environment))
            return started[-1]

    with ExitStack() as locks, pytest.raises(StorageError, match=r"supervisor\.lock was removed") as refused:
        supervisor(scene, files, Noting(), locks, reporter=removing).run()
    for process in started:
        # Nobody supervises it, so that it ends with the window in hand.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.exit_code() is not None
    assert "the same command" in refused.value.remedy
    run([scene], settings(files))
    assert_equal(windows(scene), quiet)


def test_redo_computes_one_chunk_and_no_other(
    files: tuple[Path, Path], scene: Scene, quiet: dict[str, np.ndarray]
) -> None:
    run([scene], settings(files))
    # The file system may give a file the number of one that is gone.
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in scene.windows_dir.glob("*.npz")}
    (first, *_) = sorted(before)
    scene.windows_dir.joinpath(first).unlink()
    redo(scene, 1, settings(files, model="auto", weights=None, input_size=None))
    after = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in scene.windows_dir.glob("*.npz")}
    last = sorted(before)[-1]
    assert after[last] != before[last]
    assert first not in after
    with pytest.raises(UsageError, match="no chunk 2"):
        redo(scene, 2, settings(files))
