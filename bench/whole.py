"""Whole commands, start-up included: `vda run` against the public way, and how soon the first window is begun."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch

from bench.figures import Figure
from vda.machine.devices import cpu_device
from vda.models.weights import find_weights, load_model
from vda.network.model import build_model
from vda.scene.events import WindowBegun, read_events
from vda.scene.scene import Scene
from vda.video import index_frames, probe, read_frames, write_clip

SAMPLE = Path(__file__).parents[1] / "data" / "sample.mp4"
WIDTH, HEIGHT, INPUT_SIZE, THREADS = 640, 360, 280, 2
# Fifteen windows and one more in the public way.
FRAMES = 332
SHORT = 25
START_SECONDS = 3.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Spent:
    """Seconds of a command and of all processes that it waited for."""

    wall: float
    cpu: float


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, _own_cache(Path(name) / "cache"):
        folder = Path(name)
        weights = _weights(folder / "vits.pth")
        yield from _first_windows(folder, weights)
        yield from _against_the_public_way(folder, weights)


def _against_the_public_way(folder: Path, weights: Path) -> Iterator[Figure]:
    film = _film(folder / "film.mp4", FRAMES)
    public = _command("bench.public", weights, film, INPUT_SIZE, THREADS)
    yield Figure(f"the public way, {FRAMES} frames", public.wall, "s")
    yield Figure("its CPU time", public.cpu, "s")
    for words, bound, options in _ways():
        scene = folder / "scene"
        _vda("split", film, "--scene", scene, "--devices", "cpu", "-q", "--restart")
        spent = _run(scene, weights, *options)
        yield Figure(f"vda run, {words}", spent.wall, "s")
        yield Figure("its CPU time", spent.cpu, "s")
        yield Figure(f"{words}: times the public speed", public.wall / spent.wall, "", bound, "at least")
        yield Figure(f"{words}: the public way's CPU time against its", public.cpu / spent.cpu)


def _ways() -> Iterator[tuple[str, float | None, tuple[str, ...]]]:
    """What is held against the public way: in words, the bound, the options."""
    yield "float32", 2.3, ("--precision", "fp32")
    if not cpu_device().has_bf16:
        return
    yield "bfloat16", 5.0, ("--precision", "bf16")
    if find_spec("openvino") is not None:
        options = ("--precision", "bf16", "--engine", "openvino")
        yield "bfloat16 with OpenVINO, translated for the first time", None, options
        yield "bfloat16 with OpenVINO", 6.5, options


def _first_windows(folder: Path, weights: Path) -> Iterator[Figure]:
    """From a command to the first window begun: the second of two, for the first one reads all from the disk."""
    film = _film(folder / "short.mp4", SHORT)
    vits = ("--model", "vits", "--weights", weights, "--input-size", INPUT_SIZE)
    for model, options in (("mini", ("--model", "mini")), ("vits", vits)):
        loading = _loading(model, weights if model == "vits" else None)
        for command in ("run", "depth"):
            for precision in ("fp32", "bf16") if model == "vits" and cpu_device().has_bf16 else ("fp32",):
                asked = (*options, "--precision", precision, "--devices", "cpu", "--threads", THREADS, "-q")
                begun = [_first_window(folder, command, film, asked) for _ in range(2)][-1]
                words = f"vda {command}, {model}, {precision}: to the first window, loading apart"
                yield Figure(words, begun.wall - loading.wall, "s", START_SECONDS)
                yield Figure("its CPU time", begun.cpu - loading.cpu, "s")


def _loading(model: str, path: Path | None) -> Spent:
    """What loading the weights once takes, their hash included: the least of three."""
    spent = []
    for _ in range(3):
        began, used = time.monotonic(), time.process_time()
        weights = find_weights(model, path)
        assert weights is not None
        load_model(model, weights)
        spent.append(Spent(time.monotonic() - began, time.process_time() - used))
    return min(spent, key=lambda found: found.cpu)


def _first_window(folder: Path, command: str, film: Path, options: tuple[object, ...]) -> Spent:
    """From the command to its first window begun; a film that nobody saw, in a scene of its own."""
    place = Path(tempfile.mkdtemp(dir=folder))
    mine, scene = place / "film.mp4", place / "scene"
    mine.write_bytes(film.read_bytes())
    if command == "run":
        _vda("split", mine, "--scene", scene, "--devices", "cpu", "-q")
    asked = (scene,) if command == "run" else (mine, "--scene", scene)
    began = time.time()
    process = subprocess.Popen(_words("vda", command, *asked, *options), stdout=subprocess.DEVNULL)
    cpu = 0.0
    while process.poll() is None and not (begun := _begun(scene)):
        cpu = _family_cpu(process.pid)
        time.sleep(_LOOK_SECONDS)
    process.wait()
    begun = begun or _begun(scene)
    if process.returncode or not begun:
        raise SystemExit(f"vda {command} failed")
    return Spent(begun - began, cpu)


def _begun(scene: Path) -> float:
    """When the first window was begun; 0 before."""
    with suppress(OSError):
        entries = (entry for entry in read_events(Scene(scene)) if isinstance(entry.event, WindowBegun))
        return min((entry.unix_s for entry in entries), default=0.0)
    return 0.0


def _family_cpu(pid: int) -> float:
    spent = 0.0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for member in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                spent += sum(member.cpu_times()[:2])
    return spent


def _run(scene: Path, weights: Path, *options: object) -> Spent:
    model = ("--model", "vits", "--weights", weights, "--input-size", INPUT_SIZE)
    return _vda("run", scene, *model, *options, "--devices", "cpu", "--threads", THREADS, "-q")


def _vda(*arguments: object) -> Spent:
    return _command("vda", *arguments)


def _command(module: str, *arguments: object) -> Spent:
    began = time.monotonic()
    process = subprocess.Popen(_words(module, *arguments), stdout=subprocess.DEVNULL, env=_environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{module} {' '.join(map(str, arguments))} failed")
    return Spent(time.monotonic() - began, usage.ru_utime + usage.ru_stime)


def _words(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def _environment() -> dict[str, str]:
    """For all alike: threads that wait sleep, so that CPU time means work, and a busy machine slows all alike."""
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}


class _own_cache:
    """Nothing is known of any film or network at the beginning."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> None:
        self._before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(self._place)

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = self._before


def _weights(path: Path) -> Path:
    """Random weights whose depth spreads, for a constant window would be computed again."""
    torch.manual_seed(0)
    model = build_model("vits")
    last = model.head.scratch.output_conv2[2]
    with torch.no_grad():
        last.weight.mul_(30)  # type: ignore[operator]
        last.bias.fill_(4.0)  # type: ignore[operator]
    torch.save(model.state_dict(), path)
    return path


def _film(path: Path, frames: int) -> Path:
    """The sample, forwards and backwards."""
    info = probe(SAMPLE)
    index = index_frames(info)
    sample = [
        cv2.resize(frame.rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        for frame in read_frames(info, index, 0, min(len(index), frames))
    ]
    turn = [*range(len(sample)), *range(len(sample) - 2, 0, -1)]
    pictures = (np.asarray(sample[turn[place % len(turn)]], np.uint8) for place in range(frames))
    write_clip(path, pictures, fps=Fraction(25))
    return path
