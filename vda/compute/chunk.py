"""A chunk's frames in, its raw windows on disk out: what a worker does with an order.

It takes up where the windows on disk end, walks down the memory ladder where memory runs out, computes windows
that are not to be trusted again in float32, and waits where there is no room. It does not know orders, heartbeats
or other workers; it tells and asks its ``Surroundings``.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vda.compute.computer import Computer, scene_source
from vda.compute.ladder import Part, step_down
from vda.errors import DeviceError, NoRoomError, WorkError
from vda.machine.locks import exclusive_lock
from vda.machine.shortage import is_out_of_memory
from vda.network.packing import PackedWindow, packed
from vda.scene.chunks import Plan
from vda.scene.events import (
    ChunkBegun,
    DecodedThere,
    Event,
    MemoryLowered,
    Paused,
    Resumed,
    WindowBegun,
    WindowComputed,
    WindowRecomputed,
)
from vda.scene.runstate import Outcome, Phase, Recomputed, RunFiles
from vda.scene.scene import Scene, WindowId
from vda.scene.windows import Window
from vda.scene.windowstore import WindowStore

if TYPE_CHECKING:
    from vda.compute.engine import Engine, FrameSource, WindowDepth

_POLL_SECONDS = 0.05
# Room in memory or on the disk is made by somebody else, and looked for at this pace.
_ROOM_SECONDS = 1.0
# One is packed while the one before it is written.
_WINDOWS_ON_THEIR_WAY = 2

Todo = list[tuple[WindowId, Window]]


@dataclass(frozen=True)
class Surroundings:
    """What computing a chunk asks and tells. ``pause_reason`` is empty where nothing stands in the way.

    After ``patience_s`` of waiting a chunk is left where it is: what its worker holds may be the very memory that
    everybody waits for.
    """

    should_stop: Callable[[], bool] = lambda: False
    pause_reason: Callable[[], str] = lambda: ""
    note: Callable[[Event], None] = lambda event: None
    phase: Callable[[Phase], None] = lambda phase: None
    patience_s: float = 60.0

    def may_go_on(self) -> bool:
        """Whether the next window may be begun: at once, or when there is room again; not if work should stop."""
        if self.should_stop() or not (reason := self.pause_reason()):
            return not self.should_stop()
        with self.paused(reason):
            end = time.monotonic() + self.patience_s
            while self.pause_reason() and not self.should_stop() and time.monotonic() < end:
                time.sleep(_ROOM_SECONDS)
        return not self.pause_reason() and not self.should_stop()

    @contextmanager
    def paused(self, reason: str) -> Iterator[None]:
        """Tell of a pause for ``reason``, which lasts as long as the context."""
        self.note(Paused(reason))
        self.phase("paused")
        began = time.monotonic()
        yield
        self.phase("computing")
        self.note(Resumed(time.monotonic() - began))


def compute_chunk(
    scene: Scene,
    chunk: int,
    computer: Computer,
    around: Surroundings = Surroundings(),
    *,
    lock: Path | None = None,
) -> Outcome:
    """Compute the windows of ``chunk`` that are not on disk yet; return ``done`` or ``stopped``.

    Windows are packed and written in threads while the next one is computed, so a kill costs at most three: the
    one in hand, the one being packed and the one being written; on a GPU one more, on its way to the host.
    ``should_stop`` is asked after each window. Where another process still computes the chunk, for it holds
    ``lock`` (None: the chunk's first), its end is awaited.
    Raises ``DeviceError`` where memory does not suffice for anything, ``WorkError`` where a window is not finite
    even in float32.
    """
    around.phase("waiting")
    with _waiting_lock(lock or RunFiles(scene.run_dir).chunk_lock(chunk), around.should_stop) as ours:
        if not ours:
            return "stopped"
        # Read once: of a film of many shots the plan is long, and each shot has a chunk.
        plan = scene.plan()
        todo = scene.missing_windows(plan.chunks[chunk])
        around.phase("computing")
        around.note(ChunkBegun(len(todo), str(computer.engine.fit)))
        _compute_windows(scene, plan, todo, computer, around)
        return "stopped" if scene.missing_windows(plan.chunks[chunk]) else "done"


def _compute_windows(scene: Scene, plan: Plan, todo: Todo, computer: Computer, around: Surroundings) -> None:
    if not todo:
        return
    # A chunk is of one sequence.
    device, decoder = computer.engine.device, computer.decoder
    source = scene_source(scene, plan, todo[0][0][0], computer.record, computer.threads, device, decoder)
    slots = [window.frame_indices for _, window in todo]
    edge, store = plan.edge, WindowStore.of(scene, computer.record)
    depths = answers(slots, source, computer.engine, computer, around)
    with (
        ThreadPoolExecutor(1, "window-writer") as writer,
        ThreadPoolExecutor(computer.threads, "slot-packer") as packers,
        closing(depths),
    ):
        waiting: deque[Future[None]] = deque()
        for key, window in todo:
            if not around.may_go_on():
                break
            around.note(WindowBegun(*key))
            began = time.monotonic()
            answer = next(depths)
            sound, precision = _trusted(scene, key, window, answer, source, computer, around)
            seconds = time.monotonic() - began
            if len(waiting) == _WINDOWS_ON_THEIR_WAY:
                waiting.popleft().result()
            kept = window.kept
            around.note(WindowComputed(*key, edge(kept.start), edge(kept.stop), seconds, precision))
            window_packed = packed(sound.kept, packers, sound.ends)
            waiting.append(writer.submit(_write, store, key, window_packed, answer.missing, around))
        while waiting:
            waiting.popleft().result()
    if decoder.kind == "gpu":
        around.note(DecodedThere(decoder.frames, "; ".join(decoder.doubts)))


def answers(
    windows: Sequence[tuple[int, ...]],
    source: "FrameSource",
    engine: "Engine",
    computer: Computer,
    around: Surroundings = Surroundings(),
) -> Generator["WindowDepth", None, None]:
    """Compute windows on ``engine``, one step further down the memory ladder each time that memory runs out."""
    done = 0
    while done < len(windows):
        try:
            with closing(engine.compute(windows[done:], source)) as depths:
                for answer in depths:
                    done += 1
                    yield answer
            return
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Out of the handler, whose traceback would keep what was being computed in memory.
        _step_down(computer, engine.part, problem, around)


def _step_down(computer: Computer, part: Part, problem: str, around: Surroundings) -> None:
    lower = step_down(computer.engine.fit, part)
    if lower is None:
        raise DeviceError(
            f"The device's memory does not suffice even for one frame at a time ({problem}).",
            "Leave the device out of --devices, or start over with --restart and a smaller --input-size.",
        )
    around.note(MemoryLowered(str(computer.engine.fit), str(lower), problem))
    computer.use(lower)


def _trusted(
    scene: Scene,
    key: WindowId,
    window: Window,
    answer: "WindowDepth",
    source: "FrameSource",
    computer: Computer,
    around: Surroundings,
) -> "tuple[WindowDepth, str]":
    """Return what is to be written and its precision: float32, and listed, where it was not finite or constant.

    A constant window in float32 is what it is: a video may begin in black.
    """
    from vda.compute.precision import check_window

    problem = check_window(answer.kept, answer.ends)
    if problem is None or (computer.record.precision == "fp32" and "finite" not in problem):
        return answer, computer.record.precision
    around.note(WindowRecomputed(*key, problem))
    (again,) = answers([window.frame_indices], source, computer.exact(), computer, around)
    still = check_window(again.kept, again.ends)
    if still is not None and "finite" in still:
        raise WorkError(
            f"Window {key[0]}/{key[1]} cannot be computed, even in float32: {still}.",
            "Run the same command again; if it stays so, check the weights with 'vda weights verify'.",
        )
    RunFiles(scene.run_dir).note_recomputed(Recomputed(key, problem, "fp32"))
    return again, "fp32"


def _write(
    store: WindowStore, key: WindowId, window: PackedWindow, missing: tuple[int, ...], around: Surroundings
) -> None:
    """Write a raw window; where the disk is full, wait until there is room."""
    while True:
        try:
            return store.write(key, window, missing)
        except NoRoomError as error:
            if around.should_stop():
                raise
            problem = error.problem
        with around.paused(problem):
            time.sleep(_ROOM_SECONDS)


@contextmanager
def _waiting_lock(path: Path, should_stop: Callable[[], bool]) -> Iterator[bool]:
    """Take the lock ``path`` as soon as it is free; yield False where ``should_stop`` came first."""
    while not should_stop():
        with exclusive_lock(path) as ours:
            if ours:
                yield True
                return
        time.sleep(_POLL_SECONDS)
    yield False
