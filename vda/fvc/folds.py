"""Folds for cross-validation that never part what belongs together.

In goes the checked table; out come a fold for every row, and sentences about how even they are. Rows hang together
through the files they are made of, the original they come from, and ``dup_group``, over any number of steps. This
file does not know the videos.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from vda.errors import InputError, UsageError, VdaError
from vda.files import atomic_writer, refuse_to_overwrite
from vda.fvc.schema import read_metadata, read_table

Rows = NDArray[np.int64]

FOLD = "fold"
# What a scaled video was made of, in the table of scaled videos.
_SOURCE = "source_path"
_UNEVEN_POINTS = 2.0
_SWEEPS = 10
_EVEN_SHARE = 0.002
_LABEL_WEIGHT = 3.0
_SHOWN = 5


@dataclass(frozen=True)
class Folds:
    """``shares``: for every fold, what part of its rows has each label; ``points``: how far they are at most from
    the whole table's, in hundredths. ``groups`` counts what cannot be parted.
    """

    path: Path | None
    rows: tuple[int, ...]
    groups: tuple[int, ...]
    shares: tuple[dict[str, float], ...]
    points: float
    largest_group: int

    def to_json(self) -> dict[str, Any]:
        folds = [
            {"fold": fold, "rows": rows, "groups": groups, "shares": shares}
            for fold, (rows, groups, shares) in enumerate(zip(self.rows, self.groups, self.shares, strict=True))
        ]
        return {
            "path": self.path and str(self.path),
            "folds": folds,
            "points": self.points,
            "largest_group": self.largest_group,
        }

    def remarks(self) -> list[str]:
        if self.points <= _UNEVEN_POINTS:
            return []
        return [
            f"The labels' shares differ by up to {self.points:.1f} points from the whole table's: the largest "
            f"group that cannot be parted has {self.largest_group} of {sum(self.rows)} rows."
        ]


def write_folds(
    metadata: Path, output: Path, *, folds: int = 5, seed: int = 0, alone: bool = False, overwrite: bool = False
) -> Folds:
    """Write the table in ``metadata`` with a column ``fold`` to ``output``, whose suffix says in which form.

    ``alone``: only ``row``, ``video_path`` and ``fold``. Raises ``UsageError`` where ``output``, or a column
    ``fold``, is there and ``overwrite`` is not given.
    """
    refuse_to_overwrite(output, overwrite=overwrite)
    table = read_table(metadata)
    if FOLD in table.columns and not (overwrite or alone):
        raise UsageError(f"{metadata} already has a column {FOLD}.", "Give --overwrite to replace it, or --alone.")
    checked = read_metadata(metadata)
    fold = pl.Series(FOLD, make_folds(checked, folds, seed))
    chosen = checked.select("row", "video_path") if alone else table
    _write(chosen.with_columns(fold), output)
    return _summary(checked, fold.to_numpy(), output)


def check_folds(metadata: Path) -> Folds:
    """Look at a column ``fold`` that is there. Raises ``InputError`` where it parts what belongs together."""
    checked = read_metadata(metadata)
    if FOLD not in checked.columns:
        raise InputError(f"{metadata} has no column {FOLD}.", "Make one: vda fvc folds METADATA.")
    named = checked[FOLD].cast(pl.String)
    if named.null_count():
        rows = ", ".join(map(str, named.is_null().arg_true().head(_SHOWN)))
        raise InputError(
            f"{metadata} has {named.null_count()} rows without a fold: {rows}.", "Give every row a fold."
        )
    fold = named.rank("dense").to_numpy().astype(np.int64) - 1
    refuse_leaks(checked, fold)
    return _summary(checked, fold, None)


def make_folds(checked: pl.DataFrame, folds: int, seed: int) -> Rows:
    """A fold from 0 to ``folds`` - 1 for every row of a checked table; the same for the same seed.

    scikit-learn's StratifiedGroupKFold, stratified by label and platform, deals out the groups one by one and
    never takes one back; ``_exchange`` then does. Raises ``InputError`` where there are fewer groups than folds.
    """
    groups = groups_of(checked)
    count = int(groups.max()) + 1
    if count < folds:
        raise InputError(
            f"There are {count} groups of rows that belong together: too few for {folds} folds.",
            "Ask for fewer --folds, or check the column dup_group.",
        )
    fold = _dealt(_strata(checked, folds), groups, folds, seed)
    fold = _exchange(fold, groups, _counts(checked, groups), folds)
    refuse_leaks(checked, fold)
    return fold


def groups_of(checked: pl.DataFrame) -> Rows:
    """The number of the group of every row: the connected components of rows that have a key in common."""
    keys = _keys(checked).with_columns(code=pl.col("key").rank("dense").cast(pl.Int64) - 1)
    rows, codes = keys["row"].to_numpy(), keys["code"].to_numpy()
    size = len(checked) + int(codes.max()) + 1
    edges = coo_array((np.ones(len(rows)), (rows, len(checked) + codes)), shape=(size, size))
    found = connected_components(edges, directed=False)[1][: len(checked)]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _keys(checked: pl.DataFrame) -> pl.DataFrame:
    """Columns ``row`` and ``key``: all that a row may share with another that must not be parted from it."""

    def keyed(kind: str, column: str) -> pl.DataFrame:
        value = pl.col(column)
        if kind == "file":
            value = value.map_elements(os.path.normpath, pl.String)
        return checked.select("row", key=pl.lit(f"{kind} ") + value).drop_nulls()

    named = [("file", "video_path"), ("file", "original_video"), ("video", "video_id"), ("dup_group", "dup_group")]
    if _SOURCE in checked.columns:
        named.append(("file", _SOURCE))
    return pl.concat([keyed(kind, column) for kind, column in named])


def refuse_leaks(checked: pl.DataFrame, fold: Rows) -> None:
    """Raise ``InputError`` naming what lies in more than one fold. Looks at pairs of rows, and knows no groups."""
    places = _keys(checked).join(checked.select("row", pl.Series(FOLD, fold)), on="row")
    parted = places.group_by("key", maintain_order=True).agg(pl.col(FOLD).unique().sort())
    leaks = parted.filter(pl.col(FOLD).list.len() > 1)
    if leaks.is_empty():
        return
    shown = "; ".join(f"{key} in folds {', '.join(map(str, folds))}" for key, folds in leaks.rows()[:_SHOWN])
    raise InputError(
        f"{len(leaks)} things lie in more than one fold: {shown}{'; ...' * (len(leaks) > _SHOWN)}.",
        "Make the folds again with vda fvc folds.",
    )


def _strata(checked: pl.DataFrame, folds: int) -> NDArray[np.int64]:
    """A number for label and platform of every row; what is rarer than there are folds cannot be dealt out evenly.

    It counts by its label alone, and if that is rare as well, with the most frequent rows.
    """
    pair = pl.concat_str("label", pl.col("platform").fill_null(""), separator="\t").alias("stratum")
    strata = checked.select(pl.when(pl.len().over(pair) >= folds).then(pair).otherwise("label").alias("stratum"))
    often = pl.len().over("stratum") >= folds
    strata = strata.select(
        pl.when(often).then("stratum").otherwise(pl.col("stratum").mode().min()).alias("stratum")
    )
    return strata["stratum"].rank("dense").to_numpy().astype(np.int64)


def _dealt(strata: NDArray[np.int64], groups: Rows, folds: int, seed: int) -> Rows:
    fold = np.full(len(groups), -1, np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(groups, strata, groups)):
        fold[test] = number
    return fold


def _counts(checked: pl.DataFrame, groups: Rows) -> NDArray[np.float64]:
    """Rows of each label, times its weight, and of each platform, [groups, labels + platforms]."""
    labels = _LABEL_WEIGHT * checked.select("label").to_dummies().to_numpy().astype(np.float64)
    platforms = checked.select(pl.col("platform").fill_null("")).to_dummies().to_numpy()
    rows = np.concatenate([labels, platforms], axis=1)
    counts = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(counts, groups, rows)
    return counts


def _exchange(fold: Rows, groups: Rows, counts: NDArray[np.float64], folds: int) -> Rows:
    """Swap groups between folds as long as that evens out labels and platforms; also moves of one group alone.

    The cost is the sum over folds of squared differences from an equal part of every label and platform.
    """
    home = np.zeros(len(counts), np.int64)
    home[groups] = fold
    # Each fold's last partner is a group of no rows, so that a move is a swap too.
    counts = np.concatenate([counts, np.zeros((folds, counts.shape[1]))])
    home = np.concatenate([home, np.arange(folds)])
    excess = np.stack([counts[home == number].sum(0) for number in range(folds)]) - counts.sum(0) / folds
    enough = _EVEN_SHARE * len(groups) / folds
    for _ in range(_SWEEPS):
        before = home.copy()
        for group in range(len(counts) - folds):
            # Thousands of groups are even as they are dealt, and all pairs of them would take minutes.
            if np.abs(excess).max() <= enough:
                return home[groups]
            _swap_best(group, home, counts, excess)
        if (home == before).all():
            break
    return home[groups]


def _swap_best(group: int, home: Rows, counts: NDArray[np.float64], excess: NDArray[np.float64]) -> None:
    """Swap ``group`` with what evens out most, if anything does, in place.

    With d the difference of two groups' counts, excess e of one fold and f of the other, the cost changes by
    2 d.(d + f - e) for d leaving the first.
    """
    own = home[group]
    leaving = counts[group] - counts
    change = (leaving * (leaving + excess[home] - excess[own])).sum(1)
    change[home == own] = 0
    other = int(change.argmin())
    if change[other] < -1e-9:
        excess[own] -= leaving[other]
        excess[home[other]] += leaving[other]
        home[group], home[other] = home[other], own


def _summary(checked: pl.DataFrame, fold: Rows, path: Path | None) -> Folds:
    groups = groups_of(checked)
    labels = checked["label"].unique().sort().to_list()
    label = checked["label"].to_numpy()
    whole = {name: float((label == name).mean()) for name in labels}
    numbers: Sequence[int] = range(int(fold.max()) + 1)
    shares = tuple({name: float((label[fold == number] == name).mean()) for name in labels} for number in numbers)
    return Folds(
        path=path,
        rows=tuple(int((fold == number).sum()) for number in numbers),
        groups=tuple(len(np.unique(groups[fold == number])) for number in numbers),
        shares=shares,
        points=100 * max(abs(share[name] - whole[name]) for share in shares for name in labels),
        largest_group=int(np.bincount(groups).max()),
    )


def _write(table: pl.DataFrame, path: Path) -> None:
    try:
        with atomic_writer(path) as handle:
            if path.suffix == ".parquet":
                table.write_parquet(handle)
            elif path.suffix in (".arrow", ".feather", ".ipc"):
                table.write_ipc(handle)
            else:
                table.write_csv(handle)
    except pl.exceptions.PolarsError as error:
        raise VdaError(
            f"{path} could not be written: {error}.", "Give an --output with the suffix .parquet."
        ) from error
