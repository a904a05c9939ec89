"""Pictures and depth of a scene, a frame at a time, as a page is given them.

In go places among the frames that have depth; out come JPEG pictures and 16-bit codes. Frames are decoded on
demand: who goes on where the last one was costs no seek, and memory is that of a few pictures for any number of
frames. This file does not know pages.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from vda.depthmaps.codes import MAX_CODE, Codes, DepthRecord, Float32Array
from vda.depthmaps.colours import Rgb, colorize_codes, shown_range
from vda.depthmaps.files import read_png16
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError, VideoError
from vda.evaluation.seams import spread
from vda.scene.scene import Scene
from vda.video import Frame, FrameIndex, VideoInfo, read_frame_list

# Screens show no more of a picture that takes half of them.
_WIDEST: Final = 1280
_JPEG_QUALITY: Final = 85
# Decoding on to a frame so near costs less than looking for it; frames of the next run are listed so far ahead.
_NEAR: Final = 24
_RUN: Final = 512
# Frames that are asked for again, for the cloud or by going back: some 30 MB of a film of 1920x1080.
_KEPT: Final = 5
# The range of colours is that of some frames.
_LOOKED_AT: Final = 6


@dataclass
class Film:
    """A merged scene that is looked at; ``frames`` are the video's indices of the frames that have depth."""

    scene: Scene
    info: VideoInfo
    index: FrameIndex
    depth: DepthSource
    record: DepthRecord
    _near: Iterator[Frame] | None = None
    _next: int = 0
    _kept: "OrderedDict[int, Frame]" = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, root: Path) -> "Film":
        """Open the scene ``root``. ``SceneError`` where it is not merged, ``VideoError`` without its video."""
        scene = Scene(root).require()
        scene.require_merged()
        record = DepthRecord.read(scene.depth_record_path)
        return cls(scene, scene.require_video(), scene.frame_index(), open_depth(scene.merged_dir), record)

    @property
    def frames(self) -> Sequence[int]:
        return self.depth.frames

    @property
    def name(self) -> str:
        return self.scene.root.resolve().name

    def frame(self, place: int) -> Frame:
        """The video's frame at ``place`` among ``frames``."""
        if place not in self._kept:
            self._kept[place] = self._decode(place)
        self._kept.move_to_end(place)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[place]

    def _decode(self, place: int) -> Frame:
        ahead = self.frames[place] - self.frames[min(self._next, len(self.frames) - 1)]
        if self._near is None or place < self._next or ahead > _NEAR:
            self._begin(place)
        while True:
            picture = self._following()
            self._next += 1
            if self._next > place:
                return picture

    def _following(self) -> Frame:
        """The next of the frames that are listed, or of the next list."""
        picture = None if self._near is None else next(self._near, None)
        if picture is None:
            self._begin(self._next)
            assert self._near is not None
            picture = next(self._near, None)
        if picture is None:
            raise VideoError(f"{self.info.path} ends before its last frame.", "Copy the video again.")
        return picture

    def _begin(self, place: int) -> None:
        self._near = read_frame_list(self.info, self.index, list(self.frames[place : place + _RUN]))
        self._next = place

    def jpeg(self, place: int, widest: int = _WIDEST, quality: int = _JPEG_QUALITY) -> bytes:
        """The picture at ``place`` as a JPEG file, at most ``widest`` pixels wide."""
        rgb = self.frame(place).rgb
        height, width = rgb.shape[:2]
        if width > widest:
            size = (widest, max(1, round(height * widest / width)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])

    def rgb(self, place: int) -> Rgb:
        """The picture at ``place``, at the size of the depth."""
        rgb, size = self.frame(place).rgb, (self.record.width, self.record.height)
        if rgb.shape[1::-1] == size:
            return rgb
        return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)

    def codes(self, place: int) -> Codes:
        """The depth at ``place`` as ``depth.json`` codes it, uint16 [height, width].

        Those of the 16-bit image where there is one; else its values as the nearest of those codes.
        """
        frame = self.frames[place]
        image = self.scene.depth_path(frame)
        codes = read_png16(image) if image.is_file() else self.record.quantizer.encode(self.depth.read(frame))
        if codes.shape != (self.record.height, self.record.width):
            raise InputError(
                f"The depth of frame {frame} has another size than {self.scene.depth_record_path} says.",
                "Merge the scene again with --overwrite.",
            )
        return codes

    def values(self, place: int) -> Float32Array:
        """The depth at ``place``, float32 [height, width], NaN where there is none."""
        return self.record.quantizer.decode(self.codes(place))

    def times_s(self) -> list[float]:
        """When the frames are shown, in seconds on the file's clock."""
        return [round(float(time), 4) for time in self.index.times_of(np.asarray(self.frames))]

    def table_of_values(self) -> Float32Array:
        """The value of each of the 65,536 codes, float32; NaN for code 0."""
        return self.record.quantizer.decode(_every_code())

    def table_of_colours(self, colormap: str) -> Rgb:
        """The colour of each of the 65,536 codes, uint8 [65536, 3]: bright is near, one range for all frames."""
        places = spread(range(len(self.frames)), _LOOKED_AT)
        values = np.concatenate([self.values(place)[::4, ::4].ravel() for place in places])
        quantizer = self.record.quantizer
        return colorize_codes(_every_code(), quantizer, colormap, shown_range(values, quantizer.kind))


def _every_code() -> Codes:
    return np.arange(MAX_CODE + 1, dtype=np.uint16)
