"""How a run goes, told to a reporter: where it began, how far it is, why it pauses, what is missing at its end.

In: frames done and the reason of a pause, again and again. Out: what the reporter is told, each thing once. This
file does not know how frames are counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vda.errors import WorkError
from vda.machine.devices import Device
from vda.models.weights import MINI
from vda.reporter import Reporter
from vda.scene.runstate import Pace, RunFiles, last_lines
from vda.scene.scene import RunRecord, Scene
from vda.scene.status import Estimate
from vda.shown import counted, duration
from vda.supervisor.seen import ChunkView, DeviceView

_MORE_MEMORY = (
    "Raise that limit, give fewer --devices, or start over with --restart and a smaller --input-size; "
    "the same command goes on with what is there."
)


@dataclass
class Telling:
    """One run. ``total`` are the frames of the merged videos, ``before`` those that were there when it began."""

    reporter: Reporter
    total: int
    before: int
    _began: bool = field(default=False, init=False)
    _paused: str = field(default="", init=False)

    def tell(self, done: int, paused: str, expected: Estimate | None) -> None:
        """Tell that ``done`` frames are there; ``paused`` says why nothing goes on: empty where it does."""
        if paused != self._paused:
            self._paused = paused
            self.reporter.say(f"Paused: {paused}." if paused else "There is room again.")
            # A new stage, so that the pause does not count in its rate.
            self._began = False
        if not self._began:
            self._began = True
            if self.before:
                self.reporter.say(f"{self.before} of {self.total} frames were already computed.")
            self.reporter.begin("computing depth", self.total, done)
        fps, seconds_left = (expected.fps, expected.seconds_left) if expected else (None, None)
        self.reporter.expect(fps, seconds_left)
        self.reporter.at(done)


@dataclass
class PaceTelling:
    """How long the big models take on CPUs, which is hours: said as soon as the first worker has measured it.

    Nothing is said of ``scenes`` whose pace is known already, for it was said then, nor where a GPU computes.
    """

    reporter: Reporter
    devices: Sequence[Device]
    scenes: Mapping[Scene, RunRecord | None]
    _waited_for: dict[Scene, RunRecord] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if all(device.kind == "cpu" for device in self.devices):
            self._waited_for = {
                scene: record
                for scene, record in self.scenes.items()
                if record is not None and record.model != MINI and _pace(scene, record) is None
            }

    def tell(self) -> None:
        for scene, record in list(self._waited_for.items()):
            if (pace := _pace(scene, record)) is not None:
                del self._waited_for[scene]
                say_pace(self.reporter, scene, record.model, pace.seconds_a_frame / len(self.devices))


def say_pace(reporter: Reporter, scene: Scene, model: str, seconds_a_frame: float) -> None:
    frames = len(scene.plan().frames)
    reporter.say(
        f"On this CPU {model} takes about {seconds_a_frame:.2f} seconds per frame: "
        f"{duration(seconds_a_frame * frames)} for {frames} frames."
    )


def _pace(scene: Scene, record: RunRecord) -> Pace | None:
    return Pace.found(RunFiles(scene.run_dir).pace_path(record.precision))


def incomplete(
    missing: list[ChunkView], devices: list[DeviceView], log_of: Callable[[str], Path], *, stopped: bool
) -> WorkError:
    """The error that lists what is missing, with the end of the log of the device that failed last."""
    names = ", ".join(f"chunk {view.id[1]} ({view.left} of {counted(view.windows, 'window')})" for view in missing)
    if stopped:
        return WorkError(f"Stopped as asked; missing: {names}.", "Run the same command again to go on.")
    failed = [(view.attempts.error, view.attempts.device) for view in missing if view.attempts.error]
    failed = failed or [(view.error, view.id) for view in devices if view.unborn]
    why = f" The last error: {failed[-1][0].rstrip('.')}." if failed else ""
    log = log_of(failed[-1][1]) if failed else None
    # Below a limit, the same again would end the same way.
    starved = any(view.attempts.memory_kills for view in missing)
    return WorkError(
        f"Not everything was computed; missing: {names}.{why}",
        _MORE_MEMORY if starved else "Run the same command again: it tries just what is missing.",
        log=log,
        tail=last_lines(log) if log else "",
    )
