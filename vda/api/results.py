"""Depth and scenes opened to be read: ``vda.open_depth`` and ``vda.open_scene``.

In: the path of a scene, of a merged folder, or of anything else that holds depth. Out: arrays, frame by frame,
with what the numbers mean and when the frames are shown. This file does not know how depth is made, nor file
formats.
"""

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from vda.api.engines import joined_status
from vda.calibration.fit import Calibration, load_calibration
from vda.calibration.identity import Fingerprint
from vda.depthmaps.codes import DepthRecord, Float32Array, Kind, Unit
from vda.depthmaps.source import DepthSource
from vda.depthmaps.source import open_depth as open_source
from vda.errors import InputError, UsageError
from vda.scene.chunks import Plan
from vda.scene.scene import Scene

StrPath = str | os.PathLike[str]
Convert = Callable[[Float32Array], Float32Array]


def _as_it_is(values: Float32Array) -> Float32Array:
    return values


@dataclass(frozen=True, eq=False)
class VideoDepth:
    """The depth of a video, read frame by frame; nothing is held but the frame that is asked for.

    ``depth[i]`` is float32 ``[height, width]``, NaN where there is no depth; ``depth[a:b]`` is float32 ``[frames,
    height, width]``. Places count from 0, and negative ones from the end; ``frames`` are the video's frame indices
    at these places, which differ where only a range was computed, and ``frame(index)`` reads by them. ``kind`` is
    ``inverse_depth`` (larger is nearer, 0 is farthest) or ``depth`` (along the optical axis), ``unit`` is
    ``relative`` or ``metre``; both are None for files of which nothing says it. ``times`` is float64 ``[frames]``,
    seconds on the video's own clock, or None where no scene knows it. A context manager closes the files.
    """

    frames: Sequence[int]
    kind: Kind | None
    unit: Unit | None
    times: npt.NDArray[np.float64] | None
    record: DepthRecord | None
    _opened: list[DepthSource]
    _calibration: Calibration | None = None
    _convert: Convert = _as_it_is

    def __len__(self) -> int:
        return len(self.frames)

    @overload
    def __getitem__(self, place: int) -> Float32Array: ...
    @overload
    def __getitem__(self, place: slice) -> Float32Array: ...
    def __getitem__(self, place: int | slice) -> Float32Array:
        if isinstance(place, slice):
            places = range(len(self))[place]
            stack = np.empty((len(places), self.height, self.width), np.float32)
            for row, one in enumerate(places):
                stack[row] = self[one]
            return stack
        return self._convert(self._source.read_place(range(len(self))[operator.index(place)]))

    def __iter__(self) -> Iterator[Float32Array]:
        return (self[place] for place in range(len(self)))

    def frame(self, index: int) -> Float32Array:
        """The depth of the video's frame ``index``; ``InputError`` where there is none of it."""
        return self._convert(self._source.read(index))

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    @property
    def metres(self) -> "VideoDepth":
        """The same depth in metres along the optical axis, +inf beyond what a calibration reaches.

        Raises ``InputError`` for relative depth without a calibration: no metres are made up.
        """
        if self.unit == "metre":
            return self
        if self._calibration is None:
            raise InputError(
                "This depth has no metres: it is relative, and nothing calibrates it.",
                "Calibrate the scene with 'vda enrich', or compute it with a metric model.",
            )
        calibration = self._calibration

        def to_metres(values: Float32Array) -> Float32Array:
            return calibration.metres(values).astype(np.float32)

        return replace(self, kind="depth", unit="metre", _convert=to_metres)

    def close(self) -> None:
        """Let go of the files; what was read stays. Other views of this depth are closed as well."""
        self._opened.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _source(self) -> DepthSource:
        if not self._opened:
            raise UsageError("This depth is closed.", "Open it again with vda.open_depth.")
        return self._opened[0]

    @cached_property
    def _size(self) -> tuple[int, int]:
        if self.record is not None:
            return self.record.height, self.record.width
        height, width = self._source.read_place(0).shape
        return height, width


@dataclass(frozen=True)
class SceneView:
    """A scene to look at: its ``plan``, its ``status`` now, its ``depth`` once it is merged."""

    root: Path

    @property
    def plan(self) -> Plan:
        """Which chunk computes which frames."""
        return Scene(self.root).plan()

    @property
    def status(self) -> dict[str, Any]:
        """How far the work is now, with the names of ``vda status --json``."""
        return joined_status(Scene(self.root))

    @property
    def depth(self) -> VideoDepth:
        """The merged depth, opened. Raises ``InputError`` where the scene is not merged."""
        return open_depth(self.root)


def open_scene(path: StrPath) -> SceneView:
    """Open the scene in the folder ``path``; ``SceneError`` where there is no planned scene."""
    return SceneView(Scene(Path(path)).require().root)


def open_depth(path: StrPath, *, scale: float | None = None) -> VideoDepth:
    """Open the depth of a scene, a merged folder, an ``.npz`` or ``.npy``, a video of depth or a folder of images.

    ``scale``: files without a ``depth.json`` hold metres times this number, such as 1000 for a sensor's
    millimetres. Raises ``InputError`` where there is no depth, ``UsageError`` where whole numbers need a
    ``scale``.
    """
    place = Path(path)
    scene = _scene_around(place)
    if scene is not None and place.resolve() == scene.root.resolve():
        place = scene.require_merged()
    source = open_source(place, scale=scale)
    record = source.record
    return VideoDepth(
        frames=source.frames,
        kind=record.quantizer.kind if record else None if scale is None else "depth",
        unit=record.quantizer.unit if record else None if scale is None else "metre",
        times=None if scene is None else _times(scene, source.frames),
        record=record,
        _opened=[source],
        _calibration=None
        if scene is None or record is None
        else _calibration(scene, source, record.quantizer.kind),
    )


def _scene_around(path: Path) -> Scene | None:
    """The scene that ``path`` is, or in whose merged folder it lies: depth beside that is not the scene's."""
    place = path.resolve()
    candidates = (Scene(path if folder == place else folder) for folder in (place, *place.parents))
    return next(
        (
            scene
            for scene in candidates
            if scene.video_path.is_file()
            and (scene.root.resolve() == place or place.is_relative_to(scene.merged_dir.resolve()))
        ),
        None,
    )


def _times(scene: Scene, frames: Sequence[int]) -> npt.NDArray[np.float64] | None:
    if not scene.index_path.is_file():
        return None
    times: npt.NDArray[np.float64] = scene.frame_index().times_of(np.asarray(frames))
    return times


def _calibration(scene: Scene, source: DepthSource, kind: Kind) -> Calibration | None:
    """The scene's calibration, if it was made for this depth."""
    kept = load_calibration(scene.calibration_path)
    if kept is None or kept.kind != kind:
        return None
    fits = kept.made_for is None or kept.made_for.fits(Fingerprint.of(source.frames, source.read))
    return kept if fits else None
