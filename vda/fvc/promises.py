"""What a row of the joined table promises of its files, and whether they keep it.

In: a row as texts, and the folder its paths are relative to. Out: complaints, file by file. Everything is decoded;
nothing is believed that a container says of itself. This file does not know which rows there should be.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vda.depthmaps.codes import DepthRecord
from vda.depthmaps.files import read_png16
from vda.errors import InputError
from vda.files import DEPTH_RECORD_NAME, read_json
from vda.fvc.clipreading import clip_times
from vda.fvc.geometry import Size
from vda.fvc.paths import TIMES_ENDING, TRACKS_ENDING
from vda.records import is_count, shown
from vda.video.decoding import OpenVideo

_PATHS = ("video_path", "depth_path", "tracks_path", "times_path")


@dataclass(frozen=True)
class Promise:
    """Paths of a row's files, relative to the folder; ``size`` (width, height) and ``frames`` None: unknown."""

    paths: tuple[str, ...]
    size: Size | None
    frames: int | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Promise":
        """Read a row of text. A table without figures promises no more than that its files decode.

        Raises ``InputError`` for a figure that is no number.
        """
        paths = tuple(dict.fromkeys(row[name] for name in _PATHS if row.get(name)))
        width, height, frames = (_figure(row, name) for name in ("width", "height", "frames"))
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
        if path.name.endswith(TIMES_ENDING):
            clip_times(path)
            return ""
        if path.name.endswith(TRACKS_ENDING):
            read_json(path)
            return ""
        if path.is_dir():
            return self._of_sizes(_image_sizes(path)) or self._of_record(path / DEPTH_RECORD_NAME)
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


def _image_sizes(folder: Path) -> list[Size]:
    return [read_png16(path).shape[::-1] for path in sorted(folder.glob("depth_*.png"))]


def _figure(row: dict[str, Any], name: str) -> int | None:
    stated = str(row.get(name) or "")
    if stated and not is_count(stated):
        raise InputError(
            f"The table has {shown(stated)} as the {name} of {row.get('video_path')}, which is no number.",
            "Run the same vda fvc scale again, which writes the table anew.",
        )
    return int(stated) if stated else None
