"""What a supervisor sees, and what it can do: the words between ``loop`` and ``decide``. Data only."""

from dataclasses import dataclass, field

from vda.machine.host import MACHINE
from vda.scene.runstate import ChunkAttempts, WorkerState

ChunkId = tuple[str, int]
"""A scene's directory and the index of a chunk in it."""

# In a row and on several chunks: fewer may be chance.
DEVICE_FAILURES = 3


@dataclass(frozen=True)
class ChunkView:
    """A chunk as its files show it."""

    id: ChunkId
    windows: int
    windows_done: int
    attempts: ChunkAttempts = field(default_factory=ChunkAttempts)
    waits: bool = False
    """Whether its scene is not to be begun before others are out of the way."""

    @property
    def left(self) -> int:
        return self.windows - self.windows_done


@dataclass(frozen=True)
class WorkerView:
    """A worker that was started or adopted. ``exit_code`` is None while it lives or where it is not known.

    ``order`` and ``chunk`` are the last order given and what it was for (None: it never had one);
    ``windows_at_order`` is how many windows of the chunk were there then; ``progressed`` is when a counter last
    moved, or else when it was started; ``killed`` is when it was killed for hanging.
    """

    name: str
    device: str
    alive: bool
    exit_code: int | None
    state: WorkerState | None
    order: int
    chunk: ChunkId | None
    windows_at_order: int
    progressed: float
    killed: float | None = None

    @property
    def idle(self) -> bool:
        """Whether it has done all that it was told."""
        state = self.state
        return self.alive and (
            self.chunk is None or (state is not None and state.order >= self.order and state.phase == "idle")
        )


@dataclass(frozen=True)
class DeviceView:
    """A device of the run. ``failed``: the chunks of its failures in a row, without a window between them.

    ``seconds_per_window`` is None before its first window, ``peak_memory_bytes`` (of the host) 0 before it had a
    worker. ``lost``: a worker on it cannot even be killed. ``unborn``: workers in a row that ended before they had
    an order, the last one as ``error`` says.
    """

    id: str
    failed: tuple[ChunkId, ...] = ()
    seconds_per_window: float | None = None
    not_before: float = 0.0
    peak_memory_bytes: int = 0
    lost: bool = False
    unborn: int = 0
    error: str = ""

    @property
    def set_aside(self) -> bool:
        """Whether it fails whatever the chunk; one bad chunk alone does not condemn a device."""
        return (
            self.lost
            or self.unborn > DEVICE_FAILURES
            or (len(self.failed) >= DEVICE_FAILURES and len(set(self.failed)) > 1)
        )


@dataclass(frozen=True)
class Patience:
    """Seconds without any counter moving after which a worker counts as hung.

    ``first`` holds before its first progress, afterwards the larger of ``least`` and ``windows`` times the median
    window of its device. ``killed`` is how long a kill may take before the worker is given up. ``memory`` is how
    long to wait for room below a control group's limit, which may never come, before a worker is tried anyhow.
    """

    first: float = 600.0
    least: float = 120.0
    windows: int = 5
    killed: float = 30.0
    memory: float = 120.0


@dataclass(frozen=True)
class HostView:
    """Memory and disk that are left; ``disk_needed_bytes`` is what the windows that are in hand may take.

    ``memory_bound`` is whose memory it is: the machine's, or that of the control group whose limit is nearest.
    ``memory_killer`` is where the kernel's memory killer ended processes lately, in words; empty where it did not.
    """

    memory_used_fraction: float = 0.0
    memory_available_bytes: int = 1 << 62
    disk_free_bytes: int = 1 << 62
    disk_needed_bytes: int = 0
    memory_bound: str = MACHINE
    memory_killer: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All that a decision rests on. ``paused`` is the reason of a pause in force since ``paused_since``."""

    now: float
    chunks: tuple[ChunkView, ...]
    workers: tuple[WorkerView, ...]
    devices: tuple[DeviceView, ...]
    retries: int = 3
    stop_requested: bool = False
    host: HostView = HostView()
    paused: str = ""
    paused_since: float = 0.0
    patience: Patience = Patience()

    def device(self, name: str) -> DeviceView:
        return next(view for view in self.devices if view.id == name)


@dataclass(frozen=True)
class Start:
    """Start a worker on ``device``."""

    device: str


@dataclass(frozen=True)
class Give:
    """Order ``worker`` to compute ``chunk``."""

    worker: str
    chunk: ChunkId


@dataclass(frozen=True)
class Quit:
    """Tell ``worker`` to end."""

    worker: str


@dataclass(frozen=True)
class Kill:
    """End ``worker`` by force."""

    worker: str
    reason: str


@dataclass(frozen=True)
class Bury:
    """Take note that ``worker`` is gone, or (``given_up``) that it will never be.

    ``attempts`` and ``device`` are what is known from now on.
    """

    worker: str
    chunk: ChunkId | None
    attempts: ChunkAttempts | None
    device: DeviceView
    reason: str
    given_up: bool = False


@dataclass(frozen=True)
class Wait:
    """Begin nothing new for ``reason``; an empty one ends the pause."""

    reason: str


@dataclass(frozen=True)
class Finish:
    """Nothing is left to do."""


Action = Start | Give | Quit | Kill | Bury | Wait | Finish
