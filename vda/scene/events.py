"""What happened while a scene was computed: a JSON line per window and per event, written and read here.

      vda_logs/events_<host>_<device>.jsonl   for programs: all that the workers of one device did
      vda_logs/chunk_03.log                   for people: the same in sentences, of one chunk

A line has ``event`` (its kind), ``unix_s`` (seconds since the epoch), ``host``, ``device``, ``pid``, ``chunk`` and
what the kind adds. Each device has a file of its own, for lines of several machines could mix in one. These are
diaries: a full disk may cost lines, and what to compute is never decided by them. This file does not know how
windows are computed.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from vda.errors import StorageError
from vda.files import append_line, read_json_lines
from vda.scene.runstate import device_slug
from vda.scene.scene import Scene, WindowId

R = TypeVar("R")


@dataclass(frozen=True)
class ChunkBegun:
    """A worker begins with the windows of a chunk that are not there; ``memory`` is how it uses the device's."""

    windows: int
    memory: str

    def __str__(self) -> str:
        return f"{self.windows} windows to compute, {self.memory}"


@dataclass(frozen=True)
class _OfWindow:
    """``sequence`` and ``k`` as in the window's file name."""

    sequence: int
    k: int

    @property
    def window(self) -> WindowId:
        return self.sequence, self.k


@dataclass(frozen=True)
class WindowBegun(_OfWindow):
    """A window is begun: its pictures may have been read before."""

    def __str__(self) -> str:
        return f"window {self.sequence}/{self.k} begun"


@dataclass(frozen=True)
class WindowComputed(_OfWindow):
    """A window is computed and about to be written: it settles the frames ``start_frame`` to ``end_frame`` - 1.

    ``seconds`` are since it was begun, ``precision`` (fp32, fp16, bf16) is that of the values kept.
    """

    start_frame: int
    end_frame: int
    seconds: float
    precision: str

    def __str__(self) -> str:
        return f"window {self.sequence}/{self.k} computed, frames {self.start_frame}:{self.end_frame}"


@dataclass(frozen=True)
class WindowRecomputed(_OfWindow):
    """A window is not to be trusted for ``problem``, and is computed again in float32."""

    problem: str

    def __str__(self) -> str:
        return f"window {self.sequence}/{self.k} is computed again in float32: {self.problem}"


@dataclass(frozen=True)
class MemoryLowered:
    """Memory ran out with ``before``; the worker goes on with ``after``."""

    before: str
    after: str
    problem: str

    def __str__(self) -> str:
        return f"out of memory with {self.before}: going on with {self.after}"


@dataclass(frozen=True)
class Paused:
    """There is no room to go on, for ``reason``."""

    reason: str

    def __str__(self) -> str:
        return f"paused: {self.reason}"


@dataclass(frozen=True)
class Resumed:
    """A pause is over after ``seconds``, because there is room or because the work is to end."""

    seconds: float

    def __str__(self) -> str:
        return f"goes on after {self.seconds:.0f} s"


@dataclass(frozen=True)
class ChunkEnded:
    """What came of a chunk (done, stopped, or failed for ``problem``), ``seconds`` after a worker took it up.

    These include loading the model and waiting for the chunk's lock. A killed worker leaves no such line.
    """

    outcome: str
    seconds: float
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.outcome} after {self.seconds:.0f} s{self.problem and f': {self.problem}'}"


@dataclass(frozen=True)
class DecodedThere:
    """A GPU's decoder gave ``frames`` since its worker began; ``doubts`` say why it did not give more."""

    frames: int
    doubts: str = ""

    def __str__(self) -> str:
        return f"{self.frames} frames decoded by the GPU{self.doubts and f'; the CPU went on: {self.doubts}'}"


Event = (
    ChunkBegun
    | WindowBegun
    | WindowComputed
    | WindowRecomputed
    | MemoryLowered
    | Paused
    | Resumed
    | DecodedThere
    | ChunkEnded
)

_KINDS: dict[str, type[Event]] = {
    "chunk_begun": ChunkBegun,
    "window_begun": WindowBegun,
    "window_computed": WindowComputed,
    "window_recomputed": WindowRecomputed,
    "memory_lowered": MemoryLowered,
    "paused": Paused,
    "resumed": Resumed,
    "decoded_there": DecodedThere,
    "chunk_ended": ChunkEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True)
class Entry:
    """An event with when (seconds since the epoch), where and in which chunk it was."""

    unix_s: float
    host: str
    device: str
    pid: int
    chunk: int
    event: Event

    @property
    def worker(self) -> tuple[str, str, int]:
        """Host, device and process."""
        return self.host, self.device, self.pid


@dataclass(frozen=True)
class EventLog:
    """Where a worker on ``device`` notes what happens in a chunk: for programs and, in sentences, for people."""

    scene: Scene
    chunk: int
    device: str
    apart: bool = False
    """Of a task of a cluster: on another machine another one may have the chunk at the same time."""

    def note(self, event: Event) -> None:
        """Add a line to both logs. A full disk costs these lines and not the work, which waits for room."""
        now, pid, host = time.time(), os.getpid(), platform.node()
        stamp = {"unix_s": now, "host": host, "device": self.device, "pid": pid, "chunk": self.chunk}
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        sentence = f"{when} {self.device} pid {pid}: chunk {self.chunk}: {event}"
        with suppress(StorageError):
            path = self.scene.events_path(f"{device_slug(host)}_{device_slug(self.device)}")
            append_line(path, json.dumps({"event": _NAMES[type(event)], **stamp, **asdict(event)}))
            append_line(self.scene.chunk_log_path(self.chunk, host if self.apart else ""), sentence)


def read_events(scene: Scene) -> Iterator[Entry]:
    """Yield what happened, device by device and in order per device, holding one line at a time.

    Lines that are torn, no JSON, of an unknown kind or without what their kind has are passed over: a killed or
    newer writer left them.
    """
    for path in scene.event_paths():
        for line in read_json_lines(path):
            if (entry := _entry(line)) is not None:
                yield entry


def _entry(line: Any) -> Entry | None:
    kind = _KINDS.get(str(line.get("event"))) if isinstance(line, dict) else None
    if kind is None or (event := _filled(kind, line)) is None:
        return None
    return _filled(Entry, {**line, "event": event})


def _filled(record: type[R], values: dict[str, Any]) -> R | None:
    """A ``record`` of its fields in ``values``, or None where one is absent or of another type."""
    wanted = {field.name: values.get(field.name) for field in fields(record)}  # type: ignore[arg-type]
    sound = all(isinstance(wanted[field.name], field.type) for field in fields(record))  # type: ignore[arg-type]
    return record(**wanted) if sound else None
