"""The classic track file: ``{"metadata", "intrinsics", "tracks": [{"frame": "frame_00001", "bbox", ...}]}``.

The number in ``frame`` is the frame index of the depth image. ``contact_2d`` is the record's point, ``bbox`` its
box [x1, y1, x2, y2]; ``detected`` false says that there is none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vda.tracks.enriched import Enriched
from vda.tracks.jsonstream import Event, rewrite, stream
from vda.tracks.records import (
    Asked,
    Header,
    Reading,
    TrackRecord,
    frame_of,
    is_true,
    number_of,
    numbers_of,
    position_of,
    rate_of,
    size_of,
)

NAME = "classic"
_ARRAYS = ("tracks",)
_TRACK_KEYS = ("track_id", "tracker_id", "object_id", "instance_id")
_CATEGORY_KEYS = ("class", "category", "label", "class_name")


def read(path: Path, asked: Asked) -> Reading:
    values: dict[str | None, Any] = {}
    return Reading(_records(path, values), lambda: _header(values))


def _records(path: Path, values: dict[str | None, Any]) -> Iterator[TrackRecord]:
    """The records; what else is at the top of the file is put into ``values`` in passing."""
    for event in stream(path, _ARRAYS):
        if event.kind == "item":
            yield _record(event.value)
        elif event.kind == "value":
            values[event.key] = event.value


def _header(values: dict[str | None, Any]) -> Header:
    """The intrinsics, image size and rate that the file itself gives."""
    metadata, own = (
        found if isinstance(found := values.get(key), dict) else {} for key in ("metadata", "intrinsics")
    )
    numbers = [number_of(own.get(name)) for name in ("fx", "fy", "cx", "cy")]
    focal = (numbers[0], numbers[1], numbers[2], numbers[3]) if own else None
    size = size_of(own.get("width"), own.get("height"))
    size = size or size_of(metadata.get("width"), metadata.get("height"))
    return Header(0, size, rate_of(metadata.get("fps")), focal)


def _record(value: Any) -> TrackRecord:
    if not isinstance(value, dict):
        return TrackRecord(None, readable=False)
    return TrackRecord(
        frame=frame_of(value.get("frame")),
        box=numbers_of(value.get("bbox"), 4),  # type: ignore[arg-type]
        point=numbers_of(value.get("contact_2d"), 2),  # type: ignore[arg-type]
        detected="detected" not in value or is_true(value["detected"]),
        track_id=next((value[key] for key in _TRACK_KEYS if key in value), None),
        category=next((value[key] for key in _CATEGORY_KEYS if key in value), None),
        mask=value.get("segmentation"),
        position=position_of(value),
    )


def write(path: Path, output: Path, enriched: Enriched) -> None:
    """Write the file again: fields added to each record and to ``metadata``, all else as it was."""
    row = -1
    metadata_written = False

    def change(event: Event) -> Any:
        nonlocal row, metadata_written
        if event.kind == "item":
            row += 1
            return enriched.added_to(event.value, row)
        if event.key == "metadata" and isinstance(event.value, dict):
            metadata_written = True
            return enriched.told_in(event.value)
        if event.kind == "close":
            return {} if metadata_written else {"metadata": enriched.metadata()}
        return event.value

    rewrite(path, output, _ARRAYS, change)
