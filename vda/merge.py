"""The last stage of depth: raw windows in, one depth image a frame out, with the record that says what codes mean.

Two passes, both in constant memory: the first fits every window (three slots each) and finds one range for the whole
scene, the second makes the frames in a pool of threads. Frames are independent of each other, so an interrupted
merge keeps the images it has. This file does not know how windows were computed, nor how depth is turned into metres.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vda.chunks import Plan
from vda.depthmap import DepthRecord, Quantizer
from vda.depthfiles import NpzWriter, write_png16
from vda.errors import SceneError, WorkError
from vda.files import read_json, write_json
from vda.joining import SequenceDepth, cached_reader
from vda.rawwindows import open_raw_window
from vda.scene import RunRecord, Scene
from vda.video import ClipWriter, FrameIndex, VideoInfo

T = TypeVar("T")
R = TypeVar("R")

Begin = Callable[[str, int | None, int], None]
_AHEAD_PER_THREAD = 4


@dataclass(frozen=True)
class MergeSettings:
    """What to write. ``keep_finished``: a finished merge with the same settings is left as it is, not refused."""

    formats: tuple[str, ...] = ("png16",)
    overwrite: bool = False
    create_video: bool = False
    colormap: str = "inferno"
    keep_finished: bool = False


@dataclass(frozen=True)
class MergeResult:
    """``remarks`` are sentences worth telling: frames without a picture, values out of range."""

    folder: Path
    frames: int
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "frames": self.frames, "remarks": list(self.remarks)}


def merge(
    scene: Scene,
    settings: MergeSettings,
    *,
    begin: Begin = lambda stage, total, done=0: None,
    at: Callable[[int], None] = lambda done: None,
) -> MergeResult:
    """Join the raw windows of ``scene`` and write the depth of every frame of its plan.

    Raises ``WorkError`` naming the chunks of which windows are missing, ``SceneError`` where results are there and
    ``overwrite`` is not given.
    """
    record = scene.run_record()
    existing = _existing(scene, settings)
    if existing is not None:
        return existing
    plan = scene.plan()
    _require_windows(scene, plan)
    assert record is not None
    begin("aligning windows", None, 0)
    joint = SceneDepth.of(scene, plan, record)
    _start_over_unless_same(scene, joint, settings)
    begin("writing depth", plan.frame_range[1] - plan.frame_range[0], 0)
    missing, clipped = _write_frames(scene, joint, settings, at)
    _write_record(scene, joint, record, settings, missing, clipped)
    return MergeResult(scene.merged_dir, len(joint.frames), tuple(_remarks(missing, clipped)))


@dataclass(frozen=True)
class SceneDepth:
    """All sequences of a scene, and how their values become codes."""

    frames: range
    sequences: tuple[SequenceDepth, ...]
    quantizer: Quantizer

    @classmethod
    def of(cls, scene: Scene, plan: Plan, record: RunRecord) -> "SceneDepth":
        video = scene.read_video()
        sequences = tuple(
            SequenceDepth.fitted(
                sequence.start,
                sequence.stop,
                video["width"],
                video["height"],
                cached_reader(partial(_open_window, scene, sequence.index)),
                metric=record.metric,
            )
            for sequence in plan.sequences
        )
        ranges = [sequence.value_range() for sequence in sequences]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        quantizer = Quantizer.millimetres() if record.metric else Quantizer.for_range(low, high)
        return cls(range(*plan.frame_range), sequences, quantizer)

    def sequence_of(self, frame: int) -> SequenceDepth:
        return next(sequence for sequence in self.sequences if sequence.start <= frame < sequence.stop)


def _open_window(scene: Scene, sequence: int, k: int) -> Any:
    return open_raw_window(scene.window_path((sequence, k)))


def _existing(scene: Scene, settings: MergeSettings) -> MergeResult | None:
    """A finished merge that is to be kept as it is, or None."""
    if not scene.depth_record_path.is_file():
        return None
    record = read_json(scene.depth_record_path)
    if settings.keep_finished and not settings.overwrite and set(settings.formats) <= set(record["formats"]):
        return MergeResult(scene.merged_dir, record["frames"], ("The depth was already merged.",))
    if not settings.overwrite:
        raise SceneError(
            f"{scene.merged_dir} already holds the merged depth.", "Give --overwrite to write it again."
        )
    return None


def _require_windows(scene: Scene, plan: Plan) -> None:
    missing = {
        chunk.index: len(windows) for chunk in plan.chunks if (windows := scene.missing_windows(chunk.index))
    }
    if missing:
        names = ", ".join(f"chunk {index} ({count} windows)" for index, count in missing.items())
        raise WorkError(
            f"The depth of {scene.root} is not computed yet; missing: {names}.",
            f"Run 'vda run {scene.root}' first.",
        )


def _start_over_unless_same(scene: Scene, joint: SceneDepth, settings: MergeSettings) -> None:
    """Keep the images of an interrupted merge only if they mean the same; ``merge.json`` says what they mean."""
    path = scene.merged_dir / "merge.json"
    meaning = {"quantizer": asdict(joint.quantizer), "frames": [joint.frames.start, joint.frames.stop]}
    if settings.overwrite or not path.is_file() or read_json(path) != meaning:
        shutil.rmtree(scene.merged_dir, ignore_errors=True)
    write_json(path, meaning)


@dataclass(frozen=True)
class _Made:
    """One frame's depth and its codes; ``clipped``: values out of range."""

    index: int
    depth: np.ndarray
    codes: np.ndarray
    missing: bool
    clipped: int


def _write_frames(
    scene: Scene, joint: SceneDepth, settings: MergeSettings, at: Callable[[int], None]
) -> tuple[list[int], int]:
    """Write all outputs; return the frames that had no picture, and how many values were out of range."""
    missing: list[int] = []
    clipped = 0
    with ExitStack() as stack:
        sinks = _sinks(scene, joint, settings, stack)
        make = partial(_make_frame, scene, joint, "png16" in settings.formats)
        for done, made in enumerate(_in_order(make, joint.frames), start=1):
            if made.missing:
                missing.append(made.index)
            clipped += made.clipped
            for sink in sinks:
                sink(made)
            at(done)
    return missing, clipped


def _sinks(
    scene: Scene, joint: SceneDepth, settings: MergeSettings, stack: ExitStack
) -> list[Callable[[_Made], None]]:
    """Outputs that take the frames one after the other."""
    video = VideoInfo.from_json(scene.read_video())
    sinks: list[Callable[[_Made], None]] = []
    if "npz" in settings.formats:
        shape = (len(joint.frames), video.height, video.width)
        npz = stack.enter_context(NpzWriter(scene.merged_dir / "depths.npz", shape))
        sinks.append(lambda made: npz.write(made.depth))
    if settings.create_video:
        from vda.draw import colorize_codes

        index = FrameIndex.load(scene.index_path)
        path = scene.merged_dir / "depth_visualization.mp4"
        clip = stack.enter_context(ClipWriter(path, fps=video.fps, time_base=index.time_base))
        colours = partial(colorize_codes, quantizer=joint.quantizer, colormap=settings.colormap)
        sinks.append(lambda made: clip.write(colours(made.codes), int(index.pts[made.index])))
    return sinks


def _make_frame(scene: Scene, joint: SceneDepth, png: bool, index: int) -> _Made:
    path = scene.depth_path(index)
    sequence = joint.sequence_of(index)
    missing = sequence.is_missing(index)
    depth = sequence.frame(index)
    codes, left_out = joint.quantizer.encode_counted(depth)
    if missing:
        codes[:] = 0
        depth[:] = np.nan
    if png and not path.exists():
        write_png16(path, codes)
    return _Made(index, depth, codes, missing, left_out.clipped)


def _in_order(make: Callable[[int], R], items: Iterable[int]) -> Iterator[R]:
    """Make items in a pool of threads, a bounded number ahead, and yield them in order."""
    import torch

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers, "merge", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead: deque[Future[R]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(make, item))
                if len(ahead) > workers * _AHEAD_PER_THREAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _write_record(
    scene: Scene,
    joint: SceneDepth,
    record: RunRecord,
    settings: MergeSettings,
    missing: list[int],
    clipped: int,
) -> None:
    """Write ``depth.json``, last of all: where it is, the merge is finished."""
    video = VideoInfo.from_json(scene.read_video())
    shots = [
        {
            "start_frame": sequence.start,
            "end_frame": sequence.stop,
            "scale": [fit.scale for fit in sequence.fits],
            "shift": [fit.shift for fit in sequence.fits],
        }
        for sequence in joint.sequences
    ]
    storing = max(sequence.quantisation_error() for sequence in joint.sequences) / joint.quantizer.scale
    DepthRecord(
        quantizer=joint.quantizer,
        frames=len(joint.frames),
        width=video.width,
        height=video.height,
        model=record.model,
        settings={
            **asdict(record),
            "colormap": settings.colormap,
            "frame_range": [joint.frames.start, joint.frames.stop],
        },
        shots=shots,
        missing_frames=missing,
        clipped=clipped,
        formats=list(settings.formats),
        raw_window_error_steps=storing,
    ).write(scene.depth_record_path)


def _remarks(missing: list[int], clipped: int) -> Iterator[str]:
    if missing:
        some = ", ".join(str(index) for index in missing[:10]) + (" ..." if len(missing) > 10 else "")
        yield f"{len(missing)} frames have no picture in the video and are marked invalid: {some}."
    if clipped:
        yield f"{clipped} values were out of range and are marked invalid."


def remove_intermediates(scene: Scene) -> int:
    """Remove what the merged result of ``scene`` no longer needs; return the bytes freed.

    Raises ``SceneError`` where there is no merged result.
    """
    if not scene.depth_record_path.is_file():
        raise SceneError(f"{scene.root} is not merged yet.", f"Run 'vda merge {scene.root}' first.")
    folders = (scene.windows_dir, scene.run_dir)
    freed = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return freed
