"""`vda enrich` of 200,000 records over 2,000 depth images: seconds and peak memory, with smoothing and without.

Wall clock is held to its bound. Processor time stands beside it, for it does not see other work on the machine.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.figures import Figure
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16

FRAMES, THINGS, WIDTH, HEIGHT = 2_000, 100, 640, 360
MOST_SECONDS, MOST_MB = 25.0, 300.0
_TELLING_ITS_PEAK = """
import atexit
from bench.enriching import tell_peak
from vda.cli import main
atexit.register(tell_peak)
main()
"""


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_depth(folder / "depth")
        for tracks in (_classic(folder / "tracks.json"), _boxes(folder / "tracks.txt")):
            for options in ((), ("--smooth", "--fps", 25)):
                yield from _figures(folder, tracks, options)


def _write_depth(folder: Path) -> None:
    """Walls and a floor with the noise of a sensor, in millimetres."""
    folder.mkdir()
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.02, (HEIGHT, WIDTH)).astype(np.float32)
    quantizer = Quantizer.millimetres()
    for frame in range(FRAMES):
        metres = 6 + 3 * np.sin((x + frame) / 80) - y / 150 + np.roll(noise, frame, 1)
        write_png16(folder / f"depth_{frame:06d}.png", quantizer.encode(metres))
    DepthRecord(quantizer, FRAMES, WIDTH, HEIGHT, "sensor").write(folder / "depth.json")


def _places() -> Iterator[tuple[int, int, float, float]]:
    """Frame, thing, and where it is: each goes to and fro."""
    start = np.random.default_rng(1).uniform((60, 100), (WIDTH - 60, HEIGHT - 20), (THINGS, 2))
    for frame in range(FRAMES):
        for thing, (x, y) in enumerate(start):
            yield frame, thing, x + 30 * np.sin(frame / 40 + thing), y


def _classic(path: Path) -> Path:
    with path.open("w") as handle:
        handle.write(f'{{"metadata": {{"width": {WIDTH}, "height": {HEIGHT}}}, "tracks": [')
        for row, (frame, thing, x, y) in enumerate(_places()):
            record = {"frame": f"frame_{frame:06d}", "track_id": thing, "class": "person", "contact_2d": [x, y]}
            handle.write((", " if row else "") + json.dumps(record))
        handle.write("]}")
    return path


def _boxes(path: Path) -> Path:
    with path.open("w") as handle:
        for frame, thing, x, y in _places():
            handle.write(f"{frame + 1},{thing},{x - 10:.1f},{y - 60:.1f},20,60,1\n")
    return path


def _figures(folder: Path, tracks: Path, options: tuple[object, ...]) -> Iterator[Figure]:
    arguments = ["enrich", "--depth-dir", folder / "depth", "--tracks", tracks, "--fov", 70, "--overwrite", "-q"]
    arguments += ["--output", folder / f"out{tracks.suffix}", *options]
    command = [sys.executable, "-c", _TELLING_ITS_PEAK, *map(str, arguments)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit("vda enrich failed")
    name = (
        f"{FRAMES * THINGS:,} {'points' if tracks.suffix == '.json' else 'boxes'}{', smoothed' if options else ''}"
    )
    yield Figure(f"{name}: wall clock", seconds, "s", MOST_SECONDS)
    yield Figure(f"{name}: processor time", used.ru_utime + used.ru_stime, "s")
    yield Figure(f"{name}: peak memory", float(told.split()[-1]), "MB", MOST_MB)


def tell_peak() -> None:
    """Print this process's own peak of memory in MB; in ``ru_maxrss`` is that of the one that started it, too."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        print(int(line.split()[1]) / 1e3)
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(peak / (1e6 if sys.platform == "darwin" else 1e3))
