"""Small data sets for tests: videos with numbers in their pictures, and what scaling made of them."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import av
import clips
import numpy as np


def table(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    rows = list(rows)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def data_set(folder: Path, count: int = 6, frames: int = 8) -> Path:
    """Small videos of one original each, numbered in their pictures."""
    names = [f"video{number}.mp4" for number in range(count)]
    for number, name in enumerate(names):
        clips.make_clip(folder / name, range(number, number + frames))
    labels = ("real", "fake")
    return table(
        folder / "videos.csv",
        ({"video_path": name, "label": labels[number % 2]} for number, name in enumerate(names)),
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle))


def scaled(folder: Path) -> list[dict[str, str]]:
    return rows_of(folder / "scaled_metadata.csv")


def log_of(folder: Path) -> list[tuple[str, str, str]]:
    return [(row["source_path"], row["state"], row["message"]) for row in rows_of(folder / "scaled_log.csv")]


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
