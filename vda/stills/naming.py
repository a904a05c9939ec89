"""Which image files make a sequence, in what order, and which numbers they have.

In: a path as people give it: a folder, a pattern (``shot.%04d.exr``, ``shot.####.exr``, ``'shot.*.png'``), a text
file with one path a line, or one image, which is frame 0. Out: ``ImageFiles``. This file does not open images.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from vda.errors import InputError, VideoError
from vda.records import is_nameable
from vda.stills.numbering import Numbering, number_names

# Suffixes by kind: what differs in no more than spelling is one kind.
_KINDS: Final = {
    ".png": "png",
    ".jpg": "jpg",
    ".jpeg": "jpg",
    ".tif": "tif",
    ".tiff": "tif",
    ".exr": "exr",
    ".webp": "webp",
    ".bmp": "bmp",
}
_LISTS: Final = {".txt", ".lst", ".list"}
_PRINTF: Final = re.compile(r"%(?:0(\d+))?d")
_HASHES: Final = re.compile(r"#+")
_WILDCARDS: Final = re.compile(r"[*?\[]")
# "shot.-0012.exr": what counts down to a shot's first frame. A dash between words separates, as in "frame-0012".
_NEGATIVE: Final = re.compile(r"[._]-\d+$")
# Seconds since 1970 that a camera can have written: up to the year 2100. A date of 14 digits is no clock.
_LAST_CLOCK_S: Final = 4.1e9
_REMEDY: Final = "Give a pattern such as 'shot.%04d.png', or a text file that lists the images in order."


@dataclass(frozen=True)
class ImageFiles:
    """``names`` are paths below ``base`` (or absolute ones) in order, ``numbers`` rise with them.

    ``own_numbers`` is False where the names tell none, and the numbers count from 0. ``times_s`` are seconds where
    the names are times.
    """

    base: Path
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    own_numbers: bool = True
    times_s: tuple[float, ...] | None = None

    def paths(self) -> list[Path]:
        return [self.base / name for name in self.names]


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file."""
    return path.suffix.lower() in _KINDS


def is_list(path: Path) -> bool:
    """Whether ``path`` is a text file that may list images."""
    return path.suffix.lower() in _LISTS and path.is_file()


def is_pattern(path: Path) -> bool:
    """Whether the name, which is no file's, stands for those of many: by ``%04d``, ``####``, ``*`` or ``?``."""
    name = path.name
    return not path.exists() and any(mark.search(name) for mark in (_PRINTF, _HASHES, _WILDCARDS))


def is_sequence(path: Path) -> bool:
    """Whether ``path`` names images, and not a container: a folder, a pattern, a list, or one image."""
    return path.is_dir() or is_list(path) or is_pattern(path) or is_image(path)


def base_of(path: Path) -> Path:
    """The folder that the images' names are relative to."""
    return path if path.is_dir() else path.parent


def name_of(path: Path) -> str:
    """What the images that ``path`` names are called, without numbers, marks and suffixes: ``shot`` of
    ``shot.%04d.exr``, the folder's name of ``*.png``."""
    if path.is_dir():
        return path.resolve().name
    if not is_pattern(path):
        return path.stem
    first = min(mark.start() for kind in (_PRINTF, _HASHES, _WILDCARDS) for mark in kind.finditer(path.name))
    return path.name[:first].rstrip("._- ") or path.parent.resolve().name


def find_images(path: Path) -> ImageFiles:
    """Return the images that ``path`` names.

    Raises ``VideoError`` where there are none, where they are of several kinds, and where their names tell no
    order: nothing is guessed.
    """
    if path.is_dir():
        return _numbered(path, _images_in(path), path)
    if path.is_file():
        return _listed(path) if is_list(path) else ImageFiles(path.parent, (path.name,), (0,), own_numbers=False)
    if is_pattern(path):
        return _matching(path)
    raise VideoError(f"There is no file {path}.", "Check the path of the images.")


def _images_in(folder: Path) -> list[str]:
    names = _files(folder)
    images = [name for name in names if is_image(Path(name))]
    kinds = sorted({_KINDS[Path(name).suffix.lower()] for name in images})
    if not images:
        raise VideoError(
            f"The folder {folder} holds no images.",
            "Give a folder of images (png, jpg, tif, exr, webp), or a video.",
        )
    if len(kinds) > 1:
        raise VideoError(
            f"The folder {folder} holds images of several kinds: {', '.join(kinds)}.",
            f"Say which of them are meant, with a pattern such as '{folder}/*.{kinds[0]}'.",
        )
    return images


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
    except OSError as error:
        raise VideoError(
            f"The folder {folder} cannot be read: {error.strerror or error}.",
            "Check the path and its permissions.",
        ) from error


def _numbered(base: Path, names: Sequence[str], where: Path) -> ImageFiles:
    """The images by the number that varies in their names, or by the times that these are."""
    if any(_NEGATIVE.search(Path(name).stem) for name in names):
        raise VideoError(
            f"There are negative numbers in the names in {where}, and no frame can have one.",
            "Rename the images to count from 0 or above, or give a text file that lists them in order.",
        )
    try:
        numbering = number_names(names, where, timed=True)
    except InputError as error:
        raise VideoError(error.problem, _REMEDY) from error
    ordered = tuple(names[place] for place in numbering.places)
    told = bool(re.search(r"\d", Path(names[0]).stem))
    return ImageFiles(base, ordered, numbering.frames, told and numbering.times_s is None, _clock(numbering))


def _clock(numbering: Numbering) -> tuple[float, ...] | None:
    times_s = numbering.times_s
    return times_s if times_s is not None and times_s[-1] < _LAST_CLOCK_S else None


def _matching(path: Path) -> ImageFiles:
    folder = path.parent
    if not folder.is_dir():
        raise VideoError(f"There is no folder {folder}.", "Check the path of the images.")
    marks = [*_PRINTF.finditer(path.name), *_HASHES.finditer(path.name)]
    if not marks:
        names = [name for name in _files(folder) if fnmatchcase(name, path.name) and is_image(Path(name))]
        _require_some(names, path)
        return _numbered(folder, names, path)
    if len(marks) > 1:
        raise VideoError(f"{path.name} has {len(marks)} places for a number.", "Give a pattern with one.")
    found = dict(_by_pattern(path.name, marks[0], _files(folder)))
    _require_some(found, path)
    numbers = sorted(found)
    return ImageFiles(folder, tuple(found[number] for number in numbers), tuple(numbers))


def _by_pattern(pattern: str, mark: re.Match[str], names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Number and name of each file that printf, or a compositing program, would give the ``pattern``'s name."""
    digits = len(mark[0]) if mark[0][0] == "#" else int(mark[1] or 1)
    before, after = pattern[: mark.start()], pattern[mark.end() :]
    written = re.compile(rf"{re.escape(before)}(\d{{{digits}}}|[1-9]\d{{{digits},}}){re.escape(after)}")
    for name in names:
        if (match := written.fullmatch(name)) and is_image(Path(name)):
            yield int(match[1]), name


def _require_some(found: Collection[object], path: Path) -> None:
    if not found:
        raise VideoError(f"No image is called like {path}.", "Check the pattern against the names in the folder.")


def _listed(path: Path) -> ImageFiles:
    """The images of a list, in its order; their numbers count where they rise in that order."""
    names = read_list(path)
    base = path.parent
    if not _is_file(base / names[0]) and _is_file(Path(names[0])):
        # A shell prints paths as seen from where it stands, wherever the list is then put.
        names = [str(Path(name).absolute()) for name in names]
    absent = [name for name in names if not _is_file(base / name)]
    if absent:
        raise VideoError(
            f"{len(absent)} of the {len(names)} files listed in {path} are not there, such as {absent[0]}.",
            "Write one path a line: absolute, or as seen from the list's own folder.",
        )
    strange = [name for name in names if not is_image(Path(name))]
    if strange:
        raise VideoError(f"{path} lists {strange[0]}, which is no image.", "List images only, one path a line.")
    in_order = ImageFiles(base, tuple(names), tuple(range(len(names))), own_numbers=False)
    try:
        numbered = _numbered(base, names, path)
    except VideoError:
        return in_order
    return numbered if numbered.names == in_order.names else in_order


def _is_file(path: Path) -> bool:
    return is_nameable(path) and path.is_file()


def read_list(path: Path) -> list[str]:
    """The paths in a text file, one a line; empty lines and those that begin with # are none."""
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.") from error
    names = [os.fsdecode(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith(b"#")]
    if not names or any("\0" in name for name in names):
        raise VideoError(f"{path} lists no files.", "Write one path a line.")
    return names
