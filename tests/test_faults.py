"""Faults of disks, rights, clocks and people, each injected: nothing finished is lost, and what to do is said.

Full and slow disks and rights are injected where Python asks the system for a file to write, a folder or a new
name: at each of these in turn, from splitting to the report. Kills are in ``chaos``, moved scenes and replaced
videos in ``test_room_and_place`` and ``test_same_video``, torn files in ``test_torn_files``, two commands in
``test_at_once``, limits of memory in ``test_memory_limits``.
"""

import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chaos import supervise
from depth_runs import INPUT_SIZE, depth_digest, make_video, make_weights

from vda.api.pipeline import RunSettings, plan_scene, run
from vda.compute import chunk
from vda.errors import VdaError
from vda.evaluation.report import write_report
from vda.merging.stage import MergeSettings, merge
from vda.scene.runstate import RunFiles, WorkerState
from vda.scene.scene import Scene
from vda.splitting.stage import PlanSettings
from vda.supervisor import endings, loop

FRAMES = 40
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGING = {"os.mkdir", "os.rename"}
WORDS = {
    errno.ENOSPC: "disk is full",
    errno.EDQUOT: "quota is used up",
    errno.EACCES: "ermission",
    errno.EROFS: "ead-only",
}


def written(event: str, arguments: tuple[Any, ...], root: str) -> str | None:
    """The path below ``root`` that an audit event is about to write, make or rename; None for any other."""
    writes = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & WRITING)
    if not (writes or event in CHANGING):
        return None
    path = arguments[0]
    return os.fspath(path) if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(root) else None


class Disk:
    """Counts what is written below ``root`` while it is one, and refuses the write ``at`` with ``number``."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.count, self.at, self.number = 0, 0, 0
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root is not None and (path := written(event, arguments, self.root)):
            self.count += 1
            if self.count == self.at:
                raise OSError(self.number, os.strerror(self.number), path)

    @contextmanager
    def refusing(self, root: Path, at: int, number: int) -> Iterator[None]:
        self.root, self.count, self.at, self.number = str(root), 0, at, number
        try:
            yield
        finally:
            self.root = None


class FullForAWhile:
    """From the first raw window on that is written below ``root``, refuses so many writes of anybody."""

    def __init__(self) -> None:
        self.root, self.times, self.refused = "", 0, 0
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.refused == self.times or not (path := written(event, arguments, self.root)):
            return
        if self.refused or "window_" in path:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


class Slow:
    """Makes every write below ``root`` wait."""

    def __init__(self) -> None:
        self.root, self.seconds, self.count = "", 0.0, 0
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seconds and written(event, arguments, self.root):
            self.count += 1
            time.sleep(self.seconds)


DISK, FULL, SLOW = Disk(), FullForAWhile(), Slow()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("faults")
    return make_video(folder / "v.mp4", FRAMES), make_weights(folder / "w.safetensors")


def settings(files: tuple[Path, Path]) -> RunSettings:
    return RunSettings("mini", files[1], INPUT_SIZE, threads=1, devices="cpu", on="inline")


def all_stages(files: tuple[Path, Path], root: Path) -> None:
    """What ``vda depth`` does, one stage after the other; what is finished is kept."""
    scene = plan_scene(files[0], root, PlanSettings(chunks=1))
    run([scene], settings(files))
    merge(scene, MergeSettings(keep_finished=True))
    write_report(scene)


@pytest.fixture(scope="module")
def quiet(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """The images of a run that nothing disturbs, and how many writes it takes."""
    root = tmp_path_factory.mktemp("quiet") / "scene"
    with DISK.refusing(root, 0, 0):
        all_stages(files, root)
    return depth_digest(root), DISK.count


def finished(root: Path) -> dict[Path, bytes]:
    """The windows and images that have their names."""
    return {
        path: path.read_bytes()
        for pattern in ("vda_windows/window_*.npz", "vda_merged_depth/depth_*.png")
        for path in root.glob(pattern)
    }


def refuse_write(files: tuple[Path, Path], root: Path, at: int, number: int, expected: dict[str, str]) -> None:
    """Refuse one write: the stages end well or in words, and once more they end as the quiet run."""
    try:
        with DISK.refusing(root, at, number):
            all_stages(files, root)
    except VdaError as error:
        assert WORDS[number] in error.problem + error.remedy, (at, str(error))
        assert error.remedy
    before = finished(root)
    all_stages(files, root)
    after = finished(root)
    assert {path: after.get(path) for path in before} == before, at
    assert depth_digest(root) == expected, at
    assert write_report(Scene(root)).is_file()


@pytest.mark.parametrize(
    ("share", "number"), [(0.1, errno.ENOSPC), (0.35, errno.EACCES), (0.6, errno.EROFS), (0.85, errno.EDQUOT)]
)
def test_a_write_that_is_refused_loses_nothing(
    files: tuple[Path, Path], quiet: tuple[dict[str, str], int], tmp_path: Path, share: float, number: int
) -> None:
    refuse_write(files, tmp_path / "scene", int(share * quiet[1]), number, quiet[0])


@pytest.mark.skipif(not os.environ.get("VDA_SLOW_TESTS"), reason="takes minutes: make slow")
def test_every_write_in_turn_may_be_refused(
    files: tuple[Path, Path], quiet: tuple[dict[str, str], int], tmp_path: Path
) -> None:
    for at in range(1, quiet[1] + 1):
        refuse_write(files, tmp_path / "scene", at, errno.ENOSPC, quiet[0])
        shutil.rmtree(tmp_path / "scene")


def test_a_disk_that_stays_full_for_a_while_counts_against_nobody(
    files: tuple[Path, Path],
    quiet: tuple[dict[str, str], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of nobody's writes any succeeds; then there is room, and the same run ends well without one more attempt."""
    for module in (loop, endings, chunk):
        for name in {"_FULL_DISK_SECONDS", "ROOM_SECONDS", "_ROOM_SECONDS"} & set(vars(module)):
            monkeypatch.setattr(module, name, 0.01)
    scene = plan_scene(files[0], tmp_path / "scene", PlanSettings(chunks=1))
    FULL.root, FULL.times, FULL.refused = str(scene.root), 40, 0
    run([scene], replace(settings(files), retries=0))
    assert FULL.refused == FULL.times
    counted = RunFiles(scene.run_dir).read_attempts().values()
    assert all((entry.attempts, entry.kills, entry.set_aside) == (0, 0, False) for entry in counted)
    assert all(not notes.failed for notes in RunFiles(scene.run_dir).read_devices().values())
    assert "hung" not in (scene.logs_dir / "supervisor.log").read_text()
    merge(scene, MergeSettings())
    assert depth_digest(scene.root) == quiet[0]


def test_a_slow_disk_costs_time_only(
    files: tuple[Path, Path], quiet: tuple[dict[str, str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, sync = tmp_path / "scene", os.fsync

    def late(handle: int) -> None:
        time.sleep(0.02)
        sync(handle)

    monkeypatch.setattr(SLOW, "seconds", 0.01)
    monkeypatch.setattr(SLOW, "root", str(root))
    monkeypatch.setattr(os, "fsync", late)
    all_stages(files, root)
    # Each file was late at least once; how often heartbeats are written depends on how long all takes.
    assert SLOW.count >= sum(path.is_file() for path in root.rglob("*"))
    assert depth_digest(root) == quiet[0]
    assert RunFiles(root / "vda_run").read_attempts() == {}


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0], ids=["back", "ahead"])
def test_a_clock_that_is_set_changes_nothing(
    files: tuple[Path, Path],
    quiet: tuple[dict[str, str], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step_s: float,
) -> None:
    """By a day, at every hundredth look at it."""
    real, looks = time.time, [0]

    def set_again_and_again() -> float:
        looks[0] += 1
        return real() + step_s * (looks[0] // 100)

    monkeypatch.setattr(time, "time", set_again_and_again)
    all_stages(files, tmp_path / "scene")
    assert depth_digest(tmp_path / "scene") == quiet[0]


def states(scene: Scene) -> list[WorkerState]:
    read = (WorkerState.read(files.state_path) for files in RunFiles(scene.run_dir).workers())
    return [state for state in read if state is not None]


def test_a_supervisor_that_is_stopped_for_a_while_goes_on(
    files: tuple[Path, Path], quiet: tuple[dict[str, str], int], tmp_path: Path
) -> None:
    scene = plan_scene(files[0], tmp_path / "scene", PlanSettings(chunks=2))
    supervisor = supervise(scene.root, files[1])
    while not scene.finished_windows():
        time.sleep(0.01)
    os.kill(supervisor, signal.SIGSTOP)
    # Workers finish what they were told to, and nobody tells them more.
    while any(state.phase not in ("idle", "ended") for state in states(scene)):
        time.sleep(0.01)
    os.kill(supervisor, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1]) == 0
    merge(scene, MergeSettings())
    assert depth_digest(scene.root) == quiet[0]
