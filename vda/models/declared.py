"""What a pickled checkpoint says of itself, read from its headers alone, before anything in it is unpacked.

In: a ``.pth`` file. Out: nothing, or ``WeightsError``. PyTorch makes what a file asks for: a tensor expanded to
any size, a sparse one, a storage larger than what there is of it, a gigabyte unpacked from a megabyte. A network's
checkpoint has plain tensors that lie in the file, each number once. This file does not know the names of models.

The archive is what ``torch.save`` has written since PyTorch 1.6: a zip, not compressed, of ``data.pkl`` and one
record per storage (torch/serialization.py).
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vda.errors import WeightsError

REMEDY = "Give a .pth state dict or a .safetensors file; a file that broke off must be fetched again."
NOT_PLAIN = "it is not a pickle of plain tensors, and nothing else is ever unpickled"
# The largest published model has 130 kB, for 800 tensors.
_MOST_PICKLE_BYTES = 16 << 20
# Tensors may share what is stored, as tied weights do; a thousand views of one storage are an attack.
_MOST_SHARING = 4
_ITEM_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    key: str
    items: int
    item_bytes: int


@dataclass(frozen=True)
class _Declared:
    """A tensor as the pickle describes it: sizes and strides in items of its storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.size) * self.storage.item_bytes

    def is_inside(self) -> bool:
        """Whether each of its numbers is one of the storage's own."""
        numbers = (self.storage.items, self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or not all(type(one) is int and one >= 0 for one in numbers):
            return False
        if 0 in self.size:
            return True
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        return last < self.storage.items and math.prod(self.size) <= self.storage.items


def require_plain(path: Path) -> None:
    """Raise ``WeightsError`` unless ``path`` is a pickled checkpoint of plain tensors that lie in the file.

    Nothing is imported or made of what the pickle asks for, and no tensor is read. Other entries than tensors are
    not this function's business.
    """
    try:
        problem = _problem(path)
    # A file of anybody's making can raise nearly anything while it is parsed.
    except Exception as error:
        problem = _reason(error)
    if problem is not None:
        raise WeightsError(f"{path} could not be read as a checkpoint: {problem}.", REMEDY)


def _problem(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return _unzipped(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        sizes = {member.filename: member.file_size for member in members}
        if len(sizes) < len(members):
            return "two of its parts have the same name"
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            return "its parts are compressed, which those of a checkpoint never are"
        if sum(sizes.values()) > path.stat().st_size:
            return "its parts are larger together than the file"
        pickles = [name for name in sizes if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            return "it is a zip, and not one of PyTorch's"
        if sizes[pickles[0]] > _MOST_PICKLE_BYTES:
            return f"its list of tensors has {sizes[pickles[0]] / 1e6:.0f} MB, and is none"
        reader = _Describing(archive.read(pickles[0]))
    folder = pickles[0].removesuffix("data.pkl")
    reader.load()
    return _too_much(reader.tensors, {key: sizes.get(f"{folder}data/{key}", 0) for key in reader.keys})


def _unzipped(path: Path) -> str:
    """What else it is: formats of PyTorch before 1.6 are pickles and tar files whose sizes nothing declares."""
    with path.open("rb") as handle:
        start = handle.read(512)
    if not start:
        return "it is empty"
    if start[257:262] == b"ustar" or start[:1] == b"\x80":
        return f"{NOT_PLAIN}; what PyTorch before 1.6 saved has to be saved again, by a newer one"
    return "it is neither of PyTorch's nor of safetensors' format"


def _too_much(tensors: Sequence[_Declared], stored: dict[str, int]) -> str | None:
    """Say what is wrong with the sizes, given the bytes that each storage has in the file."""
    for tensor in tensors:
        storage = tensor.storage
        if not tensor.is_inside() or storage.items * storage.item_bytes > stored[storage.key]:
            return f"a tensor of {'x'.join(map(str, tensor.size)) or 1} does not lie in the file"
    asked, there = sum(tensor.bytes for tensor in tensors), sum(stored.values())
    if asked > _MOST_SHARING * there:
        return f"its tensors would take {asked / 1e9:.2f} GB, and the file holds {there / 1e9:.2f} GB"
    return None


class _Describing(pickle._Unpickler):
    """Unpickles descriptions instead of tensors. In Python, for C's reserves whatever a memo index asks for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.tensors: list[_Declared] = []
        self.keys: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _parameter
        if module == "torch" and name in _ITEM_BYTES:
            return name
        raise pickle.UnpicklingError(NOT_PLAIN)

    def persistent_load(self, pid: Any) -> _Storage:
        word, kind, key, _, items = pid
        if word != "storage" or not isinstance(key, str):
            raise pickle.UnpicklingError(NOT_PLAIN)
        self.keys.add(key)
        return _Storage(key, items, _ITEM_BYTES[kind])

    def _tensor(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Declared:
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError(NOT_PLAIN)
        declared = _Declared(storage, offset, tuple(size), tuple(stride))
        self.tensors.append(declared)
        return declared


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    return str(error) if str(error) == NOT_PLAIN else f"it is damaged ({type(error).__name__})"
