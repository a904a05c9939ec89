"""Ranges of a table's rows handed to SLURM or Ray: each is a task that anybody could run by hand.

    <output>/scaled_jobs/
      shards.sbatch              the batch file as it was submitted; one that a person changed is used as it is
      submitted.json             the jobs, and which rows they have
      shard_003.slurm-71_3.log   what a task printed

In: a command without its rows, and how to see which rows are missing. Out: nothing but files of that command. What
a row is, and how it is scaled, is not known here; the command may run twice on the same rows.
"""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from vda.cluster.clusteroptions import ClusterOptions
from vda.cluster.sbatch import default_lines, watched
from vda.cluster.slurm import python_path
from vda.errors import WorkError
from vda.fvc.slurmrows import RowRanges, SlurmRows, log_name
from vda.launch.onray import Needs, RayTasks
from vda.launch.raycommands import RayCommand, run_all
from vda.launch.rayfaults import ray_address
from vda.launch.slurmcommands import require_slurm
from vda.machine.packages import require_package
from vda.records import Within
from vda.reporter import Reporter
from vda.shown import counted

FOLDER: Final = "scaled_jobs"
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
        else:
            require_package("ray", "--on ray", "ray")
            ray_address(self.ray_address)

    def hand_out(self, rows: range, missing: Missing, reporter: Reporter) -> None:
        """Have the ``missing`` ones of ``rows`` scaled; return when nothing more can come, or all is submitted.

        What is missing then is for the caller to tell.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        if self.on == "ray":
            self._on_ray(rows, missing, reporter)
        else:
            options = ClusterOptions.of_words(self.slurm)
            text = batch_text(self, rows, options, python_path())
            ranges = RowRanges(rows, self.rows_per_task)
            SlurmRows(self.place, text, options, ranges, missing, self.retries, reporter).run(waits=self.waits)

    def shards(self, rows: range, missing: set[int]) -> list[int]:
        """The numbers of the ranges that have a row missing."""
        return RowRanges(rows, self.rows_per_task).shards(missing)

    def rows_of(self, rows: range, shard: int) -> range:
        return RowRanges(rows, self.rows_per_task).rows_of(shard)

    def _on_ray(self, rows: range, missing: Missing, reporter: Reporter) -> None:
        wanted = missing()
        parts = [self.rows_of(rows, shard) for shard in self.shards(rows, wanted)]
        with RayTasks(
            self.ray_address, Needs(float(self.on_gpu), self.jobs or 0), [self.place / "ray.log"]
        ) as tasks:
            commands = {}
            for part in parts:
                words = ["--start-idx", str(part.start), "--end-idx", str(part.stop), "--jobs", str(tasks.cpus)]
                name = f"rows_{part.start:06d}"
                commands[name] = RayCommand([*self.command, *words], self.place / f"{name}.ray.log")
            reporter.say(f"{counted(len(parts), 'task')} on {tasks.name}: {counted(len(tasks.nodes), 'node')}.")
            reporter.begin("scaling", len(wanted))
            ended = run_all(
                tasks,
                commands,
                reporter,
                retries=self.retries,
                steps=lambda: len(wanted) - len(missing()),
            )
        refused = next((end for end in ended.values() if end.code == 2), None)
        if refused is not None:
            raise WorkError(f"A task was refused: {refused.said.strip()}", f"Its log is in {self.place}.")


_BATCH = """\
#!/bin/bash
# Rows of a table as a job array of SLURM: index I scales SIZE rows from row START + (OFFSET + I) * SIZE on, below
# row STOP. This file's arguments are OFFSET, START, SIZE and STOP. By hand, for the first ten tasks:
#   sbatch --array=0-9 {batch}
{lines}

python={python}
{environment}cd {folder} || exit 1
offset=${{1:-0}} start=${{2:-{start}}} size=${{3:-{size}}} stop=${{4:-{stop}}}
first=$((start + (offset + SLURM_ARRAY_TASK_ID) * size))
last=$((first + size))
[ "$last" -gt "$stop" ] && last=$stop

scene={folder}
"""


def batch_text(jobs: ScaleJobs, rows: range, options: ClusterOptions, path_variable: str = "") -> str:
    """The batch file, made to be read; ``path_variable`` is the login's PYTHONPATH."""
    place = jobs.place
    name = f"vda-{re.sub(r'[^A-Za-z0-9._-]+', '-', jobs.folder.resolve().name)}"
    cpus = jobs.jobs or _CPUS
    lines = default_lines(name, log_name(place), options, "gpu:1" if jobs.on_gpu else "", cpus)
    jobs_at_once = str(jobs.jobs) if jobs.jobs else f'"${{SLURM_CPUS_PER_TASK:-{cpus}}}"'
    words = f'{shlex.join(jobs.command)} --start-idx "$first" --end-idx "$last" --jobs {jobs_at_once}'
    head = _BATCH.format(
        size=jobs.rows_per_task,
        start=rows.start,
        stop=rows.stop,
        batch=shlex.quote(str(place / "shards.sbatch")),
        lines="\n".join(lines),
        python=shlex.quote(sys.executable),
        environment=f"export PYTHONPATH={shlex.quote(path_variable)}\n" if path_variable else "",
        folder=shlex.quote(str(place)),
    )
    return head + watched("rows $first to $last", f'"$python" -m vda {words}')
