"""Black bars beside, above and below a film's pictures: some frames of it in, what lies between the bars out.

A bar is certain where, in all frames, its pixels are black and alike, and it ends in one straight line along
which the picture is light, in one frame or another, almost from end to end. So a dark scene is none, nor a wall.
Text may stand in a bar: whether a line is black is asked of its outer parts, and what lies in the middle must
leave most of the bar free. Noise is met by medians and percentiles. This file does not know films or shots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vda.picture.framing import Box

Picture = NDArray[np.uint8]
# [frames, lines, pixels of a line]: the brightest of a pixel's three colours, the edge in question first.
_Lines = NDArray[np.uint8]

# Black is 0, or 16 where the range was mistaken, and noise lies on top: of the lightest pixels but for a few.
_DARKEST: Final = 40
_FEW_PERCENT: Final = 5
_BLACK: Final = 24
# Lines of one bar are alike to within this.
_EVEN: Final = 6
# The picture at its edge is lighter than the bar by this, along this share of the line.
_STEP: Final = 20
_ALONG: Final = 0.8
# Of the bar just before it no more is light, be there text: else it is a dark scene that becomes lighter.
_BEFORE: Final = 0.5
# A tenth of a line at either end has no subtitles; a bar with more than this in it is a picture. Beside the
# picture nobody writes.
_OUTER: Final = 0.1
_MOST_TEXT: Final = 0.35
_MOST_BESIDE: Final = 0.05
# Lines blended of both by a codec, or by scaling, belong to neither; what a codec throws into a bar in some frames
# stays within a block.
_BLENDED: Final = 3
_RINGING: Final = 8
# Thinner bars cost nothing; between thicker ones there is no film.
_THINNEST: Final = 0.005
_LEAST_PICTURE: Final = 0.25
# The edge has to be seen in so many frames, and in this share of those that are not dark.
_LEAST_FRAMES: Final = 3
_LEAST_SHARE: Final = 0.3
# Along a bar fewer pixels tell as much.
_ALONG_PIXELS: Final = 640


def find_bars(pictures: Sequence[Picture]) -> Box | None:
    """Return what lies between the bars of ``pictures``, uint8 [height, width, 3]; None where none are certain.

    Pictures should be far apart in time: what stands still for long could be taken for a bar.
    """
    if not pictures:
        return None
    height, width, _ = pictures[0].shape
    step = max(1, width // _ALONG_PIXELS)
    lines = np.stack([_light(picture[:, step // 2 :: step]) for picture in pictures])
    top, bottom = (_thickness(side, _MOST_TEXT) for side in (lines, lines[:, ::-1]))
    if height - top - bottom < _LEAST_PICTURE * height:
        return None
    step = max(1, (height - top - bottom) // _ALONG_PIXELS)
    columns = np.stack([_light(picture[top + step // 2 : height - bottom : step]).T for picture in pictures])
    left, right = (_thickness(side, _MOST_BESIDE) for side in (columns, columns[:, ::-1]))
    if width - left - right < _LEAST_PICTURE * width or not (left or right or top or bottom):
        return None
    return Box(left, top, width - left - right, height - top - bottom)


def is_dark_outside(pictures: Sequence[Picture], box: Box) -> bool:
    """Whether nothing but black, and perhaps text, lies beside ``box``, as in a scene too dark to tell."""
    rows, columns = box.places
    return all(
        _is_free(light[: rows.start], _MOST_TEXT)
        and _is_free(light[rows.stop :], _MOST_TEXT)
        and _is_free(light[rows, : columns.start], _MOST_BESIDE)
        and _is_free(light[rows, columns.stop :], _MOST_BESIDE)
        for light in map(_light, pictures)
    )


def _light(picture: Picture) -> NDArray[np.uint8]:
    """The brightest of a pixel's three colours, [height, width]."""
    return np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])


def _is_free(bar: NDArray[np.uint8], most: float) -> bool:
    return not bar.size or float((bar > _DARKEST).mean()) <= most


@dataclass(frozen=True)
class _Edge:
    """What the frames say about the lines next to one edge of the picture."""

    lines: _Lines
    used: NDArray[np.bool_]
    dark: NDArray[np.intp]
    most_text: float

    @classmethod
    def of(cls, lines: _Lines, most_text: float) -> "_Edge":
        # Where the other two sides have bars nothing is ever light.
        used = np.asarray((lines > _DARKEST).any(axis=(0, 1)))
        places = np.flatnonzero(used)
        outer = max(1, int(len(places) * _OUTER))
        ends = np.concatenate([places[:outer], places[-outer:]])
        lightest = np.percentile(lines[:, :, ends], 100 - _FEW_PERCENT, axis=2, method="higher")
        count = lines.shape[1]
        light = lightest > _DARKEST
        return cls(lines, used, np.where(light.any(axis=1), light.argmax(axis=1), count), most_text)

    def thickness(self) -> int:
        """How many lines are a bar for certain."""
        count = self.lines.shape[1]
        seen = self.dark[self.dark < count]
        if not len(seen) or seen.min() < max(2, _THINNEST * count):
            return 0
        near = seen[seen <= seen.min() + _RINGING]
        thickness = int(np.percentile(near, 25, method="lower"))
        if len(near) < max(min(_LEAST_FRAMES, len(self.lines)), _LEAST_SHARE * len(seen)):
            return 0
        if not self._is_black(thickness) or not self._is_straight(thickness):
            return 0
        return self._first_whole(thickness)

    def _is_black(self, thickness: int) -> bool:
        # The last line may have taken on something of the picture.
        bar = self.lines[:, : max(thickness - 1, 1)]
        levels = np.median(bar, axis=2)
        level = float(np.median(levels))
        alike = np.abs(levels - level) <= _EVEN
        return (
            level <= _BLACK
            and bool(alike.mean() >= 1 - _MOST_TEXT)
            and all(_is_free(one, self.most_text) for one in bar)
        )

    def _is_straight(self, thickness: int) -> bool:
        """Whether the picture begins in this line along nearly all of it, and not little by little."""
        behind = self._light_share(min(thickness + _BLENDED, self.lines.shape[1] - 1))
        return behind >= _ALONG and self._light_share(max(thickness - 2 * _BLENDED, 0)) <= _BEFORE

    def _light_share(self, line: int) -> float:
        """The share of a line's pixels that are lighter than the bar in one frame or another."""
        level = float(np.median(self.lines[:, 0]))
        return float((self.lines[:, line, self.used].max(axis=0) > level + _STEP).mean())

    def _first_whole(self, thickness: int) -> int:
        """The first line that is the picture's alone."""
        along = np.median(self.lines[:, thickness : thickness + _BLENDED + 2, self.used].max(axis=0), axis=1)
        whole = along >= 0.75 * along[-1]
        return thickness + int(whole.argmax())


def _thickness(lines: _Lines, most_text: float) -> int:
    if not (lines > _DARKEST).any():
        return 0
    return _Edge.of(lines, most_text).thickness()
