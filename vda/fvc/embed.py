"""Embeddings of the frames of a data set's videos, by a vision model that the user names.

In: a table of videos, scaled or not. Out: a file for each video with the frames' indices, times and vectors, and
``embeddings.csv``, a row for each. A file appears when it is whole, and one that is there, of the same video,
model and settings, is kept. Frames and vectors stream through. One process works on one folder, on whatever
machine. This file does not know models.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vda.errors import StorageError, UsageError, VdaError
from vda.files import (
    append_line,
    atomic_writer,
    read_json_lines,
    sha256_file,
    write_bytes,
    write_json,
)
from vda.fvc.alone import OwnFolder, alone
from vda.fvc.paths import Places, tracks_name
from vda.fvc.rate import Fps, Rate, Timing, time_frames
from vda.fvc.request import Item, items_of
from vda.fvc.schema import read_metadata
from vda.picture.upright import with_square_pixels
from vda.records import InnerPath, filled_lines, require_sound
from vda.reporter import Reporter, Silence
from vda.video import Frame, NotAsListed, VideoInfo, index_frames, list_frames, probe, read_frame_list, read_listed

TABLE_NAME: Final = "embeddings.csv"
_STATE_NAME: Final = "embeddings_state.jsonl"
# Rows of a group in Parquet: some MB, which readers take at once.
_GROUP: Final = 1024

Form = Literal["parquet", "npy"]


class Embedder(Protocol):
    """What makes vectors of pictures: ``visionmodel.VisionModel``."""

    name: str

    @property
    def checksum(self) -> str: ...

    def vectors(self, pictures: Iterable[np.ndarray], reporter: Reporter) -> Iterator[NDArray[np.float32]]: ...


@dataclass(frozen=True)
class EmbedSettings:
    """``form`` of the files; ``fps`` or ``stride`` choose frames by time, as in scaling."""

    form: Form = "parquet"
    fps: Fps | None = None
    stride: int = 1
    most: int | None = None

    def __post_init__(self) -> None:
        require_sound(self, form="format")
        if self.form == "parquet" and find_spec("pyarrow") is None:
            raise UsageError(
                "Parquet needs the package pyarrow, which is not installed.",
                "Install it: pip install 'vda-toolkit[train]', or give --format npy.",
            )
        Rate(self.fps, self.stride, self.most)  # refuses a rate that is given twice

    @property
    def rate(self) -> Rate:
        return Rate(self.fps, self.stride, self.most)


@dataclass(frozen=True)
class EmbedResult:
    """``failed`` are the reasons, by the path that the row states."""

    table: Path
    rows: int
    made: int
    kept: int
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "table": str(self.table)}


def embed(
    metadata: Path,
    folder: Path,
    model: Embedder,
    settings: EmbedSettings | None = None,
    *,
    root: Path | None = None,
    encoding: str | None = None,
    reporter: Reporter | None = None,
) -> EmbedResult:
    """Embed the frames of every video in ``metadata`` (stored in ``encoding``) by ``model`` into ``folder``.

    Raises ``InputError`` for metadata that cannot be used, ``UsageError`` where the folder is of another model or
    other settings, or another process is at work there, ``WorkError`` where one took the folder over, and
    ``StorageError`` where the disk refuses.
    """
    settings, reporter = settings or EmbedSettings(), reporter or Silence()
    items = list(items_of(read_metadata(metadata, encoding=encoding, reporter=reporter)))
    with alone(folder, "embed", "embedding into", reporter) as mine:
        return _Work(folder, Places(metadata, root), model, settings, mine, reporter).do(items)


@dataclass(frozen=True)
class _Line:
    """What was asked for, of which video it was made, the checksums of the files, and the table's row."""

    asked: dict[str, Any]
    of: str
    files: dict[InnerPath, str]
    row: dict[str, str | int | float | bool | None]


class _Work:
    """One run over all rows; its state is a file of lines, of which the last of a name counts."""

    def __init__(
        self,
        folder: Path,
        places: Places,
        model: Embedder,
        settings: EmbedSettings,
        mine: OwnFolder,
        reporter: Reporter,
    ) -> None:
        self._folder, self._places, self._model = folder, places, model
        self._settings, self._alone, self._reporter = settings, mine, reporter
        self._asked = {"model": model.checksum, **asdict(settings)}
        self._rows: list[dict[str, Any]] = []
        self._failed: dict[str, str] = {}

    def do(self, items: list[Item]) -> EmbedResult:
        known = self._known()
        made = 0
        self._reporter.begin("embed", len(items))
        try:
            for place, item in enumerate(items):
                made += self._one(item, known.get(self._name(item)))
                self._reporter.at(place + 1)
        finally:
            # Interrupted, what was made is in the table as well.
            self._write()
        kept = len(self._rows) - made
        return EmbedResult(self._folder / TABLE_NAME, len(items), made, kept, self._failed)

    def _write(self) -> None:
        # One that was taken for gone would put an older table in the place of its successor's.
        self._alone.require()
        table = pl.DataFrame(self._rows, infer_schema_length=None)
        write_bytes(self._folder / TABLE_NAME, table.write_csv().encode())
        self._alone.require()

    def _name(self, item: Item) -> str:
        return tracks_name(item.video_id, item.augmentation_idx).removesuffix("_tracks.json") + (
            ".parquet" if self._settings.form == "parquet" else ".npy"
        )

    def _known(self) -> dict[str, _Line]:
        known = {}
        for line in filled_lines(_Line, read_json_lines(self._folder / _STATE_NAME)):
            if line.asked != self._asked:
                differences = [name for name in self._asked if line.asked.get(name) != self._asked[name]]
                raise UsageError(
                    f"{self._folder} was made with another {' and another '.join(differences)}.",
                    "Give another --output-dir, or remove that folder.",
                )
            known[str(line.row.get("embeddings_path"))] = line
        return known

    def _one(self, item: Item, known: _Line | None) -> bool:
        """Whether the file of ``item`` was made now."""
        try:
            info = probe(self._places.video(item.video_path))
            if known is not None and known.of == info.sha256_head_tail and self._is_whole(known):
                self._rows.append({**known.row, **self._about(item)})
                return False
            row = self._made(item, info)
        except StorageError:
            raise
        except VdaError as error:
            self._failed[item.video_path] = error.problem
            self._reporter.say(f"{item.video_path}: {error.problem}")
            return False
        self._alone.require()
        self._rows.append(row)
        files = {name: sha256_file(self._folder / name) for name in self._files(self._name(item))}
        line = _Line(self._asked, info.sha256_head_tail, files, row)
        append_line(self._folder / _STATE_NAME, json.dumps(asdict(line)))
        return True

    def _is_whole(self, known: _Line) -> bool:
        files = ((self._folder / name, checksum) for name, checksum in known.files.items())
        return all(path.is_file() and sha256_file(path) == checksum for path, checksum in files)

    def _files(self, name: str) -> list[str]:
        return [name] if self._settings.form == "parquet" else [name, f"{name.removesuffix('.npy')}_frames.json"]

    def _about(self, item: Item) -> dict[str, Any]:
        return {"video_path": item.video_path, "label": item.label, "metadata_row": item.row}

    def _made(self, item: Item, info: VideoInfo) -> dict[str, Any]:
        """Take the container's list of frames where only the first are wanted; count where it does not fit."""
        listed = None if self._settings.rate.most is None else list_frames(info)
        if listed is not None:
            timing = time_frames(info, listed, self._settings.rate)
            wanted = np.unique(timing.indices).tolist()
            if len(wanted) == len(timing):
                with suppress(NotAsListed):
                    return self._written(
                        item, timing, _shown(info, read_listed(info, listed, wanted, whole=False))
                    )
        index = index_frames(info)
        timing = time_frames(info, index, self._settings.rate)
        return self._written(item, timing, _shown(info, read_frame_list(info, index, timing.indices.tolist())))

    def _written(self, item: Item, timing: Timing, pictures: Iterable[np.ndarray]) -> dict[str, Any]:
        vectors = self._model.vectors(pictures, self._reporter)
        name = self._name(item)
        write = _write_parquet if self._settings.form == "parquet" else _write_npy
        width = write(self._folder / name, timing, vectors)
        return {
            "embeddings_path": name,
            "frames": len(timing),
            "width": width,
            "model": self._model.name,
            **self._about(item),
        }


def _shown(info: VideoInfo, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
    """The pictures of ``frames``, at the shape at which they are displayed: models know no other pixels."""
    for frame in frames:
        yield with_square_pixels(frame.rgb, info.pixel_aspect)


def _write_parquet(path: Path, timing: Timing, vectors: Iterable[NDArray[np.float32]]) -> int:
    """``frame`` (int64, of the video), ``time_seconds`` (float64, from the first frame), ``embedding`` (float32).

    Written in groups of rows; returns the width of the vectors.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    width, place = 0, 0
    with atomic_writer(path) as handle, ExitStack() as stack:
        coming, writer = iter(vectors), None
        while group := list(islice(coming, _GROUP)):
            rows = slice(place, place + len(group))
            width, place = len(group[0]), rows.stop
            embedding = pa.FixedSizeListArray.from_arrays(np.concatenate(group), width)
            columns = [pa.array(timing.indices[rows]), pa.array(timing.times_s[rows]), embedding]
            table = pa.table(columns, names=["frame", "time_seconds", "embedding"])
            writer = writer or stack.enter_context(ParquetWriter(handle, table.schema))
            writer.write_table(table)
    return width


def _write_npy(path: Path, timing: Timing, vectors: Iterable[NDArray[np.float32]]) -> int:
    """Float32 [frames, width], and beside it ``..._frames.json`` with ``frames`` and ``times_seconds``.

    Returns the width.
    """
    about = {"frames": timing.indices.tolist(), "times_seconds": timing.times_s.tolist()}
    write_json(path.with_name(f"{path.stem}_frames.json"), about)
    width = 0
    with atomic_writer(path) as handle:
        for vector in vectors:
            if not width:
                width = len(vector)
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(timing), width)}
                np.lib.format.write_array_header_1_0(handle, header)
            handle.write(vector.astype("<f4").tobytes())
    return width
