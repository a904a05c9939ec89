"""No room on the disk, and a scene that moves while it is computed: nothing counts, nothing is made anew."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from depth_runs import INPUT_SIZE, make_video, make_weights

from vda.api.pipeline import RunSettings, plan_scene, run
from vda.errors import FileSizeError, NoRoomError, SceneError, StorageError, WorkError
from vda.files import never_made_anew, storage_errors, write_json
from vda.launch.inline import InlineLauncher
from vda.machine.devices import Device
from vda.reporter import Silence
from vda.scene.runstate import EXIT_NO_ROOM, RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor import Crew, Supervisor, endings, hold
from vda.supervisor.resolve import Resolver
from vda.supervisor.seen import Patience

FRAMES = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("room")
    return make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")


@pytest.fixture
def scene(files: tuple[Path, Path], tmp_path: Path) -> Scene:
    return plan_scene(files[0], tmp_path / "scene", PlanSettings(chunks=1))


def settings(files: tuple[Path, Path]) -> RunSettings:
    return RunSettings("mini", files[1], INPUT_SIZE, threads=1, devices="cpu", on="inline")


class Dead:
    """A process that ends as soon as it has something to do."""

    def __init__(self, code: int, order: Path) -> None:
        self._code, self._order = code, order

    def exit_code(self) -> int | None:
        return self._code if not self._order.parent.exists() or self._order.exists() else None

    def kill(self) -> None:
        pass


class Launches:
    """Starts what ``ends`` says, and counts."""

    def __init__(self, codes: Callable[[int], int | None]) -> None:
        self.codes, self.count = codes, 0

    def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> object:
        self.count += 1
        code = self.codes(self.count)
        return (
            InlineLauncher().start(home, name, log, environment)
            if code is None
            else Dead(code, RunFiles(home).worker(name).order_path)
        )


def supervisor(scene: Scene, files: tuple[Path, Path], launcher: Launches, locks: ExitStack) -> Supervisor:
    crew = Crew(scene, launcher, 1)  # type: ignore[arg-type]
    held = hold([scene], locks)
    device = Device("cpu", "cpu", "cpu")
    Resolver(settings(files), [device], crew, Silence()).fix(scene)
    # Time leaps with each look, so that waiting costs none.
    now = iter(range(0, 10**9, 30))
    return Supervisor(held, [device], crew, 2, clock=lambda: float(next(now)), wait=lambda seconds: None)


def test_one_death_counts_once_however_often_it_could_not_be_written_down(
    files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, write = [0], RunFiles.write_attempts

    def full_for_a_while(run: RunFiles, attempts: dict[int, object]) -> None:
        refused[0] += 1
        if refused[0] <= 6:
            with storage_errors(run.attempts_path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(run, attempts)  # type: ignore[arg-type]

    monkeypatch.setattr(RunFiles, "write_attempts", full_for_a_while)
    launches = Launches(lambda count: 1)
    with ExitStack() as locks, pytest.raises(WorkError):
        supervisor(scene, files, launches, locks).run()
    # Two retries are three deaths, and the full disk is none of them.
    assert launches.count == 3
    assert refused[0] == 6 + 3


def test_who_dies_for_want_of_room_counts_against_nobody(
    files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "ROOM_SECONDS", 0.0)
    launches = Launches(lambda count: EXIT_NO_ROOM if count <= 8 else None)
    with ExitStack() as locks:
        replace(supervisor(scene, files, launches, locks), retries=0, clock=time.time, wait=time.sleep).run()
    assert launches.count == 9
    assert not scene.unfinished_chunks(scene.plan())


def test_workers_that_end_before_their_first_order_end_the_run_in_words(
    files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    launches = Launches(lambda count: 127)
    monkeypatch.setattr(Dead, "exit_code", lambda dead: 127)
    with (
        ExitStack() as locks,
        pytest.raises(WorkError, match=r"missing: chunk 0 .* it ended with exit code 127\."),
    ):
        supervisor(scene, files, launches, locks).run()
    assert launches.count == 4
    run([scene], settings(files))
    assert not scene.unfinished_chunks(scene.plan())


def test_a_worker_that_waited_for_room_has_time_to_show_that_it_goes_on(
    files: tuple[Path, Path], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It showed nothing while the disk was full; what counts as a hang begins anew when there is room."""
    now, asked, killed = iter(range(0, 10**9, 30)), [0], list[float]()

    def full_at_first(supervisor: Supervisor) -> None:
        asked[0] += 1
        if asked[0] <= 2:
            raise NoRoomError("The disk is full.", "Free some space.")

    class Still(Dead):
        def exit_code(self) -> int | None:
            return 1 if killed else None

        def kill(self) -> None:
            killed.append(next(now))

    monkeypatch.setattr(Supervisor, "_require_room", full_at_first)
    launches = Launches(lambda count: 1)
    monkeypatch.setattr(launches, "start", lambda *arguments: Still(1, Path()))
    with ExitStack() as locks, pytest.raises(WorkError, match="it hung and was ended"):
        replace(
            supervisor(scene, files, launches, locks),
            retries=0,
            clock=lambda: float(next(now)),
            patience=Patience(first=600.0),
        ).run()
    # Twice there was no room, once there was again, and only then did the worker hang for as long as it may.
    assert asked[0] == 4
    assert killed[0] > 4 * 600


def test_a_full_disk_is_told_from_other_errors(tmp_path: Path) -> None:
    for number, words in ((errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota is used up")):
        with pytest.raises(NoRoomError, match=words), storage_errors(tmp_path):
            raise OSError(number, os.strerror(number))
    # Without a limit of this process it is one of the file system, as FAT has of 4 GiB.
    with pytest.raises(FileSizeError, match="file system takes no file so large"), storage_errors(tmp_path):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def test_a_scene_that_moves_is_gone_and_goes_on_under_its_new_name(
    files: tuple[Path, Path], scene: Scene, tmp_path: Path
) -> None:
    def move(count: int) -> int | None:
        if count == 1:
            scene.root.rename(tmp_path / "moved")
        return 1

    with ExitStack() as locks, pytest.raises(SceneError, match="is gone"):
        supervisor(scene, files, Launches(move), locks).run()
    assert not scene.root.exists()
    run([Scene(tmp_path / "moved")], settings(files))
    moved = Scene(tmp_path / "moved")
    assert not moved.unfinished_chunks(moved.plan())
    assert not scene.root.exists()


def test_nothing_is_written_below_a_folder_that_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with never_made_anew(root):
        write_json(root / "a" / "b" / "c.json", 1)
        root.rename(tmp_path / "away")
        with pytest.raises(StorageError):
            write_json(root / "a" / "b" / "c.json", 1)
    assert not root.exists()
    write_json(root / "a" / "b" / "c.json", 1)
