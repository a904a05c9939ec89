"""What devices there are and how they are: GPUs through NVML, the CPU as a device of its own.

In: the ``pynvml`` module (or a stand-in) and the environment. Out: ``Device`` (what a device is, for good) and
``DeviceReading`` (how it is now). This file knows neither CUDA nor torch, and does not know which devices somebody
asked for (``choice``). A machine without an NVIDIA driver is a normal machine with no GPUs.

GPUs are named by UUID. The numbers of NVML and ``nvidia-smi`` follow the PCI bus, those of CUDA put the fastest
card first unless told otherwise, and both move when a card falls off the bus.
"""

import getpass
import importlib
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import psutil


@dataclass(frozen=True)
class Device:
    """One place where a worker runs.

    ``id`` is a GPU's or MIG slice's UUID, "cpu", or "cpu:1" for a second worker on the CPU. ``index`` is the
    number that ``nvidia-smi`` shows (of the card, for a MIG slice): for people only. ``card_id`` is the UUID of
    the physical card: another than ``id`` for a MIG slice alone. ``has_bf16`` is asked of a CPU: whether it has
    units that compute in bfloat16, without which that is slower than float32.
    """

    id: str
    kind: Literal["cuda", "cpu", "mps", "rocm", "openvino"]
    name: str
    index: int | None = None
    memory_total_bytes: int | None = None
    capability: tuple[int, int] | None = None
    card_id: str | None = None
    has_bf16: bool = False

    @property
    def label(self) -> str:
        """What to call it in front of people: "GPU 0 (NVIDIA A100-SXM4-40GB)", "cpu:1"."""
        if self.kind in ("mps", "rocm", "openvino"):
            return f"{self.id} ({self.name})"
        if self.kind == "cuda" and self.index is None:
            return self.name
        return self.id if self.kind == "cpu" else f"GPU {self.index} ({self.name})"

    def environment(self) -> dict[str, str]:
        """The variables a worker is started with, so that it sees this device and no other."""
        if self.kind == "mps":
            # What PyTorch has no code for there, the CPU does.
            return {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}
        if self.kind == "rocm":
            return {"HIP_VISIBLE_DEVICES": str(self.index)}
        return {"CUDA_VISIBLE_DEVICES": self.id} if self.kind == "cuda" else {}


@dataclass(frozen=True)
class DeviceProcess:
    """A process that computes on a device. ``user`` is None where the process table does not show it."""

    pid: int
    user: str | None
    is_ours: bool
    memory_bytes: int | None


@dataclass(frozen=True)
class DeviceReading:
    """How a device is at this moment; None is what it does not tell.

    ``problem`` says why it cannot be used at all, in words that follow its name: "has fallen off the bus".
    """

    utilisation_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    throttling: tuple[str, ...] = ()
    processes: tuple[DeviceProcess, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Survey:
    """The GPUs that answer, and a sentence about each that does not, or about the driver."""

    devices: tuple[Device, ...]
    problems: tuple[str, ...]


# Reasons that cost speed and that somebody can do something about. An idle clock or one set by hand is no fault.
_THROTTLE_REASONS = {
    "SwPowerCap": "power limit",
    "HwSlowdown": "hardware slowdown",
    "SwThermalSlowdown": "heat",
    "HwThermalSlowdown": "heat (hardware)",
    "HwPowerBrakeSlowdown": "power supply",
}


class _GpuGoneError(Exception):
    """A card stopped answering while it was asked; the message completes "GPU 0 ...". Never leaves this file."""


class Inventory:
    """Asks the driver. ``nvml`` is None where there is no NVML; ``owner_of`` gives a process' user by its pid."""

    def __init__(
        self, nvml: Any, environment: Mapping[str, str], *, user: str, owner_of: Callable[[int], str | None]
    ) -> None:
        self.environment = environment
        self.driver_problem: str | None = None
        self._user = user
        self._owner_of = owner_of
        self._nvml: Any = nvml if nvml is not None and self._starts(nvml) else None

    @classmethod
    def of_this_machine(cls) -> "Inventory":
        return cls(_import_nvml(), os.environ, user=_own_user(), owner_of=_process_owner)

    def list_devices(self) -> list[Device]:
        """The GPUs (MIG slices in place of a card cut into them) in the order of ``nvidia-smi``."""
        return list(self.survey().devices)

    def survey(self) -> Survey:
        """Ask every card what it is. A card that does not answer becomes a sentence, never an exception."""
        devices: list[Device] = []
        problems = [f"The NVIDIA driver does not answer: {self.driver_problem}."] if self.driver_problem else []
        for index in range(self._ask("nvmlDeviceGetCount") or 0):
            try:
                devices += self._card(index)
            except _GpuGoneError as gone:
                problems.append(f"GPU {index} {gone}.")
        return Survey(tuple(devices), tuple(problems))

    def reading(self, device: Device) -> DeviceReading:
        """How ``device`` is now. What it cannot tell is None; a lost card is a reading with a ``problem``."""
        if device.kind == "cpu":
            return _cpu_reading()
        if device.kind in ("mps", "rocm", "openvino"):
            return DeviceReading(memory_total_bytes=device.memory_total_bytes)
        try:
            return self._gpu_reading(device)
        except _GpuGoneError as gone:
            return DeviceReading(problem=str(gone))

    def _starts(self, nvml: Any) -> bool:
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            if error.value not in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
                self.driver_problem = str(error)
            return False
        return True

    def _ask(self, function: str, *arguments: Any, older: str | None = None) -> Any:
        """Call an NVML function; None where this card or driver cannot tell.

        ``older`` is the same question as drivers know it that lack ``function``.
        """
        nvml = self._nvml
        if nvml is None:
            return None
        try:
            return getattr(nvml, function)(*arguments)
        except (nvml.NVMLError_FunctionNotFound, nvml.NVMLLibraryMismatchError):
            return self._ask(older, *arguments) if older else None
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_GPU_IS_LOST:
                raise _GpuGoneError("has fallen off the bus (a restart may bring it back)") from error
            if error.value == nvml.NVML_ERROR_RESET_REQUIRED:
                raise _GpuGoneError("needs a reset (nvidia-smi --gpu-reset)") from error
            return None

    def _card(self, index: int) -> Iterable[Device]:
        handle = self._ask("nvmlDeviceGetHandleByIndex", index)
        card_id = self._ask("nvmlDeviceGetUUID", handle) if handle is not None else None
        if card_id is None:
            raise _GpuGoneError("is listed by the driver, but does not answer")
        capability = self._ask("nvmlDeviceGetCudaComputeCapability", handle)
        return [
            Device(
                id=self._ask("nvmlDeviceGetUUID", part) or card_id,
                kind="cuda",
                name=self._ask("nvmlDeviceGetName", part) or "unknown GPU",
                index=index,
                memory_total_bytes=getattr(self._ask("nvmlDeviceGetMemoryInfo", part), "total", None),
                # The card's own: NVML promises this query for cards, not for MIG slices.
                capability=tuple(capability) if capability else None,
                card_id=card_id,
            )
            for part in self._parts(handle)
        ]

    def _parts(self, handle: Any) -> list[Any]:
        """The handles of a card's MIG slices, or of the card itself where it is not cut into slices."""
        modes = self._ask("nvmlDeviceGetMigMode", handle)
        if not modes or modes[0] != self._nvml.NVML_DEVICE_MIG_ENABLE:
            return [handle]
        places = range(self._ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0)
        slices = (self._ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, place) for place in places)
        return [part for part in slices if part is not None]

    def _gpu_reading(self, device: Device) -> DeviceReading:
        handle = self._ask("nvmlDeviceGetHandleByUUID", device.id)
        if handle is None:
            raise _GpuGoneError("is no longer known to the driver")
        # A MIG slice has memory and processes of its own; heat and power are the whole card's.
        is_slice = device.card_id not in (None, device.id)
        card = self._ask("nvmlDeviceGetHandleByUUID", device.card_id) if is_slice else handle
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        milliwatts = self._ask("nvmlDeviceGetPowerUsage", card)
        limit_milliwatts = self._ask("nvmlDeviceGetEnforcedPowerLimit", card)
        return DeviceReading(
            utilisation_percent=getattr(self._ask("nvmlDeviceGetUtilizationRates", handle), "gpu", None),
            memory_used_bytes=getattr(memory, "used", None),
            memory_total_bytes=getattr(memory, "total", None),
            temperature_c=self._temperature_c(card),
            power_w=None if milliwatts is None else milliwatts / 1000,
            power_limit_w=None if limit_milliwatts is None else limit_milliwatts / 1000,
            throttling=self._throttling(card),
            processes=self._processes(handle),
        )

    def _temperature_c(self, handle: Any) -> int | None:
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        return self._ask("nvmlDeviceGetTemperatureV", handle, sensor, older="nvmlDeviceGetTemperature")

    def _throttling(self, handle: Any) -> tuple[str, ...]:
        bits = self._ask(
            "nvmlDeviceGetCurrentClocksEventReasons", handle, older="nvmlDeviceGetCurrentClocksThrottleReasons"
        )
        return tuple(
            words
            for reason, words in _THROTTLE_REASONS.items()
            if (bits or 0) & getattr(self._nvml, f"nvmlClocksThrottleReason{reason}")
        )

    def _processes(self, handle: Any) -> tuple[DeviceProcess, ...]:
        # Compute only: a desktop's X server draws on the card, and that is nobody's reason to stay away.
        found = self._ask(
            "nvmlDeviceGetComputeRunningProcesses", handle, older="nvmlDeviceGetComputeRunningProcesses_v2"
        )
        processes = ((process, self._owner_of(process.pid)) for process in found or [])
        return tuple(
            DeviceProcess(process.pid, user, user == self._user, process.usedGpuMemory)
            for process, user in processes
        )


def cpu_device(number: int = 0) -> Device:
    """The CPU as the device of its ``number``-th worker."""
    total = psutil.virtual_memory().total
    name = f"cpu:{number}" if number else "cpu"
    return Device(name, "cpu", _cpu_name(), memory_total_bytes=total, has_bf16=_cpu_has_bf16())


def _cpu_name() -> str:
    return _cpu_line("model name") or platform.machine()


def _cpu_has_bf16() -> bool:
    """Whether the kernel shows AMX or AVX-512 units for bfloat16; what they are worth, a trial measures."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_cpu_line("flags").split())


def _cpu_line(name: str) -> str:
    """What the kernel tells of the first core under ``name``; empty where it tells nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in found if key.strip() == name), "")


def _cpu_reading() -> DeviceReading:
    memory = psutil.virtual_memory()
    return DeviceReading(
        # An interval is needed: without one the first answer of a process is always 0.
        utilisation_percent=psutil.cpu_percent(interval=0.1),
        memory_used_bytes=memory.total - memory.available,
        memory_total_bytes=memory.total,
    )


def _import_nvml() -> ModuleType | None:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def _own_user() -> str:
    """The name that the process table gives this process; its number where nobody gave it a name."""
    if found := _process_owner(os.getpid()):
        return found
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _process_owner(pid: int) -> str | None:
    try:
        return psutil.Process(pid).username()
    except psutil.Error:
        return None
