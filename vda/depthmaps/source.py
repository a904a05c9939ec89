"""Reading depth back, as floats frame by frame, from whatever holds it.

In: the path of a merged folder, of a stack (``.npz``, ``.npy``), of a video of depth, or of a folder with one file
a frame. Out: a ``DepthSource``. No more than a frame is in memory. This file does not know what it is wanted for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from vda.depthmaps.codes import MAX_CODE, DepthRecord, Float32Array
from vda.depthmaps.exr import read_exr
from vda.depthmaps.files import open_stack, read_image, read_png16
from vda.depthmaps.grey import GreyFrames
from vda.depthmaps.levels import levels_of
from vda.errors import InputError, UsageError
from vda.files import DEPTH_RECORD_NAME
from vda.stills.numbering import number_names

_STACK_SUFFIXES: Final = (".npz", ".npy")
_VIDEOS: Final = {"depth.mkv": "mkv", "depth_hevc.mp4": "hevc", "depth_h264.mp4": "h264"}
_FRAME_SUFFIXES: Final = (".png", ".npy", ".npz", ".exr", ".tif", ".tiff")


@dataclass(frozen=True)
class DepthSource:
    """The depth of the frames ``frames`` (indices, in order); ``record`` is the ``depth.json`` beside it, if any.

    ``read_place`` gives the depth at a place in ``frames``. ``times_s`` are the times of the frames in seconds,
    where their names are times; the indices are then no more than their order.
    """

    frames: Sequence[int]
    read_place: Callable[[int], Float32Array]
    record: DepthRecord | None = None
    times_s: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def __contains__(self, frame: int) -> bool:
        return frame in self._places

    def read(self, frame: int) -> Float32Array:
        """Return the depth of frame index ``frame``, float32 ``[height, width]``, NaN where there is none.

        Raises ``InputError`` where there is no such frame, or its file cannot be read.
        """
        if frame not in self._places and self.record is not None and self.record.thinning is not None:
            raise InputError(
                f"There is no depth of frame {frame}, for only some of the video's frames were used.",
                "Compute the video without --stride and --fps.",
            )
        if frame not in self._places:
            raise InputError(
                f"There is no depth of frame {frame}: the frames are {self.frames[0]} to {self.frames[-1]}.",
                "Check that the depth belongs to this video.",
            )
        return self.read_place(self._places[frame])

    @cached_property
    def _places(self) -> dict[int, int]:
        return {frame: place for place, frame in enumerate(self.frames)}


def open_depth(
    path: Path, *, scale: float | None = None, by_order: bool = False, timed: bool = False
) -> DepthSource:
    """Open the depth at ``path``: a merged folder, a stack, or a folder with one file per frame.

    Files other than a merged folder's hold depth times ``scale``: 1000 for a sensor's millimetres. Images of whole
    numbers need it, and their codes 0 and 65535 are no depth (nothing seen, and out of reach). The frame index of
    a file is the number in its name that varies, or with ``by_order`` its place in the order of names; ``timed``
    allows names that are times (see ``number_names``). Raises ``InputError`` where there is no depth or the names
    tell no frames, ``UsageError`` where ``scale`` is missing, not above zero or infinite.
    """
    if scale is not None and not 0 < scale < math.inf:
        raise UsageError(f"A depth scale of {scale} is not possible.", "Give the codes to a metre, such as 1000.")
    if path.is_dir():
        return _open_folder(path, scale, by_order, timed)
    if not path.is_file():
        raise InputError(f"{path} does not exist.", "Check the path.")
    if path.suffix.lower() in _STACK_SUFFIXES:
        record_path = path.with_name(DEPTH_RECORD_NAME)
        return _open_stack(path, DepthRecord.read(record_path) if record_path.is_file() else None, scale)
    if path.name in _VIDEOS:
        return _open_video(path, DepthRecord.read(path.with_name(DEPTH_RECORD_NAME)))
    return _open_files([path], scale, by_order, timed)


def _open_folder(folder: Path, scale: float | None, by_order: bool, timed: bool) -> DepthSource:
    record_path = folder / DEPTH_RECORD_NAME
    record = DepthRecord.read(record_path) if record_path.is_file() else None
    if record is None and folder.name in _IMAGE_FOLDERS and (folder.parent / DEPTH_RECORD_NAME).is_file():
        return _open_other_images(folder, DepthRecord.read(folder.parent / DEPTH_RECORD_NAME))
    if record is None:
        files = _frame_files(folder)
        if len(files) == 1 and files[0].suffix.lower() in _STACK_SUFFIXES:
            return _open_stack(files[0], None, scale)
        return _open_files(files, scale, by_order, timed)
    images = sorted(folder.glob("depth_[0-9]*.png"))
    if images:
        decode = record.quantizer.decode
        return _numbered(images, lambda image: decode(read_png16(image)), record)
    return _open_other_output(folder, record)


def _open_other_output(folder: Path, record: DepthRecord) -> DepthSource:
    """The most exact of what a merge wrote that was not asked for 16-bit images."""
    for name, open_it in _OUTPUTS.items():
        if (place := folder / name).exists():
            return open_it(place, record)
    raise InputError(
        f"{folder} has a {DEPTH_RECORD_NAME} but no depth.", "Merge the scene again with --overwrite."
    )


def _open_other_images(folder: Path, record: DepthRecord) -> DepthSource:
    return _numbered(_frame_files(folder), _IMAGE_FOLDERS[folder.name](record), record)


def _read_levels(record: DepthRecord) -> Callable[[Path], Float32Array]:
    levels = levels_of(record, "png8")
    return lambda file: levels.decode(read_image(file))


def _open_video(path: Path, record: DepthRecord) -> DepthSource:
    codes, form = GreyFrames(path), _VIDEOS[path.name]
    decode = record.quantizer.decode if form == "mkv" else levels_of(record, form).decode
    return DepthSource(record.indices, lambda place: decode(codes.frame(place)), record)


def _open_stack(path: Path, record: DepthRecord | None, scale: float | None) -> DepthSource:
    stack = open_stack(path)
    frames = record.indices if record else range(stack.shape[0])
    return DepthSource(frames, lambda place: _scaled(stack.frame(place), scale), record)


def _open_files(files: list[Path], scale: float | None, by_order: bool, timed: bool) -> DepthSource:
    """One file per frame, of any kind a reader is known for."""
    reader = _READERS.get(files[0].suffix.lower())
    if reader is None:
        raise InputError(f"{files[0]} is not depth.", f"Give a stack or images: {', '.join(_FRAME_SUFFIXES)}.")
    return _numbered(files, partial(reader, scale=scale), by_order=by_order, timed=timed)


def _numbered(
    files: list[Path],
    read: Callable[[Path], Float32Array],
    record: DepthRecord | None = None,
    *,
    by_order: bool = False,
    timed: bool = False,
) -> DepthSource:
    """A source of one file per frame, in the order of frames."""
    numbering = number_names([file.name for file in files], files[0].parent, by_order=by_order, timed=timed)
    ordered = [files[place] for place in numbering.places]
    return DepthSource(numbering.frames, lambda place: read(ordered[place]), record, numbering.times_s)


def _frame_files(folder: Path) -> list[Path]:
    """Return the folder's files of the first suffix that there are any of, by name."""
    for suffix in _FRAME_SUFFIXES:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == suffix and path.name[0] != ".")
        if files:
            return files
    raise InputError(f"{folder} holds no depth.", f"Give a folder with files {', '.join(_FRAME_SUFFIXES)}.")


def _scaled(values: np.ndarray, scale: float | None) -> Float32Array:
    # Of damaged floats some are NaNs that NumPy warns about, and double ones may be beyond single ones.
    with np.errstate(invalid="ignore", over="ignore"):
        depth = np.array(values, np.float32)
        if scale is not None:
            depth /= np.float32(scale)
    depth[~np.isfinite(depth)] = np.nan
    return depth


def _read_image_depth(path: Path, scale: float | None) -> Float32Array:
    image = read_image(path)
    if not np.issubdtype(image.dtype, np.integer):
        return _scaled(image, scale)
    if scale is None:
        raise UsageError(
            f"{path} holds whole numbers, and nothing says how many are a metre.",
            "Give the scale: --truth-scale 1000 for millimetres.",
        )
    depth = _scaled(image, scale)
    depth[(image == 0) | (image == MAX_CODE)] = np.nan
    return depth


def _read_stack_depth(path: Path, scale: float | None) -> Float32Array:
    stack = open_stack(path)
    if stack.shape[0] != 1:
        raise InputError(
            f"{path} holds {stack.shape[0]} frames, not one.", "Give that file alone, not its folder."
        )
    return _scaled(stack.frame(0), scale)


def _read_exr_depth(path: Path, scale: float | None) -> Float32Array:
    return _scaled(read_exr(path), scale)


_READERS: Final[dict[str, Any]] = {
    ".png": _read_image_depth,
    ".tif": _read_image_depth,
    ".tiff": _read_image_depth,
    ".npy": _read_stack_depth,
    ".npz": _read_stack_depth,
    ".exr": _read_exr_depth,
}
# How the images of a merge are read that are in a folder of their own (``merging.outputs`` writes them there).
_IMAGE_FOLDERS: Final[dict[str, Callable[[DepthRecord], Callable[[Path], Float32Array]]]] = {
    "exr": lambda record: partial(_read_exr_depth, scale=None),
    "png8": _read_levels,
}
# Most exact first: floats, then 16 bits, then what is there to be looked at.
_OUTPUTS: Final[dict[str, Callable[[Path, DepthRecord], DepthSource]]] = {
    **{f"depths{suffix}": partial(_open_stack, scale=None) for suffix in _STACK_SUFFIXES},
    "exr": _open_other_images,
    **dict.fromkeys(_VIDEOS, _open_video),
    "png8": _open_other_images,
}
