"""One chunk on one device of this machine: what an engine's task does, and what ``vda task`` does by hand.

In: a planned scene whose run is fixed, a chunk. Out: the chunk's raw windows. A supervisor as at home watches over
one worker; its locks, orders and heartbeats are on the machine's own disk, and the scene gets whole files alone.
Who runs tasks, where and how often is not known here: many on one chunk do no harm.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from vda.cluster.lease import Lease
from vda.cluster.proving import KindProof, prove_here, require_proven
from vda.cluster.staging import Reader, staged, staging_place, sweep
from vda.cluster.taskfiles import TaskName, TaskTelling
from vda.errors import DeviceError, SceneError, StorageError, UsageError, VdaError, WorkError
from vda.files import append_line, never_made_anew, require_writable
from vda.launch.interrupts import signals_ask
from vda.launch.local import LocalLauncher
from vda.machine.choice import choose_devices
from vda.machine.devices import Device, Inventory
from vda.machine.locks import exclusive_lock, keeps_locks
from vda.machine.shortage import COMPUTING_BYTES, require_memory
from vda.records import Within, is_count, require_sound
from vda.reporter import Reporter, Silence
from vda.scene.chunks import Chunk
from vda.scene.runstate import Holder, RunFiles
from vda.scene.scene import Scene
from vda.shown import quoted
from vda.supervisor import (
    Crew,
    Held,
    Supervisor,
    require_in_place,
    require_seen,
    require_unsupervised,
    window_bytes,
)
from vda.supervisor.resolve import RunSettings

TaskOutcome = Literal["done", "stopped", "failed"]
EXIT_STOPPED = 75
"""Of a task that ended before its chunk was whole, to be started again (sysexits.h: EX_TEMPFAIL)."""
EXIT_INTERRUPTED = 130
_HOME_PREFIX = "vda-task-"
_GOES_ON = "Start it again: it goes on from there."


@dataclass(frozen=True)
class TaskSettings:
    """How this machine computes its chunk; what the scene is computed with is fixed with the scene."""

    devices: str = "auto"
    threads: Annotated[int, Within(1)] | None = None
    batch_size: Annotated[int, Within(0)] = 0
    retries: Annotated[int, Within(0)] = 3
    stage_video: str | None = None
    """A folder of this machine, or ``auto``: the video is copied there and read from there (``staging``)."""
    decoder: Literal["cpu", "gpu"] = "cpu"

    def __post_init__(self) -> None:
        """Refuse, with ``UsageError``, what no machine could run."""
        require_sound(self)


def task_words(settings: RunSettings) -> list[str]:
    """What ``vda task`` is told of a run's ``settings``; how many threads it has is for each engine to say."""
    words = ["--devices", settings.devices, "--retries", str(settings.retries)]
    if settings.batch_size:
        words += ["--batch-size", str(settings.batch_size)]
    if settings.decoder != "cpu":
        words += ["--decoder", settings.decoder]
    if settings.stage_video is not None:
        words += ["--stage-video", settings.stage_video]
    return words


def require_on_tasks(settings: RunSettings, engine: str, choosing: str) -> None:
    """Refuse, with ``UsageError``, what no task can do; ``choosing`` says how ``engine`` is told of devices."""
    if settings.devices not in ("auto", "cpu"):
        raise UsageError(
            f"A task computes on the device that {engine} gives it, not on --devices {settings.devices}.",
            f"Give auto or cpu; which GPUs there are {choosing}.",
        )
    if settings.decoder == "gpu" and settings.devices == "cpu":
        raise UsageError(
            "--decoder gpu is for NVIDIA's GPUs, and --devices cpu has tasks do without.", "Leave one of them out."
        )


@dataclass
class _TaskHeld(Held):
    """A chunk that is ours by its claim; all but windows and diaries is in ``home``, on this machine."""

    home: RunFiles = field(kw_only=True)
    lease: Lease = field(kw_only=True)
    telling: TaskTelling = field(kw_only=True)

    def renew(self, now: float) -> None:
        """Show that the task lives, and how far it is; where another has the chunk by now, its worker ends."""
        if not self.lease.renew():
            self.telling.owns = False
            self.home.stop_path.touch()
        self.telling.watch(self.home)

    def end(self) -> None:
        """Nothing: the claim goes with its task."""

    def files(self, scene: Scene) -> RunFiles:
        return self.home

    def sweep(self) -> None:
        """Nothing: what lies in the scene half-written may be another machine's."""

    def log(self, line: str) -> None:
        with suppress(StorageError):
            append_line(self.telling.log_path, f"{time.strftime('%Y-%m-%d %H:%M:%S')} pid {os.getpid()}: {line}")

    def require_there(self) -> None:
        require_seen(self.home)
        for scene in self.scenes:
            require_in_place(scene, scene.run_path)


def run_task(
    scene: Scene,
    chunk: int,
    settings: TaskSettings = TaskSettings(),
    reporter: Reporter | None = None,
    name: TaskName | None = None,
) -> TaskOutcome:
    """Compute the windows of ``chunk`` that are missing, on one device of this machine.

    It is ``done`` when all are there, whoever computed them; ``stopped`` where a signal, ``vda_run/stop`` or
    another task with the chunk's claim came first. Raises ``WorkError`` where the chunk fails, and whatever else
    stands in its way, such as ``SceneError`` where nothing is fixed yet; the chunk's record says so as well.
    """
    reporter, name = reporter or Silence(), name or TaskName.of(os.environ)
    telling = TaskTelling(scene, require_fixed(scene, chunk), name)
    try:
        return _run(scene, settings, reporter, telling)
    except KeyboardInterrupt:
        telling.end("stopped", EXIT_INTERRUPTED, "It was interrupted.", _GOES_ON)
        raise
    except VdaError as error:
        telling.fail(error)
        raise


def require_fixed(scene: Scene, chunk: int) -> Chunk:
    """Return the chunk; ``UsageError`` without such a one, ``SceneError`` where the scene is not ready for it."""
    chunks = scene.plan().chunks
    if not 0 <= chunk < len(chunks):
        raise UsageError(f"{scene.root} has no chunk {chunk}.", f"Its chunks are 0 to {len(chunks) - 1}.")
    if scene.run_record() is None:
        raise SceneError(
            f"It is not fixed yet what {scene.root} is computed with.",
            f"Begin it with 'vda run {quoted(scene.root)}', or with --on slurm or --on ray: any of them fixes it.",
        )
    return chunks[chunk]


def _run(scene: Scene, settings: TaskSettings, reporter: Reporter, telling: TaskTelling) -> TaskOutcome:
    chunk = telling.chunk.index
    if telling.is_whole():
        if settings.stage_video is not None:
            sweep(staging_place(settings.stage_video))
        return "done"
    require_memory(*COMPUTING_BYTES)
    scene.require_video()
    require_writable(scene.run_dir)
    place = None if settings.stage_video is None else staging_place(settings.stage_video)
    device = _device(settings.devices, reporter)
    telling.device = device.id
    if settings.decoder == "gpu" and device.kind != "cuda":
        raise DeviceError(
            f"--decoder gpu is for NVIDIA's GPUs, and this task computes on {device.label}.",
            "Leave it out, or have NVIDIA's nodes alone take tasks.",
        )
    with ExitStack() as ends:
        home = ends.enter_context(_home())
        ends.enter_context(signals_ask(home.stop_path))
        ends.enter_context(never_made_anew(scene.root))
        asked = home.stop_path, RunFiles(scene.run_dir).stop_path

        def should_stop() -> bool:
            return any(path.exists() for path in asked)

        lease = Lease.on(RunFiles(scene.run_dir), chunk, telling.name)
        ends.callback(lease.release)

        def is_over() -> bool:
            return should_stop() or not lease.renew()

        if problem := _not_ours(scene, telling, lease, should_stop):
            if telling.is_whole():
                return "done"
            reporter.say(problem)
            return "stopped"
        telling.begin()
        if place is not None:
            ends.enter_context(staged(scene.video(), place, reporter, is_over, Reader(scene, chunk)))
        held = _TaskHeld([scene], Holder.this_process(home.folder), True, home=home, lease=lease, telling=telling)
        threads = settings.threads or _cores()
        crew = Crew(scene, LocalLauncher(), threads, settings.batch_size, settings.decoder, home, telling.log_path)
        require_proven(scene, device, crew, telling.name.host, reporter)
        space = window_bytes(scene, worst=True)
        supervisor = Supervisor(held, [device], crew, settings.retries, (chunk,), space, reporter)
        return _supervised(supervisor, held, should_stop, reporter)


def run_proof(
    scene: Scene,
    settings: TaskSettings = TaskSettings(),
    reporter: Reporter | None = None,
    name: TaskName | None = None,
) -> KindProof:
    """Try half precision for ``scene`` on one device of this machine, as ``proving`` asks; no chunk is claimed."""
    reporter, name = reporter or Silence(), name or TaskName.of(os.environ)
    scene.require()
    require_memory(*COMPUTING_BYTES)
    scene.require_video()
    device = _device(settings.devices, reporter)
    log = scene.logs_dir / f"proof.{name.slug}.log"
    with _home() as home, never_made_anew(scene.root):
        crew = Crew(scene, LocalLauncher(), settings.threads or _cores(), settings.batch_size, apart=home, log=log)
        return prove_here(scene, device, crew, name.host, reporter)


def _not_ours(scene: Scene, telling: TaskTelling, lease: Lease, should_stop: Callable[[], bool]) -> str:
    """Take the claim; or say why the chunk is not to be computed here and now."""
    try:
        require_unsupervised(scene)
    except SceneError as error:
        return error.problem
    holder = lease.await_turn(lambda: should_stop() or telling.is_whole())
    if should_stop():
        stop = RunFiles(scene.run_dir).stop_path
        return f"It was asked to stop before it began{f' ({stop} is there)' if stop.exists() else ''}."
    return "" if holder is None else f"Chunk {telling.chunk.index} is being computed by {holder}."


def _supervised(
    supervisor: Supervisor, held: _TaskHeld, should_stop: Callable[[], bool], reporter: Reporter
) -> TaskOutcome:
    try:
        supervisor.run()
    except WorkError as error:
        held.telling.watch(held.home, now=True)
        if not should_stop():
            raise held.telling.explained(error) from error
        why = "Another task has the chunk by now." if held.lease.lost else "It was asked to stop."
        reporter.say(why)
        # By a signal of the engine's: what a person ends, or another task has, is no attempt.
        is_warned = not held.lease.lost and not RunFiles(held.scenes[0].run_dir).stop_path.exists()
        vain = held.telling.stop(EXIT_STOPPED, why, _GOES_ON, is_attempt=is_warned)
        if vain > supervisor.retries:
            raise _too_short(held, vain) from error
        return "stopped"
    held.telling.end("done", 0)
    return "done"


def _too_short(held: _TaskHeld, vain: int) -> WorkError:
    return WorkError(
        f"Chunk {held.telling.chunk.index} was told to end {vain} times in a row before a window was finished.",
        "Give its tasks more time, such as --slurm time=2:00:00, or a place where they are not ended so soon.",
    )


def _device(request: str, reporter: Reporter) -> Device:
    """The one device of this task: an engine shows a task just its own."""
    choice = choose_devices(request, Inventory.of_this_machine())
    for note in choice.notes:
        reporter.say(note)
    if len(choice.devices) > 1 and request != "auto":
        raise UsageError("A task computes on one device.", "Name one in --devices, and start a task for each.")
    device = choice.devices[0]
    if request == "auto" and device.kind == "cpu" and _was_given_a_gpu():
        raise DeviceError(
            "This task was given a GPU (CUDA_VISIBLE_DEVICES), and none can be used here.",
            "Run 'vda doctor' on that node; or give --devices cpu, if the CPU is to compute.",
        )
    reporter.say(f"It computes on {device.label}.")
    return device


def _was_given_a_gpu() -> bool:
    """Whether the engine says so: days on a CPU by mistake are what nobody wants."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    # SLURM's word for none is NoDevFiles.
    return given not in ("", "-1", "NoDevFiles")


def _cores() -> int:
    """CPUs that this task may use: a job seldom has all that its node has."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(given) if is_count(given) and int(given) else len(os.sched_getaffinity(0))


@contextmanager
def _home() -> Iterator[RunFiles]:
    """A run's home on this machine's own disk, held as a supervisor holds it, and gone afterwards."""
    folder = Path(tempfile.gettempdir())
    if not keeps_locks(folder):
        raise StorageError(
            f"{folder}, where a task has its locks, is on a file system that keeps none.",
            "Set TMPDIR to a folder on the machine's own disk.",
        )
    _sweep_homes(folder)
    # A worker that cannot even be killed finds no place for its heartbeat, and says so in the log.
    with ExitStack() as ends:
        yield _new_home(folder, ends)


def _new_home(folder: Path, ends: ExitStack) -> RunFiles:
    while True:
        home = Path(tempfile.mkdtemp(prefix=_HOME_PREFIX, dir=folder))
        ends.callback(shutil.rmtree, home, ignore_errors=True)
        files = RunFiles(home / "run")
        if ends.enter_context(exclusive_lock(files.supervisor_lock)):
            return files
        # Another task that begins here found it before it was locked, and sweeps it.


def _sweep_homes(folder: Path) -> None:
    """Remove the homes of tasks that were killed here, once nobody works there any more."""
    for home in folder.glob(f"{_HOME_PREFIX}*"):
        files = RunFiles(home / "run")
        with suppress(OSError, StorageError):
            if home.stat().st_uid != os.getuid() or not files.supervisor_lock.is_file():
                continue
            with exclusive_lock(files.supervisor_lock) as is_left:
                if is_left and not any(each.is_alive() for each in files.workers()):
                    shutil.rmtree(home, ignore_errors=True)
