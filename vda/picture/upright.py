"""A decoded picture to RGB as it is shown, but for the shape of its pixels: a frame of PyAV in, uint8 pixels out.

Pixels are 8-bit RGB by libswscale, with the matrix and range that the stream states (10 bits are rounded to 8,
alpha is dropped). This file does not know where frames come from.
"""

from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

from vda.errors import VideoError
from vda.picture.orientation import Orientation, orientation_of


@dataclass(frozen=True)
class UprightRgb:
    """Makes every frame of a video one size: ``width``, ``height`` as they are stored, before they are turned."""

    width: int
    height: int
    orientation: Orientation

    def of(self, frame: VideoFrame) -> np.ndarray:
        """Return uint8 [height, width, 3], upright and contiguous. Raises ``VideoError`` for unknown formats."""
        try:
            # One thread: starting a pool for each frame costs more than the pool gains.
            rgb = frame.to_ndarray(format="rgb24", width=self.width, height=self.height, threads=1)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"Its {frame.format.name} pictures cannot be turned into RGB: {error}.",
                "Convert the video first, for example with `ffmpeg -i IN -pix_fmt yuv420p OUT.mp4`.",
            ) from error
        return self.orientation.upright(rgb)


def with_square_pixels(rgb: np.ndarray, pixel_aspect: Fraction) -> np.ndarray:
    """Return a picture [height, width, 3] stretched to the shape at which it is displayed; no side shrinks."""
    if pixel_aspect == 1:
        return rgb
    height, width = rgb.shape[:2]
    wider = pixel_aspect > 1
    size = (round(width * pixel_aspect), height) if wider else (width, round(height / pixel_aspect))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR))


def stated_orientation(frame: VideoFrame) -> tuple[Orientation, str | None]:
    """The orientation that a frame's display matrix states, and a sentence where it is not as stored.

    A matrix that no quarter turns and mirrors make is left aside, and the sentence says so.
    """
    stated = frame.side_data.get("DISPLAYMATRIX")
    if stated is None:
        return Orientation(), None
    assert isinstance(stated, SideData)
    found = orientation_of(np.frombuffer(bytes(stated), np.int32)[:9])
    if found is None:
        return Orientation(), (
            "The file asks for its pictures to be turned by an angle that is no quarter turn, or distorted: "
            "they are taken as they are stored."
        )
    return found, found.remark()
