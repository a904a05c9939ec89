"""Image files as another program reads them: OpenCV, not the code under test."""

from pathlib import Path

import cv2
import numpy as np


def read_picture(path: Path, how: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Return ``[height, width]`` or ``[height, width, 3]``, BGR; fail where the file is missing or no picture."""
    picture = cv2.imread(str(path), how)
    assert picture is not None, f"{path} is missing or no picture"
    return picture


def read_codes(path: Path) -> np.ndarray:
    """Return the numbers as the file holds them, whatever their type."""
    return read_picture(path, cv2.IMREAD_UNCHANGED)
