"""From what the user knows to a calibration: asked for now, or kept in the scene from before.

In go the user's choice, depth, tracks and camera; out comes a ``Calibration`` or None, and sentences that say what
was fitted and how well. This file does not know what metres are wanted for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from vda.calibration.fit import (
    Calibration,
    KnownDistance,
    from_known_distances,
    from_reference,
    load_calibration,
    save_calibration,
)
from vda.calibration.identity import Fingerprint, require_one_scale
from vda.calibration.knownsize import from_known_size
from vda.camera.intrinsics import Intrinsics
from vda.depthmaps.codes import Kind
from vda.depthmaps.source import DepthSource, open_depth
from vda.errors import InputError, UsageError
from vda.records import Positive, Within, require_sound
from vda.reporter import Reporter
from vda.scene.scene import Scene
from vda.tracks import Tracks


@dataclass(frozen=True)
class CalibrationChoice:
    """At most one way to metres: (scale, shift), known distances, a known height (and class), another depth.

    ``pitch_deg`` goes with the height: how far the camera looks down; None: find out. ``by_order`` is of the other
    depth: its frames are in the order of its files' names.
    """

    numbers: tuple[float, float] | None = None
    distances: tuple[KnownDistance, ...] = ()
    height: tuple[float, str | None] | None = None
    pitch_deg: Annotated[float, Within(-75, 75)] | None = None
    reference: Path | None = None
    reference_scale: Positive | None = None
    by_order: bool = False

    def __post_init__(self) -> None:
        require_sound(self, pitch_deg="pitch")


def choose_calibration(
    choice: CalibrationChoice,
    depth: DepthSource,
    kind: Kind,
    tracks: Tracks,
    camera: Intrinsics,
    video: tuple[int, int],
    scene: Scene | None,
    reporter: Reporter,
) -> Calibration | None:
    """A new calibration as ``choice`` has it, kept in ``scene``; else the one kept there, if it is for this depth.

    ``camera`` is for the image that the tracks' pixels are for; known distances are in pixels of the ``video``
    (width, height). ``scene`` is None where the depth belongs to none. Raises ``UsageError`` for more than one
    way, ``InputError`` where a way leads nowhere, or what is kept was made for other depth.
    """
    made_for = Fingerprint.of(depth.frames, depth.read)
    fresh = _fresh_calibration(choice, depth, kind, tracks, camera, video)
    known = fresh or _kept_calibration(scene, kind, made_for, reporter)
    if known is not None and kind == "inverse_depth" and depth.record is not None:
        require_one_scale(len(depth.record.shots))
    if fresh is None:
        return known
    calibration = replace(fresh, made_for=made_for)
    error = "" if calibration.error is None else f", median error {100 * calibration.error:.1f} %"
    formula = f"1/metres = {calibration.scale:.6g} * value + {calibration.shift:.6g}"
    reporter.say(f"Calibrated by {calibration.method}: {formula} ({calibration.samples} samples{error}).")
    for note in calibration.notes:
        reporter.say(note)
    if scene is not None:
        save_calibration(calibration, scene.calibration_path)
        reporter.say(f"The calibration is kept in {scene.calibration_path}.")
    return calibration


def _fresh_calibration(
    choice: CalibrationChoice,
    depth: DepthSource,
    kind: Kind,
    tracks: Tracks,
    camera: Intrinsics,
    video: tuple[int, int],
) -> Calibration | None:
    ways = (choice.numbers, choice.distances or None, choice.height, choice.reference)
    if sum(way is not None for way in ways) > 1:
        raise UsageError("The depth is calibrated in more than one way.", "Give one of them.")
    if choice.pitch_deg is not None and choice.height is None:
        raise UsageError("--pitch is of no use without --known-size.", "Give --known-size as well.")
    if choice.numbers is not None:
        return Calibration(*choice.numbers, kind)
    if choice.distances:
        return from_known_distances(choice.distances, depth, kind, video)
    if choice.height is not None:
        return from_known_size(*choice.height, tracks, depth, kind, camera, choice.pitch_deg)
    if choice.reference is not None:
        return from_reference(depth, kind, *_open_reference(choice))
    return None


def _open_reference(
    choice: CalibrationChoice,
) -> tuple[DepthSource, Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """Another source of depth, a scene or a folder, which has to be in metres."""
    path, scale = choice.reference, choice.reference_scale
    assert path is not None
    merged = Scene(path).merged_dir
    reference = open_depth(merged if merged.is_dir() else path, scale=scale, by_order=choice.by_order)
    record = reference.record
    if (record is None and scale is None) or (record is not None and record.quantizer.unit != "metre"):
        raise UsageError(
            f"The depth in {path} is not in metres.",
            "Give a metric model's scene, or a sensor's images with --reference-scale 1000.",
        )
    return reference, Calibration(1.0, 0.0, record.quantizer.kind if record else "depth").metres


def _kept_calibration(
    scene: Scene | None, kind: Kind, depth: Fingerprint, reporter: Reporter
) -> Calibration | None:
    kept = load_calibration(scene.calibration_path) if scene is not None else None
    if kept is None or kept.kind != kind or scene is None:
        return None
    if kept.made_for is not None and not kept.made_for.fits(depth):
        raise InputError(
            f"The calibration in {scene.calibration_path} was made for other depth than is there now.",
            "Calibrate again, or remove that file.",
        )
    reporter.say(f"The scene's calibration is used ({kept.method}, {scene.calibration_path}).")
    return kept
