"""A video to depth in one call: what ``vda depth`` does, and what a program that uses the library calls.

In: videos or planned scenes, and settings. Out: finished scenes. Here, and only here, what was asked for becomes
what is used: the model, its weights, the network's size, the precision, the devices. The stages do the work; this
file does not know how.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from vda import __version__
from vda.choice import Choice, choose_devices
from vda.devices import Device, Inventory
from vda.errors import SceneError, UsageError
from vda.launch import Launcher
from vda.merge import MergeResult, MergeSettings, merge
from vda.scene import RunRecord, Scene
from vda.split import split
from vda.supervisor import RunProgress, Supervisor, hold, make_free
from vda.weights import choose_model, load_model

Place = Literal["local", "inline"]


class Reporter(Protocol):
    """Told how the work goes: ``begin`` a stage of ``total`` steps (None: unknown), be ``at`` one, ``say`` a sentence."""

    def begin(self, stage: str, total: int | None, done: int = 0) -> None: ...

    def at(self, done: int) -> None: ...

    def say(self, sentence: str) -> None: ...


class Silence:
    """A reporter for programs that do not want to be told."""

    def begin(self, stage: str, total: int | None, done: int = 0) -> None: ...

    def at(self, done: int) -> None: ...

    def say(self, sentence: str) -> None: ...


@dataclass(frozen=True)
class RunSettings:
    """What a run is asked for; None and ``auto`` are resolved here and written down in the scene."""

    model: str = "auto"
    weights: Path | None = None
    input_size: int | None = None
    precision: str = "auto"
    devices: str = "auto"
    batch_size: int = 0
    threads: int | None = None
    on: Place = "local"
    retries: int = 3
    restart: bool = False


def plan_scene(
    video: Path,
    root: Path,
    *,
    chunks: int | None = None,
    frames: tuple[int, int] | None = None,
    trust_container: bool = False,
    restart: bool = False,
    devices: tuple[Device, ...] = (),
    reporter: Reporter | None = None,
) -> Scene:
    """Split ``video`` into chunks in the scene directory ``root``; an equal plan that is there is kept."""
    reporter = reporter or Silence()
    scene = Scene(root)
    reporter.begin("counting frames", None)
    plan = split(
        video,
        scene,
        chunks=chunks,
        frames=frames,
        trust_container=trust_container,
        restart=restart,
        devices=tuple(device.id for device in devices),
        progress=reporter.at,
    )
    for note in scene_notes(scene):
        reporter.say(note)
    reporter.say(
        f"{plan.total_frames} frames, {len(plan.chunks)} chunks, {sum(1 for _ in plan.windows())} windows."
    )
    return scene


def scene_notes(scene: Scene) -> tuple[str, ...]:
    """What is wrong with the scene's video, in sentences."""
    from vda.video import FrameIndex

    return FrameIndex.load(scene.index_path).notes


def find_devices(request: str, reporter: Reporter | None = None) -> Choice:
    """Resolve ``--devices`` on this machine, and say what was left alone."""
    choice = choose_devices(request, Inventory.of_this_machine())
    for device, reason in choice.skipped:
        (reporter or Silence()).say(f"{device.label} is left alone: {reason}.")
    for note in choice.notes:
        (reporter or Silence()).say(note)
    return choice


def run(scenes: list[Scene], settings: RunSettings, reporter: Reporter | None = None) -> None:
    """Compute the raw windows of ``scenes`` that are missing, on every device asked for.

    Raises ``SceneError`` where a scene was begun with other settings, ``WorkError`` where something stays missing.
    """
    reporter = reporter or Silence()
    devices = find_devices(settings.devices, reporter).devices
    for scene in scenes:
        scene.require()
        if settings.restart:
            make_free(scene)
    threads = settings.threads or max((os.cpu_count() or 1) // len(devices), 1)
    began = False

    def report(progress: RunProgress) -> None:
        nonlocal began
        if not began:
            began = True
            if progress.frames_before:
                reporter.say(f"{progress.frames_before} of {progress.frames_total} frames were already computed.")
            reporter.begin("computing depth", progress.frames_total, progress.frames_before)
        reporter.at(progress.frames_done)

    with ExitStack() as locks:
        held = hold(scenes, locks)
        for scene in scenes:
            if settings.restart:
                scene.discard_computed()
            _fix_run(scene, settings, devices, reporter)
        Supervisor(
            scenes,
            list(devices),
            _launcher(settings.on, devices),
            threads,
            settings.batch_size,
            settings.retries,
            on_progress=report,
        ).run(held)


def _launcher(place: str, devices: tuple[Device, ...]) -> Launcher:
    from vda.launch.inline import InlineLauncher
    from vda.launch.local import LocalLauncher

    if place == "inline" and len(devices) > 1:
        raise UsageError("Inside one process there is one worker only.", "Give one device, or leave --on out.")
    return InlineLauncher() if place == "inline" else LocalLauncher()


def _fix_run(scene: Scene, settings: RunSettings, devices: tuple[Device, ...], reporter: Reporter) -> None:
    """Write down what the scene is computed with; a scene that was begun goes on with what it has."""
    begun = scene.run_record()
    asked = settings
    if begun is not None:
        asked = replace(
            settings,
            model=begun.model if settings.model in ("auto", begun.asked_model) else settings.model,
            input_size=settings.input_size or begun.input_size,
            weights=settings.weights or _same_weights(begun, settings.model),
            precision=begun.precision if settings.precision == "auto" else settings.precision,
        )
    record = resolve_run(scene, asked, devices, reporter)
    scene.write_run(record if begun is None else replace(record, asked_model=begun.asked_model))


def _same_weights(begun: RunRecord, model: str) -> Path | None:
    return Path(begun.weights_path) if model in ("auto", begun.asked_model, begun.model) else None


def resolve_run(scene: Scene, settings: RunSettings, devices: tuple[Device, ...], reporter: Reporter) -> RunRecord:
    """Turn what was asked for into what is used. May fetch weights; says what a user must know."""
    from vda.network.model import PRESETS
    from vda.network.preprocess import net_size

    has_gpu = any(device.kind == "cuda" for device in devices)
    choice = choose_model(settings.model, settings.weights, has_gpu=has_gpu)
    for notice in choice.notices:
        reporter.say(notice)
    if scene.run_record() is None:
        # Once a scene, and before any worker: a checkpoint that does not fit is an input error, not a failed chunk.
        load_model(choice.model, choice.weights)
    preset = PRESETS[choice.model]
    size = settings.input_size or preset.input_size
    if size < 1:
        raise UsageError(f"An input size of {size} is not possible.", f"Give at least {preset.patch}.")
    video = scene.read_video()
    width, height = net_size(video["width"], video["height"], size, preset.patch)
    precision, reason = _precision(settings.precision, has_gpu)
    return RunRecord(
        model=choice.model,
        asked_model=settings.model,
        licence=choice.weights.licence,
        weights_sha256=choice.weights.sha256,
        weights_path=str(choice.weights.path.resolve()),
        weights_source=choice.weights.source,
        metric=preset.metric,
        input_size=size,
        net_width=width,
        net_height=height,
        precision=precision,
        precision_reason=reason,
        version=__version__,
    )


def _precision(asked: str, has_gpu: bool) -> tuple[str, str]:
    if asked not in ("auto", "fp32"):
        raise UsageError(f"Precision {asked} is not offered.", "Give --precision fp32 or leave it out.")
    return "fp32", "asked for" if asked == "fp32" else "float32 is right on every device"


def depth(
    videos: list[Path],
    roots: list[Path],
    settings: RunSettings,
    merging: MergeSettings,
    *,
    chunks: int | None = None,
    frames: tuple[int, int] | None = None,
    trust_container: bool = False,
    discard_windows: bool = False,
    reporter: Reporter | None = None,
) -> list[MergeResult]:
    """Split, run and merge each of ``videos`` in its scene directory of ``roots``; what is done is not done again."""
    reporter = reporter or Silence()
    if len({root.resolve() for root in roots}) < len(roots):
        raise SceneError("Two videos would share a scene.", "Give them different file names, or one --scene each.")
    devices = find_devices(settings.devices).devices
    scenes = [
        plan_scene(
            video,
            root,
            chunks=chunks,
            frames=frames,
            trust_container=trust_container,
            restart=settings.restart,
            devices=devices,
            reporter=reporter,
        )
        for video, root in zip(videos, roots, strict=True)
    ]
    run(scenes, replace(settings, restart=False), reporter)
    return [merge_scene(scene, merging, discard_windows=discard_windows, reporter=reporter) for scene in scenes]


def merge_scene(
    scene: Scene, settings: MergeSettings, *, discard_windows: bool = False, reporter: Reporter | None = None
) -> MergeResult:
    """Merge one scene; ``discard_windows`` removes its raw windows once the result is verified."""
    reporter = reporter or Silence()
    result = merge(scene, settings, begin=reporter.begin, at=reporter.at)
    for sentence in result.remarks:
        reporter.say(sentence)
    if discard_windows:
        scene.discard_windows()
    return result
