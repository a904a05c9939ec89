"""How a thing moved, from where it was seen: one stretch of a track in, states at all its times out.

A Rauch-Tung-Striebel smoother over constant velocity, disturbed by white acceleration, in one of two frames.
``in_the_world`` is for cameras whose pose is known at every time. ``from_the_camera`` goes by bearing and range: a
camera that turns changes bearings and leaves ranges as they are, so a shaking hand moves nothing.

Smoothing positions in the camera's coordinates instead pulls things towards the camera. Their noise is loose along
the ray and tight across it, and rays that differ because the *camera* turned all meet at the camera.

Noise is measured twice: by the spread of depth that came with each position, and by how far each range is from
what its neighbours in time lead to expect. The larger counts. This file does not know tracks or files.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from vda.records import Positive, Within, require_sound

Values = NDArray[np.float64]

AXES = 3
# Depth is read from pixels of 16 bits through a network: better than half a percent it never is.
_LEAST_SPREAD = 0.005
# Trackers place a point to about a pixel.
_PIXEL_NOISE = 1.0
# Nothing is known of a track's speed before its first step: 10 m/s is a fast cyclist.
_FIRST_SPEED = 10.0
# A first position counts with this many times its variance, so that it is no better than the ones after it.
_FIRST_DOUBT = 100.0
# The median of a squared normal variable of variance 1 (chi-squared with one degree of freedom).
_MEDIAN_OF_SQUARE = 0.4549
# An odd number of frames, few enough for a thing not to have gone far.
_COURSE = 5
# Fewer neighbours tell more of chance than of noise.
_LEAST_SEEN = 7


@dataclass(frozen=True)
class MotionModel:
    """How things move: ``acceleration`` is a standard deviation in m/s^2, ``max_gap_s`` the longest time without a
    measured position after which a track still goes on.
    """

    acceleration: Positive = 2.0
    max_gap_s: Annotated[float, Within(0)] = 1.0

    def __post_init__(self) -> None:
        require_sound(self, max_gap_s="max-gap")


@dataclass(frozen=True)
class Stretch:
    """Where a thing was seen: ``position`` [n, 3] in the camera's coordinates (metres), NaN where it was not seen.

    ``spread`` [n] is that of its depth, in metres; ``times_s`` [n] rise. The first and the last row are seen.
    """

    position: Values
    spread: Values
    times_s: Values
    focal_px: float

    @property
    def seen(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.position[:, 0])

    @property
    def range_m(self) -> Values:
        """How far from the camera's centre, along the ray."""
        return np.linalg.norm(self.position, axis=1)

    @property
    def bearing(self) -> Values:
        """Unit vectors [n, 3]."""
        return self.position / self.range_m[:, None]

    def range_noise(self) -> Values:
        """Standard deviation of each range, in metres: measured in its frame or by its neighbours."""
        own = np.maximum(self.spread / self.position[:, 2], _LEAST_SPREAD)
        # Depth errs in proportion to itself: what a thing shows far away would drown what it shows nearby.
        among = _noise_by_neighbours(self.times_s[self.seen], self.range_m[self.seen])
        return np.maximum(own, among) * self.course_m

    @property
    def course_m(self) -> Values:
        """Ranges, roughly without their noise: one that errs outwards would else be taken for a noisier one."""
        from scipy.ndimage import median_filter

        return median_filter(_held(self.range_m), _COURSE, mode="nearest")


def from_the_camera(stretch: Stretch, motion: MotionModel) -> tuple[Values, Values]:
    """Positions and velocities, both [n, 3], in the camera's coordinates: still things move where it turns."""
    bearing, far, across = stretch.bearing, stretch.range_m, _PIXEL_NOISE / stretch.focal_px
    turning = _speed_of(stretch.times_s, bearing, stretch.seen)
    angular = _acceleration_of(stretch.times_s, bearing, stretch.seen, across)
    typical = float(np.median(far[stretch.seen]))
    # A thing that passes by on a straight line, or that the camera passes, has a range that bends by r w^2.
    bending = stretch.course_m * turning**2
    aside = OneAxis(
        np.full(len(far), across**2),
        np.hypot(angular, motion.acceleration / stretch.course_m) ** 2,
        stretch.times_s,
        _FIRST_SPEED / typical,
    )
    away = OneAxis(
        stretch.range_noise() ** 2,
        np.hypot(motion.acceleration, bending) ** 2,
        stretch.times_s,
        _FIRST_SPEED,
    )
    states = np.stack([*(aside.smoothed(axis) for axis in bearing.T), away.smoothed(far)])
    return _along_rays(states[..., 0].T, states[..., 1].T)


# Value and rate, and their variances with the covariance between them.
_State = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class OneAxis:
    """One number that moves by itself: ``noise`` [n] and ``changes`` [n] are variances, as in ``_smoothed``."""

    noise: Values
    changes: Values
    times_s: Values
    first_speed: float

    def smoothed(self, seen: Values) -> Values:
        """States [n, 2] (value, rate) of ``seen`` [n], NaN in rows that were not.

        What ``_smoothed`` does in one dimension, written out in plain floats: NumPy takes twenty times as long for
        matrices of 2 x 2, and there is one for every record.
        """
        steps = np.diff(self.times_s, prepend=self.times_s[0]).clip(min=0).tolist()
        predicted, filtered = self._forward(seen, steps)
        x, v = filtered[-1][:2]
        states = [(x, v)]
        for before, after, step in zip(filtered[-2::-1], predicted[:0:-1], steps[:0:-1], strict=True):
            x, v = _drawn_back(before, after, step, x, v)
            states.append((x, v))
        return np.array(states[::-1])

    def _forward(self, seen: Values, steps: list[float]) -> tuple[list[_State], list[_State]]:
        """The states before and after each row was taken into account."""
        x, v = float(seen[0]), 0.0
        xx, xv, vv = _FIRST_DOUBT * float(self.noise[0]), 0.0, self.first_speed**2
        predicted, filtered = [], []
        rows = zip(seen.tolist(), self.noise.tolist(), self.changes.tolist(), steps, strict=True)
        for value, noise, change, step in rows:
            x += step * v
            xx += step * (2 * xv + step * vv) + change * step**4 / 4
            xv += step * vv + change * step**3 / 2
            vv += change * step**2
            predicted.append((x, v, xx, xv, vv))
            if value == value:  # not NaN
                miss, weight = value - x, 1 / (xx + noise)
                x, v = x + xx * weight * miss, v + xv * weight * miss
                xx, xv, vv = xx - xx * xx * weight, xv - xx * xv * weight, vv - xv * xv * weight
            filtered.append((x, v, xx, xv, vv))
        return predicted, filtered


def _drawn_back(before: _State, after: _State, step: float, x: float, v: float) -> tuple[float, float]:
    """The smoothed state at ``before``, from that (x, v) a ``step`` later, where ``after`` had been predicted."""
    x0, v0, xx, xv, vv = before
    x1, v1, xx1, xv1, vv1 = after
    off_x, off_v, size = x - x1, v - v1, xx1 * vv1 - xv1 * xv1
    by_x, by_v = (vv1 * off_x - xv1 * off_v) / size, (xx1 * off_v - xv1 * off_x) / size
    return x0 + (xx + step * xv) * by_x + xv * by_v, v0 + (xv + step * vv) * by_x + vv * by_v


def _along_rays(place: Values, speed: Values) -> tuple[Values, Values]:
    """From (bearing, range) [n, 4] and its rate of change to points and their rate of change."""
    length = np.linalg.norm(place[:, :AXES], axis=1, keepdims=True)
    bearing, turning = place[:, :AXES] / length, speed[:, :AXES] / length
    turning = turning - bearing * (bearing * turning).sum(axis=1, keepdims=True)
    far, leaving = place[:, AXES:], speed[:, AXES:]
    return bearing * far, turning * far + bearing * leaving


def in_the_world(stretch: Stretch, poses: Values, motion: MotionModel) -> tuple[Values, Values]:
    """Positions and velocities, both [n, 3], in the world; ``poses`` [n, 4, 4] are from camera to world."""
    turns, places = poses[:, :AXES, :AXES], poses[:, :AXES, AXES]
    seen = np.einsum("nij,nj->ni", turns, stretch.position) + places
    along = stretch.bearing * stretch.range_noise()[:, None]
    across = (_PIXEL_NOISE * stretch.range_m / stretch.focal_px) ** 2
    errors = [
        turn @ (np.outer(ray, ray) + side * np.eye(AXES)) @ turn.T
        for turn, ray, side in zip(turns, along, across, strict=True)
    ]
    changes = np.full((len(seen), AXES), motion.acceleration**2)
    states = _smoothed(seen, errors, stretch.times_s, changes, np.full(AXES, _FIRST_SPEED))
    return states[:, ::2], states[:, 1::2]


def _smoothed(seen: Values, errors: list[Values], times: Values, changes: Values, first_speed: Values) -> Values:
    """States [n, 2 d] (value, rate, value, rate ...) of ``seen`` [n, d], NaN in rows that were not.

    ``errors`` are covariances [d, d] of each row; ``changes`` [n, d] variances of the second derivative in the
    step to each row. The first step predicts nothing: no time has passed.
    """
    from filterpy.common import Q_discrete_white_noise as drift_of
    from filterpy.kalman import KalmanFilter as filters

    size = seen.shape[1]
    steps = np.diff(times, prepend=times[0]).clip(min=0)
    transitions = [np.kron(np.eye(size), np.array([[1.0, step], [0.0, 1.0]])) for step in steps]
    drifts = [
        np.kron(np.diag(change), drift_of(dim=2, dt=float(step), var=1.0))
        for step, change in zip(steps, changes, strict=True)
    ]
    kalman = filters(dim_x=2 * size, dim_z=size)
    kalman.H = np.kron(np.eye(size), np.array([[1.0, 0.0]]))
    kalman.x = kalman.H.T @ seen[0]
    kalman.P = np.kron(np.diag(first_speed**2), np.diag([0.0, 1.0])) + _FIRST_DOUBT * (
        kalman.H.T @ errors[0] @ kalman.H
    )
    rows = [None if np.isnan(row[0]) else row for row in seen]
    known = [error if row is not None else np.eye(size) for row, error in zip(rows, errors, strict=True)]
    means, covariances, _, _ = kalman.batch_filter(rows, Fs=transitions, Qs=drifts, Rs=known)
    return np.asarray(kalman.rts_smoother(means, covariances, Fs=transitions, Qs=drifts)[0], np.float64)


def _noise_by_neighbours(times: Values, values: Values) -> float:
    """Standard deviation of ``values`` [n], over the values, around a smooth course: the smaller of two curves'.

    Each value is held against the polynomial through its two, or four, nearest neighbours; with weights w the
    difference has the variance s^2 (1 + sum of w^2). The cubic follows true motion better, the line is surer.
    """
    if len(values) < _LEAST_SEEN:
        return 0.0
    return min(_left_over(times, values, reach) for reach in (1, 2))


def _left_over(times: Values, values: Values, reach: int) -> float:
    places = np.arange(reach, len(values) - reach)
    offsets = np.array([offset for offset in range(-reach, reach + 1) if offset])
    nodes = times[places[:, None] + offsets] - times[places, None]
    weights = _lagrange_at_zero(nodes)
    expected = (weights * values[places[:, None] + offsets]).sum(axis=1)
    squares = (1 - expected / values[places]) ** 2 / (1 + (weights**2).sum(axis=1))
    return float(np.sqrt(np.median(squares) / _MEDIAN_OF_SQUARE))


def _lagrange_at_zero(nodes: Values) -> Values:
    """Weights [m, k] with which the polynomial through values at ``nodes`` [m, k] gives the value at 0."""
    weights = np.ones_like(nodes)
    for mine in range(nodes.shape[1]):
        for other in range(nodes.shape[1]):
            if other != mine:
                weights[:, mine] *= nodes[:, other] / (nodes[:, other] - nodes[:, mine])
    return weights


def _acceleration_of(times: Values, bearing: Values, seen: NDArray[np.bool_], noise: float) -> Values:
    """How hard bearings [n, 3] change course at each time, in rad/s^2 per axis across the ray.

    That is what second differences have beyond the noise, around each time or in the whole stretch: a thing that
    is passed turns slowly for a long time and then fast.
    """
    from scipy.ndimage import uniform_filter1d

    at, known = times[seen], bearing[seen]
    if len(at) < AXES:
        return np.zeros(len(times))
    before, after = np.diff(at)[:-1], np.diff(at)[1:]
    slopes = np.diff(known, axis=0) / np.diff(at)[:, None]
    second = 2 * np.diff(slopes, axis=0) / (before + after)[:, None]
    ours = (2 * noise / (before + after)) ** 2 * (1 / before**2 + 1 / after**2 + (1 / before + 1 / after) ** 2)
    beyond = (second**2).sum(axis=1) / 2 - ours
    around = np.maximum(uniform_filter1d(beyond, _COURSE, mode="nearest"), beyond.mean())
    return np.interp(times, at[1:-1], np.sqrt(around.clip(min=0)))


def _speed_of(times: Values, bearing: Values, seen: NDArray[np.bool_]) -> Values:
    """How fast the bearing turns at each time, in rad/s, over two steps to either side."""
    known, at = bearing[seen], times[seen]
    reach = np.arange(len(at))
    low, high = np.maximum(reach - 2, 0), np.minimum(reach + 2, len(at) - 1)
    speed = np.linalg.norm(known[high] - known[low], axis=1) / np.maximum(at[high] - at[low], np.finfo(float).tiny)
    return np.interp(times, at, speed)


def _held(values: Values) -> Values:
    """The gaps of ``values`` filled in along straight lines."""
    rows = np.arange(len(values))
    known = ~np.isnan(values)
    return np.interp(rows, rows[known], values[known])
