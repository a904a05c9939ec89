"""Videos to depth in one call: what ``vda depth`` does, and what a program that uses the library calls.

In: videos, and settings. Out: finished scenes. Each is planned, computed and merged by ``pipeline``; this file
knows what of that is done already, and what can be refused before anything is.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from vda.api.engines import ENGINES, devices_of, require_no_jobs
from vda.api.films import DepthOutcome, Failure, InTurn, Merging, OfSeveral, require_none
from vda.api.mergejobs import MergeJobs
from vda.api.pipeline import find_devices, merge_scene, plan_scene, run, set_apart
from vda.calibration.fit import load_calibration
from vda.calibration.metres import require_metres
from vda.cluster.submitted import ask, note_unnoted, read_submitted
from vda.depthmaps.codes import DepthRecord, Kind
from vda.errors import DamagedWindowError, InputError, SceneError, UsageError, VdaError
from vda.files import require_writable, sha256_file
from vda.launch.slurmcommands import SubmitLimitError, cancel
from vda.machine.devices import Device
from vda.machine.shortage import COMPUTING_BYTES, require_memory
from vda.merging.looks import require_views
from vda.merging.request import refuse_foreign
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.stage import asked_of, require_overlaps
from vda.merging.workplace import settle
from vda.models.weights import Obtain, choose_model, require_fitting
from vda.network.presets import PRESETS
from vda.reporter import Reporter, Silence
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor import Following, make_free
from vda.supervisor.resolve import RunSettings

_ANY_PLAN = PlanSettings()
_NOTHING_FOLLOWS = Following()
# Jobs of the next video may be fewer, and fit.
_OF_ONE = (InputError, SceneError, UsageError, SubmitLimitError)


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

    Raises ``WorkError`` that lists those of several of which not all could be submitted; the others are.
    """
    reporter = reporter or Silence()
    bad: dict[Path, VdaError] = {}
    scenes = _planned(videos, roots, running, merging, planning, bad, reporter)
    for video, scene in scenes.items():
        with set_apart(video, bad if len(videos) > 1 else None, _OF_ONE):
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
    """Submit what is missing of the depth of ``scene``: chunks, and the merge unless a job of it lives.

    Raises ``SubmitLimitError`` where SLURM does not take all of it: a merge needs all chunks.
    """
    wanted = replace(merging, keep_finished=True)
    asked = None if scene.run_record() is None else asked_of(scene, wanted, computed=False)
    if isinstance(asked, MergeResult) and _is_merged(scene, running):
        reporter.say(f"The depth of {scene.root} is there; nothing was submitted.")
        return
    note_unnoted(scene)
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
