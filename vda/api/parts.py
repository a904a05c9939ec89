"""``vda merge --on slurm`` and ``--on ray``: a merge in parts, handed to an engine that people run already.

In: a scene and what is asked. Out: what came of it, or a refusal at the start. How jobs are made is not known
here.
"""

from typing import Any, Literal

from vda.cluster.mergejobs import merge_on_ray, merge_on_slurm
from vda.errors import UsageError
from vda.merging.parts import Part
from vda.merging.settings import MergeResult, MergeSettings
from vda.reporter import Reporter
from vda.scene.scene import Scene

Elsewhere = Literal["slurm", "ray"]


def merge_elsewhere(
    scene: Scene,
    settings: MergeSettings,
    on: Elsewhere,
    *,
    slurm: tuple[str, ...] = (),
    ray_address: str | None = None,
    ranges: int | None = None,
    waits: bool = True,
    part: Part | None = None,
    discard_windows: bool = False,
    reporter: Reporter,
) -> MergeResult | None:
    """Merge ``scene`` on the engine ``on``; None where it is not waited for (``waits``).

    Raises ``UsageError`` for options that do not belong together, and what the engine's merge raises.
    """
    if part is not None:
        raise UsageError(
            "--part is one part of a merge, and --on has an engine make all of them.", "Leave one of them out."
        )
    if discard_windows and not waits:
        raise UsageError(
            "--discard-windows removes windows at the end, which --detach does not wait for.", "Leave one out."
        )
    if on == "ray":
        require_unused(on, {"--slurm": slurm, "--detach": not waits})
        result: MergeResult | None = merge_on_ray(scene.require(), settings, ray_address, reporter, ranges=ranges)
    else:
        require_unused(on, {"--ray-address": ray_address})
        result = merge_on_slurm(scene.require(), settings, slurm, reporter, ranges=ranges, waits=waits)
    if result is not None:
        for sentence in result.remarks:
            reporter.say(sentence)
        if discard_windows:
            scene.discard_windows()
    return result


def require_local(**options: Any) -> None:
    """Refuse options that are an engine's where none is used."""
    require_unused("local", {f"--{name.replace('_', '-')}": value for name, value in options.items()})


def require_unused(on: str, options: dict[str, Any]) -> None:
    """Raise ``UsageError`` where one of ``options`` is given, which ``--on`` this has no use for."""
    for name, value in options.items():
        if value:
            raise UsageError(
                f"{name} is of no use with --on {on}.",
                "Leave it out, or give --on slurm." if on == "local" else "Leave it out.",
            )
