"""Depth for the rows of a data set that have none yet: computed before scaling, by workers that stay up.

In: rows, and settings of a run. Out: a scene for each, with merged depth, or the error that says why not. One
video that cannot be used stops no other. This file does not know how depth is computed, nor what scaling makes of
it.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from vda.api.pipeline import RunSettings, find_devices, merge_scene, plan_scene, run
from vda.errors import StorageError, VdaError, WorkError
from vda.files import exclusive_lock
from vda.fvc.paths import Places
from vda.fvc.request import Item
from vda.machine.devices import Device
from vda.merging.settings import MergeSettings
from vda.picture.signal import SignalChoice
from vda.reporter import Reporter
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings

T = TypeVar("T")


@dataclass
class DepthMaker:
    """Makes scenes: those that rows name, and under ``folder`` those of rows that name none."""

    folder: Path
    places: Places
    settings: RunSettings
    reporter: Reporter
    signal: SignalChoice = field(default_factory=SignalChoice)
    _errors: dict[str, VdaError] = field(default_factory=dict, init=False)

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

    def forget(self, items: list[Item]) -> None:
        """Remove the scenes that were made here for ``items``; those that rows name are somebody else's."""
        for item in items:
            if item.scene is None:
                shutil.rmtree(self.place_of(item), ignore_errors=True)

    def make(self, items: list[Item]) -> None:
        """Compute and merge what is missing of the depth of ``items``.

        Two processes with the same rows do it one after the other, and the second finds it done.
        """
        if not items:
            return
        name = f"rows_{min(item.row for item in items):06d}_{max(item.row for item in items):06d}.lock"
        with exclusive_lock(self.folder / name, wait=True):
            missing = [item for item in items if not Scene(self.place_of(item)).depth_record_path.is_file()]
            if missing:
                self._make(missing)

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
            self._kept(item, partial(merge_scene, scene, MergeSettings(), reporter=self.reporter))

    def _run(self, scenes: list[Scene]) -> None:
        try:
            run(scenes, self.settings, self.reporter)
        except StorageError:
            raise
        except VdaError as error:
            # What is missing of each scene is said when it is merged; the others are whole.
            self.reporter.say(error.problem)

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
