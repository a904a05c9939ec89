"""Where the pixels of a picture go in its augmentation: one value for colour, depth, points and boxes.

In: a 3 x 3 map and, for what is elastic, a displacement of every pixel. Out: pictures and codes through it, and
points. Pixels are counted as in ``camera.conventions``. This file does not know why a map is as it is.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import resizing
from vda.camera.intrinsics import Points, same_shape
from vda.depthmaps.codes import Codes
from vda.errors import InputError
from vda.fvc.geometry import Size

# A displacement changes by at most some tenths of a pixel per pixel, so each round leaves a third of the error.
_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class Warp:
    """A pixel x of the source is seen at the pixel t for which t + ``displacement``(t) = ``matrix`` x.

    ``size`` (width, height) is that of both pictures; ``matrix`` float64 [3, 3], affine; ``displacement`` float32
    [height, width, 2] in pixels, or None.
    """

    size: Size
    matrix: NDArray[np.float64]
    displacement: NDArray[np.float32] | None = None

    def picture(self, rgb: np.ndarray) -> np.ndarray:
        """RGB float32 [height, width, 3] through the map, interpolated linearly, black where nothing is seen."""
        return self._taken(rgb.transpose(2, 0, 1), "bilinear").transpose(1, 2, 0)

    def codes(self, codes: Codes) -> Codes:
        """Codes of depth uint16 [height, width]: each pixel takes the nearest one, 0 where nothing is seen."""
        return self._taken(codes[None].astype(np.float32), "nearest")[0].astype(np.uint16)

    def points(self, xy: Points) -> Points:
        """Pixels [N, 2] of the source in the picture, float64; they may lie outside."""
        moved = np.asarray(xy, np.float64) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        if self.displacement is None:
            return moved
        found = moved
        for _ in range(_ROUNDS):
            found = moved - self._displacement_at(found)
        return found

    def boxes(self, boxes: Points) -> Points:
        """The smallest boxes [N, 4] (x1, y1, x2, y2) around the corners and the middles of the sides, float64."""
        x1, y1, x2, y2 = np.asarray(boxes, np.float64).reshape(-1, 4).T
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        rim = [(x1, y1), (x, y1), (x2, y1), (x2, y), (x2, y2), (x, y2), (x1, y2), (x1, y)]
        places = self.points(np.stack([np.stack(place, -1) for place in rim], 1).reshape(-1, 2)).reshape(-1, 8, 2)
        return np.concatenate([places.min(1), places.max(1)], 1)

    def seen_at(self, size: Size) -> "Warp":
        """The same for pictures of the video at another size. Raises ``InputError`` for another shape."""
        if not same_shape(size, self.size):
            raise InputError(
                f"It is for pictures of {size[0]}x{size[1]}, and the video is {self.size[0]}x{self.size[1]}.",
                "Check that it belongs to this video.",
            )
        larger = resizing(self.size, size)
        matrix = larger @ self.matrix @ np.linalg.inv(larger)
        if self.displacement is None:
            return Warp(size, matrix)
        resized = cv2.resize(self.displacement, size, interpolation=cv2.INTER_LINEAR)
        return Warp(size, matrix, (resized * larger.diagonal()[:2]).astype(np.float32))

    def _displacement_at(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Between pixels linearly; outside as at the nearest edge."""
        assert self.displacement is not None
        x, y = xy.astype(np.float32).reshape(-1, 1, 2).transpose(2, 0, 1)
        found = cv2.remap(self.displacement, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return found.reshape(-1, 2).astype(np.float64)

    def _taken(self, channels: np.ndarray, mode: str) -> np.ndarray:
        """Float32 [channels, height, width], taken at the places in the source that the pixels see."""
        import torch
        from kornia.geometry.transform import remap

        x, y = (torch.from_numpy(places)[None] for places in self._seen)
        taken = remap(torch.from_numpy(np.ascontiguousarray(channels))[None], x, y, mode, align_corners=True)
        made: np.ndarray = taken[0].numpy()
        return made

    @cached_property
    def _seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Where in the source each pixel looks: x and y, float32 [height, width]."""
        y, x = np.mgrid[: self.size[1], : self.size[0]].astype(np.float64)
        if self.displacement is not None:
            x, y = x + self.displacement[..., 0], y + self.displacement[..., 1]
        inverse = np.linalg.inv(self.matrix)
        return (
            (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]).astype(np.float32),
            (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]).astype(np.float32),
        )
