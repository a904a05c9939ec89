"""Tracks smoothed in space: positions with their noise in, smoothed positions and velocities out.

A Rauch-Tung-Striebel smoother over a constant-velocity model (FilterPy's), for each track, between its first and
its last measured position. The noise of a position is what was measured with it: the spread of its depth along the
ray, and a pixel across. Times are the video's own, so a varying frame rate is right. This file does not know depth
images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vda.errors import UsageError
from vda.tracks import Bridge, Enriched, Skip, Tracks

Values = NDArray[np.float64]

_LEAST_SPREAD = 0.005
_PIXEL_NOISE = 1.0
_FIRST_SPEED = 10.0
_FIRST_DOUBT = 100.0
_AXES = 3


@dataclass(frozen=True)
class MotionModel:
    """How things move: ``acceleration`` is a standard deviation in m/s^2, ``max_gap_s`` the longest time without a
    measured position after which a track still goes on.
    """

    acceleration: float = 2.0
    max_gap_s: float = 1.0


def smooth(tracks: Tracks, enriched: Enriched, times_s: Values, focal_px: float, motion: MotionModel) -> list[str]:
    """Fill in ``enriched.smoothed``, ``velocity`` and ``bridged``; return, in sentences, what was left out.

    ``times_s`` [frames] is when each frame is shown, in seconds. Records between measured ones that have no
    position of their own get one (``bridged``), and so do frames in which the track has no record (``bridges``),
    at the step in which it has records elsewhere. Raises ``UsageError`` where FilterPy is missing or positions
    have no metres.
    """
    if enriched.relative:
        raise UsageError("Without metres there is no velocity.", "Calibrate the depth, or leave --smooth out.")
    count = len(tracks)
    enriched.smoothed, enriched.velocity = np.full((count, _AXES), np.nan), np.full((count, _AXES), np.nan)
    enriched.bridged = np.zeros(count, bool)
    in_time = (tracks.frame >= 0) & (tracks.frame < len(times_s))
    twice = 0
    for rows in _tracks(tracks, in_time):
        single, repeated = _one_per_frame(tracks.frame, enriched.skip, rows)
        twice += repeated
        for run in _runs(enriched, single, times_s[tracks.frame[single]], motion.max_gap_s):
            _smooth_run(tracks, enriched, run, times_s, focal_px, motion)
    return _left_out(tracks, twice, int((~in_time).sum()))


def _left_out(tracks: Tracks, twice: int, untimed: int) -> list[str]:
    sentences = []
    if twice:
        sentences.append(f"{twice} records share frame and track with another and are not smoothed.")
    if untimed:
        sentences.append(f"{untimed} records are of frames without a time and are not smoothed.")
    if len(tracks.track_names) and (tracks.track < 0).any():
        sentences.append(f"{int((tracks.track < 0).sum())} records belong to no track and are not smoothed.")
    return sentences


def _tracks(tracks: Tracks, in_time: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """The rows of each track in order of time; a file that names no tracks holds one."""
    named = (tracks.track >= 0) if len(tracks.track_names) else np.ones(len(tracks), bool)
    rows = np.flatnonzero(in_time & named)
    rows = rows[np.lexsort((tracks.frame[rows], tracks.track[rows]))]
    yield from (group for group in np.split(rows, np.flatnonzero(np.diff(tracks.track[rows])) + 1) if len(group))


def _one_per_frame(
    frame: NDArray[np.int64], skip: NDArray[np.uint8], rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], int]:
    """Of several records in a frame the first that has a position, and how many were passed over."""
    preferred = rows[np.lexsort((skip[rows] != Skip.NONE, frame[rows]))]
    first = np.append(True, np.diff(frame[preferred]) > 0)
    return preferred[first], int((~first).sum())


def _runs(
    enriched: Enriched, rows: NDArray[np.intp], times: Values, max_gap_s: float
) -> Iterator[NDArray[np.intp]]:
    """Stretches from a measured record to a measured record, without a gap that is too long."""
    measured = np.flatnonzero(enriched.skip[rows] == Skip.NONE)
    for part in np.split(measured, np.flatnonzero(np.diff(times[measured]) > max_gap_s) + 1):
        if len(part) > 1:
            yield rows[part[0] : part[-1] + 1]


def _smooth_run(
    tracks: Tracks,
    enriched: Enriched,
    run: NDArray[np.intp],
    times_s: Values,
    focal_px: float,
    motion: MotionModel,
) -> None:
    """Smooth one stretch, and keep what is found at its records and at the frames between them."""
    frames = tracks.frame[run]
    step = max(1, int(np.median(np.diff(frames))))
    nodes = np.union1d(frames, np.arange(frames[0], frames[-1] + 1, step))
    seen: list[Values | None] = [None] * len(nodes)
    errors = [np.eye(_AXES)] * len(nodes)
    for row, node in zip(run, np.searchsorted(nodes, frames), strict=True):
        if enriched.skip[row] == Skip.NONE:
            seen[node] = enriched.position[row]
            errors[node] = _noise(enriched.position[row], enriched.spread[row], focal_px)
    states = _smoothed(seen, errors, times_s[nodes], motion)
    places = np.searchsorted(nodes, frames)
    if enriched.smoothed is not None and enriched.velocity is not None and enriched.bridged is not None:
        enriched.smoothed[run], enriched.velocity[run] = states[places, ::2], states[places, 1::2]
        enriched.bridged[run] = enriched.skip[run] != Skip.NONE
    name = tracks.track_names[tracks.track[run[0]]] if tracks.track[run[0]] >= 0 else None
    for node in np.setdiff1d(np.arange(len(nodes)), places):
        enriched.bridges.append(Bridge(int(nodes[node]), name, states[node, ::2], states[node, 1::2]))


def _smoothed(seen: list[Values | None], errors: list[Values], times: Values, motion: MotionModel) -> Values:
    """States [n, 6] (x, vx, y, vy, z, vz) at ``times``. The first step predicts nothing: no time has passed."""
    filters, noise = _filterpy()
    steps = np.diff(times, prepend=times[0]).clip(min=0)
    transitions = [np.kron(np.eye(_AXES), np.array([[1.0, step], [0.0, 1.0]])) for step in steps]
    drift = [noise(dim=2, dt=float(step), var=motion.acceleration**2, block_size=_AXES) for step in steps]
    kalman = filters(dim_x=2 * _AXES, dim_z=_AXES)
    kalman.H = np.kron(np.eye(_AXES), np.array([[1.0, 0.0]]))
    kalman.x = kalman.H.T @ seen[0]
    speed = np.kron(np.eye(_AXES), np.diag([0.0, _FIRST_SPEED**2]))
    kalman.P = speed + _FIRST_DOUBT * kalman.H.T @ errors[0] @ kalman.H
    means, covariances, _, _ = kalman.batch_filter(seen, Fs=transitions, Qs=drift, Rs=errors)
    return np.asarray(kalman.rts_smoother(means, covariances, Fs=transitions, Qs=drift)[0], np.float64)


def _noise(position: Values, spread: float, focal_px: float) -> Values:
    """Covariance [3, 3] of a position: its depth's spread along the ray, and a pixel across."""
    along = position * max(spread / position[2], _LEAST_SPREAD)
    across = (_PIXEL_NOISE * position[2] / focal_px) ** 2
    return np.outer(along, along) + across * np.diag([1.0, 1.0, 0.0])


def _filterpy() -> tuple[Any, Any]:
    try:
        from filterpy.common import Q_discrete_white_noise
        from filterpy.kalman import KalmanFilter
    except ImportError as error:
        raise UsageError("--smooth needs FilterPy.", "Install it: pip install 'vda-toolkit[tracks]'.") from error
    return KalmanFilter, Q_discrete_white_noise
