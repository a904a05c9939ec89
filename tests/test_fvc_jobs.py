"""Several processes in one command: the same bytes, no thread too many, and a kill costs one row at most."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import clips
import psutil
import pytest
from av.video.frame import VideoFrame
from click.testing import CliRunner
from data_sets import content, data_set, log_of, scaled, table
from halting import halted, halting, runs

from vda.cli import main
from vda.errors import WorkError
from vda.fvc.hands import KILLED, Task, Workers
from vda.fvc.paths import Places
from vda.fvc.rate import Cadence, Rate
from vda.fvc.request import Item, ScaleSettings
from vda.fvc.row import Outcome, Workplace
from vda.fvc.scale import ScaleResult, ScaleStoppedError, scale
from vda.reporter import Silence
from vda.video import index_frames, probe
from vda.video.decoding import OpenVideo

SMALL = ScaleSettings(size=64)


def test_any_number_of_jobs_gives_the_same_bytes(tmp_path: Path) -> None:
    metadata, jobs = data_set(tmp_path, 5), 3
    (tmp_path / "video3.mp4").write_bytes(b"no video")
    results = [scale(metadata, tmp_path / f"out{count}", SMALL, jobs=count) for count in (1, jobs)]
    assert content(tmp_path / "out1") == content(tmp_path / f"out{jobs}")
    assert results[0].failed == results[1].failed
    assert (results[1].scaled, len(results[1].failed)) == (4, 1)
    assert scale(metadata, tmp_path / f"out{jobs}", SMALL, jobs=jobs).kept == 4


def test_the_command_has_as_many_jobs_as_cores(tmp_path: Path) -> None:
    metadata = data_set(tmp_path, 2)
    command = ["fvc", "scale", str(metadata), "--output-dir", str(tmp_path / "out"), "--size", "64", "-q"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert len(scaled(tmp_path / "out")) == 2


def test_progress_is_of_all_together(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watching(Silence):
        def at(self, done: int) -> None:
            seen.append(done)

    scale(data_set(tmp_path, 4), tmp_path / "out", SMALL, jobs=2, reporter=Watching())
    assert seen == [1, 2, 3, 4]


def test_videos_and_frames_a_second_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vda.cli.progress._LINE_SECONDS", 0.0)
    metadata = data_set(tmp_path, 3)
    command = ["fvc", "scale", str(metadata), "--output-dir", str(tmp_path / "out"), "--size", "64", "--jobs", "1"]
    last = [line for line in CliRunner().invoke(main, command).output.splitlines() if "scaling: 3 of 3" in line][
        -1
    ]
    found = re.search(r"([\d.]+) videos/s, (\d+) frames/s", last)
    assert found is not None
    # Eight frames per video; the figures are rounded.
    assert float(found[2]) == pytest.approx(8 * float(found[1]), rel=0.1, abs=1)


class Clock:
    """A clock that only work moves on."""

    def __init__(self) -> None:
        self.now = 1e9

    def time(self) -> float:
        return self.now

    monotonic = time


def test_joining_costs_many_processes_a_twentieth_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, joined = Clock(), tmp_path / "joined.csv"
    monkeypatch.setattr("vda.fvc.rate.time", clock)
    spent = 0.0

    def join() -> None:
        nonlocal spent
        clock.now += 2
        spent += 2
        joined.touch()
        os.utime(joined, (clock.now, clock.now))

    cadences = [Cadence() for _ in range(64)]
    began = clock.now
    for _ in range(300):
        for cadence in cadences:
            cadence.maybe(join, joined)
            clock.now += 0.1
    # Each does it once before it knows what that costs.
    assert spent - 2 * len(cadences) < 0.06 * (clock.now - began)


def item(folder: Path, frames: int) -> Item:
    clips.make_clip(folder / "long.mp4", range(frames), draw=lambda number: clips.picture(number, 320, 240))
    return Item(0, "long", "long.mp4", "real")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    place = Workplace(tmp_path / "out", Places(tmp_path / "videos.csv"), SMALL, threads=1)
    made = Workers(1, place, "cpu")
    yield made
    made.end()


def children() -> set[int]:
    """Processes that scale; the context's resource tracker is none of them."""
    mine = psutil.Process().children()
    return {child.pid for child in mine if any("spawn_main" in part for part in child.cmdline())}


class Deadly(Workplace):
    """A place that kills whoever works there, so many times, with half a video written."""

    @classmethod
    def of(cls, folder: Path, kills: int) -> "Deadly":
        folder.mkdir()
        (folder / "kills.txt").write_text(str(kills))
        return cls(folder, Places(folder.parent / "videos.csv"), SMALL, threads=1)

    def work(self, *arguments: Any) -> Outcome:
        left = int((self.folder / "kills.txt").read_text())
        if left:
            (self.folder / "kills.txt").write_text(str(left - 1))
            (self.folder / ".tmp-long_scaled_original.mp4").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().work(*arguments)


@pytest.mark.parametrize(("kills", "state", "reason"), [(1, "done", ""), (2, "failed", KILLED)])
def test_a_killed_workers_row_is_tried_once_more(tmp_path: Path, kills: int, state: str, reason: str) -> None:
    task = Task(item(tmp_path, 8), None)
    workers = Workers(1, Deadly.of(tmp_path / "out", kills), "cpu")
    workers.give(task)
    found, outcome = workers.take()
    workers.end()
    assert found == task.item
    assert (outcome.state, outcome.reason) == (state, reason)
    assert (tmp_path / "out" / "long_scaled_original.mp4").is_file() == (state == "done")


def test_a_worker_has_no_more_threads_than_it_is_given(tmp_path: Path, workers: Workers) -> None:
    workers.give(Task(item(tmp_path, 150), None))
    most, outcome = 0, None
    watcher = threading.Event()

    (pid,) = children()

    def watch() -> None:
        nonlocal most
        worker = psutil.Process(pid)
        while not watcher.wait(0.002):
            if any((tmp_path / "out").glob(".tmp-*")):
                most = max(most, worker.num_threads())

    thread = threading.Thread(target=watch)
    thread.start()
    _, outcome = workers.take()
    watcher.set()
    thread.join()
    assert isinstance(outcome, Outcome) and outcome.state == "done"
    # Its own, the one that waits for its parent's end, and the encoder's; a decoder for each core would be more.
    assert 0 < most <= 4


def test_workers_end_with_whoever_started_them(tmp_path: Path) -> None:
    metadata = data_set(tmp_path, 4, frames=40)
    interrupted = []

    class Interrupting(Silence):
        def at(self, done: int) -> None:
            interrupted.append(done)
            raise KeyboardInterrupt

    before = children()
    with pytest.raises(KeyboardInterrupt):
        scale(metadata, tmp_path / "out", SMALL, jobs=2, reporter=Interrupting())
    assert interrupted == [1]
    assert children() <= before
    assert len(scaled(tmp_path / "out")) == 1
    assert not list((tmp_path / "out").glob(".tmp-*"))
    assert scale(metadata, tmp_path / "out", SMALL, jobs=2).kept == 1


def command(metadata: Path, out: Path, **environment: str) -> subprocess.Popen[bytes]:
    arguments = ["fvc", "scale", str(metadata), "--output-dir", str(out), "--size", "64", "--jobs", "2", "-q"]
    program, around = [sys.executable, "-m", "vda"], {**os.environ, **environment}
    return subprocess.Popen([*program, *arguments], stdout=subprocess.DEVNULL, env=around)


def test_a_killed_command_leaves_no_worker_and_two_together_finish_its_work(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 8, frames=40), tmp_path / "out"
    scale(metadata, tmp_path / "whole", SMALL)
    # One of the workers has its second video in hand.
    first = command(metadata, out, **halting(tmp_path, "spawn_main", ".mp4", 2))
    halting_one = halted(tmp_path / "halted", runs(first))
    workers = psutil.Process(first.pid).children()
    first.kill()
    assert first.wait() == -signal.SIGKILL
    halting_one.resume()
    _, alive = psutil.wait_procs(workers, timeout=240)
    assert not alive
    two = [command(metadata, out) for _ in range(2)]
    assert [process.wait() for process in two] == [0, 0]
    assert content(out) == content(tmp_path / "whole")


def test_what_another_process_made_meanwhile_is_not_looked_at_again(tmp_path: Path) -> None:
    """Many processes on one folder would each read all of it. What is damaged meanwhile, the next run finds."""
    metadata, out = data_set(tmp_path, 6), tmp_path / "out"

    class Slow(Silence):
        """While it does its first row, another process does all others, and one is damaged."""

        def at(self, done: int) -> None:
            if done == 1:
                assert scale(metadata, out, SMALL).scaled == 5
                (out / "video4_scaled_original.mp4").write_bytes(b"damaged")

    result = scale(metadata, out, SMALL, reporter=Slow())
    assert (result.scaled, result.kept) == (1, 5)
    assert len(scaled(out)) == 6
    assert scale(metadata, out, SMALL).scaled == 1


def test_tasks_of_a_slurm_step_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noting(*_arguments: object, jobs: int, **_options: object) -> ScaleResult:
        asked.append(jobs)
        return ScaleResult(tmp_path, 0, 0, 0)

    monkeypatch.setattr("vda.fvc.scale.scale", noting)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(64)))
    arguments = ["fvc", "scale", str(data_set(tmp_path, 1)), "--output-dir", str(tmp_path / "out")]
    for environment in ({}, {"SLURM_NTASKS": "64"}, {"SLURM_CPUS_PER_TASK": "4"}):
        for name, value in {**environment, "SLURM_PROCID": "0"}.items():
            monkeypatch.setenv(name, value)
        assert CliRunner().invoke(main, arguments).exit_code == 0
    assert asked == [64, 1, 4]


def odd(folder: Path) -> Path:
    """Rows with a fault each, of kinds that nothing expects; between them rows without."""
    clips.make_clip(folder / "good.mp4", range(3))
    clips.make_clip(folder / "also.mp4", range(3))
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    clips.make_clip(folder / "blocked.mp4", range(3))
    (folder / "out" / "blocked_scaled_original.mp4" / "a folder").mkdir(parents=True)
    names = ["good", "x" * 300, "loop", "blocked", "also"]
    return table(folder / "videos.csv", ({"video_path": f"{name}.mp4", "label": "real"} for name in names))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_fault_of_one_row_is_one_rows(tmp_path: Path, jobs: int) -> None:
    result = scale(odd(tmp_path), tmp_path / "out", SMALL, jobs=jobs)
    assert result.scaled == 2
    failed = {source for source, state, _ in log_of(tmp_path / "out") if state == "failed"}
    assert failed == {"x" * 300 + ".mp4", "loop.mp4", "blocked.mp4"}
    assert all(message for _, state, message in log_of(tmp_path / "out") if state == "failed")


@pytest.mark.parametrize("most", [None, 4])
def test_frames_that_are_not_as_listed_are_counted(tmp_path: Path, most: int | None) -> None:
    """Frames before time 0, a hole, an end that is cut off: counted before or not, the same comes out."""
    plain = clips.make_clip(tmp_path / "plain.mp4", range(20), fps=Fraction(25))
    clips.remux(plain, tmp_path / "hidden.mp4", shift_frames=-3)
    clips.cut(clips.remux(plain, tmp_path / "whole.mkv"), tmp_path / "cut.mkv", 0.6)
    data = bytearray(plain.read_bytes())
    hole = data.index(b"mdat") + 3 * len(data) // 5
    data[hole : hole + 200] = bytes(200)
    (tmp_path / "hole.mp4").write_bytes(data)
    names = ["plain.mp4", "hidden.mp4", "hole.mp4", "cut.mkv"]
    metadata = table(tmp_path / "videos.csv", ({"video_path": name, "label": "real"} for name in names))
    settings = ScaleSettings(size=64, rate=Rate(most=most))
    scale(metadata, tmp_path / "listed", settings)
    for name in names:
        index_frames(probe(tmp_path / name))
    scale(metadata, tmp_path / "counted", settings)
    assert content(tmp_path / "listed") == content(tmp_path / "counted")
    frames = [row["frames"] for row in scaled(tmp_path / "listed")]
    assert frames[:2] == [str(most or 20), str(most or 17)] and len(frames) == 4
    told = {source for source, state, _ in log_of(tmp_path / "listed") if state == "note"}
    assert ("hole.mp4" in told) == (most is None)


def test_a_limit_is_reached_without_decoding_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(200))
    decoded = 0
    timed_frames = OpenVideo.timed_frames

    def counting(source: OpenVideo) -> Iterator[tuple[int, VideoFrame]]:
        nonlocal decoded
        for pts, frame in timed_frames(source):
            decoded += 1
            yield pts, frame

    monkeypatch.setattr(OpenVideo, "timed_frames", counting)
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    scale(metadata, tmp_path / "few", ScaleSettings(size=64, rate=Rate(most=16)))
    assert decoded == 16
    scale(metadata, tmp_path / "all", SMALL)
    assert decoded == 16 + 200


@pytest.mark.parametrize("jobs", [1, 2])
def test_who_is_told_to_end_finishes_what_is_in_hand_and_goes_on_later(tmp_path: Path, jobs: int) -> None:
    metadata, out = data_set(tmp_path, 5), tmp_path / "out"
    done: list[int] = []

    class Counting(Silence):
        def at(self, count: int) -> None:
            done.append(count)

    with pytest.raises(ScaleStoppedError, match="left") as stopped:
        scale(metadata, out, SMALL, jobs=jobs, should_stop=lambda: bool(done), reporter=Counting())
    assert stopped.value.exit_code == 75
    assert len(scaled(out)) == done[-1] < 5
    assert not list(out.glob(".tmp-*")) and not list(out.glob("scaled_state/claims/*"))
    assert scale(metadata, out, SMALL, jobs=jobs).kept == done[-1]
    with pytest.raises(WorkError, match="before one video was done") as in_vain:
        scale(metadata, tmp_path / "vain", SMALL, should_stop=lambda: True)
    assert in_vain.value.exit_code == 1
