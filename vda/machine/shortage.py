"""Whether an error says that memory ran out, a machine's or a GPU's; and what the system says of files.

In: an exception of any library. Out: yes or no, or the two sentences. Every library says it in its own way, and
this is the one place that knows how. It does not know what needed the memory, nor what to do with less.
"""

import os
import resource
from pathlib import Path

from vda.errors import DeviceError, InputError, VdaError
from vda.files import NO_ROOM, storage_error

# Measured with the built-in model and PyTorch for CPUs, on two cores: below, loading fails in the middle.
COMPUTING_BYTES = (1_200_000_000, 400_000_000)
_LEAST_ADDRESS_BYTES, _LEAST_DATA_BYTES = 256_000_000, 160_000_000
# By setrlimit's names: what the shell calls them.
_LIMITS = {resource.RLIMIT_AS: "ulimit -v", resource.RLIMIT_DATA: "ulimit -d"}

# In lower case: PyTorch on CUDA and MPS; its allocator on Linux and on Windows; OpenCV; the operating system and
# FFmpeg; cuBLAS and older cuDNN; cuDNN since version 9; glibc where a library does not fit in any more; threads.
_SAYINGS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "insufficient memory",
    "cannot allocate",
    "alloc_failed",
    "allocation_failed",
    "failed to map segment",
    "can't start new thread",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether ``error``, or what it was translated from, says that there is no memory left."""
    while error is not None:
        if _says_so(error):
            return True
        error = error.__cause__
    return False


def memory_error(error: BaseException) -> DeviceError:
    """Return what a shortage of memory means, and what to do: with the limit of this process, if it has one."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    limits = _limits()
    if not limits:
        return DeviceError(
            f"There is not enough memory ({said}).",
            "Close other programs, or raise the memory limit; what was finished is kept.",
        )
    name = min(limits, key=lambda name: limits[name])
    return _limited(name, limits[name], f"that is not enough ({said})")


def require_memory(address_bytes: int = _LEAST_ADDRESS_BYTES, data_bytes: int = _LEAST_DATA_BYTES) -> None:
    """Raise ``DeviceError`` where this process may use less: libraries would abort, or never come back."""
    least = {"ulimit -v": address_bytes, "ulimit -d": data_bytes}
    for name, limit in _limits().items():
        if limit < least[name]:
            raise _limited(name, limit, f"it takes {least[name] / 1e6:,.0f} MB at the least")


def _limits() -> dict[str, int]:
    """The limits of this process in bytes, by what sets them in a shell; those that there are."""
    limits = {name: resource.getrlimit(kind)[0] for kind, name in _LIMITS.items()}
    return {name: limit for name, limit in limits.items() if limit != resource.RLIM_INFINITY}


def _limited(name: str, limit: int, why: str) -> DeviceError:
    return DeviceError(
        f"This process may use {limit / 1e6:,.0f} MB of memory ({name}), and {why}.",
        f"Raise the limit with '{name} unlimited' and run the same command again; what was finished is kept.",
    )


def _says_so(error: BaseException) -> bool:
    # PyTorch's exception by its name: nothing here has to load PyTorch.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or any(
        saying in str(error).lower() for saying in _SAYINGS
    )


def system_error(error: Exception) -> VdaError | None:
    """What the system said of memory or of a file, in words; None where ``error`` names none."""
    if is_out_of_memory(error):
        return memory_error(error)
    if not isinstance(error, OSError):
        return None
    if error.errno in NO_ROOM:
        return storage_error(Path(error.filename or "A file"), error)
    if error.filename is None:
        return None
    return InputError(
        f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}.", "Check the path and its permissions."
    )
