"""A picture as an eye beside the camera sees it.

In: a picture, the disparity of its pixels, and which share of it they are shifted by. Out: the view. Rows are
independent of each other. A row is a line of pixels joined to their neighbours: where it is stretched a little, it
is interpolated, so that no surface has cracks; where it folds over itself, the nearest part is seen; where it is
torn, a hole opens beside what is near, and is filled with what is behind. This file does not know depth.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
IndexArray = NDArray[np.int64]
Int32Array = NDArray[np.int32]

# A surface that drew neighbours apart by more would be seen from its edge: it is torn instead. In pixels.
_TORN: Final = 2.0
# Pixels worked on at once: all of their arrays stay in a processor's cache.
_BAND_PIXELS: Final = 1 << 17


def view(picture: Rgb, disparity: Float32Array, share: float) -> Rgb:
    """``picture`` uint8 [height, width, 3] with each pixel moved to the right by ``share * disparity`` pixels.

    ``disparity`` float32 [height, width], larger is nearer. Positions are exact to a 32nd of a pixel. Of what
    comes to lie in one place the nearest is seen. Holes show the background beside them, mirrored at its edge, and
    so do the picture's own margins. With a share of 0 it is the picture itself.
    """
    if share == 0 or not disparity.any():
        return picture
    if share > 0:
        return np.ascontiguousarray(_right_view(picture[:, ::-1], disparity[:, ::-1], share)[:, ::-1])
    return _right_view(picture, disparity, -share)


def _right_view(picture: Rgb, disparity: Float32Array, share: float) -> Rgb:
    """The view of an eye to the right: what is nearer is further left."""
    height, width = disparity.shape
    inner = np.float32(share) * np.ascontiguousarray(disparity)
    margin = int(np.ceil(np.abs(inner).max())) + 2
    # Beyond the margin the last pixel's surface goes on: mirrored depth would let things in that are not there.
    shift = np.pad(inner, ((0, 0), (margin, margin)), mode="edge")
    wide = cv2.copyMakeBorder(np.ascontiguousarray(picture), 0, 0, margin, margin, cv2.BORDER_REFLECT)
    made = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = slice(top, top + rows)
        columns = _columns(shift[band], margin, width)
        lines = np.broadcast_to(np.arange(len(columns), dtype=np.float32)[:, None], columns.shape)
        made[band] = cv2.remap(wide[band], columns, np.ascontiguousarray(lines), cv2.INTER_LINEAR)
    return made


def _columns(shift: Float32Array, margin: int, width: int) -> Float32Array:
    """Where in the row each pixel of the view is from, float32 [height, ``width``]; both begin at ``margin``.

    Of two pixels that come to lie in one place the one further right has been moved further left, so it is nearer:
    the last one in a row that lies at or before a place is what is seen there.
    """
    height, wide = shift.shape
    places = np.arange(wide, dtype=np.float32) - shift
    seen = _last_before(places)[:, margin : margin + width]
    flat = seen + np.arange(0, height * wide, wide)[:, None]
    left, right = places.ravel()[flat], places.ravel()[flat + 1]
    view_columns = np.arange(margin, margin + width, dtype=np.float32)
    apart = right - left
    columns = np.asarray(seen + (view_columns - left) / apart, np.float32)
    torn = apart > 1 + _TORN
    if torn.any():
        ends = _ends(shift).ravel()[(flat + 1)[torn]]
        behind = np.minimum((seen + 1 + right - view_columns)[torn], ends)
        # A pixel reaches half a pixel to either side of its place.
        columns[torn] = np.where((view_columns - left)[torn] <= 0.5, seen[torn], behind)
    return columns


def _last_before(places: Float32Array) -> IndexArray:
    """For each whole number, the last index in the row whose place is not beyond it, int64 [height, width].

    An index counts for every number from the least place at or behind it, so they are counted and summed.
    """
    height, width = places.shape
    least = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    first = np.ceil(least).clip(0, width).astype(np.int64)
    first += np.arange(0, height * (width + 1), width + 1)[:, None]
    counts = np.bincount(first.ravel(), minlength=height * (width + 1)).reshape(height, width + 1)
    return np.asarray(np.cumsum(counts[:, :-1], axis=1) - 1)


def _ends(shift: Float32Array) -> Int32Array:
    """For each pixel the last one to its right before something nearer begins, int32 [height, width]."""
    width = shift.shape[1]
    ends = np.where(np.diff(shift, axis=1) > _TORN, np.arange(width - 1, dtype=np.int32), np.int32(width - 1))
    ends = np.pad(ends, ((0, 0), (0, 1)), constant_values=width - 1)
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
