"""A picture of the work and the machine: the devices, the scene's chunks, what is left of time, memory and disk.

``observe`` looks (NVML, the host, the scene's files), ``render`` turns what was seen into lines and is pure.
Nothing here writes, draws on a terminal, or talks to a supervisor: a monitor can be started and ended at any time.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vda.machine.devices import Device, DeviceReading, Inventory, cpu_device
from vda.machine.host import HostMemory, disk_free_bytes, host_memory
from vda.scene.scene import Scene
from vda.scene.status import scene_status
from vda.shown import duration, printable

_GIB = 1 << 30


@dataclass(frozen=True)
class ObservedDevice:
    """A device, how it is, and the chunk its worker is at. ``fps`` is None before two windows are done."""

    device: Device
    reading: DeviceReading
    chunk: int | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Observation:
    """What was seen at ``time`` (seconds since the epoch). ``status``: the scene's, as ``vda status --json``."""

    time: float
    devices: tuple[ObservedDevice, ...]
    memory: HostMemory
    disk_free_bytes: int
    problems: tuple[str, ...] = ()
    status: Mapping[str, Any] | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the observation as a JSON value."""
        return asdict(self)


def observe(inventory: Inventory, scene: Scene | None = None) -> Observation:
    """Look at the machine, and at ``scene`` if one is given. Raises ``SceneError`` where it has no plan."""
    status = scene_status(scene.require()) if scene else None
    survey = inventory.survey()
    workers = {worker["device"]: worker for worker in status["devices"]} if status else {}
    devices = [*survey.devices, *_others(list(workers), survey.devices)]
    views = tuple(_view(device, inventory, workers.get(device.id)) for device in devices)
    folder = scene.root if scene else Path.cwd()
    return Observation(time.time(), views, host_memory(), disk_free_bytes(folder), survey.problems, status)


def _view(device: Device, inventory: Inventory, worker: Mapping[str, Any] | None) -> ObservedDevice:
    chunk = worker["chunk"] if worker and worker["phase"] not in ("idle", "ended") else None
    return ObservedDevice(device, inventory.reading(device), chunk, worker["fps"] if worker else None)


def _others(workers: list[str], gpus: tuple[Device, ...]) -> list[Device]:
    """Devices with a worker that the driver does not list: the CPU, or a card that was lost."""
    known = {device.id for device in gpus}
    missing = [name for name in workers if name not in known]
    others = [_unlisted(name) for name in missing]
    return others if others or gpus else [cpu_device()]


def _unlisted(name: str) -> Device:
    kind = name.partition(":")[0]
    if kind in ("mps", "rocm", "openvino"):
        return Device(name, kind, "not listed by a driver")  # type: ignore[arg-type]
    return _cpu(name) if kind == "cpu" else Device(name, "cuda", "lost")


def _cpu(name: str) -> Device:
    return cpu_device(int(name.partition(":")[2] or 0))


def render(seen: Observation, width: int, height: int) -> list[str]:
    """Return at most ``height`` lines of at most ``width`` characters.

    Where there are more chunks than room, those that are computed or failed are shown before those that wait or
    are done, and the rest is counted.
    """
    lines = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seen.time)), _host_line(seen)]
    lines += [*seen.problems, "", *_device_lines(seen.devices)]
    if seen.status is not None:
        lines += ["", *_scene_lines(seen.status)]
        lines += _chunk_lines(seen.status["chunks"], max(height - len(lines), 1))
    return [printable(line, one_line=True)[:width] for line in lines[:height]]


def _host_line(seen: Observation) -> str:
    memory = seen.memory
    used = memory.total_bytes - memory.available_bytes
    bound = "" if memory.bound == "the machine" else f" (limit of {memory.bound})"
    return (
        f"host memory {used / _GIB:.1f} of {memory.total_bytes / _GIB:.1f} GiB used{bound},"
        f" disk {seen.disk_free_bytes / _GIB:.1f} GiB free"
    )


def _device_lines(views: tuple[ObservedDevice, ...]) -> list[str]:
    labels = [view.device.label for view in views]
    column = max((len(label) for label in labels), default=0)
    return [f"{label:<{column}}  {_device_state(view)}" for label, view in zip(labels, views, strict=True)]


def _device_state(view: ObservedDevice) -> str:
    reading = view.reading
    if reading.problem:
        return reading.problem
    others = sum(not process.is_ours for process in reading.processes)
    parts = [
        _figure(reading.utilisation_percent, "{:3.0f} %", 5),
        _memory(reading),
        _figure(reading.temperature_c, "{:.0f} C", 5),
        _power(reading),
        _figure(view.fps, "{:.2f} frames/s", 14),
        "" if view.chunk is None else f"chunk {view.chunk}",
        f"throttled: {', '.join(reading.throttling)}" if reading.throttling else "",
        f"{others} processes of others" if others else "",
    ]
    return "  ".join(part for part in parts if part).rstrip()


def _figure(value: float | None, form: str, width: int) -> str:
    return ("-" if value is None else form.format(value)).rjust(width)


def _memory(reading: DeviceReading) -> str:
    if reading.memory_used_bytes is None or reading.memory_total_bytes is None:
        return "-".rjust(17)
    return f"{reading.memory_used_bytes / _GIB:5.1f} of {reading.memory_total_bytes / _GIB:4.1f} GiB"


def _power(reading: DeviceReading) -> str:
    if reading.power_w is None or reading.power_limit_w is None:
        return _figure(reading.power_w, "{:.0f} W", 12)
    return f"{reading.power_w:.0f} of {reading.power_limit_w:.0f} W".rjust(12)


def _scene_lines(status: Mapping[str, Any]) -> list[str]:
    done, total = status["frames_done"], status["frames_total"]
    pace = f", {status['fps']:.2f} frames/s, {duration(status['eta_seconds'])} left" if status["fps"] else ""
    lines = [f"{status['scene']}: {status['state']}, {done} of {total} frames ({done / total:.0%}){pace}"]
    if status.get("paused"):
        lines.append(f"paused: {status['paused']}")
    if status["model"]:
        lines.append(f"model {status['model']}, in {status['precision_reason']}")
    return lines


def _chunk_lines(chunks: list[Mapping[str, Any]], room: int) -> list[str]:
    telling = {"running": 0, "failed": 1, "waiting": 2, "done": 3}
    chosen = sorted(chunks, key=lambda chunk: (telling[chunk["state"]], chunk["index"]))
    if len(chosen) <= room:
        return [_chunk_line(chunk) for chunk in chunks]
    chosen, rest = chosen[: room - 1], chosen[room - 1 :]
    counts = {state: sum(chunk["state"] == state for chunk in rest) for state in telling}
    counted = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return [*(_chunk_line(chunk) for chunk in chosen), f"and {len(rest)} more chunks: {counted}"]


def _chunk_line(chunk: Mapping[str, Any]) -> str:
    device = f" on {chunk['device']}" if chunk["state"] == "running" else ""
    tries = f", {chunk['attempts']} attempts" if chunk["attempts"] else ""
    error = f": {chunk['error']}" if chunk["error"] and chunk["state"] != "done" else ""
    frames = f"{chunk['frames_done']:6d} of {chunk['frames_total']:6d} frames"
    return f"chunk {chunk['index']:3d}  {frames}  {chunk['state']}{device}{tries}{error}"
