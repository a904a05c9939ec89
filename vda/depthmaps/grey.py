"""Grey video at its full depth of bits, frame by frame: what ``ClipWriter`` wrote of depth, read back.

In: the path of a video and a place. Out: the codes, as they are in the stream. This file does not know what codes
mean, nor times: frames are counted from the first, as they were written.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from vda.errors import VideoError
from vda.video.decoding import OpenVideo


class GreyFrames:
    """The frames of a grey video, uint8 or uint16 ``[height, width]``: cheap in order, going back starts over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._one_reader = threading.Lock()
        self._frames: Iterator[VideoFrame] = iter(())
        self._next = -1

    def frame(self, place: int) -> np.ndarray:
        """Return the codes at ``place``; ``VideoError`` where the video ends before it, or is no grey video."""
        with self._one_reader:
            if place < self._next or self._next < 0:
                self._frames, self._next = self._decode(), 0
            for frame in self._frames:
                self._next += 1
                if self._next > place:
                    # H.264's decoder adds chroma below grey; it says nothing.
                    return np.ascontiguousarray(frame.to_ndarray()[: frame.height])
        raise VideoError(f"{self._path} has no frame {place}.", "Merge the scene again with --overwrite.")

    def _decode(self) -> Iterator[VideoFrame]:
        with OpenVideo(self._path) as source:
            for frame in source.frames():
                if not frame.format.name.startswith(("gray", "yuv420p10")):
                    raise VideoError(
                        f"{self._path} has the pixel format {frame.format.name}, not grey.",
                        "Give a video of depth, not a visualization of it.",
                    )
                yield frame
