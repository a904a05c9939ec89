"""Several films in one command, each to its end: merged as soon as it is computed, while others are computed.

In: scenes whose windows are whole, one after the other, and how one is merged. Out: what became of each. A bad
film keeps no other from being finished. This file knows neither how a film is computed nor how it is merged.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vda.errors import DamagedWindowError, StorageError, VdaError, WorkError
from vda.merging.settings import MergeResult
from vda.reporter import Noted, Reporter
from vda.scene.scene import Scene
from vda.shown import counted

# One is merged and one waits. With more, devices run ahead of the disk; with fewer they may wait for it.
_MOST_WAITING = 2


@dataclass(frozen=True)
class Failure:
    """A video of several that came to nothing, and why."""

    video: Path
    error: VdaError

    def to_json(self) -> dict[str, str]:
        return {"video": str(self.video), "problem": self.error.problem, "remedy": self.error.remedy}


@dataclass(frozen=True)
class DepthOutcome:
    """What became of several videos: those that were merged, and those that failed."""

    results: list[MergeResult]
    failures: list[Failure]

    def require_all(self) -> None:
        """Raise ``WorkError`` that lists the videos that failed."""
        require_none({failure.video: failure.error for failure in self.failures}, len(self.results), "videos")


def require_none(failed: dict[Path, VdaError], finished: int, things: str) -> None:
    """Raise ``WorkError`` that lists what ``failed`` of some ``things``, and why; nothing where none did."""
    if failed:
        parts = tuple(f"{path}: {error.problem} {error.remedy}" for path, error in failed.items())
        others = "The others are finished and kept. " if finished else ""
        raise WorkError(
            f"{len(failed)} of {len(failed) + finished} {things} failed.",
            f"{others}See to these, and run the same command again.",
            parts=parts,
        )


class InTurn:
    """A reporter that two threads may tell: one waits until the other has ended its sentence."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._lock = reporter, threading.RLock()

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        with self._lock:
            self._reporter.begin(stage, total, done)

    def at(self, done: int) -> None:
        with self._lock:
            self._reporter.at(done)

    def count(self, more: int, unit: str) -> None:
        with self._lock:
            self._reporter.count(more, unit)

    def expect(self, per_second: float | None, seconds_left: float | None) -> None:
        with self._lock:
            self._reporter.expect(per_second, seconds_left)

    def say(self, sentence: str) -> None:
        with self._lock:
            self._reporter.say(sentence)


class OfSeveral(Noted):
    """A reporter that tells, with all it is told, which film it is of, and its place among them."""

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        super().begin(self._of + stage, total, done)


class _AbandonedError(Exception):
    """Nobody waits for the merge any more."""


class _Aside:
    """What a merge beside other work tells: sentences with the film's name, and steps once it has the front."""

    def __init__(self, reporter: Reporter, film: str, merging: "Merging") -> None:
        self._reporter, self._film, self._merging = reporter, film, merging
        self._stage: tuple[str, int | None, int] | None = None

    def begin(self, stage: str, total: int | None, done: int = 0) -> None:
        self._stage = (f"{self._film}: {stage}", total, done)
        self.at(done)

    def at(self, done: int) -> None:
        if self._merging.abandoned:
            raise _AbandonedError
        if not self._merging.in_front:
            return
        if self._stage is not None:
            self._reporter.begin(self._stage[0], self._stage[1], done)
            self._stage = None
        self._reporter.at(done)

    def count(self, more: int, unit: str) -> None:
        if self._merging.in_front and self._stage is None:
            self._reporter.count(more, unit)

    def expect(self, per_second: float | None, seconds_left: float | None) -> None:
        if self._merging.in_front and self._stage is None:
            self._reporter.expect(per_second, seconds_left)

    def say(self, sentence: str) -> None:
        self._reporter.say(f"{self._film}: {sentence}")


class Merging:
    """Merges scenes in a thread, in the order in which they come, until it is ``ended`` or left.

    ``results`` and ``failed`` are what became of them; what is in neither is left to whoever waits for all: it
    came late, met a full disk or an error nobody foresaw, or has ``damaged`` windows, to be computed again.
    Left by an exception, it abandons the merge in hand, which costs no more than a kill would.
    """

    def __init__(self, merge: Callable[[Scene, Reporter], MergeResult], reporter: Reporter) -> None:
        self._merge, self._reporter = merge, reporter
        self._waiting: deque[Scene] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._thread: threading.Thread | None = None
        self.in_front = self.abandoned = False
        self.results: dict[Scene, MergeResult] = {}
        self.failed: dict[Scene, VdaError] = {}
        self.damaged: set[Scene] = set()

    def __enter__(self) -> Self:
        # A daemon: whoever presses Ctrl-C twice waits for nobody.
        self._thread = threading.Thread(target=self._work, name="merging", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, traceback: TracebackType | None) -> None:
        self.abandoned = kind is not None
        self.end()

    def take(self, scene: Scene) -> None:
        """Merge ``scene``, whose windows are whole, as soon as those before it are merged."""
        with self._changed:
            self._waiting.append(scene)
            self._changed.notify()

    def has_room(self) -> bool:
        """Whether few enough films wait that another may be begun."""
        return len(self._waiting) < _MOST_WAITING

    def end(self) -> None:
        """Return when the merge in hand has ended; it is what there is to see from now on."""
        with self._changed:
            self.in_front = self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while (scene := self._next()) is not None:
            try:
                made = self._merge(scene, _Aside(self._reporter, scene.root.name, self))
                self.results[scene] = made
                self._reporter.say(f"{counted(made.frames, 'frame')} of depth in {made.folder}")
            except _AbandonedError:
                return
            except DamagedWindowError as error:
                self._reporter.say(f"{error.problem} It is computed again.")
                self.damaged.add(scene)
            except StorageError:
                # There may be room when all is computed, and then it is merged.
                pass
            except VdaError as error:
                self._reporter.say(f"{scene.root.name} is left out: {error.problem}")
                self.failed[scene] = error
            except Exception:
                # Met again by whoever waits for all, and told there.
                pass
            self._forget(scene)

    def _next(self) -> Scene | None:
        """The scene to merge now, which stays first of those that wait; None where there is to be an end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            return None if self._ending else self._waiting[0]

    def _forget(self, scene: Scene) -> None:
        with self._changed:
            self._waiting.remove(scene)
