"""Chunks handed to Ray: a task for each that is not whole, run again as long as that is worth it, and waited for.

In: scenes whose run is fixed. Out: their raw windows, written by ``vda task`` on the nodes of a Ray cluster. What
is done is what the scenes' files say: nodes may come and go. How Ray is spoken to is not known here.
"""

import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vda.cluster.task import require_on_tasks, task_words
from vda.cluster.taskfiles import NAME_VARIABLE, RESTART_VARIABLE, read_task, read_tasks
from vda.errors import VdaError, WorkError
from vda.launch.interrupts import first_is_asked
from vda.launch.onray import AGAIN, Ended, Needs, RayTasks
from vda.launch.raycommands import RayCommand, run_all
from vda.launch.rayfaults import ray_address
from vda.machine.packages import require_package
from vda.reporter import Reporter
from vda.scene.runstate import AT_WORK, RunFiles, last_lines
from vda.scene.scene import Scene
from vda.scene.status import Estimate
from vda.shown import counted
from vda.supervisor.endings import FREE_KILLS, WAIT_SECONDS
from vda.supervisor.jobs import Following, Job, expected
from vda.supervisor.resolve import RunSettings
from vda.supervisor.telling import Telling

# How often windows are listed, and how long one wait for the next end of a task lasts.
_LOOK_SECONDS, _WAIT_SECONDS = 2.0, 0.5
# Another has the chunk, or its claim is not over yet: nothing is to be won by asking at once.
_HELD_SECONDS = 10.0


def require_ready(settings: RunSettings) -> None:
    """Refuse, with ``UsageError``, what can be known by now not to work."""
    require_package("ray", "--on ray", "ray")
    ray_address(settings.ray_address)
    require_on_tasks(settings, "Ray", "is said where Ray's nodes are started")


@dataclass
class _Chunk:
    """A chunk that is not whole: ``tries`` and ``losses`` in a row without a new window, ``left`` at the last."""

    scene: Scene
    index: int
    left: int
    starts: int = 0
    tries: int = 0
    losses: int = 0
    not_before: float = 0.0
    given_up: str = ""
    is_held: bool = False
    """Whether it was said that another has it."""


@dataclass
class RayRun:
    """Computes what is missing of ``scenes``; ``only``: these chunks alone. ``apart`` takes what stays missing."""

    scenes: list[Scene]
    settings: RunSettings
    reporter: Reporter
    following: Following = field(default_factory=Following)
    only: Collection[int] | None = None
    missing: dict[Scene, WorkError] = field(default_factory=dict, init=False)
    """The scenes of which something is missing at the end, and why."""
    _jobs: dict[str, Job] = field(default_factory=dict, init=False)
    _chunks: dict[str, _Chunk] = field(default_factory=dict, init=False)
    """What is not whole, by the key of its task."""
    _taken: set[str] = field(default_factory=set, init=False)
    _looked: float = field(default=float("-inf"), init=False)
    _expected: Estimate | None = field(default=None, init=False)

    def run(self) -> None:
        """Wait until all is whole, or no more can come.

        Raises ``WorkError`` where something stays missing, what ``RayTasks`` raises, and ``KeyboardInterrupt``:
        after one Ctrl-C with the windows in hand, after a second at once.
        """
        self._begin()
        if self._chunks:
            scenes = dict.fromkeys(chunk.scene for chunk in self._chunks.values())
            logs = [scene.logs_dir / "ray.log" for scene in scenes]
            with RayTasks(self.settings.ray_address, _needs(self.settings), logs) as tasks:
                self._compute(tasks)
        self._check_complete()

    def _begin(self) -> None:
        self._jobs = {scene.key: Job.of(scene, self.only) for scene in self.scenes}
        for place, job in enumerate(self._jobs.values()):
            # What an earlier command was told is over; a person wants this one.
            RunFiles(job.scene.run_dir).stop_path.unlink(missing_ok=True)
            for view in job.views():
                if view.left:
                    index = view.id[1]
                    self._chunks[f"{place} {job.scene.root.name} chunk {index}"] = _Chunk(
                        job.scene, index, view.left
                    )
        self._hand_on()

    @cached_property
    def _name(self) -> str:
        """What the tasks of this command are called; a later command's are others."""
        return f"ray {uuid.uuid4().hex[:8]}"

    def _compute(self, tasks: RayTasks) -> None:
        self.reporter.say(
            f"{counted(len(self._chunks), 'chunk')} on {tasks.name}: {counted(len(tasks.nodes), 'node')}, "
            f"{'a GPU' if tasks.needs.gpus else 'no GPU'} and {counted(tasks.cpus, 'CPU')} for each task."
        )
        total = sum(job.frames_total for job in self._jobs.values())
        telling = Telling(self.reporter, total, self._frames_done())
        ending = False
        with first_is_asked() as interrupted:
            while tasks.running or not (ending or self._is_over()):
                if not ending and (interrupted() or self._is_asked_to_stop()):
                    ending = True
                    self._end_soon(tasks)
                if not ending:
                    self._submit(tasks)
                self._look()
                telling.tell(self._frames_done(), "", self._expected)
                if (found := tasks.ended(_WAIT_SECONDS)) is not None:
                    self._settle(*found, ending=ending)
            telling.tell(self._frames_done(), "", self._expected)
            if interrupted():
                raise KeyboardInterrupt

    def _end_soon(self, tasks: RayTasks) -> None:
        self.reporter.say("Ending with the windows in hand. Ctrl-C again ends at once, without them.")
        tasks.cancel()

    def _is_asked_to_stop(self) -> bool:
        return any(RunFiles(scene.run_dir).stop_path.exists() for scene in self.scenes)

    def _is_over(self) -> bool:
        return all(chunk.given_up or not self._left(chunk) for chunk in self._chunks.values())

    def _left(self, chunk: _Chunk) -> int:
        return len(self._jobs[chunk.scene.key].missing[chunk.index])

    def _frames_done(self) -> int:
        return sum(job.frames_done for job in self._jobs.values())

    def _submit(self, tasks: RayTasks) -> None:
        now = time.monotonic()
        for key, chunk in self._chunks.items():
            if key in tasks.running or chunk.given_up or chunk.not_before > now or not self._left(chunk):
                continue
            options = [*task_words(self.settings), "--threads", str(tasks.cpus), "-q"]
            command = ["task", *options, "--chunk", str(chunk.index), "--", str(chunk.scene.root.resolve())]
            variables = {NAME_VARIABLE: self._name, RESTART_VARIABLE: str(chunk.starts)}
            log = chunk.scene.task_log_path(chunk.index, self._name.replace(" ", "-"))
            tasks.submit(key, command, log, variables)
            chunk.starts += 1

    def _look(self, chunks: Collection[_Chunk] | None = None) -> None:
        """See which windows are there by now: of all chunks now and then, of ``chunks`` at once."""
        if chunks is None:
            if time.monotonic() - self._looked < _LOOK_SECONDS:
                return
            self._looked = time.monotonic()
            self._expected = self._pace()
        for chunk in self._chunks.values() if chunks is None else chunks:
            self._jobs[chunk.scene.key].look([chunk.index])
        self._hand_on()

    def _pace(self) -> Estimate | None:
        told = {(scene.key, chunk): record for scene in self.scenes for chunk, record in read_tasks(scene).items()}
        working = ((key, record) for key, record in told.items() if record.phase in AT_WORK)
        return expected(self._jobs, [(key, record.seconds_per_window) for key, record in working])

    def _hand_on(self) -> None:
        for key, job in self._jobs.items():
            if key not in self._taken and self.only is None and not job.windows_left:
                self._taken.add(key)
                self.following.take(job.scene)

    def _settle(self, key: str, end: Ended, *, ending: bool) -> None:
        """Judge the end of a task: what it left, and whether another is worth it."""
        chunk = self._chunks[key]
        self._look([chunk])
        left = self._left(chunk)
        if not left or end.cancelled or ending:
            return
        if left < chunk.left:
            chunk.left, chunk.tries, chunk.losses = left, 0, 0
        where = f" on {end.node}" if end.node else ""
        if end.code == AGAIN:
            self._wait_for(chunk, end)
        elif end.code in (1, 2):
            self._count_failure(chunk, end.code, where)
        else:
            chunk.losses += 1
            waits = max(chunk.losses - FREE_KILLS, 0)
            chunk.not_before = time.monotonic() + WAIT_SECONDS[min(waits, len(WAIT_SECONDS) - 1)]
            why = end.lost or f"its task{where} ended with exit code {end.code}"
            if waits > self.settings.retries:
                chunk.given_up = why
            else:
                self.reporter.say(f"Chunk {chunk.index} is not whole and goes to another task: {why}")

    def _wait_for(self, chunk: _Chunk, end: Ended) -> None:
        chunk.not_before = time.monotonic() + _HELD_SECONDS
        if end.said and not chunk.is_held:
            chunk.is_held = True
            self.reporter.say(f"Chunk {chunk.index} waits. {end.said.splitlines()[-1]}")

    def _count_failure(self, chunk: _Chunk, code: int, where: str) -> None:
        told = read_task(chunk.scene, chunk.index)
        chunk.tries += 1
        chunk.not_before = time.monotonic() + WAIT_SECONDS[min(chunk.tries, len(WAIT_SECONDS) - 1)]
        problem = told.problem if told is not None and told.problem else f"its task{where} failed"
        attempts = max(chunk.tries, told.attempts if told is not None else 0)
        if code == 2 or attempts > self.settings.retries or (told is not None and told.for_good):
            chunk.given_up = problem
            self.reporter.say(f"Chunk {chunk.index} is given up: {problem}")

    def _check_complete(self) -> None:
        for scene in self.scenes:
            if left := [chunk for chunk in self._chunks.values() if chunk.scene == scene and self._left(chunk)]:
                self.missing[scene] = self._error(scene, left)
        if len(self.missing) == 1:
            raise next(iter(self.missing.values()))
        if self.missing:
            parts = tuple(f"{scene.root}: {error.problem}" for scene, error in self.missing.items())
            what = f"Of {counted(len(self.missing), 'scene')} something is missing."
            raise WorkError(what, "Run the same command again: it takes just what is missing.", parts=parts)

    def _error(self, scene: Scene, left: list[_Chunk]) -> WorkError:
        windows = [len(chunk) for chunk in self._jobs[scene.key].chunks]
        names = ", ".join(
            f"chunk {chunk.index} ({self._left(chunk)} of {counted(windows[chunk.index], 'window')})"
            for chunk in left
        )
        failed = next((chunk for chunk in reversed(left) if chunk.given_up), None)
        if failed is None:
            return WorkError(f"Stopped as asked; missing: {names}.", "Run the same command again to go on.")
        told = read_task(scene, failed.index)
        log = scene.task_log_path(failed.index, self._name.replace(" ", "-"))
        return WorkError(
            f"Not everything was computed; missing: {names}. The last error: {failed.given_up.rstrip('.')}.",
            (told is not None and told.for_good and told.remedy)
            or "Run the same command again: it takes just what is missing.",
            log=log if log.is_file() else None,
            tail=last_lines(log),
        )


def run_first_tasks(scene: Scene, settings: RunSettings, command: Sequence[str], reporter: Reporter) -> None:
    """Run ``vda COMMAND`` as a task on each kind of node and wait; ``WorkError`` where one of them fails."""
    with RayTasks(settings.ray_address, _needs(settings), [scene.logs_dir / "ray.log"]) as tasks:
        words = [*command, "--devices", settings.devices, "--threads", str(tasks.cpus), "-q"]
        commands = {}
        for number, node in enumerate(tasks.kinds()):
            kind = (node.gpu.partition(":")[2] or "a GPU") if tasks.needs.gpus else node.cpu or "CPUs"
            variables = {NAME_VARIABLE: f"ray proof {number}"}
            log = scene.logs_dir / f"proof.ray-{number}.log"
            commands[kind] = RayCommand(words, log, variables, node)
            reporter.say(f"A task tries half precision on {kind} of {tasks.name}.")
        ended = run_all(tasks, commands, reporter, retries=settings.retries, until_failure=True)
    for kind, end in ended.items():
        if end.code != 0:
            log = commands[kind].log
            raise WorkError(
                f"The task on {kind}, which was to try half precision for {scene.root}, did not come to its end.",
                "Look into its log, or leave --prove out: float32 needs no proof.",
                log=log if log.is_file() else None,
                tail=end.lost or last_lines(log),
            )


def _needs(settings: RunSettings) -> Needs:
    return Needs(0.0 if settings.devices == "cpu" else 1.0, settings.threads or 0)


def compute(
    scenes: list[Scene],
    settings: RunSettings,
    reporter: Reporter,
    following: Following,
    only: Collection[int] | None = None,
    apart: dict[Scene, VdaError] | None = None,
) -> None:
    """Compute what is missing of ``scenes`` on Ray; ``apart`` takes those of which something stays missing."""
    run = RayRun(scenes, settings, reporter, following, only)
    try:
        run.run()
    except WorkError:
        if apart is None or not run.missing:
            raise
        apart.update(run.missing)
