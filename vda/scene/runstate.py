"""The files of a run, ``vda_run/``: what supervisor and workers tell each other, and what anybody may read.

      supervisor.lock               held by the supervisor as long as it lives
      holder.json                   who that is: pid, host, since when, and the run's home (supervisor)
      stop                          somebody asks the run to end cleanly
      pause.json                    why nothing new is begun at the moment (supervisor)
      chunk_003.lock                held by the worker that computes the chunk: never two at once
      attempts.json                 what failed where, and what is set aside (supervisor)
      devices.json                  pace, memory and failures of each device (supervisor)
      fits_<device>.json            the micro-batches that fit a device's memory (worker)
      pace_<precision>.json         frames at once on a CPU, and seconds per frame there (first worker)
      parts_<precision>.json        which parts of the network OpenVINO computes (first worker)
      pace.lock                     held by the worker that measures that: never two at once
      recomputed_<host>.jsonl       windows that had to be computed again in float32, a line each (workers)
      cluster/claims/chunk_003.json who computes the chunk from elsewhere, renewed as long as it lives (task)
      cluster/submitted/slurm-7.json a job that was submitted, and for what (whoever submitted it)
      workers/<name>/settings.json  what the worker was started with (supervisor)
      workers/<name>/order.json     the chunk to compute next (supervisor)
      workers/<name>/state.json     heartbeat with counters of progress (worker)
      workers/<name>/alive.lock     held by the worker as long as it lives
      workers/<name>/given_up       not even SIGKILL ended it; nobody waits for it (supervisor)
      workers/<name>/trial.json     a precision to be tried (supervisor), proof.json: how it went (worker)
      workers/<name>/tried_*.npz    the window that was computed for it, by precision (worker)

Every start of a worker has a name of its own, so that a late comer of an earlier run finds nothing to do. A run
over several scenes has its home in the first; the others' ``holder.json`` says where that is. A task of a cluster
has its home on its own machine, for locks may reach no further, and so are its chunk's lock and fits there.
This file knows neither how work is shared out nor how it is done.
"""

import json
import os
import platform
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from vda.errors import InputError, SceneError, StorageError
from vda.files import append_line, modified, read_json_lines, server_time, write_first, write_json
from vda.machine.locks import lock_is_held
from vda.network.slots import WINDOW_SLOTS
from vda.records import FilePath, Index, Within, filled_lines, is_count, read_record
from vda.shown import quoted

Phase = Literal["starting", "idle", "waiting", "computing", "paused", "ended"]
"""``waiting`` is for the chunk's lock, ``paused`` for room in memory or on the disk."""
AT_WORK: Final[tuple[Phase, ...]] = ("starting", "waiting", "computing")
"""Between two chunks a device is at work as well: what it will take is estimated as before."""
Outcome = Literal["", "done", "failed", "stopped"]

_DAMAGED = "Remove that file and run the same command again; no depth is lost with it."
# Of a worker that gave up for want of room: what nobody is to blame for (sysexits.h: EX_TEMPFAIL).
EXIT_NO_ROOM = 75
# Of a worker that may write no file so large: so it is for every other, and again (sysexits.h: EX_CANTCREAT).
EXIT_FILE_SIZE = 73
CLAIM_SECONDS = 60.0
"""How long a claim is good for without being renewed: a busy file server may let five renewals fail."""
# The end of a traceback with its message; the log itself may be long, so only its last 64 kB are read.
_TAIL_LINES = 12
_TAIL_BYTES = 1 << 16


class _Record:
    """A dataclass kept as one JSON file; unknown keys of a newer writer are ignored."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the record; None where there is none yet, or no longer."""
        try:
            found: Self = read_record(path, cls, _DAMAGED)
        except InputError as error:
            # What was seen to be absent: by now it may be there, and the next look will find it.
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return found

    @classmethod
    def found(cls, path: Path) -> Self | None:
        """Read what is measured again where it is damaged; None there as well."""
        try:
            return cls.read(path)
        except InputError:
            return None

    def write(self, path: Path) -> None:
        # What the power takes away, the next heartbeat or the next look writes again.
        write_json(path, asdict(self), durable=False)  # type: ignore[call-overload]

    def first(self, path: Path) -> Self:
        """Write the record unless there is one, and return the one that is there from now on.

        One that is damaged is replaced.
        """
        if not write_first(path, asdict(self)):  # type: ignore[call-overload]
            if (there := self.found(path)) is not None:
                return there
            self.write(path)
        return self


@dataclass(frozen=True)
class Recomputed:
    """A window that was computed again: why, and in which precision it is instead."""

    window: tuple[Index, Index]
    problem: str
    instead: str


@dataclass(frozen=True)
class WorkerSettings(_Record):
    """What a worker is started with: a device's id, CPU threads, micro-batch (0: by memory), what decodes.

    ``trial``: compute one window in the precisions worth trying on the device, write the proof, and end.
    ``apart``: it works for a task of a cluster, whose home has the locks and what fits this machine's memory.
    """

    device: str
    threads: int
    batch_size: int = 0
    trial: bool = False
    apart: bool = False
    decoder: Literal["cpu", "gpu"] = "cpu"


@dataclass(frozen=True)
class Order(_Record):
    """Order ``number``: compute ``chunk`` of ``scene``, or quit where ``chunk`` is -1. Numbers only grow.

    ``lock``: which of the chunk's locks to hold; another one once a holder cannot be ended.
    """

    number: int
    scene: FilePath = ""
    chunk: int = -1
    lock: int = 0

    @property
    def is_quit(self) -> bool:
        return self.chunk < 0


@dataclass(frozen=True)
class WorkerState(_Record):
    """A worker's heartbeat. ``order`` is the last one taken up, ``outcome`` its end (empty while it lasts).

    ``seconds_per_window`` is the median of the last windows computed, None before the first.
    ``process_started`` (seconds since the epoch) tells the process from a later one with the same ``pid``. It is
    ``for_good`` that a chunk failed where trying again would find the same: its video, scene or weights are wrong.
    """

    name: str
    device: str
    pid: int
    process_started: float = 0.0
    phase: Phase = "starting"
    order: int = 0
    outcome: Outcome = ""
    scene: str = ""
    chunk: int = -1
    frames_decoded: int = 0
    batches_done: int = 0
    windows_done: int = 0
    problem: str = ""
    remedy: str = ""
    for_good: bool = False
    peak_memory_bytes: int = 0
    seconds_per_window: float | None = None
    time: float = 0.0

    @property
    def progress(self) -> tuple[int, int, int]:
        return self.frames_decoded, self.batches_done, self.windows_done


@dataclass(frozen=True)
class ChunkAttempts(_Record):
    """What became of a chunk so far. ``attempts`` and ``kills``: in a row without a finished window.

    Attempts count against the chunk, kills from outside do not; ``memory_kills`` are those by the kernel's memory
    killer below the limit of a control group. ``lock`` is the number of its lock file. It is ``for_good`` that the
    chunk failed where another attempt would find the same, which ``remedy`` mends.
    """

    attempts: int = 0
    kills: int = 0
    not_before: float = 0.0
    failed_devices: tuple[str, ...] = ()
    set_aside: bool = False
    error: str = ""
    device: str = ""
    lock: int = 0
    memory_kills: int = 0
    remedy: str = ""
    for_good: bool = False

    def forgiven(self) -> "ChunkAttempts":
        """The same chunk at the next command of a person, who wants it tried again."""
        return ChunkAttempts(lock=self.lock)


@dataclass(frozen=True)
class DeviceNotes(_Record):
    """What is known of a device: chunks it failed in a row, its pace, the host memory its worker came to need."""

    failed: tuple[tuple[str, int], ...] = ()
    seconds_per_window: float | None = None
    peak_memory_bytes: int = 0


@dataclass(frozen=True)
class Pause(_Record):
    """Why nothing new is begun at the moment."""

    reason: str
    since: float


@dataclass(frozen=True)
class Pace(_Record):
    """What suits a scene's CPUs: frames in the encoder at once. ``seconds_a_frame`` is what one worker needs."""

    micro_batch: Annotated[int, Within(1, WINDOW_SLOTS)]
    seconds_a_frame: float


@dataclass(frozen=True)
class EngineParts(_Record):
    """Which parts of the network OpenVINO computes: the encoder, the rest, which mixes a window's frames."""

    encoder: bool
    rest: bool


@dataclass(frozen=True)
class Holder(_Record):
    """Who supervises a scene. ``home`` is the ``vda_run`` folder in which the workers' files are.

    ``ended`` is when that run ended by itself; 0 while it goes on, and for good where it was killed.
    """

    pid: int
    host: str
    since: float
    home: FilePath
    ended: float = 0.0

    @classmethod
    def this_process(cls, home: Path) -> "Holder":
        return cls(os.getpid(), platform.node(), time.time(), str(home.resolve()))


@dataclass(frozen=True)
class ChunkClaim(_Record):
    """A task that computes a chunk, on any machine; ``token`` is of this one start of it.

    ``task`` is what its engine calls it by, ``restart`` how often that began it anew. ``since`` is by the file
    server's clock. ``machine`` and ``process_started`` tell, on the same machine, whether the process lives.
    """

    token: str
    task: str
    host: str
    pid: int
    since: float
    restart: int = 0
    machine: str = ""
    process_started: float = 0.0

    def __str__(self) -> str:
        return f"the task {self.task} on {self.host}"


def claim_age(path: Path, now: float) -> float:
    """Seconds since a claim was renewed, ``now`` by the file server's clock; ``FileNotFoundError`` without one.

    One from the future is from before a clock was set, or a copy. It counts from now on: whoever lives renews it.
    """
    age = now - modified(path)
    if age >= -CLAIM_SECONDS:
        return age
    with suppress(OSError):
        os.utime(path)
    return 0.0


def device_slug(device: str) -> str:
    """A device's id as a part of a file's name."""
    return re.sub(r"[^\w-]", "-", device)


@dataclass(frozen=True)
class WorkerFiles:
    """The folder of one worker below a run's home."""

    home: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.home / "workers" / self.name

    @property
    def settings_path(self) -> Path:
        return self.folder / "settings.json"

    @property
    def order_path(self) -> Path:
        return self.folder / "order.json"

    @property
    def state_path(self) -> Path:
        return self.folder / "state.json"

    @property
    def alive_lock(self) -> Path:
        return self.folder / "alive.lock"

    @property
    def given_up_path(self) -> Path:
        return self.folder / "given_up"

    @property
    def trial_path(self) -> Path:
        return self.folder / "trial.json"

    @property
    def proof_path(self) -> Path:
        return self.folder / "proof.json"

    def tried_path(self, precision: str) -> Path:
        return self.folder / f"tried_{precision}.npz"

    def is_alive(self) -> bool:
        return lock_is_held(self.alive_lock)


def last_lines(log: Path) -> str:
    """The last lines of a log; empty where there is none."""
    if not log.is_file():
        return ""
    with log.open("rb") as handle:
        handle.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
        lines = handle.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


@dataclass(frozen=True)
class RunFiles:
    """The folder ``vda_run`` of one scene. ``own``: where this machine keeps its locks and fits, if not there."""

    folder: Path
    own: Path | None = None

    @property
    def _own(self) -> Path:
        return self.own or self.folder

    @property
    def supervisor_lock(self) -> Path:
        return self.folder / "supervisor.lock"

    @property
    def holder_path(self) -> Path:
        return self.folder / "holder.json"

    @property
    def stop_path(self) -> Path:
        return self.folder / "stop"

    @property
    def attempts_path(self) -> Path:
        return self.folder / "attempts.json"

    @property
    def devices_path(self) -> Path:
        return self.folder / "devices.json"

    @property
    def pause_path(self) -> Path:
        return self.folder / "pause.json"

    @property
    def recomputed_path(self) -> Path:
        """Of this machine: lines that several add to one file at once may replace each other on a shared disk."""
        return self.folder / f"recomputed_{device_slug(platform.node())}.jsonl"

    @property
    def cluster_dir(self) -> Path:
        return self.folder / "cluster"

    @property
    def claims_dir(self) -> Path:
        return self.cluster_dir / "claims"

    @property
    def submitted_dir(self) -> Path:
        return self.cluster_dir / "submitted"

    def claim_path(self, chunk: int) -> Path:
        return self.claims_dir / f"chunk_{chunk:03d}.json"

    @property
    def pace_lock(self) -> Path:
        return self._own / "pace.lock"

    def pace_path(self, precision: str) -> Path:
        return self.folder / f"pace_{precision}.json"

    def parts_path(self, precision: str) -> Path:
        return self.folder / f"parts_{precision}.json"

    def fits_path(self, device: str) -> Path:
        return self._own / f"fits_{device_slug(device)}.json"

    def chunk_lock(self, chunk: int, number: int = 0) -> Path:
        return self._own / (f"chunk_{chunk:03d}.{number}.lock" if number else f"chunk_{chunk:03d}.lock")

    def worker(self, name: str) -> WorkerFiles:
        return WorkerFiles(self.folder, name)

    def workers(self) -> list[WorkerFiles]:
        """The workers that have files here, by name."""
        folder = self.folder / "workers"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [self.worker(name) for name in names]

    def is_supervised(self) -> bool:
        return lock_is_held(self.supervisor_lock)

    def holder(self) -> Holder | None:
        return Holder.read(self.holder_path)

    def home(self) -> "RunFiles":
        """Where the workers of the scene's present or last run have their files."""
        holder = self.holder()
        return RunFiles(Path(holder.home)) if holder else self

    def read_attempts(self) -> dict[int, ChunkAttempts]:
        if not self.attempts_path.is_file():
            return {}
        record = read_record(self.attempts_path, dict[str, ChunkAttempts], _DAMAGED)
        return {int(chunk): entry for chunk, entry in record.items() if is_count(chunk)}

    def write_attempts(self, attempts: dict[int, ChunkAttempts]) -> None:
        write_json(self.attempts_path, {str(chunk): asdict(entry) for chunk, entry in attempts.items()})

    def read_devices(self) -> dict[str, DeviceNotes]:
        if not self.devices_path.is_file():
            return {}
        return read_record(self.devices_path, dict[str, DeviceNotes], _DAMAGED)

    def write_devices(self, notes: dict[str, DeviceNotes]) -> None:
        write_json(self.devices_path, {device: asdict(entry) for device, entry in notes.items()}, durable=False)

    def note_recomputed(self, line: Recomputed) -> None:
        """Add a window that was computed again to the list; lines of several workers never mix."""
        append_line(self.recomputed_path, json.dumps(asdict(line)))

    def recomputed(self) -> list[Recomputed]:
        """The windows that had to be computed again in float32."""
        paths = sorted(self.folder.glob("recomputed_*.jsonl"))
        return [line for path in paths for line in filled_lines(Recomputed, read_json_lines(path))]

    def claimed_chunks(self) -> dict[int, Path]:
        """The claims that are there, of the living and the dead, by chunk."""
        names = sorted(self.claims_dir.glob("chunk_*.json")) if self.claims_dir.is_dir() else []
        numbers = ((name.stem.removeprefix("chunk_"), name) for name in names)
        return {int(number): name for number, name in numbers if is_count(number)}

    def live_claims(self) -> dict[int, ChunkClaim | None]:
        """Who computes chunks from elsewhere at the moment; None where the claim of a chunk cannot be read."""
        paths = self.claimed_chunks()
        if not paths:
            return {}
        try:
            now = server_time(self.claims_dir)
        except StorageError:
            # Who may only look has no other clock than this machine's.
            now = time.time()
        live: dict[int, ChunkClaim | None] = {}
        for chunk, path in paths.items():
            with suppress(FileNotFoundError):
                if claim_age(path, now) < CLAIM_SECONDS:
                    live[chunk] = ChunkClaim.found(path)
        return live

    def require_unclaimed(self) -> None:
        """Raise ``SceneError`` where a task computes a chunk of the scene, on whatever machine."""
        if live := self.live_claims():
            chunk, claim = next(iter(live.items()))
            scene = self.folder.parent
            raise SceneError(
                f"Chunk {chunk} of {scene} is being computed by {claim or 'a task whose claim cannot be read'}.",
                f"Wait for it, or end it with 'vda stop {quoted(scene)}'; without a sign of life it ends within "
                f"{CLAIM_SECONDS:.0f} seconds.",
            )
