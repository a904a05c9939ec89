"""The parts of a data set: folds, or train, val and test; and those that rows had before.

In go what is asked for, and a table that has such a column already; out come names and shares, and the part of
each row. This file does not know how new rows are dealt out.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vda.errors import InputError, UsageError
from vda.fvc.dealing import FREE, Rows
from vda.fvc.identity import resolved
from vda.fvc.schema import read_table

FOLD, SPLIT = "fold", "split"
_SPLITS = ("train", "val", "test")
_SHOWN = 5


@dataclass(frozen=True)
class Partition:
    """``names`` as they stand in ``column``, and the share of the rows that each is to have; these sum to 1."""

    column: str
    names: tuple[str, ...]
    shares: tuple[float, ...]

    @classmethod
    def folds(cls, count: int) -> "Partition":
        return cls(FOLD, tuple(map(str, range(count))), (1 / count,) * count)

    @classmethod
    def splits(cls, shares: tuple[float, ...]) -> "Partition":
        """Train, val and test. Raises ``UsageError`` for shares that are none."""
        if len(shares) != len(_SPLITS) or not all(0 < share < float("inf") for share in shares):
            raise UsageError(
                f"{'/'.join(f'{share:g}' for share in shares)} are no shares of train, val and test.",
                "Give three numbers above 0, such as 80/10/10.",
            )
        return cls(SPLIT, _SPLITS, tuple(share / sum(shares) for share in shares))

    def series(self, part: Rows) -> pl.Series:
        """The column: whole numbers for folds, words for train, val and test."""
        names = pl.Series(self.column, [self.names[number] for number in part])
        return names.cast(pl.Int64) if self.column == FOLD else names


@dataclass(frozen=True)
class Kept:
    """The part that each group stays in, else ``FREE``, [groups]; ``rows`` had one, and ``gone`` are no more."""

    groups: Rows
    rows: int
    gone: int


def keep(path: Path, parts: Partition, checked: pl.DataFrame, groups: Rows, folder: Path) -> Kept:
    """The parts that the table in ``path`` gives to rows of ``checked``, known by their ``video_path``.

    Raises ``InputError`` where it has none, has others than ``parts``, or parts what belongs together.
    """
    before = _parts_of(path, parts, folder)
    places = [before.get(resolved(video, folder), FREE) for video in checked["video_path"]]
    kept: NDArray[np.int64] = np.array(places, np.int64)
    had = np.flatnonzero(kept != FREE)
    if not len(had):
        raise InputError(
            f"No row has its video_path in {path}, so there is nothing to keep.",
            "Give --keep the table that the folds were written to, or leave it out.",
        )
    _refuse_parted(path, parts, groups, kept, had)
    home = np.full(int(groups.max()) + 1, FREE)
    home[groups[had]] = kept[had]
    now = {resolved(video, folder) for video in checked["video_path"]}
    return Kept(home, len(had), len(before.keys() - now))


def _parts_of(path: Path, parts: Partition, folder: Path) -> dict[str, int]:
    table = read_table(path)
    if absent := [name for name in ("video_path", parts.column) if name not in table.columns]:
        raise InputError(
            f"{path} has no column {' and no column '.join(absent)}.",
            "Give --keep a table that vda fvc folds wrote, with the same kind of parts.",
        )
    stated = table.select("video_path", pl.col(parts.column).cast(pl.String)).drop_nulls().rows()
    if other := sorted({name for _, name in stated} - set(parts.names)):
        known, odd = ", ".join(parts.names), ", ".join(other[:_SHOWN])
        raise InputError(
            f"The column {parts.column} of {path} has {odd}, not only {known}.",
            "Ask for the same --folds or --shares as before.",
        )
    before: dict[str, int] = {}
    for video, name in stated:
        number = parts.names.index(name)
        if before.setdefault(resolved(video, folder), number) != number:
            raise InputError(f"{path} has {video} in more than one {parts.column}.", "Leave it one of them.")
    return before


def _refuse_parted(path: Path, parts: Partition, groups: Rows, kept: Rows, had: Iterable[int]) -> None:
    members: dict[int, dict[int, int]] = defaultdict(dict)
    for row in had:
        members[int(groups[row])].setdefault(int(kept[row]), int(row))
    torn = [homes for homes in members.values() if len(homes) > 1]
    if torn:
        shown = "; ".join(
            " and ".join(f"row {row} ({parts.column} {parts.names[part]})" for part, row in homes.items())
            for homes in torn[:_SHOWN]
        )
        more = "; ..." * (len(torn) > _SHOWN)
        raise InputError(
            f"{path} parts {len(torn)} groups of rows that belong together: {shown}{more}.",
            "Correct what binds them, clear these rows' parts in that table, or make all anew without --keep.",
        )
