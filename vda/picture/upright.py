"""A decoded picture to RGB as it is shown, but for the shape of its pixels: a frame of PyAV in, uint8 pixels out.

Standard range goes to 8-bit RGB by libswscale, with the matrix and range that the stream states, or the user (10
bits are rounded to 8, alpha is dropped); high dynamic range by ``dynamicrange``. This file does not know where
frames come from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vda.errors import VideoError
from vda.picture.colours import Colours
from vda.picture.dynamicrange import to_standard_range
from vda.picture.orientation import Orientation, orientation_of
from vda.picture.signal import Matrix, Range

# H.273's numbers, which FFmpeg uses; PyAV 17 has no names for all of them.
_COLORSPACES: dict[Matrix, int] = {"bt601": 5, "bt709": 1, "bt2020": 9}
_RANGES: dict[Range, int] = {"limited": 1, "full": 2}
# The shares of red and blue in luma (ITU-R BT.601, BT.709, BT.2020).
_SHARES: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
# High dynamic range has many steps: of so many pixels, all that lies between stays in a core's own cache.
_BAND_PIXELS = 16_384
# Sides that are rounded to whole pixels: what differs by no more has the same shape.
_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class UprightRgb:
    """Makes every frame of a video one size: ``width``, ``height`` as they are stored, before they are turned.

    A frame of another shape is fitted in, with black beside it.
    """

    width: int
    height: int
    orientation: Orientation
    colours: Colours

    def of(self, frame: VideoFrame) -> np.ndarray:
        """Return uint8 [height, width, 3], upright and contiguous. Raises ``VideoError`` for unknown formats."""
        width, height = self._inner(frame.width, frame.height)
        try:
            rgb = self._rgb(frame, width, height)
        except MemoryError:  # no matter of the format
            raise
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"Its {frame.format.name} pictures cannot be turned into RGB: {error}.",
                "Convert the video first, for example with `ffmpeg -i IN -pix_fmt yuv420p OUT.mp4`.",
            ) from error
        return self.orientation.upright(self._with_margins(rgb))

    def _inner(self, width: int, height: int) -> tuple[int, int]:
        """The size that a stored picture has within this one: as large as fits, its shape kept."""
        wider = width * self.height / (height * self.width)
        if abs(wider - 1) <= _SAME_SHAPE:
            return self.width, self.height
        if wider > 1:
            return self.width, max(1, round(self.height / wider))
        return max(1, round(self.width * wider)), self.height

    def _with_margins(self, rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        if (width, height) == (self.width, self.height):
            return rgb
        left, top = (self.width - width) // 2, (self.height - height) // 2
        whole = np.zeros((self.height, self.width, 3), np.uint8)
        whole[top : top + height, left : left + width] = rgb
        return whole

    def _rgb(self, frame: VideoFrame, width: int, height: int) -> np.ndarray:
        colours = self.colours
        if colours.is_high_range:
            return _from_high_range(frame, width, height, colours)
        if colours.matrix is not None:
            frame.colorspace = _COLORSPACES[colours.matrix]
        if colours.range is not None:
            frame.color_range = _RANGES[colours.range]
        # One thread: starting a pool for each frame costs more than the pool gains.
        return _in_format("rgb24", frame, width, height).to_ndarray()


def _in_format(name: str, frame: VideoFrame, width: int, height: int) -> VideoFrame:
    """``frame`` in another pixel format. By a reformatter of its own: a frame's is not for two threads at once."""
    return VideoReformatter().reformat(frame, width, height, name, threads=1)


def _from_high_range(frame: VideoFrame, width: int, height: int, colours: Colours) -> NDArray[np.uint8]:
    signal = _signal(frame, width, height, colours)
    rgb = np.empty((height, width, 3), np.uint8)
    count = max(1, _BAND_PIXELS // width)
    for top in range(0, height, count):
        rows = slice(top, top + count)
        rgb[rows] = to_standard_range(signal(rows), colours)
    return rgb


def _signal(
    frame: VideoFrame, width: int, height: int, colours: Colours
) -> Callable[[slice], NDArray[np.float32]]:
    """R'G'B' float32 [rows, width, 3] of any rows, 1.0 where the signal is full (BT.2100, table 9).

    By formula, for libswscale is off by up to 5 steps of 10 bits, which PQ makes 5 % of the light.
    """
    if frame.format.is_rgb:
        whole = _in_format("rgb48le", frame, width, height).to_ndarray()
        return lambda rows: whole[rows].astype(np.float32) / np.float32(65535)
    planes = _in_format("yuv444p16le", frame, width, height).planes
    codes = [np.frombuffer(memoryview(plane), np.uint16).reshape(height, -1)[:, :width] for plane in planes]
    affine = np.column_stack(_from_yuv(colours, max(part.bits for part in frame.format.components)))

    def signal(rows: slice) -> NDArray[np.float32]:
        beside = cv2.merge([plane[rows] for plane in codes])
        return np.asarray(cv2.transform(beside.astype(np.float32), affine))

    return signal


def _from_yuv(colours: Colours, bits: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix and the offset that make R'G'B' of Y'CbCr, whose ``bits`` are the upper ones of 16."""
    assert colours.matrix is not None
    red, blue = _SHARES[colours.matrix]
    green = 1 - red - blue
    from_ratios = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    if colours.range == "full":
        luma = chroma = float((1 << bits) - 1) * (1 << (16 - bits))
        black = 0.0
    else:
        luma, chroma, black = 219 * 256.0, 224 * 256.0, 16 * 256.0
    matrix = from_ratios / [luma, chroma, chroma]
    return matrix, -matrix @ [black, 32768, 32768]


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
