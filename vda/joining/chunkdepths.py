"""Depth of independent chunks that other programs made: files in, pieces of float depth out.

A chunk is ``chunk_00_depths.npz`` (or ``.npy``), or a folder ``chunk_00/`` with one stack or one file per frame.
What is not there, or too short, is told by name, and never moves the frames behind it. This file does not know how
pieces are fitted to each other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError
from vda.joining.align import Float32Array
from vda.joining.overlaps import Kind
from vda.joining.pieces import Piece
from vda.joining.sequence import resize_depth
from vda.scene.chunks import Chunk, Plan

_NAME = re.compile(r"chunk_(\d+)(_depths?)?(\.npz|\.npy)?")


@dataclass(frozen=True)
class ChunkDepth:
    """One chunk's depth at the video's size; ``places`` gives the place in ``source`` of a frame of the video."""

    start: int
    stop: int
    width: int
    height: int
    source: DepthSource
    places: Mapping[int, int]
    kind: Kind

    def frame(self, index: int) -> Float32Array:
        """Return the depth of the video's frame ``index``, resized as the network does, holes kept."""
        return resize_with_holes(self._values(self.places[index]), self.width, self.height)

    def _values(self, place: int) -> Float32Array:
        values = self.source.read_place(place)
        # Nothing has a length of 0; inverse depth of 0 is the horizon.
        return np.where(values > 0, values, np.nan) if self.kind == "depth" else values

    def is_missing(self, index: int) -> bool:
        return index not in self.places

    def value_range(self) -> tuple[float, float]:
        return self._range

    @cached_property
    def _range(self) -> tuple[float, float]:
        low, high = np.inf, 0.0
        for place in self.places.values():
            values = self._values(place)
            finite = values[np.isfinite(values)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        return low, high

    def quantisation_error(self) -> float:
        return 0.0

    def to_json(self) -> dict[str, Any]:
        return {"start_frame": self.start, "end_frame": self.stop}


def resize_with_holes(depth: Float32Array, width: int, height: int) -> Float32Array:
    """Resize ``[h, w]`` to ``[height, width]`` as ``resize_depth``; a hole (NaN) takes nothing with it.

    A pixel has a value where at least half of the weight is on pixels that have one.
    """
    if depth.shape == (height, width):
        return depth
    has_value = np.isfinite(depth)
    if has_value.all():
        return resize_depth(depth, width, height)
    share = resize_depth(has_value.astype(np.float32), width, height)
    filled = resize_depth(np.where(has_value, depth, np.float32(0)), width, height)
    return np.divide(filled, share, out=np.full_like(filled, np.nan), where=share >= 0.5)


def open_chunk_depths(
    folder: Path,
    plan: Plan,
    size: tuple[int, int] | None,
    *,
    kind: Kind,
    scale: float | None = None,
    allow_gaps: bool = False,
    by_order: bool = False,
) -> tuple[Piece, ...]:
    """Return the plan's chunks with the depth found in ``folder``, at ``size`` (width, height; None: the depth's).

    Files hold depth times ``scale`` (None: 1). Raises ``InputError`` that names the chunks of which depth is
    missing or not of their length; with ``allow_gaps`` absent chunks are left out, and of a short one the frames
    that are there are used: by the numbers in their names, which are the video's frames or count the chunk's from
    0. Where they are neither they are refused, but with ``by_order`` they are the first ones, as a stack's are.
    """
    found = _chunk_paths(folder)
    sources = {
        chunk.index: open_depth(found[chunk.index], scale=scale or 1.0, by_order=by_order)
        for chunk in plan.chunks
        if chunk.index in found
    }
    if not sources:
        raise InputError(
            f"{folder} holds no depth of chunks.", "Give the folder with chunk_00_depths.npz or chunk_00/ in it."
        )
    problems = list(_problems(plan, sources, allow_gaps))
    if problems:
        raise InputError(
            f"The depth in {folder} does not fit its plan: {'; '.join(problems)}.",
            "Make that depth again, or give --allow-gaps to have the frames without depth marked invalid.",
        )
    width, height = size or _size(next(iter(sources.values())))
    return tuple(
        Piece(
            ChunkDepth(
                chunk.start, chunk.stop, width, height, source, _places(plan, chunk, source, by_order), kind
            ),
            chunk.index,
            chunk.sequence.shot,
        )
        for chunk in plan.chunks
        if (source := sources.get(chunk.index)) is not None
    )


def _chunk_paths(folder: Path) -> dict[int, Path]:
    """The depth of each chunk, by its number; files go before folders of the same number."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Give the folder that holds the depth of the chunks.")
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_file(), path.name)):
        match = _NAME.fullmatch(path.name)
        if match and (path.is_dir() or match[3]):
            found[int(match[1])] = path
    return found


def _problems(plan: Plan, sources: dict[int, DepthSource], allow_gaps: bool) -> "list[str]":
    problems = []
    for chunk in plan.chunks:
        wanted = chunk.stop - chunk.start
        source = sources.get(chunk.index)
        if source is None:
            problems += (
                []
                if allow_gaps
                else [f"chunk {chunk.index} (frames {plan.edge(chunk.start)}:{plan.edge(chunk.stop)}) is missing"]
            )
        elif len(source) > wanted:
            problems.append(f"chunk {chunk.index} has {len(source)} frames, more than its {wanted}")
        elif len(source) < wanted and not allow_gaps:
            problems.append(f"chunk {chunk.index} has {len(source)} frames instead of {wanted}")
    return problems


def _places(plan: Plan, chunk: Chunk, source: DepthSource, by_order: bool) -> dict[int, int]:
    """Where each frame of the chunk, by its place in the plan, is among the depth's frames."""
    numbers, wanted = source.frames, chunk.stop - chunk.start
    consecutive = numbers[-1] - numbers[0] + 1 == len(numbers)
    if by_order or isinstance(numbers, range) or (consecutive and len(numbers) == wanted):
        return {chunk.start + place: place for place in range(len(numbers))}
    of_the_video = set(numbers) <= {plan.frame(place) for place in range(chunk.start, chunk.stop)}
    of_the_chunk = numbers[-1] < wanted
    if of_the_video == of_the_chunk and (chunk.start > 0 or not of_the_chunk):
        raise InputError(
            f"The files of chunk {chunk.index} are numbered from {numbers[0]} to {numbers[-1]}: those are "
            f"{'both' if of_the_chunk else 'neither'} frames of the video "
            f"({plan.edge(chunk.start)}:{plan.edge(chunk.stop)}) "
            f"{'and' if of_the_chunk else 'nor'} of the chunk (0:{wanted}).",
            "Number them by the video's frames, or give --by-order if they are the chunk's first frames.",
        )
    if of_the_video:
        return {plan.place(number): place for place, number in enumerate(numbers)}
    return {chunk.start + number: place for place, number in enumerate(numbers)}


def _size(source: DepthSource) -> tuple[int, int]:
    height, width = source.read_place(0).shape
    return width, height
