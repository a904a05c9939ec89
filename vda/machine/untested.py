"""Devices that no driver of NVIDIA's lists: Apple's ``mps`` and AMD's cards, which ROCm calls ``cuda``.

In: a word of ``--devices``. Out: the device, if this PyTorch has it. None of them was at hand, so they are taken
only where they are named, and the trial before a scene decides on their precision as on anybody's.
"""

import os

from vda.errors import DeviceError, UsageError
from vda.machine.devices import Device
from vda.records import is_count

_REMEDY = "Install a PyTorch build that has it, or give --devices cpu."


def is_untested(word: str) -> bool:
    """Whether ``word`` means such a device."""
    return word.partition(":")[0] in ("mps", "rocm")


def untested_device(word: str) -> Device:
    """The device that ``word`` (mps, rocm, rocm:1) means; raise ``DeviceError`` where PyTorch has none."""
    kind, _, number = word.partition(":")
    if (number and not is_count(number)) or word.endswith(":") or (kind == "mps" and number):
        raise UsageError(f"'{word}' names no device.", "Give mps, rocm or rocm:1 and so on.")
    return _apple() if kind == "mps" else _amd(int(number or 0))


def _apple() -> Device:
    import torch

    if not torch.backends.mps.is_available():
        raise DeviceError("This PyTorch has no Apple GPU (mps).", _REMEDY)
    return Device("mps", "mps", "Apple GPU")


def _amd(number: int) -> Device:
    import torch

    count = torch.cuda.device_count() if getattr(torch.version, "hip", None) else 0
    if number >= count:
        raise DeviceError(f"There is no rocm:{number}: this PyTorch sees {count} AMD GPUs.", _REMEDY)
    found = torch.cuda.get_device_properties(number)
    # A worker's own list replaces this process's, in whose order cards are counted here.
    listed = [entry.strip() for entry in os.environ.get("HIP_VISIBLE_DEVICES", "").split(",")]
    index = int(listed[number]) if number < len(listed) and is_count(listed[number]) else number
    return Device(f"rocm:{number}", "rocm", found.name, index, found.total_memory)
