"""Tracks smoothed in space: positions with their noise in, smoothed positions and velocities out.

Each track is smoothed between its first and its last measured position, in stretches without a long gap
(``motion`` says how). Times are the video's own, so a varying frame rate is right. This file does not know depth
images.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vda.enriching.motion import AXES, MotionModel, Stretch, Values, from_the_camera, in_the_world
from vda.enriching.world import MovingCamera, carried_back, turned_back
from vda.tracks import Bridge, Enriched, Skip, Tracks

TimesOf = Callable[[NDArray[np.int64]], Values]
"""From frame indices to the seconds at which they are shown; NaN for frames that have no time."""


def smooth(
    tracks: Tracks,
    enriched: Enriched,
    times_of: TimesOf,
    focal_px: float,
    motion: MotionModel,
    camera: MovingCamera | None = None,
) -> list[str]:
    """Fill in ``enriched.smoothed``, ``velocity`` and ``bridged``; return, in sentences, what was left out.

    ``times_of`` says when frames are shown, in seconds. Records between measured ones that have no
    position of their own get one (``bridged``), and so do frames in which the track has no record (``bridges``),
    at the step in which it has records elsewhere. Positions are in metres. Raises ``UsageError`` where FilterPy is
    missing.

    With a ``camera`` whose way is known, tracks are smoothed in the world (``enriched.world_smoothed`` and
    ``world_velocity``), and ``velocity`` is that in the world, in the camera's axes. Stretches with frames that
    have no pose are smoothed without it.
    """
    count = len(tracks)
    enriched.smoothed, enriched.velocity = np.full((count, AXES), np.nan), np.full((count, AXES), np.nan)
    enriched.bridged = np.zeros(count, bool)
    if camera is not None:
        enriched.world_smoothed, enriched.world_velocity = np.full((2, count, AXES), np.nan)
    times_s = times_of(tracks.frame)
    in_time = (tracks.frame >= 0) & np.isfinite(times_s)
    twice = 0
    for rows in _tracks(tracks, in_time):
        single, repeated = _one_per_frame(tracks.frame, enriched.skip, rows)
        twice += repeated
        for run in _runs(enriched, single, times_s[single], motion.max_gap_s):
            _smooth_run(tracks, enriched, run, times_of, focal_px, motion, camera)
    return [*_left_out(tracks, twice, int((~in_time).sum())), *_without_pose(enriched)]


def _without_pose(enriched: Enriched) -> list[str]:
    if enriched.world_smoothed is None or enriched.smoothed is None:
        return []
    count = int((np.isfinite(enriched.smoothed[:, 0]) & np.isnan(enriched.world_smoothed[:, 0])).sum())
    return (
        [f"{count} records are smoothed without the camera's poses, for some frames have none."] if count else []
    )


def _left_out(tracks: Tracks, twice: int, untimed: int) -> list[str]:
    sentences = []
    if twice:
        sentences.append(f"{twice} records share frame and track with another and are not smoothed.")
    if untimed:
        sentences.append(f"{untimed} records are of frames without a time and are not smoothed.")
    if (tracks.track < 0).any():
        sentences.append(f"{int((tracks.track < 0).sum())} records belong to no track and are not smoothed.")
    return sentences


def _tracks(tracks: Tracks, in_time: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """The rows of each track in order of time; what belongs to no track may be many things, and is none's."""
    rows = np.flatnonzero(in_time & (tracks.track >= 0))
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
    times_of: TimesOf,
    focal_px: float,
    motion: MotionModel,
    camera: MovingCamera | None,
) -> None:
    """Smooth one stretch, and keep what is found at its records and at the frames between them."""
    frames = tracks.frame[run]
    step = max(1, int(np.median(np.diff(frames))))
    nodes = np.union1d(frames, np.arange(frames[0], frames[-1] + 1, step))
    places = np.searchsorted(nodes, frames)
    stretch = _stretch(enriched, run, places, times_of(nodes), focal_px)
    poses = None if camera is None else camera.at(nodes, stretch.times_s)
    if poses is None or np.isnan(poses).any():
        position, velocity = from_the_camera(stretch, motion)
    else:
        world, world_velocity = in_the_world(stretch, poses, motion)
        position, velocity = carried_back(poses, world), turned_back(poses, world_velocity)
        if enriched.world_smoothed is not None and enriched.world_velocity is not None:
            enriched.world_smoothed[run], enriched.world_velocity[run] = world[places], world_velocity[places]
    if enriched.smoothed is not None and enriched.velocity is not None and enriched.bridged is not None:
        enriched.smoothed[run], enriched.velocity[run] = position[places], velocity[places]
        enriched.bridged[run] = enriched.skip[run] != Skip.NONE
    name = tracks.track_names[tracks.track[run[0]]]
    for node in np.setdiff1d(np.arange(len(nodes)), places):
        enriched.bridges.append(Bridge(int(nodes[node]), name, position[node], velocity[node]))


def _stretch(
    enriched: Enriched, run: NDArray[np.intp], places: NDArray[np.intp], times_s: Values, focal_px: float
) -> Stretch:
    """What was measured of ``run``, at its ``places`` among the times."""
    position, spread = np.full((len(times_s), AXES), np.nan), np.full(len(times_s), np.nan)
    measured = enriched.skip[run] == Skip.NONE
    position[places[measured]] = enriched.position[run[measured]]
    spread[places[measured]] = enriched.spread[run[measured]]
    return Stretch(position, spread, times_s, focal_px)
