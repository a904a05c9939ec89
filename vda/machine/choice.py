"""Which devices ``--devices`` means.

In: what somebody typed, and the inventory of this machine. Out: the devices to work on, those left alone with the
reason, and sentences worth saying. This file starts nothing and does not know what is computed.

Numbers are those of ``nvidia-smi``, in ``--devices`` and in CUDA_VISIBLE_DEVICES. CUDA itself counts the fastest
card first unless CUDA_DEVICE_ORDER=PCI_BUS_ID; where that could be another card, it is said. Workers get UUIDs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vda.errors import DeviceError, UsageError
from vda.machine.devices import Device, DeviceReading, Inventory, cpu_device
from vda.machine.untested import is_untested, untested_device
from vda.records import is_count

_UUID_PREFIXES = ("GPU-", "MIG-")
_REMEDY = "See 'nvidia-smi -L' for what there is, or give --devices auto or --devices cpu."


@dataclass(frozen=True)
class Choice:
    """``devices`` to work on; ``skipped``: GPUs left alone, and why; ``notes``: whole sentences to say."""

    devices: tuple[Device, ...]
    skipped: tuple[tuple[Device, str], ...] = ()
    notes: tuple[str, ...] = ()


def choose_devices(request: str, inventory: Inventory) -> Choice:
    """Resolve ``request``: "auto", or a list with commas of "cpu", nvidia-smi numbers, UUIDs or their unique
    beginnings, "cuda:N" (counted inside CUDA_VISIBLE_DEVICES), "mps", "rocm:N" and "openvino:GPU".

    "auto" is every GPU inside CUDA_VISIBLE_DEVICES that answers and on which nobody else computes, else the CPU.
    Raises ``UsageError`` for words that mean no device or the same GPU twice, ``DeviceError`` for a device that is
    absent or does not answer.
    """
    words = [word.strip() for word in request.split(",")]
    if words == ["auto"]:
        return _choose_free(inventory)
    if all(word == "cpu" for word in words):
        return Choice(tuple(cpu_device(number) for number in range(len(words))))
    return _choose_named(words, inventory)


def visible_devices(devices: Sequence[Device], environment: Mapping[str, str]) -> list[Device]:
    """``devices`` as CUDA_VISIBLE_DEVICES lets a process see them, in its order.

    As CUDA reads it: unset is all, empty is none, the list ends at the first entry that means no device (CUDA
    Programming Guide, "CUDA Environment Variables"), and a list with an entry twice is empty.
    """
    value = environment.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return list(devices)
    entries = [entry.strip() for entry in value.split(",")]
    if len(set(entries)) < len(entries):
        return []
    visible: list[Device] = []
    for entry in entries:
        matches = _matches(entry, devices)
        if not matches or _is_ambiguous(entry, matches):
            break
        visible += matches
    return visible


def _matches(word: str, devices: Sequence[Device]) -> list[Device]:
    """The devices that a number or the beginning of a UUID means. A card cut into MIG slices means all of them."""
    if is_count(word):
        return [device for device in devices if device.index == int(word)]
    if not word.upper().startswith(_UUID_PREFIXES):
        return []
    start = word.lower()
    slices = [device for device in devices if device.id.lower().startswith(start)]
    return slices or [device for device in devices if (device.card_id or "").lower().startswith(start)]


def _is_ambiguous(word: str, matches: Sequence[Device]) -> bool:
    # Several slices of one card are one thing when the card was meant.
    meant = {device.id if word.upper().startswith("MIG-") else device.card_id for device in matches}
    return len(meant) > 1


def _choose_free(inventory: Inventory) -> Choice:
    if inventory.driver_problem:
        # Never silently the CPU where there is a GPU: that would be hours instead of minutes.
        raise DeviceError(
            f"The NVIDIA driver does not answer: {inventory.driver_problem}.",
            "Restart the machine (after a driver update it needs that), or give --devices cpu.",
        )
    survey = inventory.survey()
    visible = visible_devices(survey.devices, inventory.environment)
    reasons = {device.id: _reason_to_skip(inventory.reading(device)) for device in visible}
    free = tuple(device for device in visible if reasons[device.id] is None)
    skipped = tuple((device, reason) for device in visible if (reason := reasons[device.id]) is not None)
    notes = [*survey.problems, *_order_note(survey.devices, inventory.environment)]
    if free:
        return Choice(free, skipped, tuple(notes))
    if survey.devices or survey.problems:
        notes.append("No GPU is free to be used, so the CPU computes; name a GPU with --devices to use it anyway.")
    return Choice((cpu_device(),), skipped, tuple(notes))


def _reason_to_skip(reading: DeviceReading) -> str | None:
    if reading.problem:
        return f"it {reading.problem}"
    # A process that the process table does not show belongs to another container: somebody else's, to be safe.
    counts = Counter(process.user or "an unknown user" for process in reading.processes if not process.is_ours)
    if not counts:
        return None
    whose = ", ".join(f"{count} of {user}" for user, count in sorted(counts.items()))
    return f"other people's processes run on it ({whose}); name it with --devices to use it anyway"


def _choose_named(words: Sequence[str], inventory: Inventory) -> Choice:
    survey = inventory.survey()
    chosen: list[Device] = []
    for word in words:
        if word == "cpu":
            chosen.append(cpu_device(sum(device.kind == "cpu" for device in chosen)))
        elif is_untested(word):
            chosen.append(untested_device(word))
        else:
            chosen += _named(word, survey.devices, inventory)
    _check_each_once(chosen)
    for device in chosen:
        if problem := inventory.reading(device).problem:
            raise DeviceError(f"{device.label} {problem}.", "Leave it out of --devices.")
    return Choice(tuple(chosen), notes=(*survey.problems, *_named_notes(words, chosen, survey.devices, inventory)))


def _named(word: str, devices: Sequence[Device], inventory: Inventory) -> list[Device]:
    if word == "cuda" or word.startswith("cuda:"):
        return [_by_cuda_number(word, devices, inventory)]
    if not (is_count(word) or word.upper().startswith(_UUID_PREFIXES)):
        raise UsageError(
            f"'{word}' names no device.",
            "Give auto, cpu, a number of nvidia-smi, a UUID, cuda:N, mps, rocm:N or openvino:GPU.",
        )
    matches = _matches(word, devices)
    if not matches:
        raise DeviceError(f"There is no GPU {word} on this machine{_present(devices, inventory)}.", _REMEDY)
    if _is_ambiguous(word, matches):
        among = ", ".join(device.id for device in matches)
        raise UsageError(f"'{word}' is the beginning of more than one UUID: {among}.", "Give more of it.")
    return matches


def _by_cuda_number(word: str, devices: Sequence[Device], inventory: Inventory) -> Device:
    number = word.partition(":")[2] or "0"
    if not is_count(number):
        raise UsageError(f"'{word}' names no device.", "Give cuda:0, cuda:1 and so on.")
    visible = visible_devices(devices, inventory.environment)
    if int(number) >= len(visible):
        raise DeviceError(
            f"There is no {word}: {len(visible)} GPUs are visible{_present(devices, inventory)}.", _REMEDY
        )
    return visible[int(number)]


def _present(devices: Sequence[Device], inventory: Inventory) -> str:
    """What there is instead, to be put behind "there is no GPU 7 on this machine"."""
    if inventory.driver_problem:
        return f", for the NVIDIA driver does not answer ({inventory.driver_problem})"
    there = ", ".join(dict.fromkeys(device.label for device in devices)) or "none"
    value = inventory.environment.get("CUDA_VISIBLE_DEVICES")
    return f" (there: {there}{'' if value is None else f'; CUDA_VISIBLE_DEVICES={value}'})"


def _check_each_once(chosen: Sequence[Device]) -> None:
    counts = Counter(device.id for device in chosen)
    twice = [device for device in chosen if counts[device.id] > 1]
    if twice:
        raise UsageError(
            f"{twice[0].label} is named more than once.", "Name each GPU once: one worker keeps it busy."
        )


def _named_notes(
    words: Sequence[str], chosen: Sequence[Device], devices: Sequence[Device], inventory: Inventory
) -> list[str]:
    environment = inventory.environment
    visible = {device.id for device in visible_devices(devices, environment)}
    outside = [device.label for device in chosen if device.kind == "cuda" and device.id not in visible]
    counted = any(word.startswith("cuda") for word in words)
    untested = [device.label for device in chosen if is_untested(device.id)]
    return [
        *(f"{label} is outside CUDA_VISIBLE_DEVICES; it is used, because it was named." for label in outside),
        *(f"{label} is of a kind that this program was never tried on; look at its depth." for label in untested),
        *(_order_note(devices, environment, counted=counted) if counted else []),
    ]


def _order_note(devices: Sequence[Device], environment: Mapping[str, str], *, counted: bool = False) -> list[str]:
    """Say how numbers were read, where CUDA by itself might have read them otherwise."""
    entries = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    by_number = any(is_count(entry.strip()) for entry in entries) or (
        counted and "CUDA_VISIBLE_DEVICES" not in environment
    )
    mixed = len({device.name for device in devices}) > 1
    if not (by_number and mixed) or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return []
    return [
        "The GPUs differ, and their numbers are taken as nvidia-smi shows them; CUDA by itself would count the"
        " fastest first (CUDA_DEVICE_ORDER)."
    ]
