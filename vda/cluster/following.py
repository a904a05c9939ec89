"""Waiting for the tasks of SLURM: how far they are, what became of those that ended, what is submitted again.

In: scenes that were submitted, their files, what SLURM answers. Out: progress, told to a reporter; at the end what
is missing, and why. The windows in the files are what counts; SLURM's word only says whether somebody still works.
This file does not know how a task is submitted.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from vda.cluster.arrays import limit_said
from vda.cluster.sbatch import chunk_log
from vda.cluster.slurm import Submission
from vda.cluster.submitted import Known, ask, note_unnoted
from vda.cluster.taskfiles import TaskRecord, read_task
from vda.errors import WorkError
from vda.launch.interrupts import first_is_asked
from vda.launch.slurmcommands import ArrayTask, SilentSchedulerError, SubmitLimitError
from vda.reporter import Reporter
from vda.scene.runstate import EXIT_NO_ROOM, RunFiles, last_lines
from vda.scene.scene import Scene, WindowId
from vda.scene.status import Estimate
from vda.shown import counted, quoted
from vda.supervisor.jobs import Following, Job
from vda.supervisor.telling import Telling

# Listing a folder is cheap; asking SLURM costs its controller something, of which all users have one.
_LOOK_SECONDS = 2.0
_ASK_SECONDS, _MOST_ASK_SECONDS = 5.0, 30.0
# How far back the pace is taken from: nodes come and go.
_PACE_SECONDS = 600.0
# By the machine and not by the work: the next attempt may well succeed.
_NOBODY_S_FAULT = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED"}
# Why a task waits where it does so for the machine's sake; all other reasons are for a person to know (squeue(1)).
_WAITING = {"", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Dependency", "Prolog", "Cleaning"}


def judge(
    task: ArrayTask | None, told: TaskRecord | None, advanced: bool, tries: int, retries: int
) -> tuple[int, str]:
    """What the end of a chunk's task means: how many tries without a window there were, and why it is given up.

    Empty: it is submitted again. ``advanced``: it left windows; ``told`` is what it said last, None where nothing.
    """
    state = task.state if task else ""
    where = f" on {task.node}" if task and task.node else ""
    name = f"task {task.name}{where}" if task else "its task"
    if told is not None and told.exit in (1, 2) and (told.for_good or told.exit == 2 or told.attempts > retries):
        return tries, told.problem or f"{name} failed"
    if advanced:
        return 0, ""
    if state in _NOBODY_S_FAULT or (told is not None and told.exit == EXIT_NO_ROOM):
        return tries, ""
    reason = f"{name} ended ({state or 'SLURM knows nothing of it'}) without a finished window"
    return tries + 1, reason if tries + 1 > retries else ""


@dataclass
class _Followed:
    """A scene: what of it is missing, and what became of the chunks' tasks."""

    submission: Submission
    job: Job
    wanted: set[int]
    gone: set[int] = field(default_factory=set)
    """Chunks without a live task at the last look: files may come a little later than SLURM's word."""
    tries: dict[int, int] = field(default_factory=dict)
    left_before: dict[int, int] = field(default_factory=dict)
    given_up: dict[int, str] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    """Chunks that SLURM had no room for."""
    last: dict[int, ArrayTask] = field(default_factory=dict)
    is_taken: bool = False

    @classmethod
    def of(cls, submission: Submission, under_way: Sequence[int], only: Sequence[int] | None) -> "_Followed":
        job = Job.of(submission.scene, only)
        wanted = {
            index for index, missing in enumerate(job.missing) if missing and (only is None or index in only)
        }
        followed = cls(submission, job, wanted, waiting=wanted - set(under_way))
        followed.left_before = {chunk: len(job.missing[chunk]) for chunk in wanted}
        return followed

    @property
    def scene(self) -> Scene:
        return self.submission.scene

    @property
    def missing(self) -> list[int]:
        return [chunk for chunk in sorted(self.wanted) if self.job.missing[chunk]]

    @property
    def is_over(self) -> bool:
        return all(chunk in self.given_up for chunk in self.missing)

    def look(self) -> None:
        """List the windows that are there: one folder, whatever the number of chunks."""
        finished: set[WindowId] = self.scene.finished_windows()
        for chunk, missing in enumerate(self.job.missing):
            for key in missing & finished:
                missing.remove(key)
                self.job.frames_done += self.job.chunks[chunk][key]

    def settle(self, known: Known, retries: int, reporter: Reporter) -> None:
        """Judge the chunks whose tasks ended, and submit again those that deserve it."""
        self.last |= known.by_chunk
        idle = {chunk for chunk in self.missing if chunk not in known.live and chunk not in self.given_up}
        ended = sorted((idle & self.gone) - self.waiting)
        self.gone = idle
        again = sorted(idle & self.waiting)
        if self._is_cancelled(ended, known):
            self.given_up |= {chunk: f"job {self.last[chunk].job} was cancelled" for chunk in ended}
            ended = []
        for chunk in ended:
            left = len(self.job.missing[chunk])
            told, task = read_task(self.scene, chunk), self.last.get(chunk)
            advanced = left < self.left_before[chunk]
            tries, reason = judge(task, told, advanced, self.tries.get(chunk, 0), retries)
            self.tries[chunk], self.left_before[chunk] = tries, left
            if reason:
                self.given_up[chunk] = reason
                reporter.say(f"Chunk {chunk} is given up: {reason}.")
            else:
                again.append(chunk)
                how = f"{task.name} ended ({task.state})" if task else "its task is gone"
                reporter.say(f"Chunk {chunk} is not complete, {how}; it is submitted again.")
        if again:
            self._submit(sorted(again), known, reporter)

    def _is_cancelled(self, ended: list[int], known: Known) -> bool:
        """Whether a person ended all there was: one who ends a single task of several wants it done elsewhere."""
        states = {self.last[chunk].state if chunk in self.last else "" for chunk in ended}
        return states == {"CANCELLED"} and not known.live and (len(ended) > 1 or len(self.wanted) == 1)

    def _submit(self, chunks: list[int], known: Known, reporter: Reporter) -> None:
        if note_unnoted(self.scene):
            known = ask(self.scene, only_noted=True)
        wanted = [chunk for chunk in chunks if chunk not in known.live]
        taken: list[int] = []
        with suppress(SubmitLimitError):
            taken = self.submission.submit(wanted, known)
        without_room = set(wanted) - set(taken)
        if without_room and not self.waiting:
            reporter.say(limit_said(len(taken), len(wanted), f"chunks of {self.scene.root}"))
        self.waiting = (self.waiting - set(chunks)) | without_room
        self.gone -= set(chunks) - without_room

    def error(self) -> WorkError:
        """What is missing, with the end of the log of the chunk that failed last."""
        names = ", ".join(
            f"chunk {chunk} ({len(self.job.missing[chunk])} of {counted(len(self.job.chunks[chunk]), 'window')})"
            for chunk in self.missing
        )
        chunk = max(self.given_up, default=self.missing[0])
        told, task = read_task(self.scene, chunk), self.last.get(chunk)
        log = chunk_log(self.scene, task.name, chunk) if task else None
        if log is not None and not log.is_file():
            log = None
        unseen = " Its log could not be written: that node may not see the scene." if task and log is None else ""
        remedy = told.remedy if told is not None and told.exit in (1, 2) and told.remedy else ""
        why = f" The last error: {self.given_up[chunk].rstrip('.')}.{unseen}" if chunk in self.given_up else ""
        return WorkError(
            f"Not everything was computed; missing: {names}.{why}",
            remedy or "Run the same command again: it submits just what is missing.",
            log=log,
            tail=last_lines(log) if log else "",
        )


@dataclass
class Follower:
    """Waits for all of ``followed``; ``following`` is given each scene whose windows are whole."""

    followed: list[_Followed]
    retries: int
    reporter: Reporter
    following: Following = field(default_factory=Following)
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep
    missing: dict[Scene, WorkError] = field(default_factory=dict, init=False)
    _asked: float = field(default=float("-inf"), init=False)
    _interval: float = field(default=0.0, init=False)
    _silent: bool = field(default=False, init=False)
    _reasons: set[str] = field(default_factory=set, init=False)
    _paces: deque[tuple[float, int]] = field(default_factory=deque, init=False)

    def run(self) -> None:
        """Wait until nothing more can come; ``WorkError`` where something stays missing.

        Ctrl-C ends the waiting and not the jobs, and raises ``KeyboardInterrupt``.
        """
        jobs = [one.job for one in self.followed]
        telling = Telling(self.reporter, sum(j.frames_total for j in jobs), sum(j.frames_done for j in jobs))
        with first_is_asked() as interrupted:
            while not interrupted():
                stopped = self._look()
                telling.tell(sum(job.frames_done for job in jobs), "", self._expected(jobs))
                if stopped or all(one.is_over for one in self.followed):
                    break
                self._ask_when_due()
                self.wait(_LOOK_SECONDS)
            else:
                self.reporter.say("The jobs go on without this command; 'vda stop' with the scene ends them.")
                raise KeyboardInterrupt
        self._end(stopped=stopped)

    def _look(self) -> bool:
        """Look at the files of all scenes; return whether somebody asks for an end."""
        for one in self.followed:
            one.look()
            if not one.missing and not one.is_taken:
                one.is_taken = True
                self.following.take(one.scene)
        return any(RunFiles(one.scene.run_dir).stop_path.exists() for one in self.followed if one.missing)

    def _ask_when_due(self) -> None:
        if self.clock() - self._asked < self._interval:
            return
        before = [set(one.gone) for one in self.followed]
        for one in self.followed:
            if one.missing:
                self._ask(one)
        changed = before != [one.gone for one in self.followed]
        slower = min(max(self._interval * 1.2, _ASK_SECONDS), _MOST_ASK_SECONDS)
        self._interval = _ASK_SECONDS if changed else slower
        self._asked = self.clock()

    def _ask(self, one: _Followed) -> None:
        try:
            known = ask(one.scene, only_noted=True)
            # What SLURM says is older than what the files say from now on.
            one.look()
            one.settle(known, self.retries, self.reporter)
        except SilentSchedulerError as error:
            if not self._silent:
                self._silent = True
                self.reporter.say(f"{error.problem} Until it does, the files alone tell how far it is.")
            return
        if self._silent:
            self._silent = False
            self.reporter.say("SLURM answers again.")
        self._tell_reasons(known)

    def _tell_reasons(self, known: Known) -> None:
        """Say once why tasks wait that wait for more than their turn."""
        waiting = [task for task in known.live.values() if task.state == "PENDING" and task.reason not in _WAITING]
        for reason in sorted({task.reason for task in waiting} - self._reasons):
            names = [task.name for task in waiting if task.reason == reason]
            self.reporter.say(
                f"{counted(len(names), 'task')} of SLURM wait for {reason} ({names[0]}"
                f"{' and others' if len(names) > 1 else ''}); 'man squeue' has the reasons, 'vda stop' gives up."
            )
            self._reasons.add(reason)

    def _expected(self, jobs: Sequence[Job]) -> Estimate | None:
        left = sum(len(missing) for job in jobs for missing in job.missing)
        now = self.clock()
        self._paces.append((now, left))
        while now - self._paces[0][0] > _PACE_SECONDS:
            self._paces.popleft()
        seconds, windows = now - self._paces[0][0], self._paces[0][1] - left
        if windows < 2 or not left:
            return None
        frames_left = sum(job.frames_total - job.frames_done for job in jobs)
        rate = windows / seconds
        return Estimate(rate * frames_left / left, left / rate)

    def _end(self, *, stopped: bool) -> None:
        for one in self.followed:
            if one.missing and stopped:
                names = ", ".join(f"chunk {chunk}" for chunk in one.missing)
                self.missing[one.scene] = WorkError(
                    f"Stopped as asked; missing: {names}.", "Run the same command again to go on."
                )
            elif one.missing:
                self.missing[one.scene] = one.error()
        if len(self.missing) == 1:
            raise next(iter(self.missing.values()))
        if self.missing:
            raise WorkError(
                f"Of {counted(len(self.missing), 'scene')} something is missing.",
                "Run the same command again: it submits just what is missing.",
                parts=tuple(f"{scene.root}: {error.problem}" for scene, error in self.missing.items()),
            )


def follow(
    submitted: Sequence[tuple[Submission, Sequence[int]]],
    retries: int,
    reporter: Reporter,
    following: Following,
    only: Sequence[int] | None = None,
) -> Follower:
    """Who waits for what was submitted: each scene with the chunks that are under way."""
    return Follower([_Followed.of(one, chunks, only) for one, chunks in submitted], retries, reporter, following)


def where_to_look(scene: Scene) -> str:
    return f"Look at it with 'vda status {quoted(scene.root)}', or end it with 'vda stop {quoted(scene.root)}'."
