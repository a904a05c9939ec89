"""How a film is shown: one range of depth for all of it, so that nothing pumps.

In: depth by frame, and what is asked. Out: how its videos are to look. This file does not know how they are
written.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from vda.depthmaps.codes import Float32Array, Quantizer, seen_width
from vda.depthmaps.colours import shown_range
from vda.depthmaps.doubtful import edge_radius
from vda.merging.frames import Frames, Tally
from vda.merging.outputs import Outputs
from vda.merging.settings import MergeSettings
from vda.merging.target import Look, StereoLook
from vda.picture.framing import Framing
from vda.scene.chunks import Plan
from vda.scene.scene import Scene
from vda.stereo.style import require_encodable

# A range of depth needs no more: some 16 frames of 96 x 96 places, over all of the scene.
_SHOWN_FRAMES: Final = 16
_SHOWN_LATTICE: Final = 96


def look_of(depth: Frames, settings: MergeSettings) -> Look | None:
    """How the depth is shown in colours; None where nobody wants that."""
    if not settings.create_video:
        return None
    return Look(settings.colormap, shown_range(_some_of(depth), depth.kind), settings.side_by_side)


def stereo_of(
    depth: Frames,
    quantizer: Quantizer,
    settings: MergeSettings,
    made_with: Mapping[str, Any],
    picture: Mapping[str, Any],
) -> StereoLook | None:
    """How two views are made; None where nobody wants any. ``made_with`` and ``picture`` are the record's.

    The range is that of the 16-bit codes: it is the same whether it is found now, or later from the images.
    """
    if not settings.stereo_formats:
        return None
    shown = shown_range(quantizer.decode(quantizer.encode(_some_of(depth))), quantizer.kind)
    radius = edge_radius(seen_width(picture, depth.shape[1]), made_with.get("net_width"))
    return StereoLook(settings.stereo_style, shown, radius)


def stereo_json(look: StereoLook | None, settings: MergeSettings) -> dict[str, Any]:
    """What ``depth.json`` says, among the settings, of each video of two views."""
    if look is None:
        return {}
    far, near = look.shown or (None, None)
    made = {**asdict(look.style), "far": far, "near": near, "edge_radius": look.radius}
    return {"stereo": dict.fromkeys(settings.stereo_formats, made)}


def require_views(scene: Scene, settings: MergeSettings) -> None:
    """Raise ``UsageError`` where views are asked for that are too wide for one video."""
    width, _ = scene.picture().framing().size
    for name in settings.stereo_formats:
        require_encodable(name, width)


def framing_of(scene: Scene, plan: Plan) -> Callable[[int], Framing]:
    """What gives the part of a frame that has depth, by the frame's index."""
    numbers = sorted({sequence.shot for sequence in plan.sequences})
    framings, starts = scene.framings(numbers), [start for start, _ in plan.shots]
    return lambda frame: framings[numbers[bisect_right(starts, plan.place(frame)) - 1]]


def remarks_on_views(tally: Tally, outputs: Outputs) -> Iterator[str]:
    """What two views make of pixels without depth (metres out of range have none, either), and of a sound."""
    pixels = tally.invalid + (tally.clipped if outputs.quantizer.kind == "depth" else 0)
    if outputs.stereo is not None and pixels:
        yield (
            f"{pixels} pixels without depth: in the views of two eyes bars and overlays stay where they are, and "
            "holes count as what lies behind them."
        )
    if outputs.stereo is not None and tally.missing:
        yield f"{len(tally.missing)} frames without depth are flat in the views of two eyes."
    sound = outputs.target.sound
    if outputs.stereo is not None and sound is not None:
        yield from sound.said if sound.problem is None else [sound.problem]


def _some_of(depth: Frames) -> Float32Array:
    """Values from all over the film."""
    frames = depth.frames[:: -(-len(depth.frames) // _SHOWN_FRAMES)]
    row, column = (-(-side // _SHOWN_LATTICE) for side in depth.shape)
    return np.concatenate([depth.frame(index)[::row, ::column].ravel() for index in frames])
