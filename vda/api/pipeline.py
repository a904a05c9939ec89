"""The stages of the way from video to depth: a video planned, scenes computed, a scene merged.

In: videos or planned scenes, and settings. Out: scenes, with what the stage makes. What was asked for becomes what
is used in ``resolve``, and the stages do the work; this file does not know how.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vda.api.engines import ENGINES, require_no_jobs, run_on_engine
from vda.errors import DamagedWindowError, InputError, SceneError, UsageError, VdaError, WorkError
from vda.files import require_writable
from vda.launch import Launcher
from vda.launch.detached import UNITS_VARIABLE
from vda.launch.interrupts import scheduler_asks
from vda.machine.choice import Choice, choose_devices
from vda.machine.devices import Device, Inventory
from vda.machine.shortage import COMPUTING_BYTES, require_memory, system_error
from vda.merging.parts import Part, merge_part
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.stage import merge
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


def _windows(scene: Scene) -> WindowStore:
    record = scene.run_record()
    assert record is not None, "windows are of a run that is fixed"
    return WindowStore.of(scene, record)


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
