"""Which part of a picture the network sees, and where that part lies in the depth image.

In: the upright picture's size, what is left out of it, the largest side that is wanted. Out: a ``Framing``, which
makes the picture that the network is given and puts the network's depth back to its place. Arithmetic and arrays
only; this file does not know videos, plans or networks.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.picture.overlay import Overlay, filled, shrunk

Size = tuple[int, int]


class Box(NamedTuple):
    """Pixels ``left`` to ``left + width`` and ``top`` to ``top + height`` of a picture, half-open."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        return self.width, self.height

    @property
    def places(self) -> tuple[slice, slice]:
        """Its rows and columns in an array."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def at_size(self, size: Size, new: Size) -> "Box":
        """The box of a picture of ``size`` in the same one at ``new``: the pixels that lie in it as a whole."""
        left, top = (-(-low * b // a) for low, a, b in zip(self[:2], size, new, strict=True))
        right, bottom = (
            (low + side) * b // a for low, side, a, b in zip(self[:2], self[2:], size, new, strict=True)
        )
        return Box(left, top, right - left, bottom - top)


def limited(size: Size, longest: int | None) -> Size:
    """``size`` (width, height) with its longer side at most ``longest``, the shorter rounded to its share."""
    longer = max(size)
    if longest is None or longer <= longest:
        return size
    width, height = (max(1, round(side * longest / longer)) for side in size)
    return width, height


@dataclass(frozen=True, eq=False)
class Framing:
    """``size`` (width, height) is the depth image's, ``box`` what the network sees of a picture brought to it.

    What ``overlay`` (bool [height, width] of the depth image) covers is filled in, and has no depth of its own.
    """

    size: Size
    box: Box
    overlay: Overlay | None = None

    @classmethod
    def of(
        cls, picture: Size, longest: int | None = None, crop: Box | None = None, overlay: Overlay | None = None
    ) -> "Framing":
        """The framing of upright pictures of the size ``picture``, which ``crop`` and ``overlay`` are for too.

        Depth has at most ``longest`` pixels a side.
        """
        size = limited(picture, longest)
        box = (crop or Box(0, 0, *picture)).at_size(picture, size)
        return cls(size, box, None if overlay is None else shrunk(overlay, size))

    @property
    def is_whole(self) -> bool:
        """Whether all of the depth image has depth."""
        return self.box.size == self.size and self.overlay is None

    def resized(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The whole picture, uint8 [height, width, 3], at the depth image's size: the mean over areas."""
        if (rgb.shape[1], rgb.shape[0]) == self.size:
            return rgb
        return np.asarray(cv2.resize(rgb, self.size, interpolation=cv2.INTER_AREA), np.uint8)

    def seen(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the network sees of an upright picture, uint8 [height, width, 3]."""
        part = self.resized(rgb)[self.box.places]
        # Cut first: what is in a bar must not be filled in with, nor the bar.
        return part if self.overlay is None else filled(part, self.overlay[self.box.places])

    def placed(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Depth of the box, float32 [height, width], in the depth image: NaN in bars and under the overlay."""
        image = np.full((self.size[1], self.size[0]), np.nan, np.float32)
        image[self.box.places] = depth
        if self.overlay is not None:
            image[self.overlay] = np.nan
        return image
