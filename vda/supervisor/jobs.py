"""The scenes of a run: their chunks' windows, what of them is on disk, and what follows when all are."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from vda.merging.settings import MergeSettings
from vda.scene.chunks import Chunk
from vda.scene.runstate import ChunkAttempts, RunFiles
from vda.scene.scene import Scene, WindowId, chunk_windows
from vda.scene.status import Estimate, estimate
from vda.supervisor.seen import ChunkId, ChunkView

_ANY_MERGE = MergeSettings()


@dataclass(frozen=True)
class Following:
    """What follows when a scene is computed, while others are: ``take`` is given each whose windows are whole.

    Where it ``discards`` them afterwards, no scene is begun while there is no ``has_room`` for what it leaves.
    ``merging`` is what will be written of them.
    """

    take: Callable[[Scene], None] = lambda scene: None
    has_room: Callable[[], bool] = lambda: True
    discards: bool = False
    merging: MergeSettings = _ANY_MERGE

    def may_begin(self) -> bool:
        return not self.discards or self.has_room()


@dataclass
class Job:
    """One scene. ``chunks`` maps a chunk's windows to the frames they settle; ``missing`` are not on disk yet.

    ``files`` is where attempts are kept. With ``only`` nothing is known of other chunks, and nothing counts.
    """

    scene: Scene
    chunks: list[dict[WindowId, int]]
    attempts: dict[int, ChunkAttempts]
    files: RunFiles
    only: Collection[int] | None = None
    missing: list[set[WindowId]] = field(default_factory=list)
    frames_total: int = 0
    frames_done: int = 0

    @classmethod
    def of(cls, scene: Scene, only: Collection[int] | None = None, files: RunFiles | None = None) -> "Job":
        """Read the scene's plan and state; ``only``: chunks to compute, all others are left as they are."""
        plan, files = scene.plan(), files or RunFiles(scene.run_dir)
        wanted = plan.chunks if only is None else [plan.chunks[index] for index in sorted(only)]
        # Those of a chunk are looked for one by one, for a long film has too many to list them for each.
        finished = scene.finished_windows() if only is None else _finished(scene, wanted)
        chunks: list[dict[WindowId, int]] = [{} for _ in plan.chunks]
        for chunk in wanted:
            chunks[chunk.index] = {key: chunk.settled(window) for key, window in chunk_windows(chunk)}
        job = cls(scene, chunks, files.read_attempts(), files, only)
        job.frames_total = sum(sum(chunk.values()) for chunk in chunks)
        job.missing = [chunk.keys() - finished for chunk in chunks]
        job.frames_done = job.frames_total - sum(
            chunk[key] for chunk, missing in zip(chunks, job.missing, strict=True) for key in missing
        )
        return job

    @property
    def windows_left(self) -> int:
        """How many windows are missing of the chunks to compute."""
        return sum(len(self.missing[index]) for index in self._wanted())

    def _wanted(self) -> list[int]:
        return [index for index in range(len(self.chunks)) if self.only is None or index in self.only]

    def look(self, chunks: Iterable[int]) -> None:
        """Look again which windows of some chunks are there; a long video has too many to list them all.

        They come in order, and a file server is asked for no more than the next.
        """
        for index in chunks:
            for key in sorted(self.missing[index]):
                if not self.scene.window_path(key).exists():
                    break
                self.missing[index].remove(key)
                self.frames_done += self.chunks[index][key]

    def view(self, index: int) -> ChunkView:
        total = len(self.chunks[index])
        done = total - len(self.missing[index])
        return ChunkView((self.scene.key, index), total, done, self.attempts.get(index, ChunkAttempts()))

    @property
    def is_begun(self) -> bool:
        """Whether windows of it are on the disk."""
        return any(len(missing) < len(chunk) for chunk, missing in zip(self.chunks, self.missing, strict=True))

    def views(self) -> list[ChunkView]:
        return [self.view(index) for index in self._wanted()]

    def forgive(self) -> None:
        """Forget what was set aside: a person starts the work anew, to have it tried again."""
        self.attempts = {index: entry.forgiven() for index, entry in self.attempts.items()}

    def note(self, chunk: ChunkId, attempts: ChunkAttempts) -> None:
        """Write down what became of a chunk; known here only once it is on the disk, or it would count again."""
        noted = {**self.attempts, chunk[1]: attempts}
        self.files.write_attempts(noted)
        self.attempts = noted


def _finished(scene: Scene, chunks: Iterable[Chunk]) -> set[WindowId]:
    return {key for chunk in chunks for key, _ in chunk_windows(chunk) if scene.window_path(key).is_file()}


def expected(jobs: Mapping[str, Job], working: Iterable[tuple[ChunkId, float | None]]) -> Estimate | None:
    """What ``estimate`` says of ``jobs``; ``working``: the chunks in hand, and the seconds of a window there."""
    paces = [(pace, len(jobs[scene].missing[chunk])) for (scene, chunk), pace in working if scene in jobs]
    frames_left = sum(job.frames_total - job.frames_done for job in jobs.values())
    return estimate(sum(job.windows_left for job in jobs.values()), frames_left, paces)
