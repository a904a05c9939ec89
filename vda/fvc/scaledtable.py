"""The table of a scaled data set, read for training: videos, labels as numbers, parts.

In: ``scaled_metadata.csv`` (or its folder, or a table that ``vda fvc folds`` made of it), and a file of folds if
they are elsewhere. Out: a ``ScaledVideo`` for each row, with all its columns. This file does not open videos.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from vda.errors import InputError, UsageError
from vda.fvc.paths import DEPTH_ENDING
from vda.fvc.schema import read_table
from vda.fvc.tables import METADATA_NAME
from vda.records import is_count, is_nameable

PARTS: Final = ("fold", "split")
_NEEDED: Final = ("video_path", "label", "frames", "fps")
_PATHS: Final = ("video_path", "depth_path", "tracks_path", "times_path")
# A month at 25 frames a second.
_MOST_FRAMES: Final = 1 << 26
_TRUE: Final = ("true", "1")


@dataclass(frozen=True)
class ScaledVideo:
    """One row: paths are whole, ``part`` is its fold or split, ``columns`` are all texts of the table.

    ``video`` is None where only depth was asked for.
    """

    name: str
    video: Path | None
    label: str
    label_index: int
    frames: int
    fps: float
    depth: Path | None
    tracks: Path | None
    times: Path | None
    part: str | None
    columns: dict[str, Any]


@dataclass(frozen=True)
class ScaledTable:
    """``labels`` are the labels by their number, the same for every choice of parts."""

    path: Path
    videos: tuple[ScaledVideo, ...]
    labels: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The folds or splits that there are, in order."""
        found = {video.part for video in self.videos if video.part is not None}
        return tuple(sorted(found, key=lambda name: (len(name), name) if is_count(name) else (0, name)))

    def chosen(self, only: Collection[int | str], without: Collection[int | str]) -> tuple[ScaledVideo, ...]:
        """The videos of the parts ``only`` (empty: of all) but those ``without``.

        Raises ``UsageError`` for a part that there is not, or a choice that leaves nothing.
        """
        named, left_out = ({str(part) for part in parts} for parts in (only, without))
        if unknown := sorted((named | left_out) - set(self.parts)):
            known = ", ".join(self.parts) or "none"
            raise UsageError(
                f"{self.path} has no fold or split {', '.join(unknown)}; it has {known}.",
                "Name parts that there are, or make them: vda fvc folds.",
            )
        videos = tuple(
            video for video in self.videos if (not named or video.part in named) and video.part not in left_out
        )
        if not videos:
            raise UsageError(f"No video of {self.path} is in the parts asked for.", "Ask for other parts.")
        return videos


def read_scaled(path: Path, folds: Path | None = None) -> ScaledTable:
    """Read the table at ``path``, a file or a folder that has it; videos marked as removed are left out.

    ``folds`` is a table of ``vda fvc folds`` whose rows are known by the ``video_path`` of the scaled table, or of
    the metadata it was made of. Raises ``InputError`` where columns, parts or rows are missing.
    """
    path = path / METADATA_NAME if path.is_dir() else path
    table = read_table(path)
    if absent := [name for name in _NEEDED if name not in table.columns]:
        raise InputError(
            f"{path} has no column {' and no column '.join(absent)}.", "Give the table that vda fvc scale wrote."
        )
    rows = [row for row in table.iter_rows(named=True) if str(row.get("removed") or "").lower() not in _TRUE]
    if not rows:
        raise InputError(f"{path} has no videos.", "Scale some first: vda fvc scale.")
    parts = _own_parts(path, rows) if folds is None else _parts_of(folds, rows)
    labels = _labels(str(row["label"]) for row in rows)
    numbers = {label: number for number, label in enumerate(labels)}
    videos = tuple(_video(path, row, numbers, part) for row, part in zip(rows, parts, strict=True))
    return ScaledTable(path, videos, labels)


def _labels(stated: Iterable[str]) -> tuple[str, ...]:
    """All labels: words in the order of letters, numbers in their own."""
    found = set(stated)
    return tuple(sorted(found, key=int) if all(is_count(label) for label in found) else sorted(found))


def _video(table: Path, row: dict[str, Any], numbers: dict[str, int], part: str | None) -> ScaledVideo:
    folder = table.parent
    try:
        frames, fps = int(row["frames"]), float(row["fps"])
        named = [str(row[name]) for name in _PATHS if row.get(name)]
        if not (0 <= frames <= _MOST_FRAMES and 0 < fps < math.inf and all(map(is_nameable, named))):
            raise ValueError("a number or a name that no video has")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{table} does not say how many frames {row['video_path']} has, and at which rate.",
            "Run the same vda fvc scale again, which writes the table anew.",
        ) from error
    name = str(row["video_path"])
    depth, tracks, times = (
        folder / stated if (stated := row.get(column)) else None
        for column in ("depth_path", "tracks_path", "times_path")
    )
    is_depth = name == row.get("depth_path") or name.endswith(DEPTH_ENDING)
    video = None if is_depth else folder / name
    label = str(row["label"])
    return ScaledVideo(name, video, label, numbers[label], frames, fps, depth, tracks, times, part, row)


def _own_parts(path: Path, rows: list[dict[str, Any]]) -> list[str | None]:
    column = next((name for name in PARTS if name in rows[0]), None)
    if column is None:
        return [None] * len(rows)
    _require_parts(path, column, rows, [row[column] for row in rows])
    return [str(row[column]) for row in rows]


def _parts_of(path: Path, rows: list[dict[str, Any]]) -> list[str | None]:
    """The part of each row by the table in ``path``."""
    table = read_table(path)
    column = next((name for name in PARTS if name in table.columns), None)
    if column is None or "video_path" not in table.columns:
        raise InputError(
            f"{path} has no column video_path, or none of {' and '.join(PARTS)}.",
            "Give a table that vda fvc folds wrote.",
        )
    known = dict(table.select("video_path", pl.col(column).cast(pl.String)).rows())
    # Folds of the metadata name the originals' videos, folds of the scaled table the scaled ones.
    key = max(("video_path", "source_path"), key=lambda name: sum(row.get(name) in known for row in rows))
    parts = [known.get(row.get(key)) for row in rows]
    _require_parts(path, column, rows, parts)
    return parts


def _require_parts(path: Path, column: str, rows: list[dict[str, Any]], parts: list[str | None]) -> None:
    """A video in no part would be in no training and in no shard, and nobody would notice."""
    if lacking := [row["video_path"] for row, part in zip(rows, parts, strict=True) if part is None]:
        raise InputError(
            f"{path} has no {column} for {len(lacking)} of {len(rows)} videos, such as {lacking[0]}.",
            "Make the folds of this table: vda fvc folds.",
        )
