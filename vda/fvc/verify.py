"""Is the data set whole? What is missing, incomplete, broken or left over, from files alone.

In go the metadata that was asked for, the output directory, or both; out come findings. This file does not know
how videos are scaled, and believes nothing that a process said of its work but the joined table. Everything is
decoded; nothing is believed that a container says of itself.
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

from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.files import read_png16
from vda.depthmaps.source import RECORD_NAME
from vda.errors import InputError, UsageError
from vda.files import TEMPORARY_PREFIX, read_json
from vda.fvc.paths import TIMES_ENDING, TRACKS_ENDING, scaled_name
from vda.fvc.schema import read_metadata, read_table
from vda.fvc.tables import LOG_NAME, METADATA_NAME
from vda.reporter import Reporter, Silence
from vda.video.decoding import OpenVideo

Size = tuple[int, int]

MISSING = "video missing"
INCOMPLETE = "augmentations incomplete"
NO_ORIGINAL = "original absent"
NO_FILE = "row without file"
BROKEN = "file not as promised"
NO_ROW = "file without row"
KINDS = (MISSING, INCOMPLETE, NO_ORIGINAL, NO_FILE, BROKEN, NO_ROW)

_PATHS = ("video_path", "depth_path", "tracks_path", "times_path")
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


@dataclass(frozen=True)
class Promise:
    """Paths of a row's files, relative to the folder; ``size`` (width, height) and ``frames`` None: unknown."""

    paths: tuple[str, ...]
    size: Size | None
    frames: int | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Promise":
        """Read a row of text. A table without figures promises no more than that its files decode."""
        paths = tuple(dict.fromkeys(row[name] for name in _PATHS if row.get(name)))
        width, height, frames = (
            int(row[name]) if row.get(name) else None for name in ("width", "height", "frames")
        )
        return cls(paths, (width, height) if width and height else None, frames)

    def files(self) -> Iterator[str]:
        """All names that this row accounts for, the records beside depth too."""
        for path in self.paths:
            yield path
            if path.endswith(".mkv"):
                yield str(Path(path).with_suffix(".json"))

    def broken(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Yield (file, complaint) for every file that is there and is not what was promised."""
        for path in self.paths:
            try:
                complaint = self._complaint(folder / path)
            except InputError as error:
                complaint = error.problem
            if complaint:
                yield path, complaint

    def _complaint(self, path: Path) -> str:
        if not path.exists():
            return ""
        if path.name.endswith((TRACKS_ENDING, TIMES_ENDING)):
            read_json(path)
            return ""
        if path.is_dir():
            return self._of_sizes(_image_sizes(path)) or self._of_record(path / RECORD_NAME)
        complaint = self._of_video(path)
        return complaint or (self._of_record(path.with_suffix(".json")) if path.suffix == ".mkv" else "")

    def _of_video(self, path: Path) -> str:
        # One thread a video: many videos are looked at side by side, and what damage looks like stays the same.
        with OpenVideo(path, threads=1) as source:
            complaint = self._of_sizes([(frame.width, frame.height) for frame in source.frames()])
            return complaint or ("is damaged" if source.damaged else "")

    def _of_record(self, path: Path) -> str:
        if not path.exists():
            return ""
        record = DepthRecord.read(path)
        return self._of_sizes([(record.width, record.height)] * record.frames)

    def _of_sizes(self, sizes: list[Size]) -> str:
        if not sizes:
            return "has not one frame"
        if self.frames is not None and len(sizes) != self.frames:
            return f"has {len(sizes)} frames, not {self.frames}"
        promised = self.size or sizes[0]
        other = next((size for size in sizes if size != promised), None)
        return "" if other is None else f"has pictures of {other[0]}x{other[1]}, not {promised[0]}x{promised[1]}"


def verify(
    metadata: Path | None,
    folder: Path | None = None,
    *,
    augmentations: int | None = None,
    decode: bool = True,
    reporter: Reporter | None = None,
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
        findings += _broken(folder, promises, reporter or Silence()) if decode else ()
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


def _broken(folder: Path, promises: list[Promise], reporter: Reporter) -> Iterator[Finding]:
    reporter.begin("decoding", len(promises))
    look = partial(_broken_promises, folder)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, complaints in enumerate(pool.map(look, promises), 1):
            for name, complaint in complaints:
                yield Finding(BROKEN, name, complaint)
            reporter.at(done)


def _broken_promises(folder: Path, promise: Promise) -> list[tuple[str, str]]:
    return list(promise.broken(folder))


def _image_sizes(folder: Path) -> list[Size]:
    return [read_png16(path).shape[::-1] for path in sorted(folder.glob("depth_*.png"))]
