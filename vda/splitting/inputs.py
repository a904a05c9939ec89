"""What a command was given, as videos: folders of films, globs in quotes and lists become the films in them.

In: paths as they were typed. Out: videos, each a container or a sequence of images, in order. This file does not
open any of them.
"""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from vda.errors import UsageError, VideoError
from vda.records import is_nameable
from vda.stills.naming import is_image, is_list, read_list

VIDEO_SUFFIXES: Final = (
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".3gp", ".ogv",
    ".mxf", ".m2ts", ".mts", ".vob",
)  # fmt: skip


def find_videos(asked: Sequence[Path]) -> list[Path]:
    """Return the videos that ``asked`` are or hold: each once, in order.

    A folder is its films, or one sequence of its images; ``'shots/*/*.png'`` is a sequence a folder; a text file
    may list films. Raises ``UsageError`` where a folder holds both, and for images that were given one by one, as
    a shell does with a glob that is not in quotes; ``VideoError`` for a glob that nothing is called like.
    """
    images = [path for path in asked if path.is_file() and is_image(path)]
    if len(images) > 1:
        raise UsageError(
            f"{len(images)} images were given one by one, which may be one video or many.",
            f"For one video give their folder, {images[0].parent}, or a pattern in quotes, such as "
            f"'{images[0].parent / '*'}{images[0].suffix}'; for one picture alone, give one at a time.",
        )
    found = [video for path in asked for video in _videos_of(path)]
    return list(dict.fromkeys(found))


def _videos_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from _in_folder(path)
    elif is_list(path):
        yield from _in_list(path)
    elif not path.exists() and glob.has_magic(str(path)):
        yield from _called_like(path)
    else:
        yield path


def _in_folder(folder: Path) -> Iterator[Path]:
    files = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_file())
    films = [path for path in files if is_film(path)]
    images = sum(map(is_image, files))
    if films and images:
        raise UsageError(
            f"{folder} holds both {len(films)} videos and {images} images.",
            f"Say which are meant, with a pattern in quotes such as '{folder}/*{films[0].suffix}'.",
        )
    yield from films or [folder]


def _in_list(path: Path) -> Iterator[Path]:
    names = read_list(path)
    if not all(is_film(Path(name)) for name in names):
        yield path
        return
    for name in names:
        beside = path.parent / name
        yield beside if _exists(beside) or not _exists(Path(name)) else Path(name)


def _exists(path: Path) -> bool:
    return is_nameable(path) and path.exists()


def _called_like(pattern: Path) -> Iterator[Path]:
    found = sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    matches = [match for match in found if match.name[0] != "."]
    if not matches:
        raise VideoError(f"Nothing is called like {pattern}.", "Check the pattern against the names of the files.")
    folders = dict.fromkeys(match.parent for match in matches if match.is_file() and is_image(match))
    # A pattern of images is a sequence in each folder, and stays one: the images' kind is in it.
    yield from (folder / pattern.name for folder in folders)
    for match in matches:
        if match.is_dir():
            yield from _in_folder(match)
        elif is_film(match):
            yield match
    if not folders and not any(match.is_dir() or is_film(match) for match in matches):
        raise VideoError(f"What is called like {pattern} is neither videos nor images.", "Check the pattern.")


def is_film(path: Path) -> bool:
    """Whether the name is that of a video file."""
    return path.suffix.lower() in VIDEO_SUFFIXES
