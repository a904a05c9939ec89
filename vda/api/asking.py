"""``vda.dry_run``: what a call of the library would do, asked with the very arguments of that call.

In: one of ``depth``, ``run`` and ``merge``, and its arguments. Out: a ``Forecast``. This file does not know how it
is made.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vda.api import stages
from vda.api.keywords import settings_of
from vda.api.rehearsal import Outlook, forecast_depth, forecast_merge, forecast_run
from vda.errors import UsageError
from vda.merging.settings import MergeSettings
from vda.outlook.forecast import Forecast
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import scene_root
from vda.supervisor.resolve import RunSettings


def dry_run(call: Callable[..., object], *arguments: Any, **keywords: Any) -> Forecast:
    """What ``call`` (``vda.depth``, ``vda.run`` or ``vda.merge``) would do with these arguments; nothing is done.

    ``vda.dry_run(vda.depth, "film.mp4", model="vits")`` tells frames, windows and chunks, seconds, bytes of disk
    and memory, weights to be fetched, and what is kept or replaced. Raises what the call would raise before it
    computes anything.
    """
    made: dict[Callable[..., object], Callable[[Mapping[str, Any]], Outlook]] = {
        stages.depth: _depth,
        stages.run: _run,
        stages.merge: _merge,
    }
    if call not in made:
        raise UsageError("Only depth, run and merge can be asked what they would do.", "Give one of these.")
    bound = inspect.signature(call).bind(*arguments, **keywords)
    bound.apply_defaults()
    if isinstance(bound.arguments.get("video"), list | tuple):
        raise UsageError("Several videos have a forecast each.", "Ask for one video at a time.")
    [forecast] = made[call](bound.arguments).forecasts
    return forecast


def _depth(given: Mapping[str, Any]) -> Outlook:
    video, scene = Path(given["video"]), given["scene"]
    return forecast_depth(
        [video],
        [scene_root(video, None if scene is None else Path(scene))],
        settings_of(RunSettings, given),
        settings_of(MergeSettings, given),
        settings_of(PlanSettings, given),
        discard_windows=given["discard_windows"],
        reporter=given["reporter"],
    )


def _run(given: Mapping[str, Any]) -> Outlook:
    scenes = [Scene(Path(given["scene"]))]
    return forecast_run(scenes, settings_of(RunSettings, given), reporter=given["reporter"])


def _merge(given: Mapping[str, Any]) -> Outlook:
    made = Scene(Path(given["scene"])).require()
    return forecast_merge(made, settings_of(MergeSettings, given), reporter=given["reporter"])
