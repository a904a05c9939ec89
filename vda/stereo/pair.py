"""Both views of one frame: bars stay bars, and what is laid over the picture stays where it is.

In: a frame, its depth's codes, and which part of it has depth. Out: the left and the right view, of its size. This
file does not know how a view is warped, nor how views are written.
"""

import numpy as np

from vda.depthmaps.codes import Codes
from vda.depthmaps.doubtful import nearest_filled
from vda.picture.framing import Framing
from vda.picture.overlay import filled
from vda.stereo.disparity import Disparities
from vda.stereo.packing import Rgb
from vda.stereo.style import StereoStyle
from vda.stereo.warping import view


def both_views(
    picture: Rgb, codes: Codes, framing: Framing, disparities: Disparities, style: StereoStyle
) -> tuple[Rgb, Rgb]:
    """The views of ``picture`` uint8 [height, width, 3] by its ``codes`` [height, width].

    Pictures are warped within the box of ``framing``, whose rim is that of a window: nothing lies over a bar.
    Subtitles and logos, its overlay, lie in the screen and before all else.
    """
    within = framing.box.places
    part, hidden = picture[within], None
    disparity = disparities.of_frame(codes[within])
    if framing.overlay is not None:
        hidden = framing.overlay[within]
        part, disparity = filled(part, hidden), nearest_filled(disparity, hidden)
    left, right = (_placed(view(part, disparity, share), picture, framing) for share in style.shares)
    return left, right


def _placed(made: Rgb, picture: Rgb, framing: Framing) -> Rgb:
    """What was ``made`` of the box, in the whole ``picture``, with its overlay."""
    if framing.is_whole:
        return made
    whole = picture.copy()
    whole[framing.box.places] = made
    if framing.overlay is not None:
        np.copyto(whole, picture, where=framing.overlay[..., None])
    return whole
