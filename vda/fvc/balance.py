"""How even the parts of a data set are, and what else there is to be said of them.

In go a checked table, its groups and the part of every row; out come figures and sentences that follow from them.
This file does not know how parts are made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from vda.fvc.dealing import Rows
from vda.fvc.identity import Originals
from vda.fvc.likeness import Alike
from vda.fvc.parts import Partition
from vda.records import is_count

T = TypeVar("T")

_UNEVEN_POINTS = 2.0
_SHOWN = 10


@dataclass(frozen=True)
class Folds:
    """``shares``: for every part, what part of its rows has each label; ``points``: how far they are at most from
    the whole table's, in hundredths. ``groups`` counts what cannot be parted. ``absent`` and ``several``: the
    originals that no row is, or several may be. ``said`` are sentences about how the parts came about.
    """

    path: Path | None
    parts: Partition
    rows: tuple[int, ...]
    groups: tuple[int, ...]
    shares: tuple[dict[str, float], ...]
    points: float
    largest_group: int
    absent: tuple[Originals, ...] = ()
    several: tuple[Originals, ...] = ()
    alike: Alike | None = None
    labels: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @classmethod
    def of(cls, checked: pl.DataFrame, groups: Rows, part: Rows, parts: Partition, **known: Any) -> "Folds":
        """The figures of parts that are made, beside all else that is ``known`` of them."""
        names = checked["label"].unique().sort().to_list()
        label = checked["label"].to_numpy()
        numbers = range(len(parts.names))
        whole = {name: float((label == name).mean()) for name in names}
        shares = tuple(
            {name: float((label[part == number] == name).mean()) for name in names} for number in numbers
        )
        return cls(
            path=None,
            parts=parts,
            rows=tuple(int((part == number).sum()) for number in numbers),
            groups=tuple(len(np.unique(groups[part == number])) for number in numbers),
            shares=shares,
            points=100 * max(abs(share[name] - whole[name]) for share in shares for name in names),
            largest_group=int(np.bincount(groups).max()),
            labels=tuple(checked["label"]),
            **known,
        )

    def written_to(self, path: Path) -> "Folds":
        return replace(self, path=path)

    def to_json(self) -> dict[str, Any]:
        column = self.parts.column
        found = zip(self.parts.names, self.rows, self.groups, self.shares, strict=True)
        parts = [
            {column: int(name) if is_count(name) else name, "rows": rows, "groups": groups, "shares": shares}
            for name, rows, groups, shares in found
        ]
        return {
            "path": self.path and str(self.path),
            f"{column}s": parts,
            "points": self.points,
            "largest_group": self.largest_group,
            "absent": [vars(original) for original in self.absent],
            "several": [vars(original) for original in self.several],
            "alike": self.alike and vars(self.alike),
            "remarks": self.remarks(),
        }

    def remarks(self) -> list[str]:
        """All there is to say of these parts."""
        return [*self.said, *self._of_alike(), *self._of_evenness(), *self.objections()]

    def objections(self) -> list[str]:
        """What is refused where nothing is to be taken on trust."""
        return [*self._of_originals(), *self._of_missing_labels()]

    def _of_evenness(self) -> list[str]:
        largest = f"the largest group that cannot be parted has {self.largest_group} of {sum(self.rows)} rows."
        remarks = []
        if self.points > _UNEVEN_POINTS:
            points = f"The labels' shares differ by up to {self.points:.1f} points from the whole table's"
            remarks.append(f"{points}; {largest}")
        due = [share * sum(self.rows) for share in self.parts.shares]
        # Whole rows cannot be dealt out more evenly than to one.
        bound = max(1.0, _UNEVEN_POINTS / 100 * sum(self.rows))
        off = [number for number in range(len(due)) if abs(self.rows[number] - due[number]) > bound]
        if off:
            names, column = self.parts.names, self.parts.column
            sizes = ", ".join(
                f"{column} {names[number]} has {self.rows[number]} rows, not {due[number]:.0f}" for number in off
            )
            remarks.append(f"The parts are not of the sizes asked for: {sizes}; {largest}")
        return remarks

    def _of_missing_labels(self) -> list[str]:
        return [
            f"No row in {self.parts.column} {name} is labelled {label}."
            for name, shares in zip(self.parts.names, self.shares, strict=True)
            for label, share in shares.items()
            if not share
        ]

    def _of_originals(self) -> list[str]:
        remarks = []
        if self.absent:
            remarks.append(
                f"{_rows_of(self.absent)} name {len(self.absent)} originals that have no row here: "
                f"{_listed(self.absent, _stating)}."
            )
        if self.several:
            remarks.append(
                f"{_rows_of(self.several)} name {len(self.several)} originals that several rows may be, and hang "
                f"together with all of these: {_listed(self.several, _choosing)}."
            )
        return remarks

    def _of_alike(self) -> list[str]:
        if self.alike is None:
            return []
        remarks = []
        if self.alike.hashed is not None:
            remarks.append(f"Pictures were compared of {self.alike.hashed} of {self.alike.files} files.")
        for groups, how in (
            (self.alike.equal, "equal byte for byte"),
            (self.alike.similar, "alike in their pictures"),
        ):
            if groups:
                remarks.append(f"{len(groups)} groups of rows are {how}: {_listed(groups, self._labelled)}.")
        torn = [group for group in self.alike.groups if len({self.labels[row] for row in group}) > 1]
        if torn:
            remarks.append(f"{len(torn)} of these groups have different labels: {_listed(torn, self._labelled)}.")
        return remarks

    def _labelled(self, rows: Sequence[int]) -> str:
        return " and ".join(f"{row} ({self.labels[row]})" for row in rows)


def _rows_of(originals: Sequence[Originals]) -> str:
    return f"{sum(len(original.rows) for original in originals)} rows"


def _stating(original: Originals) -> str:
    return f"{original.texts[0]} (in row {_numbers(original.rows)})"


def _choosing(original: Originals) -> str:
    return f"{original.texts[0]} (in row {_numbers(original.rows)}) may be row {_numbers(original.candidates)}"


def _numbers(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:_SHOWN])) + ", ..." * (len(rows) > _SHOWN)


def _listed(things: Sequence[T], told: Callable[[T], str]) -> str:
    return "; ".join(told(thing) for thing in things[:_SHOWN]) + "; ..." * (len(things) > _SHOWN)
