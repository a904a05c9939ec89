"""Films that are computed on this machine first: what a cluster makes of them must be the same bytes."""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_runs import check, depth_digest, make_video, make_weights, run_options, vda

from vda.api import stages
from vda.machine.locks import exclusive_lock

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample.mp4"
# Of the small film: 352 frames are 16 windows, each of which goes on by 22 frames.
FRAMES, CHUNKS, WINDOWS_A_CHUNK = 352, 4, 4


def windows_digest(scene: Path) -> dict[str, str]:
    """The sha256 of every raw window of a scene, by name."""
    windows = sorted((scene / "vda_windows").glob("window_*.npz"))
    return {window.name: hashlib.sha256(window.read_bytes()).hexdigest() for window in windows}


def submitted(scene: Path) -> list[dict[str, Any]]:
    """The jobs that were submitted for a scene, in order."""
    found = [json.loads(path.read_text()) for path in (scene / "vda_run" / "cluster" / "submitted").glob("*.json")]
    return sorted(found, key=lambda entry: int(entry["job"]))


def names_of_chunk(chunk: int, windows: int = WINDOWS_A_CHUNK) -> list[str]:
    """The files of the windows of a chunk of the small film, in chunks of ``windows``."""
    first = chunk * windows
    return [f"window_000_{number:05d}.npz" for number in range(first, first + windows)]


@dataclass(frozen=True)
class Film:
    """A video, what it is computed with, and the bytes that a run on this machine gives."""

    video: Path
    options: list[object]
    chunks: int
    windows: dict[str, str]
    images: dict[str, str]

    @classmethod
    def computed(cls, video: Path, options: list[object], chunks: int, scene: Path) -> "Film":
        check(vda("depth", video, "--scene", scene, "--chunks", chunks, *options, "--devices", "cpu", "-q"))
        return cls(video, options, chunks, windows_digest(scene), depth_digest(scene))

    def plan(self, scene: Path, chunks: int = 0) -> Path:
        """A scene of the film, in as many ``chunks`` as here or in others: that changes no byte."""
        stages.plan(self.video, scene, chunks=chunks or self.chunks)
        return scene

    def require_same(self, scene: Path) -> None:
        """Merge, and hold windows and images against those of the run on this machine."""
        assert windows_digest(scene) == self.windows
        stages.merge(scene)
        assert depth_digest(scene) == self.images


def of_all(base: Path, name: str, make: Callable[[Path], Film]) -> Film:
    """The film ``name``, which ``make`` computes in a folder of its own: once for all processes of a session.

    ``base`` is pytest's folder for this process; those of the others lie beside it.
    """
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with exclusive_lock(place.with_suffix(".lock"), wait=True):
        made = place / "film.pickle"
        if not made.exists():
            # What a process that failed at it has left.
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            made.with_suffix(".new").write_bytes(pickle.dumps(make(place)))
            made.with_suffix(".new").rename(made)
        film = pickle.loads(made.read_bytes())
        assert isinstance(film, Film)
        return film


def small_film(folder: Path) -> Film:
    weights = make_weights(folder / "weights.safetensors")
    return Film.computed(make_video(folder / "film.mp4", FRAMES), run_options(weights), CHUNKS, folder / "here")


def sample_film(folder: Path) -> Film:
    return Film.computed(SAMPLE, ["--model", "mini", "--threads", 1], CHUNKS, folder / "sample")
