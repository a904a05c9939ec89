"""Everything that merged depth is written as: images, one per frame, and streams that take all frames in order.

In: a frame's floats and 16-bit codes. Out: files below one folder, each whole or absent. What is where, and which
reader is for it, is in ``depthsource``. This file does not know where depth comes from, nor how a merge resumes.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from vda.depthmaps.codes import Quantizer
from vda.depthmaps.colours import beside, colorize_codes
from vda.depthmaps.exr import ExrStyle, write_exr
from vda.depthmaps.files import NpyWriter, NpzWriter, is_whole, write_png8, write_png16
from vda.depthmaps.levels import Levels
from vda.files import DEPTH_RECORD_NAME, TEMPORARY_PREFIX, depth_image_name
from vda.merging.target import Look, MergedFrame, StereoLook, Target, given, open_clip
from vda.stereo.disparity import Disparities
from vda.stereo.style import STEREO_FILES
from vda.stereo.writing import StereoWriter

Format = Literal[
    "png16", "png8", "exr", "npz", "npy", "mkv", "hevc", "h264", "sbs", "half-sbs", "cross-eyed", "anaglyph"
]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
VISUALIZATION: Final = "depth_visualization.mp4"

_LEVELS: Final[dict[str, tuple[int, int]]] = {
    "png8": (1, 255),
    # 64 levels between "no depth" and the farthest: a lossy encoder does not blur one into the other.
    "hevc": (64, 1023),
    "h264": (64, 1023),
}
# Better than the eye asks for, as they may be read back; still they are to look at, not to measure.
_ENCODERS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "hevc": ("libx265", {"crf": "14", "preset": "fast", "x265-params": "log-level=error"}),
    "h264": ("libx264", {"crf": "10", "preset": "veryfast"}),
}
_STREAMS: Final = {
    "npz": "depths.npz",
    "npy": "depths.npy",
    "mkv": "depth.mkv",
    "hevc": "depth_hevc.mp4",
    "h264": "depth_h264.mp4",
    **STEREO_FILES,
}
# Of the formats those that players know as 3D, and whose H.264 says so.
_SAID_TO_BE_3D: Final = ("sbs", "half-sbs")


@dataclass(frozen=True)
class Outputs:
    """The ``formats`` of one merge; ``look`` where a visualization is wanted, ``stereo`` where two views are."""

    target: Target
    quantizer: Quantizer
    value_range: tuple[float, float]
    formats: tuple[str, ...]
    look: Look | None = None
    exr: ExrStyle = field(default_factory=ExrStyle)
    stereo: StereoLook | None = None
    levels: dict[str, Levels] = field(init=False)

    def __post_init__(self) -> None:
        low, high = self.value_range
        # Metres may have no end where a calibration has none; what is beyond all codes is in the last level then.
        high = high if np.isfinite(high) else max(low, self.quantizer.value_range[1])
        levels = {
            name: Levels.for_range(low, high, *_LEVELS[name], self.quantizer.coding)
            for name in self.formats
            if name in _LEVELS
        }
        object.__setattr__(self, "levels", levels)
        if "exr" in self.formats:
            self.exr.require_room(self.value_range[1])

    def levels_json(self) -> dict[str, dict[str, Any]]:
        return {name: levels.meaning() for name, levels in self.levels.items()}

    @property
    def want_depth(self) -> bool:
        """Whether a stream needs a frame's floats, be its images there or not."""
        return any(name in ("npz", "npy", "hevc", "h264") or self._is_coloured(name) for name in self.formats)

    @property
    def has_codes(self) -> bool:
        """Whether anything of 16 bits is written."""
        return "png16" in self.formats or "mkv" in self.formats

    @property
    def want_codes(self) -> bool:
        """Whether a frame's codes are needed, be its images there or not: to write them, or to count them."""
        return self.has_codes or self.look is not None or self.stereo is not None

    def _is_coloured(self, name: str) -> bool:
        """Whether the format needs the video's frames: these come in order, and so it is written as a stream."""
        return name == "exr" and self.exr.base == "rgb"

    def image_paths(self, index: int) -> dict[str, Path]:
        """The images of a frame, by format."""
        return {
            name: image_path(self.target.folder, name, index)
            for name in self.formats
            if name in IMAGE_FORMATS and not self._is_coloured(name)
        }

    def write_images(self, made: MergedFrame) -> None:
        """Write the images of a frame that are not there whole; called by many threads at once."""
        for name, path in self.image_paths(made.index).items():
            if not is_whole(path):
                IMAGE_FORMATS[name].write(path, made, self)

    def open_streams(self, stack: ExitStack) -> list[Callable[[MergedFrame], None]]:
        """Open every output that takes frames in order; each appears when ``stack`` is left without an error."""
        views = [name for name in self.formats if name in STEREO_FILES]
        others = [name for name in self.formats if name not in IMAGE_FORMATS and name not in views]
        streams = [self._stream(name, stack) for name in others]
        if any(map(self._is_coloured, self.formats)):
            streams.append(self._coloured_exr())
        if self.look is not None:
            streams.append(open_visualization(self.target, self.quantizer, self.look, stack))
        if self.stereo is not None:
            streams.append(open_stereo(self.target, self.quantizer, self.stereo, views, stack))
        return streams

    def _stream(self, name: str, stack: ExitStack) -> Callable[[MergedFrame], None]:
        if name in ("npz", "npy"):
            writer = NpzWriter if name == "npz" else NpyWriter
            shape = (len(self.target.frames), *self.target.shape)
            array = stack.enter_context(writer(self.target.folder / _STREAMS[name], shape))
            return lambda made: array.write(given(made.depth))
        if name == "mkv":
            clip = open_clip(self.target, _STREAMS[name], stack, codec="ffv1", pix_fmt="gray16le")
            return lambda made: clip.write(given(made.codes), self.target.time_of(made.index))
        codec, options = _ENCODERS[name]
        small = open_clip(self.target, _STREAMS[name], stack, codec=codec, pix_fmt="gray10le", options=options)
        levels = self.levels[name]
        return lambda made: small.write(levels.encode(given(made.depth)), self.target.time_of(made.index))

    def _coloured_exr(self) -> Callable[[MergedFrame], None]:
        assert self.target.pictures is not None
        pictures = self.target.pictures()

        def write(made: MergedFrame) -> None:
            path, picture = image_path(self.target.folder, "exr", made.index), next(pictures)
            if not path.exists():
                write_exr(path, given(made.depth), self.exr, picture)

        return write


@dataclass(frozen=True)
class ImageFormat:
    """One file per frame: the ``folder`` below the depth's own that they are in, their ``suffix``, the writer."""

    folder: str
    suffix: str
    write: Callable[[Path, MergedFrame, Outputs], None]


def _write_png16(path: Path, made: MergedFrame, outputs: Outputs) -> None:
    write_png16(path, given(made.codes))


def _write_png8(path: Path, made: MergedFrame, outputs: Outputs) -> None:
    write_png8(path, outputs.levels["png8"].encode(given(made.depth)).astype(np.uint8))


def _write_exr(path: Path, made: MergedFrame, outputs: Outputs) -> None:
    write_exr(path, given(made.depth), outputs.exr)


# The 16-bit images are the depth itself; ``depthmaps.source`` knows the other folders by the same names.
IMAGE_FORMATS: Final[dict[str, ImageFormat]] = {
    "png16": ImageFormat("", "png", _write_png16),
    "png8": ImageFormat("png8", "png", _write_png8),
    "exr": ImageFormat("exr", "exr", _write_exr),
}


def written_files(folder: Path, formats: Collection[str] = FORMATS) -> list[Path]:
    """What merges, finished or not, have left in ``folder``; files that others keep there are none of it.

    Of images and streams, those of ``formats`` alone.
    """
    forms = {name: form for name, form in IMAGE_FORMATS.items() if name in formats}
    images = [
        path for form in forms.values() for path in (folder / form.folder).glob(f"depth_[0-9]*.{form.suffix}")
    ]
    unfinished = [
        path for form in IMAGE_FORMATS.values() for path in (folder / form.folder).glob(f"{TEMPORARY_PREFIX}*")
    ]
    streams = [file for name, file in _STREAMS.items() if name in formats]
    others = [folder / name for name in (*streams, VISUALIZATION, DEPTH_RECORD_NAME)]
    return [path for path in (*images, *unfinished, *others) if path.is_file()]


def is_there(folder: Path, name: str) -> bool:
    """Whether the format that a record names is still in ``folder``, as far as one look tells."""
    return name not in _STREAMS or (folder / _STREAMS[name]).is_file()


def image_path(folder: Path, name: str, index: int) -> Path:
    """Where a frame's image is."""
    form = IMAGE_FORMATS[name]
    return folder / form.folder / depth_image_name(index, form.suffix)


def open_visualization(
    target: Target, quantizer: Quantizer, look: Look, stack: ExitStack
) -> Callable[[MergedFrame], None]:
    clip = open_clip(target, VISUALIZATION, stack)
    pictures = target.pictures() if look.side_by_side and target.pictures else None

    def show(made: MergedFrame) -> None:
        colours = colorize_codes(given(made.codes), quantizer, look.colormap, look.shown)
        picture = colours if pictures is None else beside(next(pictures), colours)
        clip.write(picture, target.time_of(made.index))

    return show


def open_stereo(
    target: Target, quantizer: Quantizer, look: StereoLook, formats: Sequence[str], stack: ExitStack
) -> Callable[[MergedFrame], None]:
    """Open the videos of ``formats``, all of one pair of views."""
    assert target.pictures is not None and target.framing_of is not None
    width = target.shape[1]
    sound = None if target.sound is None or target.sound.problem else target.sound
    clips = {
        name: open_clip(target, STEREO_FILES[name], stack, side_by_side=name in _SAID_TO_BE_3D, sound=sound)
        for name in formats
    }
    disparities = Disparities.of(quantizer, look.shown, look.style, width, look.radius)
    writer = stack.enter_context(StereoWriter(clips, target.pictures(), disparities, look.style))

    framing_of = target.framing_of

    def show(made: MergedFrame) -> None:
        codes = None if made.missing else given(made.codes)
        writer.write(codes, framing_of(made.index), target.time_of(made.index))

    return show
