"""A video to depth in one call: what ``vda depth`` does, and what a program that uses the library calls.

In: videos or planned scenes, and settings. Out: finished scenes. What was asked for becomes what is used in
``resolve``, and the stages do the work; this file does not know how.
"""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vda.depthmaps.codes import DepthRecord
from vda.errors import DamagedWindowError, SceneError, UsageError
from vda.evaluation.report import write_report
from vda.launch import Launcher
from vda.launch.detached import UNITS_VARIABLE
from vda.machine.choice import Choice, choose_devices
from vda.machine.devices import Device, Inventory
from vda.merging.stage import MergeResult, MergeSettings, merge
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Plan
from vda.scene.scene import Scene
from vda.scene.windowstore import WindowStore
from vda.splitting.stage import PlanSettings, split
from vda.supervisor import Crew, Supervisor, hold, make_free, require_disk, window_bytes
from vda.supervisor.resolve import Resolver, RunSettings
from vda.video import notes_of

_ANY_PLAN = PlanSettings()


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
    reporter.say(f"{plan.count_words()}, {len(plan.chunks)} chunks, {sum(1 for _ in plan.windows())} windows.")
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
) -> None:
    """Compute the raw windows of ``scenes`` that are missing, on every device asked for.

    ``again``: throw this chunk away and compute it, and no other. ``check``: read all windows that are there, for
    damaged ones count as missing. Raises ``SceneError`` where a scene was begun with other settings or somebody
    computes it already, ``StorageError`` where the disk is too small, ``WorkError`` where something stays missing.
    """
    reporter = reporter or Silence()
    devices = find_devices(settings.devices, reporter).devices
    for scene in scenes:
        scene.require_video()
        if settings.restart:
            make_free(scene)
    threads = settings.threads or max((os.cpu_count() or 1) // len(devices), 1)
    crew = Crew(scenes[0], _launcher(settings.on, devices), threads, settings.batch_size)
    with ExitStack() as locks:
        held = hold(scenes, locks)
        resolver = Resolver(settings, devices, crew, reporter)
        for scene in scenes:
            if settings.restart:
                scene.discard_computed()
            resolver.fix(scene)
            if again is not None:
                scene.discard_chunk(again)
            elif check:
                _windows(scene).put_aside_damaged(reporter)
        require_disk(scenes)
        Supervisor(
            held,
            list(devices),
            crew,
            settings.retries,
            None if again is None else (again,),
            max(window_bytes(scene, worst=True) for scene in scenes),
            reporter,
        ).run()


def redo(scene: Scene, chunk: int, settings: RunSettings, reporter: Reporter | None = None) -> None:
    """Compute one chunk of ``scene`` again. Raises ``UsageError`` where there is none, else as ``run``."""
    chunks = len(scene.plan().chunks)
    if not 0 <= chunk < chunks:
        raise UsageError(
            f"{scene.root} has no chunk {chunk}.",
            f"Its chunks are 0 to {chunks - 1}; see 'vda status {scene.root}'.",
        )
    run([scene], settings, reporter, again=chunk)


def _launcher(place: str, devices: tuple[Device, ...]) -> Launcher:
    from vda.launch.inline import InlineLauncher
    from vda.launch.local import LocalLauncher
    from vda.launch.units import UnitLauncher

    if place == "inline" and len(devices) > 1:
        raise UsageError("Inside one process there is one worker only.", "Give one device, or leave --on out.")
    if place == "inline":
        return InlineLauncher()
    return UnitLauncher() if UNITS_VARIABLE in os.environ else LocalLauncher()


def depth(
    videos: list[Path],
    roots: list[Path],
    running: RunSettings,
    merging: MergeSettings,
    planning: PlanSettings = _ANY_PLAN,
    *,
    discard_windows: bool = False,
    reporter: Reporter | None = None,
) -> list[MergeResult]:
    """Split, run and merge each of ``videos`` in its scene of ``roots``; what is done is not done again."""
    reporter = reporter or Silence()
    if len({root.resolve() for root in roots}) < len(roots):
        raise SceneError("Two videos would share a scene.", "Give them different file names, or one --scene each.")
    devices = find_devices(running.devices).devices
    for root in roots if running.restart else ():
        make_free(Scene(root))
    scenes = [
        plan_scene(
            video, root, planning, restart=running.restart, devices=devices, scenes=len(videos), reporter=reporter
        )
        for video, root in zip(videos, roots, strict=True)
    ]
    # Where the windows were discarded once merged, nothing is computed again for a result that is there.
    todo = [scene for scene in scenes if scene.finished_windows() or not _is_merged(scene, running)]
    if todo:
        run(todo, replace(running, restart=False), reporter, check=False)
    kept = replace(merging, keep_finished=True)

    def merged(scene: Scene) -> MergeResult:
        return merge_scene(scene, kept, discard_windows=discard_windows, with_report=True, reporter=reporter)

    results = []
    for scene in scenes:
        try:
            results.append(merged(scene))
        except DamagedWindowError as error:
            reporter.say(f"{error.problem} It is computed again.")
            run([scene], replace(running, restart=False), reporter)
            results.append(merged(scene))
    return results


def _windows(scene: Scene) -> WindowStore:
    record = scene.run_record()
    assert record is not None, "windows are of a run that is fixed"
    return WindowStore.of(scene, record)


def _is_merged(scene: Scene, settings: RunSettings) -> bool:
    """Whether the scene's depth is there, made with the model and the size that are asked for now."""
    if not scene.depth_record_path.is_file():
        return False
    used = DepthRecord.read(scene.depth_record_path).settings
    return settings.model in ("auto", used.get("asked_model"), used.get("model")) and (
        settings.input_size in (None, used.get("input_size"))
    )


def merge_scene(
    scene: Scene,
    settings: MergeSettings,
    *,
    discard_windows: bool = False,
    with_report: bool = False,
    reporter: Reporter | None = None,
) -> MergeResult:
    """Merge one scene; ``discard_windows`` removes its raw windows once the result is verified.

    ``with_report`` writes ``report.html``, before the windows that it tells of are gone. A window that is damaged
    is put aside, so that a run computes it again, and ``DamagedWindowError`` is raised.
    """
    reporter = reporter or Silence()
    try:
        result = merge(scene, settings, reporter=reporter)
    except DamagedWindowError as error:
        _windows(scene).put_aside_file(error)
        raise
    for sentence in result.remarks:
        reporter.say(sentence)
    if with_report:
        reporter.say(f"Report: {write_report(scene)}")
    if discard_windows:
        scene.discard_windows()
    return result
