"""From the network's output to few bytes, and back: a window's slots, each packed by itself.

In: float32 ``[slots, h, w]`` at the network's size. Out: bytes a slot, of which the same values come back to
within ``step / 2``. Values are quantised to 18 bits over the window's own range: at most an eighth of a 16-bit
step of any range that holds the window's, in a third of float32's size; to 24 where a few values far above the
others take nearly all of that range. NumPy and Blosc only; this file does not know files.

A slot is the second differences of its codes along both axes, the sign in the lowest bit, as bytes: the lowest
byte of each, the next one, and what is above where there is any; each is a Blosc buffer, one behind the other. The
upper left code is no difference, and stands apart: beside it all others are small.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numcodecs import Blosc
from numpy.typing import NDArray

# The sizes of 16, 17, 18 and 20 bits, and those of other codecs, are in docs/decisions.md.
BITS = 18
# As fine as float32 is at the upper end of the range.
FINE_BITS = 24
# Nine tenths of the values have less than a sixteenth of the range: what is near or far by a step is all in these.
SHARE, SQUEEZED = 0.9, 1 / 16
# So many rows and columns of a slot tell it.
LATTICE = 64
# The lowest byte is noise for the most part, which zstd would look at three times as long as LZ4 for a twentieth
# less; what is above is 0 nearly everywhere.
_LOWEST, _ABOVE = "lz4", "zstd"
# So many values are worked on at once: with what lies between they stay in a core's own cache.
_BAND_VALUES = 32_768
_BLOSC = Blosc()
# In bytes (c-blosc, README_HEADER.rst).
_BLOSC_HEADER = 16


@dataclass(frozen=True)
class Scale:
    """What a window's codes mean: ``offset + step * code``; a constant window has step 0, and its codes are 0."""

    offset: float
    step: float

    @classmethod
    def of(cls, depth: NDArray[np.float32], low: float, high: float) -> "Scale":
        """The scale of a window, finite float32 ``[slots, h, w]``, that goes from ``low`` to ``high``."""
        return cls(low, (high - low) / ((1 << _bits_for(depth, low, high)) - 1))

    def codes(self, values: NDArray[np.floating], out: NDArray[np.int32], between: NDArray[np.float64]) -> None:
        """Put the nearest codes of ``values`` into ``out``; ``between`` is room of the same shape."""
        np.copyto(between, values)
        between -= self.offset
        # A division would take four times as long.
        between *= 1 / self.step if self.step > 0 else 0.0
        np.rint(between, out=between)
        np.copyto(out, between, casting="unsafe")

    def values(self, codes: NDArray[np.int32], out: NDArray[np.floating], between: NDArray[np.float64]) -> None:
        """Put what ``codes`` mean into ``out``; ``between`` is room of the same shape."""
        np.multiply(codes, self.step, out=between)
        between += self.offset
        np.copyto(out, between, casting="same_kind")

    def rounded(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """What comes back of each of ``values`` ``[n]``, before it is rounded to float32."""
        codes, back = np.empty(values.shape, np.int32), np.empty(values.shape)
        self.codes(values, codes, back)
        self.values(codes, back, back)
        return back


def _bits_for(depth: NDArray[np.float32], low: float, high: float) -> int:
    rows, columns = (-(-side // LATTICE) for side in depth.shape[1:])
    upper = float(np.quantile(depth[:, ::rows, ::columns], SHARE))
    return FINE_BITS if upper - low < SQUEEZED * (high - low) else BITS


@dataclass(frozen=True)
class WindowCodes:
    """A window quantised where it was computed, to the codes that ``Scale`` makes of its values.

    ``folded`` is uint32 ``[slots, h, w]``: the codes' second differences, the sign in the lowest bit. ``lowest``
    and ``highest`` are each slot's codes at the ends. Where a value is not finite, ``offset`` or ``step`` is not.
    """

    folded: NDArray[np.uint32]
    offset: float
    step: float
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]

    def depth(self) -> NDArray[np.float32]:
        """Return the window as it will be read: float32 ``[slots, h, w]``, NaN where it is not finite."""
        if not np.isfinite([self.offset, self.step]).all():
            return np.full(self.folded.shape, np.nan, np.float32)
        codes = _signed(self.folded.copy())
        for axis in (1, 2):
            np.cumsum(codes, axis=axis, out=codes)
        return np.asarray(self.offset + self.step * codes, np.float32)


class PackedSlot(NamedTuple):
    """A slot's upper left code, and its packed differences, uint8 ``[bytes]``."""

    corner: int
    payload: NDArray[np.uint8]


@dataclass(frozen=True)
class PackedWindow:
    """A packed window. ``slots`` waits for those that are still being packed, and may be called again.

    ``minima`` and ``maxima`` are those of each slot, as it comes back.
    """

    shape: tuple[int, ...]
    scale: Scale
    minima: NDArray[np.float64]
    maxima: NDArray[np.float64]
    slots: Callable[[], list[PackedSlot]]


class SlotEnds(NamedTuple):
    """The least and the largest value of each slot, float32 ``[slots]``; NaN where one of a slot's values is."""

    minima: NDArray[np.float32]
    maxima: NDArray[np.float32]


def slot_ends(window: NDArray[np.float32]) -> SlotEnds:
    """Return the ends of float32 ``[slots, h, w]``, slot by slot: both looks at one find it in a core's cache."""
    ends = [(slot.min(), slot.max()) for slot in window]
    return SlotEnds(*np.array(ends, window.dtype).T)


def packed(
    window: NDArray[np.float32] | WindowCodes, pool: Executor | None = None, ends: SlotEnds | None = None
) -> PackedWindow:
    """Pack a window, finite float32 ``[slots, h, w]`` or its codes: at once, or in ``pool``, without waiting.

    ``ends`` are those of float32, where somebody has looked for them already.
    """
    if isinstance(window, WindowCodes):
        scale = Scale(window.offset, window.step)
        coded = [scale.offset + scale.step * codes.astype(np.float64) for codes in (window.lowest, window.highest)]
        return _begun(window.folded, _packed_codes, scale, coded, pool)
    minima, maxima = ends or slot_ends(window)
    scale = Scale.of(window, float(minima.min()), float(maxima.max()))
    return _begun(
        window, partial(_packed_values, scale), scale, [scale.rounded(minima), scale.rounded(maxima)], pool
    )


def _begun(
    window: NDArray[Any],
    pack: Callable[[NDArray[Any]], PackedSlot],
    scale: Scale,
    ends: list[NDArray[np.float64]],
    pool: Executor | None,
) -> PackedWindow:
    if pool is None:
        done = [pack(slot) for slot in window]
        return PackedWindow(window.shape, scale, ends[0], ends[1], lambda: done)
    begun = [pool.submit(pack, slot) for slot in window]
    return PackedWindow(window.shape, scale, ends[0], ends[1], lambda: [slot.result() for slot in begun])


def _packed_codes(folded: NDArray[np.uint32]) -> PackedSlot:
    corner = int(folded[0, 0]) >> 1

    def bands() -> Iterator[tuple[slice, NDArray[np.uint32]]]:
        for rows in _bands(*folded.shape):
            band = folded[rows].copy()
            if not rows.start:
                band[0, 0] = 0
            yield rows, band

    return _packed_slot(folded.shape, corner, bands())


def _packed_values(scale: Scale, values: NDArray[np.float32]) -> PackedSlot:
    first = np.empty(1, np.int32)
    scale.codes(values[0, :1], first, np.empty(1))
    corner = int(first[0])
    return _packed_slot(values.shape, corner, _folded_differences(scale, values, corner))


def _packed_slot(
    shape: tuple[int, ...], corner: int, bands: Iterable[tuple[slice, NDArray[np.uint32]]]
) -> PackedSlot:
    """``bands`` are rows of folded second differences, which are changed."""
    low, middle = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    high: NDArray[np.uint16] | None = None
    for rows, folded in bands:
        # A cast to fewer bits keeps the lowest.
        np.copyto(low[rows], folded, casting="unsafe")
        folded >>= 8
        np.copyto(middle[rows], folded, casting="unsafe")
        if folded.max() > np.iinfo(np.uint8).max:
            high = np.zeros(shape, np.uint16) if high is None else high
            high[rows] = folded >> 8
    parts = [_encoded(low, _LOWEST), _encoded(middle, _ABOVE)]
    if high is not None:
        parts.append(_encoded(high, _ABOVE))
    return PackedSlot(corner, np.frombuffer(b"".join(parts), np.uint8))


def _encoded(plane: NDArray[Any], codec: str) -> bytes:
    """A plane in one block: its bit planes are long, which packs better and in two thirds of the time."""
    blosc = Blosc(cname=codec, clevel=1, shuffle=Blosc.BITSHUFFLE, blocksize=plane.nbytes)
    return bytes(blosc.encode(plane))


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows of a slot, some 32,000 values at a time."""
    count = max(1, _BAND_VALUES // width)
    for top in range(0, height, count):
        yield slice(top, min(height, top + count))


def _folded_differences(
    scale: Scale, values: NDArray[np.float32], corner: int
) -> Iterator[tuple[slice, NDArray[np.uint32]]]:
    """Bands of rows, and the second differences of their codes, with ``corner`` taken from the first.

    What lies outside is 0. The array that is yielded is used again.
    """
    bands = list(_bands(*values.shape))
    shape = bands[0].stop, values.shape[1]
    between, codes, deltas, signs = np.empty(shape), *(np.empty(shape, np.int32) for _ in range(3))
    # Its first row is the last one of the band above.
    across = np.zeros((shape[0] + 1, shape[1]), np.int32)
    across[0, 0] = corner
    for rows in bands:
        size = rows.stop - rows.start
        band, along, delta, sign = codes[:size], across[1 : size + 1], deltas[:size], signs[:size]
        scale.codes(values[rows], band, between[:size])
        # As one long row, which is faster; where a row begins there is no value before it.
        np.subtract(band.ravel()[1:], band.ravel()[:-1], out=along.ravel()[1:])
        along[:, 0] = band[:, 0]
        np.subtract(along, across[:size], out=delta)
        across[0] = along[-1]
        # An int32 shifted right by 31 is its sign in all bits: 0, -1, 1, -2 become 0, 1, 2, 3.
        np.right_shift(delta, 31, out=sign)
        delta += delta
        delta ^= sign
        yield rows, delta.view(np.uint32)


def unpacked(slot: PackedSlot, scale: Scale, height: int, width: int) -> NDArray[np.float32]:
    """Return a slot, float32 ``[height, width]``; ``ValueError`` where it is none of that size."""
    if not 0 <= slot.corner < 1 << FINE_BITS:
        raise ValueError("a slot begins with no code")
    planes = _planes(slot.payload.tobytes(), height, width)
    values = np.empty((height, width), np.float32)
    # Of the row above: the sums of differences that lead from it to the next one.
    above = np.zeros(width, np.int32)
    above[0] = slot.corner
    for rows in _bands(height, width):
        codes = _unfolded([plane[rows] for plane in planes])
        for row in codes:
            row += above
            above = row
        above = above.copy()
        np.cumsum(codes, axis=1, out=codes)
        scale.values(codes, values[rows], np.empty(codes.shape))
    return values


def _unfolded(planes: list[NDArray[Any]]) -> NDArray[np.int32]:
    """Second differences, of their bytes from the lowest to the highest."""
    folded = planes[0].astype(np.uint32)
    for shift, plane in zip((8, 16), planes[1:], strict=False):
        folded |= plane.astype(np.uint32) << np.uint32(shift)
    return _signed(folded)


def _signed(folded: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Take the sign out of the lowest bit, in place."""
    signs = (folded & np.uint32(1)).view(np.int32)
    folded >>= 1
    deltas = folded.view(np.int32)
    deltas ^= -signs
    return deltas


def _planes(data: bytes, height: int, width: int) -> list[NDArray[Any]]:
    planes: list[NDArray[Any]] = []
    for kind in (np.uint8, np.uint8, np.uint16):
        # The third is left out where it is nothing but 0.
        if len(planes) < 2 or data:
            part, data = _decoded(data, height * width * np.dtype(kind).itemsize)
            planes.append(np.frombuffer(part, kind).reshape(height, width))
    if data:
        raise ValueError("something follows a slot")
    return planes


def _decoded(data: bytes, expected: int) -> tuple[bytes, bytes]:
    """What the first buffer in ``data`` holds, ``expected`` bytes, and what follows it."""
    # Blosc believes its header: the sizes of what comes out, of a block, and of what went in.
    size, _, length = struct.unpack_from("<III", data, 4)
    if size != expected or not _BLOSC_HEADER < length <= len(data):
        raise ValueError("a slot has another size than the window")
    return _BLOSC.decode(data[:length]), data[length:]
