"""What a scene's depth takes, weighed on a piece of it: a window, and a few frames of it written.

In: a scene whose run is fixed, and a raw window. Out: seconds and bytes. Files are written into a temporary
folder, by the functions that a merge writes with, and are gone at the end. This file does not know how much work
there is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from vda.depthmaps.codes import Float32Array, Kind, Quantizer
from vda.joining.sequence import resize_depth
from vda.merging.frames import write_frames
from vda.merging.looks import look_of, stereo_of
from vda.merging.outputs import VISUALIZATION, Outputs, written_files
from vda.merging.settings import MergeSettings
from vda.merging.stage import target_of
from vda.picture.framing import Framing
from vda.reporter import Silence
from vda.scene.rawwindows import open_raw_window
from vda.scene.scene import RunRecord, Scene, WindowId
from vda.scene.windows import Window

# Neighbours, as an encoder of videos meets them; a window shows no fewer unless its shot is as short.
_FRAMES: Final = 12


@dataclass(frozen=True)
class SampledWindow:
    """A raw window of one of the plan's shots: its values, float32 ``[32, h, w]``, and its bytes on the disk."""

    window: Window
    shot: int
    values: Float32Array
    file_bytes: int


def window_there(scene: Scene, finished: Sequence[WindowId]) -> SampledWindow:
    """The middle one of the raw windows that the scene has."""
    key = sorted(finished)[len(finished) // 2]
    path, sequence = scene.window_path(key), scene.plan().sequences[key[0]]
    raw = open_raw_window(path)
    values = np.stack([raw.slot(slot) for slot in range(raw.shape[0])])
    return SampledWindow(Window(sequence.start, sequence.stop, key[1]), sequence.shot, values, path.stat().st_size)


@dataclass(frozen=True)
class _Few:
    """A few frames of a window as a merge would write them, but for the fit to those before it."""

    frames: Sequence[int]
    shape: tuple[int, int]
    kind: Kind
    _values: dict[int, Float32Array]
    _framing: Framing

    def frame(self, index: int) -> Float32Array:
        part = resize_depth(self._values[index], *self._framing.box.size)
        return part if self._framing.is_whole else self._framing.placed(part)

    def is_missing(self, index: int) -> bool:
        return False

    def value_range(self) -> tuple[float, float]:
        values = np.stack(list(self._values.values()))
        return float(values.min()), float(values.max())


@dataclass(frozen=True)
class FrameCost:
    """What a frame takes: ``seconds`` of this machine, with all its cores, and bytes of each output."""

    seconds: float
    bytes_by_output: dict[str, float]


def write_some(scene: Scene, sample: SampledWindow, record: RunRecord, settings: MergeSettings) -> FrameCost:
    """Write a few frames of ``sample`` as ``settings`` ask for, and weigh them."""
    few = _few_of(scene, sample, record)
    low, high = few.value_range()
    coding = settings.coding or "linear"
    per_metre = few.kind == "depth" and coding == "linear"
    quantizer = (
        Quantizer.per_metre(settings.depth_scale or 1000)
        if per_metre
        else Quantizer.for_range(low, high, coding, few.kind)
    )
    with TemporaryDirectory(prefix="vda-") as folder:
        stereo = stereo_of(few, quantizer, settings, record.computed_with, scene.picture().to_json())
        outputs = Outputs(
            target_of(scene, few, settings, Path(folder)),
            quantizer,
            (low, high),
            settings.formats,
            look_of(few, settings),
            settings.exr_style,
            stereo,
        )
        began = time.perf_counter()
        write_frames(few, outputs, Silence())
        seconds = time.perf_counter() - began
        sizes = {name: _bytes_of(Path(folder), [name]) for name in settings.formats}
        if settings.create_video:
            sizes["visualization"] = (Path(folder) / VISUALIZATION).stat().st_size
    count = len(few.frames)
    return FrameCost(seconds / count, {name: size / count for name, size in sizes.items()})


def _bytes_of(folder: Path, formats: Sequence[str]) -> int:
    files = (path for path in written_files(folder, formats) if path.name != VISUALIZATION)
    return sum(path.stat().st_size for path in files)


def _few_of(scene: Scene, sample: SampledWindow, record: RunRecord) -> _Few:
    plan, framing = scene.plan(), scene.framings([sample.shot])[sample.shot]
    shown = sample.window.shown[-_FRAMES:]
    slots = [sample.window.frame_indices.index(place, 2 if sample.window.k else 0) for place in shown]
    values = {plan.frame(place): sample.values[slot] for place, slot in zip(shown, slots, strict=True)}
    width, height = framing.size
    kind: Kind = "depth" if record.metric else "inverse_depth"
    return _Few(list(values), (height, width), kind, values, framing)
