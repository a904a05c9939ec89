"""Is the data set whole? What is missing, incomplete, broken or left over, from files alone.

In go the metadata that was asked for, the output directory, or both; out come findings. Rows are held against the
metadata and the records, files against their checksums and by decoding them, sources against what they were when
they were scaled. This file does not know how videos are scaled.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from vda.errors import UsageError
from vda.files import TEMPORARY_PREFIX
from vda.fvc.checksums import content_checksum
from vda.fvc.freshness import ABSENT, changed_sources, identities
from vda.fvc.identity import identify
from vda.fvc.ledger import read_records
from vda.fvc.paths import Places, scaled_name
from vda.fvc.promises import Promise
from vda.fvc.record import Record
from vda.fvc.request import Item, items_of
from vda.fvc.schema import read_metadata, read_table
from vda.fvc.tables import COLUMNS, LOG_NAME, METADATA_NAME, as_texts
from vda.reporter import Reporter, Silence

MISSING = "video missing"
INCOMPLETE = "augmentations incomplete"
NO_ORIGINAL = "original absent"
NO_FILE = "row without file"
BROKEN = "file not as promised"
NO_ROW = "file without row"
STALE = "row out of date"
REMOVED = "row without metadata"
CHANGED = "source changed"
KINDS = (MISSING, INCOMPLETE, NO_ORIGINAL, NO_FILE, BROKEN, NO_ROW, STALE, REMOVED, CHANGED)

_OURS = re.compile(r"_scaled_(original|aug\d+)([._]|$)|_tracks\.json$")


@dataclass(frozen=True)
class Finding:
    """``name``: a video's id or a file's name; ``detail`` completes the sentence that ``kind`` begins."""

    kind: str
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Verified:
    """``rows`` are those looked at, ``originals`` the videos they are made of, ``files`` what rows name.

    ``unsigned`` files have no checksum to be held against, ``unseen`` sources are not there to be looked at.
    """

    rows: int
    originals: int
    files: int
    findings: tuple[Finding, ...]
    unsigned: int = 0
    unseen: int = 0

    def counts(self) -> dict[str, int]:
        """How many findings there are of every kind, those without any too."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}

    def to_json(self) -> dict[str, Any]:
        return {
            "whole": not self.findings,
            "rows": self.rows,
            "originals": self.originals,
            "files": self.files,
            "files_without_checksum": self.unsigned,
            "sources_not_there": self.unseen,
            "counts": self.counts(),
            "findings": [vars(finding) for finding in self.findings],
        }


def verify(
    metadata: Path | None,
    folder: Path | None = None,
    *,
    root: Path | None = None,
    encoding: str | None = None,
    augmentations: int | None = None,
    decode: bool = True,
    reporter: Reporter | None = None,
) -> Verified:
    """Hold ``metadata``, and what there is in ``folder``, against each other and against the files.

    ``metadata`` may be the ``scaled_metadata.csv`` itself, whose folder is then meant. ``augmentations`` are
    expected of every original (None: any number). Sources are looked for as in scaling. Without a folder only the
    table is looked at. Raises ``InputError`` for tables or records that cannot be read.
    """
    if metadata is not None and metadata.name == METADATA_NAME:
        folder, metadata = folder or metadata.parent, None
    if metadata is None and folder is None:
        raise UsageError("There is nothing to verify.", "Give the metadata, or --output-dir.")
    wanted = None if metadata is None else read_metadata(metadata, encoding=encoding, reporter=reporter)
    made = None if folder is None else read_metadata(folder / METADATA_NAME, may_be_empty=True)
    tables = [
        _by_family(_present(table), where)
        for table, where in ((made, folder), (wanted, metadata and metadata.parent))
        if table is not None and where is not None
    ]
    names = pl.concat([table.select("video_id") for table in tables]).unique(maintain_order=True)["video_id"]
    findings = [*_families(tables[0], names, augmentations)]
    if folder is None or made is None:
        return Verified(len(tables[0]), len(names), 0, tuple(findings))
    items = None if wanted is None else {item.name: item for item in items_of(wanted)}
    records = {record.name: record for record in read_records(folder) if record.state == "done"}
    rows = dict(zip(_names(made), read_table(folder / METADATA_NAME).iter_rows(named=True), strict=True))
    if wanted is not None:
        findings = [*_missing(wanted, made, _reasons(folder)), *findings]
    findings += _stale(rows, records, items)
    promises = {name: Promise.of(row) for name, row in rows.items()}
    findings += _files(folder, list(promises.values()))
    places = None if metadata is None else Places(metadata, root)
    looks = [_Look(folder, promises[name], records.get(name), (items or {}).get(name), places) for name in rows]
    findings += _broken(looks, decode, reporter or Silence())
    files = sum(len(promise.paths) for promise in promises.values())
    unsigned = sum(look.record is None for look in looks)
    unseen = sum(look.unseen for look in looks)
    return Verified(len(tables[0]), len(names), files, tuple(findings), unsigned, unseen)


def _by_family(table: pl.DataFrame, where: Path) -> pl.DataFrame:
    """With the id of its original for each augmentation, however the row names it."""
    original_of, ids = identify(table, where).original_of, table["video_id"].to_list()
    family = [
        name if is_original else ids[original_of.get(row, row)]
        for row, (name, is_original) in enumerate(table.select("video_id", "is_original").rows())
    ]
    return table.with_columns(video_id=pl.Series(family, dtype=pl.String))


def _present(table: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that are there only because somebody wanted to keep them."""
    if "removed" not in table.columns:
        return table
    return table.filter(pl.col("removed").cast(pl.String).fill_null("") != "true")


def _names(table: pl.DataFrame) -> list[str]:
    return [scaled_name(*values) for values in table.select("video_id", "augmentation_idx").rows()]


def _stale(
    rows: dict[str, dict[str, Any]], records: dict[str, Record], items: dict[str, Item] | None
) -> Iterator[Finding]:
    """Rows that scaling again would write otherwise, or not at all."""
    expected = _expected(records, items or {})
    for name, row in rows.items():
        if items is not None and name not in items and row.get("removed") != "true":
            yield Finding(REMOVED, name)
        elif records and name not in records:
            yield Finding(STALE, name, "nothing is known of it in the state")
        else:
            told = {column: value for column, value in expected.get(name, {}).items() if column in row}
            differences = [f"{column} is {row[column]}, not {told[column]}" for column in told
                           if (row[column] or None) != told[column]]  # fmt: skip
            if differences:
                yield Finding(STALE, name, "; ".join(differences))
    if items is None:
        yield from (Finding(STALE, name, "it is gone from the table") for name in records if name not in rows)


def _expected(records: dict[str, Record], items: dict[str, Item]) -> dict[str, dict[str, Any]]:
    """What the joined table says of each video, as its texts: what its record has, and what its row has now."""
    names = [*dict.fromkeys((*records, *items))]
    recorded = {name: record.columns for name, record in records.items()}
    rows = [{**recorded.get(name, {}), **(items[name].columns if name in items else {})} for name in names]
    known = [[column for column in COLUMNS if column in row] for row in rows]
    texts = as_texts(rows).iter_rows(named=True)
    return {
        name: {column: text[column] for column in columns}
        for name, columns, text in zip(names, known, texts, strict=True)
    }


def _reasons(folder: Path) -> dict[str, str]:
    """Why videos could not be scaled, by the name of the output, where the log says so."""
    if not (folder / LOG_NAME).is_file():
        return {}
    failed = read_table(folder / LOG_NAME).filter(pl.col("state") == "failed")
    return dict(failed.select("video_path", "message").rows())


def _missing(wanted: pl.DataFrame, made: pl.DataFrame, reasons: dict[str, str]) -> Iterator[Finding]:
    keys = ["video_id", "augmentation_idx"]
    absent = wanted.join(made, on=keys, how="anti", nulls_equal=True).sort("row")
    for row, path, name, number in absent.select("row", "video_path", *keys).rows():
        output = scaled_name(name, number)
        reason = f": {reasons[output]}" if output in reasons else ""
        yield Finding(MISSING, output, f"row {row}, {path}{reason}")


def _families(table: pl.DataFrame, names: pl.Series, expected: int | None) -> Iterator[Finding]:
    """Originals that have not as many augmentations as ``expected``, and augmentations that have no original."""
    numbers = table.filter(~pl.col("is_original")).group_by("video_id").agg(pl.col("augmentation_idx").unique())
    has = dict(numbers.rows())
    every = sorted({number for found in has.values() for number in found})
    originals = set(table.filter("is_original")["video_id"])
    for name in names:
        found = has.get(name, [])
        if expected is not None and len(found) != expected:
            # Which are lacking is only plain where the set as a whole has just as many numbers as are expected.
            lacking = sorted(set(every) - set(found)) if found and len(every) == expected else []
            without = f", without {', '.join(map(str, lacking))}" if lacking else ""
            yield Finding(INCOMPLETE, name, f"{len(found)} of {expected}{without}")
        if found and name not in originals:
            yield Finding(NO_ORIGINAL, name, f"{len(found)} augmentations have no original")


def _files(folder: Path, promises: list[Promise]) -> Iterator[Finding]:
    named = [name for promise in promises for name in promise.files()]
    present = {entry.name for entry in os.scandir(folder)}
    for name in named:
        # A table may name its files by absolute paths or in folders of their own.
        if name not in present and not (folder / name).exists():
            yield Finding(NO_FILE, name)
    left = {name for name in present if _OURS.search(name) and not name.startswith(TEMPORARY_PREFIX)}
    for name in sorted(left - {Path(name).name for name in named}):
        yield Finding(NO_ROW, name)


@dataclass
class _Look:
    """What is there of one row, and of what it was made of; ``unseen`` sources are found on the way."""

    folder: Path
    promise: Promise
    record: Record | None
    item: Item | None
    places: Places | None
    unseen: int = 0

    def findings(self, decode: bool) -> list[Finding]:
        broken = dict(self.promise.broken(self.folder)) if decode else {}
        for name, checksum in self.record.files.items() if self.record else ():
            if name not in broken and content_checksum(self.folder / name) not in (checksum, None):
                broken[name] = "is not what was written: its checksum is another"
        return [*(Finding(BROKEN, *complaint) for complaint in broken.items()), *self._sources()]

    def _sources(self) -> Iterator[Finding]:
        if self.record is None or self.item is None or self.places is None:
            return
        now = identities(self.item, self.places, with_scene="scene" in self.record.sources)
        self.unseen = sum(identity == ABSENT for identity in now.values())
        for change in changed_sources(self.record, self.item, now):
            yield Finding(CHANGED, self.item.name, change)


def _broken(looks: list[_Look], decode: bool, reporter: Reporter) -> Iterator[Finding]:
    reporter.begin("decoding" if decode else "reading", len(looks))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, findings in enumerate(pool.map(partial(_Look.findings, decode=decode), looks), 1):
            yield from findings
            reporter.at(done)
