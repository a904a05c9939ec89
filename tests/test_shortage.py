"""What counts as "out of memory": errors that libraries raise here, and the words that they use elsewhere."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from vda.errors import VideoError
from vda.machine.shortage import is_out_of_memory

# More bytes than a processor of 64 bits has addresses for: refused at once on every machine.
TOO_WIDE, TOO_LONG = 1 << 24, 1 << 60


@pytest.mark.parametrize(
    "ask",
    [
        lambda: bytearray(TOO_LONG),
        lambda: np.empty(TOO_LONG, np.uint8),
        lambda: torch.empty(TOO_LONG, dtype=torch.uint8),
        lambda: cv2.resize(np.zeros((1, 1), np.uint8), (TOO_WIDE, TOO_WIDE), interpolation=cv2.INTER_NEAREST),
    ],
    ids=["python", "numpy", "torch", "opencv"],
)
def test_what_libraries_raise_here_is_known(ask: Callable[[], object]) -> None:
    with pytest.raises(Exception) as raised:
        ask()
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("Allocation on device 0 would exceed allowed memory."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.97 GB, other allocations: 96.00 KB)."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_what_they_say_elsewhere_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_a_translated_error_is_what_it_was_before() -> None:
    translated = VideoError("The video could not be encoded.", "Choose another codec.")
    assert not is_out_of_memory(translated)
    translated.__cause__ = MemoryError()
    assert is_out_of_memory(translated)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    ],
)
def test_other_faults_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)
