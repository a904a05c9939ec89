"""A small film with a small network, what a run on this machine makes of it, and holding a task in its middle."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from depth_runs import check, depth_digest, make_video, make_weights, run_options, vda

from cluster.awaiting import until
from cluster.nodes import Slurm

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample.mp4"
# Of the small film: 352 frames are 16 windows, each of which goes on by 22 frames.
FRAMES, CHUNKS, WINDOWS_A_CHUNK = 352, 4, 4


def windows_digest(scene: Path) -> dict[str, str]:
    """The sha256 of every raw window of a scene, by name."""
    windows = sorted((scene / "vda_windows").glob("window_*.npz"))
    return {window.name: hashlib.sha256(window.read_bytes()).hexdigest() for window in windows}


def names_of_chunk(chunk: int) -> list[str]:
    """The files of the windows of a chunk of the small film."""
    first = chunk * WINDOWS_A_CHUNK
    return [f"window_000_{number:05d}.npz" for number in range(first, first + WINDOWS_A_CHUNK)]


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

    def plan(self, scene: Path) -> Path:
        check(vda("split", self.video, "--scene", scene, "--chunks", self.chunks, "-q"))
        return scene

    def require_same(self, scene: Path) -> None:
        """Merge, and hold windows and images against those of the run on this machine."""
        assert windows_digest(scene) == self.windows
        check(vda("merge", scene, "-q"))
        assert depth_digest(scene) == self.images


def small_film(folder: Path) -> Film:
    weights = make_weights(folder / "weights.safetensors")
    return Film.computed(make_video(folder / "film.mp4", FRAMES), run_options(weights), CHUNKS, folder / "here")


def sample_film(folder: Path) -> Film:
    return Film.computed(SAMPLE, ["--model", "mini"], CHUNKS, folder / "sample")


@dataclass
class Gate:
    """Where workers wait that are about to finish a window which a test holds."""

    folder: Path
    held: set[str] = field(default_factory=set)

    def hold(self, window: str) -> None:
        (self.folder / f"{window}.hold").touch()

    def release(self, window: str) -> None:
        (self.folder / f"{window}.hold").unlink(missing_ok=True)

    def waiting(self, window: str) -> set[int]:
        """The processes that came as far as ``window`` while it was held."""
        return {int(path.suffix[1:]) for path in self.folder.glob(f"{window}.[0-9]*")}


@dataclass(frozen=True)
class Cluster:
    """A SLURM that tests may use and break, and the gate that its jobs pass."""

    slurm: Slurm
    gate: Gate

    @property
    def environment(self) -> dict[str, str]:
        """For ``vda`` and its jobs: this checkout, the gate, this SLURM."""
        path = [str(Path(__file__).with_name("gate")), str(ROOT), os.environ.get("PYTHONPATH", "")]
        return {
            **self.slurm.environment,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "VDA_TEST_GATE": str(self.gate.folder),
            "OMP_NUM_THREADS": "1",
        }

    def until_held(self, window: str, others: set[int] | None = None) -> set[int]:
        """The processes that wait at ``window``, once there is one that is none of ``others``."""
        return until(lambda: self.gate.waiting(window) - (others or set()), f"a task at {window}", self.told)

    def until_all_ended(self) -> None:
        until(lambda: not self.queue(), "an empty queue", self.told)

    def queue(self) -> list[str]:
        """The jobs and tasks that wait or run: id, state and reason."""
        return self.slurm.ask("squeue", "--noheader", "--array", "--format=%i %T %r").splitlines()

    def jobs(self) -> list[dict[str, str]]:
        """All jobs and tasks that this SLURM knows, ended ones too, with the fields of ``scontrol show job``."""
        shown = self.slurm.ask("scontrol", "--oneliner", "show", "job").splitlines()
        lines = [line.split() for line in shown if line.startswith("JobId=")]
        return [dict(word.partition("=")[::2] for word in line if "=" in word) for line in lines]

    def told(self) -> str:
        return "\n".join([*self.queue(), self.slurm.logs()])
