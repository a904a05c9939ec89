"""A stand-in for the module ``pynvml`` that replays recorded answers.

A recording is a list of cards, each a dict from NVML function to answer; an answer that is an ``Error`` is raised
as the driver would. What a card's recording lacks, the card does not support. Names, constants and exception
classes are those of the real module.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

GIB = 1 << 30
MIB = 1 << 20
_BY_UUID = "nvmlDeviceGetHandleByUUID"


@dataclass(frozen=True)
class Error:
    """``value`` is one of pynvml's NVML_ERROR_ constants; ``mismatch`` stands for a driver older than pynvml."""

    value: int = pynvml.NVML_ERROR_NOT_SUPPORTED
    mismatch: bool = False

    def throw(self) -> None:
        if self.mismatch:
            raise pynvml.NVMLLibraryMismatchError("Unversioned function called")
        raise pynvml.NVMLError(self.value)


@dataclass
class Card:
    """One handle: its answers, its MIG slices, and after how many more questions it falls off the bus."""

    answers: dict[str, Any]
    slices: list["Card"] = field(default_factory=list)
    questions_until_lost: int | None = None

    def answer(self, function: str) -> Any:
        if self.questions_until_lost is not None:
            self.questions_until_lost -= 1
            if self.questions_until_lost < 0:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        answer = self.answers.get(function, Error())
        if isinstance(answer, Error):
            answer.throw()
        return answer


class FakeNvml:
    """Replays ``cards``; ``start``, if given, is the error of nvmlInit."""

    def __init__(self, cards: list[Card], start: Error | None = None) -> None:
        self.cards = cards
        self.start = start

    def __getattr__(self, name: str) -> Any:
        # Anything but the functions (classes, constants) is the real module's.
        if not name.startswith("nvmlDevice"):
            return getattr(pynvml, name)
        return lambda card, *arguments: card.answer(name)

    def nvmlInit(self) -> None:
        if self.start is not None:
            self.start.throw()

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        card = self.cards[index]
        card.answer("nvmlDeviceGetUUID")
        return card

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Card:
        for card in self._handles():
            if card.answers["nvmlDeviceGetUUID"] == uuid:
                card.answer("nvmlDeviceGetUUID")
                return card
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:
        if index >= len(card.slices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return card.slices[index]

    def _handles(self) -> Iterator[Card]:
        for card in self.cards:
            yield card
            yield from card.slices


def process(pid: int, memory: int | None = 500 * MIB) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=memory)


def _memory(total: int, used: int) -> SimpleNamespace:
    return SimpleNamespace(total=total, used=used, free=total - used)


def gtx_1660_ti(number: int, **answers: Any) -> Card:
    """One of several in a box: no MIG, no ECC, and a driver that knows the older names of two questions only."""
    return Card(
        {
            "nvmlDeviceGetUUID": f"GPU-1660000{number}-aaaa-4bbb-8ccc-0123456789ab",
            "nvmlDeviceGetName": "NVIDIA GeForce GTX 1660 Ti",
            "nvmlDeviceGetCudaComputeCapability": (7, 5),
            "nvmlDeviceGetMemoryInfo": _memory(6 * GIB, 300 * MIB),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
            "nvmlDeviceGetTemperatureV": Error(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
            "nvmlDeviceGetTemperature": 83,
            "nvmlDeviceGetPowerUsage": 118_500,
            "nvmlDeviceGetEnforcedPowerLimit": 120_000,
            "nvmlDeviceGetCurrentClocksEventReasons": Error(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x20,
            "nvmlDeviceGetComputeRunningProcesses": Error(mismatch=True),
            "nvmlDeviceGetComputeRunningProcesses_v2": [],
            **answers,
        }
    )


def rtx_2060(**answers: Any) -> Card:
    return Card(
        {
            "nvmlDeviceGetUUID": "GPU-20600000-1111-4222-8333-444455556666",
            "nvmlDeviceGetName": "NVIDIA GeForce RTX 2060",
            "nvmlDeviceGetCudaComputeCapability": (7, 5),
            "nvmlDeviceGetMemoryInfo": _memory(6 * GIB, 1 * GIB),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=12, memory=3),
            "nvmlDeviceGetTemperatureV": 51,
            "nvmlDeviceGetPowerUsage": 34_000,
            "nvmlDeviceGetEnforcedPowerLimit": 160_000,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x1,
            "nvmlDeviceGetComputeRunningProcesses": [],
            **answers,
        }
    )


def a100(**answers: Any) -> Card:
    return Card(
        {
            "nvmlDeviceGetUUID": "GPU-a1000000-1111-4222-8333-777788889999",
            "nvmlDeviceGetName": "NVIDIA A100-SXM4-40GB",
            "nvmlDeviceGetCudaComputeCapability": (8, 0),
            "nvmlDeviceGetMemoryInfo": _memory(40 * GIB, 2 * GIB),
            "nvmlDeviceGetMigMode": [pynvml.NVML_DEVICE_MIG_DISABLE, pynvml.NVML_DEVICE_MIG_DISABLE],
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=99, memory=70),
            "nvmlDeviceGetTemperatureV": 64,
            "nvmlDeviceGetPowerUsage": 390_000,
            "nvmlDeviceGetEnforcedPowerLimit": 400_000,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x4,
            "nvmlDeviceGetComputeRunningProcesses": [],
            **answers,
        }
    )


def a100_with_mig() -> Card:
    """Cut into two slices. As NVML documents: no utilisation with MIG, and a slice knows no heat and no power."""
    card = a100(
        nvmlDeviceGetMigMode=[pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE],
        nvmlDeviceGetMaxMigDeviceCount=7,
        nvmlDeviceGetUtilizationRates=Error(),
    )
    card.slices = [_mig_slice("1b2c3d4e", "3g.20gb", 20 * GIB), _mig_slice("5f6a7b8c", "1g.5gb", 5 * GIB)]
    return card


def _mig_slice(uuid_start: str, profile: str, memory: int) -> Card:
    return Card(
        {
            "nvmlDeviceGetUUID": f"MIG-{uuid_start}-1111-5222-8333-000011112222",
            "nvmlDeviceGetName": f"NVIDIA A100-SXM4-40GB MIG {profile}",
            "nvmlDeviceGetMemoryInfo": _memory(memory, 20 * MIB),
            "nvmlDeviceGetComputeRunningProcesses": [],
        }
    )
