"""Raw windows on disk: what the network gave for one window, before any alignment. They are the checkpoint.

In: a window as ``network/packing`` packs it. Out: its values to within ``step / 2``. The file is an NPZ with one
member a slot, so that the merger can read single slots; its CRCs tell damage. This file does not know what a scene
is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vda.errors import DamagedWindowError
from vda.files import DAMAGED_ARRAYS, array_in, atomic_writer, damage
from vda.network.packing import PackedSlot, PackedWindow, Scale, unpacked

# How slots are packed. Windows of other forms are computed again.
_FORM: Final = 2


def write_raw_window(path: Path, window: PackedWindow, missing: tuple[int, ...] = (), name: str = "") -> None:
    """Write ``window`` to ``path``, whole or not at all.

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
    with atomic_writer(path) as handle:
        np.savez(handle, allow_pickle=False, **members)


@dataclass(frozen=True)
class RawWindow:
    """An open raw window: its figures at once, its slots when asked for."""

    path: Path
    shape: tuple[int, int, int]
    scale: Scale
    minima: np.ndarray
    maxima: np.ndarray
    missing: tuple[int, ...]
    name: str
    corners: NDArray[np.int64]

    @property
    def step(self) -> float:
        """What codes are apart by."""
        return self.scale.step

    def slot(self, index: int) -> NDArray[np.float32]:
        """Return slot ``index`` as float32 ``[h, w]``, within ``step / 2`` of what the network gave."""
        with _archive(self.path) as archive:
            slot = PackedSlot(int(self.corners[index]), array_in(archive, f"slot_{index:02d}"))
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
    shape = slots, height, width
    return RawWindow(path, shape, Scale(offset, step), minima, maxima, missing, name, corners)


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


@contextmanager
def _archive(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Open the file, and put whatever NumPy, zip or Blosc say of a damaged one in the project's words."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            yield archive
    except DAMAGED_ARRAYS as error:
        raise DamagedWindowError(path, f"The raw window {path} is absent or damaged: {damage(error)}.") from error
