"""Observe, decide, act: keeps one worker per device busy until every raw window of some scenes is on disk.

In: planned scenes whose run is fixed, devices, a launcher. Out: the raw windows, written by the workers. All state
is in files (``runstate``), so a supervisor that is started again goes on where the last one was killed, and takes
over workers that still live. It does not know how a window is computed.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from signal import SIGKILL

from vda.errors import FileSizeError, StorageError, WorkError
from vda.files import temporary_beside, write_bytes
from vda.launch.interrupts import first_is_asked
from vda.machine.devices import Device
from vda.machine.host import MACHINE, MemoryKiller, disk_free_bytes, host_memory
from vda.reporter import Reporter, Silence
from vda.scene.runstate import DeviceNotes, Order, Pause, RunFiles
from vda.scene.scene import Scene
from vda.scene.status import Estimate
from vda.supervisor.crew import Crew, Member
from vda.supervisor.decide import decide
from vda.supervisor.holding import Held
from vda.supervisor.jobs import Following, Job, expected
from vda.supervisor.seen import (
    Action,
    Bury,
    ChunkId,
    ChunkView,
    DeviceView,
    Finish,
    Give,
    HostView,
    Kill,
    Patience,
    Quit,
    Snapshot,
    Start,
    Wait,
)
from vda.supervisor.telling import PaceTelling, Telling, incomplete

# How long an idle device waits at the most; a look at the files of the chunks in hand is cheap.
_POLL_SECONDS = 0.1
# Looking reads many files of control groups, and neither memory nor disk fills at once.
_HOST_SECONDS = 1.0
# A heartbeat's file takes less; a page is the least that a disk gives.
_PROBE_BYTES = 4096
# Somebody has to make room: nothing is to be won by trying again at once.
_FULL_DISK_SECONDS = 5.0


def look_at_host(scene: Scene) -> HostView:
    """What this machine has left of memory, and of disk where ``scene`` is."""
    memory = host_memory()
    return HostView(
        memory.used_fraction, memory.available_bytes, disk_free_bytes(scene.root), memory_bound=memory.bound
    )


@dataclass
class Supervisor:
    """Works on the scenes that are ``held``, with one worker of ``crew`` a device.

    ``retries`` as in ``--retries``. ``only``: compute these chunks of every scene and no others. ``window_bytes``
    is what a raw window may take on the disk. ``look`` tells what the host has left, ``killer`` whether it ends
    processes for want of memory; ``clock`` is in seconds.
    """

    held: Held
    devices: list[Device]
    crew: Crew
    retries: int = 3
    only: Collection[int] | None = None
    window_bytes: int = 0
    reporter: Reporter = field(default_factory=Silence)
    clock: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep
    look: Callable[[Scene], HostView] = look_at_host
    killer: MemoryKiller = field(default_factory=MemoryKiller)
    patience: Patience = field(default_factory=Patience)
    following: Following = field(default_factory=Following)
    missing: dict[Scene, WorkError] = field(default_factory=dict, init=False)
    """The scenes of which something is missing at the end, and why."""
    _jobs: dict[str, Job] = field(default_factory=dict, init=False)
    """What is to do, by the scene's key."""
    _views: dict[str, DeviceView] = field(default_factory=dict, init=False)
    """What is known of each device, by its id."""
    _workers: dict[str, Member] = field(default_factory=dict, init=False)
    """The workers that live, by name."""
    _paused: str = field(default="", init=False)
    """Why nothing new is begun; empty where all goes on."""
    _paused_since: float = field(default=0.0, init=False)
    _host: HostView = field(default_factory=HostView, init=False)
    _looked: float = field(default=0.0, init=False)
    """What the host had left when it was last looked at, and when that was (0: never)."""
    _had_no_room: bool = field(default=False, init=False)
    """Whether something could not be written since a worker was last taken to hang."""
    _stopping: bool = field(default=False, init=False)
    """Whether somebody asks the run to end."""
    _interrupted: bool = field(default=False, init=False)
    """Whether that was by Ctrl-C."""
    _taken: set[str] = field(default_factory=set, init=False)
    """The scenes whose windows are whole, by key; what follows has them."""

    @property
    def scenes(self) -> list[Scene]:
        return self.held.scenes

    def run(self) -> None:
        """Compute all that is missing.

        Raises ``WorkError`` naming what is missing at the end, with the log of the last worker that failed at it.
        Interrupted by Ctrl-C, it ends with the windows in hand, and pressed again at once; both raise
        ``KeyboardInterrupt``.
        """
        self._begin()
        with first_is_asked() as interrupted:
            try:
                self._loop(interrupted)
            except KeyboardInterrupt:
                for worker in self._workers.values():
                    worker.kill(self.clock())
                raise
        if interrupted():
            raise KeyboardInterrupt
        # At the beginning an adopted worker may have been writing, and then nothing was swept.
        self.held.sweep()
        self._check_complete()

    def _begin(self) -> None:
        home = self.crew.home
        self._jobs = {scene.key: Job.of(scene, self.only, self.held.files(scene)) for scene in self.scenes}
        notes = {} if self.held.is_new else home.read_devices()
        self._views = {device.id: _device_view(device.id, notes.get(device.id)) for device in self.devices}
        if self.held.is_new:
            for job in self._jobs.values():
                job.forgive()
        home.pause_path.unlink(missing_ok=True)
        self._log(f"supervisor begins, {len(self.scenes)} scenes on {', '.join(self._views)}")
        for member in self.crew.adopt(self.clock()):
            self._adopt(member)
        if not self._workers:
            self.held.sweep()

    def _adopt(self, member: Member) -> None:
        view = self._views.setdefault(member.device, DeviceView(member.device))
        if member.files.given_up_path.exists():
            self._views[member.device] = replace(view, lost=True)
            return
        if member.chunk is not None and member.chunk[0] in self._jobs:
            member.windows_at_order = self._chunk_view(member.chunk).windows_done
        self._workers[member.files.name] = member
        self._log(f"worker {member.files.name} still lives and is taken over")

    def _loop(self, interrupted: Callable[[], bool]) -> None:
        total = sum(job.frames_total for job in self._jobs.values())
        telling = Telling(self.reporter, total, self._frames_done())
        pace = PaceTelling(self.reporter, self.devices, {scene: scene.run_record() for scene in self.scenes})
        while True:
            if interrupted() and not self._interrupted:
                self._end_soon()
            seen = self._observe()
            self._hand_on()
            # On a network file system others tell by the time of this file that we live.
            self.held.renew(self.clock())
            pace.tell()
            telling.tell(self._frames_done(), self._paused, self._expected())
            actions = decide(seen)
            if any(isinstance(action, Finish) for action in actions):
                return
            try:
                for action in actions:
                    self._act(action)
            except FileSizeError:
                raise
            except StorageError as error:
                # Nothing can be written now. What was decided stays right, and is decided again in a moment.
                self._pause(error.problem)
                self._had_no_room = True
                self.wait(_FULL_DISK_SECONDS)
                self._stop_clocks()
            if not actions:
                self.wait(_POLL_SECONDS)

    def _end_soon(self) -> None:
        self._interrupted = True
        self.reporter.say("Ending with the windows in hand. Ctrl-C again ends at once, without them.")
        # On a full disk workers wait for room; the second Ctrl-C ends them.
        with suppress(OSError):
            self.crew.home.stop_path.touch()

    def _hand_on(self) -> None:
        for key, job in self._jobs.items():
            if key not in self._taken and self.only is None and not job.windows_left:
                self._taken.add(key)
                self.following.take(job.scene)

    def _chunk_views(self) -> Iterator[ChunkView]:
        in_hand = {worker.chunk[0] for worker in self._workers.values() if worker.chunk is not None}
        may_begin = self.following.may_begin()
        for key, job in self._jobs.items():
            begun = job.is_begun or key in in_hand
            for view in job.views():
                yield replace(view, waits=not (begun or may_begin))
            # One at a time: with the next look there may be less room.
            may_begin = may_begin and (begun or not self.following.discards)

    def _stop_clocks(self) -> None:
        """Let no worker count as hung for the time in which nothing could be written, not even its heartbeat."""
        for worker in self._workers.values():
            worker.progressed = self.clock()

    def _frames_done(self) -> int:
        return sum(job.frames_done for job in self._jobs.values())

    def _expected(self) -> Estimate | None:
        working = (worker for worker in self._workers.values() if worker.is_at_work)
        paces = [(worker.chunk, worker.seconds_per_window) for worker in working if worker.chunk is not None]
        return expected(self._jobs, paces)

    def _observe(self) -> Snapshot:
        self.held.require_there()
        now = self.clock()
        workers = tuple(worker.view(now) for worker in self._workers.values())
        for worker in self._workers.values():
            self._note_pace(worker)
        # Chunks are read after the workers: a worker seen as idle has its last window on disk by then. Only chunks
        # that somebody works on can have changed.
        for chunk in {worker.chunk for worker in self._workers.values() if worker.chunk is not None}:
            if chunk[0] in self._jobs:
                self._jobs[chunk[0]].look([chunk[1]])
        if any(worker.exit_code == -SIGKILL for worker in workers):
            self._looked = 0.0
        self._look_at_host(now)
        asked = [self.crew.home, *(RunFiles(scene.run_dir) for scene in self.scenes)]
        self._stopping = self._interrupted or any(files.stop_path.exists() for files in asked)
        return Snapshot(
            now,
            tuple(self._chunk_views()),
            workers,
            tuple(self._views.values()),
            self.retries,
            self._stopping,
            self._host,
            self._paused,
            self._paused_since,
            self.patience,
        )

    def _note_pace(self, worker: Member) -> None:
        view = self._views[worker.device]
        peak = max(view.peak_memory_bytes, worker.peak_memory_bytes)
        if (pace := worker.seconds_per_window) is not None:
            view = replace(view, seconds_per_window=pace, failed=())
        self._views[worker.device] = replace(view, peak_memory_bytes=peak)

    def _look_at_host(self, now: float) -> None:
        if now - self._looked >= _HOST_SECONDS or not self._looked:
            self._looked = now
            # Each worker has a window in hand and one being written; the supervisor's own files need room as well.
            needed = (2 * len(self._workers) + 1) * self.window_bytes
            host = replace(self.look(self.scenes[0]), disk_needed_bytes=needed)
            limit = f"the limit of {host.memory_bound}" if host.memory_bound != MACHINE else "the machine's memory"
            struck = self.killer.struck(now)
            self._host = replace(host, memory_killer=f"{limit} was used up" if struck else "")

    def _act(self, action: Action) -> None:
        match action:
            case Start(device_id):
                device = next(device for device in self.devices if device.id == device_id)
                member = self.crew.start(device, self.clock())
                self._workers[member.files.name] = member
                self._log(f"worker {member.files.name} starts")
            case Give(name, chunk):
                self._give(self._workers[name], chunk)
            # An order to quit, not a signal: the window in hand is finished first.
            case Quit(name):
                worker = self._workers[name]
                worker.give(Order(worker.order + 1), self.clock())
            case Kill(name, reason):
                # A worker that waits for room shows no progress. Where there is none, this raises.
                self._require_room()
                if self._had_no_room:
                    # There is some again: the worker finds it a moment later, and shows that it lives.
                    self._had_no_room = False
                    self._stop_clocks()
                    return
                self._log(f"worker {name} {reason} and is killed")
                self._workers[name].kill(self.clock())
            case Bury():
                self._bury(action)
            case Wait(reason):
                self._hold(reason)

    def _require_room(self) -> None:
        probe = temporary_beside(self.crew.home.pause_path)
        write_bytes(probe, bytes(_PROBE_BYTES))
        probe.unlink(missing_ok=True)

    def _give(self, worker: Member, chunk: ChunkId) -> None:
        view = self._chunk_view(chunk)
        worker.give(Order(worker.order + 1, *chunk, lock=view.attempts.lock), self.clock())
        worker.windows_at_order = view.windows_done
        self._log(f"worker {worker.files.name} gets chunk {chunk[1]} of {chunk[0]}")

    def _bury(self, action: Bury) -> None:
        worker = self._workers[action.worker]
        views = {**self._views, action.device.id: action.device}
        # All is written before any of it holds here: on a full disk a death is judged again, and counts once.
        self.crew.home.write_devices({name: _device_notes(view) for name, view in views.items()})
        # Not even SIGKILL ended it: its files stay, for it may still write; its chunk has another lock by now.
        if action.given_up:
            write_bytes(worker.files.given_up_path, b"")
        if action.chunk is not None and action.attempts is not None:
            self._jobs[action.chunk[0]].note(action.chunk, action.attempts)
        self._views = views
        del self._workers[action.worker]
        if not action.given_up:
            worker.forget()
        self._log(f"worker {action.worker} is {'given up' if action.given_up else 'gone'}: {action.reason}")

    def _hold(self, reason: str) -> None:
        if reason:
            Pause(reason, self.clock()).write(self.crew.home.pause_path)
        else:
            self.crew.home.pause_path.unlink(missing_ok=True)
        self._pause(reason)
        self._log(f"paused: {reason}" if reason else "goes on")

    def _pause(self, reason: str) -> None:
        if not self._paused:
            self._paused_since = self.clock()
        self._paused = reason

    def _chunk_view(self, chunk: ChunkId) -> ChunkView:
        self._jobs[chunk[0]].look([chunk[1]])
        return self._jobs[chunk[0]].view(chunk[1])

    def _log(self, line: str) -> None:
        self.held.log(line)

    def _check_complete(self) -> None:
        for job in self._jobs.values():
            job.look(range(len(job.chunks)))
        missing = {job.scene: [view for view in job.views() if view.left] for job in self._jobs.values()}
        every = [view for views in missing.values() for view in views]
        self._log(f"supervisor ends, {len(every)} chunks are not complete")
        self.missing = {scene: self._incomplete(views) for scene, views in missing.items() if views}
        if every:
            raise self._incomplete(every)

    def _incomplete(self, missing: list[ChunkView]) -> WorkError:
        return incomplete(missing, list(self._views.values()), self.crew.log_path, stopped=self._stopping)


def _device_view(device: str, notes: DeviceNotes | None) -> DeviceView:
    notes = notes or DeviceNotes()
    return DeviceView(device, notes.failed, notes.seconds_per_window, 0.0, notes.peak_memory_bytes)


def _device_notes(view: DeviceView) -> DeviceNotes:
    return DeviceNotes(view.failed, view.seconds_per_window, view.peak_memory_bytes)
