"""Videos to be looked at: depth in colours, and the film as two eyes see it.

In: an output's target, and frames in order. Out: a function that takes each frame. What they show is in the 16-bit
codes, so that they are the same bytes whether they are made with the depth or of it later. This file does not know
how a merge resumes.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from vda.depthmaps.codes import Quantizer
from vda.depthmaps.colours import beside, colorize_codes
from vda.merging.target import Look, MergedFrame, StereoLook, Target, given, open_clip
from vda.stereo.disparity import Disparities
from vda.stereo.style import STEREO_FILES
from vda.stereo.writing import StereoWriter

VISUALIZATION: Final = "depth_visualization.mp4"
# Of the formats those that players know as 3D, and whose H.264 says so.
_SAID_TO_BE_3D: Final = ("sbs", "half-sbs")


def open_visualization(
    target: Target, quantizer: Quantizer, look: Look, stack: ExitStack
) -> Callable[[MergedFrame], None]:
    clip = open_clip(target, VISUALIZATION, stack)
    pictures = target.pictures() if look.side_by_side and target.pictures else None

    def show(made: MergedFrame) -> None:
        colours = colorize_codes(given(made.codes), quantizer, look.colormap, look.shown)
        picture = colours if pictures is None else beside(next(pictures), colours)
        clip.write(picture, target.time_of(made.index))

    return show


def open_stereo(
    target: Target, quantizer: Quantizer, look: StereoLook, formats: Sequence[str], stack: ExitStack
) -> Callable[[MergedFrame], None]:
    """Open the videos of ``formats``, all of one pair of views."""
    assert target.pictures is not None and target.framing_of is not None
    width = target.shape[1]
    sound = None if target.sound is None or target.sound.problem else target.sound
    clips = {
        name: open_clip(target, STEREO_FILES[name], stack, side_by_side=name in _SAID_TO_BE_3D, sound=sound)
        for name in formats
    }
    disparities = Disparities.of(quantizer, look.shown, look.style, width, look.radius)
    writer = stack.enter_context(StereoWriter(clips, target.pictures(), disparities, look.style))

    framing_of = target.framing_of

    def show(made: MergedFrame) -> None:
        codes = None if made.missing else given(made.codes)
        writer.write(codes, framing_of(made.index), target.time_of(made.index))

    return show
