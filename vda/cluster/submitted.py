"""The jobs that were submitted for a scene, a file each: ``vda_run/cluster/submitted/<engine>-<job>.json``.

In: jobs, as commands on any machines submit them. Out: the list of them, and what SLURM knows of their tasks, for
whoever looks for those that live, or ends them. Each file is written whole, once, by the command that submitted
the job, and nobody ever reads a list to write it again: no lock is needed, and none reaches every login node.

A command may die between ``sbatch`` and its file, or be told of a time-out while SLURM takes the job. Such a job
is found at SLURM by the batch file that it was submitted by, which is the scene's own.
"""

import platform
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from vda.cluster.arrays import array_spec
from vda.cluster.clusteroptions import cluster_folder
from vda.errors import InputError
from vda.files import TEMPORARY_PREFIX, write_first, write_json
from vda.launch.interrupts import first_is_asked
from vda.launch.slurmcommands import ArrayTask, BatchTask, accounted, indices, live_in, queued, submit, whoami
from vda.records import Count, Within, read_record
from vda.scene.runstate import RunFiles, device_slug
from vda.scene.scene import Scene

# Batch files with what they are given: by hand something else may be submitted, such as chunks without an offset.
_OURS = re.compile(r"chunks\.sbatch \d+|merge\.sbatch \w+|proof_\d+\.sbatch")


@dataclass(frozen=True)
class Submitted:
    """A job that was submitted for a scene: ``chunks`` as SLURM writes numbers, ``0-17,20``.

    ``offset``: array index 0 is the chunk of that number. ``work`` is ``chunks``, or what else the job does.
    """

    engine: str
    job: str
    work: str = "chunks"
    chunks: str = ""
    offset: Count = 0
    time: Annotated[float, Within(0)] = 0.0
    user: str = ""
    host: str = ""
    batch_file: str = ""

    @classmethod
    def now(cls, job: str, batch: Path, work: str = "chunks", chunks: str = "", offset: int = 0) -> "Submitted":
        return cls("slurm", job, work, chunks, offset, time.time(), whoami(), platform.node(), batch.name)

    def chunk_numbers(self) -> list[int]:
        return indices(self.chunks)

    @property
    def _order(self) -> tuple[int, str, float]:
        # A later job has a larger number; the clocks of those who submit may disagree.
        return len(self.job), self.job, self.time


def read_submitted(scene: Scene, engine: str = "slurm") -> list[Submitted]:
    """The jobs that were submitted for a scene, the oldest first."""
    found = [_found(path) for path in _folder(scene).glob("*.json")]
    known = [entry for entry in found if entry is not None and entry.engine == engine]
    return sorted(known, key=lambda entry: entry._order)


def _found(path: Path) -> Submitted | None:
    try:
        return read_record(path, Submitted, "Remove that file; its job can be seen with 'squeue --me'.")
    except InputError:
        # Half written by another command, or forgotten by one at this moment.
        if path.name.startswith(TEMPORARY_PREFIX) or not path.exists():
            return None
        raise


def note_submitted(scene: Scene, entry: Submitted) -> None:
    """Add a job to those that were submitted."""
    write_json(_path(scene, entry.engine, entry.job), asdict(entry))


def was_handed_over(scene: Scene) -> bool:
    """Whether a job of the scene may ever have been submitted: none is without its batch file, or its note."""
    return any(cluster_folder(scene).glob("*.sbatch")) or bool(read_submitted(scene))


def unnoted(scene: Scene) -> list[Submitted]:
    """Jobs of this user that live, were submitted by a batch file of the scene, and are not on the list."""
    folder = cluster_folder(scene).resolve()
    if not any(folder.glob("*.sbatch")):
        return []
    jobs: dict[str, list[BatchTask]] = {}
    for one in live_in(folder):
        if _OURS.fullmatch(" ".join([one.batch, *one.arguments])):
            jobs.setdefault(one.task.job, []).append(one)
    # Only now: a command that has just submitted one of them may have noted it since.
    for noted in read_submitted(scene):
        jobs.pop(noted.job, None)
    return [_as_submitted(tasks, folder) for tasks in jobs.values()]


def note_unnoted(scene: Scene) -> bool:
    """Put the jobs that ``unnoted`` finds on the list, unless their own command does so by now; whether any is."""
    found = unnoted(scene)
    for entry in found:
        write_first(_path(scene, entry.engine, entry.job), asdict(entry))
    return bool(found)


def _as_submitted(tasks: Sequence[BatchTask], folder: Path) -> Submitted:
    """A job by those of its tasks that live."""
    batch, arguments = tasks[0].batch, tasks[0].arguments
    work = batch.removesuffix(".sbatch").partition("_")[0]
    offset = int(arguments[0]) if work == "chunks" else 0
    chunks = array_spec(offset + one.task.index for one in tasks if one.task.index >= 0)
    return Submitted.now(tasks[0].task.job, folder / batch, work, chunks, offset)


def forget_submitted(scene: Scene, jobs: Iterable[str], engine: str = "slurm") -> None:
    """Leave out jobs, by id, that are of no interest any more."""
    for job in jobs:
        _path(scene, engine, job).unlink(missing_ok=True)


def submit_noted(
    scene: Scene,
    batch: Path,
    options: Sequence[str] = (),
    arguments: Sequence[str] = (),
    *,
    work: str = "chunks",
    chunks: str = "",
    offset: int = 0,
) -> str:
    """Submit a job and note it, whatever comes between: one that nobody knows of is ended by nobody."""
    with first_is_asked() as interrupted:
        job = submit(batch, scene.root, options, arguments)
        note_submitted(scene, Submitted.now(job, batch, work, chunks, offset))
        if interrupted():
            raise KeyboardInterrupt
    return job


@dataclass(frozen=True)
class Known:
    """What SLURM knows of a scene's jobs: ``by_chunk`` the last task of each chunk, ``live`` one that lives.

    ``live_jobs`` are all that live: two commands at once submit a chunk twice.
    """

    by_chunk: dict[int, ArrayTask] = field(default_factory=dict)
    live: dict[int, ArrayTask] = field(default_factory=dict)
    others: list[ArrayTask] = field(default_factory=list)
    """Of jobs that are no chunks, such as a merge."""
    has_accounting: bool | None = None
    """None: it was not asked, for the controller still knew all."""
    live_jobs: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    """Those that were submitted, whatever SLURM still knows of them."""


def ask(
    scene: Scene,
    accounting: Callable[[Sequence[str]], list[ArrayTask] | None] = accounted,
    *,
    only_noted: bool = False,
) -> Known:
    """What SLURM knows of the scene's jobs; ``SilentSchedulerError`` where it does not answer.

    The controller forgets what ended minutes ago (MinJobAge); that is asked of the accounting, if there is any.
    ``only_noted`` leaves out jobs that nobody noted, which is asked of all jobs that the user has.
    """
    unlisted = [] if only_noted else unnoted(scene)
    submitted = sorted([*unlisted, *read_submitted(scene)], key=lambda entry: entry._order)
    seen = {(task.job, task.index): task for task in queued([entry.job for entry in submitted])}
    forgotten = [entry for entry in submitted if _tasks_of(entry) - seen.keys()]
    told = accounting([entry.job for entry in forgotten]) if forgotten else []
    for task in told or ():
        # What the accounting takes for alive while the controller knows nothing of it was lost in a crash.
        if not task.is_live:
            seen.setdefault((task.job, task.index), task)
    by_chunk, live, others = {}, {}, []
    jobs: dict[str, None] = {}
    for entry in submitted:
        found = [seen[key] for key in sorted(_tasks_of(entry) & seen.keys())]
        jobs |= {task.job: None for task in found if task.is_live}
        if entry.work != "chunks":
            others += found
            continue
        for task in found:
            by_chunk[entry.offset + task.index] = task
            if task.is_live:
                live[entry.offset + task.index] = task
    has_accounting = told is not None if forgotten else None
    return Known(by_chunk, live, others, has_accounting, list(jobs), [entry.job for entry in submitted])


def _tasks_of(entry: Submitted) -> set[tuple[str, int]]:
    # A merge's array counts ranges of frames; a job that is none has no numbers.
    if entry.work != "chunks" and not entry.chunks:
        return {(entry.job, -1)}
    return {(entry.job, chunk - entry.offset) for chunk in entry.chunk_numbers()}


def _path(scene: Scene, engine: str, job: str) -> Path:
    return _folder(scene) / f"{engine}-{device_slug(job)}.json"


def _folder(scene: Scene) -> Path:
    return RunFiles(scene.run_dir).submitted_dir
