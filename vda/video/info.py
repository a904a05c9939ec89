"""What a video is, before its frames are counted: a file in, a ``VideoInfo`` out.

Convention for rotation: ``rotation_deg`` is how far the stored picture has to be turned *clockwise* to stand
upright (0, 90, 180 or 270); ``width`` and ``height`` are the upright picture's. Non-square pixels are left as they
are stored, and mirroring is not applied. Of several video streams the one FFmpeg calls best is taken. This file
does not know how many frames decode: see ``index``.
"""

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from vda.errors import VideoError
from vda.files import head_tail_sha256
from vda.video.decoding import OpenVideo


@dataclass(frozen=True)
class VideoInfo:
    """A video stream as its container describes it and its first frame shows it.

    ``size_bytes`` and ``sha256_head_tail`` are its identity (see ``files.head_tail_sha256``); ``path`` and
    ``mtime_ns`` only say where to look. ``fps`` is exact, ``claimed_frames`` the container's own count (0 where it
    has none), which need not be the count of frames that decode.
    """

    path: Path
    size_bytes: int
    sha256_head_tail: str
    mtime_ns: int
    stream_index: int
    width: int
    height: int
    rotation_deg: int
    fps: Fraction
    time_base: Fraction
    codec: str
    pixel_format: str
    claimed_frames: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values: the path as a string, fractions as ``"30000/1001"``."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: str(value) if isinstance(value, Path | Fraction) else value for name, value in fields.items()
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "VideoInfo":
        fractions = {name: Fraction(value[name]) for name in ("fps", "time_base")}
        return cls(**{**value, "path": Path(value["path"]), **fractions})


def _clockwise_rotation(frame: VideoFrame) -> int:
    """The display matrix's angle (counter-clockwise in FFmpeg) as the clockwise quarter turn nearest to it."""
    return round(-frame.rotation / 90) % 4 * 90


def probe(path: Path) -> VideoInfo:
    """Open ``path`` and decode its first frame; raise ``VideoError`` for what is no video with pictures in it."""
    # One thread: of many, each would decode a frame ahead of the first one's coming out.
    with OpenVideo(path, threads=1) as source:
        first = next(source.frames(), None)
        if first is None:
            raise VideoError(
                f"{path} holds a video stream but not one frame of it decodes.",
                "Check that the file is whole, not encrypted, and more than the first segment of a stream.",
            )
        rotation_deg = _clockwise_rotation(first)
        turned = rotation_deg in (90, 270)
        status = path.stat()
        return VideoInfo(
            path=path,
            size_bytes=status.st_size,
            sha256_head_tail=head_tail_sha256(path),
            mtime_ns=status.st_mtime_ns,
            stream_index=source.stream.index,
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            rotation_deg=rotation_deg,
            fps=source.claimed_fps,
            time_base=source.time_base,
            codec=source.stream.codec_context.name,
            pixel_format=first.format.name,
            claimed_frames=source.stream.frames,
        )


def stated_rate(info: VideoInfo) -> Fraction | None:
    """The frame rate that the file itself states; None where ``info.fps`` had to be made up."""
    with OpenVideo(info.path, info.stream_index) as source:
        return source.stated_fps
