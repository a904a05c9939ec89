"""Where chunks are handed to an engine that people run already: scenes are begun as at home, and then handed over.

In: planned scenes and settings. Out: their raw windows, computed elsewhere. They are begun as by
``pipeline.run``; no device is looked for, for tasks run on other machines. How an engine works is not known here.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from vda.cluster import ray
from vda.cluster.arrays import limit_said, require_all
from vda.cluster.clusteroptions import cluster_folder
from vda.cluster.following import follow, where_to_look
from vda.cluster.proving import ask_for_proofs, by_proofs, proving_command, read_proofs
from vda.cluster.slurm import Submission, require_ready, run_first_jobs, submit_missing
from vda.cluster.staging import staging_said
from vda.cluster.submitted import Known, ask, read_submitted, was_handed_over
from vda.cluster.taskfiles import copies_said, read_copies, read_tasks
from vda.errors import InputError, SceneError, UsageError, VdaError
from vda.files import require_writable
from vda.launch.local import LocalLauncher
from vda.launch.slurmcommands import SilentSchedulerError, SubmitLimitError, cancel, room_may_come
from vda.machine.devices import Device, cpu_device
from vda.machine.locks import exclusive_lock
from vda.reporter import Reporter, Silence
from vda.scene.runstate import RunFiles
from vda.scene.scene import RunRecord, Scene
from vda.scene.status import scene_status
from vda.scene.windowstore import WindowStore
from vda.shown import quoted
from vda.supervisor import Crew, Following, make_free, require_disk, require_unsupervised
from vda.supervisor.resolve import Resolver, RunSettings

if TYPE_CHECKING:
    from vda.compute.precision import Proof

ENGINES = ("slurm", "ray")


def devices_of(settings: RunSettings) -> tuple[Device, ...]:
    """What a task will compute on, as far as that can be said from here."""
    if settings.devices == "cpu":
        return (cpu_device(),)
    return (Device("cluster", "cuda", "the GPU that a task is given"),)


def untried(record: RunRecord, devices: Sequence[Device]) -> "dict[str, Proof]":
    """No proofs, so float32: what first jobs would find (``--prove``) is not known before they ran."""
    return {}


@dataclass
class Handing:
    """Scenes handed to an engine; ``apart`` takes those that cannot be, and why; None: it is raised."""

    settings: RunSettings
    reporter: Reporter = field(default_factory=Silence)
    apart: dict[Scene, VdaError] | None = None
    submitted: list[tuple[Submission, list[int]]] = field(default_factory=list, init=False)
    ready: list[Scene] = field(default_factory=list, init=False)
    """Those whose tasks live no longer than the command."""

    def begin(self, scenes: list[Scene], *, again: int | None = None, check: bool = True) -> None:
        """Fix what the scenes are computed with, and submit what of them is missing."""
        for scene in scenes:
            self._try(scene, lambda scene: self._require_startable(scene))
        ready = self._ready(scenes)
        if not ready:
            return
        with ExitStack() as locks:
            # No supervisor's lock: tasks that begin meanwhile would wait for its end. Two commands at once would
            # submit the same chunks, which does no harm; this lock may reach no further than a machine.
            for scene in sorted(ready, key=lambda scene: scene.key):
                locks.enter_context(
                    exclusive_lock(cluster_folder(scene) / "submitting.lock", wait=True, optional=True)
                )
            crew = Crew(ready[0], LocalLauncher(), 1)
            resolver = Resolver(self.settings, devices_of(self.settings), crew, self.reporter)
            for scene in ready:
                self._try(scene, lambda scene: self._fix(scene, resolver, again, check))
            if ready := self._ready(ready):
                require_disk(ready)
            for scene in ready:
                self._try(scene, lambda scene: self._submit(scene, again))

    def _ready(self, scenes: list[Scene]) -> list[Scene]:
        return [scene for scene in scenes if scene not in (self.apart or {})]

    def wait(self, following: Following, *, again: int | None = None) -> None:
        """Wait until the tasks of all that was submitted are over; ``WorkError`` where something stays missing."""
        try:
            self._wait(following, again)
        except VdaError:
            self._say_copies()
            raise
        self._say_copies()

    def _say_copies(self) -> None:
        for scene in [*self.ready, *(submission.scene for submission, _ in self.submitted)]:
            # Those that are read go with the task, which is about to end.
            if copies := [copy for copy in read_copies(scene).values() if not copy.is_read]:
                self.reporter.say(copies_said(copies))

    def _wait(self, following: Following, again: int | None) -> None:
        only = None if again is None else (again,)
        if self.settings.on == "ray":
            return ray.compute(self.ready, self.settings, self.reporter, following, only, self.apart)
        self._require_room()
        follower = follow(self.submitted, self.settings.retries, self.reporter, following, only)
        try:
            follower.run()
        except VdaError:
            if self.apart is None:
                raise
            self.apart.update(follower.missing)

    def require_all(self) -> None:
        """Raise, or set apart, where SLURM had no room for all chunks: nobody waits to submit the others."""
        for submission, under_way in self.submitted:
            self._try(
                submission.scene, lambda scene, one=submission, taken=under_way: _require_taken(one, len(taken))
            )

    def _require_room(self) -> None:
        """Say what SLURM had no room for; raise what it said where nothing is under way that could make some."""
        refused = [one.refusal for one, _ in self.submitted if one.refusal is not None]
        if refused and not any(under_way for _, under_way in self.submitted):
            room_may_come(refused[0])
        for submission, under_way in self.submitted:
            if left := len(submission.without_room):
                of = f"chunks of {submission.scene.root}"
                self.reporter.say(limit_said(len(under_way), len(under_way) + left, of))

    def _try(self, scene: Scene, do: Any) -> None:
        try:
            do(scene)
        except (InputError, SceneError, UsageError, SubmitLimitError) as error:
            if self.apart is None:
                raise
            self.apart[scene] = error

    def _require_startable(self, scene: Scene) -> None:
        if self.settings.on == "ray":
            ray.require_ready(self.settings)
        else:
            require_ready(scene, self.settings)
        scene.require_video()
        require_writable(scene.run_dir)
        require_unsupervised(scene)
        if self.settings.restart:
            require_no_jobs(scene)
            make_free(scene)

    def _fix(self, scene: Scene, resolver: Resolver, again: int | None, check: bool) -> None:
        resolver.guess = by_proofs(scene)
        begun = None if self.settings.restart else scene.run_record()
        if self.settings.restart:
            scene.discard_computed()
        half = begun is not None and "auto" == begun.asked_precision == self.settings.precision != begun.precision
        if begun is None and self.settings.prove:
            ask_for_proofs(scene, resolver.draft(scene))
            first = ray.run_first_tasks if self.settings.on == "ray" else run_first_jobs
            first(scene, self.settings, proving_command(scene), self.reporter)
        if begun is not None and half and begun.precision != "fp32" and not read_proofs(scene, begun):
            raise SceneError(
                f"{scene.root} was begun in {begun.precision}, proven on other devices than the cluster's.",
                f"Give --precision {begun.precision} to have it computed so nevertheless, or --restart.",
            )
        resolver.fix(scene)
        record = scene.run_record()
        assert record is not None, "it was just fixed"
        if again is not None:
            scene.note_redone(again)
            scene.discard_chunk(again)
        elif check and not RunFiles(scene.run_dir).live_claims():
            # While tasks are at work, theirs is what is there.
            WindowStore.of(scene, record).put_aside_damaged(self.reporter)

    def _submit(self, scene: Scene, again: int | None) -> None:
        if self.settings.stage_video is not None:
            self.reporter.say(staging_said(scene))
        if self.settings.on == "ray":
            self.ready.append(scene)
            return
        submission = Submission.of(scene, self.settings, self.reporter)
        only = None if again is None else (again,)
        self.submitted.append((submission, submit_missing(submission, only)))


def _require_taken(submission: Submission, taken: int) -> None:
    if submission.refusal is not None and not taken:
        room_may_come(submission.refusal)
    require_all(taken, taken + len(submission.without_room), f"chunks of {submission.scene.root}")


def run_on_engine(
    scenes: list[Scene],
    settings: RunSettings,
    reporter: Reporter,
    *,
    again: int | None = None,
    check: bool = True,
    apart: dict[Scene, VdaError] | None = None,
    following: Following,
    waits: bool = True,
) -> None:
    """As ``pipeline.run``, by tasks of an engine; not ``waits``: it returns once they are submitted."""
    handing = Handing(settings, reporter, apart)
    handing.begin(scenes, again=again, check=check)
    if waits:
        handing.wait(following, again=again)
    else:
        for submission, under_way in handing.submitted:
            if under_way:
                reporter.say(where_to_look(submission.scene))
            elif not submission.without_room:
                reporter.say(f"All windows of {submission.scene.root} are there; nothing was submitted.")
        handing.require_all()


def stop_jobs(scene: Scene) -> list[str]:
    """Cancel the jobs of a scene that are queued or at work, and have their tasks end; return the jobs' ids."""
    if not was_handed_over(scene):
        return []
    stop = RunFiles(scene.run_dir).stop_path
    try:
        live = ask(scene).live_jobs
    except SilentSchedulerError:
        # Tasks look for it after each window; those that begin later end at once, and are not queued again.
        stop.touch()
        raise
    if live:
        stop.touch()
        cancel(live)
    return live


def require_no_jobs(scene: Scene) -> None:
    """Raise ``SceneError`` where jobs of the scene live: they would go on with what is about to be begun anew."""
    try:
        live = ask(scene).live_jobs if was_handed_over(scene) else []
    except UsageError:
        # There is no SLURM here to ask; tasks that are at work have claims.
        return
    if live:
        raise SceneError(
            f"Jobs of {scene.root} are queued or at work: {', '.join(live)}.",
            f"End them first with 'vda stop {quoted(scene.root)}'.",
        )


def has_live_jobs(scene: Scene) -> bool:
    return bool(ask(scene).live_jobs)


def joined_status(scene: Scene) -> dict[str, Any]:
    """``scene_status``, with what an engine and its tasks tell of the chunks.

    ``engine`` is None where nothing was submitted. Where SLURM does not answer, it is the files' word alone, and
    ``engine`` says why. ``copies``: those of the video that nodes have on their own disks.
    """
    status = scene_status(scene)
    status["copies"] = [asdict(copy) for copy in read_copies(scene).values()]
    problem, known = "", Known()
    try:
        known = ask(scene) if was_handed_over(scene) else known
    except VdaError as error:
        problem, known = error.problem, Known(jobs=[entry.job for entry in read_submitted(scene)])
    told, claims = read_tasks(scene), RunFiles(scene.run_dir).live_claims()
    for chunk in status["chunks"]:
        task, record = known.by_chunk.get(chunk["index"]), told.get(chunk["index"])
        if known.jobs:
            chunk["task"] = task and task.name
            chunk["task_state"] = task and (f"{task.state} ({task.reason})" if task.reason else task.state)
        if chunk["state"] == "done":
            continue
        if chunk["index"] in known.live:
            chunk["state"] = "running" if known.live[chunk["index"]].state == "RUNNING" else "waiting"
            chunk["device"] = (
                f"{record.device} of {task.node}" if record and task and task.node else chunk["device"]
            )
        elif chunk["index"] in claims:
            # Of Ray, or by hand.
            chunk["state"] = "running"
            chunk["device"] = f"{record.device} of {record.host}" if record else chunk["device"]
        elif record is not None and record.exit in (1, 2):
            chunk["state"], chunk["error"] = "failed", record.problem or chunk["error"]
            chunk["attempts"] = max(chunk["attempts"], record.attempts)
    if (known.live or claims) and status["state"] in ("planned", "incomplete", "failed"):
        status["state"] = "running"
    elif status["state"] == "incomplete" and any(chunk["state"] == "failed" for chunk in status["chunks"]):
        status["state"] = "failed"
    if not known.jobs and not problem:
        return {**status, "engine": None}
    engine = {
        "name": "slurm",
        "jobs": known.jobs,
        "live_jobs": known.live_jobs,
        "running": sum(task.state == "RUNNING" for task in known.live.values()),
        "waiting": sum(task.state != "RUNNING" for task in known.live.values()),
        "accounting": known.has_accounting,
        "problem": problem or None,
    }
    return {**status, "engine": engine}


__all__ = [
    "ENGINES",
    "Handing",
    "devices_of",
    "has_live_jobs",
    "joined_status",
    "require_no_jobs",
    "require_ready",
    "run_on_engine",
    "stop_jobs",
    "untried",
]
