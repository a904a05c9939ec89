"""Videos that are alike: equal byte for byte, or by a perceptual hash of a few of their frames.

In go paths, one a row; out come groups of rows. A video's mark is, for each of four moments, the signs of its
lowest frequencies: the picture in grey and 32 x 32, its discrete cosine transform, the 8 x 8 lowest coefficients
but the first, each above or not above their median (Zauner, Implementation and Benchmarking of Perceptual Image
Hash Functions, 2010). Coding, size and brightness hardly change it. Turned, mirrored or shortened videos are not
found. This file does not know labels nor folds.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from vda.errors import VideoError
from vda.files import sha256_file
from vda.fvc.identity import Bond, components
from vda.picture.upright import stated_orientation
from vda.reporter import Reporter
from vda.video.decoding import OpenVideo

Marks = NDArray[np.int8]

_MOMENTS = tuple(Fraction(eighths, 8) for eighths in (1, 3, 5, 7))
_SIDE, _LOWEST = 32, 8
_BITS = _LOWEST**2 - 1
# A picture that varies by less, in grey levels, has no more to be known by than noise has.
_LEAST_SPREAD = 4.0
# From one key frame to a moment: more than most encoders leave between key frames.
_MOST_FRAMES = 600
# Of 4 x 63 bits: measured 0 to 2 % re-encoded and scaled, to 8 % cropped by 3 %, and 31 % and more if different.
_MOST_DIFFERENT = 0.16
_LEAST_MOMENTS = 2
_LONGER = 1.1
_BLOCK = 2048


@dataclass(frozen=True)
class Mark:
    """``signs`` int8 [4 * 63]: 1 and -1, and 0 at moments without a picture; ``seconds``: how long it is."""

    signs: Marks
    seconds: float


@dataclass(frozen=True)
class Alike:
    """Groups of rows, ``equal`` byte for byte or ``similar`` in their pictures too.

    ``files`` were there to be compared, ``hashed`` of them have a mark (None: nobody asked).
    """

    equal: tuple[tuple[int, ...], ...]
    similar: tuple[tuple[int, ...], ...]
    files: int
    hashed: int | None

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        return (*self.equal, *self.similar)

    def bonds(self) -> Iterator[Bond]:
        yield from ((row, ("alike", group)) for group in self.groups for row in group)


def find_alike(paths: Sequence[Path | None], reporter: Reporter, *, pictures: bool) -> Alike:
    """Find what is alike among the files that are there (None: is not); ``pictures``: by their pictures too."""
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, path in enumerate(paths):
        if path is not None:
            rows[path.resolve()].append(row)
    equal = [_rows_of(group, rows) for group in equal_files(rows)]
    if not pictures:
        return Alike(tuple(equal), (), len(rows), None)
    marks = {path: mark for path, mark in _marks(list(rows), reporter) if mark is not None}
    known = list(marks)
    pairs = [(known[one], known[other]) for one, other in similar_marks(list(marks.values()))]
    similar = [_rows_of(group, rows) for group in _joined(known, pairs)]
    return Alike(tuple(equal), tuple(group for group in similar if group not in equal), len(rows), len(known))


def _joined(files: Sequence[Path], pairs: Sequence[tuple[Path, Path]]) -> list[list[Path]]:
    """Files that pairs join, over any number of steps."""
    numbers = {path: number for number, path in enumerate(files)}
    bonds = [(numbers[path], pair) for pair in pairs for path in pair]
    component = components(len(files), bonds)
    return _by(files, lambda path: str(component[numbers[path]]))


def _rows_of(files: Iterable[Path], rows: dict[Path, list[int]]) -> tuple[int, ...]:
    return tuple(sorted(row for path in files for row in rows[path]))


def equal_files(files: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same bytes; only those of the same size are read, and no folders or patterns."""
    return [
        same
        for sized in _by((path for path in files if path.is_file()), lambda path: str(path.stat().st_size))
        for same in _by(sized, sha256_file)
    ]  # fmt: skip


def _by(files: Iterable[Path], key: Callable[[Path], str]) -> list[list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        groups[key(path)].append(path)
    return [group for group in groups.values() if len(group) > 1]


def _marks(files: Sequence[Path], reporter: Reporter) -> Iterator[tuple[Path, Mark | None]]:
    reporter.begin("hashing pictures", len(files))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, (path, mark) in enumerate(zip(files, pool.map(mark_of, files), strict=True), 1):
            reporter.at(done)
            yield path, mark


def mark_of(path: Path) -> Mark | None:
    """The mark of a video; None where it cannot be read, or shows something at fewer than two moments."""
    try:
        with OpenVideo(path, threads=1) as source:
            start = (source.stream.start_time or 0) * source.time_base
            length = (source.claimed_end or start) - start
            signs = np.concatenate([_signs(_frame(source, start + moment * length)) for moment in _MOMENTS])
    except VideoError:
        return None
    shown = np.count_nonzero(signs) >= _LEAST_MOMENTS * _BITS
    return Mark(signs, float(length)) if shown and length > 0 else None


def _frame(source: OpenVideo, seconds: Fraction) -> VideoFrame | None:
    """The first frame at or after ``seconds`` of the file's own clock, without decoding much before it."""
    pts = int(seconds / source.time_base)
    if not source.seek(pts):
        return None
    frames = islice(source.timed_frames(), _MOST_FRAMES)
    return next((frame for shown, frame in frames if shown >= pts), None)


def _signs(frame: VideoFrame | None) -> Marks:
    """Int8 [63]: the signs of the lowest frequencies, 0 where there is nothing to be seen."""
    if frame is None:
        return np.zeros(_BITS, np.int8)
    grey = stated_orientation(frame)[0].upright(frame.to_ndarray(format="gray"))
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.std() < _LEAST_SPREAD:
        return np.zeros(_BITS, np.int8)
    lowest = cv2.dct(small)[:_LOWEST, :_LOWEST].ravel()[1:]
    return np.where(lowest > np.median(lowest), 1, -1).astype(np.int8)


def similar_marks(marks: Sequence[Mark]) -> list[tuple[int, int]]:
    """Pairs of marks that differ in few bits at the moments that both have, and in length by little."""
    if not marks:
        return []
    signs = np.stack([mark.signs for mark in marks])
    seconds = np.array([mark.seconds for mark in marks])
    starts = range(0, len(marks), _BLOCK)
    return [
        pair for one in starts for other in starts if one <= other for pair in _pairs(signs, seconds, one, other)
    ]


def _pairs(signs: Marks, seconds: NDArray[np.float64], one: int, other: int) -> Iterator[tuple[int, int]]:
    """Pairs of one block with another. In the product of signs, bits that agree count 1, and others -1."""
    rows, columns = (signs[start : start + _BLOCK].astype(np.float32) for start in (one, other))
    common = np.abs(rows) @ np.abs(columns).T
    different = (common - rows @ columns.T) / 2
    times = seconds[one : one + _BLOCK, None], seconds[None, other : other + _BLOCK]
    fits = np.maximum(*times) <= _LONGER * np.minimum(*times)
    near = (common >= _LEAST_MOMENTS * _BITS) & (different <= _MOST_DIFFERENT * common) & fits
    for row, column in np.argwhere(near):
        if one + row < other + column:
            yield int(one + row), int(other + column)
