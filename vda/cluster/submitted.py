"""The jobs that were submitted for a scene, a file each: ``vda_run/cluster/submitted/<engine>-<job>.json``.

In: jobs, as commands on any machines submit them. Out: the list of them, for whoever looks for jobs that live, or
ends them. Each file is written whole, once, by the command that submitted the job, and nobody ever reads a list to
write it again: no lock is needed, and none reaches every login node. This file asks an engine nothing.
"""

import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from vda.errors import InputError
from vda.files import TEMPORARY_PREFIX, write_json
from vda.launch.slurmcommands import indices, whoami
from vda.records import Count, Within, read_record
from vda.scene.runstate import RunFiles, device_slug
from vda.scene.scene import Scene


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


def forget_submitted(scene: Scene, jobs: Iterable[str], engine: str = "slurm") -> None:
    """Leave out jobs, by id, that are of no interest any more."""
    for job in jobs:
        _path(scene, engine, job).unlink(missing_ok=True)


def _path(scene: Scene, engine: str, job: str) -> Path:
    return _folder(scene) / f"{engine}-{device_slug(job)}.json"


def _folder(scene: Scene) -> Path:
    return RunFiles(scene.run_dir).submitted_dir
