"""Depth for the rows of a data set that have none yet: computed before scaling, by workers that stay up.

In: rows, and settings of a run. Out: a scene for each, with merged depth, or the error that says why not. One
video that cannot be used stops no other. This file does not know how depth is computed, nor what scaling makes of
it.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from vda.api.pipeline import RunSettings, find_devices, merge_scene, plan_scene, run
from vda.errors import SceneError, StorageError, UsageError, VdaError, WorkError
from vda.fvc.paths import Places
from vda.fvc.request import Item
from vda.machine.devices import Device
from vda.machine.locks import keeps_locks
from vda.merging.settings import MergeSettings
from vda.picture.signal import SignalChoice
from vda.reporter import Reporter
from vda.scene.runstate import RunFiles
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.supervisor.holding import require_free

T = TypeVar("T")
_POLL_SECONDS = 1.0


class ClaimRow(Protocol):
    """Has a row to oneself, among all processes on all machines: ``Ledger.claim``."""

    def __call__(self, row: int, *, wait: bool = False) -> AbstractContextManager[bool]: ...


@dataclass
class DepthMaker:
    """Makes scenes: those that rows name, and under ``folder`` those of rows that name none."""

    folder: Path
    places: Places
    settings: RunSettings
    reporter: Reporter
    signal: SignalChoice = field(default_factory=SignalChoice)
    has_computed: bool = field(default=False, init=False)
    """Whether any window was computed here."""
    _errors: dict[str, VdaError] = field(default_factory=dict, init=False)
    _should_stop: Callable[[], bool] = field(default=lambda: False, init=False)

    def scene_root(self, item: Item) -> Path:
        """Where the depth of ``item`` is. Raises what kept it from being computed."""
        if (error := self._errors.get(item.name)) is not None:
            raise error
        return self.place_of(item)

    def place_of(self, item: Item) -> Path:
        """Where the depth of ``item`` is, or will be."""
        if item.scene is not None:
            return self.places.other("scene", item.scene, may_be_absent=True)
        return self.folder / item.name.removesuffix(".mp4")

    def require_possible(self, items: list[Item]) -> None:
        """Raise ``UsageError`` where depth of ``items`` is missing and cannot be computed: workers need locks."""
        if any(map(self._is_missing, items)) and not keeps_locks(self.folder):
            raise UsageError(
                f"No depth can be computed in {self.folder}: its file system keeps no locks.",
                "Give --output-dir on another, or make the scenes with 'vda run --on slurm', which needs none, "
                "and name them in the column scene.",
            )

    def forget(self, items: list[Item], claim: ClaimRow) -> None:
        """Remove the scenes that were made here for ``items``; those that rows name are somebody else's.

        What another process has in hand stays.
        """
        for item in items:
            if item.scene is None and self.place_of(item).exists():
                with claim(item.row) as had:
                    if had:
                        shutil.rmtree(self.place_of(item), ignore_errors=True)

    def make(self, items: list[Item], claim: ClaimRow, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Compute and merge what is missing of the depth of ``items``, but no more once it ``should_stop``.

        Of several processes with the same rows, wherever they are, each row is one's; the others wait for it.
        """
        self._should_stop = should_stop
        self.require_possible(items)
        left, wait = [item for item in items if self._is_missing(item)], False
        while left and not should_stop():
            with ExitStack() as claims:
                # Who waits for the first has nothing in hand that another may be waiting for.
                mine = [
                    item
                    for place, item in enumerate(left)
                    if claims.enter_context(claim(item.row, wait=wait and place == 0))
                ]
                if missing := [item for item in mine if self._is_missing(item)]:
                    self._make(missing)
            left, wait = [item for item in left if item not in mine], True

    def _is_missing(self, item: Item) -> bool:
        return not Scene(self.place_of(item)).depth_record_path.is_file()

    def _make(self, items: list[Item]) -> None:
        devices = find_devices(self.settings.devices).devices
        planned = {}
        for item in items:
            scene = self._kept(item, partial(self._planned, item, devices, len(items)))
            if scene is not None:
                planned[item.name] = (item, scene)
        if planned:
            self._run([scene for _, scene in planned.values()])
        for item, scene in planned.values():
            if self._should_stop():
                return
            self._kept(item, partial(merge_scene, scene, MergeSettings(), reporter=self.reporter))

    def _run(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            self._await_free(scene)
        before = sum(len(scene.finished_windows()) for scene in scenes)
        try:
            with self._stopping(scenes):
                run(scenes, self.settings, self.reporter)
        except StorageError:
            raise
        except VdaError as error:
            # What is missing of each scene is said when it is merged; the others are whole.
            self.reporter.say(error.problem)
        self.has_computed = sum(len(scene.finished_windows()) for scene in scenes) > before

    @contextmanager
    def _stopping(self, scenes: list[Scene]) -> Iterator[None]:
        """Have the run of ``scenes`` end after the windows in hand once it should stop, as ``vda stop`` does."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_POLL_SECONDS):
                if self._should_stop():
                    RunFiles(scenes[0].run_dir).stop_path.touch()
                    return

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()
            if self._should_stop():
                RunFiles(scenes[0].run_dir).stop_path.unlink(missing_ok=True)

    def _await_free(self, scene: Scene) -> None:
        """Wait for whoever computes ``scene``, such as a person, or one on a node that was lost a moment ago."""
        is_said = False
        while not self._should_stop():
            try:
                return require_free(scene)
            except SceneError as error:
                if not is_said:
                    self.reporter.say(f"{error.problem} That is waited for.")
                is_said = True
                time.sleep(_POLL_SECONDS)

    def _planned(self, item: Item, devices: tuple[Device, ...], count: int) -> Scene:
        video = self.places.video(item.video_path)
        asked = PlanSettings(deinterlace=self.signal.deinterlace, color=self.signal.color)
        return plan_scene(video, self.place_of(item), asked, devices=devices, scenes=count, reporter=self.reporter)

    def _kept(self, item: Item, do: Callable[[], T]) -> T | None:
        """What ``do`` gives; an error is kept for when the video's turn comes."""
        try:
            return do()
        except StorageError:
            raise
        except VdaError as error:
            self._errors[item.name] = error
        except Exception as error:
            # One video must not end the others' work; what nobody foresaw is told with its type.
            self._errors[item.name] = WorkError(f"{type(error).__name__}: {error}", "Leave this video out.")
        return None
