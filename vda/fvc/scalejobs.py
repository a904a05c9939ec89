"""Ranges of a table's rows handed to SLURM or Ray: each is a task that anybody could run by hand.

    <output>/scaled_jobs/
      shards.sbatch              the batch file as it was submitted; one that a person changed is used as it is
      submitted.json             the jobs, and which rows they have
      shard_3.slurm-71_3.log     what a task printed

In: a command without its rows, and how to see which rows are missing. Out: nothing but files of that command. What
a row is, and how it is scaled, is not known here; the command may run twice on the same rows.
"""

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from vda.cluster.clusteroptions import ClusterOptions
from vda.cluster.sbatch import array_spec, blocks, default_lines, keep_batch
from vda.errors import WorkError
from vda.files import write_json
from vda.launch.onray import Needs, run_tasks
from vda.launch.slurmcommands import (
    ArrayTask,
    SilentSchedulerError,
    configuration,
    indices,
    queued,
    rehearse,
    require_slurm,
    submit,
)
from vda.records import Count, Within, read_record
from vda.reporter import Reporter
from vda.shown import counted

FOLDER: Final = "scaled_jobs"
_LOOK_SECONDS: Final = 5.0
# A task of a few videos at once; more cores than these are asked for with --jobs.
_CPUS: Final = 4
Missing = Callable[[], set[int]]


@dataclass(frozen=True)
class ScaleJobs:
    """``command`` are the words behind ``vda``, whole paths in them; ``rows_per_task`` rows go to a task.

    ``jobs`` videos are worked on at once in a task (None: as many as it has cores).
    """

    folder: Path
    command: tuple[str, ...]
    on: Literal["slurm", "ray"]
    rows_per_task: Annotated[int, Within(1)] = 100
    jobs: int | None = None
    on_gpu: bool = False
    slurm: tuple[str, ...] = ()
    ray_address: str | None = None
    retries: int = 3
    waits: bool = True

    @property
    def place(self) -> Path:
        return self.folder.resolve() / FOLDER

    def require_ready(self) -> None:
        """Refuse what can be known by now not to work, before anything is written."""
        if self.on == "slurm":
            require_slurm()
            ClusterOptions.of_words(self.slurm)

    def hand_out(self, rows: range, missing: Missing, reporter: Reporter) -> None:
        """Have the ``missing`` ones of ``rows`` scaled; return when nothing more can come, or all is submitted.

        What is missing then is for the caller to tell.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        if self.on == "ray":
            self._on_ray(rows, missing, reporter)
        else:
            _Slurm(self, rows, missing, reporter).run()

    def shards(self, rows: range, missing: set[int]) -> list[int]:
        """The numbers of the ranges that have a row missing."""
        return sorted({(row - rows.start) // self.rows_per_task for row in missing if row in rows})

    def rows_of(self, rows: range, shard: int) -> range:
        first = rows.start + shard * self.rows_per_task
        return range(first, min(first + self.rows_per_task, rows.stop))

    def _on_ray(self, rows: range, missing: Missing, reporter: Reporter) -> None:
        tasks = {}
        for shard in self.shards(rows, missing()):
            part = self.rows_of(rows, shard)
            words = [*self.command, "--start-idx", str(part.start), "--end-idx", str(part.stop)]
            tasks[f"rows_{part.start:06d}"] = [*words, "--jobs", str(self.jobs or _CPUS)]
        needs = Needs(float(self.on_gpu), self.jobs or _CPUS)
        ended = run_tasks(tasks, needs, self.place, self.ray_address, retries=self.retries, reporter=reporter)
        refused = next((end for end in ended.values() if end.code == 2), None)
        if refused is not None:
            raise WorkError(f"A task was refused: {refused.said.strip()}", f"Its log is in {self.place}.")


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


@dataclass
class _Slurm:
    jobs: ScaleJobs
    rows: range
    missing: Missing
    reporter: Reporter
    _begun: float = field(default_factory=time.time)

    def run(self) -> None:
        batch = self.jobs.place / "shards.sbatch"
        options = ClusterOptions.of_words(self.jobs.slurm)
        if keep_batch(batch, batch_text(self.jobs, self.rows, options, _python_path())).is_changed:
            self.reporter.say(f"{batch} was changed by hand and is used as it is; --slurm changes nothing in it.")
        rehearse(batch, self.jobs.place, ["--array=0"])
        tries, before = 0, len(self.missing())
        while tries <= self.jobs.retries:
            given_up = self._submit(batch, options)
            if not self.jobs.waits:
                return
            self._wait(before)
            left = self.missing() - given_up - self._cancelled()
            if not left:
                return
            tries, before = (tries + 1, before) if len(left) >= before else (0, len(left))

    def _submit(self, batch: Path, options: ClusterOptions) -> set[int]:
        """Submit what is missing and in no live job; return the rows of tasks that somebody cancelled."""
        live = {row for entry, task in self._tasks() if task.is_live for row in entry.rows_of(task.index)}
        cancelled = self._cancelled()
        todo = self.jobs.shards(self.rows, self.missing() - live - cancelled)
        if live:
            self.reporter.say(f"{counted(len(live), 'row')} are queued or at work already.")
        most = int(configuration().get("MaxArraySize", "1001"))
        for offset, shards in blocks(todo, most):
            spec = array_spec(shard - offset for shard in shards)
            limit = f"%{options.at_once}" if options.at_once else ""
            job = submit(batch, self.jobs.place, [f"--array={spec}{limit}"], [str(offset)])
            first = self.jobs.rows_of(self.rows, offset).start
            entry = SubmittedRows(job, first, self.jobs.rows_per_task, self.rows.stop, spec, time.time())
            self._note(entry)
            self.reporter.say(
                f"Job {job}: {counted(len(shards), 'task')} of {self.jobs.rows_per_task} rows ({spec})."
            )
        return cancelled

    def _wait(self, total: int) -> None:
        self.reporter.begin("scaling", total)
        silent = False
        try:
            while True:
                left = self.missing()
                self.reporter.at(total - len(left))
                if not left:
                    return
                try:
                    if not any(task.is_live for _, task in self._tasks()):
                        return
                    silent = False
                except SilentSchedulerError as error:
                    if not silent:
                        self.reporter.say(f"{error.problem} Until it does, the files alone tell how far it is.")
                    silent = True
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            self.reporter.say(
                f"The jobs go on without this command; 'scancel {' '.join(self._live_jobs())}' ends them."
            )
            raise

    def _tasks(self) -> Iterator[tuple[SubmittedRows, ArrayTask]]:
        entries = {entry.job: entry for entry in self._submitted()}
        for task in queued(list(entries)):
            if task.index >= 0 and task.index in indices(entries[task.job].shards):
                yield entries[task.job], task

    def _cancelled(self) -> set[int]:
        """Rows of tasks of this command that somebody cancelled: whoever did wants them to rest."""
        mine = (pair for pair in self._tasks() if pair[0].time >= self._begun)
        return {row for entry, task in mine if task.state == "CANCELLED" for row in entry.rows_of(task.index)}

    def _live_jobs(self) -> list[str]:
        return list(dict.fromkeys(task.job for _, task in self._tasks() if task.is_live))

    def _submitted(self) -> list[SubmittedRows]:
        path = self.jobs.place / "submitted.json"
        if not path.is_file():
            return []
        return read_record(path, list[SubmittedRows], "Remove that file; 'squeue --me' shows the jobs it names.")

    def _note(self, entry: SubmittedRows) -> None:
        """Add a job; of those before, the ones that SLURM still knows."""
        known = {task.job for _, task in self._tasks()}
        kept = [other for other in self._submitted() if other.job in known or time.time() - other.time < 3600]
        write_json(self.jobs.place / "submitted.json", [asdict(one) for one in (*kept, entry)])


_BATCH = """\
#!/bin/bash
# Rows of a table as a job array of SLURM: index I scales {size} rows from row {start} + (OFFSET + I) * {size} on,
# where OFFSET is this file's first argument, or 0. By hand, for the first ten tasks:
#   sbatch --array=0-9 {batch}
{lines}

python={python}
{environment}cd {folder} || exit 1
first=$(({start} + (${{1:-0}} + SLURM_ARRAY_TASK_ID) * {size}))
last=$((first + {size}))
[ "$last" -gt {stop} ] && last={stop}

# USR1 comes ahead of the time limit: what is done is kept, and this task alone is queued again.
told=
trap 'told=yes; kill -TERM "$task" 2>/dev/null' USR1
echo "rows $first to $last: task ${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID on ${{SLURMD_NODENAME:-$HOSTNAME}}"
"$python" -m vda {command} --start-idx "$first" --end-idx "$last" --jobs {jobs} &
task=$!
# A signal ends the waiting, not the task.
while kill -0 "$task" 2>/dev/null; do
    wait "$task"
done
wait "$task"
code=$?
[ -n "$told" ] && [ "$code" -gt 1 ] && scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
exit "$code"
"""


def batch_text(jobs: ScaleJobs, rows: range, options: ClusterOptions, path_variable: str = "") -> str:
    """The batch file, made to be read; ``path_variable`` is the login's PYTHONPATH."""
    place = jobs.place
    log = f"{str(place).replace('%', '%%')}/shard_%a.slurm-%A_%a.log"
    name = f"vda-{re.sub(r'[^A-Za-z0-9._-]+', '-', jobs.folder.resolve().name)}"
    cpus = jobs.jobs or _CPUS
    lines = default_lines(name, log, options, "gpu:1" if jobs.on_gpu else "", cpus)
    return _BATCH.format(
        size=jobs.rows_per_task,
        start=rows.start,
        stop=rows.stop,
        batch=shlex.quote(str(place / "shards.sbatch")),
        lines="\n".join(lines),
        python=shlex.quote(sys.executable),
        environment=f"export PYTHONPATH={shlex.quote(path_variable)}\n" if path_variable else "",
        folder=shlex.quote(str(place)),
        command=shlex.join(jobs.command),
        jobs=str(jobs.jobs) if jobs.jobs else f'"${{SLURM_CPUS_PER_TASK:-{cpus}}}"',
    )


def _python_path() -> str:
    """Where this process finds what it runs, if the environment says so; absolute, for any folder."""
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(str(Path(part).resolve()) for part in parts if part)
