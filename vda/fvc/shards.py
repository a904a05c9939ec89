"""A scaled data set as WebDataset shards: tar files that are read from end to end, and an index of them.

In: the scaled table, and the metadata it was made of for columns of its own. Out: tars that the package
``webdataset`` reads, ``index.parquet`` with a row for each sample, ``labels.json``. Which sample is in which shard
follows from the table, the sizes of files and the seed; the same again gives the same bytes. One video is in
memory at a time. One process works on one folder, on whatever machine. This file does not know pictures.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import polars as pl

from vda.errors import InputError, UsageError
from vda.files import (
    DEPTH_RECORD_NAME,
    atomic_writer,
    head_tail_sha256,
    sha256_file,
    write_json,
)
from vda.fvc.alone import OwnFolder, alone
from vda.fvc.clipreading import read_times
from vda.fvc.scaledtable import ScaledTable, ScaledVideo, read_scaled
from vda.fvc.schema import OPTIONAL, REQUIRED, read_metadata
from vda.records import InnerPath, Within, read_record, require_sound
from vda.reporter import Reporter, Silence

INDEX_NAME: Final = "index.parquet"
LABELS_NAME: Final = "labels.json"
_STATE_NAME: Final = "shards.json"
# Of a tar, each file has a header of a block, and whole blocks.
_BLOCK: Final = 512
# What the index says of a sample itself; columns that are called so get another name.
_OWN: Final = ("shard", "key", "label_index", "times_seconds", "part")
_SHOWN: Final = 5
_ANEW: Final = "Remove the shards and that file, and run the same command again."


@dataclass(frozen=True)
class ShardSettings:
    """A shard holds ``most_samples`` and about ``most_bytes`` at most, in an order that ``seed`` shuffles."""

    most_samples: Annotated[int, Within(1)] = 1000
    most_bytes: Annotated[int, Within(1)] = 1 << 30
    seed: Annotated[int, Within(0)] = 0

    def __post_init__(self) -> None:
        require_sound(self, most_samples="max-samples", most_bytes="max-bytes")
        if find_spec("webdataset") is None:
            raise UsageError(
                "Shards need the package webdataset, which is not installed.",
                "Install it: pip install 'vda-toolkit[train]'.",
            )


@dataclass(frozen=True)
class ShardResult:
    folder: Path
    samples: int
    shards: int
    written: int
    labels: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "output_dir": str(self.folder),
            "index": str(self.folder / INDEX_NAME),
            "samples": self.samples,
            "shards": self.shards,
            "written": self.written,
            "labels": list(self.labels),
        }


@dataclass(frozen=True)
class _Sample:
    """``files`` are paths by their ending in the shard; ``row`` is all that the tables tell."""

    key: str
    video: ScaledVideo
    files: dict[str, Path]
    row: dict[str, Any]

    @property
    def text(self) -> bytes:
        return json.dumps(_plain(self.row), ensure_ascii=False, allow_nan=False).encode()

    @property
    def bytes_in_tar(self) -> int:
        sizes = [*(path.stat().st_size for path in self.files.values()), len(self.text), 1]
        return sum(_BLOCK + -(-size // _BLOCK) * _BLOCK for size in sizes)

    def contents(self) -> dict[str, bytes | str]:
        """What ``webdataset`` writes: the label's number as ``cls``, the row as ``json``, files by endings."""
        files = {ending: path.read_bytes() for ending, path in self.files.items()}
        return {"__key__": self.key, "cls": str(self.video.label_index).encode(), "json": self.text, **files}

    def identity(self) -> str:
        """What the sample is made of, in a few digits."""
        files = {ending: head_tail_sha256(path) for ending, path in self.files.items()}
        return json.dumps([self.key, self.video.label_index, _plain(self.row), files])


def _plain(value: Any) -> Any:
    """A table's value as JSON has it: dates, decimals and the like as text, bytes as hexadecimal, NaN as null."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class _Shard:
    name: str
    samples: list[_Sample] = field(default_factory=list)

    def identity(self) -> str:
        return hashlib.sha256("\n".join(sample.identity() for sample in self.samples).encode()).hexdigest()


def write_shards(
    table: Path,
    folder: Path,
    settings: ShardSettings | None = None,
    *,
    folds: Path | None = None,
    metadata: Path | None = None,
    encoding: str | None = None,
    reporter: Reporter | None = None,
) -> ShardResult:
    """Write the videos of ``table`` (or of the folder that has it) as shards into ``folder``.

    With folds or splits, in the table or in ``folds``, no shard holds two of them. ``metadata`` is the table
    that was scaled, stored in ``encoding``: its other columns come along. Shards that are there as they would be
    written are kept, others of ours are removed. Raises ``InputError`` for tables and files that cannot be used,
    ``UsageError`` where another process is at work in ``folder``, ``WorkError`` where one took it over, and
    ``StorageError`` where the disk refuses.
    """
    settings, reporter = settings or ShardSettings(), reporter or Silence()
    read = read_scaled(table, folds)
    samples = _samples(read, _extra_columns(read, metadata, encoding, reporter))
    shards = list(_dealt(read, samples, settings))
    with alone(folder, "shards", "writing shards into", reporter) as mine:
        written = _write_all(folder, shards, mine, reporter)
        _write_index(folder, shards, mine)
        write_json(folder / LABELS_NAME, {label: number for number, label in enumerate(read.labels)})
        mine.require()
    return ShardResult(folder, len(samples), len(shards), written, read.labels)


def _samples(read: ScaledTable, extra: list[dict[str, Any]]) -> list[_Sample]:
    """A sample of each video, in the table's order; keys are numbers, for names have dots and any length."""
    samples = []
    for place, (video, more) in enumerate(zip(read.videos, extra, strict=True)):
        row = {(f"metadata_{name}" if name in _OWN else name): value for name, value in video.columns.items()}
        row |= more
        if video.part is not None:
            row["part"] = video.part
        samples.append(_Sample(f"{place:08d}", video, _files(video), row))
    absent = [str(path) for sample in samples for path in sample.files.values() if not path.is_file()]
    if absent:
        raise InputError(
            f"{len(absent)} files that {read.path} names are not there, such as {', '.join(absent[:_SHOWN])}.",
            "Run the same vda fvc scale again, which makes them anew.",
        )
    return samples


def _files(video: ScaledVideo) -> dict[str, Path]:
    if video.depth is not None and video.depth.suffix != ".mkv":
        raise InputError(
            f"The depth of {video.name} is a folder of images, and a shard holds files.",
            "Scale with --depth-format mkv.",
        )
    found = {
        "mp4": video.video,
        "depth.mkv": video.depth,
        DEPTH_RECORD_NAME: None if video.depth is None else video.depth.with_suffix(".json"),
        "tracks.json": video.tracks,
        "times.json": video.times,
    }
    return {ending: path for ending, path in found.items() if path is not None}


def _extra_columns(
    read: ScaledTable, metadata: Path | None, encoding: str | None, reporter: Reporter
) -> list[dict[str, Any]]:
    """The metadata's own columns for each video; one whose name is taken gets ``metadata_`` before it."""
    if metadata is None:
        return [{} for _ in read.videos]
    checked = read_metadata(metadata, outputs=False, encoding=encoding, reporter=reporter)
    known = (*REQUIRED, *OPTIONAL, "row", "stated_id")
    rows = checked.to_dicts()
    extra = []
    for video in read.videos:
        number, source = video.columns.get("metadata_row"), video.columns.get("source_path")
        row = rows[int(number)] if number is not None and int(number) < len(rows) else {}
        if row.get("video_path") != source:
            raise InputError(
                f"{metadata} is not what {read.path} was made of: its row {number} is not {source}.",
                "Give the metadata that was scaled, or scale again.",
            )
        extra.append(
            {
                f"metadata_{name}" if name in video.columns or name in _OWN else name: value
                for name, value in row.items()
                if name not in known
            }
        )
    return extra


def _dealt(read: ScaledTable, samples: list[_Sample], settings: ShardSettings) -> Iterator[_Shard]:
    """Samples in shuffled order, part by part, into shards that are full at either bound."""
    order = np.random.default_rng(settings.seed).permutation(len(samples))
    for part in read.parts or (None,):
        count, size, shard = 0, 0, None
        for place in order.tolist():
            sample = samples[place]
            if sample.video.part != part:
                continue
            more = sample.bytes_in_tar
            if shard is None or len(shard.samples) == settings.most_samples or size + more > settings.most_bytes:
                if shard is not None:
                    yield shard
                shard, size = _Shard(f"{'' if part is None else f'{part}-'}{count:06d}.tar"), 0
                count += 1
            shard.samples.append(sample)
            size += more
        if shard is not None:
            yield shard


@dataclass(frozen=True)
class _Written:
    """Of what a shard was made, and the checksum of its file."""

    of: str
    sha256: str


def _write_all(folder: Path, shards: list[_Shard], mine: OwnFolder, reporter: Reporter) -> int:
    """Write the shards that are not there; return how many."""
    state_path = folder / _STATE_NAME
    before = read_record(state_path, dict[InnerPath, _Written], _ANEW) if state_path.is_file() else {}
    for name in before.keys() - {shard.name for shard in shards}:
        (folder / name).unlink(missing_ok=True)
    state: dict[str, _Written] = {}
    written = 0
    reporter.begin("shards", len(shards))
    for place, shard in enumerate(shards):
        known, identity = before.get(shard.name), shard.identity()
        if known is None or known.of != identity or not _is_as_written(folder / shard.name, known.sha256):
            _write_tar(folder / shard.name, shard, mine)
            known = _Written(identity, sha256_file(folder / shard.name))
            written += 1
        state[shard.name] = known
        # What is behind in the list is not lost when this run ends here.
        mine.require()
        _write_state(state_path, {**before, **state})
        reporter.at(place + 1)
    _write_state(state_path, state)
    return written


def _write_state(path: Path, state: Mapping[str, _Written]) -> None:
    write_json(path, {name: asdict(written) for name, written in state.items()})


def _is_as_written(path: Path, checksum: str) -> bool:
    return path.is_file() and sha256_file(path) == checksum


def _write_tar(path: Path, shard: _Shard, mine: OwnFolder) -> None:
    import webdataset

    # A fixed time, or each run would give other bytes; bytes as they are, for files are coded already.
    with (
        atomic_writer(path) as handle,
        webdataset.TarWriter(handle, encoder=False, mtime=0, compress=False) as tar,
    ):
        for sample in shard.samples:
            tar.write(sample.contents())
        # Another process may deal the samples otherwise, and its index would tell of other shards.
        mine.require()


def _write_index(folder: Path, shards: list[_Shard], mine: OwnFolder) -> None:
    """A row for each sample: where it is, its label's number, the times of its frames, and its columns."""
    rows = [
        {
            "shard": shard.name,
            "key": sample.key,
            "label_index": sample.video.label_index,
            "times_seconds": read_times(sample.video).tolist(),
            **sample.row,
            "frames": sample.video.frames,
            "fps": sample.video.fps,
        }
        for shard in shards
        for sample in shard.samples
    ]
    path = folder / INDEX_NAME
    with atomic_writer(path) as handle:
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(handle)
        mine.require()
