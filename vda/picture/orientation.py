"""How a stored picture has to be mirrored and turned to be as it is shown: a display matrix in, pictures turned.

A matrix is nine numbers ``[a b u; c d v; x y w]``, as ISO/IEC 14496-12 has it in a track's header: a stored pixel
(p, q) is shown at (a p + c q + x, b p + d q + y), with y down. This file knows neither videos nor cameras.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
# A number this small beside the largest is rounding: 16.16 fixed point, and cameras that write a sine of 1e-3.
_NEGLIGIBLE = 0.02


@dataclass(frozen=True)
class Orientation:
    """First mirrored, left with right, then turned clockwise by ``rotation_deg`` (0, 90, 180 or 270)."""

    rotation_deg: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether what is shown has the stored picture's height for its width."""
        return self.rotation_deg in (90, 270)

    def shown_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a stored picture as it is shown; of a shown one as it is stored, just as well."""
        return (height, width) if self.swaps_sides else (width, height)

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """Return a stored picture [height, width, ...] as it is shown, contiguous."""
        if self.mirrored:
            picture = np.asarray(cv2.flip(picture, 1))
        if self.rotation_deg:
            return np.asarray(cv2.rotate(picture, _TURNS[self.rotation_deg]))
        return np.ascontiguousarray(picture)

    def remark(self) -> str | None:
        """A sentence that says how the picture is stored, if not as it is shown."""
        turned = f"turned clockwise by {self.rotation_deg} degrees" if self.rotation_deg else ""
        changes = " and ".join(filter(None, ("mirrored" if self.mirrored else "", turned)))
        return f"The pictures are stored otherwise than they are shown: they are {changes}." if changes else None


# Where the stored picture's axes, right and down, point to when it is shown: all eight ways to lay down a picture.
_AXES = {
    (1, 0, 0, 1): Orientation(0),
    (0, 1, -1, 0): Orientation(90),
    (-1, 0, 0, -1): Orientation(180),
    (0, -1, 1, 0): Orientation(270),
    (-1, 0, 0, 1): Orientation(0, mirrored=True),
    (0, -1, -1, 0): Orientation(90, mirrored=True),
    (1, 0, 0, -1): Orientation(180, mirrored=True),
    (0, 1, 1, 0): Orientation(270, mirrored=True),
}


def orientation_of(matrix: np.ndarray) -> Orientation | None:
    """Read a display matrix, numbers [9]; None where it is none of quarter turns and mirrors.

    How much it enlarges is not looked at: players show a picture at its own size and pixel aspect.
    """
    axes = np.asarray(matrix, np.float64)[[0, 1, 3, 4]]
    largest = np.abs(axes).max()
    if largest == 0:
        return None
    signs = np.where(np.abs(axes) < _NEGLIGIBLE * largest, 0, np.sign(axes)).astype(int)
    return _AXES.get((int(signs[0]), int(signs[1]), int(signs[2]), int(signs[3])))
