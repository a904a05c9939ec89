"""Joined depth in metres, where it is to become that: what says what a metre is, and the depth that it makes.

In: a scene's depth, what was given, and the scene's calibration. Out: the same depth, converted frame by frame.
This file does not know how depth is written.
"""

from dataclasses import replace

import numpy as np

from vda.calibration.fit import Calibration
from vda.calibration.identity import Fingerprint, require_one_scale
from vda.depthmaps.codes import Float32Array, Kind
from vda.errors import UsageError
from vda.joining.scenedepth import SceneDepth

ScaleAndShift = tuple[float, float]


def require_metres(
    kind: Kind, depth_scale: float | None, metres: ScaleAndShift | None, calibration: Calibration | None
) -> None:
    """Raise ``UsageError`` where relative depth is to be written in metres, and nothing says what a metre is."""
    if kind != "depth" and depth_scale is not None and metres is None and calibration is None:
        raise UsageError(
            "The depth is relative: it has no metres that --depth-scale could count.",
            "Give --metres SCALE,SHIFT (see 'vda merge --help'), or calibrate the scene with 'vda enrich'.",
        )


def conversion_of(
    depth: SceneDepth, depth_scale: float | None, metres: ScaleAndShift | None, calibration: Calibration | None
) -> Calibration | None:
    """What makes metres of relative ``depth`` where a depth scale is asked for; None where nothing has to.

    Raises ``UsageError`` where nothing says what a metre is (``require_metres``), or the depth has several scales.
    """
    if depth_scale is None or depth.kind == "depth":
        return None
    require_one_scale(len(depth.plan.shots))
    if metres is not None:
        return Calibration(*metres)
    require_metres(depth.kind, depth_scale, metres, calibration)
    return calibration


def require_made_for(found: Calibration | None, depth: SceneDepth) -> None:
    """Raise ``UsageError`` where ``found`` was found for other depth than ``depth``, of which frames are made."""
    made_for = None if found is None else found.made_for
    if made_for is not None and not made_for.fits(Fingerprint.of(depth.frames, depth.frame)):
        raise UsageError(
            "The scene's calibration was made for other depth than this.", "Calibrate again with 'vda enrich'."
        )


def in_metres(depth: SceneDepth, found: Calibration | None) -> SceneDepth:
    """``depth`` in metres where it has to become that, and as it is elsewhere."""
    if found is None:
        return depth

    def to_metres(values: Float32Array) -> Float32Array:
        return found.metres(values).astype(np.float32)

    return replace(depth, kind="depth", to_metres=to_metres)
