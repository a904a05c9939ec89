"""What a video is, before its frames are counted: a file in, a ``VideoInfo`` out.

Convention for orientation: a stored picture is mirrored, left with right, where ``mirrored`` says so, and then
turned *clockwise* by ``rotation_deg`` (0, 90, 180 or 270); ``width``, ``height`` and ``pixel_aspect`` are the
upright picture's. Pixels that are not square are left as they are stored. Of several video streams the one FFmpeg
calls best is taken. This file does not know how many frames decode: see ``index``.
"""

import dataclasses
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from av.video.frame import VideoFrame

from vda.errors import UsageError, VideoError
from vda.files import head_tail_sha256
from vda.picture.colours import Colours, is_dolby_vision_5, settle_colours
from vda.picture.orientation import Orientation
from vda.picture.signal import SignalChoice
from vda.picture.upright import stated_orientation
from vda.records import Count, Index, Rate, Side, Within, filled
from vda.stills.naming import base_of, find_images, is_sequence
from vda.video.decoding import OpenVideo
from vda.video.sequence import ASSUMED_FPS, identity_of, look_at

# Standards go from 10:11 to 8:3, and cinema lenses squeeze by 2; what is far from that is an accident.
_MOST_UNEVEN = 10
_NOT_THE_SAME = "Put that video back, say where it is now (vda relink SCENE VIDEO), or begin anew: --restart."


@dataclass(frozen=True)
class VideoInfo:
    """A video stream as its container describes it and its first frame shows it.

    ``size_bytes`` and ``sha256_head_tail`` are its identity (see ``files.head_tail_sha256``); ``path`` and
    ``mtime_ns`` only say where to look. ``fps`` is exact, ``claimed_frames`` the container's own count (0 where it
    has none), which need not be the count of frames that decode. ``pixel_aspect`` is a pixel's width divided by
    its height; ``interlaced`` says what the first frame says. How pictures are to be taken is part of it, so that
    all who read a scene's video see the same ones: ``choice`` is what was asked, ``colours`` what follows from it.
    ``notes`` say in whole sentences what is unusual about the pictures. Of images (``is_sequence``) ``path`` is
    what names them all, and the identity is that of all files.
    """

    path: Path
    size_bytes: Count
    sha256_head_tail: str
    mtime_ns: int
    stream_index: Index
    width: Side
    height: Side
    rotation_deg: Annotated[int, Within(0, 270)]
    mirrored: bool
    pixel_aspect: Annotated[Fraction, Within(Fraction(1, _MOST_UNEVEN), _MOST_UNEVEN)]
    fps: Rate
    time_base: Rate
    codec: str
    pixel_format: str
    claimed_frames: Count
    interlaced: bool
    choice: SignalChoice
    colours: Colours
    notes: tuple[str, ...]
    is_sequence: bool = False

    @property
    def orientation(self) -> Orientation:
        return Orientation(self.rotation_deg, self.mirrored)

    @property
    def shown_size(self) -> tuple[float, float]:
        """(width, height) of the upright picture as it is displayed, in units of a pixel's height."""
        return self.width * float(self.pixel_aspect), float(self.height)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values: the path as a string, fractions as ``"30000/1001"``."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: _as_json(value) for name, value in fields.items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "VideoInfo":
        """The fields of what ``to_json`` gave; raise ``records.ShapeError`` for anything else."""
        info: VideoInfo = filled(cls, value)
        return info


def _as_json(value: Any) -> Any:
    if isinstance(value, SignalChoice | Colours):
        return asdict(value)
    return str(value) if isinstance(value, Path | Fraction) else value


_AS_STATED = SignalChoice()


def probe(path: Path, choice: SignalChoice = _AS_STATED, *, fps: Fraction | None = None) -> VideoInfo:
    """Open ``path`` and decode its first frame; raise ``VideoError`` for what is no video with pictures in it.

    ``path`` may name images as well (``stills.naming``); ``fps`` is the rate of these, which have no other clock
    than, now and then, their names'. A container has its own, and ``fps`` says nothing of it. ``choice`` says how
    the pictures of a container are to be taken; images are in RGB, and whole.
    """
    return _probe_images(path, choice, fps) if is_sequence(path) else _probe_container(path, choice)


def identity(path: Path) -> str:
    """``sha256_head_tail`` of the video, without decoding it. Raises ``OSError`` or ``VideoError``."""
    return identity_of(find_images(path).paths()).sha256 if is_sequence(path) else head_tail_sha256(path)


def _probe_images(path: Path, choice: SignalChoice, fps: Fraction | None) -> VideoInfo:
    if choice != _AS_STATED:
        raise UsageError(
            "Images are whole, and their colours are RGB: --deinterlace and --color are for video.",
            "Leave these options out.",
        )
    facts = look_at(path)
    rate = fps or facts.fps or ASSUMED_FPS
    assumed = f"Nothing states the rate of the images: {ASSUMED_FPS} a second are assumed; --fps says another."
    return VideoInfo(
        path=path,
        size_bytes=facts.identity.size_bytes,
        sha256_head_tail=facts.identity.sha256,
        mtime_ns=facts.identity.mtime_ns,
        stream_index=0,
        width=facts.width,
        height=facts.height,
        rotation_deg=0,
        mirrored=False,
        pixel_aspect=Fraction(1),
        fps=rate,
        time_base=1 / rate,
        codec=facts.kind,
        pixel_format="rgb24",
        claimed_frames=facts.count,
        interlaced=False,
        choice=choice,
        colours=Colours(),
        notes=() if fps or facts.fps or facts.count == 1 else (assumed,),
        is_sequence=True,
    )


def _probe_container(path: Path, choice: SignalChoice) -> VideoInfo:
    # One thread: of many, each would decode a frame ahead of the first one's coming out.
    with OpenVideo(path, threads=1) as source:
        first = next(source.frames(), None)
        if first is None:
            raise VideoError(
                f"{path} holds a video stream but not one frame of it decodes.",
                "Check that the file is whole, not encrypted, and more than the first segment of a stream.",
            )
        orientation, turned = stated_orientation(first)
        width, height = orientation.shown_size(first.width, first.height)
        aspect = _stated_aspect(source)
        aspect = 1 / aspect if orientation.swaps_sides else aspect
        colours = settle_colours(first, choice)
        notes = (turned, _shape_note(width, height, aspect), _colour_note(source, first, colours))
        status = path.stat()
        return VideoInfo(
            path=path,
            size_bytes=status.st_size,
            sha256_head_tail=head_tail_sha256(path),
            mtime_ns=status.st_mtime_ns,
            stream_index=source.stream.index,
            width=width,
            height=height,
            rotation_deg=orientation.rotation_deg,
            mirrored=orientation.mirrored,
            pixel_aspect=aspect,
            fps=source.claimed_fps,
            time_base=source.time_base,
            codec=source.stream.codec_context.name,
            pixel_format=first.format.name,
            claimed_frames=source.stream.frames,
            interlaced=first.interlaced_frame,
            choice=choice,
            colours=colours,
            notes=tuple(note for note in notes if note),
        )


def _stated_aspect(source: OpenVideo) -> Fraction:
    """The stored pixel's width by its height, of the container or the codec; 1 where nothing sane is stated."""
    stated = source.stream.sample_aspect_ratio
    return Fraction(stated) if stated and 1 / _MOST_UNEVEN <= stated <= _MOST_UNEVEN else Fraction(1)


def _shape_note(width: int, height: int, aspect: Fraction) -> str | None:
    if aspect == 1:
        return None
    return (
        f"The pixels are not square ({aspect.numerator}:{aspect.denominator}): {width}x{height} is displayed as "
        f"{round(width * aspect)}x{height}. Depth keeps the pixels as they are stored."
    )


def _colour_note(source: OpenVideo, first: VideoFrame, colours: Colours) -> str | None:
    if is_dolby_vision_5(first, source.stream.codec_context.codec_tag):
        return (
            "This is Dolby Vision, profile 5: its colours are of a kind of their own and come out wrong, green "
            "and purple. Depth is computed of them as they are; for true colours, convert the video first, for "
            "example with FFmpeg's filter libplacebo."
        )
    if not colours.is_high_range:
        return None
    return (
        f"High dynamic range ({colours.transfer.upper()}, up to {colours.peak_nits} cd/m2): brought to standard "
        "range for the network and in every picture shown."
    )


def stated_rate(info: VideoInfo) -> Fraction | None:
    """The frame rate that the file itself states; None where ``info.fps`` had to be made up."""
    if info.is_sequence:
        return info.fps
    with OpenVideo(info.path, info.stream_index) as source:
        return source.stated_fps


def is_same(info: VideoInfo, path: Path) -> bool:
    """Whether ``path`` is the video that ``info`` was made of, wherever it lies now."""
    try:
        return _identity(info, path) == (info.size_bytes, info.sha256_head_tail)
    except (OSError, VideoError):
        return False


def require_same(info: VideoInfo) -> None:
    """Raise ``VideoError`` unless what is at ``info.path`` is the video that ``info`` was made of."""
    try:
        size, found = _identity(info, info.path)
    except FileNotFoundError as error:
        raise VideoError(
            f"There is no file {info.path} any more.",
            "Put the video back, or say where it is now: vda relink SCENE VIDEO.",
        ) from error
    except OSError as error:
        raise VideoError(f"{info.path} could not be read: {error.strerror}.", "Check its permissions.") from error
    if size != info.size_bytes:
        change = "grown" if size > info.size_bytes else "shrunk"
        raise VideoError(
            f"{info.path} has {change} since its frames were counted: from {info.size_bytes} bytes to {size}.",
            _NOT_THE_SAME,
        )
    if found != info.sha256_head_tail:
        raise VideoError(
            f"{info.path} is another video than the one whose frames were counted, though of the same size.",
            _NOT_THE_SAME,
        )


def _identity(info: VideoInfo, path: Path) -> tuple[int, str]:
    """Bytes and hash. All that the system tells of changes counts: setting a copy's time back moves it as well."""
    status = (base_of(path) if info.is_sequence else path).stat()
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return _of_images(path, state) if info.is_sequence else (status.st_size, _of_file(path, state))


@lru_cache(maxsize=64)
def _of_file(path: Path, state: tuple[int, ...]) -> str:
    return head_tail_sha256(path)


@lru_cache(maxsize=64)
def _of_images(path: Path, state: tuple[int, ...]) -> tuple[int, str]:
    # The folder tells of files that come and go; each file's contents are held against a checksum when it is read.
    found = identity_of(find_images(path).paths())
    return found.size_bytes, found.sha256
