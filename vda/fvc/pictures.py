"""Pictures through a geometry: colour averaged or interpolated, depth never mixed.

In: RGB pictures or codes of depth, and a ``Geometry``. Out: the same on its canvas. Between two surfaces there is
no third (``camera``), so depth is what is at the pixel's centre, and what is invalid stays apart from what is
valid. This file does not know videos, nor what codes mean.
"""

import cv2
import numpy as np

from vda.depthmaps.codes import INVALID_CODE, Codes
from vda.fvc.geometry import Geometry

BLACK = 0


def scale_picture(geometry: Geometry, rgb: np.ndarray) -> np.ndarray:
    """RGB uint8 or float32 [height, width, 3] (levels 0 to 255) to uint8 on the canvas, black around it.

    Areas are averaged on the way down, and pixels interpolated bicubically on the way up.
    """
    way = cv2.INTER_AREA if geometry.shrinks else cv2.INTER_CUBIC
    same = geometry.inner == geometry.source
    inner = rgb if same else cv2.resize(rgb, geometry.inner, interpolation=way)
    if inner.dtype != np.uint8:
        inner = np.rint(inner).clip(0, 255).astype(np.uint8)
    return _on_canvas(geometry, inner, BLACK)


def scale_codes(geometry: Geometry, codes: Codes) -> Codes:
    """Codes of depth uint16 [height, width] to the canvas, invalid around them."""
    rows = _under_centres(geometry.inner[1], geometry.source[1])
    columns = _under_centres(geometry.inner[0], geometry.source[0])
    return _on_canvas(geometry, codes[rows[:, None], columns], INVALID_CODE)


def _under_centres(count: int, source: int) -> np.ndarray:
    """For each of ``count`` pixels in a row the one of ``source`` that its centre lies in, int64 [count]."""
    return (2 * np.arange(count) + 1) * source // (2 * count)


def _on_canvas(geometry: Geometry, inner: np.ndarray, around: int) -> np.ndarray:
    if geometry.inner == geometry.canvas:
        return np.ascontiguousarray(inner)
    width, height = geometry.canvas
    canvas = np.full((height, width, *inner.shape[2:]), around, inner.dtype)
    rows = slice(geometry.top, geometry.top + geometry.inner[1])
    canvas[rows, geometry.left : geometry.left + geometry.inner[0]] = inner
    return canvas
