"""Ranges of rows submitted to SLURM as job arrays, and waited for.

In: a batch file that scales the rows of its index, and a look at which rows are missing. Out: jobs, and the list
of them in ``submitted.json``. What is missing and in no live job is submitted; where SLURM takes no more jobs, the
others are as it takes some. This file does not know how rows are scaled.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final

from vda.cluster.arrays import array_options, array_spec, limit_said, number_pattern, submit_arrays
from vda.cluster.clusteroptions import ClusterOptions
from vda.cluster.sbatch import keep_batch
from vda.files import write_json
from vda.fvc.alone import alone
from vda.launch.slurmcommands import (
    ArrayTask,
    SilentSchedulerError,
    SubmitLimitError,
    configuration,
    indices,
    queued,
    rehearse,
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

    def rows_of(self, index: int) -> range:
        first = self.first + index * self.size
        return range(first, min(first + self.size, self.stop))


def log_name(place: Path, offset: int = 0) -> str:
    """``--output`` of an array: ``shard_003.slurm-71_3.log``; a % in the path is doubled."""
    return f"{str(place).replace('%', '%%')}/shard_{number_pattern(offset)}.slurm-%A_%a.log"


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
    _without_room: bool = field(default=False, init=False)
    """Whether SLURM had no room for some of what is missing."""

    @property
    def _batch(self) -> Path:
        return self.place / "shards.sbatch"

    def run(self, *, waits: bool) -> None:
        """Submit what is missing; return when nothing more can come, or not ``waits``, when it is submitted.

        Raises ``SubmitLimitError`` where SLURM takes nothing, and none of it is under way.
        """
        if keep_batch(self._batch, self.text).is_changed:
            self.reporter.say(
                f"{self._batch} was changed by hand and is used as it is; --slurm changes nothing in it."
            )
        rehearse(self._batch, self.place, ["--array=0"])
        if live := self._live_rows():
            self.reporter.say(f"{counted(len(live), 'row')} are queued or at work already.")
        if (refused := self._submit()) and not live:
            raise refused
        tries, before = 0, len(self.missing())
        while waits:
            self._wait(before)
            left = self.missing() - self._cancelled()
            tries, before = (tries + 1, before) if len(left) >= before else (0, len(left))
            if not left or tries > self.retries:
                return
            self._submit()

    def _submit(self) -> SubmitLimitError | None:
        """Submit what is missing and in no live job; return SLURM's word where it has no room for any of it.

        Tasks that somebody cancelled are let rest.
        """
        refused: SubmitLimitError | None = None
        with alone(self.place, "submit", "submitting the jobs of", self.reporter, waits=True):
            asked = self.ranges.shards(self.missing() - self._live_rows() - self._cancelled())
            most = int(configuration().get("MaxArraySize", "1001"))
            try:
                taken = submit_arrays(asked, most, self._submit_array)
            except SubmitLimitError as error:
                refused, taken = error, []
        if len(taken) < len(asked) and not self._without_room:
            self.reporter.say(limit_said(len(taken), len(asked), f"ranges of {self.ranges.size} rows"))
        self._without_room = len(taken) < len(asked)
        return refused

    def _submit_array(self, shards: list[int], offset: int, jobs: list[str]) -> str:
        spec = array_spec(shard - offset for shard in shards)
        after = [*self._live_jobs(), *jobs] if self.options.at_once else []
        options = array_options((shard - offset for shard in shards), self.options.at_once, after)
        if offset:
            options.append(f"--output={log_name(self.place, offset)}")
        rows, size = self.ranges.rows, self.ranges.size
        # A batch file that was changed by hand may have been written for other rows.
        job = submit(self._batch, self.place, options, list(map(str, (offset, rows.start, size, rows.stop))))
        self._note(SubmittedRows(job, self.ranges.rows_of(offset).start, size, rows.stop, spec, time.time()))
        more = f"; index I of it is range {offset} + I" if offset else ""
        self.reporter.say(
            f"Job {job}: {counted(len(shards), 'task')} of {size} rows ({array_spec(shards)}){more}."
        )
        return job

    def _wait(self, total: int) -> None:
        """Wait until nothing is missing, or no task lives: files may come a little later than SLURM's word."""
        self.reporter.begin("scaling", total)
        silent, idle = False, False
        pause, tried = _LOOK_SECONDS, time.monotonic()
        try:
            while left := self.missing():
                self.reporter.at(total - len(left))
                try:
                    if self._without_room and time.monotonic() - tried >= pause:
                        pause = min(2 * pause, _MOST_PAUSE_SECONDS) if self._submit() else _LOOK_SECONDS
                        tried = time.monotonic()
                    is_over = not self._without_room and not self._live_jobs()
                    if is_over and idle:
                        return
                    silent, idle = False, is_over
                except SilentSchedulerError as error:
                    if not silent:
                        self.reporter.say(f"{error.problem} Until it does, the files alone tell how far it is.")
                    silent = True
                time.sleep(_LOOK_SECONDS)
            self.reporter.at(total)
        except KeyboardInterrupt:
            with suppress(SilentSchedulerError):
                jobs = " ".join(self._live_jobs())
                self.reporter.say(f"The jobs go on without this command; 'scancel {jobs}' ends them.")
            raise

    def _tasks(self) -> Iterator[tuple[SubmittedRows, ArrayTask]]:
        entries = {entry.job: entry for entry in self._submitted()}
        for task in queued(list(entries)):
            if task.index >= 0 and task.index in indices(entries[task.job].shards):
                yield entries[task.job], task

    def _live_rows(self) -> set[int]:
        return {row for entry, task in self._tasks() if task.is_live for row in entry.rows_of(task.index)}

    def _live_jobs(self) -> list[str]:
        return list(dict.fromkeys(task.job for _, task in self._tasks() if task.is_live))

    def _cancelled(self) -> set[int]:
        """Rows of tasks of this command that somebody cancelled: whoever did wants them to rest."""
        mine = (pair for pair in self._tasks() if pair[0].time >= self._begun)
        return {row for entry, task in mine if task.state == "CANCELLED" for row in entry.rows_of(task.index)}

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
