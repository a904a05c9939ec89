"""Is the data set whole? What is missing, incomplete, broken or left over, from files alone.

In go the metadata that was asked for, the output directory, or both; out come findings. This file does not know
how videos are scaled, and believes nothing that a process said of its work but the joined table.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from vda.errors import UsageError
from vda.files import TEMPORARY_PREFIX
from vda.fvc.names import scaled_name
from vda.fvc.promises import Promise
from vda.fvc.schema import read_metadata, read_table
from vda.fvc.tables import LOG_NAME, METADATA_NAME

Begin = Callable[[str, int | None, int], None]
At = Callable[[int], None]

MISSING = "video missing"
INCOMPLETE = "augmentations incomplete"
NO_ORIGINAL = "original absent"
NO_FILE = "row without file"
BROKEN = "file not as promised"
NO_ROW = "file without row"
KINDS = (MISSING, INCOMPLETE, NO_ORIGINAL, NO_FILE, BROKEN, NO_ROW)

_OURS = re.compile(r"_scaled_(original|aug\d+)([._]|$)|_tracks\.json$")


@dataclass(frozen=True)
class Finding:
    """``name``: a video's id or a file's name; ``detail`` completes the sentence that ``kind`` begins."""

    kind: str
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Verified:
    """``rows`` are those looked at, ``originals`` the videos they are made of, ``files`` what rows name."""

    rows: int
    originals: int
    files: int
    findings: tuple[Finding, ...]

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
            "counts": self.counts(),
            "findings": [vars(finding) for finding in self.findings],
        }


def verify(
    metadata: Path | None,
    folder: Path | None = None,
    *,
    augmentations: int | None = None,
    decode: bool = True,
    begin: Begin = lambda stage, total, done: None,
    at: At = lambda done: None,
) -> Verified:
    """Hold ``metadata``, and what there is in ``folder``, against each other and against the files.

    ``metadata`` may be the ``scaled_metadata.csv`` itself, whose folder is then meant. ``augmentations`` are
    expected of every original (None: any number). Without a folder only the table is looked at. Raises
    ``InputError`` for tables that cannot be read.
    """
    if metadata is not None and metadata.name == METADATA_NAME:
        folder, metadata = folder or metadata.parent, None
    if metadata is None and folder is None:
        raise UsageError("There is nothing to verify.", "Give the metadata, or --output-dir.")
    wanted = None if metadata is None else read_metadata(metadata)
    made = None if folder is None else read_metadata(folder / METADATA_NAME, may_be_empty=True)
    tables = [table for table in (made, wanted) if table is not None]
    names = pl.concat([table.select("video_id") for table in tables]).unique(maintain_order=True)["video_id"]
    findings: list[Finding] = []
    if wanted is not None and made is not None and folder is not None:
        findings += _missing(wanted, made, _reasons(folder))
    findings += _families(tables[0], names, augmentations)
    promises = [] if made is None else [Promise.of(row) for row in _texts(made).iter_rows(named=True)]
    if folder is not None:
        findings += _files(folder, promises)
        findings += _broken(folder, promises, begin, at) if decode else ()
    files = sum(len(promise.paths) for promise in promises)
    return Verified(len(tables[0]), len(names), files, tuple(findings))


def _texts(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(pl.all().cast(pl.String))


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


def _broken(folder: Path, promises: list[Promise], begin: Begin, at: At) -> Iterator[Finding]:
    begin("decoding", len(promises), 0)
    look = partial(_broken_promises, folder)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, complaints in enumerate(pool.map(look, promises), 1):
            for name, complaint in complaints:
                yield Finding(BROKEN, name, complaint)
            at(done)


def _broken_promises(folder: Path, promise: Promise) -> list[tuple[str, str]]:
    return list(promise.broken(folder))
