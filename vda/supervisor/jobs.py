"""The scenes of a run: their chunks' windows, what of them is on disk, and what became of each chunk."""

from collections.abc import Collection
from dataclasses import dataclass, field

from vda.runstate import ChunkAttempts, RunFiles
from vda.scene import Scene, WindowId, chunk_windows
from vda.supervisor.seen import ChunkId, ChunkView


@dataclass
class Job:
    """One scene. ``chunks`` maps each chunk's windows to the frames that they settle."""

    scene: Scene
    chunks: list[dict[WindowId, int]]
    attempts: dict[int, ChunkAttempts]
    only: Collection[int] | None = None
    finished: set[WindowId] = field(default_factory=set)

    @classmethod
    def of(cls, scene: Scene, only: Collection[int] | None = None) -> "Job":
        """Read the scene's plan and state; ``only``: chunks to compute, all others are left as they are."""
        chunks = [{key: len(w.kept) for key, w in chunk_windows(chunk)} for chunk in scene.plan().chunks]
        return cls(scene, chunks, RunFiles(scene.run_dir).read_attempts(), only, scene.finished_windows())

    def look(self) -> None:
        """Look again at which windows are there."""
        self.finished = self.scene.finished_windows()

    def view(self, index: int) -> ChunkView:
        windows = self.chunks[index]
        done = len(windows.keys() & self.finished)
        return ChunkView((self.scene.key, index), len(windows), done, self.attempts.get(index, ChunkAttempts()))

    def views(self) -> list[ChunkView]:
        return [self.view(index) for index in range(len(self.chunks)) if self.only is None or index in self.only]

    def frames(self, *, done: bool) -> int:
        return sum(n for chunk in self.chunks for key, n in chunk.items() if not done or key in self.finished)

    def forgive(self) -> None:
        """Forget what was set aside: a person starts the work anew, to have it tried again."""
        self.attempts = {index: entry.forgiven() for index, entry in self.attempts.items()}

    def note(self, chunk: ChunkId, attempts: ChunkAttempts) -> None:
        self.attempts[chunk[1]] = attempts
        RunFiles(self.scene.run_dir).write_attempts(self.attempts)
