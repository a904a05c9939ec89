"""RGB to the colours of video, exactly: for clips whose pixels are measured, not only looked at.

In: RGB pictures. Out: planes in 4:2:0, as JPEG has them (BT.601, full range). libswscale's conversion truncates,
and limited range has 219 levels for 255: read back, colours were up to 6 levels off. This file does not know
encoders.
"""

import cv2
import numpy as np

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
_LUMA = np.array([[_RED, _GREEN, _BLUE]])
_CHROMA = np.array(
    [
        [-_RED / (1 - _BLUE) / 2, -_GREEN / (1 - _BLUE) / 2, 0.5, 128],
        [0.5, -_GREEN / (1 - _RED) / 2, -_BLUE / (1 - _RED) / 2, 128],
    ]
)


def jpeg_planes(rgb: np.ndarray) -> np.ndarray:
    """Return Y, U and V one below the other, uint8 [3 * height / 2, width], of RGB uint8 [height, width, 3].

    Width and height are even; the chroma of four pixels is their mean's. Formulas: ITU-T T.871, rounded once.
    """
    height, width, _ = rgb.shape
    picture = rgb.astype(np.float32)
    quarter = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    chroma = cv2.transform(quarter, _CHROMA)
    luma = cv2.transform(picture, _LUMA)
    planes = np.concatenate([luma.ravel(), chroma[..., 0].ravel(), chroma[..., 1].ravel()])
    return np.rint(planes).clip(0, 255).astype(np.uint8).reshape(height * 3 // 2, width)
