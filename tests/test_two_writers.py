"""Diaries and lists of a scene that several machines write at once, where locks stop nobody.

On a network file system two machines that add to one file may replace each other's lines, and so does whoever
reads a list, adds to it, and writes it again. What counts here is that no file is written by two.
"""

import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clips import make_clip
from pretended_slurm import pretend_slurm

from vda.api import pipeline
from vda.api.engines import stop_jobs
from vda.cluster.submitted import Submitted, forget_submitted, note_submitted, read_submitted
from vda.scene.events import ChunkEnded, EventLog, read_events
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.supervisor.resolve import RunSettings

JOBS = 40


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path / "film")
    split(make_clip(tmp_path / "film.mp4", range(60)), made, PlanSettings(chunks=2))
    return made


def at_once(*writers: Callable[[], None]) -> None:
    """Run all of them side by side; whatever one raises is raised."""
    start, raised = threading.Barrier(len(writers)), []

    def work(writer: Callable[[], None]) -> None:
        try:
            start.wait(timeout=240)
            writer()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def test_no_job_is_lost_of_two_that_submit_and_one_that_forgets(scene: Scene) -> None:
    for job in range(JOBS):
        note_submitted(scene, Submitted("slurm", str(job)))

    def submit(first: int) -> None:
        for job in range(JOBS):
            note_submitted(scene, Submitted("slurm", str(first + job)))

    at_once(lambda: submit(100), lambda: submit(200), lambda: forget_submitted(scene, map(str, range(JOBS))))
    assert [entry.job for entry in read_submitted(scene)] == [
        str(first + job) for first in (100, 200) for job in range(JOBS)
    ]


def test_no_chunk_is_lost_of_two_that_are_computed_again(scene: Scene) -> None:
    scene.merged_dir.mkdir()
    scene.depth_record_path.touch()
    at_once(*(lambda chunk=chunk: scene.note_redone(chunk) for chunk in range(8)))
    assert scene.redone_chunks() == list(range(8))
    # What came to be while the depth was merged is not in it.
    scene.forget_redone(range(6))
    assert scene.redone_chunks() == [6, 7]


def test_machines_write_into_no_diary_of_another(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of a cluster, one of which is taken for dead and is not."""

    def written_on(host: str) -> set[Path]:
        monkeypatch.setattr(platform, "node", lambda: host)
        before = {path: path.stat().st_mtime_ns for path in scene.logs_dir.rglob("*")}
        EventLog(scene, 0, "cpu", apart=True).note(ChunkEnded("done", 1.0))
        scene.damaged_windows_path.touch()
        after = {path: path.stat().st_mtime_ns for path in scene.logs_dir.rglob("*")}
        return {path for path, changed in after.items() if before.get(path) != changed}

    first, second = written_on("node1"), written_on("node2")
    assert first and len(first) == len(second) and not first & second
    assert [entry.host for entry in read_events(scene)] == ["node1", "node2"]


@contextmanager
def everybodys(*_: object, **__: object) -> Iterator[bool]:
    """A lock of a file system whose locks reach no further than a machine."""
    yield True


def test_of_two_commands_on_two_login_nodes_both_jobs_are_found_and_cancelled(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    # Either submits once both are about to: nothing is known of the other's job before.
    together = """touch "{folder}/came.$$"
while [ "$(ls "{folder}" | grep -c ^came)" -lt 2 ]; do sleep 0.01; done
echo $$"""
    pretend_slurm(programs, monkeypatch, together, live=True)
    monkeypatch.setattr("vda.api.engines.exclusive_lock", everybodys)
    settings = RunSettings("mini", devices="cpu", threads=1, on="slurm")
    at_once(*[lambda: pipeline.run([scene], settings, waits=False)] * 2)
    jobs = sorted(path.suffix[1:] for path in programs.glob("came.*"))
    assert len(jobs) == 2
    assert sorted(entry.job for entry in read_submitted(scene)) == jobs
    stop_jobs(scene)
    assert sorted((programs / "cancelled").read_text().split()) == jobs


def test_a_job_that_is_submitted_as_ctrl_c_comes_is_known(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_slurm(tmp_path / "programs", monkeypatch, "kill -INT $PPID\necho 7")
    words = ["run", scene.root, "--on", "slurm", "--detach", "--model", "mini", "--devices", "cpu", "--threads", 1]
    told = subprocess.run([sys.executable, "-m", "vda", *map(str, words)], capture_output=True, text=True)
    assert told.returncode == 130, told.stderr
    assert [entry.job for entry in read_submitted(scene)] == ["7"]
