"""COCO-style JSON: ``images``, ``annotations`` with ``bbox`` [x, y, width, height], ``categories``, ``videos``.

The frame of an annotation is its image's ``frame_id``, or ``frame_index`` as TAO calls it. What it counts from is
read off the file: 0 where a 0 occurs or ``mot_frame_id`` stands beside it (mmtracking's converters), 1 where
``prev_image_id`` does (CenterTrack's and ByteTrack's); elsewhere the user has to say. Where there is only
``mot_frame_id``, it counts from 1; where there is neither, it is the number in the image's file name, and the user
has to say how that counts. A list of results (``image_id``, ``bbox``, ``score``) is read too, ``image_id`` being
the frame. COCO measures pixels from the corner of the image, half a pixel off our Convention.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vda.camera.conventions import corner_to_centre
from vda.errors import InputError
from vda.tracks.enriched import Enriched
from vda.tracks.jsonstream import Event, rewrite, stream
from vda.tracks.records import (
    Asked,
    Header,
    Reading,
    TrackRecord,
    frame_of,
    numbers_of,
    position_of,
    rate_of,
    size_of,
)

NAME = "coco"
_ARRAYS = ("annotations", "images")
_FRAME_FIELDS = ("frame_id", "frame_index", "mot_frame_id", "file_name")


@dataclass
class _Index:
    """What the annotations refer to by id."""

    frames: dict[Any, int | None] = field(default_factory=dict)
    categories: dict[Any, Any] = field(default_factory=dict)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    videos: set[Any] = field(default_factory=set)
    rates: list[float] = field(default_factory=list)
    frame_field: str = "image_id"
    frame_base: int | None = None


def _index(path: Path) -> _Index:
    index, images = _Index(), []
    for event in stream(path, _ARRAYS):
        if event.kind == "item" and event.key == "images" and isinstance(event.value, dict):
            images.append(event.value)
        elif event.kind == "value" and event.key in {"categories", "videos"} and isinstance(event.value, list):
            _add_names(index, event.key, [entry for entry in event.value if isinstance(entry, dict)])
    for name in _FRAME_FIELDS:
        if images and all(frame_of(image.get(name)) is not None for image in images):
            index.frame_field, index.frame_base = name, _base(images, name)
            break
    for image in images:
        index.frames[_key(image.get("id"))] = frame_of(image.get(index.frame_field))
        index.videos.add(_key(image.get("video_id")))
        if (size := size_of(image.get("width"), image.get("height"))) is not None:
            index.sizes.add(size)
    return index


def _base(images: list[dict[str, Any]], name: str) -> int | None:
    """What ``name`` counts from, by what its writer puts beside it; None where the file does not tell."""
    if any(frame_of(image.get(name)) == 0 for image in images):
        return 0
    if name == "mot_frame_id":
        return 1
    if name == "frame_id" and all("mot_frame_id" in image for image in images):
        return 0
    return 1 if name == "frame_id" and all("prev_image_id" in image for image in images) else None


def _key(value: Any) -> Any:
    """An id to look things up by: a file may hold lists or objects where numbers belong."""
    return value if isinstance(value, int | float | str | None) else repr(value)


def _add_names(index: _Index, key: str, entries: list[dict[str, Any]]) -> None:
    if key == "categories":
        index.categories.update({_key(entry.get("id")): entry.get("name") for entry in entries})
    else:
        index.rates.extend(rate for entry in entries if (rate := rate_of(entry.get("fps"))) is not None)


def read(path: Path, asked: Asked) -> Reading:
    index = _index(path)
    header = _header(path, index)
    return Reading(_records(path, index), lambda: header)


def _header(path: Path, index: _Index) -> Header:
    if len(index.videos) > 1:
        raise InputError(
            f"{path} holds the frames of {len(index.videos)} videos.", "Make one track file for each video."
        )
    size = index.sizes.pop() if len(index.sizes) == 1 else None
    return Header(index.frame_base, size, index.rates[0] if index.rates else None)


def _records(path: Path, index: _Index) -> Iterator[TrackRecord]:
    for event in stream(path, _ARRAYS):
        if event.kind == "item" and event.key != "images":
            yield _record(event.value, index)


def _record(value: Any, index: _Index) -> TrackRecord:
    if not isinstance(value, dict):
        return TrackRecord(None, readable=False)
    image = _key(value.get("image_id"))
    frame = index.frames.get(image) if index.frames else frame_of(image)
    category = _key(value.get("category_id"))
    return TrackRecord(
        frame=frame,
        box=_corners(value.get("bbox")),
        track_id=next((value[key] for key in ("track_id", "instance_id") if key in value), None),
        category=index.categories.get(category, category),
        mask=value.get("segmentation"),
        position=position_of(value),
    )


def _corners(bbox: Any) -> tuple[float, float, float, float] | None:
    numbers = numbers_of(bbox, 4)
    if numbers is None:
        return None
    left, top = corner_to_centre(numbers[0]), corner_to_centre(numbers[1])
    return left, top, left + numbers[2], top + numbers[3]


def write(path: Path, output: Path, enriched: Enriched) -> None:
    """Write the file again: fields added to each annotation and to ``info``, all else as it was."""
    row = -1
    told = False

    def change(event: Event) -> Any:
        nonlocal row, told
        if event.kind == "item" and event.key != "images":
            row += 1
            return enriched.added_to(event.value, row)
        if event.kind == "value" and event.key == "info" and isinstance(event.value, dict):
            told = True
            return enriched.told_in(event.value)
        if event.kind == "close":
            return {} if told else {"info": enriched.metadata()}
        return event.value

    rewrite(path, output, _ARRAYS, change)
