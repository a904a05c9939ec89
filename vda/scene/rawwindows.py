"""Raw windows on disk: what the network gave for one window, before any alignment. They are the checkpoint.

In: float32 ``[32, h, w]`` at the network's size. Out: the same values to within ``step / 2``. The file is an NPZ
with one member a slot, so that the merger can read single slots; its CRCs tell damage. Values are quantised to 18
bits over the window's own range: at most an eighth of a 16-bit step of any range that holds the window's, in a
third of float32's size; to 24 where a few values far above the others take nearly all of that range. This file
does not know what a scene is.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numcodecs import Blosc

from vda.errors import DamagedWindowError
from vda.files import DAMAGED_ARRAYS, array_in, atomic_writer, damage

# The sizes of 16, 17, 18 and 20 bits, and those of other codecs, are in docs/decisions.md.
BITS = 18
# As fine as float32 is at the upper end of the range.
FINE_BITS = 24
# Nine tenths of the values have less than a sixteenth of the range: what is near or far by a step is all in these.
SHARE, SQUEEZED = 0.9, 1 / 16
# So many rows and columns of a slot tell it.
LATTICE = 64
_CODEC = Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE, blocksize=0)


def _compress(codes: np.ndarray) -> np.ndarray:
    """Second differences (along both axes), sign folded into the lowest bit: small numbers, empty bit planes."""
    delta = np.diff(np.diff(codes, axis=1, prepend=0), axis=0, prepend=0)
    # An int32 shifted right by 31 is its sign in all bits: 0, -1, 1, -2 become 0, 1, 2, 3.
    return _packed(((delta << 1) ^ (delta >> 31)).astype(np.uint32))


def _packed(folded: np.ndarray) -> np.ndarray:
    return np.frombuffer(_CODEC.encode(np.ascontiguousarray(folded)), np.uint8)


def _decompress(payload: np.ndarray, height: int, width: int) -> np.ndarray:
    data = payload.tobytes()
    # Blosc believes its header: the sizes of what comes out, of a block, and of what went in.
    size, _, packed = struct.unpack_from("<III", data, 4)
    if (size, packed) != (4 * height * width, len(data)):
        raise ValueError("a slot has another size than the window")
    return _unfolded(np.frombuffer(_CODEC.decode(data), np.uint32).reshape(height, width))


def _unfolded(folded: np.ndarray) -> np.ndarray:
    delta = (folded >> 1).astype(np.int32) ^ -(folded & 1).astype(np.int32)
    return np.cumsum(np.cumsum(delta, axis=0, dtype=np.int32), axis=1, dtype=np.int32)


def write_raw_window(path: Path, depth: np.ndarray, missing: tuple[int, ...] = (), name: str = "") -> None:
    """Write ``depth`` (finite float32 ``[slots, h, w]``) to ``path``, whole or not at all.

    ``missing``: slots whose frame could not be decoded (the network saw the frame before it instead).
    ``name`` says who the window is, whatever its file is called.
    Raises ``StorageError`` when the disk refuses.
    """
    low, high = float(depth.min()), float(depth.max())
    step = (high - low) / ((1 << _bits_for(depth, low, high)) - 1)
    payloads, minima, maxima = [], [], []
    for values in depth:
        # A constant window has no step, and all its codes are 0.
        scaled = (values.astype(np.float64) - low) / step if step > 0 else np.zeros(values.shape)
        codes = np.rint(scaled).astype(np.int32)
        payloads.append(_compress(codes))
        minima.append(low + step * float(codes.min()))
        maxima.append(low + step * float(codes.max()))
    _write(path, depth.shape, payloads, (low, step), (minima, maxima), missing, name)


@dataclass(frozen=True)
class WindowCodes:
    """A window quantised where it was computed, ``offset + step * code``: to the codes of ``write_raw_window``.

    ``folded`` is uint32 ``[slots, h, w]``: the codes' second differences, the sign in the lowest bit. ``lowest``
    and ``highest`` are each slot's codes at the ends. Where a value is not finite, ``offset`` or ``step`` is not.
    """

    folded: np.ndarray
    offset: float
    step: float
    lowest: np.ndarray
    highest: np.ndarray

    def depth(self) -> np.ndarray:
        """Return the window as it will be read: float32 ``[slots, h, w]``, NaN where it is not finite."""
        if not np.isfinite([self.offset, self.step]).all():
            return np.full(self.folded.shape, np.nan, np.float32)
        return np.stack([self.offset + self.step * _unfolded(slot) for slot in self.folded]).astype(np.float32)


def write_window_codes(path: Path, window: WindowCodes, missing: tuple[int, ...] = (), name: str = "") -> None:
    """Write what ``write_raw_window`` does of the same values; the window has to be finite."""
    ends = [window.offset + window.step * codes.astype(np.float64) for codes in (window.lowest, window.highest)]
    payloads = (_packed(slot) for slot in window.folded)
    _write(path, window.folded.shape, payloads, (window.offset, window.step), ends, missing, name)


def _write(
    path: Path,
    shape: tuple[int, ...],
    payloads: Iterable[np.ndarray],
    offset_step: tuple[float, float],
    ends: Sequence[Sequence[float] | np.ndarray],
    missing: tuple[int, ...],
    name: str,
) -> None:
    """``ends`` are of the values as they will be read: so the scene's range is found without opening a slot."""
    members = {f"slot_{slot:02d}": payload for slot, payload in enumerate(payloads)}
    members["shape"] = np.array(shape, np.int64)
    members["offset_step"] = np.array(offset_step)
    members["range"] = np.array(ends)
    members["missing"] = np.array(missing, np.int64)
    members["name"] = np.array(name)
    with atomic_writer(path) as handle:
        np.savez(handle, allow_pickle=False, **members)


def _bits_for(depth: np.ndarray, low: float, high: float) -> int:
    rows, columns = (-(-side // LATTICE) for side in depth.shape[1:])
    upper = float(np.quantile(depth[:, ::rows, ::columns], SHARE))
    return FINE_BITS if upper - low < SQUEEZED * (high - low) else BITS


@dataclass(frozen=True)
class RawWindow:
    """An open raw window: its figures at once, its slots when asked for."""

    path: Path
    shape: tuple[int, int, int]
    offset: float
    step: float
    minima: np.ndarray
    maxima: np.ndarray
    missing: tuple[int, ...]
    name: str

    def slot(self, index: int) -> np.ndarray:
        """Return slot ``index`` as float32 ``[h, w]``, within ``step / 2`` of what the network gave."""
        with _archive(self.path) as archive:
            codes = _decompress(array_in(archive, f"slot_{index:02d}"), *self.shape[1:])
        return (self.offset + self.step * codes).astype(np.float32)


def open_raw_window(path: Path) -> RawWindow:
    """Read the figures of the raw window at ``path``; ``DamagedWindowError`` if it is damaged or absent."""
    with _archive(path) as archive:
        slots, height, width = (int(n) for n in array_in(archive, "shape"))
        offset, step = (float(x) for x in array_in(archive, "offset_step"))
        minima, maxima = array_in(archive, "range")
        missing = tuple(int(slot) for slot in array_in(archive, "missing"))
        name = str(array_in(archive, "name"))
        if not (np.isfinite([offset, step, *minima, *maxima]).all() and min(slots, height, width) > 0):
            raise ValueError("its figures are no figures of a window")
    return RawWindow(path, (slots, height, width), offset, step, minima, maxima, missing, name)


def check_raw_window(path: Path) -> RawWindow:
    """As ``open_raw_window``, after every byte was held against its checksum."""
    with _archive(path) as archive:
        for member in archive:
            array_in(archive, member)
    return open_raw_window(path)


@contextmanager
def _archive(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Open the file, and put whatever NumPy, zip or Blosc say of a damaged one in the project's words."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            yield archive
    except DAMAGED_ARRAYS as error:
        raise DamagedWindowError(path, f"The raw window {path} is absent or damaged: {damage(error)}.") from error
