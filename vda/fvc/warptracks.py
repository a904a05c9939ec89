"""A video's tracks for its augmentation: pixels mapped as the picture's are.

In: a track file (classic or COCO-style JSON) and a ``Warp``. Out: the same file with boxes, points and polygons
where they are seen now. A mirrored or turned picture has no camera that its metres would be true of, and left and
right of keypoints may have changed places, so what enriching added, other metres, cameras, keypoints, areas and
masks as run lengths are left out, and the file says so. This file does not know videos.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np

from vda.camera.conventions import between_corners
from vda.errors import InputError
from vda.fvc.warp import Warp
from vda.tracks import read_tracks
from vda.tracks.enriched import without_enrichment
from vda.tracks.jsonstream import Event, rewrite
from vda.tracks.records import numbers_of

_ARRAYS: Final = {"classic": ("tracks",), "coco": ("annotations", "images")}
_ABOUT: Final = {"classic": "metadata", "coco": "info"}
_DIGITS: Final = 4
# Places in the world by a synthetic video's truth, and what COCO has besides boxes and outlines.
_UNTRUE: Final = ("position_3d", "base_3d", "keypoints", "num_keypoints", "area")
_TOLD: Final = {
    "augmented": "pixels are mapped; cameras, metres, keypoints, areas and masks as run lengths are left out"
}


def write_warped_tracks(path: Path, output: Path, warp: Warp) -> None:
    """Write the tracks in ``path`` as ``warp`` shows them.

    Raises ``InputError`` for a file of another format, or one that is for pictures of another size.
    """
    tracks = read_tracks(path)
    if tracks.format not in _ARRAYS:
        raise InputError(
            f"{path} is in the format {tracks.format}; tracks of a data set are classic or COCO-style JSON.",
            "Enrich the tracks from such a file.",
        )
    if tracks.header.size not in (None, warp.size):
        raise InputError(
            f"{path} is for pictures of {tracks.header.size}, and the video's are {warp.size}.",
            "Give tracks in the video's own pixels.",
        )
    rewrite(path, output, _ARRAYS[tracks.format], _Warping(tracks.format, warp).change)


class _Warping:
    """Changes a track file's values, one after another."""

    def __init__(self, form: str, warp: Warp) -> None:
        self._about, self._is_coco = _ABOUT[form], form == "coco"
        self._seen_points = between_corners(warp.points) if self._is_coco else warp.points
        self._seen_boxes = between_corners(warp.boxes) if self._is_coco else warp.boxes
        self._told = False

    def change(self, event: Event) -> Any:
        """What stands in the place of ``event``'s value (``jsonstream.rewrite``)."""
        if event.kind == "close":
            return {} if self._told else {self._about: _TOLD}
        if event.kind == "item" and event.key != "images":
            return self._record(event.value)
        if event.key == self._about and isinstance(event.value, dict):
            self._told = True
            return {**without_enrichment(event.value), **_TOLD}
        return None if event.key == "intrinsics" else event.value

    def _record(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        changes = {"bbox": self._box, "contact_2d": self._points, "segmentation": self._outline}
        mapped = {name: change(value[name]) for name, change in changes.items() if value.get(name) is not None}
        kept = {name: of for name, of in without_enrichment(value).items() if name not in _UNTRUE}
        return {**kept, **mapped}

    def _points(self, values: Any) -> Any:
        """x, y, x, y, ...; what is no list of numbers is left alone."""
        numbers = numbers_of(values, len(values) // 2 * 2) if isinstance(values, list) else None
        if not numbers or not np.isfinite(numbers).all():
            return values
        mapped = self._seen_points(np.reshape(numbers, (-1, 2)))
        return [*_rounded(mapped), *values[len(numbers) :]]

    def _box(self, values: Any) -> Any:
        """Two corners, or (COCO) one and the size."""
        numbers = numbers_of(values, 4) if isinstance(values, list) else None
        if not numbers or not np.isfinite(numbers).all():
            return values
        x1, y1, x2, y2 = numbers
        if self._is_coco:
            x2, y2 = x1 + x2, y1 + y2
        left, top, right, bottom = _rounded(self._seen_boxes(np.array([[x1, y1, x2, y2]])))
        if self._is_coco:
            right, bottom = round(right - left, _DIGITS), round(bottom - top, _DIGITS)
        return [left, top, right, bottom, *values[4:]]

    def _outline(self, value: Any) -> Any:
        return [self._points(polygon) for polygon in value] if isinstance(value, list) else None


def _rounded(values: np.ndarray) -> list[float]:
    return [round(number, _DIGITS) for number in values.ravel().tolist()]
