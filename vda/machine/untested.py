"""Devices that no driver of NVIDIA's lists: Apple's ``mps``, AMD's cards, which ROCm calls ``cuda``, Intel's GPUs.

In: a word of ``--devices``. Out: the device, if this PyTorch, or OpenVINO, has it. None of them was at hand, so
they are taken only where they are named, and the trial before a scene decides on them as on anybody's.
"""

import os
import sys

from vda.errors import DeviceError, UsageError
from vda.machine.devices import Device
from vda.records import is_count

_REMEDY = "Install a PyTorch build that has it, or give --devices cpu."


def is_untested(word: str) -> bool:
    """Whether ``word`` means such a device."""
    return word.partition(":")[0] in ("mps", "rocm", "openvino")


def untested_device(word: str) -> Device:
    """The device that ``word`` (mps, rocm, rocm:1, openvino:GPU) means; ``DeviceError`` where there is none."""
    kind, _, number = word.partition(":")
    if kind == "openvino":
        return _intel(word, number)
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


def intel_gpus() -> list[Device]:
    """The GPUs that OpenVINO lists (GPU, or GPU.0, GPU.1 and so on); none where it is not installed."""
    # Loaded without the package beside it that tells its makers of each import.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        return []
    core = openvino.Core()
    return [
        Device(f"openvino:{name}", "openvino", str(core.get_property(name, "FULL_DEVICE_NAME")))
        for name in core.available_devices
        if name.partition(".")[0] == "GPU"
    ]


def _intel(word: str, name: str) -> Device:
    if name.partition(".")[0] != "GPU":
        raise UsageError(f"'{word}' names no device.", "Give openvino:GPU, or openvino:GPU.1 and so on.")
    listed = intel_gpus()
    # Of several, the first is meant by the bare name, as OpenVINO has it.
    meant = [device for device in listed if device.id in (word, f"{word}.0")]
    if not meant:
        there = ", ".join(device.id for device in listed) or "none"
        raise DeviceError(
            f"OpenVINO lists no {word} (there: {there}).",
            "Install vda-toolkit[openvino] and Intel's GPU driver, or give --devices cpu.",
        )
    return meant[0]
