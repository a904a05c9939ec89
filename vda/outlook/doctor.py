"""Everything that a run needs, looked at and tried: what this machine can do, what is missing, what mends it.

In: a folder that scenes are to lie in, and the devices' inventory. Out: a ``Diagnosis`` of each thing.
Nothing is changed but for a lock file that is removed again; nothing is fetched, and the network is not asked.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any, Final, Literal

from vda.errors import VdaError
from vda.files import temporary_beside
from vda.launch.detached import outlives_logout
from vda.machine.choice import choose_devices, visible_devices
from vda.machine.devices import Device, Inventory, cpu_device
from vda.machine.host import disk_free_bytes, host_memory
from vda.machine.locks import exclusive_lock, lock_is_held
from vda.machine.untested import intel_gpus
from vda.models import hub
from vda.models.weights import CHECKPOINTS, DEFAULT, MINI
from vda.outlook.abilities import Ability, by_measurement, by_memory
from vda.outlook.kernels import build_for, has_kernels
from vda.outlook.versions import installed, lines, torch_build

# What films come in; FFmpeg's names of the decoders.
_CODECS: Final = ("h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "prores", "ffv1")
# Without these a phone's film is not read.
_NEEDED_CODECS: Final = {"h264", "hevc"}
# An hour of 1280x720 at 25 frames/s: images of 1.5 bytes a pixel, and the windows of 518x924 they are made of.
_HOUR_IMAGES_GB, _HOUR_WINDOWS_GB = 124, 84
_LEAST_DISK_GB = 1.0
# Loading the smallest model takes as much.
_LEAST_MEMORY_GB = 1.2
_SETUP = "Run 'make setup' again"
_HALF = "Half precision runs where the trial before the first window bears it out."


@dataclass(frozen=True)
class Diagnosis:
    """``wrong``: ``vda depth`` would not run; ``note``: something is missing that it does without."""

    name: str
    state: Literal["ok", "note", "wrong"]
    found: str
    remedy: str | None = None
    abilities: tuple[Ability, ...] = ()


def examine(
    folder: Path, inventory: Inventory | None = None, torch: Any = None, *, measured: bool = False
) -> Iterator[Diagnosis]:
    """Look at everything, with scenes in ``folder``; ``torch`` is the module, or a stand-in for it.

    ``measured``: run the models on each device and say how fast they are, which takes seconds and a device that is
    free.
    """
    yield Diagnosis("programs", "ok", "; ".join(lines()))
    yield from _devices(inventory or Inventory.of_this_machine(), torch, measured)
    yield from _memory()
    yield from _weights()
    yield from _disk(folder)
    yield _locks(folder)
    yield _decoders()
    yield _terminal()
    yield from _extras()


def _devices(inventory: Inventory, torch: Any, measured: bool) -> Iterator[Diagnosis]:
    if inventory.driver_problem:
        remedy = "Restart the machine (after a driver update it needs that), or give --devices cpu."
        yield Diagnosis(
            "devices", "wrong", f"The NVIDIA driver does not answer: {inventory.driver_problem}.", remedy
        )
        return
    survey = inventory.survey()
    for problem in survey.problems:
        # ``--devices auto`` passes over it, and computes on the others or on the CPU.
        yield Diagnosis("devices", "note", problem, "Leave it out of --devices, or restart the machine.")
    devices = visible_devices(survey.devices, inventory.environment)
    skipped = dict(choose_devices("auto", inventory).skipped)
    yield from (
        Diagnosis(device.label, "note", f"--devices auto leaves it alone: {skipped[device]}.")
        if device in skipped
        else _gpu(device, inventory, torch, measured)
        for device in devices
    )
    if survey.devices and not devices:
        yield Diagnosis(
            "devices", "note", "CUDA_VISIBLE_DEVICES hides every GPU, so the CPU computes.", "Unset the variable."
        )
    for device in intel_gpus():
        found = "OpenVINO lists it; this program was never tried on one, so --devices auto leaves it alone."
        remedy = f"To try it: --devices {device.id} --engine openvino."
        yield Diagnosis(device.label, "note", found, remedy)
    if not devices:
        yield _cpu(measured)


def _cpu(measured: bool) -> Diagnosis:
    device = cpu_device()
    found = f"{device.name}, {os.cpu_count() or 1} cores"
    if not measured:
        return Diagnosis(
            "cpu", "ok", f"{found}; 'vda doctor --measure' says how many frames per second it computes."
        )
    return _measured(Diagnosis("cpu", "ok", f"{found}."), device, (MINI, DEFAULT))


def _measured(diagnosis: Diagnosis, device: Device, models: Sequence[str]) -> Diagnosis:
    """``diagnosis`` with what ``device`` does of ``models``, or with why it could not be tried."""
    try:
        speeds = by_measurement(device, "fp32", models)
    except VdaError as error:
        return replace(diagnosis, state="wrong", found=f"{diagnosis.found} {error.problem}", remedy=error.remedy)
    found = f"{diagnosis.found} Measured in float32: {'; '.join(map(str, speeds))}."
    return replace(diagnosis, found=found, abilities=(*diagnosis.abilities, *speeds))


def _gpu(device: Device, inventory: Inventory, torch: Any, measured: bool) -> Diagnosis:
    version, built_for = torch_build()
    reading = inventory.reading(device)
    if built_for is None and torch is None:
        found = f"PyTorch {version} is built for CPUs and cannot use it."
        return Diagnosis(device.label, "wrong", found, f"{_SETUP}, or give --devices cpu.")
    if torch is None:
        import torch
    if not torch.cuda.is_available():
        remedy = f"{_SETUP} with TORCH_INDEX= the address of a build for this driver's CUDA (see 'vda --version')."
        return Diagnosis(device.label, "wrong", "The driver sees it, and PyTorch cannot use it.", remedy)
    if device.capability is not None and not has_kernels(torch.cuda.get_arch_list(), device.capability):
        number = ".".join(map(str, device.capability))
        found = f"PyTorch {torch.__version__} has no code for it (compute capability {number})."
        remedy = f"{_SETUP} with TORCH_INDEX= the address of {build_for(device.capability)}."
        return Diagnosis(device.label, "wrong", found, remedy)
    used, total = reading.memory_used_bytes, reading.memory_total_bytes
    if used is None or total is None:
        return Diagnosis(device.label, "ok", _HALF)
    abilities = tuple(by_memory(total - used, "fp32"))
    holds = [str(ability) for ability in abilities if ability.fits] or ["nothing"]
    free = f"{(total - used) / 1e9:.1f} of {total / 1e9:.1f} GB free"
    found = f"{free}, which hold in float32: {', '.join(holds)}. {_HALF}"
    diagnosis = Diagnosis(device.label, "ok", found, abilities=abilities)
    return _measured(diagnosis, device, [a.model for a in abilities if a.fits]) if measured else diagnosis


def _memory() -> Iterator[Diagnosis]:
    memory = host_memory()
    free = memory.available_bytes / 1e9
    found = f"{free:.1f} GB of {memory.total_bytes / 1e9:.1f} GB are free."
    if free < _LEAST_MEMORY_GB:
        yield Diagnosis("memory", "wrong", found, "End other programs: a worker takes about 1.2 GB and more.")
    else:
        yield Diagnosis("memory", "ok", found)


def _weights() -> Iterator[Diagnosis]:
    here = [name for name, known in CHECKPOINTS.items() if known.repository and _is_here(name)]
    named = ", ".join([MINI, *here])
    if DEFAULT in here or os.environ.get("VDA_WEIGHTS"):
        yield Diagnosis("weights", "ok", f"At hand: {named}.")
    else:
        found = f"At hand: {named}. The default, {DEFAULT}, comes on first use; without a network {MINI} runs."
        yield Diagnosis("weights", "note", found, f"Fetch it now: vda weights fetch {DEFAULT}")


def _is_here(model: str) -> bool:
    known = CHECKPOINTS[model]
    return known.repository is not None and hub.cached(known.repository, known.filename) is not None


def _disk(folder: Path) -> Iterator[Diagnosis]:
    free = disk_free_bytes(folder) / 1e9
    found = (
        f"{free:,.0f} GB are free in {folder}. An hour of 1280x720 takes up to {_HOUR_IMAGES_GB} GB of images and "
        f"{_HOUR_WINDOWS_GB} GB of windows until it is merged."
    )
    wrong = free < _LEAST_DISK_GB
    yield Diagnosis(
        "disk", "wrong" if wrong else "ok", found, "Free some space, or give --scene." if wrong else None
    )


def _locks(folder: Path) -> Diagnosis:
    """Whether a lock that is held is seen to be held: some network file systems grant every lock to everybody."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    path = temporary_beside(there / "vda_doctor.lock")
    try:
        with exclusive_lock(path) as ours:
            works = ours and lock_is_held(path)
    except (VdaError, OSError) as error:
        return Diagnosis("locks", "wrong", f"{there} takes no lock: {error}", "Give --scene on another disk.")
    finally:
        path.unlink(missing_ok=True)
    if works:
        return Diagnosis("locks", "ok", f"They work in {there}.")
    found = f"{there} grants a lock to two at once: two runs of one scene would not know of each other."
    return Diagnosis("locks", "wrong", found, "Give --scene on another disk.")


def _decoders() -> Diagnosis:
    import av

    there = [name for name in _CODECS if name in av.codecs_available]
    found = (
        f"{', '.join(there)} are decoded, by FFmpeg inside PyAV {installed('av')}; no ffmpeg or ffprobe is needed."
    )
    if lacking := sorted(_NEEDED_CODECS - set(there)):
        remedy = "Install PyAV from its wheel: pip install --force-reinstall --only-binary=:all: av"
        return Diagnosis("decoders", "wrong", f"{', '.join(lacking)} is not decoded. {found}", remedy)
    return Diagnosis("decoders", "ok", found)


def _terminal() -> Diagnosis:
    if shutil.which("systemd-run") is None:
        found = "There is no systemd: --detach starts a session of its own, with a keeper."
        return Diagnosis("without a terminal", "ok", found)
    lasting, sentence, remedy = outlives_logout()
    return Diagnosis("without a terminal", "ok" if lasting else "note", sentence, remedy)


def _extras() -> Iterator[Diagnosis]:
    try:
        lines = requires("vda-toolkit") or []
    except PackageNotFoundError:
        return
    missing: dict[str, list[str]] = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        extra = marker.partition("extra ==")[2].strip(" \"'")
        package = requirement.split("[")[0].rstrip("0123456789.,<>=!~ ")
        if extra in _EXTRAS and installed(package) is None:
            missing.setdefault(extra, []).append(package)
    for extra, packages in missing.items():
        found = f"{', '.join(packages)} not installed: {_EXTRAS[extra]}."
        yield Diagnosis(f"extra {extra}", "note", found, f"Install it: pip install 'vda-toolkit[{extra}]'")


# What somebody does without who does not take it.
_EXTRAS: Final = {
    "exr": "no OpenEXR",
    "tracks": "no Kalman smoothing, no Parquet tracks and no masks of COCO",
    "export": "no PLY, COLMAP and Rerun exports",
    "usd": "no USD export",
    "shots": "cuts are not found (--shots auto)",
    "fvc": "no data-set stage",
    "view": "no vda view",
}
