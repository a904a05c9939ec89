"""Files of depth: PNG images, and NumPy's stacks of floats, frame by frame in either direction.

In: codes, float frames, a path. Out: files that are whole or absent and that other programs read; their content,
never more than a frame in memory. This file does not know what the numbers mean: ``depthsource`` does.
"""

import os
import struct
import threading
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self

import cv2
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from vda.depthmaps.codes import Codes, Float32Array
from vda.errors import InputError
from vda.files import DAMAGED_ARRAYS, atomic_path, damage, storage_errors, write_bytes

# In order of preference. The first two are the classic scripts', the last is what NumPy calls an array without a
# name.
STACK_KEYS: Final = ("depths", "depth", "depth_map", "arr_0")
# A zip's local header has 26 bytes before the lengths of the two fields that follow it.
_LOCAL_LENGTHS: Final = 26
# What NumPy, zipfile and zlib raise over a damaged file.
_BROKEN: Final = DAMAGED_ARRAYS
# The chunk that ends every PNG, with its checksum (PNG specification, 11.2.5).
_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"


def is_whole(path: Path) -> bool:
    """Whether an image is there to its end, as far as its first and last bytes tell; readers see the rest.

    A power cut may leave a name without all of its bytes, where a disk says that it has them and has not.
    """
    try:
        with path.open("rb") as handle:
            if not handle.read(1):
                return False
            handle.seek(-min(len(_PNG_END), path.stat().st_size), os.SEEK_END)
            return path.suffix != ".png" or handle.read() == _PNG_END
    except OSError:
        return False


def write_png16(path: Path, codes: Codes) -> None:
    """Write ``codes`` (uint16 ``[height, width]``) as a greyscale PNG, whole or not at all.

    Raises ``StorageError`` when the disk refuses.
    """
    if codes.dtype != np.uint16 or codes.ndim != 2:
        raise ValueError(f"codes are {codes.dtype} {codes.shape}, not uint16 [height, width]")
    write_bytes(path, encode_grey_png(codes))


def write_png8(path: Path, codes: npt.NDArray[np.uint8]) -> None:
    """Write ``codes`` (uint8 ``[height, width]``) as a greyscale PNG, whole or not at all."""
    write_bytes(path, encode_grey_png(codes))


def encode_grey_png(codes: npt.NDArray[np.unsignedinteger]) -> bytes:
    """Return ``codes`` (uint8 or uint16 ``[height, width]``) as a greyscale PNG (RFC 2083).

    ISA-L compresses smaller than OpenCV's encoder does, at several times its speed, and only as a bare stream:
    hence the few lines around it. Each sample is stored as its difference from the one above it (filter 2). Its
    higher levels are not the same bytes every time (docs/decisions.md).
    """
    height, width = codes.shape
    size = codes.dtype.itemsize
    samples = codes.astype(codes.dtype.newbyteorder(">"), order="C").view(np.uint8).reshape(height, width * size)
    rows = np.empty((height, 1 + width * size), np.uint8)
    rows[:, 0] = 2
    rows[:1, 1:] = samples[:1]
    np.subtract(samples[1:], samples[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8 * size, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", isal_zlib.compress(rows, 0)), (b"IEND", b""))
    chunks = (_png_chunk(name, content) for name, content in parts)
    return b"".join((b"\x89PNG\r\n\x1a\n", *chain.from_iterable(chunks)))


def _png_chunk(name: bytes, content: bytes) -> tuple[bytes, ...]:
    # ISA-L's CRC is zlib's, at twenty times its speed.
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(name))
    return struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)


def read_png16(path: Path) -> Codes:
    """Return the codes of a 16-bit greyscale PNG, or raise ``InputError``."""
    image = read_image(path)
    if image.dtype != np.uint16:
        raise InputError(
            f"{path} has {8 * image.dtype.itemsize} bits a pixel, not 16.",
            "Take the depth images themselves, not a visualization of them.",
        )
    return image


def read_image(path: Path) -> np.ndarray:
    """Return a one-channel image ``[height, width]`` of any depth of pixel, or raise ``InputError``."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.", "Check the path.") from error
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:  # a size beyond its bounds
        image = None
    if image is None:
        raise InputError(f"{path} is damaged, or not an image.", "Remove it and make it again.")
    if image.ndim != 2:
        raise InputError(
            f"{path} is a colour image, not depth.",
            "Take the depth images themselves, not a visualization of them.",
        )
    return image


class NpyWriter:
    """Writes float32 frames into a ``.npy`` without holding them: a context manager.

    ``shape`` is (frames, height, width). The file appears when all frames are written and the context is left
    without an error; ``np.load(path, mmap_mode="r")`` maps it. Raises ``StorageError`` when the disk refuses.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._path = path
        self._shape = shape
        self._written = 0
        self._stack: ExitStack
        self._member: IO[bytes]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._path))
            stack.enter_context(storage_errors(self._path))
            self._member = self._open(temporary, stack)
            header = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
            np.lib.format.write_array_header_1_0(self._member, header)
            self._stack = stack.pop_all()
        return self

    def _open(self, temporary: Path, stack: ExitStack) -> IO[bytes]:
        return stack.enter_context(temporary.open("wb"))

    def write(self, frame: Float32Array) -> None:
        """Append the next frame, ``[height, width]``; NaN where there is no depth."""
        if frame.shape != self._shape[1:]:
            raise ValueError(f"frame {self._written} is {frame.shape}, not {self._shape[1:]}")
        with storage_errors(self._path):
            self._member.write(np.ascontiguousarray(frame, "<f4").data)
        self._written += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            if self._written != self._shape[0]:
                raise ValueError(f"{self._written} of {self._shape[0]} frames were written to {self._path}")


class NpzWriter(NpyWriter):
    """The same into a ``.npz``, as ``key``; it is not compressed, so a reader can map it."""

    def __init__(self, path: Path, shape: tuple[int, int, int], key: str = "depths") -> None:
        super().__init__(path, shape)
        self._key = key

    def _open(self, temporary: Path, stack: ExitStack) -> IO[bytes]:
        archive = stack.enter_context(zipfile.ZipFile(temporary, "w"))
        return stack.enter_context(archive.open(f"{self._key}.npy", "w", force_zip64=True))


@dataclass(frozen=True)
class Stack:
    """Frames in one file: ``shape`` is (frames, height, width), and ``frame`` gives the one at a place."""

    shape: tuple[int, int, int]
    frame: Callable[[int], np.ndarray]


def open_stack(path: Path) -> Stack:
    """Open a ``.npy``, or the depth in a ``.npz`` (key ``depths``, ``depth``, ``depth_map`` or ``arr_0``).

    A single frame ``[height, width]`` is a stack of one. Frames that are not compressed come in any order;
    compressed ones are cheap in order, and going back starts over.
    Raises ``InputError`` where the file is damaged or holds no such array; pickled objects are never read.
    """
    try:
        if path.suffix.lower() == ".npy":
            # Not by np.load: mapping values of no size divides by zero, which ends the process.
            with path.open("rb") as handle:
                header = _read_header(handle)
                return _mapped_stack(path, _map(path, handle.tell(), *header))
        return _open_npz(path)
    except _BROKEN as error:
        raise InputError(
            f"{path} could not be read as a stack of depth: {damage(error)}.", "Make it again."
        ) from error


def _mapped_stack(path: Path, array: np.ndarray) -> Stack:
    shape = _stack_shape(path, array.shape)
    if not (isinstance(array, np.memmap) and array.flags.c_contiguous):
        stacked = array.reshape(shape)
        # A frame of a column-major stack is one too, and writers go through memory row by row.
        return Stack(shape, lambda place: np.ascontiguousarray(stacked[place]))
    dtype, offset, pixels = array.dtype, array.offset, shape[1] * shape[2]

    def frame(place: int) -> np.ndarray:
        # Read, not mapped: pages of a mapped file count as this process's memory, and a video has many.
        try:
            start = offset + place * pixels * dtype.itemsize
            return np.fromfile(path, dtype, pixels, offset=start).reshape(shape[1:])
        except _BROKEN as error:
            raise InputError(
                f"Frame {place} of {path} could not be read: {damage(error)}.", "Make it again."
            ) from error

    return Stack(shape, frame)


def _stack_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    frames, height, width = shape if len(shape) == 3 else (1, *shape) if len(shape) == 2 else (0, 0, 0)
    if not frames * height * width:
        raise InputError(
            f"{path} has the shape {shape}, not (frames, height, width).", "Give depth of one channel."
        )
    return frames, height, width


def _open_npz(path: Path) -> Stack:
    with ExitStack() as opened:
        archive = opened.enter_context(zipfile.ZipFile(path))
        names = archive.namelist()
        name = next((f"{key}.npy" for key in STACK_KEYS if f"{key}.npy" in names), None)
        if name is None:
            raise InputError(
                f"{path} holds none of the arrays {', '.join(STACK_KEYS)}.",
                "Give a stack of depth under one of these names.",
            )
        info = archive.getinfo(name)
        member = opened.enter_context(archive.open(info))
        shape, column_major, dtype = _read_header(member)
        if info.compress_type == zipfile.ZIP_STORED:
            start = _member_offset(path, info) + member.tell()
            return _mapped_stack(path, _map(path, start, shape, column_major, dtype))
        if column_major:
            raise ValueError("it is compressed with the frames interleaved")
        compressed = _compressed_stack(path, member, _stack_shape(path, shape), dtype)
        opened.pop_all()
        return compressed


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, column_major, dtype = read(member)
    if dtype.kind not in "fiu" or any(size < 0 for size in shape):
        raise ValueError(f"its values are {dtype} {shape}")
    return shape, column_major, dtype


def _map(path: Path, start: int, shape: tuple[int, ...], column_major: bool, dtype: np.dtype) -> np.ndarray:
    order: Literal["C", "F"] = "F" if column_major else "C"
    return np.memmap(path, dtype, "r", start, shape, order)


def _member_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin: the archive's own table gives only where its local header does."""
    with path.open("rb") as handle:
        handle.seek(info.header_offset + _LOCAL_LENGTHS)
        name_length, extra_length = struct.unpack("<HH", handle.read(4))
    return info.header_offset + _LOCAL_LENGTHS + 4 + int(name_length) + int(extra_length)


def _compressed_stack(path: Path, member: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype) -> Stack:
    start, size = member.tell(), shape[1] * shape[2] * dtype.itemsize
    one_reader = threading.Lock()

    def frame(place: int) -> np.ndarray:
        try:
            with one_reader:
                member.seek(start + place * size)
                data = member.read(size)
            return np.frombuffer(data, dtype).reshape(shape[1:])
        except _BROKEN as error:
            raise InputError(f"Frame {place} of {path} is damaged: {damage(error)}.", "Make it again.") from error

    return Stack(shape, frame)
