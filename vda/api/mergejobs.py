"""Merging on a cluster: one job for the fits, an array of ranges of frames, and one for the end.

In: a scene whose windows are there. Out: its merged depth, the bytes of ``vda merge`` alone. Each job runs
``vda merge --part``, which anybody can run by hand, and looks for itself whether what it needs is there; so jobs
wait for the end of those before them, however that was. ``vda_run/cluster/merge.sbatch`` is the one batch file of
all of them. The same command, given again, submits what is missing.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vda.api.keywords import require_unused
from vda.cluster.arrays import array_spec, as_soon_as_taken
from vda.cluster.clusteroptions import ClusterOptions, cluster_folder, require_possible, require_seen
from vda.cluster.sbatch import default_lines, job_name, keep_batch, merge_text
from vda.cluster.slurm import nodes_of, python_path
from vda.cluster.submitted import ask, note_unnoted, submit_noted
from vda.depthmaps.codes import DepthRecord
from vda.errors import UsageError, WorkError
from vda.launch.interrupts import first_is_asked
from vda.launch.onray import Needs, RayTasks
from vda.launch.raycommands import RayCommand, run_all
from vda.launch.slurmcommands import (
    SubmitLimitError,
    cancel,
    configuration,
    has_room,
    partitions,
    rehearse,
    require_slurm,
)
from vda.merging.fits import PartsLeft, parts_left
from vda.merging.parts import Part
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.workplace import PartFiles
from vda.reporter import Reporter
from vda.scene.runstate import RunFiles, last_lines
from vda.scene.scene import Scene
from vda.shown import counted, quoted

Elsewhere = Literal["slurm", "ray"]


WORK = "merge"
# Of a range, unless the number of ranges is given: a minute's work or more, beside a start of seconds.
_BLOCKS_A_RANGE, _MOST_RANGES = 4, 64
_MOST_CPUS = 8
# Merging computes on no GPU: what the scene's chunks are given is not asked for.
_OF_CHUNKS = ("gres", "gpus", "gpus-per-node", "gpus-per-task", "at-once")
_LOOK_SECONDS, _ASK_SECONDS = 1.0, 5.0
# Ray says that a node was lost; a range that fails so often fails for a reason.
_RETRIES = 3


@dataclass(frozen=True)
class MergeJobs:
    """How the parts of a scene's merge are submitted; ``words`` are sbatch's options, given over those kept."""

    scene: Scene
    settings: MergeSettings
    words: tuple[str, ...]
    reporter: Reporter

    def submit(self, left: PartsLeft, ranges: int | None) -> list[str]:
        """Submit what is missing; return the jobs' ids.

        Where SLURM has no room for as many ``ranges`` they are fewer, and one task merges alone where it has none
        for three. Raises ``SubmitLimitError`` where it takes no job at all.
        """
        wanted = _count_of(left, ranges)
        self._prepare(["--array=0"], wanted)
        count = self._with_room(left, wanted)
        if count == 0:
            job = self._submit("all", [])
            self.reporter.say(f"SLURM takes no more jobs of yours for now than one, {job}, which merges alone.")
            return [job]
        if count < wanted:
            fewer = counted(count, "range")
            self.reporter.say(f"SLURM takes no more jobs of yours for now: {fewer} in place of {wanted}.")
        jobs: list[str] = []
        try:
            self._submit_parts(left, count, jobs)
        except SubmitLimitError:
            # Others took the room since; a part without those behind it makes nothing.
            cancel(jobs)
            raise
        return jobs

    def _with_room(self, left: PartsLeft, wanted: int) -> int:
        """How many ranges SLURM has room for, of ``wanted`` at the most, with what comes before and after them."""
        others = 2 if left.fits is None else 1
        count = wanted
        while count and not has_room(self._path, self.scene.root, len(left.ranges(count)) + others):
            count //= 2
        return count

    def _submit_parts(self, left: PartsLeft, count: int, jobs: list[str]) -> None:
        """Submit each part behind those before it, and add its id to ``jobs``."""
        if left.fits is None:
            jobs.append(self._submit("fits", []))
        if indices := left.ranges(count):
            at_once = self._options().at_once
            spec = f"--array={array_spec(indices)}{f'%{at_once}' if at_once else ''}"
            jobs.append(self._submit(str(count), jobs[-1:], [spec], array_spec(indices)))
        jobs.append(self._submit("end", jobs[-1:]))
        self.reporter.say(
            f"Jobs {', '.join(jobs)}: the merge of {self.scene.root}, "
            f"{counted(len(indices), 'range')} of frames and what comes before and after."
        )

    def submit_all(self, after: Sequence[str]) -> str:
        """Submit the merge as one job, once the jobs ``after`` have ended, however they did."""
        self._prepare([], 1)
        job = self._submit("all", after)
        self.reporter.say(f"Job {job}: the merge of {self.scene.root}, once the others have ended.")
        return job

    def _options(self) -> ClusterOptions:
        """Those given, over those kept with the scene but for what only its chunks need."""
        kept = ClusterOptions.kept_with(self.scene).values
        of_all = {name: value for name, value in kept.items() if name not in _OF_CHUNKS}
        return ClusterOptions.of_words(self.words, ClusterOptions(of_all))

    @property
    def _path(self) -> Path:
        return cluster_folder(self.scene).resolve() / "merge.sbatch"

    def _prepare(self, options: Sequence[str], count: int) -> None:
        """Write the batch file, and have SLURM look at it; raises what it would refuse."""
        require_slurm()
        # Of an earlier run: tasks that are told to end are not queued again where it is.
        RunFiles(self.scene.run_dir).stop_path.unlink(missing_ok=True)
        asked = self._options()
        found = nodes_of(asked)
        require_possible(asked, partitions(), None, needs_gpu=False)
        require_seen(
            {"The scene": self.scene.root, "Python": Path(sys.executable)}, all(node.is_here for node in found)
        )
        if count >= (largest := int(configuration().get("MaxArraySize", "1001"))):
            raise UsageError(f"This SLURM takes arrays of fewer than {largest} tasks.", "Give fewer --ranges.")
        cpus = min([_MOST_CPUS, *(node.cpus for node in found)])
        lines = default_lines(f"{job_name(self.scene)}-{WORK}", self._log("%j", doubled=True), asked, "", cpus)
        text = merge_text(self.scene, self._path, lines, self.settings.words(), python_path())
        batch = keep_batch(self._path, text)
        if batch.is_changed:
            self.reporter.say(
                f"{batch.path} was changed by hand and is used as it is; options change nothing in it."
            )
        self.scene.logs_dir.mkdir(exist_ok=True)
        rehearse(self._path, self.scene.root, options)

    def _log(self, job: str, *, doubled: bool = False) -> str:
        folder = str(self.scene.logs_dir.resolve())
        return f"{folder.replace('%', '%%') if doubled else folder}/merge.slurm-{job}.log"

    def _submit(self, part: str, after: Sequence[str], options: Sequence[str] = (), indices: str = "") -> str:
        more = [f"--output={self._log('%A_%a', doubled=True)}"] if indices else []
        if after:
            more.append(f"--dependency=afterany:{':'.join(after)}")
        return submit_noted(self.scene, self._path, [*options, *more], [part], work=WORK, chunks=indices)


def merge_on_slurm(
    scene: Scene,
    settings: MergeSettings,
    words: tuple[str, ...],
    reporter: Reporter,
    *,
    ranges: int | None = None,
    waits: bool = True,
) -> MergeResult | None:
    """Submit what is missing of the merge of ``scene``, unless it is queued or at work already, and wait for it.

    None where it is not waited for. Raises what ``merge`` refuses at its start, ``WorkError`` where jobs have
    ended and the depth is not there.
    """
    require_slurm()
    before = _stamp(scene)
    left = parts_left(scene, settings)
    if isinstance(left, MergeResult):
        return left
    note_unnoted(scene)
    jobs = _live_jobs(scene)
    if jobs:
        reporter.say(f"The merge of {scene.root} is queued or at work already: {', '.join(jobs)}.")
    else:
        handing = MergeJobs(scene, settings, words, reporter)
        if waits:
            jobs = as_soon_as_taken(lambda: handing.submit(left, ranges), reporter)
        else:
            jobs = handing.submit(left, ranges)
    if not waits:
        reporter.say(f"Look at it with 'vda status {quoted(scene.root)}', or end it with 'vda stop'.")
        return None
    _wait(scene, jobs, left, reporter)
    if PartFiles.of(scene).state() is not None or _stamp(scene) in (None, before):
        raise _not_merged(scene, jobs)
    return _result(scene)


def _live_jobs(scene: Scene) -> list[str]:
    """The jobs of a merge that are queued or at work."""
    return list(dict.fromkeys(task.job for task in ask(scene, only_noted=True).others if task.is_live))


def _wait(scene: Scene, jobs: Sequence[str], left: PartsLeft, reporter: Reporter) -> None:
    """Wait until none of the jobs lives, and tell how far they are; Ctrl-C ends the waiting alone."""
    files, asked = PartFiles.of(scene), float("-inf")
    reporter.begin("merging", left.frames)
    with first_is_asked() as interrupted:
        while True:
            if interrupted():
                reporter.say("The jobs go on without this command; 'vda stop' with the scene ends them.")
                raise KeyboardInterrupt
            if files.state() is not None:
                reporter.at(left.frames_in(files.whole_blocks()))
            if time.monotonic() - asked > _ASK_SECONDS:
                if not set(_live_jobs(scene)) & set(jobs):
                    break
                asked = time.monotonic()
            time.sleep(_LOOK_SECONDS)


def _stamp(scene: Scene) -> tuple[int, int] | None:
    """What tells one record of merged depth from the next; None where there is none."""
    with suppress(FileNotFoundError):
        found = scene.depth_record_path.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def _not_merged(scene: Scene, jobs: Sequence[str]) -> WorkError:
    """What the first of the jobs that failed says."""
    logs = [log for job in jobs for log in sorted(scene.logs_dir.glob(f"merge.slurm-{job}*.log"))]
    failed = [log for log in logs if "Error: " in last_lines(log)] or logs[-1:]
    return WorkError(
        f"The depth of {scene.root} is not merged: jobs {', '.join(jobs)} have ended.",
        "Give the same command again: it submits just what is missing.",
        log=failed[0] if failed else None,
        tail=last_lines(failed[0]) if failed else "",
    )


def _result(scene: Scene) -> MergeResult:
    record = DepthRecord.read(scene.depth_record_path)
    return MergeResult(scene.merged_dir, record.frames, tuple(record.remarks))


def _count_of(left: PartsLeft, ranges: int | None) -> int:
    return min(ranges or min(-(-left.blocks // _BLOCKS_A_RANGE), _MOST_RANGES), left.blocks)


def merge_on_ray(
    scene: Scene,
    settings: MergeSettings,
    address: str | None,
    reporter: Reporter,
    *,
    ranges: int | None = None,
) -> MergeResult:
    """Make what is missing of the merge of ``scene`` as tasks of Ray, and wait for it; as ``merge_on_slurm``."""
    left = parts_left(scene, settings)
    if isinstance(left, MergeResult):
        return left
    with RayTasks(address, Needs(0.0), [scene.logs_dir / "ray.log"]) as tasks:
        reporter.say(f"The merge of {scene.root} on {tasks.name}: {counted(len(tasks.nodes), 'node')}.")
        if left.fits is None:
            _run_on_ray(scene, tasks, {"fits": ["--part", "fits", *settings.words()]}, reporter)
            found = parts_left(scene, settings)
            left = found if isinstance(found, PartsLeft) else left
        count = _count_of(left, ranges)
        parts = {f"{index}/{count}": ["--part", f"{index}/{count}"] for index in left.ranges(count)}
        files, total = PartFiles.of(scene), left
        reporter.begin("merging", left.frames)
        _run_on_ray(scene, tasks, parts, reporter, lambda: total.frames_in(files.whole_blocks()))
        _run_on_ray(scene, tasks, {"end": ["--part", "end"]}, reporter)
    return _result(scene)


def _run_on_ray(
    scene: Scene,
    tasks: RayTasks,
    parts: dict[str, list[str]],
    reporter: Reporter,
    steps: Callable[[], int] = lambda: 0,
) -> None:
    """Run parts at once, each again where its node was lost; ``WorkError`` where one fails."""
    place = str(scene.root.resolve())
    commands = {
        part: RayCommand(
            ["merge", place, *words, "--quiet"], scene.logs_dir / f"merge.ray-{part.replace('/', '-')}.log"
        )
        for part, words in parts.items()
    }
    ended = run_all(tasks, commands, reporter, retries=_RETRIES, until_failure=True, steps=steps)
    for part, end in ended.items():
        if end.code != 0:
            log = commands[part].log
            raise WorkError(
                f"Part {part} of the merge of {scene.root} failed: {end.lost or f'exit code {end.code}'}.",
                "Give the same command again: it makes just what is missing.",
                log=log if log.is_file() else None,
                tail=last_lines(log),
            )


def merge_elsewhere(
    scene: Scene,
    settings: MergeSettings,
    on: Elsewhere,
    *,
    slurm: tuple[str, ...] = (),
    ray_address: str | None = None,
    ranges: int | None = None,
    waits: bool = True,
    part: Part | None = None,
    discard_windows: bool = False,
    reporter: Reporter,
) -> MergeResult | None:
    """Merge ``scene`` on the engine ``on``; None where it is not waited for (``waits``).

    Raises ``UsageError`` for options that do not belong together, and what the engine's merge raises.
    """
    if part is not None:
        raise UsageError(
            "--part is one part of a merge, and --on has an engine make all of them.", "Leave one of them out."
        )
    if discard_windows and not waits:
        raise UsageError(
            "--discard-windows removes windows at the end, which --detach does not wait for.", "Leave one out."
        )
    if on == "ray":
        require_unused(on, {"--slurm": slurm, "--detach": not waits})
        result: MergeResult | None = merge_on_ray(scene.require(), settings, ray_address, reporter, ranges=ranges)
    else:
        require_unused(on, {"--ray-address": ray_address})
        result = merge_on_slurm(scene.require(), settings, slurm, reporter, ranges=ranges, waits=waits)
    if result is not None:
        for sentence in result.remarks:
            reporter.say(sentence)
        if discard_windows:
            scene.discard_windows()
    return result
