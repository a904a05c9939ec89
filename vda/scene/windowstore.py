"""A scene's raw windows with who they are: written with a mark, held against it when they are read.

In: a scene whose run is fixed. Out: its windows, each the one that its name says: of this video, plan and run.
What is damaged, or another's, is put aside below ``vda_windows/damaged``, so that it is missing and is computed
again. This file does not know what the values mean.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vda.errors import DamagedWindowError
from vda.files import append_line, storage_errors
from vda.network.slots import WINDOW_SLOTS
from vda.reporter import Reporter
from vda.scene.rawwindows import RawWindow, check_raw_window, open_raw_window, write_raw_window
from vda.scene.scene import STAGED, RunRecord, Scene, WindowId

if TYPE_CHECKING:
    from vda.network.packing import PackedWindow

_ASIDE: Final = "damaged"
# Of the plan: where the video was, and who computes what. Neither changes a window.
_NO_MATTER: Final = ("video_info", "num_chunks", "chunks")
# Reading waits for the disk, and checksums let other threads run.
_THREADS: Final = 4


@dataclass(frozen=True)
class WindowStore:
    """The raw windows of ``scene``. ``mark`` is of video, plan and run; ``shape`` is (slots, height, width).

    It is None where shots are cropped each to a size of its own: then the name alone says whose a window is.
    """

    scene: Scene
    mark: str
    shape: tuple[int, int, int] | None

    @classmethod
    def of(cls, scene: Scene, record: RunRecord) -> "WindowStore":
        video = scene.read_video()
        plan = {name: value for name, value in scene.plan_facts().items() if name not in _NO_MATTER}
        known = (video["size_bytes"], video["sha256_head_tail"], plan, record.computed_with)
        mark = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]
        one_size = len(scene.picture().boxes) <= 1
        return cls(scene, mark, (WINDOW_SLOTS, record.net_height, record.net_width) if one_size else None)

    def write(self, key: WindowId, window: "PackedWindow", missing: tuple[int, ...]) -> None:
        """Write a window, whole or not at all; raise ``StorageError`` when the disk refuses."""
        # Where the scene's disk is so slow that the video is read from a copy, a window goes there in one stream.
        in_one = STAGED in os.environ
        write_raw_window(self.scene.window_path(key), window, missing, self._name(key), in_one=in_one)

    def open(self, key: WindowId) -> RawWindow:
        """Open a window; raise ``DamagedWindowError`` where it is damaged or is not the one it should be."""
        window = open_raw_window(self.scene.window_path(key))
        self._require_own(key, window)
        return window

    def put_aside_damaged(self, reporter: Reporter) -> None:
        """Read every window that is on disk, and put aside those that are damaged or another's."""
        for key, problem in self.damaged(reporter):
            reporter.say(f"{problem} It is put aside and computed again.")
            self.put_aside([key], problem)

    def damaged(self, reporter: Reporter) -> Iterator[tuple[WindowId, str]]:
        """Read every window that is on disk; yield those that are damaged or another's, with what is wrong."""
        keys = sorted(self.scene.finished_windows())
        reporter.begin("checking windows", len(keys))
        with ThreadPoolExecutor(_THREADS, "window-checker") as pool:
            for done, (key, problem) in enumerate(zip(keys, pool.map(self._problem, keys), strict=True), start=1):
                reporter.at(done)
                if problem:
                    yield key, problem

    def put_aside(self, keys: Iterable[WindowId], problem: str) -> None:
        """Take windows away, and note in the logs which and why.

        Raises ``SceneError`` where a task computes a chunk: it would not look for them again.
        """
        self.scene.require_unclaimed()
        for key in keys:
            path = self.scene.window_path(key)
            with storage_errors(path):
                (path.parent / _ASIDE).mkdir(exist_ok=True)
                path.replace(path.parent / _ASIDE / path.name)
            line = {"unix_s": time.time(), "window": key, "problem": problem}
            append_line(self.scene.damaged_windows_path, json.dumps(line))

    def put_aside_file(self, error: DamagedWindowError) -> None:
        """Put aside the window that ``error`` tells of."""
        names = {self.scene.window_path(key): key for key in self.scene.finished_windows()}
        if error.path in names:
            self.put_aside([names[error.path]], error.problem)

    def _problem(self, key: WindowId) -> str:
        try:
            self._require_own(key, check_raw_window(self.scene.window_path(key)))
        except DamagedWindowError as error:
            return error.problem
        return ""

    def _name(self, key: WindowId) -> str:
        return f"{self.mark}:{key[0]}:{key[1]}"

    def _require_own(self, key: WindowId, window: RawWindow) -> None:
        if window.name == self._name(key) and self.shape in (None, window.shape):
            return
        mark, _, place = window.name.partition(":")
        whose = f"window {place.replace(':', '/')} of this scene" if mark == self.mark else "one of another run"
        raise DamagedWindowError(
            window.path, f"The raw window {window.path} is not the one it should be, but {whose}."
        )
