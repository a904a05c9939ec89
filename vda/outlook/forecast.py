"""What a start would do: how much, how long, on which devices, with how much disk and memory, in place of what.

Data, and the same in lines to read. Bytes and seconds are None where nothing tells them: no figure is made up,
and each says what it rests on. This file does not know how a forecast is made (``forecaster``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vda.shown import counted, duration


@dataclass(frozen=True)
class WeightsOutlook:
    """The model's weights: ``place`` on this machine, or on the hub that they are fetched from (``to_fetch``)."""

    model: str
    place: str
    to_fetch: bool
    fetch_bytes: int | None = None


@dataclass(frozen=True)
class TimeOutlook:
    """Seconds of computing and of writing depth, and what they rest on."""

    computing: float | None
    writing: float | None
    source: str


@dataclass(frozen=True)
class DiskOutlook:
    """Bytes to come, by what they are of; ``free`` where the scene is; ``source``: what they rest on."""

    parts: dict[str, int]
    free: int
    source: str

    @property
    def needed(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class MemoryOutlook:
    """Bytes of the host that a worker takes, how many workers there are, and what is free."""

    per_worker: int | None
    workers: int
    free: int
    source: str


@dataclass(frozen=True)
class ComputingOutlook:
    """What windows are computed with. ``network`` is (width, height); ``precision`` is in words."""

    devices: tuple[str, ...]
    weights: WeightsOutlook
    network: tuple[int, int]
    precision: str
    memory: MemoryOutlook


@dataclass(frozen=True)
class Forecast:
    """What a start would do with one scene. Counts are of frames used, of the plan's chunks and windows.

    ``computing`` is None where nothing is computed. ``keeps`` and ``replaces`` are sentences, ``said`` is what the
    start itself would say.
    """

    scene: Path
    video: Path
    frames: int
    video_frames: int
    chunks: int
    windows: int
    windows_to_compute: int
    outputs: tuple[str, ...]
    time: TimeOutlook
    disk: DiskOutlook
    computing: ComputingOutlook | None = None
    keeps: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values, with the sum of the disk."""
        values = asdict(self)
        disk = {**values["disk"], "needed": self.disk.needed}
        return {**values, "scene": str(self.scene), "video": str(self.video), "disk": disk}

    def lines(self) -> Iterator[str]:
        """The forecast to read, a line for each of its parts."""
        there = self.windows - self.windows_to_compute
        of = "" if self.frames == self.video_frames else f" of {self.video_frames}"
        done = f", {there} of them there" if there and self.computing is not None else ""
        windows = counted(self.windows, "window")
        yield f"{self.scene}: {self.frames}{of} frames, {counted(self.chunks, 'chunk')}, {windows}{done}."
        yield f"  video     {self.video}"
        if self.computing is not None:
            yield from _computing_lines(self.computing)
        if self.windows_to_compute or self.outputs:
            yield f"  time      {_time(self.time)}"
            yield f"  disk      {_disk(self.disk)}"
        made = [*(["raw windows"] if self.windows_to_compute else []), *self.outputs]
        yield f"  makes     {', '.join(made) or 'nothing'}"
        yield from (f"  keeps     {sentence}" for sentence in self.keeps)
        yield from (f"  replaces  {sentence}" for sentence in self.replaces)
        yield from (f"  note      {sentence}" for sentence in self.said)


def _computing_lines(computing: ComputingOutlook) -> Iterator[str]:
    width, height = computing.network
    yield f"  model     {_weights(computing.weights)}, {width}x{height}"
    yield f"  devices   {', '.join(computing.devices)}; {computing.precision}"
    memory = computing.memory
    known = "unknown" if memory.per_worker is None else f"about {size(memory.per_worker)}"
    yield (
        f"  memory    {known} per worker ({memory.source}), {counted(memory.workers, 'worker')}; "
        f"{size(memory.free)} are free"
    )


def _weights(weights: WeightsOutlook) -> str:
    if not weights.to_fetch:
        return f"{weights.model} ({weights.place}, nothing is fetched)"
    known = "its size is not told" if weights.fetch_bytes is None else size(weights.fetch_bytes)
    return f"{weights.model} (fetched first from {weights.place}: {known})"


def _time(time: TimeOutlook) -> str:
    known = {"computing": time.computing, "writing depth": time.writing}
    parts = [
        f"{what} {'unknown' if seconds is None else f'about {duration(seconds)}'}"
        for what, seconds in known.items()
        if seconds != 0
    ]
    return f"{', '.join(parts) or 'none'} ({time.source})"


def _disk(disk: DiskOutlook) -> str:
    parts = ", ".join(f"{name} {size(part)}" for name, part in disk.parts.items() if part)
    return f"about {size(disk.needed)} of {size(disk.free)} that are free: {parts} ({disk.source})"


def size(number: int) -> str:
    """Bytes as a person says them: "812 kB", "53 MB", "1.4 GB"."""
    for unit, step in (("GB", 10**9), ("MB", 10**6)):
        if number >= step:
            return f"{number / step:.1f} {unit}" if number < 10 * step else f"{number / step:,.0f} {unit}"
    return f"{number / 1000:.0f} kB"


def total_lines(forecasts: Sequence[Forecast]) -> Iterator[str]:
    """What several forecasts come to together."""
    seconds = [part for one in forecasts for part in (one.time.computing, one.time.writing)]
    known = [part for part in seconds if part is not None]
    more = "" if len(known) == len(seconds) else ", and what is unknown"
    disk = sum(one.disk.needed for one in forecasts)
    yield f"Together: about {duration(sum(known))}{more}, and about {size(disk)} of disk."
