"""``vda.dry_run``: what a call of the library would do, asked with the very arguments of that call.

In: one of ``depth``, ``run`` and ``merge``, and its arguments. Out: a ``Forecast``. This file does not know how it
is made.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from vda.api import stages
from vda.api.rehearsal import Outlook, forecast_depth, forecast_merge, forecast_run
from vda.errors import UsageError
from vda.merging.settings import MergeSettings
from vda.outlook.forecast import Forecast
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import scene_root
from vda.supervisor.resolve import RunSettings

S = TypeVar("S", PlanSettings, RunSettings, MergeSettings)
_PATHS = ("video", "scene", "weights", "mask", "shots")


def dry_run(call: Callable[..., object], *arguments: Any, **keywords: Any) -> Forecast:
    """What ``call`` (``vda.depth``, ``vda.run`` or ``vda.merge``) would do with these arguments; nothing is done.

    ``vda.dry_run(vda.depth, "film.mp4", model="vits")`` tells frames, windows and chunks, seconds, bytes of disk
    and memory, weights to be fetched, and what is kept or replaced. Raises what the call would raise before it
    computes anything.
    """
    made: dict[Callable[..., object], Callable[[dict[str, Any]], Outlook]] = {
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
    [forecast] = made[call](_given(bound.arguments)).forecasts
    return forecast


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with paths as paths, and formats under the name that settings have for them."""
    given: dict[str, Any] = {
        name: Path(value) if name in _PATHS and value else value for name, value in arguments.items()
    }
    if "format" in given:
        given["formats"] = stages.formats_of(given.pop("format"))
    return given


def _settings(kind: type[S], given: Mapping[str, Any]) -> S:
    return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})


def _depth(given: dict[str, Any]) -> Outlook:
    video = given["video"]
    return forecast_depth(
        [video],
        [scene_root(video, given["scene"])],
        _settings(RunSettings, given),
        _settings(MergeSettings, given),
        _settings(PlanSettings, given),
        discard_windows=given["discard_windows"],
        reporter=given["reporter"],
    )


def _run(given: dict[str, Any]) -> Outlook:
    return forecast_run([Scene(given["scene"])], _settings(RunSettings, given), reporter=given["reporter"])


def _merge(given: dict[str, Any]) -> Outlook:
    made = Scene(given["scene"]).require()
    return forecast_merge(made, _settings(MergeSettings, given), reporter=given["reporter"])
