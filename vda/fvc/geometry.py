"""Where the pixels of a video are in its scaled video: arithmetic only.

In: sizes. Out: one value that maps sizes, points, boxes and cameras, used alike for colour, depth and tracks.
Pixels are counted as in ``camera.conventions``. This file does not know pictures.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from vda.camera.conventions import resized
from vda.camera.intrinsics import Intrinsics, Points, same_shape
from vda.errors import InputError, UsageError

Layout = Literal["letterbox", "resize"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """A picture of size ``source`` (width, height), resized to ``inner``, at ``left``, ``top`` of a ``canvas``.

    ``pixel_aspect`` is the width of the source's pixels by their height; those of the canvas are square.
    """

    source: Size
    inner: Size
    canvas: Size
    left: int = 0
    top: int = 0
    pixel_aspect: Fraction = Fraction(1)

    @classmethod
    def letterbox(cls, source: Size, size: int, pixel_aspect: Fraction = Fraction(1)) -> "Geometry":
        """The displayed aspect kept, the longer side ``size``, in the middle of ``size`` x ``size``."""
        shown = (source[0] * pixel_aspect, Fraction(source[1]))
        width, height = (max(1, round(side * size / max(shown))) for side in shown)
        margins = ((size - width) // 2, (size - height) // 2)
        return cls(source, (width, height), (size, size), *margins, pixel_aspect)

    @classmethod
    def resize(cls, source: Size, size: int, pixel_aspect: Fraction = Fraction(1)) -> "Geometry":
        """The longer side ``size``, the shorter the even number nearest to its share: H.264 has no odd sizes."""
        shown = (source[0] * pixel_aspect, Fraction(source[1]))
        width, height = (max(2, 2 * round(side * size / max(shown) / 2)) for side in shown)
        return cls(source, (width, height), (width, height), pixel_aspect=pixel_aspect)

    @classmethod
    def of(cls, layout: Layout, source: Size, size: int, pixel_aspect: Fraction = Fraction(1)) -> "Geometry":
        made = cls.letterbox if layout == "letterbox" else cls.resize
        return made(source, size, pixel_aspect)

    @property
    def padding(self) -> dict[str, int]:
        """Pixels beside the picture on each side of the canvas."""
        return {
            "left": self.left,
            "top": self.top,
            "right": self.canvas[0] - self.inner[0] - self.left,
            "bottom": self.canvas[1] - self.inner[1] - self.top,
        }

    @property
    def shrinks(self) -> bool:
        return self.inner[0] * self.inner[1] < self.source[0] * self.source[1]

    def points(self, xy: Points) -> Points:
        """Pixels [N, 2] of the source in the scaled picture, float64."""
        return resized(xy, self.source, self.inner) + np.array([self.left, self.top])

    def boxes(self, boxes: Points) -> Points:
        """Boxes [N, 4] (x1, y1, x2, y2), float64."""
        return self.points(np.asarray(boxes, np.float64).reshape(-1, 2)).reshape(-1, 4)

    def camera(self, camera: Intrinsics) -> Intrinsics:
        """The camera that sees the scaled picture, whatever size its own image was given for."""
        return camera.scaled(*self.inner).cropped(-self.left, -self.top, *self.canvas)

    def seen_at(self, size: Size) -> "Geometry":
        """The same for what was made of the video at another size, its pixels as they are or made square.

        Raises ``InputError`` for another shape.
        """
        displayed = max(1, round(self.source[0] * self.pixel_aspect)), self.source[1]
        if not (same_shape(size, self.source) or same_shape(size, displayed)):
            raise InputError(
                f"It is for pictures of {size[0]}x{size[1]}, and the video is {self.source[0]}x{self.source[1]}.",
                "Check that it belongs to this video.",
            )
        return replace(self, source=size)


def require_size(size: int) -> int:
    """Return ``size``, or raise ``UsageError`` where no H.264 picture has it."""
    if size < 16 or size % 2:
        raise UsageError(
            f"Videos cannot be brought to {size} pixels: H.264 with halved chroma needs an even size, 16 or more.",
            f"Give an even --size, such as {max(16, size + size % 2)}.",
        )
    return size
