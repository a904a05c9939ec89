"""Ultralytics results: the folder of label files that ``save_txt`` writes, and what ``Results.to_json`` gives.

A label file ``<video>_<frame>.txt`` holds a frame, counted from 1 in videos (from 0 in streams). One named after
an image has the image's number, and the user has to say what that counts from. A line is ``class
x_center y_center width height [confidence] [id]``, in fractions of the image, or ``class`` and the corners of a
polygon. JSON is a list per frame, as a list of lists or line after line, frames counted by their place from 0; or
one list of objects that name their ``frame``. Pixels are measured from the corner of the image, half a pixel off
our Convention. Label files of poses look like those of polygons and are not meant.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vda.camera.conventions import corner_to_centre
from vda.errors import InputError
from vda.files import storage_errors
from vda.records import is_count
from vda.tracks.enriched import Enriched
from vda.tracks.flat import FRAME_FIELDS
from vda.tracks.jsonstream import Event, rewrite, stream
from vda.tracks.records import Asked, Header, Reading, TrackRecord, frame_of, number_of, position_of
from vda.tracks.textfiles import added_columns, added_to, read_lines, rewrite_lines, without_added

NAME = "ultralytics"
# A frame of some thousand things with their outlines; a longer line is a whole file.
_LONGEST_LINE = 1 << 24
# Class, middle x and y, width and height.
_BOX_WORDS = 5
_LAST_NUMBER = re.compile(r"(?:^|_)(\d{1,18})$")


def label_files(folder: Path) -> list[tuple[int | None, Path]]:
    """The label files with the frame number in their names, in that order."""
    files = [(_label_frame(path), path) for path in folder.glob("*.txt") if path.name != "classes.txt"]
    return sorted(files, key=lambda entry: (entry[0] is None, entry[0] or 0, entry[1].name))


def _label_frame(path: Path) -> int | None:
    """The number that ends the name: ``clip_12``, ``frame_000012``, or ``000012`` alone."""
    match = _LAST_NUMBER.search(path.stem)
    return int(match[1]) if match else None


def _base(folder: Path) -> int | None:
    """What the names count from: 0 where a 0 occurs, 1 for the names of a video, else None.

    From a video Ultralytics writes ``<video>_<frame>``, without zeros in front and from 1. Names with zeros in
    front, or without anything before the number, are those of somebody's images, which may count from either.
    """
    files = label_files(folder)
    if any(frame == 0 for frame, _ in files):
        return 0
    names = [_LAST_NUMBER.search(path.stem) for _, path in files]
    of_video = all(match is None or (match.start(1) > 0 and not match[1].startswith("0")) for match in names)
    return 1 if of_video else None


def read(path: Path, asked: Asked) -> Reading:
    header = _header(path, asked)
    if path.is_dir():
        return Reading(_label_records(path, asked), lambda: header)
    objects = _ObjectReader(path, asked)
    return Reading(objects.records(), lambda: objects.checked(header))


def _header(path: Path, asked: Asked) -> Header:
    if path.is_dir():
        if asked.size is None:
            raise InputError(
                f"The labels in {path} are fractions of an image whose size is not known.",
                "Enrich them in a scene, or give the size of the depth images' video with --track-size WxH.",
            )
        return Header(frame_base=_base(path))
    return Header(frame_base=None if _is_flat(path) else 0)


def _is_flat(path: Path) -> bool:
    """Whether the first list holds objects that name their frame."""
    first = next((event.value for event in stream(path) if event.kind == "item"), None)
    return isinstance(first, dict) and any(name in first for name in FRAME_FIELDS)


def _label_records(path: Path, asked: Asked) -> Iterator[TrackRecord]:
    added = added_columns(path)
    for frame, file in label_files(path):
        for words in (line.split() for line in read_lines(file) if line.strip()):
            record = _label_record(frame, without_added(words, added), asked.size or (1, 1))
            yield replace(record, position=position_of(added_to(words, added)))


class _ObjectReader:
    """The records of a JSON file, and whether their boxes can be pixels at all."""

    def __init__(self, path: Path, asked: Asked) -> None:
        self.path, self.asked, self.largest = path, asked, -math.inf

    def records(self) -> Iterator[TrackRecord]:
        for frame, value in _objects(self.path):
            record = _object_record(frame, value, self.asked)
            self.largest = max(self.largest, *(record.box or ()), -math.inf)
            yield record

    def checked(self, header: Header) -> Header:
        """Boxes within 0 and 1 are fractions (``normalize=True``), and would all lie in the top-left pixel."""
        if -math.inf < self.largest <= corner_to_centre(1.0):
            raise InputError(
                f"The boxes in {self.path} are fractions of the image, not pixels.",
                "Write them in pixels: to_json(normalize=False), which is its default.",
            )
        return header


def _objects(path: Path) -> Iterator[tuple[int | None, Any]]:
    """Every object with its frame: named in it, or the place of its list."""
    flat = _is_flat(path)
    frame = -1
    for event in stream(path):
        if event.kind == "begin":
            frame += 1
        elif event.kind == "item" and isinstance(event.value, list):
            yield from ((frame, value) for value in event.value)
            frame += 1
        elif event.kind == "item" and flat and isinstance(event.value, dict):
            name = next((name for name in FRAME_FIELDS if name in event.value), "")
            yield frame_of(event.value.get(name)), event.value
        elif event.kind == "item":
            yield frame, event.value


def _object_record(frame: int | None, value: Any, asked: Asked) -> TrackRecord:
    if not isinstance(value, dict):
        return TrackRecord(None, readable=False)
    box = value.get("box")
    box = box if isinstance(box, dict) else {}
    named = [(number_of(box.get(f"x{i}")), number_of(box.get(f"y{i}"))) for i in range(1, 5) if f"x{i}" in box]
    return TrackRecord(
        frame=frame,
        box=_around(named) if named else None,
        track_id=value.get("track_id"),
        category=value.get("name", value.get("class")),
        mask=_polygon(value.get("segments")) if asked.masks else None,
        position=position_of(value),
    )


def _around(corners: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    """The upright box: of two corners as they are, of four (a turned box) the one around them."""
    if len(corners) == 2:
        (x1, y1), (x2, y2) = corners
    else:
        x1, y1 = (min(values) for values in zip(*corners, strict=True))
        x2, y2 = (max(values) for values in zip(*corners, strict=True))
    return corner_to_centre(x1), corner_to_centre(y1), corner_to_centre(x2), corner_to_centre(y2)


def _polygon(segments: Any) -> list[list[float]] | None:
    if not isinstance(segments, dict) or not segments.get("x"):
        return None
    return [[number_of(v) for pair in zip(segments["x"], segments["y"], strict=False) for v in pair]]


def _label_record(frame: int | None, words: list[str], size: tuple[int, int]) -> TrackRecord:
    numbers = [number_of(word) for word in words]
    if len(numbers) < _BOX_WORDS:
        return TrackRecord(None, readable=False)
    extras = _extra_words(words)
    places = numbers[1 : len(numbers) - extras]
    points = [(x * size[0], y * size[1]) for x, y in zip(places[::2], places[1::2], strict=True)]
    track = words[-1] if extras and is_count(words[-1]) else None
    if len(points) == 2:
        (x, y), (width, height) = points
        box = _around([(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)])
        return TrackRecord(frame, box, track_id=track, category=words[0])
    xs, ys = zip(*points, strict=True)
    box = _around([(min(xs), min(ys)), (max(xs), max(ys))])
    return TrackRecord(
        frame, box, track_id=track, category=words[0], mask=[[v for point in points for v in point]]
    )


def _extra_words(words: list[str]) -> int:
    """How many of the last words are confidence and id; class and places are an odd number of words together.

    Places are fractions, so a whole number above 1 at the end of an odd line is an id with a confidence before it.
    """
    if len(words) % 2 == 0:
        return 1
    id_at_end = is_count(words[-1]) and (int(words[-1]) > 1 or len(words) == _BOX_WORDS + 2)
    return 2 if id_at_end and len(words) > _BOX_WORDS else 0


def write(path: Path, output: Path, enriched: Enriched) -> None:
    """Write the file or folder again with fields added; counts and reasons are said in a file beside it."""
    if path.is_dir():
        _write_labels(path, output, enriched)
    else:
        _write_json(path, output, enriched)


def _write_json(path: Path, output: Path, enriched: Enriched) -> None:
    row = -1

    def added(value: Any) -> Any:
        nonlocal row
        row += 1
        return enriched.added_to(value, row)

    def change(event: Event) -> Any:
        return [added(value) for value in event.value] if isinstance(event.value, list) else added(event.value)

    rewrite(path, output, (), change, line_by_line=_is_line_by_line(path))


def _is_line_by_line(path: Path) -> bool:
    """Whether a frame is a line, as programs expect that read such files so."""
    with path.open(encoding="utf-8-sig") as handle:
        first, second = handle.readline(_LONGEST_LINE), handle.readline(_LONGEST_LINE)
    try:
        return isinstance(json.loads(first), list) and (bool(second.strip()) or path.suffix == ".jsonl")
    except ValueError:
        return False


def _write_labels(folder: Path, output: Path, enriched: Enriched) -> None:
    columns, added = list(enriched.columns().values()), added_columns(folder)
    row = -1

    def change(line: str) -> str:
        nonlocal row
        if not line.strip():
            return line
        row += 1
        values = (f"{float(column[row]):.7g}" for column in columns)
        return " ".join([*without_added(line.split(), added), *values, str(int(enriched.skip[row]))])

    files = [file for _, file in label_files(folder)]
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        # Of other frames that an earlier run wrote; whatever else is kept there is none of ours.
        for stale in {path.name for _, path in label_files(output)} - {file.name for file in files}:
            (output / stale).unlink()
    for file in files:
        rewrite_lines(file, output / file.name, change)
