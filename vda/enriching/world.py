"""Where the camera was, in metres, at any frame of a video: what puts things that it saw into the world.

In: the views of a reconstruction, depth in metres, times, tracks. Out: a ``MovingCamera`` in the reconstruction's
axes, and tracks with places in them. A reconstruction from pictures alone has a unit of its own; where depth has
metres, its points say how long that is. This file does not know files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import resized
from vda.camera.intrinsics import Intrinsics, unproject
from vda.camera.reconstruction import View
from vda.depthmaps.source import DepthSource
from vda.errors import InputError
from vda.reporter import Reporter
from vda.tracks import Enriched, Skip, Tracks

Floats = NDArray[np.float64]
Convert = Callable[[Floats], Floats]

# As many views as a fit of one number needs, spread over the video: each takes reading an image.
_FITTED_VIEWS = 40
_LEAST_POINTS = 10
# Points that lie on one surface and depth that errs by its usual tenth stay within this.
_SUSPECT_SPREAD = 0.25


@dataclass(frozen=True)
class MovingCamera:
    """Poses (camera to world, float64 [n, 4, 4], metres) at ``frames`` [n], rising, shown at ``times_s`` [n]."""

    frames: NDArray[np.int64]
    times_s: Floats
    poses: Floats
    max_gap_s: float

    def at(self, frames: NDArray[np.int64], times_s: Floats) -> Floats:
        """Poses [m, 4, 4] at ``frames`` [m]: as they are, or between two that are not further apart than the gap.

        Rotations are turned evenly (slerp) and places go straight. NaN elsewhere: nothing is said beyond the ends.
        """
        found = np.full((len(frames), 4, 4), np.nan)
        after = np.searchsorted(self.frames, frames)
        exact = (after < len(self.frames)) & (self.frames[np.minimum(after, len(self.frames) - 1)] == frames)
        found[exact] = self.poses[after[exact]]
        inside = ~exact & (after > 0) & (after < len(self.frames))
        inside[inside] = self.times_s[after[inside]] - self.times_s[after[inside] - 1] <= self.max_gap_s
        if inside.any():
            found[inside] = self._between(after[inside], times_s[inside])
        return found

    def _between(self, after: NDArray[np.intp], times_s: Floats) -> Floats:
        from scipy.spatial.transform import Rotation, Slerp

        share = (times_s - self.times_s[after - 1]) / (self.times_s[after] - self.times_s[after - 1])
        poses = np.broadcast_to(np.eye(4), (len(after), 4, 4)).copy()
        turns = Slerp(np.arange(len(self.frames)), Rotation.from_matrix(self.poses[:, :3, :3]))
        poses[:, :3, :3] = turns(after - 1 + share).as_matrix()
        before, behind = self.poses[after - 1, :3, 3], self.poses[after, :3, 3]
        poses[:, :3, 3] = before + share[:, None] * (behind - before)
        return poses


def moving_camera(
    views: Sequence[View],
    times_of: Callable[[NDArray[np.int64]], Floats],
    depth: DepthSource,
    convert: Convert,
    max_gap_s: float,
    reporter: Reporter,
) -> MovingCamera:
    """The camera of ``views`` in metres; ``convert`` turns the values of ``depth`` into metres.

    Where views have points, the unit of the reconstruction is found from them; where they have none it is a metre,
    and that is said. Raises ``InputError`` where points have no depth, or lengths disagree.
    """
    frames = np.array([view.frame for view in views], np.int64)
    poses = np.stack([view.camera_to_world for view in views])
    poses[:, :3, 3] *= _metres_per_unit(views, depth, convert, reporter)
    return MovingCamera(frames, times_of(frames), poses, max_gap_s)


def _metres_per_unit(views: Sequence[View], depth: DepthSource, convert: Convert, reporter: Reporter) -> float:
    seen = [view for view in views if len(view.depth) and view.frame in depth and view.camera is not None]
    if not seen:
        reporter.say("The poses have no points to measure by: their unit is taken to be a metre.")
        return 1.0
    step = -(-len(seen) // _FITTED_VIEWS)
    ratios = np.concatenate([_ratios(view, depth.read(view.frame), convert) for view in seen[::step]])
    if len(ratios) < _LEAST_POINTS:
        raise InputError(
            f"Only {len(ratios)} points of the reconstruction lie where there is depth.",
            "Check that the reconstruction is of this video, or give poses in metres.",
        )
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    spread = float((high - low) / 2 / middle)
    reporter.say(f"A unit of the poses is {middle:.4g} m, by {len(ratios)} points that agree within {spread:.1%}.")
    if spread > _SUSPECT_SPREAD:
        reporter.say("The points and the depth disagree: the depth is not in metres there, or not of this video.")
    return float(middle)


def _ratios(view: View, image: NDArray[np.floating], convert: Convert) -> Floats:
    """Metres of depth over the reconstruction's own depth, at each point that has both."""
    camera = view.camera
    assert camera is not None
    size = (image.shape[1], image.shape[0])
    places = np.rint(resized(view.pixels, (camera.width, camera.height), size)).astype(np.intp)
    inside = ((places >= 0) & (places < np.array(size))).all(axis=1)
    metres = convert(image[places[inside, 1], places[inside, 0]].astype(np.float64))
    known = np.isfinite(metres)
    return metres[known] / view.depth[inside][known]


def carry(
    enriched: Enriched,
    tracks: Tracks,
    camera: MovingCamera,
    times_of: Callable[[NDArray[np.int64]], Floats],
    reporter: Reporter,
) -> None:
    """Put all positions into the world; what has no pose has no place there, and is counted."""
    poses = camera.at(tracks.frame, times_of(tracks.frame))
    enriched.world = carried(poses, enriched.position)
    lost = int(((enriched.skip == Skip.NONE) & np.isnan(enriched.world[:, 0])).sum())
    if lost:
        reporter.say(f"{lost} records are of frames without a pose and have no place in the world.")


def measure_boxes(enriched: Enriched, tracks: Tracks, camera: Intrinsics) -> None:
    """How wide and how high each box is at its record's depth, as it stands across the optical axis."""
    rows = np.flatnonzero((enriched.skip == Skip.NONE) & np.isfinite(tracks.box).all(axis=1))
    if enriched.relative or not len(rows):
        return
    near, far = (unproject(camera, tracks.box[rows, at : at + 2], enriched.depth[rows]) for at in (0, 2))
    enriched.extent = np.full((len(tracks), 2), np.nan)
    enriched.extent[rows] = (far - near)[:, :2]


def carried(poses: Floats, points: Floats) -> Floats:
    """Points [n, 3] of each pose's camera, in the world."""
    return np.asarray(np.einsum("nij,nj->ni", poses[:, :3, :3], points) + poses[:, :3, 3])


def carried_back(poses: Floats, points: Floats) -> Floats:
    """Points [n, 3] of the world, in each pose's camera."""
    return np.asarray(np.einsum("nji,nj->ni", poses[:, :3, :3], points - poses[:, :3, 3]))


def turned_back(poses: Floats, directions: Floats) -> Floats:
    """Directions [n, 3] of the world, in each pose's axes."""
    return np.asarray(np.einsum("nji,nj->ni", poses[:, :3, :3], directions))
