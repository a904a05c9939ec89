"""Metres from how tall the tracked things are: how far by their boxes, and what depth there is at their feet.

In go tracks with boxes, depth images, a camera and a height; out comes a ``Calibration``. Things stand upright and
touch the ground at the lowest row of their box. A camera that looks down sees them shorter than they are: how far
it does is given, or found from things of one height that stand on one plane (single view metrology: Criminisi,
Reid and Zisserman 2000; Hoiem, Efros and Hebert 2008). This file does not know track formats.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vda.calibration.fit import Calibration, Values, inverse_depth, robust_fit
from vda.calibration.sampling import DepthImages, Region, measure
from vda.camera.conventions import corner_to_centre
from vda.camera.intrinsics import Intrinsics, normalise
from vda.errors import InputError, UsageError
from vda.tracks import Skip, Tracks

# A pixel of a box's height is a tenth of the distance there.
_LEAST_BOX_PX = 10
# Of its height: a box that reaches lower by less may do so by the noise of the tracker, and is not taken for a
# nearer one.
_LOWER_SHARE = 0.05
# As --window's default; of fewer pixels the noise of real depth would remain.
_WINDOW_PX = 7
# Two numbers need no hours of depth images.
_MOST_FRAMES = 1000
# Boxes of a track within 12 % of a distance are one witness, their errors being one error.
_DISTANCE_STEP = 1.12
# And so are those within a tenth of a focal length of each other.
_PLACE_STEP = 0.1
# How large a shift is before anything is measured, in median inverse distances; how exact sizes are at the best;
# and how sure a measured shift has to be against that. Together they tell people at 6 and 15 m from people at 8 to
# 10 m.
_SHIFT_SPREAD = 0.25
_LEAST_SCATTER = 0.03
_TRUSTED_SHIFT = 0.8
# The fit has several valleys: it is begun level, a little tilted and steep, and the best counts.
_PITCH_STARTS_DEG = (0.0, 20.0, 45.0)
# Steeper than this a thing upright is seen from its top, and its box says little of its height.
_MOST_TILT_DEG = 75.0
# A standard error of 3 degrees is 4 % of a distance for a camera that looks down by 35 (3 degrees times tan 35).
_MOST_PITCH_ERROR_DEG = 3.0
# Above it boxes are not of one height on one plane; boards hanging anywhere were once taken for it
# (docs/decisions.md).
_MOST_PLANE_SCATTER = 0.08
# Where the robust loss bends: of the order by which people differ in height.
_PLANE_TOLERANCE = 0.05


@dataclass(frozen=True)
class _Boxes:
    """Boxes on the plane z = 1: the foot [n, 2], and the row of the top [n]; ``track`` says whose they are."""

    foot: Values
    top: Values
    track: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.bool_]) -> "_Boxes":
        return _Boxes(self.foot[rows], self.top[rows], self.track[rows])

    def inverse_distance(self, down: Values, height_m: float) -> Values:
        """1 / metres along the optical axis to the foot of things of ``height_m``, by the height of their boxes.

        The top lies ``height_m`` against ``down`` (a unit vector, camera coordinates) from the foot:
        (Z y_foot - H d_y) / (Z - H d_z) = y_top, solved for 1 / Z.
        """
        return (self.foot[:, 1] - self.top) / (height_m * (down[1] - down[2] * self.top))


def from_known_size(
    height_m: float,
    category: str | None,
    tracks: Tracks,
    depth: DepthImages,
    kind: str,
    camera: Intrinsics,
    pitch_deg: float | None = None,
) -> Calibration:
    """From the height of upright things, seen by a camera that looks down by ``pitch_deg`` (None: find out).

    ``category`` restricts it to one class. Left out are boxes that touch the border, for they are cut, and those
    whose foot lies behind a box that stands nearer. Depth is that of the foot or of the box's middle, whichever is
    nearer: a thin body's box holds more of what is behind it, and depth models blur it away. Where all feet are
    hidden, middles that are not have to do. Raises ``InputError`` where that leaves fewer than two boxes.
    """
    if not 0 < height_m < np.inf:
        raise UsageError(f"A height of {height_m} m is not possible.", "Give --known-size in metres.")
    size = (camera.width, camera.height)
    foot = _feet(tracks)
    whole = _whole_boxes(tracks, size) & _of_category(tracks, category)
    chosen = whole & ~_hidden(tracks, foot)
    feet_seen = bool(chosen.sum() > 1)
    if not feet_seen:
        chosen = whole & ~_hidden(tracks, (tracks.box[:, :2] + tracks.box[:, 2:]) / 2)
    chosen = _thinned(tracks.frame, chosen)
    method = f"known height {height_m:g} m" + (f" of {category}" if category else "")
    boxes = _on_plane(camera, tracks, foot, chosen)
    down, about = _looking_down(boxes, pitch_deg)
    values, at_middle = _nearer_depth(_rows_of(tracks, foot, chosen), depth, size, kind, feet_seen)
    inverse = boxes.inverse_distance(down, height_m)
    # Where the middle of the thing was measured, its distance counts: under a camera that looks down it is nearer.
    inverse = np.where(at_middle, 1 / (1 / inverse - height_m / 2 * down[2]), inverse)
    usable = np.isfinite(values) & np.isfinite(inverse) & (inverse > 0)
    if usable.sum() < 2:
        raise InputError(
            f"The calibration by {method} found {usable.sum()} boxes that are whole and have depth.",
            "Calibrate another way.",
        )
    return _fit(values[usable], inverse[usable], boxes.track[usable], kind, method, about)


def _feet(tracks: Tracks) -> Values:
    """Where things touch the ground, [N, 2] pixels: the record's own point, else the middle of the lowest row."""
    below = np.stack([tracks.box[:, [0, 2]].mean(axis=1), tracks.box[:, 3]], axis=1)
    # Points of other kinds (centres, heads) are no feet.
    low = tracks.point[:, 1] > tracks.box[:, 3] - 0.1 * (tracks.box[:, 3] - tracks.box[:, 1])
    return np.where(low[:, None], tracks.point, below)


def _whole_boxes(tracks: Tracks, size: tuple[int, int]) -> NDArray[np.bool_]:
    # A box that ends within a pixel of the picture's edge may be cut off there.
    box, first, last = tracks.box, corner_to_centre(np.ones(2)), corner_to_centre(np.array(size, np.float64) - 1)
    inside = (box[:, :2] > first).all(axis=1) & (box[:, 2:] < last).all(axis=1)
    return (tracks.skip == Skip.NONE) & inside & (box[:, 3] - box[:, 1] >= _LEAST_BOX_PX)


def _of_category(tracks: Tracks, category: str | None) -> NDArray[np.bool_]:
    if category is None:
        return np.ones(len(tracks), bool)
    codes = [code for code, name in enumerate(tracks.category_names) if str(name) == category]
    if not codes:
        known = ", ".join(map(str, tracks.category_names)) or "none"
        raise InputError(f"No record is of the class {category!r}.", f"The classes in the file: {known}.")
    return np.isin(tracks.category, codes)


def _hidden(tracks: Tracks, point: Values) -> NDArray[np.bool_]:
    """Whether a box of the same frame that reaches lower than its own, and so stands nearer, covers each point."""
    hidden = np.zeros(len(tracks), bool)
    rows = np.flatnonzero((tracks.skip == Skip.NONE) & np.isfinite(tracks.box).all(axis=1))
    rows = rows[np.argsort(tracks.frame[rows], kind="stable")]
    for group in np.split(rows, np.flatnonzero(np.diff(tracks.frame[rows])) + 1):
        left, top, right, bottom = tracks.box[group].T[:, None, :]
        x, y = point[group].T[:, :, None]
        margin = _LOWER_SHARE * (tracks.box[group, 3] - tracks.box[group, 1])[:, None]
        covered = (left <= x) & (x <= right) & (top <= y) & (bottom > tracks.box[group, 3][:, None] + margin)
        hidden[group] = covered.any(axis=1)
    return hidden


def _thinned(frame: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``chosen`` in no more than so many frames, evenly drawn: two numbers need no hours of depth images."""
    frames = np.unique(frame[chosen])
    if len(frames) <= _MOST_FRAMES:
        return chosen
    kept = frames[np.linspace(0, len(frames) - 1, _MOST_FRAMES).round().astype(np.intp)]
    return chosen & np.isin(frame, kept)


def _on_plane(camera: Intrinsics, tracks: Tracks, foot: Values, chosen: NDArray[np.bool_]) -> _Boxes:
    box = tracks.box[chosen]
    middle = (box[:, 0] + box[:, 2]) / 2
    top = normalise(camera, np.stack([middle, box[:, 1]], axis=1))
    bottom = normalise(camera, np.stack([middle, box[:, 3]], axis=1))
    across = normalise(camera, foot[chosen])[:, 0]
    return _Boxes(np.stack([across, bottom[:, 1]], axis=1), top[:, 1], tracks.track[chosen])


def _nearer_depth(
    tracks: Tracks, depth: DepthImages, size: tuple[int, int], kind: str, feet_seen: bool
) -> tuple[Values, NDArray[np.bool_]]:
    """Inverse depth [n] of each box, as the images hold it, and whether it is that of the box's middle."""

    def look(region: Region) -> Values:
        found = measure(tracks, depth, size, region, lambda values: inverse_depth(values, kind))
        return np.where(found.skip == Skip.NONE, found.value, np.nan)

    middle = look(Region("box"))
    below = look(Region("window", window_px=_WINDOW_PX)) if feet_seen else np.full(len(tracks), np.nan)
    return np.fmax(middle, below), ~(below >= middle)


def _rows_of(tracks: Tracks, point: Values, chosen: NDArray[np.bool_]) -> Tracks:
    columns = {name: getattr(tracks, name)[chosen] for name in ("frame", "box", "track", "category", "skip")}
    return Tracks(
        tracks.path,
        tracks.format,
        tracks.header,
        point=point[chosen],
        track_names=[],
        category_names=[],
        **columns,
    )


def _down(pitch: float, roll: float = 0.0) -> Values:
    """The unit vector that points down, in camera coordinates; angles in radians."""
    return np.array([np.sin(roll) * np.cos(pitch), np.cos(roll) * np.cos(pitch), np.sin(pitch)])


def _looking_down(boxes: _Boxes, pitch_deg: float | None) -> tuple[Values, str]:
    """Which way is down, and a sentence that says so."""
    if pitch_deg is not None:
        return _down(np.radians(pitch_deg)), f"The camera looks down by {pitch_deg:g} degrees, as given."
    found = _fit_plane(boxes[_one_of_each(boxes)])
    if found is None:
        return _down(0.0), "The boxes do not tell how far the camera looks down: it is taken as level (--pitch)."
    return _down(*found), f"By the boxes, the camera looks down by {np.degrees(found[0]):.0f} degrees."


def _one_of_each(boxes: _Boxes) -> NDArray[np.bool_]:
    """One box of each track, size and place: who stands still for a thousand frames is one witness."""
    size = np.floor(np.log(np.maximum(boxes.foot[:, 1] - boxes.top, 1e-6)) / np.log(_DISTANCE_STEP))
    place = np.floor(boxes.foot[:, 0] / _PLACE_STEP)
    _, first = np.unique(np.stack([boxes.track, size, place]), axis=1, return_index=True)
    return np.isin(np.arange(len(boxes.top)), first)


def _fit_plane(boxes: _Boxes) -> tuple[float, float] | None:
    """Pitch and roll in radians, from things of one height on one plane; None where they do not tell.

    With the camera C above the plane, 1 / Z = (foot . down) / C; by the height of the boxes it is something else,
    and C / H is the third unknown. Both have to agree for all boxes.
    """
    from scipy.optimize import least_squares

    if len(boxes.top) < 4:
        return None
    foot = np.concatenate([boxes.foot, np.ones((len(boxes.top), 1))], axis=1)
    seen = boxes.foot[:, 1] - boxes.top

    def residual(unknown: Values) -> Values:
        pitch, roll, log_height = unknown
        down = _down(pitch, roll)
        return foot @ down * (down[1] - down[2] * boxes.top) / (np.exp(log_height) * seen) - 1

    fits = []
    for start in np.radians(_PITCH_STARTS_DEG):
        begin = np.median(np.abs(foot @ _down(start) / seen)) + 1e-6
        fits.append(least_squares(residual, [start, 0.0, np.log(begin)], loss="soft_l1", f_scale=_PLANE_TOLERANCE))
    best = min(fits, key=lambda fit: float(fit.cost))
    scatter = 1.4826 * float(np.median(np.abs(residual(best.x))))
    spread = np.linalg.pinv(best.jac.T @ best.jac)[0, 0] ** 0.5 * max(scatter, _LEAST_SCATTER)
    pitch, roll = best.x[:2]
    told = scatter < _MOST_PLANE_SCATTER and 0 < np.degrees(spread) < _MOST_PITCH_ERROR_DEG
    return (
        (float(pitch), float(roll)) if told and np.degrees(max(abs(pitch), abs(roll))) < _MOST_TILT_DEG else None
    )


def _fit(
    values: Values, inverse: Values, track: NDArray[np.int64], kind: str, method: str, about: str
) -> Calibration:
    """Scale and shift with the least relative error of the distance; shift 0 where distances cannot tell it."""
    v, m = _medians(values, inverse, track)
    shift = _believed_shift(v, m, values, inverse)
    scale = float(robust_fit((v / (m - shift))[:, None])[0])
    ratio = (scale * values + shift) / inverse
    error = float(np.median(np.abs(1 / ratio[ratio > 0] - 1))) if (ratio > 0).any() else None
    too_alike = "The distances are too much alike: the shift cannot be told and is taken as 0."
    notes = (about,) if shift else (about, too_alike)
    return Calibration(scale, shift, kind, method, len(values), error, notes)


def _medians(values: Values, inverse: Values, track: NDArray[np.int64]) -> tuple[Values, Values]:
    """The medians of each track and distance: their errors are one error, however many frames there are."""
    step = np.floor(np.log(inverse) / np.log(_DISTANCE_STEP))
    _, group = np.unique(np.stack([track, step]), axis=1, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    edges = np.flatnonzero(np.diff(group.ravel()[order])) + 1
    middles = [(np.median(values[rows]), np.median(inverse[rows])) for rows in np.split(order, edges)]
    v, m = np.array(middles, np.float64).T
    return v, m


def _believed_shift(v: Values, m: Values, values: Values, inverse: Values) -> float:
    """The shift as far as it is borne out, 0 where it is not: its standard error against what it may well be.

    Relative depth is about 0 where it is far: a shift is taken to be of the order of a quarter of the inverse
    distances ``m``. The scatter of all boxes, and no less than sizes are uncertain by, makes the standard error.
    """
    if len(v) < 3 or np.ptp(v) == 0:
        return 0.0
    design = np.stack([v, np.ones(len(v))], axis=1) / m[:, None]
    scale, shift = robust_fit(design)
    scatter = max(_LEAST_SCATTER, 1.4826 * float(np.median(np.abs((scale * values + shift) / inverse - 1))))
    variance = scatter**2 * np.linalg.pinv(design.T @ design)[1, 1]
    expected = (_SHIFT_SPREAD * np.median(m)) ** 2
    trust = float(expected / (expected + variance))
    return float(shift) * trust if trust > _TRUSTED_SHIFT and scale > 0 else 0.0
