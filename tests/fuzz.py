"""Hands wrong files to every parser of the project, and says what came of it.

    python tests/fuzz.py --minutes 10 [--jobs 2] [--only tracks] [--keep FOLDER] [--page docs/robustness.md]

A parser may return, or raise ``VdaError``. It may not raise anything else, take longer than ten seconds of the
processor, need more than a GiB of memory, or write, start or connect to anything but the files in its own folder.
"""

import argparse
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzz_target import Files, Target
from fuzz_targets import make_targets
from harm import wrong_file
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from vda.errors import VdaError

if TYPE_CHECKING:
    from ctypes import c_longlong as Counter
    from multiprocessing.connection import Connection

Result = tuple[int, float, list[str]]

SECONDS, MEMORY_BYTES, _PATIENCE = 10.0, 1 << 30, 20
ROOT = Path(__file__).parents[1]
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.mkdir": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.symlink": 2,
    "os.link": 2,
    "os.chmod": 1,
    "os.truncate": 1,
}
_NEVER = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind"}
# On a machine with too much to do, importing takes minutes.
_STARTING_SECONDS, _READY = 900, "ready"
_IN_MEMORY = Path("/dev/shm")
BEGIN, END = "<!-- fuzz -->", "<!-- end of fuzz -->"


class Harm(Exception):
    """A parser did what no file may make it do."""


class Watch:
    """Notices, while ``inside`` is a folder, whatever is changed outside it. An audit hook stays for good."""

    def __init__(self) -> None:
        self.inside: str | None = None
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.inside is None:
            return
        if event in _NEVER:
            raise Harm(f"{event} {arguments}")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self._require_inside(event, arguments[0])
        for path in arguments[: _CHANGES.get(event, 0)]:
            self._require_inside(event, path)

    def _require_inside(self, event: str, path: object) -> None:
        place = os.path.realpath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else None
        if place is not None and self.inside is not None and not place.startswith((self.inside, "/dev/null")):
            raise Harm(f"{event} of {place}, which is outside")


@contextmanager
def bounded(seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> Iterator[None]:
    """Interrupt the block after ``seconds``, and give it no more than ``memory_bytes`` beyond what there is."""

    def late(*_: object) -> None:
        raise Harm(f"it took longer than {seconds:g} s")

    # Of the processor's time, for a machine may have others to serve; and where it waits, of the clock's.
    timers = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: _PATIENCE * seconds}
    before = [signal.signal(number, late) for number in (signal.SIGPROF, signal.SIGALRM)]
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory_bytes, limits[1]))
    for timer, most in timers.items():
        signal.setitimer(timer, most)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, was in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, was)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def hand_over(target: Target, files: Files, folder: Path, watch: Watch) -> None:
    """Write ``files`` into the empty ``folder`` and read them; anything but ``VdaError`` comes out."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with bounded():
        watch.inside = os.path.realpath(folder)
        try:
            target.read(folder)
        except VdaError as error:
            str(error).encode(errors="surrogateescape")
        finally:
            watch.inside = None


@st.composite
def wrong_files(draw: Callable[[st.SearchStrategy[Any]], Any], target: Target) -> Files:
    """One of the target's sets of files, with one file made wrong, or none."""
    files = draw(st.sampled_from(target.seeds))
    name = draw(st.sampled_from(target.wrong or tuple(files)))
    return {**files, name: draw(wrong_file(name, files[name]))}


def attempts(target: Target, number: int, count: int, attempt: Callable[[Files], None]) -> None:
    """Call ``attempt`` with ``count`` sets of wrong files, the same ones for the same ``number``."""

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )  # fmt: skip
    @given(wrong_files(target))
    def go(files: Files) -> None:
        attempt(files)

    go()


def place_of(error: BaseException) -> str:
    """The kind of an error and the innermost place in the project that it came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/vda/" in f.filename]
    where = f"{frames[-1].filename.split('/vda/')[-1]}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:160]!r}"


@dataclass(frozen=True)
class Task:
    """What a process does: fuzz ``name`` for so many ``seconds``, in ``folder``, and keep what it finds."""

    name: str
    seconds: float
    seed: int
    folder: Path
    keep: Path


class Fuzzing:
    """Does a task, keeping an example of each finding; ``count`` are the executions."""

    def __init__(self, task: Task, target: Target, count: "Counter") -> None:
        self.task, self.target, self.count = task, target, count
        self.found: dict[str, str] = {}

    def run(self) -> None:
        watch, end = Watch(), time.monotonic() + self.task.seconds

        def attempt(files: Files) -> None:
            if time.monotonic() > end:
                return
            self.count.value += 1
            try:
                hand_over(self.target, files, self.task.folder, watch)
            except BaseException as error:
                self.note(error)

        number = self.task.seed
        while time.monotonic() < end:
            attempts(self.target, number, 500, attempt)
            number += 1

    def note(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise error
        place = place_of(error)
        key = re.sub(r": .*", "", place)
        if key not in self.found:
            self.found[key] = place
            kept = _free_name(self.task.keep, self.task.name)
            shutil.copytree(self.task.folder, kept, dirs_exist_ok=True)
            trace = "".join(traceback.format_exception(error))[-6000:]
            kept.with_suffix(".txt").write_text(trace, errors="backslashreplace")


def _free_name(keep: Path, name: str) -> Path:
    return next(path for number in range(1, 10_000) if not (path := keep / f"{name}_{number:02d}").exists())


def work(task: Task, count: "Counter", result: "Connection") -> None:
    """What the process of one target does; its libraries' own complaints go into a file."""
    with (task.keep / f"{task.name}.stderr").open("a") as complaints:
        for stream in (1, 2):
            os.dup2(complaints.fileno(), stream)
    with tempfile.TemporaryDirectory() as place:
        fuzzing = Fuzzing(task, make_targets(Path(place))[task.name], count)
    result.send(_READY)
    fuzzing.run()
    result.send(list(fuzzing.found.values()))


def fuzz(name: str, seconds: float, first_seed: int, keep: Path) -> Result:
    """Fuzz in processes of their own, for a crash ends one: executions, seconds, findings."""
    # Not forked: the threads of Polars would be missing there.
    context, found, took, more = multiprocessing.get_context("spawn"), list[str](), 0.0, 0
    count = context.Value("q", lock=False)
    # In memory where that can be: a disk with much to do takes longer to remove a file than a parser to read it.
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as place:
        folder = Path(place) / "in"
        while took < seconds:
            task = Task(name, seconds - took, first_seed + more, folder, keep)
            answer, lasted, ended = _in_a_process(context, task, count)
            took += lasted
            if answer is not None:
                found += answer
                break
            shutil.copytree(folder, kept := _free_name(keep, name), dirs_exist_ok=True)
            found.append(f"its process {ended}: {kept}, {keep / name}.stderr")
            # Seeds far from those that ended there.
            more += 1_000_000
    return count.value, took, found


def _in_a_process(context: Any, task: Task, count: "Counter") -> tuple[list[str] | None, float, str]:
    """The findings (None: the process ended without), the seconds it took, and how it ended."""
    near, far = context.Pipe()
    process = context.Process(target=work, args=(task, count, far))
    process.start()
    # The process alone holds the other end, so that its death ends the waiting.
    far.close()
    if _received(near, _STARTING_SECONDS) is None:
        raise RuntimeError(f"{task.name} does not start: {task.keep / task.name}.stderr")
    began = time.monotonic()
    answer = _received(near, task.seconds + 120)
    lasted = time.monotonic() - began
    process.join(1)
    ended = "hung" if process.exitcode is None else f"ended with {process.exitcode}"
    process.kill()
    process.join()
    return answer, lasted, ended


def _received(near: "Connection", seconds: float) -> Any:
    """What a process sends within so many seconds; None where it does not, or ends before."""
    try:
        return near.recv() if near.poll(seconds) else None
    except EOFError:
        return None


def table(results: dict[str, Result], targets: dict[str, Target]) -> str:
    rows = [
        f"| `{name}` | {targets[name].of} | {count:,} | {took:.0f} s | {len(found)} |"
        for name, (count, took, found) in results.items()
    ]
    return "\n".join(
        ["| parser | what is made wrong | executions | time | findings |", "|---|---|---|---|---|", *rows]
    )


def told(name: str, result: Result) -> str:
    count, _, found = result
    return "\n    ".join([f"{name}: {count:,} executions, {len(found)} findings", *found])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each parser")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parsers side by side")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "vda_fuzz")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    # Of the processes to come: threads wait for each other longer than a small file takes.
    os.environ.update(POLARS_MAX_THREADS="1", OMP_NUM_THREADS="1")
    with tempfile.TemporaryDirectory() as place:
        targets = make_targets(Path(place))
    names = options.only or list(targets)
    results = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        run = partial(fuzz, seconds=options.minutes * 60, first_seed=options.seed, keep=options.keep)
        for name, result in zip(names, pool.map(run, names), strict=True):
            results[name] = result
            sys.stdout.write(told(name, result) + "\n")
            sys.stdout.flush()
    sys.stdout.write(table(results, targets) + "\n")
    if options.page:
        text = options.page.read_text()
        pattern = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)
        options.page.write_text(pattern.sub(lambda _: f"{BEGIN}\n{table(results, targets)}\n{END}", text))
    return any(found for _, _, found in results.values())


if __name__ == "__main__":
    sys.exit(main())
