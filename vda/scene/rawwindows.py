"""Raw windows on disk: what the network gave for one window, before any alignment. They are the checkpoint.

In: a window as ``network/packing`` packs it. Out: its values to within ``step / 2``. The file is an NPZ with one
member a slot, so that the merger can read single slots; its CRCs tell damage. This file does not know what a scene
is.
"""

import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from isal import isal_zlib
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from vda.errors import DamagedWindowError
from vda.files import DAMAGED_ARRAYS, array_in, atomic_writer, damage, write_bytes
from vda.network.packing import PackedSlot, PackedWindow, Scale, unpacked

# How slots are packed. Windows of other forms are computed again.
_FORM: Final = 2
# A zip's local header has 26 bytes before the lengths of the two fields that follow it (APPNOTE.TXT, 4.3.7), and
# an NPY of version 1 has 8 before that of its header (numpy.lib.format).
_LOCAL_LENGTHS: Final = 26
_NPY_LENGTH: Final = 8


def write_raw_window(
    path: Path, window: PackedWindow, missing: tuple[int, ...] = (), name: str = "", *, in_one: bool = False
) -> None:
    """Write ``window`` to ``path``, whole or not at all; ``in_one`` stream, put together in memory first.

    ``missing``: slots whose frame could not be decoded (the network saw the frame before it instead).
    ``name`` says who the window is, whatever its file is called.
    Raises ``StorageError`` when the disk refuses.
    """
    slots = window.slots()
    members: dict[str, NDArray[Any]] = {f"slot_{number:02d}": slot.payload for number, slot in enumerate(slots)}
    members["form"] = np.array(_FORM, np.int64)
    members["shape"] = np.array(window.shape, np.int64)
    members["offset_step"] = np.array([window.scale.offset, window.scale.step])
    members["corners"] = np.array([slot.corner for slot in slots], np.int64)
    # Of the values as they will be read: the merger finds the range of the scene without opening a slot.
    members["range"] = np.array([window.minima, window.maxima])
    members["missing"] = np.array(missing, np.int64)
    members["name"] = np.array(name)
    if in_one:
        whole = io.BytesIO()
        np.savez(whole, allow_pickle=False, **members)
        return write_bytes(path, whole.getbuffer())
    with atomic_writer(path) as handle:
        np.savez(handle, allow_pickle=False, **members)


@dataclass(frozen=True)
class RawWindow:
    """An open raw window: its figures at once, its slots, which ``members`` of the file hold, when asked for."""

    path: Path
    shape: tuple[int, int, int]
    scale: Scale
    minima: np.ndarray
    maxima: np.ndarray
    missing: tuple[int, ...]
    name: str
    corners: NDArray[np.int64]
    members: tuple[zipfile.ZipInfo, ...]

    @property
    def step(self) -> float:
        """What codes are apart by."""
        return self.scale.step

    @property
    def fingerprint(self) -> str:
        """What tells this window from one of other values, or of another plan; no slot is read for it."""
        said = (self.name, *self.shape, self.scale.offset, self.scale.step, *self.missing)
        sums = (*self.corners.ravel().tolist(), *(member.CRC for member in self.members))
        return hashlib.sha256(repr((said, sums)).encode()).hexdigest()[:16]

    def slot(self, index: int) -> NDArray[np.float32]:
        """Return slot ``index`` as float32 ``[h, w]``, within ``step / 2`` of what the network gave."""
        with _damage_told(self.path), self.path.open("rb") as handle:
            slot = PackedSlot(int(self.corners[index]), _bytes_of(handle, self.members[index]))
            return unpacked(slot, self.scale, *self.shape[1:])


def open_raw_window(path: Path) -> RawWindow:
    """Read the figures of the raw window at ``path``; ``DamagedWindowError`` if it is damaged or absent."""
    with _archive(path) as archive:
        _require_form(path, archive)
        slots, height, width = (int(n) for n in array_in(archive, "shape"))
        offset, step = (float(x) for x in array_in(archive, "offset_step"))
        minima, maxima = array_in(archive, "range")
        missing = tuple(int(slot) for slot in array_in(archive, "missing"))
        name = str(array_in(archive, "name"))
        corners = array_in(archive, "corners")
        if not (np.isfinite([offset, step, *minima, *maxima]).all() and min(slots, height, width) > 0):
            raise ValueError("its figures are no figures of a window")
        assert archive.zip is not None
        members = tuple(archive.zip.getinfo(f"slot_{slot:02d}.npy") for slot in range(slots))
    shape = slots, height, width
    return RawWindow(path, shape, Scale(offset, step), minima, maxima, missing, name, corners, members)


def check_raw_window(path: Path) -> RawWindow:
    """As ``open_raw_window``, after every byte was held against its checksum."""
    with _archive(path) as archive:
        for member in archive:
            array_in(archive, member)
    return open_raw_window(path)


def _require_form(path: Path, archive: Mapping[str, np.ndarray]) -> None:
    # Those of the first form do not state it.
    form = int(array_in(archive, "form")) if "form" in archive else 1
    if "shape" in archive and form != _FORM:
        raise DamagedWindowError(
            path, f"The raw window {path} is of another version of this program: of form {form}, not {_FORM}."
        )


def _bytes_of(handle: IO[bytes], member: zipfile.ZipInfo) -> NDArray[np.uint8]:
    """The bytes of an array, uint8 [n], of a member that is stored as it is, held against its checksum.

    Looking through the archive for it anew, as NumPy does, takes longer than reading it.
    """
    handle.seek(member.header_offset + _LOCAL_LENGTHS)
    handle.seek(sum(struct.unpack("<HH", handle.read(4))), os.SEEK_CUR)
    # No more than there is: damage may claim any size.
    data = handle.read(min(member.file_size, os.fstat(handle.fileno()).st_size))
    if member.compress_type != zipfile.ZIP_STORED or isal_zlib.crc32(data) != member.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {member.filename!r}")
    (header,) = struct.unpack_from("<H", data, _NPY_LENGTH)
    return np.frombuffer(data, np.uint8, offset=_NPY_LENGTH + 2 + header)


@contextmanager
def _archive(path: Path) -> Iterator[NpzFile]:
    """Open the file as NumPy's archive."""
    with _damage_told(path), path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
        yield archive


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Put whatever NumPy, zip or Blosc say of a damaged file in the project's words."""
    try:
        yield
    except DAMAGED_ARRAYS as error:
        raise DamagedWindowError(path, f"The raw window {path} is absent or damaged: {damage(error)}.") from error
