"""Images as the frames of a video: what a container would say of itself, found out from files.

In: a path that names images (``stills.naming``). Out: what ``info`` and ``index`` need, and pictures by place. A
frame is a file, so any of them is read at once; each is held against the checksum that was taken when the images
were counted. An image that cannot be read is like a damaged frame of a container: the one before it stands in.
"""

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from vda.errors import VideoError
from vda.reporter import Reporter
from vda.stills.exr import stated_rate
from vda.stills.naming import base_of, find_images
from vda.stills.pixels import fitted, read_image
from vda.video.rates import plain_rate

# FFmpeg's own assumption for images.
ASSUMED_FPS: Final = Fraction(25)
# Of the clock that names are times of.
_MICROSECOND: Final = Fraction(1, 10**6)
# A header, and the rows of pixels that come last: of all of a file the identity would take as long as counting.
_HEAD_TAIL_BYTES: Final = 4096
# Decoding takes a core each, and on a network's disk each waits.
_THREADS: Final = 8
_NAMED: Final = 3
# Numbers have a step where more than half of them rise by it.
_USUAL_SHARE: Final = 0.5

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Identity:
    """Of all files together: their size, a hash of names, sizes, heads and tails, and the latest change."""

    size_bytes: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True)
class ImageFacts:
    """What is known of images before they are counted; ``fps`` is None where nothing states it."""

    count: int
    identity: Identity
    width: int
    height: int
    kind: str
    fps: Fraction | None


@dataclass(frozen=True, eq=False)
class Listing:
    """The images as frames: ``names`` str [n] below ``base_of`` the path, ``numbers`` int64 [n] (None: places).

    ``pts`` int64 [n] count ``time_base``; ``checksums`` uint32 [n] are the files' CRC-32 (None: not opened),
    ``sizes`` where a new size begins: number, width and height.
    """

    names: np.ndarray
    numbers: np.ndarray | None
    pts: np.ndarray
    time_base: Fraction
    notes: tuple[str, ...]
    checksums: np.ndarray | None = None
    damaged: bool = False
    sizes: tuple[tuple[int, int, int], ...] = ()


def look_at(path: Path) -> ImageFacts:
    """Find the images and read the first that can be read, which says how large the frames are.

    Raises ``VideoError`` where there are none,
    or none can be read.
    """
    files = find_images(path)
    paths = files.paths()
    first, picture = _first_readable(paths)
    kind = first.suffix.lower().removeprefix(".")
    rate = stated_rate(first) if kind == "exr" else _rate_of(files.times_s)
    return ImageFacts(len(paths), identity_of(paths), picture.shape[1], picture.shape[0], kind, rate)


def identity_of(paths: Sequence[Path]) -> Identity:
    """The identity of the files ``paths``, in this order; ``VideoError`` where one cannot be read."""
    digest, size, mtime = hashlib.sha256(), 0, 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for file, (bytes_, changed, ends) in zip(paths, pool.map(_ends, paths), strict=True):
            digest.update(os.fsencode(file.name) + b"\0" + str(bytes_).encode() + b"\0" + ends)
            size, mtime = size + bytes_, max(mtime, changed)
    return Identity(size, digest.hexdigest(), mtime)


def _first_readable(paths: Sequence[Path]) -> tuple[Path, np.ndarray]:
    problem = None
    for path in paths:
        try:
            return path, read_image(path)
        except VideoError as error:
            problem = problem or error
    assert problem is not None
    raise VideoError(f"Of {len(paths)} images not one can be read. {problem.problem}", problem.remedy)


def _ends(path: Path) -> tuple[int, int, bytes]:
    try:
        status = path.stat()
        with path.open("rb") as handle:
            head = handle.read(_HEAD_TAIL_BYTES)
            handle.seek(max(status.st_size - _HEAD_TAIL_BYTES, 0))
            return status.st_size, status.st_mtime_ns, head + handle.read(_HEAD_TAIL_BYTES)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.") from error


def _rate_of(times_s: tuple[float, ...] | None) -> Fraction | None:
    if times_s is None or len(times_s) < 2:
        return None
    return plain_rate(1 / float(np.median(np.diff(times_s))))


def list_images(path: Path, fps: Fraction) -> Listing:
    """The images as frames at ``fps`` a second, without opening them.

    Names that are times are the frames' times, unless ``fps`` is another rate than theirs. Where numbers mostly
    rise by one step, those that are left out leave their time empty, as lost frames of a video do.
    """
    files = find_images(path)
    numbers = np.array(files.numbers, np.int64)
    notes: tuple[str, ...] = ()
    if files.times_s is not None and fps == _rate_of(files.times_s):
        since = np.array(files.times_s) - files.times_s[0]
        pts, time_base = np.rint(since / float(_MICROSECOND)).astype(np.int64), _MICROSECOND
    else:
        pts, time_base = _at_steps(numbers), 1 / fps
        notes = _gaps(numbers, pts)
    named = numbers if files.own_numbers and not np.array_equal(numbers, np.arange(len(numbers))) else None
    return Listing(np.array(files.names), named, pts, time_base, notes)


def _at_steps(numbers: np.ndarray) -> np.ndarray:
    """The numbers from 0 in their usual step, int64 [n]; places, where there is no such step."""
    steps = np.diff(numbers)
    usual = int(np.median(steps)) if len(steps) else 0
    if usual < 1 or (steps % usual).any() or (steps == usual).mean() <= _USUAL_SHARE:
        return np.arange(len(numbers), dtype=np.int64)
    return np.asarray((numbers - numbers[0]) // usual, np.int64)


def _gaps(numbers: np.ndarray, pts: np.ndarray) -> tuple[str, ...]:
    span = f"The images are numbered from {numbers[0]} to {numbers[-1]}"
    steps = np.diff(numbers)
    if not len(steps) or (steps == 1).all():
        return ()
    if len(pts) > 1 and (steps == steps[0]).all():
        return (f"{span} in steps of {steps[0]}.",)
    missing = int(pts[-1]) + 1 - len(pts)
    if not missing:
        return (f"{span} without a common step: they follow each other at even times.",)
    behind = [str(numbers[place]) for place in np.flatnonzero(np.diff(pts) > 1)[:_NAMED]]
    more = " ..." if np.count_nonzero(np.diff(pts) > 1) > _NAMED else ""
    return (
        f"{span}, and {missing} in between are missing (behind {', '.join(behind)}{more}): no depth is made for "
        "them, and their time stays empty.",
    )


@dataclass(frozen=True)
class _Look:
    """What counting saw of an image; ``size`` (width, height) is None where it cannot be read."""

    checksum: int
    size: tuple[int, int] | None


def count_images(
    path: Path, fps: Fraction, size: tuple[int, int], threads: int | None, reporter: Reporter
) -> Listing:
    """As ``list_images``, with every image decoded once: those that cannot be are noted."""
    listing = list_images(path, fps)
    paths = [base_of(path) / name for name in listing.names.tolist()]
    looks = []
    for look in in_threads(_look, paths, threads):
        looks.append(look)
        reporter.at(len(looks))
    unreadable = [file.name for file, look in zip(paths, looks, strict=True) if look.size is None]
    notes = [*listing.notes]
    if unreadable:
        notes.append(
            f"{_images(unreadable)} damaged and cannot be read, and the picture before stands in: "
            f"{_names(unreadable)}."
        )
    checksums = np.array([look.checksum for look in looks], np.uint32)
    numbers = range(len(looks)) if listing.numbers is None else listing.numbers.tolist()
    sizes = tuple(_runs_of_sizes(numbers, [look.size for look in looks], size))
    return replace(listing, notes=tuple(notes), checksums=checksums, damaged=bool(unreadable), sizes=sizes)


def _runs_of_sizes(
    numbers: Sequence[int], sizes: Sequence[tuple[int, int] | None], first: tuple[int, int]
) -> Iterator[tuple[int, int, int]]:
    """Where a new size begins; what cannot be read is shown as the image before, and begins none."""
    yield numbers[0], *first
    held = first
    for number, size in zip(numbers, sizes, strict=True):
        if size is not None and size != held:
            held = size
            yield number, *size


def _look(path: Path) -> _Look:
    data = _read_bytes(path)
    try:
        height, width = read_image(path, data).shape[:2]
    except VideoError:
        return _Look(zlib.crc32(data), None)
    return _Look(zlib.crc32(data), (width, height))


def _images(names: Sequence[str]) -> str:
    return "One image is" if len(names) == 1 else f"{len(names)} images are"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise VideoError(f"There is no file {path} any more.", "Put the image back where it was.") from error
    except OSError as error:
        raise VideoError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the disk and permissions."
        ) from error


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of the images ``names`` below ``base``, all of ``size`` (width, height), by place."""

    base: Path
    names: np.ndarray
    checksums: np.ndarray | None
    size: tuple[int, int]

    def read(self, wanted: Sequence[int], threads: int | None) -> Iterator[tuple[int, np.ndarray, bool]]:
        """Yield place, RGB uint8 [height, width, 3] and whether the image could be read, in the order ``wanted``.

        Raises ``VideoError`` for an image that is gone, or is another one than was counted.
        """
        held: tuple[int, np.ndarray] | None = None
        for place, picture in zip(wanted, in_threads(self._picture, wanted, threads), strict=True):
            if picture is None:
                yield place, self._stand_in(place, held), False
            else:
                held = place, picture
                yield place, picture, True

    def _stand_in(self, place: int, held: tuple[int, np.ndarray] | None) -> np.ndarray:
        """The picture before ``place`` that can be read, or the one behind it at the very start."""
        for other in (*range(place - 1, -1, -1), *range(place + 1, len(self.names))):
            if held is not None and other == held[0]:
                return held[1]
            if (picture := self._picture(other)) is not None:
                return picture
        raise VideoError(f"Not one image in {self.base} can be read any more.", "Check the disk.")

    def _picture(self, place: int) -> np.ndarray | None:
        path = self.base / str(self.names[place])
        data = _read_bytes(path)
        if self.checksums is not None and zlib.crc32(data) != self.checksums[place]:
            raise VideoError(
                f"{path} is not the image that it was when the images were counted.",
                "Put that image back, or start over with the new ones (--restart).",
            )
        try:
            return fitted(read_image(path, data), *self.size)
        except VideoError:
            return None


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: int | None) -> Iterator[R]:
    """Do ``work`` for each item, some at a time, and yield the results in order; a bounded number waits."""
    workers = min(threads or os.cpu_count() or 1, _THREADS)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
