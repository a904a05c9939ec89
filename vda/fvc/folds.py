"""Folds for cross-validation, or train, val and test, that never part what belongs together.

In goes a table of videos; out comes the same with a column ``fold`` or ``split``, and what is to be said of it.
Rows hang together as ``identity`` says, where their files are equal, and where their pictures are alike if that is
asked. This file does not know how groups are dealt out, nor how leaks are found.
"""

import gzip
import io
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl

from vda.errors import InputError, UsageError, VdaError, WorkError
from vda.files import refuse_to_overwrite, write_bytes
from vda.fvc.balance import Folds
from vda.fvc.dealing import Rows, deal
from vda.fvc.identity import Identities, components, identify
from vda.fvc.leaks import refuse_leaks
from vda.fvc.likeness import Alike, find_alike
from vda.fvc.parts import FOLD, SPLIT, Kept, Partition, keep
from vda.fvc.paths import Places
from vda.fvc.schema import read_metadata, read_table
from vda.records import Within, is_count, require_option
from vda.reporter import Noted, Reporter, Silence
from vda.shown import counted

_SHOWN = 5


def write_folds(
    metadata: Path,
    output: Path,
    *,
    folds: int = 5,
    shares: tuple[float, ...] | None = None,
    seed: int = 0,
    kept_from: Path | None = None,
    near_duplicates: bool = False,
    root: Path | None = None,
    encoding: str | None = None,
    alone: bool = False,
    strict: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Folds:
    """Write the table in ``metadata`` with a column ``fold`` to ``output``, whose suffix says in which form.

    ``shares`` of train, val and test make a column ``split`` instead. ``kept_from`` is a table whose rows stay in
    the parts that they have there. ``near_duplicates`` opens the videos, which are also looked for under ``root``.
    ``alone``: only ``row``, ``video_path`` and the column. Raises ``UsageError`` where ``output``, or the column,
    is there and ``overwrite`` is not given; ``strict``: ``WorkError`` for all that ``Folds.objections`` names.
    """
    require_option("folds", Annotated[int, Within(2)], folds)
    require_option("seed", Annotated[int, Within(0)], seed)
    noted = Noted(None)
    parts = Partition.folds(folds) if shares is None else Partition.splits(shares)
    refuse_to_overwrite(output, overwrite=overwrite)
    table = read_table(metadata, encoding=encoding)
    if parts.column in table.columns and not (overwrite or alone):
        raise UsageError(
            f"{metadata} already has a column {parts.column}.", "Give --overwrite to replace it, or --alone."
        )
    checked = read_metadata(metadata, outputs=False, encoding=encoding, reporter=noted)
    identities = identify(checked, metadata.parent)
    alike = _alike(checked, Places(metadata, root), near_duplicates, reporter or Silence())
    groups = groups_of(checked, identities, alike)
    kept = None if kept_from is None else keep(kept_from, parts, checked, groups, metadata.parent)
    part = make_parts(checked, groups, parts, seed, kept)
    refuse_leaks(checked, [parts.names[number] for number in part], metadata.parent)
    said = (*noted.said, *(() if kept is None else (_of_kept(kept, len(checked), parts),)))
    known = {"absent": identities.absent, "several": identities.several, "alike": alike, "said": said}
    made = Folds.of(checked, groups, part, parts, **known)
    _refuse_objections(made, strict)
    chosen = checked.select("row", "video_path") if alone else table
    _write(chosen.with_columns(parts.series(part)), output)
    return made.written_to(output)


def check_folds(
    metadata: Path,
    *,
    near_duplicates: bool = False,
    root: Path | None = None,
    encoding: str | None = None,
    strict: bool = False,
    reporter: Reporter | None = None,
) -> Folds:
    """Look at a column ``fold`` or ``split`` that is there.

    Raises ``InputError`` where it parts what belongs together, and as ``write_folds`` does where ``strict``.
    """
    noted = Noted(None)
    checked = read_metadata(metadata, outputs=False, encoding=encoding, reporter=noted)
    column = next((name for name in (FOLD, SPLIT) if name in checked.columns), None)
    if column is None:
        raise InputError(f"{metadata} has no column {FOLD} or {SPLIT}.", "Make one: vda fvc folds METADATA.")
    named = checked[column].cast(pl.String)
    if named.null_count():
        rows = ", ".join(map(str, named.is_null().arg_true().head(_SHOWN)))
        raise InputError(
            f"{metadata} has {named.null_count()} rows without a {column}: {rows}.", f"Give every row a {column}."
        )
    refuse_leaks(checked, named.to_list(), metadata.parent)
    alike = _alike(checked, Places(metadata, root), near_duplicates, reporter or Silence())
    _refuse_parted_likes(alike, named.to_list())
    names = sorted(named.unique(), key=lambda name: (len(name), name) if is_count(name) else (0, name))
    part = np.array([names.index(name) for name in named], np.int64)
    identities = identify(checked, metadata.parent)
    parts = Partition(column, tuple(names), _even_shares(column, part))
    known = {"absent": identities.absent, "several": identities.several, "alike": alike, "said": tuple(noted.said)}
    made = Folds.of(checked, groups_of(checked, identities, alike), part, parts, **known)
    _refuse_objections(made, strict)
    return made


def groups_of(checked: pl.DataFrame, identities: Identities, alike: Alike | None = None) -> Rows:
    """The number of the group of every row."""
    return components(len(checked), (*identities.bonds, *(alike.bonds() if alike else ())))


def make_parts(checked: pl.DataFrame, groups: Rows, parts: Partition, seed: int, kept: Kept | None = None) -> Rows:
    """A part from 0 for every row of a checked table; the same for the same seed.

    Raises ``InputError`` where there are fewer groups than parts, or a part gets no group.
    """
    count, wanted = int(groups.max()) + 1, len(parts.names)
    remedy = "Ask for fewer --folds or other --shares, or check the column dup_group."
    if count < wanted:
        raise InputError(
            f"{counted(count, 'group')} of rows that belong together: too few for {wanted} {parts.column}s.",
            remedy,
        )
    part = deal(checked, groups, np.array(parts.shares), seed, None if kept is None else kept.groups)
    if empty := [name for place, name in enumerate(parts.names) if place not in part]:
        raise InputError(
            f"Of the {count} groups of rows that belong together, none is left for {parts.column} "
            f"{' and '.join(empty)}.",
            remedy,
        )
    return part


def _alike(checked: pl.DataFrame, places: Places, pictures: bool, reporter: Reporter) -> Alike:
    paths = [_found(places, stated) for stated in checked["video_path"]]
    alike = find_alike(paths, reporter, pictures=pictures)
    if pictures and not alike.files:
        raise InputError(
            f"None of the videos that {places.metadata} names is there, so no pictures can be compared.",
            "Give --root, or leave out --near-duplicates.",
        )
    return alike


def _found(places: Places, stated: str) -> Path | None:
    try:
        return places.video(stated)
    except InputError:
        return None


def _of_kept(kept: Kept, rows: int, parts: Partition) -> str:
    gone = f"; {kept.gone} that had one are gone" if kept.gone else ""
    return f"{kept.rows} of {rows} rows keep their {parts.column}, and {rows - kept.rows} are new{gone}."


def _even_shares(column: str, part: Rows) -> tuple[float, ...]:
    """Folds are to be of one size; what was asked of train, val and test nobody knows, so they are right."""
    sizes = np.bincount(part) / len(part)
    return tuple(np.full(len(sizes), 1 / len(sizes)) if column == FOLD else sizes)


def _refuse_parted_likes(alike: Alike, named: list[str]) -> None:
    torn = [group for group in alike.groups if len({named[row] for row in group}) > 1]
    if torn:
        shown = "; ".join(" and ".join(f"row {row} in {named[row]}" for row in group) for group in torn[:_SHOWN])
        raise InputError(
            f"{len(torn)} groups of videos that are equal or alike lie in more than one part: {shown}.",
            "Make the column again with vda fvc folds.",
        )


def _refuse_objections(made: Folds, strict: bool) -> None:
    if strict and (objections := made.objections()):
        raise WorkError(" ".join(objections), "Correct the table, or leave out --strict.")


def _write(table: pl.DataFrame, path: Path) -> None:
    """Write as the suffix says; one of ``.gz`` is gzipped, without the time, so that the bytes are the same."""
    inner, packed = (path.with_suffix(""), True) if path.suffix == ".gz" else (path, False)
    held = io.BytesIO()
    try:
        if inner.suffix == ".parquet":
            table.write_parquet(held)
        elif inner.suffix in (".arrow", ".feather", ".ipc"):
            table.write_ipc(held)
        elif inner.suffix in (".jsonl", ".ndjson"):
            table.write_ndjson(held)
        elif inner.suffix == ".json":
            table.write_json(held)
        else:
            table.write_csv(held, separator="\t" if inner.suffix == ".tsv" else ",")
        write_bytes(path, gzip.compress(held.getvalue(), mtime=0) if packed else held.getvalue())
    except pl.exceptions.PolarsError as error:
        raise VdaError(
            f"{path} could not be written: {error}.", "Give an --output with the suffix .parquet."
        ) from error
