"""Groups of rows dealt out to the parts of a data set, evenly in label and platform.

In go a checked table, the group of every row, and what share each part is to have; out comes a part for every row.
No group is parted. This file does not know why rows are in a group.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

Rows = NDArray[np.int64]
Shares = NDArray[np.float64]

_SWEEPS = 10
_EVEN_SHARE = 0.002
_LABEL_WEIGHT = 3.0
FREE = -1


def deal(checked: pl.DataFrame, groups: Rows, shares: Shares, seed: int, kept: Rows | None = None) -> Rows:
    """A part from 0 for every row; the same for the same seed.

    ``shares`` [parts] sum to 1. ``kept`` has for every group the part that it stays in, or ``FREE``. Equal shares
    with nothing kept are dealt by scikit-learn's StratifiedGroupKFold, which deals out the groups one by one and
    never takes one back; else the largest groups come first, each to where most is lacking. Then groups are
    exchanged.
    """
    counts = _counts(checked, groups)
    free = np.ones(len(counts), bool) if kept is None else kept == FREE
    if kept is None and np.ptp(shares) == 0:
        home = _stratified(checked, groups, len(shares), seed)
    else:
        home = _largest_first(counts, shares, seed, np.full(len(counts), FREE) if kept is None else kept)
    return _exchange(home, counts, shares, free, _EVEN_SHARE * len(groups) / len(shares))[groups]


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


def _stratified(checked: pl.DataFrame, groups: Rows, folds: int, seed: int) -> Rows:
    """The part of each group."""
    home = np.zeros(int(groups.max()) + 1, np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(groups, _strata(checked, folds), groups)):
        home[groups[test]] = number
    return home


def _largest_first(counts: NDArray[np.float64], shares: Shares, seed: int, kept: Rows) -> Rows:
    """The part of each group: what is ``kept``, and the others one by one, where the cost grows least."""
    home = kept.copy()
    excess = _excess(home, counts, shares)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(kept == FREE))
    for group in order[np.argsort(-counts[order].sum(1), kind="stable")]:
        home[group] = (excess @ counts[group]).argmin()
        excess[home[group]] += counts[group]
    return home


def _counts(checked: pl.DataFrame, groups: Rows) -> NDArray[np.float64]:
    """Rows of each label, times its weight, and of each platform, [groups, labels + platforms]."""
    labels = _LABEL_WEIGHT * checked.select("label").to_dummies().to_numpy().astype(np.float64)
    platforms = checked.select(pl.col("platform").fill_null("")).to_dummies().to_numpy()
    rows = np.concatenate([labels, platforms], axis=1)
    counts = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(counts, groups, rows)
    return counts


def _excess(home: Rows, counts: NDArray[np.float64], shares: Shares) -> NDArray[np.float64]:
    """What each part has beyond its share, [parts, labels + platforms]."""
    has = np.stack([counts[home == number].sum(0) for number in range(len(shares))])
    return has - shares[:, None] * counts.sum(0)


def _exchange(
    home: Rows, counts: NDArray[np.float64], shares: Shares, free: NDArray[np.bool_], enough: float
) -> Rows:
    """Swap ``free`` groups between parts as long as that evens out labels and platforms; also move one alone.

    The cost is the sum over parts of squared differences from their share of every label and platform.
    """
    parts, groups = len(shares), len(counts)
    # Each part's last partner is a group of no rows, so that a move is a swap too.
    counts = np.concatenate([counts, np.zeros((parts, counts.shape[1]))])
    home = np.concatenate([home, np.arange(parts)])
    free = np.concatenate([free, np.ones(parts, bool)])
    excess = _excess(home, counts, shares)
    for _ in range(_SWEEPS):
        before = home.copy()
        for group in np.flatnonzero(free[:groups]):
            # Thousands of groups are even as they are dealt, and all pairs of them would take minutes.
            if np.abs(excess).max() <= enough:
                return home[:groups]
            _swap_best(int(group), home, counts, excess, free)
        if (home == before).all():
            break
    return home[:groups]


def _swap_best(
    group: int, home: Rows, counts: NDArray[np.float64], excess: NDArray[np.float64], free: NDArray[np.bool_]
) -> None:
    """Swap ``group`` with what evens out most, if anything does, in place.

    With d the difference of two groups' counts, excess e of one part and f of the other, the cost changes by
    2 d.(d + f - e) for d leaving the first.
    """
    own = home[group]
    leaving = counts[group] - counts
    change = (leaving * (leaving + excess[home] - excess[own])).sum(1)
    change[(home == own) | ~free] = 0
    other = int(change.argmin())
    if change[other] < -1e-9:
        excess[own] -= leaving[other]
        excess[home[other]] += leaving[other]
        home[group], home[other] = home[other], own
