"""What is fuzzed: valid files for a parser, what reads them, and which files that stands for."""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vda.errors import VdaError

Files = Mapping[str, bytes]
"""A set of files by their names."""
SIZE = 8, 6
# Of what goes on for ever, such as the windows of a plan of 2^31 frames.
_MOST_ITEMS = 10_000


@dataclass(frozen=True)
class Target:
    """``of``: which files, in the page's words; ``seeds`` are whole sets of valid ones, each for a folder.

    ``read`` gets that folder; what it returns of valid files is not empty. ``wrong`` are those of the names that
    are made wrong (empty: all).
    """

    of: str
    read: Callable[[Path], object]
    seeds: tuple[Files, ...]
    wrong: tuple[str, ...] = ()


def one(name: str, *contents: bytes) -> tuple[Files, ...]:
    return tuple({name: content} for content in contents)


def only(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Read the one file that there is."""
    return lambda folder: read(next(folder.iterdir()))


def written(write: Callable[[Path], object], name: str, folder: Path) -> bytes:
    write(folder / name)
    return (folder / name).read_bytes()


def array(write: Callable[..., None], *values: np.ndarray, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    write(file, *values, **named)
    return file.getvalue()


def content(folder: Path) -> dict[str, bytes]:
    """All files below ``folder``, but for locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def every_way(*reads: Callable[[], object]) -> list[Any]:
    """Do all of ``reads``, each to its end or to the project's own error, and return what came of them."""
    found = []
    for read in reads:
        try:
            value = read()
            if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
                value = [item for item, _ in zip(value, range(_MOST_ITEMS), strict=False)]
            found.append(value)
        except VdaError:
            continue
    return found
