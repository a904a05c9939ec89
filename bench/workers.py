"""Two workers on the CPU against one, beside bare processes; and one worker made three times slower."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.figures import Figure
from bench.material import make_video, settings
from vda.api.pipeline import plan_scene, run
from vda.launch.local import LocalLauncher, LocalProcess
from vda.machine.devices import cpu_device
from vda.reporter import Silence
from vda.scene.events import WindowBegun, WindowComputed, read_events
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor import Crew, Supervisor, hold
from vda.supervisor.resolve import Resolver

FRAMES = 640
SLOWER = 3

# A share of the chunks, computed as a worker would, with nobody to tell it what to do: decoding, network, writing.
_BARE = """
import sys, time
from pathlib import Path
from vda.compute.chunk import compute_chunk
from vda.compute.computer import load_computer
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene
scene, share, shares = Scene(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
computer = load_computer(scene.run_record(), RunFiles(scene.run_dir), "cpu", 1)
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
for chunk in range(share, len(scene.plan().chunks), shares):
    compute_chunk(scene, chunk, computer)
print(time.monotonic() - began, flush=True)
"""


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as place:
        video = make_video(Path(place) / "v.mp4", FRAMES)
        scenes = {n: plan_scene(video, Path(place) / str(n), PlanSettings(chunks=8)) for n in (1, 2)}
        # Run once, so that what is computed is fixed; then the bare processes find it so.
        ours = {n: _supervised(scene, n) for n, scene in scenes.items()}
        bare = {n: _bare(scene, n) for n, scene in scenes.items()}
        gain, possible = ours[1] / ours[2], bare[1] / bare[2]
        yield Figure("two bare processes against one", possible, "times as fast")
        yield Figure("two workers against one", gain, "times as fast")
        yield Figure("share of the possible gain", gain / possible, "", 0.92, "at least")
        yield from _slowed(plan_scene(video, Path(place) / "slowed", PlanSettings(chunks=8)))


def _supervised(scene: Scene, workers: int) -> float:
    """Seconds a window, while all workers compute: the first windows tell when they have begun."""
    run([scene], settings(",".join(["cpu"] * workers)))
    times = sorted(scene.window_path(window).stat().st_mtime for window in scene.finished_windows())
    return (times[-1] - times[workers - 1]) / (len(times) - workers)


def _bare(scene: Scene, processes: int) -> float:
    """Seconds that the slowest of some bare processes takes for its share, all at once."""
    scene.discard_windows()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _BARE, str(scene.root), str(share), str(processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in range(processes)
    ]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in running)


class _SlowedLauncher(LocalLauncher):
    """Stops the worker on the second device for two thirds of the time."""

    def start(self, home: Path, name: str, log: Path, environment: dict[str, str]) -> LocalProcess:
        process = super().start(home, name, log, environment)
        if name.startswith("cpu-1-"):
            stutter = 'while kill -STOP "$0"; do sleep 0.2; kill -CONT "$0" || exit; sleep 0.1; done'
            subprocess.Popen(["sh", "-c", stutter, str(process.pid)], stderr=subprocess.DEVNULL)
        return process


def _slowed(scene: Scene) -> Iterator[Figure]:
    devices = [cpu_device(0), cpu_device(1)]
    crew = Crew(scene, _SlowedLauncher(), 1)
    with ExitStack() as locks:
        held = hold([scene], locks)
        Resolver(settings("cpu,cpu"), devices, crew, Silence()).fix(scene)
        Supervisor(held, devices, crew).run()
    chunks: dict[tuple[str, int], list[float]] = {}
    for entry in read_events(scene):
        if isinstance(entry.event, WindowBegun | WindowComputed):
            chunks.setdefault((entry.device, entry.chunk), []).append(entry.unix_s)
    ends = {device: max(max(t) for (who, _), t in chunks.items() if who == device) for device, _ in chunks}
    longest = max(max(times) - min(times) for times in chunks.values())
    yield Figure(
        f"chunks that the worker made {SLOWER} times slower took of 8", sum(d == "cpu:1" for d, _ in chunks)
    )
    yield Figure("between the two workers' ends, in chunks of the slower", _gap(ends) / longest, "", 1.0)


def _gap(ends: dict[str, float]) -> float:
    return max(ends.values()) - min(ends.values())
