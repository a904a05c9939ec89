"""A video to depth in one call: what ``vda depth`` does, and what a program that uses the library calls.

In: videos or planned scenes, and settings. Out: finished scenes. What was asked for becomes what is used in
``resolve``, and the stages do the work; this file does not know how.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from vda.api.engines import ENGINES, devices_of, require_no_jobs, run_on_engine
from vda.api.films import DepthOutcome, Failure, InTurn, Merging, OfSeveral, require_none
from vda.calibration.fit import load_calibration
from vda.calibration.metres import require_metres
from vda.depthmaps.codes import DepthRecord, Kind
from vda.errors import DamagedWindowError, InputError, SceneError, UsageError, VdaError, WorkError
from vda.files import require_writable, sha256_file
from vda.launch import Launcher
from vda.launch.detached import UNITS_VARIABLE
from vda.launch.interrupts import scheduler_asks
from vda.machine.choice import Choice, choose_devices
from vda.machine.devices import Device, Inventory
from vda.machine.shortage import COMPUTING_BYTES, require_memory, system_error
from vda.merging.looks import require_views
from vda.merging.parts import Part, merge_part
from vda.merging.request import refuse_foreign
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.stage import asked_of, merge, require_overlaps
from vda.merging.workplace import settle
from vda.models.weights import Obtain, choose_model, require_fitting
from vda.network.presets import PRESETS
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Plan
from vda.scene.scene import Scene
from vda.scene.windowstore import WindowStore
from vda.shown import counted, quoted
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.supervisor import Crew, Following, Supervisor, hold, make_free, require_disk, window_bytes
from vda.supervisor.resolve import Resolver, RunSettings
from vda.video import notes_of
from vda.viewing.reports import report_scene

_ANY_PLAN = PlanSettings()
_NOTHING_FOLLOWS = Following()
K = TypeVar("K")


def plan_scene(
    video: Path,
    root: Path,
    settings: PlanSettings = _ANY_PLAN,
    *,
    restart: bool = False,
    devices: tuple[Device, ...] = (),
    scenes: int = 1,
    reporter: Reporter | None = None,
) -> Scene:
    """Split ``video`` into chunks in the scene directory ``root``; an equal plan that is there is kept."""
    reporter = reporter or Silence()
    scene = Scene(root)
    if restart:
        require_no_jobs(scene)
    plan = split(
        video,
        scene,
        settings,
        restart=restart,
        devices=tuple(device.id for device in devices),
        scenes=scenes,
        reporter=reporter,
    )
    for note in scene_notes(scene):
        reporter.say(note)
    windows = sum(1 for _ in plan.windows())
    reporter.say(f"{plan.count_words()}, {counted(len(plan.chunks), 'chunk')}, {counted(windows, 'window')}.")
    if settings.extract:
        _extract(scene, plan, reporter)
    return scene


def _extract(scene: Scene, plan: Plan, reporter: Reporter) -> None:
    from vda.splitting.extract import extract_clips

    extract_clips(*scene.film(), plan, scene.clips_dir, reporter=reporter)


def scene_notes(scene: Scene) -> tuple[str, ...]:
    """What is unusual about the scene's video, or wrong with it, in sentences."""
    return notes_of(*scene.film())


def find_devices(request: str, reporter: Reporter | None = None) -> Choice:
    """Resolve ``--devices`` on this machine, and say what was left alone."""
    choice = choose_devices(request, Inventory.of_this_machine())
    for device, reason in choice.skipped:
        (reporter or Silence()).say(f"{device.label} is left alone: {reason}.")
    for note in choice.notes:
        (reporter or Silence()).say(note)
    return choice


def run(
    scenes: list[Scene],
    settings: RunSettings,
    reporter: Reporter | None = None,
    *,
    again: int | None = None,
    check: bool = True,
    apart: dict[Scene, VdaError] | None = None,
    following: Following = _NOTHING_FOLLOWS,
    waits: bool = True,
) -> None:
    """Compute the raw windows of ``scenes`` that are missing, on every device asked for.

    ``again``: throw this chunk away and compute it, and no other. ``check``: read all windows that are there, for
    damaged ones count as missing. ``apart`` takes the scenes that cannot be begun or of which something stays
    missing, and why, where the others are to be computed nevertheless. ``following`` is given each scene as soon
    as its windows are whole. Not ``waits``: tasks of an engine are submitted and not waited for.

    Raises ``SceneError`` where a scene was begun with other settings or somebody
    computes it already, ``StorageError`` where the disk is too small, ``WorkError`` where something stays missing.
    """
    reporter = reporter or Silence()
    if settings.on in ENGINES:
        return run_on_engine(
            scenes, settings, reporter, again=again, check=check, apart=apart, following=following, waits=waits
        )
    require_memory(*COMPUTING_BYTES)
    devices = find_devices(settings.devices, reporter).devices
    for scene in scenes:
        with set_apart(scene, apart):
            require_startable(scene)
            if settings.restart:
                require_no_jobs(scene)
                make_free(scene)
    scenes = [scene for scene in scenes if scene not in (apart or {})]
    with ExitStack() as locks:
        held = hold(scenes, locks, apart=apart)
        if not held.scenes:
            return
        crew = crew_of(held.scenes[0], settings, devices)
        resolver = Resolver(settings, devices, crew, reporter)
        for scene in held.scenes:
            if settings.restart:
                scene.discard_computed()
            with set_apart(scene, apart):
                resolver.fix(scene)
            if again is not None:
                scene.note_redone(again)
                scene.discard_chunk(again)
            elif check and scene not in (apart or {}):
                _windows(scene).put_aside_damaged(reporter)
        scenes = [scene for scene in held.scenes if scene not in (apart or {})]
        if not scenes:
            return
        # Those in hand, one a device, and what waits to be merged.
        require_disk(scenes, following.merging, len(devices) + 1 if following.discards else None)
        supervisor = Supervisor(
            replace(held, scenes=scenes),
            list(devices),
            crew,
            settings.retries,
            None if again is None else (again,),
            max(window_bytes(scene, worst=True) for scene in scenes),
            reporter,
            following=following,
        )
        try:
            supervisor.run()
        except WorkError:
            if apart is None:
                raise
            apart.update(supervisor.missing)


def require_startable(scene: Scene) -> None:
    """Refuse a scene whose video is gone or another, and one on a disk that takes nothing."""
    scene.require_video()
    require_writable(scene.run_dir)


def redo(scene: Scene, chunk: int, settings: RunSettings, reporter: Reporter | None = None) -> None:
    """Compute one chunk of ``scene`` again. Raises ``UsageError`` where there is none, else as ``run``."""
    chunks = len(scene.plan().chunks)
    if not 0 <= chunk < chunks:
        raise UsageError(
            f"{scene.root} has no chunk {chunk}.",
            f"Its chunks are 0 to {chunks - 1}; see 'vda status {quoted(scene.root)}'.",
        )
    if scene.depth_record_path.is_file() and any(
        other != chunk for other in scene.unfinished_chunks(scene.plan())
    ):
        raise SceneError(
            f"The raw windows of {scene.root} are gone, and those of one chunk alone make no depth.",
            "Compute all of it again: 'vda run' and 'vda merge --overwrite'.",
        )
    run([scene], settings, reporter, again=chunk)


def crew_of(home: Scene, settings: RunSettings, devices: tuple[Device, ...]) -> Crew:
    """Who starts the workers of a run whose first scene is ``home``; the devices share the cores."""
    threads = settings.threads or max((os.cpu_count() or 1) // len(devices), 1)
    if settings.decoder == "gpu" and any(device.kind != "cuda" for device in devices):
        raise UsageError(
            "--decoder gpu is for NVIDIA's GPUs, and other devices are to compute as well.",
            "Leave it out, or give NVIDIA's alone with --devices.",
        )
    return Crew(home, launcher_of(settings.on, devices), threads, settings.batch_size, settings.decoder)


def launcher_of(place: str, devices: tuple[Device, ...]) -> Launcher:
    from vda.launch.inline import InlineLauncher
    from vda.launch.local import LocalLauncher
    from vda.launch.units import UnitLauncher

    if place == "inline" and len(devices) > 1:
        raise UsageError("Inside one process there is one worker only.", "Give one device, or leave --on out.")
    if place == "inline":
        return InlineLauncher()
    return UnitLauncher() if UNITS_VARIABLE in os.environ else LocalLauncher()


@contextmanager
def set_apart(
    key: K,
    apart: dict[K, VdaError] | None,
    kinds: tuple[type[VdaError], ...] = (InputError, SceneError, UsageError),
) -> Iterator[None]:
    """Note what is wrong with one of several, and go on with the others; ``apart`` None: it is raised.

    Errors of other ``kinds`` are of all of them.
    """
    try:
        yield
    except Exception as error:
        known = error if isinstance(error, VdaError) else system_error(error)
        if apart is None or known is None or not isinstance(known, kinds):
            raise
        apart[key] = known


def depth(
    videos: list[Path],
    roots: list[Path],
    running: RunSettings,
    merging: MergeSettings,
    planning: PlanSettings = _ANY_PLAN,
    *,
    discard_windows: bool = False,
    reporter: Reporter | None = None,
) -> DepthOutcome:
    """Split, run and merge each of ``videos`` in its scene of ``roots``; what is done is not done again.

    Each of several is merged as soon as it is computed, while others are computed. What is wrong with one does not
    keep the others from being finished; with a single one it is raised. With ``discard_windows`` those of a few
    videos are on the disk at any time, whatever their number.
    """
    several = len(videos) > 1
    reporter = InTurn(reporter or Silence()) if several else reporter or Silence()
    bad: dict[Path, VdaError] = {}
    scenes = _planned(videos, roots, running, merging, planning, bad, reporter)
    finishing = _Finishing(running, merging, discard_windows)
    if not several:
        for scene in scenes.values():
            _run_all([scene], running, reporter, following=Following(merging=merging))
        return DepthOutcome([finishing.merged(scene, reporter) for scene in scenes.values()], [])
    with Merging(finishing.merge, reporter) as beside:
        following = Following(beside.take, beside.has_room, discard_windows, merging)
        apart = _run_all(list(scenes.values()), running, reporter, {}, following)
    for scene in scenes.values():
        if not any(scene in done for done in (apart, beside.failed, beside.results)):
            with set_apart(scene, beside.failed, (VdaError,)):
                beside.results[scene] = finishing.merged(scene, reporter, again=scene in beside.damaged)
    failed = {**apart, **beside.failed}
    bad |= {video: failed[scene] for video, scene in scenes.items() if scene in failed}
    results = [beside.results[scene] for scene in scenes.values() if scene in beside.results]
    return DepthOutcome(results, [Failure(video, bad[video]) for video in videos if video in bad])


def submit_depth(
    videos: list[Path],
    roots: list[Path],
    running: RunSettings,
    merging: MergeSettings,
    planning: PlanSettings = _ANY_PLAN,
    *,
    reporter: Reporter | None = None,
) -> None:
    """As ``depth``, by jobs of SLURM alone: chunks, then a merge once they have ended. It waits for none.

    Raises ``WorkError`` that lists those of several of which nothing could be submitted; the others are.
    """
    reporter = reporter or Silence()
    bad: dict[Path, VdaError] = {}
    scenes = _planned(videos, roots, running, merging, planning, bad, reporter)
    for video, scene in scenes.items():
        with set_apart(video, bad if len(videos) > 1 else None):
            _submit(scene, running, merging, reporter)
    require_none({video: bad[video] for video in videos if video in bad}, len(videos) - len(bad), "videos")


def _planned(
    videos: list[Path],
    roots: list[Path],
    running: RunSettings,
    merging: MergeSettings,
    planning: PlanSettings,
    bad: dict[Path, VdaError],
    reporter: Reporter,
) -> dict[Path, Scene]:
    """The scenes of the videos whose depth can be made as asked for, planned; ``bad`` takes others of several."""
    several = len(videos) > 1
    devices = require_wanted(videos, roots, running, merging, planning)
    scenes: dict[Path, Scene] = {}
    for place, (video, root) in enumerate(zip(videos, roots, strict=True), 1):
        told = OfSeveral(reporter, f"{video.name} ({place} of {len(videos)}): ") if several else reporter
        with set_apart(video, bad if several else None):
            if running.restart:
                require_no_jobs(Scene(root))
                make_free(Scene(root))
            scene = plan_scene(
                video,
                root,
                planning,
                restart=running.restart,
                devices=devices,
                scenes=len(videos),
                reporter=told,
            )
            require_mergeable(scene, merging)
            scenes[video] = scene
    for video, error in bad.items():
        reporter.say(f"{video} is left out: {error.problem}")
    return scenes


def _submit(scene: Scene, running: RunSettings, merging: MergeSettings, reporter: Reporter) -> None:
    """Submit what is missing of the depth of ``scene``: chunks, and the merge unless a job of it lives."""
    from vda.api.mergejobs import MergeJobs
    from vda.cluster.slurm import ask
    from vda.cluster.submitted import read_submitted
    from vda.launch.slurmcommands import cancel

    wanted = replace(merging, keep_finished=True)
    asked = None if scene.run_record() is None else asked_of(scene, wanted, computed=False)
    if isinstance(asked, MergeResult) and _is_merged(scene, running):
        reporter.say(f"The depth of {scene.root} is there; nothing was submitted.")
        return
    before = {entry.job for entry in read_submitted(scene)}
    if not needs_no_windows(scene, running):
        run([scene], replace(running, restart=False), reporter, check=False, waits=False)
    new = [entry.job for entry in read_submitted(scene) if entry.job not in before]
    known = ask(scene)
    merges = [task for task in known.others if task.is_live]
    if merges and not new:
        return
    # A merge that is queued waits for the jobs that there were, and not for those that are new.
    waiting = [task.job for task in merges if task.state == "PENDING"]
    cancel(waiting)
    after = [job for job in dict.fromkeys((*known.live_jobs, *new)) if job not in waiting]
    MergeJobs(scene, merging, running.slurm, reporter).submit_all(after)


def require_wanted(
    videos: list[Path],
    roots: list[Path],
    running: RunSettings,
    merging: MergeSettings,
    planning: PlanSettings,
    obtain: Obtain | None = None,
) -> tuple[Device, ...]:
    """Refuse what ``depth`` can refuse before it looks at a video; return the devices.

    ``obtain`` is what is done about weights that are not here; None fetches them.
    """
    _require_scenes_apart(videos, roots)
    require_memory(*COMPUTING_BYTES)
    for root in roots:
        require_writable(root)
    if planning.lists_shots and len(videos) > 1:
        raise UsageError(
            "A list of shots is of one video, and there are several.", "Give --shots auto, or one video."
        )
    devices = devices_of(running) if running.on in ENGINES else find_devices(running.devices).devices
    if running.restart or not all(Scene(root).run_path.is_file() for root in roots):
        metric = _require_weights(running, devices, obtain)
        for root in roots:
            _require_metres(Scene(root), merging, metric)
    return devices


def require_mergeable(scene: Scene, settings: MergeSettings) -> None:
    """Refuse what the merge of a planned scene would refuse once all is computed, as far as it is known by now."""
    require_overlaps(scene.plan(), settings)
    require_views(scene, settings)
    if not settings.overwrite:
        refuse_foreign(scene.merged_dir)


def _require_scenes_apart(videos: list[Path], roots: list[Path]) -> None:
    owners: dict[Path, Path] = {}
    for video, root in zip(videos, roots, strict=True):
        other = owners.setdefault(root.resolve(), video)
        if other is not video:
            raise SceneError(
                f"{other} and {video} would share the scene {root}.",
                "Give them different file names, or one command and --scene each.",
            )


def _run_all(
    scenes: list[Scene],
    running: RunSettings,
    reporter: Reporter,
    apart: dict[Scene, VdaError] | None = None,
    following: Following = _NOTHING_FOLLOWS,
) -> dict[Scene, VdaError]:
    """Compute what is missing; return the scenes of which something stays missing, and why."""
    todo = []
    for scene in scenes:
        with set_apart(scene, apart):
            if not needs_no_windows(scene, running):
                todo.append(scene)
    if todo:
        run(todo, replace(running, restart=False), reporter, check=False, apart=apart, following=following)
    return apart or {}


def needs_no_windows(scene: Scene, running: RunSettings) -> bool:
    """Whether the windows went when their depth was there, or were just going: none is computed again for it."""
    return _is_merged(scene, running) and not scene.redone_chunks() and bool(scene.unfinished_chunks(scene.plan()))


@dataclass(frozen=True)
class _Finishing:
    """The last step of a video: what is there is merged, and what is merged is kept."""

    running: RunSettings
    merging: MergeSettings
    discard_windows: bool

    def merge(self, scene: Scene, reporter: Reporter) -> MergeResult:
        kept = replace(self.merging, keep_finished=True)
        return merge_scene(scene, kept, discard_windows=self.discard_windows, with_report=True, reporter=reporter)

    def merged(self, scene: Scene, reporter: Reporter, *, again: bool = False) -> MergeResult:
        """As ``merge``; windows that are damaged, or were found so before (``again``), are computed again."""
        if again:
            run([scene], replace(self.running, restart=False), reporter, following=Following(merging=self.merging))
        try:
            return self.merge(scene, reporter)
        except DamagedWindowError as error:
            reporter.say(f"{error.problem} It is computed again.")
            run([scene], replace(self.running, restart=False), reporter, following=Following(merging=self.merging))
            return self.merge(scene, reporter)


def _windows(scene: Scene) -> WindowStore:
    record = scene.run_record()
    assert record is not None, "windows are of a run that is fixed"
    return WindowStore.of(scene, record)


def _require_weights(settings: RunSettings, devices: tuple[Device, ...], obtain: Obtain | None) -> bool:
    """Whether the model gives metres; ``WeightsError`` where its weights are nowhere, or are another's.

    Asked before a long film is counted.
    """
    has_gpu = any(device.kind != "cpu" for device in devices)
    choice = choose_model(settings.model, settings.weights, has_gpu=has_gpu, obtain=obtain)
    if choice.weights.is_here:
        require_fitting(choice.weights, keep=obtain is None)
    return PRESETS[choice.model].metric


def _require_metres(scene: Scene, settings: MergeSettings, metric: bool) -> None:
    """Refuse depth in metres that a relative model would not have once everything is computed."""
    kind: Kind = "depth" if metric else "inverse_depth"
    require_metres(kind, settings.depth_scale, settings.metres, load_calibration(scene.calibration_path))


def _is_merged(scene: Scene, settings: RunSettings) -> bool:
    """Whether the scene's depth is there, made with the model, weights, size and precision asked for now."""
    settle(scene.merged_dir)
    if not scene.depth_record_path.is_file():
        return False
    used = DepthRecord.read(scene.depth_record_path).settings
    return (
        settings.model in ("auto", used.get("asked_model"), used.get("model"))
        and settings.input_size in (None, used.get("input_size"))
        and settings.precision in ("auto", used.get("precision"))
        and (settings.weights is None or _is_of(settings.weights, used.get("weights_sha256")))
    )


def _is_of(path: Path, sha256: object) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def merge_scene(
    scene: Scene,
    settings: MergeSettings,
    *,
    discard_windows: bool = False,
    with_report: bool = False,
    part: Part | None = None,
    reporter: Reporter | None = None,
) -> MergeResult:
    """Merge one scene, or make one ``part`` of its merge; ``discard_windows`` removes its raw windows once the
    result is verified, at the end.

    ``with_report`` writes ``report.html``, before the windows that it tells of are gone. A window that is damaged
    is put aside, so that a run computes it again, and ``DamagedWindowError`` is raised.
    """
    reporter = reporter or Silence()
    if discard_windows:
        scene.require_unclaimed()
    try:
        result = (
            merge(scene, settings, reporter=reporter)
            if part is None
            else _merge_part(scene, part, settings, reporter)
        )
    except DamagedWindowError as error:
        _windows(scene).put_aside_file(error)
        raise
    for sentence in result.remarks:
        reporter.say(sentence)
    if with_report:
        _report(scene, reporter)
    if discard_windows and part in (None, "end"):
        scene.discard_windows()
    return result


def _merge_part(scene: Scene, part: Part, settings: MergeSettings, reporter: Reporter) -> MergeResult:
    """Only ranges of frames go on where they were: all else is ended by a scheduler's signals as by any other."""
    if part in ("fits", "end"):
        return merge_part(scene, part, settings, reporter=reporter)
    with scheduler_asks() as should_stop:
        return merge_part(scene, part, settings, should_stop=should_stop, reporter=reporter)


def _report(scene: Scene, reporter: Reporter) -> None:
    """See to the report; the depth is finished, and what stands in the way of a page about it is said."""
    try:
        report_scene(scene, reporter)
        reporter.say(f"Report: {scene.report_path}")
    except VdaError as error:
        reporter.say(f"There is no report: {error.problem} 'vda report {quoted(scene.root)}' makes it.")
