"""A video's enriched tracks for its scaled video: pixels mapped, metres left as they are.

In: a track file as ``vda enrich`` writes it (classic or COCO-style JSON) and the geometry and timing of the scaled
video. Out: the same file with boxes, points and cameras in the scaled picture, and each record's frame in it as
``scaled_frame``; ``frame`` stays that of the original. This file does not know how the video is scaled.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from vda.camera.conventions import between_corners
from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.fvc.geometry import Geometry
from vda.fvc.rate import Timing
from vda.tracks import Tracks, read_tracks
from vda.tracks.jsonstream import Event, rewrite
from vda.tracks.records import number_of, numbers_of

_ARRAYS: Final = {"classic": ("tracks",), "coco": ("annotations", "images")}
_ABOUT: Final = {"classic": "metadata", "coco": "info"}
_CAMERA: Final = ("fx", "fy", "cx", "cy")
_DIGITS: Final = 4


def write_scaled_tracks(path: Path, output: Path, geometry: Geometry, timing: Timing) -> None:
    """Write the tracks in ``path`` for the scaled picture.

    Raises ``InputError`` for a file of another format, or one that is for another picture than the video's.
    """
    tracks = read_tracks(path)
    if tracks.format not in _ARRAYS:
        raise InputError(
            f"{path} is in the format {tracks.format}; tracks of a data set are classic or COCO-style JSON.",
            "Enrich the tracks from such a file.",
        )
    seen = geometry.seen_at(tracks.header.size or geometry.source)
    rewrite(path, output, _ARRAYS[tracks.format], _Mapping(tracks, seen, timing).change)


class _Mapping:
    """Changes a track file's values, one after another."""

    def __init__(self, tracks: Tracks, geometry: Geometry, timing: Timing) -> None:
        self._format = tracks.format
        self._geometry = geometry
        self._seen = between_corners(geometry.points) if tracks.format == "coco" else geometry.points
        self._about = {"scaled": self._described(timing)}
        self._told = False
        self._row = -1
        first_place = {int(frame): place for place, frame in reversed([*enumerate(timing.indices.tolist())])}
        self._scaled_frames = [first_place.get(frame) for frame in tracks.frame.tolist()]

    def change(self, event: Event) -> Any:
        """What stands in the place of ``event``'s value (``jsonstream.rewrite``)."""
        if event.kind == "close":
            return {} if self._told else {_ABOUT[self._format]: self._about}
        if event.kind == "item" and event.key == "images":
            return self._resized(event.value)
        if event.kind == "item":
            self._row += 1
            return self._record(event.value)
        if event.key == _ABOUT[self._format] and isinstance(event.value, dict):
            self._told = True
            camera = {"vda_camera": self._camera(event.value.get("vda_camera"))}
            return {**self._resized(event.value), **(camera if "vda_camera" in event.value else {}), **self._about}
        return self._camera(event.value) if event.key == "intrinsics" else event.value

    def _described(self, timing: Timing) -> dict[str, Any]:
        geometry = self._geometry
        return {
            "original_width": geometry.source[0],
            "original_height": geometry.source[1],
            "picture_width": geometry.inner[0],
            "picture_height": geometry.inner[1],
            "padding": geometry.padding,
            "frames": len(timing),
            "fps": round(timing.mean_fps, 6),
        }

    def _record(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        changes: dict[str, Callable[[Any], Any]] = {
            "bbox": self._box,
            "contact_2d": self._points,
            "segmentation": self._outline,
            "keypoints": self._keypoints,
            "area": self._area,
        }
        mapped = {name: change(value[name]) for name, change in changes.items() if value.get(name) is not None}
        return {**value, **mapped, "scaled_frame": self._scaled_frames[self._row]}

    def _points(self, values: Any) -> Any:
        """x, y, x, y, ...; what is no list of numbers is left alone."""
        numbers = numbers_of(values, len(values) // 2 * 2) if isinstance(values, list) else None
        if not numbers or not np.isfinite(numbers).all():
            return values
        mapped = self._seen(np.reshape(numbers, (-1, 2))).ravel().tolist()
        return [*(round(number, _DIGITS) for number in mapped), *values[len(mapped) :]]

    def _box(self, values: Any) -> Any:
        """Two corners, or (COCO) one and the size."""
        if not isinstance(values, list) or len(values) < 4:
            return values
        if self._format == "classic":
            return self._points(values[:4]) + values[4:]
        x, y, width, height = (number_of(value) for value in values[:4])
        if not np.isfinite([x, y, width, height]).all():
            return values
        left, top, right, bottom = self._points([x, y, x + width, y + height])
        return [left, top, round(right - left, _DIGITS), round(bottom - top, _DIGITS)]

    def _outline(self, value: Any) -> Any:
        """Polygons are mapped; a mask as run lengths belongs to the original's pixels and is left out."""
        return [self._points(polygon) for polygon in value] if isinstance(value, list) else None

    def _keypoints(self, values: Any) -> Any:
        """COCO's x, y, visibility, ...: indices of pixels, unlike boxes; those of visibility 0 have no place."""
        numbers = numbers_of(values, len(values) // 3 * 3) if isinstance(values, list) else None
        if not numbers or not np.isfinite(numbers).all():
            return values
        triples = np.reshape(np.array(numbers, np.float64), (-1, 3))
        seen = triples[:, 2] > 0
        triples[seen, :2] = self._geometry.points(triples[seen, :2]).round(_DIGITS)
        return [*triples.ravel().tolist(), *values[len(numbers) :]]

    def _area(self, value: Any) -> Any:
        """Pixels of a mask, of which there are fewer or more by the scale of either side."""
        share = np.prod(self._geometry.inner) / np.prod(self._geometry.source)
        return value if np.isnan(number_of(value)) else round(number_of(value) * float(share), _DIGITS)

    def _resized(self, value: Any) -> Any:
        """The size that a file or an image states, where it does, becomes the scaled picture's."""
        if not isinstance(value, dict):
            return value
        sizes = dict(zip(("width", "height"), self._geometry.canvas, strict=True))
        return {**value, **{name: size for name, size in sizes.items() if name in value}}

    def _camera(self, value: Any) -> Any:
        """A camera as its file states it; where it states no size, it is for the tracks' picture."""
        numbers = [number_of(value.get(name)) for name in _CAMERA] if isinstance(value, dict) else []
        if not numbers or not np.isfinite(numbers).all():
            return value
        fx, fy, cx, cy = numbers
        camera = self._geometry.camera(Intrinsics(*self._geometry.source, fx, fy, cx, cy))
        return {**self._resized(value), **{name: round(getattr(camera, name), 6) for name in _CAMERA}}
