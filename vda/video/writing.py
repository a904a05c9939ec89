"""Clips: numpy pictures in, a video file out that is whole or absent.

The default, H.264 in yuv420p with its index in front, plays in every browser; ``codec="ffv1"`` with
``pix_fmt="gray16le"`` in ``.mkv`` keeps 16-bit depth without loss. RGB is converted with the BT.709 matrix to
limited range, or exactly, as in JPEG, and the file says which. This file does not know where pictures come from.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from vda.errors import UsageError, VideoError
from vda.files import publish, storage_errors, temporary_beside
from vda.picture.planes import jpeg_planes
from vda.video.rates import plain_rate
from vda.video.sound import Sound, SoundCopy

# FFmpeg's guide to H.264 calls 18 nearly lossless to the eye; a slower preset would make smaller files, not better
# ones.
_DEFAULT_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    # Closed groups of one frame and slices with checksums: each frame can be had alone, and damage is noticed.
    "ffv1": {"level": "3", "slicecrc": "1", "g": "1"},
}
# With mbtree, x264 does not write the same bytes twice of small pictures, and what it writes depends on the
# processor's instructions unless it is told not to.
_SAME_BYTES: dict[str, dict[str, str]] = {"libx264": {"x264-params": "mbtree=0:cpu-independent=1"}}
# The kind of arrangement in H.264's message on frame packing (ITU-T H.264, D.2.26), by which players see 3D.
_SIDE_BY_SIDE = 3


class ClipWriter:
    """Write pictures to a video file; a context manager. The file appears when the block ends without an error.

    Pictures are all of one size: RGB uint8 [height, width, 3], or grey [height, width] as uint8 or, for a grey
    ``pix_fmt`` of more than 8 bits, uint16. Pixel formats with halved chroma need even sizes: an odd picture gets
    its last column or row twice. ``options`` are the encoder's (unless given: for H.264 crf 18, preset veryfast;
    for FFV1 frames that stand alone, with checksums); the same pictures give the same file, with the same number
    of threads.
    ``threads`` 0 is one per core; ``pixel_aspect`` is a pixel's width by its height; ``jpeg_colour``, for RGB in
    yuv420p, keeps colours as exactly as 8 bits can; ``side_by_side`` says in the H.264 that the halves of a
    picture are the views of the left and the right eye; ``sound`` is copied beside the pictures.
    Raises ``UsageError`` for pictures that do not fit, ``VideoError`` for what FFmpeg cannot encode,
    ``StorageError`` for a disk that is full.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: Fraction,
        time_base: Fraction | None = None,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        threads: int = 0,
        jpeg_colour: bool = False,
        pixel_aspect: Fraction = Fraction(1),
        side_by_side: bool = False,
        sound: Sound | None = None,
    ) -> None:
        self.path = path
        self._temporary = temporary_beside(path)
        self._fps = plain_rate(fps, 1_000_000)
        self._time_base = time_base or 1 / self._fps
        self._step = max(1, round(1 / (self._fps * self._time_base)))
        self._codec = codec
        self._pix_fmt = pix_fmt
        chosen = _DEFAULT_OPTIONS.get(codec, {}) if options is None else options
        self._options = {**_SAME_BYTES.get(codec, {}), **chosen}
        if side_by_side:
            self._options["x264-params"] += f":frame-packing={_SIDE_BY_SIDE}"
        self._threads = threads
        self._jpeg_colour = jpeg_colour
        self._pixel_aspect = pixel_aspect
        self._sound = sound
        self._copy: SoundCopy | None = None
        self._shape: tuple[int, ...] | None = None
        self._last_pts: int | None = None
        self._first_pts: int | None = None

    def __enter__(self) -> "ClipWriter":
        with self._translated_errors(), ExitStack() as on_error:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(f"file:{self._temporary}", "w", options=self._muxer_options())
            on_error.callback(self._discard)
            self._stream = self._add_stream()
            if self._sound is not None:
                self._copy = SoundCopy(self._sound, self._container)
            on_error.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def write(self, picture: np.ndarray, pts: int | None = None) -> None:
        """Append ``picture``, shown at ``pts * time_base`` seconds, or one frame after the last where None.

        Times rise, from wherever they begin: the clip begins at 0, for players start there, and mp4 hides what is
        shown before. Raises ``UsageError`` for a time that does not rise.
        """
        if self._shape is None:
            self._set_size(picture)
        if picture.shape != self._shape:
            raise UsageError(
                f"A picture of shape {picture.shape} came for {self.path}, whose pictures are {self._shape}.",
                "Write pictures of one size to one clip.",
            )
        with self._translated_errors():
            frame = self._frame(picture)
            frame.time_base = self._time_base
            frame.pts = self._next_pts(pts)
            self._mux_sound(frame.pts * self._time_base)
            self._container.mux(self._stream.encode(frame))

    def _muxer_options(self) -> dict[str, str]:
        if self.path.suffix not in (".mp4", ".mov"):
            # Matroska names each file by a random number, and equal pictures would not give equal files.
            return {"fflags": "+bitexact"}
        # Players can start before the whole file is there if its table of frames stands in front; and the first
        # frame's time is rounded to milliseconds unless the movie's clock is as fine as the pictures'.
        return {"movflags": "+faststart", "movie_timescale": str(max(1000, self._time_base.denominator))}

    def _add_stream(self) -> VideoStream:
        if av.Codec(self._codec, "w").type != "video":
            raise UsageError(f"{self._codec} is not a video codec.", "Choose one, for example libx264.")
        stream = self._container.add_stream(self._codec, rate=self._fps, options=self._options)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = self._pix_fmt
        stream.codec_context.time_base = self._time_base
        if self._pixel_aspect != 1:
            stream.codec_context.sample_aspect_ratio = self._pixel_aspect
            # Containers state the ratio beside the codec, and players believe them.
            stream.sample_aspect_ratio = self._pixel_aspect
        stream.codec_context.thread_count = self._threads
        if self._jpeg_colour:
            _tag_jpeg(stream.codec_context)
        elif self._pix_fmt.startswith("yuv"):
            _tag_bt709(stream.codec_context)
        return stream

    def _set_size(self, picture: np.ndarray) -> None:
        layout = av.VideoFormat(self._pix_fmt, 16, 16)
        height_unit, width_unit = 16 // layout.chroma_height(16), 16 // layout.chroma_width(16)
        self._shape = picture.shape
        height, width = picture.shape[:2]
        self._padding = ((0, -height % height_unit), (0, -width % width_unit), (0, 0))[: picture.ndim]
        self._stream.height = height + self._padding[0][1]
        self._stream.width = width + self._padding[1][1]

    def _next_pts(self, pts: int | None) -> int:
        following = 0 if self._last_pts is None else self._last_pts + self._step
        if pts is not None and self._first_pts is None:
            self._first_pts = pts - following
        shown = following if pts is None else pts - (self._first_pts or 0)
        if self._last_pts is not None and shown <= self._last_pts:
            raise UsageError(
                f"The times of the pictures for {self.path} step back.", "Give each a time after the one before."
            )
        self._last_pts = shown
        return shown

    def _frame(self, picture: np.ndarray) -> VideoFrame:
        if any(after for _, after in self._padding):
            picture = np.pad(picture, self._padding, mode="edge")
        if self._jpeg_colour:
            return VideoFrame.from_ndarray(jpeg_planes(picture), format="yuv420p")
        grey = "gray" if picture.dtype == np.uint8 else self._pix_fmt
        layout = "rgb24" if picture.ndim == 3 else grey
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=layout)
        if layout == self._pix_fmt:
            return frame
        if not self._pix_fmt.startswith("yuv"):
            return frame.reformat(format=self._pix_fmt)
        return frame.reformat(
            format=self._pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def _finish(self) -> None:
        if self._shape is None:
            raise UsageError(f"No picture was written to {self.path}.", "Write at least one.")
        with self._translated_errors():
            self._container.mux(self._stream.encode(None))
            self._mux_sound(None)
            self._container.close()
        publish(self._temporary, self.path)

    def _mux_sound(self, seconds: Fraction | None) -> None:
        """Write what is heard before ``seconds`` (None: all), so that it lies beside the pictures in the file."""
        if self._copy is None:
            return
        for packet in self._copy.until(seconds):
            try:
                self._container.mux(packet)
            except (av.error.InvalidDataError, av.error.ArgumentError):
                # The packet's own fault, and no reason to have no pictures.
                self._copy.give_up()

    def _discard(self) -> None:
        """Close the file and remove what was not published."""
        with suppress(av.FFmpegError, OSError):  # what failed has been told; this is the clearing up after it
            self._container.close()
        if self._copy is not None:
            self._copy.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            with storage_errors(self.path):
                yield
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self.path} could not be encoded with {self._codec} in {self._pix_fmt}: {error}.",
                "Choose a codec, pixel format and file ending that go together.",
            ) from error


def _tag_bt709(context: av.VideoCodecContext) -> None:
    context.colorspace = Colorspace.ITU709
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709


def _tag_jpeg(context: av.VideoCodecContext) -> None:
    context.colorspace = Colorspace.SMPTE170M
    context.color_range = ColorRange.JPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709


def write_clip(path: Path, pictures: Iterable[np.ndarray], *, fps: Fraction, **settings: Any) -> None:
    """Write all ``pictures`` at a constant rate; ``settings`` are ``ClipWriter``'s."""
    with ClipWriter(path, fps=fps, **settings) as writer:
        for picture in pictures:
            writer.write(picture)
