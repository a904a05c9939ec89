"""Who is who: every way of naming an original meets in one identity.

In go the rows of a table as they are stated, and the folder that their paths are relative to; out come bonds, keys
that rows share, and the originals that no row is or that several rows may be. ``original_video`` names

1. the rows whose path it is (absolute, relative, ``./``, through links) or whose ``video_id`` it is; else
2. those that agree with it in the most last parts of the path, none of theirs or its own contradicting; the same
   suffix before another, and for a single part the ``video_id`` without a suffix as well; else
3. the one row that has its name in another folder.

Between several nothing is chosen: all are bound. NFC and NFD, ``\\`` and ``/`` are the same to it. This file opens
no video, and does not know folds.
"""

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vda.records import is_nameable
from vda.splitting.inputs import VIDEO_SUFFIXES

PathParts = tuple[str, ...]
Bond = tuple[int, Hashable]
# What a scaled video was made of, in the table of scaled videos.
SOURCE = "source_path"
_DRIVE = re.compile(r"^[A-Za-z]:/")


@dataclass(frozen=True)
class Name:
    """A path or an identifier in ``parts``, the last without a video's ``suffix``; a first part "" is the root."""

    parts: PathParts
    suffix: str

    @classmethod
    def of(cls, stated: str) -> "Name":
        parts = plain(stated).split("/")
        suffix = PurePosixPath(parts[-1]).suffix
        if suffix.lower() not in VIDEO_SUFFIXES:
            return cls(tuple(parts), "")
        return cls((*parts[:-1], parts[-1].removesuffix(suffix)), suffix.lower())

    def tails(self) -> Iterator[PathParts]:
        """The last part, the last two, and so on."""
        return (self.parts[-length:] for length in range(1, len(self.parts) + 1))


def plain(stated: str) -> str:
    """A path or an identifier in one spelling: composed letters, slashes, no ``.`` and no ``..`` inside."""
    return posixpath.normpath(unicodedata.normalize("NFC", stated).replace("\\", "/"))


def resolved(stated: str, folder: Path) -> str:
    """The file that a path in a table in ``folder`` means.

    One with a Windows drive, or that no file here can have, stays what it is: it is no other row's file.
    """
    path = plain(stated)
    if _DRIVE.match(path) or not is_nameable(path):
        return path
    # Names are looked up as they are stated, for a disk may tell composed letters from others.
    return unicodedata.normalize("NFC", os.path.realpath(folder / stated.replace("\\", "/")))


@dataclass(frozen=True)
class Originals:
    """Rows that name the same original: ``texts`` are how they do, ``candidates`` rows that it may be."""

    texts: tuple[str, ...]
    rows: tuple[int, ...]
    candidates: tuple[int, ...] = ()


@dataclass(frozen=True)
class Identities:
    """``bonds``: keys that rows have in common; ``absent`` and ``several``: what no row is, or more than one.

    ``original_of``: by a row that names an original, the row that it names, where that is one.
    """

    bonds: tuple[Bond, ...]
    absent: tuple[Originals, ...]
    several: tuple[Originals, ...]
    original_of: dict[int, int]


def identify(checked: pl.DataFrame, folder: Path) -> Identities:
    """Bind the rows of a table that ``schema`` checked, by all that they have in common but what is in files."""
    book = _Book(checked, folder)
    bonds = list(book.bonds())
    component = components(len(checked), bonds)
    absent: list[Originals] = []
    several: list[Originals] = []
    original_of: dict[int, int] = {}
    for key, original in book.named.items():
        candidates, certain = book.candidates(original)
        # Rows that name the same original are each other's siblings.
        others = candidates - set(original.rows)
        identities = {component[row] for row in others}
        if not candidates or (not certain and len(identities) != 1):
            absent.append(original)
            continue
        bonds += ((row, key) for row in candidates)
        if len(identities) > 1:
            several.append(Originals(original.texts, original.rows, tuple(sorted(others))))
        else:
            original_of |= dict.fromkeys(original.rows, min(others or candidates))
    return Identities((*bonds, *_among_absent(absent, folder)), tuple(absent), tuple(several), original_of)


def components(count: int, bonds: Iterable[Bond]) -> NDArray[np.int64]:
    """A number from 0 for each of ``count`` rows; rows that keys bind, over any number of steps, have the same."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[Hashable, int] = {}
    pairs = np.array([(row, count + numbers.setdefault(key, len(numbers))) for row, key in bonds], np.int64)
    rows, keys = pairs.reshape(-1, 2).T
    size = count + len(numbers)
    edges = coo_array((np.ones(len(rows)), (rows, keys)), shape=(size, size))
    found = connected_components(edges, directed=False)[1][:count]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


class _Book:
    """The rows of a table by all that they can be named by; ``named``: the originals that they name, by key."""

    def __init__(self, checked: pl.DataFrame, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[str, set[int]] = defaultdict(set)
        self._ids: dict[str, set[int]] = defaultdict(set)
        self._names: dict[int, list[Name]] = defaultdict(list)
        self._groups = _stated(checked, "dup_group")
        for column in ("video_path", SOURCE):
            for row, path in _stated(checked, column):
                self._paths[resolved(path, folder)].add(row)
                self._names[row].append(Name.of(path))
        for row, name in _stated(checked, "stated_id"):
            self._ids[plain(name)].add(row)
        self.named = self._by_original(checked)

    def _by_original(self, checked: pl.DataFrame) -> dict[Hashable, Originals]:
        rows: dict[str, list[int]] = defaultdict(list)
        texts: dict[str, dict[str, None]] = defaultdict(dict)
        for row, text in _stated(checked, "original_video"):
            path = resolved(text, self._folder)
            rows[path].append(row)
            texts[path].setdefault(text)
        return {_key_of(path): Originals(tuple(texts[path]), tuple(found)) for path, found in rows.items()}

    def bonds(self) -> Iterator[Bond]:
        """What binds rows without any search."""
        yield from ((row, ("file", path)) for path, rows in self._paths.items() for row in rows)
        yield from ((row, ("video_id", name)) for name, rows in self._ids.items() for row in rows)
        yield from ((row, ("dup_group", group)) for row, group in self._groups)
        yield from ((row, key) for key, original in self.named.items() for row in original.rows)

    @cached_property
    def _index(self) -> "_Index":
        return _Index((row, name) for row, names in self._names.items() for name in names)

    def candidates(self, original: Originals) -> tuple[set[int], bool]:
        """The rows that an original may be, and whether their folders do not contradict it."""
        if found := set().union(*map(self._fitting, original.texts)):
            return found, True
        return set().union(
            *(self._index.tails.get(Name.of(text).parts[-1:], set()) for text in original.texts)
        ), False

    def _fitting(self, text: str) -> set[int]:
        exact = self._paths.get(resolved(text, self._folder), set()) | self._ids.get(plain(text), set())
        if exact:
            return exact
        name = Name.of(text)
        longest, rows = self._index.agreeing(name)
        same_suffix = {row for row in rows if any(self._is_like(name, other) for other in self._names[row])}
        rows = same_suffix or rows
        if longest <= 1:
            rows = rows | self._ids.get(name.parts[-1], set())
        return rows

    @staticmethod
    def _is_like(name: Name, other: Name) -> bool:
        return (name.parts[-1], name.suffix) == (other.parts[-1], other.suffix)


class _Index:
    """Numbers by the last parts of their names (``tails``), and by all of them (``whole``)."""

    def __init__(self, names: Iterable[tuple[int, Name]]) -> None:
        self.tails: dict[PathParts, set[int]] = defaultdict(set)
        self.whole: dict[PathParts, set[int]] = defaultdict(set)
        for number, name in names:
            self.whole[name.parts].add(number)
            for tail in name.tails():
                self.tails[tail].add(number)

    def agreeing(self, name: Name) -> tuple[int, set[int]]:
        """How many last parts agree at most, and whose, where the shorter of the two names agrees wholly."""
        if found := self.tails.get(name.parts):
            return len(name.parts), found
        for tail in sorted(name.tails(), key=len, reverse=True):
            if found := self.whole.get(tail):
                return len(tail), found
        return 0, set()


def _among_absent(absent: list[Originals], folder: Path) -> Iterator[Bond]:
    """Bind rows that name the same original that has no row, in different ways."""
    names = [(number, Name.of(text)) for number, original in enumerate(absent) for text in original.texts]
    index = _Index(names)
    for number, name in names:
        for other in index.tails[name.parts]:
            yield absent[other].rows[0], _key_of(resolved(absent[number].texts[0], folder))


def _key_of(path: str) -> Hashable:
    return "original", path


def _stated(checked: pl.DataFrame, column: str) -> list[tuple[int, str]]:
    """Places of rows that say something in ``column``, and what."""
    if column not in checked.columns:
        return []
    return [(row, text) for row, text in enumerate(checked[column].cast(pl.String)) if text]
