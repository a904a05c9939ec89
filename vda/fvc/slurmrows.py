"""Ranges of rows submitted to SLURM as job arrays, and waited for.

In: a batch file that scales the rows of its index, and a look at which rows are missing. Out: jobs, and the list
of them in ``submitted.json``. What is missing and in no live job is submitted; where SLURM takes no more jobs, the
others are as it takes some. This file does not know how rows are scaled.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final

from vda.cluster.arrays import (
    array_options,
    array_spec,
    limit_said,
    number_pattern,
    require_all,
    submit_arrays,
)
from vda.cluster.clusteroptions import ClusterOptions
from vda.cluster.sbatch import keep_batch
from vda.files import write_json
from vda.fvc.alone import OwnFolder, alone
from vda.launch.interrupts import first_is_asked
from vda.launch.slurmcommands import (
    ArrayTask,
    BatchTask,
    SilentSchedulerError,
    SubmitLimitError,
    configuration,
    indices,
    live_in,
    queued,
    rehearse,
    room_may_come,
    submit,
)
from vda.records import Count, Within, read_record
from vda.reporter import Reporter
from vda.shown import counted

_LOOK_SECONDS: Final = 5.0
# Each try asks the controller several times, and it has all users to answer.
_MOST_PAUSE_SECONDS: Final = 60.0
# What SLURM knows nothing of any more is of no interest an hour after it was submitted.
_FORGET_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class RowRanges:
    """``rows`` in ranges of ``size``, numbered from 0."""

    rows: range
    size: int

    def shards(self, missing: set[int]) -> list[int]:
        """The numbers of the ranges that have a row missing."""
        return sorted({(row - self.rows.start) // self.size for row in missing if row in self.rows})

    def rows_of(self, shard: int) -> range:
        first = self.rows.start + shard * self.size
        return range(first, min(first + self.size, self.rows.stop))


@dataclass(frozen=True)
class SubmittedRows:
    """A job that has rows: index 0 of its array begins at ``first``, and each index has ``size`` rows."""

    job: str
    first: Count
    size: Annotated[int, Within(1)]
    stop: Count
    shards: str
    time: float = 0.0

    @classmethod
    def of_tasks(cls, tasks: Sequence[BatchTask]) -> "SubmittedRows | None":
        """A job by those of its tasks that live; None where its batch file was not told which rows it has."""
        if len(tasks[0].arguments) != 4 or not all(word.isdigit() for word in tasks[0].arguments):
            return None
        offset, start, size, stop = map(int, tasks[0].arguments)
        places = array_spec(one.task.index for one in tasks)
        return cls(tasks[0].task.job, start + offset * size, size, stop, places, time.time())

    def rows_of(self, index: int) -> range:
        first = self.first + index * self.size
        return range(first, min(first + self.size, self.stop))


def log_name(place: Path, offset: int = 0) -> str:
    """``--output`` of an array: ``shard_003.slurm-71_3.log``; a % in the path is doubled."""
    return f"{str(place).replace('%', '%%')}/shard_{number_pattern(offset)}.slurm-%A_%a.log"


@dataclass
class _Known:
    """What SLURM knows of rows: those in tasks that live, and those in tasks of this command that were cancelled.

    Whoever cancels a task wants it to rest.
    """

    live: set[int] = field(default_factory=set)
    live_jobs: list[str] = field(default_factory=list)
    cancelled: set[int] = field(default_factory=set)


@dataclass
class SlurmRows:
    """The rows of one command. ``place`` has the batch file, logs and list of jobs."""

    place: Path
    text: str
    options: ClusterOptions
    ranges: RowRanges
    missing: Callable[[], set[int]]
    retries: int
    reporter: Reporter
    _begun: float = field(default_factory=time.time, init=False)
    _idle: set[int] = field(default_factory=set, init=False)
    """Ranges without a live task at the last look: files may come a little later than SLURM's word."""
    _without_room: set[int] = field(default_factory=set, init=False)
    _tries: dict[int, int] = field(default_factory=dict, init=False)
    """How many tasks of a range ended in a row without a video scaled."""
    _left_before: dict[int, int] = field(default_factory=dict, init=False)
    _given_up: set[int] = field(default_factory=set, init=False)

    @property
    def _batch(self) -> Path:
        return self.place / "shards.sbatch"

    def run(self, *, waits: bool) -> None:
        """Submit what is missing; return when nothing more can come, or not ``waits``, when it is submitted.

        Raises ``SubmitLimitError`` where SLURM takes nothing and no end of a job can make room, and where it takes
        less than all and nobody waits.
        """
        if keep_batch(self._batch, self.text).is_changed:
            self.reporter.say(
                f"{self._batch} was changed by hand and is used as it is; --slurm changes nothing in it."
            )
        rehearse(self._batch, self.place, ["--array=0"])
        with self._alone():
            self._note_unnoted()
        missing = self.missing()
        if live := self._known().live & missing:
            self.reporter.say(f"{counted(len(live), 'row')} are queued or at work already.")
        self._left_before = self._left(missing)
        shards = self.ranges.shards(missing)
        if (refused := self._submit(shards)) and not live:
            room_may_come(refused)
        taken = len(shards) - len(self._without_room)
        if not waits:
            return require_all(taken, len(shards), self._ranges)
        if self._without_room:
            self.reporter.say(limit_said(taken, len(shards), self._ranges))
        self._wait(len(missing))

    def _alone(self) -> AbstractContextManager[OwnFolder]:
        return alone(self.place, "submit", "submitting the jobs of", self.reporter, waits=True)

    @property
    def _ranges(self) -> str:
        return f"ranges of {counted(self.ranges.size, 'row')}"

    def _note_unnoted(self) -> None:
        """Note jobs whose command died before it did, or was told of a time-out, by their batch file."""
        noted, found = {entry.job for entry in self._submitted()}, dict[str, list[BatchTask]]()
        for one in live_in(self.place):
            if one.batch == self._batch.name and one.task.index >= 0 and one.task.job not in noted:
                found.setdefault(one.task.job, []).append(one)
        for entry in map(SubmittedRows.of_tasks, found.values()):
            if entry is not None:
                self._note(entry)

    def _submit(self, shards: Iterable[int]) -> SubmitLimitError | None:
        """Submit those of ``shards`` that are in no live job; return SLURM's word where it has no room for any.

        Tasks that somebody cancelled are let rest.
        """
        refused: SubmitLimitError | None = None
        with self._alone():
            self._note_unnoted()
            known = self._known()
            asked = sorted({*shards} & {*self.ranges.shards(self.missing() - known.live - known.cancelled)})
            most = int(configuration().get("MaxArraySize", "1001"))
            try:
                taken = submit_arrays(asked, most, self._submit_array)
            except SubmitLimitError as error:
                refused, taken = error, []
        self._without_room = (self._without_room - {*shards}) | ({*asked} - {*taken})
        return refused

    def _submit_array(self, shards: list[int], offset: int, jobs: list[str]) -> str:
        places = [shard - offset for shard in shards]
        after = list(dict.fromkeys([*self._known().live_jobs, *jobs])) if self.options.at_once else []
        options = array_options(places, self.options.at_once, after)
        if offset:
            options.append(f"--output={log_name(self.place, offset)}")
        rows, size = self.ranges.rows, self.ranges.size
        # A batch file that was changed by hand may have been written for other rows.
        words = list(map(str, (offset, rows.start, size, rows.stop)))
        first = self.ranges.rows_of(offset).start
        with first_is_asked() as interrupted:
            job = submit(self._batch, self.place, options, words)
            self._note(SubmittedRows(job, first, size, rows.stop, array_spec(places), time.time()))
            if interrupted():
                raise KeyboardInterrupt
        more = f"; index I of it is range {offset} + I" if offset else ""
        self.reporter.say(
            f"Job {job}: {counted(len(shards), 'task')} of {counted(size, 'row')} ({array_spec(shards)}){more}."
        )
        return job

    def _wait(self, total: int) -> None:
        """Wait until nothing is missing, or nothing more can come of it."""
        self.reporter.begin("scaling", total)
        silent, pause, tried = False, _LOOK_SECONDS, time.monotonic()
        try:
            while missing := self.missing():
                self.reporter.at(total - len(missing))
                try:
                    again, is_over = self._look(missing)
                    if is_over:
                        return
                    if time.monotonic() - tried >= pause:
                        again |= self._without_room
                    if again:
                        tried = time.monotonic()
                        pause = min(2 * pause, _MOST_PAUSE_SECONDS) if self._submit(again) else _LOOK_SECONDS
                    silent = False
                except SilentSchedulerError as error:
                    if not silent:
                        self.reporter.say(f"{error.problem} Until it does, the files alone tell how far it is.")
                    silent = True
                time.sleep(_LOOK_SECONDS)
            self.reporter.at(total)
        except KeyboardInterrupt:
            with suppress(SilentSchedulerError):
                jobs = " ".join(dict.fromkeys(self._known().live_jobs))
                self.reporter.say(f"The jobs go on without this command; 'scancel {jobs}' ends them.")
            raise

    def _look(self, missing: set[int]) -> tuple[set[int], bool]:
        """Which ranges are to be submitted again, for their task has ended, and whether nothing more can come."""
        known = self._known()
        left = self._left(missing - known.cancelled)
        idle = {*self.ranges.shards(missing - known.cancelled - known.live)} - self._given_up
        ended, self._idle = (idle & self._idle) - self._without_room, idle
        for shard in ended:
            has_come_on = left[shard] < self._left_before.get(shard, 0)
            self._tries[shard] = 0 if has_come_on else self._tries.get(shard, 0) + 1
            self._left_before[shard] = left[shard]
            if self._tries[shard] > self.retries:
                self._given_up.add(shard)
                rows = self.ranges.rows_of(shard)
                self.reporter.say(f"Rows {rows.start} to {rows.stop - 1} are given up: no task scales them.")
        return ended - self._given_up, not left.keys() - self._given_up

    def _left(self, missing: set[int]) -> dict[int, int]:
        """How many rows of each range are missing."""
        return {shard: len(missing & {*self.ranges.rows_of(shard)}) for shard in self.ranges.shards(missing)}

    def _tasks(self) -> Iterator[tuple[SubmittedRows, ArrayTask]]:
        entries = {entry.job: entry for entry in self._submitted()}
        for task in queued(list(entries)):
            if task.index >= 0 and task.index in indices(entries[task.job].shards):
                yield entries[task.job], task

    def _known(self) -> "_Known":
        known = _Known()
        for entry, task in self._tasks():
            rows = entry.rows_of(task.index)
            if task.is_live:
                known.live.update(rows)
                known.live_jobs.append(task.job)
            elif task.state == "CANCELLED" and entry.time >= self._begun:
                known.cancelled.update(rows)
        return known

    def _submitted(self) -> list[SubmittedRows]:
        path = self.place / "submitted.json"
        if not path.is_file():
            return []
        return read_record(path, list[SubmittedRows], "Remove that file; 'squeue --me' shows the jobs it names.")

    def _note(self, entry: SubmittedRows) -> None:
        """Add a job; of those before, the ones that SLURM still knows."""
        known = {task.job for _, task in self._tasks()}
        kept = [
            other
            for other in self._submitted()
            if other.job in known or time.time() - other.time < _FORGET_SECONDS
        ]
        write_json(self.place / "submitted.json", [asdict(one) for one in (*kept, entry)])
