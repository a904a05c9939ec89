"""Chunks handed to SLURM: what is missing and in no live job is submitted as job arrays, and waited for.

In: scenes whose run is fixed. Out: their raw windows, written by ``vda task`` on the cluster's nodes. All that
is known is in the scenes' files and in SLURM, so the same command, given again from anywhere, finds the tasks that
are queued or at work and submits the rest. When a task runs is SLURM's business, and requeueing it is, too.
"""

import os
import re
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vda.cluster.arrays import array_options, array_spec, as_soon_as_taken, submit_arrays
from vda.cluster.clusteroptions import ClusterOptions, cluster_folder, require_possible, require_seen
from vda.cluster.sbatch import (
    Batch,
    chunks_text,
    default_lines,
    job_name,
    keep_batch,
    log_pattern,
    proof_code,
    proof_text,
)
from vda.cluster.submitted import Known, ask, forget_submitted, note_unnoted, read_submitted, submit_noted
from vda.cluster.task import require_on_tasks, task_words
from vda.cluster.taskfiles import record_path
from vda.errors import UsageError, WorkError
from vda.launch.slurmcommands import (
    NodeFacts,
    SubmitLimitError,
    configuration,
    nodes,
    partitions,
    queued,
    rehearse,
    require_slurm,
)
from vda.reporter import Reporter
from vda.scene.runstate import RunFiles, last_lines
from vda.scene.scene import Scene
from vda.shown import counted
from vda.supervisor.resolve import RunSettings

# Beside a GPU, more cores than these have nothing to do; without one a task takes no whole node for itself.
_MOST_CPUS, _CPUS_ALONE = 8, 4
# A first job takes minutes, most of them in the queue.
_FIRST_JOB_SECONDS = 2.0


def require_ready(scene: Scene, settings: RunSettings) -> None:
    """Refuse, before anything is written, what can be known by now not to work. Raises ``UsageError``."""
    require_slurm()
    require_on_tasks(settings, "SLURM", "to choose from is --slurm gres= or constraint=")
    root = str(scene.root.resolve())
    if "\\" in root or "\n" in root:
        raise UsageError(
            f"SLURM writes no logs below {root}: it takes no backslash and no line end in a path.",
            "Rename the folder.",
        )
    options = ClusterOptions.of_words(settings.slurm, ClusterOptions.kept_with(scene))
    found = nodes_of(options)
    on_gpu = settings.devices != "cpu" and not options.names_gpus
    gpus = sum(node.gpus for node in found) if found else None
    require_possible(options, partitions(), gpus, needs_gpu=on_gpu)
    if int(configuration().get("MaxArraySize", "1001")) < 2:
        raise UsageError("This SLURM takes no job arrays (MaxArraySize).", "Ask who runs the cluster.")
    paths = {"The scene": scene.root, "Python": Path(sys.executable)}
    if scene.is_planned():
        paths["The video"] = scene.video().path
    require_seen(paths, all(node.is_here for node in found))


def nodes_of(options: ClusterOptions) -> list[NodeFacts]:
    """The nodes that tasks may run on; none where the partition is unknown, which is refused elsewhere."""
    return nodes(options.get("partition"))


@dataclass
class Submission:
    """How the chunks of one scene are submitted; ``options`` are those given now, over those kept with it."""

    scene: Scene
    settings: RunSettings
    reporter: Reporter
    options: ClusterOptions
    batch: Batch
    max_array_size: int
    without_room: list[int] = field(default_factory=list, init=False)
    """The chunks that SLURM took no job for, when a person asked for them; ``refusal`` is what it said."""
    refusal: SubmitLimitError | None = field(default=None, init=False)

    @classmethod
    def of(cls, scene: Scene, settings: RunSettings, reporter: Reporter) -> "Submission":
        """Write what is asked for and the batch file, and have SLURM look at it; raises what it would refuse."""
        options = ClusterOptions.of_words(settings.slurm, ClusterOptions.kept_with(scene))
        path = _batch_path(scene)
        batch = keep_batch(path, _batch_text(scene, settings, options))
        if batch.is_changed:
            reporter.say(f"{path} was changed by hand and is used as it is; --slurm changes nothing in it.")
        scene.logs_dir.mkdir(exist_ok=True)
        rehearse(path, scene.root, ["--array=0"])
        options.keep_with(scene)
        return cls(scene, settings, reporter, options, batch, int(configuration().get("MaxArraySize", "1001")))

    def submit(self, chunks: Iterable[int], known: Known) -> list[int]:
        """Submit arrays of ``chunks``; return those that SLURM took: it may take no more jobs of one person.

        Raises ``SubmitLimitError`` where it takes none.
        """
        live = known.live_jobs
        return submit_arrays(
            chunks,
            self.max_array_size,
            lambda part, offset, jobs: self._submit_array(part, offset, [*live, *jobs]),
        )

    def _submit_array(self, chunks: list[int], offset: int, after: list[str]) -> str:
        options = array_options((chunk - offset for chunk in chunks), self.options.at_once, after)
        if offset:
            options.append(f"--output={log_pattern(self.scene, offset)}")
        spec, batch = array_spec(chunks), self.batch.path
        job = submit_noted(self.scene, batch, options, [str(offset)], chunks=spec, offset=offset)
        more = f"; index I of it is chunk {offset} + I" if offset else ""
        self.reporter.say(f"Job {job}: {counted(len(chunks), 'chunk')} of {self.scene.root} ({spec}){more}.")
        return job


def missing_chunks(scene: Scene, only: Sequence[int] | None = None) -> list[int]:
    return [chunk for chunk in scene.unfinished_chunks(scene.plan()) if only is None or chunk in only]


def submit_missing(submission: Submission, only: Sequence[int] | None = None) -> list[int]:
    """Submit what is missing and in no live job, as a person asked for it; return the chunks that are under way.

    What failed before is forgiven: a person wants it tried again. What SLURM has no room for is left in
    ``submission.without_room``.
    """
    scene, reporter = submission.scene, submission.reporter
    RunFiles(scene.run_dir).stop_path.unlink(missing_ok=True)
    note_unnoted(scene)
    known, missing = ask(scene, only_noted=True), missing_chunks(scene, only)
    under_way = [chunk for chunk in missing if chunk in known.live]
    if under_way:
        jobs = ", ".join(dict.fromkeys(known.live[chunk].job for chunk in under_way))
        reporter.say(
            f"{counted(len(under_way), 'chunk')} of {scene.root} are queued or at work already (job {jobs})."
        )
    todo = [chunk for chunk in missing if chunk not in known.live]
    for chunk in todo:
        record_path(scene, chunk).unlink(missing_ok=True)
    _forget_old(scene, known)
    taken: list[int] = []
    try:
        taken = submission.submit(todo, known) if todo else []
    except SubmitLimitError as error:
        submission.refusal = error
    submission.without_room = [chunk for chunk in todo if chunk not in taken]
    return [*under_way, *taken]


def _forget_old(scene: Scene, known: Known) -> None:
    """Leave out of the list of jobs what SLURM knows nothing of any more: it can only grow otherwise."""
    heard = {task.job for task in (*known.by_chunk.values(), *known.others)}
    forget_submitted(
        scene,
        [
            entry.job
            for entry in read_submitted(scene)
            if entry.job not in heard and entry.job not in known.live_jobs and time.time() - entry.time > 3600
        ],
    )


def _batch_text(scene: Scene, settings: RunSettings, options: ClusterOptions) -> str:
    on_cpu = settings.devices == "cpu"
    cpus = settings.threads or _share_of_cores(options, on_cpu=on_cpu)
    lines = default_lines(job_name(scene), log_pattern(scene), options, "" if on_cpu else "gpu:1", cpus)
    threads = str(settings.threads) if settings.threads else f'"${{SLURM_CPUS_PER_TASK:-{cpus}}}"'
    arguments = ["--threads", threads, *map(shlex.quote, task_words(settings))]
    return chunks_text(scene, _batch_path(scene), lines, arguments, python_path())


def _batch_path(scene: Scene) -> Path:
    return cluster_folder(scene).resolve() / "chunks.sbatch"


def python_path() -> str:
    """Where this process finds what it runs, if that was said by the environment; absolute, for any folder."""
    parts = [str(Path(part).absolute()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.pathsep.join(parts)


def _share_of_cores(options: ClusterOptions, *, on_cpu: bool) -> int:
    """The cores of a task: what a GPU has of its node's, where the least is; not more than it can use."""
    found = nodes_of(options)
    if on_cpu:
        return min([_CPUS_ALONE, *(node.cpus for node in found)])
    shares = [node.cpus // node.gpus for node in found if node.gpus]
    return max(min([_MOST_CPUS, *shares]), 1)


def gpu_kinds(settings: RunSettings, options: ClusterOptions) -> list[str]:
    """What to ask SLURM for to meet each kind of GPU that tasks may be given; "" asks for none, or for no kind."""
    if settings.devices == "cpu" or options.names_gpus:
        return [""]
    names = {name for node in nodes_of(options) for name in re.findall(r"\bgpu(?::([^:,()]+))?:\d+", node.gres)}
    return [f"gpu:{name}:1" if name else "gpu:1" for name in sorted(names)] or ["gpu:1"]


def run_first_jobs(scene: Scene, settings: RunSettings, command: Sequence[str], reporter: Reporter) -> None:
    """Run ``vda COMMAND`` as a job on each kind of device and wait; ``WorkError`` where one of them fails."""
    options = ClusterOptions.of_words(settings.slurm, ClusterOptions.kept_with(scene))
    scene.logs_dir.mkdir(exist_ok=True)
    jobs: list[str] = []
    for number, gres in enumerate(gpu_kinds(settings, options)):
        path = cluster_folder(scene).resolve() / f"proof_{number}.sbatch"
        log = f"{str(scene.logs_dir.resolve()).replace('%', '%%')}/proof.slurm-%j.log"
        lines = default_lines(job_name(scene, "proof"), log, options, gres)
        asked = [sys.executable, "-m", "vda", *command, "--devices", settings.devices]
        batch = keep_batch(path, proof_text(scene, lines, asked, python_path()))
        # Another kind's may have to end before.
        jobs.append(as_soon_as_taken(partial(submit_noted, scene, batch.path, work="proof"), reporter))
        reporter.say(f"Job {jobs[-1]} tries half precision{f' on {gres}' if gres else ''}.")
    while any(task.is_live for task in queued(jobs)):
        time.sleep(_FIRST_JOB_SECONDS)
    for job in jobs:
        told = proof_code(scene, job)
        if not told.is_file() or told.read_text().strip() != "0":
            log_path = scene.logs_dir / f"proof.slurm-{job}.log"
            raise WorkError(
                f"Job {job}, which was to try half precision for {scene.root}, did not come to its end.",
                "Look into its log, or leave --prove out: float32 needs no proof.",
                log=log_path if log_path.is_file() else None,
                tail=last_lines(log_path),
            )
