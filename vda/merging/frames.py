"""Frames made by a pool of threads and written in order: the second pass of a merge, which can be interrupted.

In: a scene's depth and its outputs. Out: the outputs' files, and what had to be left out. Images appear whole, and
a journal has a line for each frame whose images are there: frames in it are not made again unless an output that
takes them in order needs them. Some of a scene's frames can be made alone (``images_of``), and what is known of
them put together (``write_rest``). This file does not know what the outputs are.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from vda.depthmaps.codes import Codes, Float32Array, Kind
from vda.depthmaps.files import is_whole, read_png16
from vda.depthmaps.usage import CodeUse, Counts, code_counts
from vda.files import DAMAGED_ARRAYS, array_in, atomic_writer, read_json_lines, storage_errors
from vda.merging.outputs import Outputs
from vda.merging.target import MergedFrame
from vda.records import Count, Index, filled_lines
from vda.reporter import Reporter

T = TypeVar("T")
R = TypeVar("R")

JOURNAL = "merge_journal.jsonl"
# A frame in the making and one that waits for its turn: more would only take memory.
_AHEAD_PER_THREAD = 2


class Frames(Protocol):
    """Depth by frame index, of the size ``shape`` (height, width): joined just now, or written before."""

    @property
    def frames(self) -> Sequence[int]: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def kind(self) -> Kind: ...

    def frame(self, index: int) -> Float32Array: ...

    def is_missing(self, index: int) -> bool: ...

    def value_range(self) -> tuple[float, float]: ...


@dataclass
class Tally:
    """``missing`` frames have no depth; ``invalid`` and ``clipped`` count other pixels that have no value; and
    ``codes`` are those that are written.
    """

    missing: list[int] = field(default_factory=list)
    invalid: int = 0
    clipped: int = 0
    codes: CodeUse = field(default_factory=CodeUse)

    def add(self, made: MergedFrame) -> None:
        if made.missing:
            self.missing.append(made.index)
        self.invalid += made.invalid
        self.clipped += made.clipped
        if made.counts is not None:
            self.codes.add_counts(made.counts)

    def add_block(self, block: "FrameBlock") -> None:
        """Add frames that lie behind those added before."""
        self.missing += [line.index for line in block.lines if line.missing]
        self.invalid += sum(line.invalid for line in block.lines)
        self.clipped += sum(line.clipped for line in block.lines)
        self.codes.add_counts(block.counts)


@dataclass(frozen=True)
class FrameLine:
    """A frame in the journal: what it counts for, without its pixels."""

    index: Index
    missing: bool
    invalid: Count
    clipped: Count

    @classmethod
    def of(cls, made: MergedFrame) -> "FrameLine":
        return cls(made.index, made.missing, made.invalid, made.clipped)


@dataclass(frozen=True)
class FrameBlock:
    """Frames whose images are there: what each counts for, and how often codes occur in all of them."""

    lines: tuple[FrameLine, ...]
    counts: Counts

    def write(self, path: Path) -> None:
        """Write it to ``path``, whole or not at all."""
        lines = np.array([astuple(line) for line in self.lines], np.int64)
        codes = np.flatnonzero(self.counts)
        with atomic_writer(path) as handle:
            np.savez(handle, lines=lines, codes=codes, counts=self.counts[codes])

    @classmethod
    def read(cls, path: Path) -> "FrameBlock | None":
        """Read it; None where it is absent or damaged, for then it is made again."""
        counts = CodeUse().counts
        try:
            with np.load(path, allow_pickle=False) as archive:
                counts[array_in(archive, "codes")] = array_in(archive, "counts")
                rows = array_in(archive, "lines").tolist()
            return cls(tuple(FrameLine(index, bool(missing), *left) for index, missing, *left in rows), counts)
        except DAMAGED_ARRAYS:
            return None


def write_frames(depth: Frames, outputs: Outputs, reporter: Reporter) -> Tally:
    """Write every frame of ``depth`` to every output; ``reporter`` is told how many are done."""
    with ExitStack() as stack:
        finished, note = stack.enter_context(_journal(outputs.target.folder / JOURNAL))
        tally = _write(depth, outputs, finished, note, reporter)
    (outputs.target.folder / JOURNAL).unlink(missing_ok=True)
    return tally


def write_rest(depth: Frames, outputs: Outputs, finished: dict[int, FrameLine], reporter: Reporter) -> Tally:
    """Write what takes the frames in order, where all images are there, and ``finished`` says what of them."""
    return _write(depth, outputs, finished, lambda line: None, reporter)


def _write(
    depth: Frames,
    outputs: Outputs,
    finished: dict[int, FrameLine],
    note: Callable[[FrameLine], None],
    reporter: Reporter,
) -> Tally:
    reporter.begin("writing depth", len(depth.frames))
    tally = Tally()
    with ExitStack() as stack:
        streams = outputs.open_streams(stack)
        make = partial(_make, depth, outputs, finished)
        for done, made in enumerate(_in_order(make, depth.frames), start=1):
            for stream in streams:
                stream(made)
            # Noted only behind the images, which are whole by now: a kill in between costs this frame.
            if made.index not in finished:
                note(FrameLine.of(made))
            tally.add(made)
            reporter.at(done)
    return tally


def images_of(depth: Frames, outputs: Outputs, frames: Sequence[int]) -> Iterator[MergedFrame]:
    """Write the images of ``frames`` alone, each whole; yield the frames in order, each with its images there."""
    with ExitStack() as stack:
        streams = outputs.open_streams(stack)
        for made in _in_order(partial(_make, depth, outputs, {}), frames):
            for stream in streams:
                stream(made)
            yield made


def _make(depth: Frames, outputs: Outputs, finished: dict[int, FrameLine], index: int) -> MergedFrame:
    line = finished.get(index)
    images = outputs.image_paths(index)
    if line is not None and not outputs.want_depth and all(map(is_whole, images.values())):
        if not outputs.want_codes:
            return MergedFrame(**asdict(line))
        # The images hold the codes already; making them again would read windows and resize.
        if "png16" in images:
            codes = read_png16(images["png16"])
            return MergedFrame(codes=codes, counts=_counts(codes, outputs), **asdict(line))
    values = depth.frame(index)
    missing = depth.is_missing(index)
    codes, left_out = outputs.quantizer.encode_counted(values)
    # Depth beyond a calibration is known to be far, so it counts as out of range and not as unknown.
    too_far = int(np.count_nonzero(np.isposinf(values))) if left_out.invalid else 0
    invalid = 0 if missing else left_out.invalid - too_far
    counts = _counts(codes, outputs)
    made = MergedFrame(index, values, codes, counts, missing, invalid, left_out.clipped + too_far)
    outputs.write_images(made)
    # A frame that waits for its turn holds no more than somebody takes.
    return made if outputs.want_depth else replace(made, depth=None)


def _counts(codes: Codes, outputs: Outputs) -> Counts | None:
    return code_counts(codes) if outputs.has_codes else None


@contextmanager
def _journal(path: Path) -> Iterator[tuple[dict[int, FrameLine], Callable[[FrameLine], None]]]:
    """Yield the frames an earlier merge finished, and what notes another one; a damaged line is none."""
    finished = {line.index: line for line in filled_lines(FrameLine, read_json_lines(path))}
    with storage_errors(path):
        handle = path.open("w", buffering=1)
    with handle:

        def note(line: FrameLine) -> None:
            with storage_errors(path):
                handle.write(json.dumps(asdict(line)) + "\n")

        # Written anew, and not appended to: the torn line of a kill would spoil the next one.
        for line in finished.values():
            note(line)
        yield finished, note


def _in_order(make: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Make items in a pool of threads, a bounded number ahead, and yield them in order."""
    import torch

    # Twice as many as cores, for each waits for the disk as well: a file is whole only once it is there.
    workers = 2 * (os.cpu_count() or 1)
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
            # Whoever stops drawing would wait for all of them at the end of the pool.
            for future in ahead:
                future.cancel()
