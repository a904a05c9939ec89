"""The scenes of a run: their chunks' windows, what of them is on disk, and what became of each chunk."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from vda.scene.runstate import ChunkAttempts, RunFiles
from vda.scene.scene import Scene, WindowId, chunk_windows
from vda.supervisor.seen import ChunkId, ChunkView


@dataclass
class Job:
    """One scene. ``chunks`` maps a chunk's windows to the frames they settle; ``missing`` are not on disk yet."""

    scene: Scene
    chunks: list[dict[WindowId, int]]
    attempts: dict[int, ChunkAttempts]
    only: Collection[int] | None = None
    missing: list[set[WindowId]] = field(default_factory=list)
    frames_total: int = 0
    frames_done: int = 0

    @classmethod
    def of(cls, scene: Scene, only: Collection[int] | None = None) -> "Job":
        """Read the scene's plan and state; ``only``: chunks to compute, all others are left as they are."""
        chunks = [{key: len(w.kept) for key, w in chunk_windows(chunk)} for chunk in scene.plan().chunks]
        job = cls(scene, chunks, RunFiles(scene.run_dir).read_attempts(), only)
        job.frames_total = sum(sum(chunk.values()) for chunk in chunks)
        finished = scene.finished_windows()
        job.missing = [chunk.keys() - finished for chunk in chunks]
        job.frames_done = job.frames_total - sum(
            chunk[key] for chunk, missing in zip(chunks, job.missing, strict=True) for key in missing
        )
        return job

    def look(self, chunks: Iterable[int]) -> None:
        """Look again which windows of some chunks are there; a long video has too many to list them all."""
        for index in chunks:
            for key in [key for key in self.missing[index] if self.scene.window_path(key).exists()]:
                self.missing[index].remove(key)
                self.frames_done += self.chunks[index][key]

    def view(self, index: int) -> ChunkView:
        total = len(self.chunks[index])
        done = total - len(self.missing[index])
        return ChunkView((self.scene.key, index), total, done, self.attempts.get(index, ChunkAttempts()))

    def views(self) -> list[ChunkView]:
        return [self.view(index) for index in range(len(self.chunks)) if self.only is None or index in self.only]

    def forgive(self) -> None:
        """Forget what was set aside: a person starts the work anew, to have it tried again."""
        self.attempts = {index: entry.forgiven() for index, entry in self.attempts.items()}

    def note(self, chunk: ChunkId, attempts: ChunkAttempts) -> None:
        """Write down what became of a chunk; known here only once it is on the disk, or it would count again."""
        noted = {**self.attempts, chunk[1]: attempts}
        RunFiles(self.scene.run_dir).write_attempts(noted)
        self.attempts = noted
