"""Depth brought to the unit of somebody's reconstruction, by the points it saw.

In go depth and views with their points; out comes a calibration. This file does not know what it is used for.
"""

from collections.abc import Mapping

import numpy as np

from vda.calibration.fit import Calibration, fit_calibration, inverse_depth
from vda.camera.conventions import resized
from vda.camera.reconstruction import View
from vda.depthmaps.codes import Kind
from vda.depthmaps.source import DepthSource
from vda.errors import InputError
from vda.reporter import Reporter

# Two numbers are fitted: with fewer points one wrong match would make the scale.
_LEAST_POINTS = 10


def fit_to_points(
    shot: tuple[int, int], depth: DepthSource, kind: Kind, views: Mapping[int, View], reporter: Reporter
) -> Calibration:
    """One scale and shift for ``shot`` (start and end of its frames), from the points that ``views`` see in it.

    ``kind`` is what the depth's values are; inverse depth is fitted, robustly, in the reconstruction's unit.
    Raises ``InputError`` where too few of the points have depth.
    """
    values, inverse = [], []
    for frame, view in views.items():
        if shot[0] <= frame < shot[1] and len(view.depth) and view.camera is not None:
            image = depth.read(frame)
            size, own = (image.shape[1], image.shape[0]), (view.camera.width, view.camera.height)
            places = np.rint(resized(view.pixels, own, size)).astype(np.intp)
            inside = ((places >= 0) & (places < np.array(size))).all(axis=1)
            values.append(inverse_depth(image[places[inside, 1], places[inside, 0]], kind))
            inverse.append(1 / view.depth[inside])
    found = np.concatenate([*values, np.zeros(0)])
    usable = np.isfinite(found)
    name = f"the reconstruction's points in frames {shot[0]} to {shot[1]}"
    if usable.sum() < _LEAST_POINTS:
        raise InputError(
            f"{name[0].upper()}{name[1:]} are too few: {int(usable.sum())} have depth.",
            "Give a reconstruction with points in every shot.",
        )
    fit = fit_calibration(found[usable], np.concatenate(inverse)[usable], kind, name, "points")
    error = 0.0 if fit.error is None else fit.error
    reporter.say(
        f"Fitted to {name}: 1/depth = {fit.scale:.6g} * value + {fit.shift:.6g}, "
        f"{fit.samples} points, median residual {100 * error:.2f} % of the distance."
    )
    for note in fit.notes:
        reporter.say(note)
    return fit
