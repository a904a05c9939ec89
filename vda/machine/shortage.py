"""Whether an error says that memory ran out, a machine's or a GPU's.

In: an exception of any library. Out: yes or no. Every library says it in its own way, and this is the one place
that knows how. It does not know what needed the memory, nor what to do with less.
"""

# In lower case: PyTorch on CUDA and MPS; its allocator on Linux and on Windows; OpenCV; the operating system and
# FFmpeg; cuBLAS and older cuDNN; cuDNN since version 9.
_SAYINGS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "insufficient memory",
    "cannot allocate",
    "alloc_failed",
    "allocation_failed",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether ``error``, or what it was translated from, says that there is no memory left."""
    while error is not None:
        if _says_so(error):
            return True
        error = error.__cause__
    return False


def _says_so(error: BaseException) -> bool:
    # PyTorch's exception by its name: nothing here has to load PyTorch.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or any(
        saying in str(error).lower() for saying in _SAYINGS
    )
