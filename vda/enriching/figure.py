"""Tracks to look at: drawn on the frames with their distances, beside them the scene seen from above.

In go a video, its tracks and what was found for them; out comes a picture (``.png``: the fullest frame) or a short
video (``.mp4``). This file does not know how positions are found.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.depthmaps.colours import beside, colour_table
from vda.errors import UsageError
from vda.files import write_bytes
from vda.picture.upright import with_square_pixels
from vda.reporter import Reporter
from vda.tracks import Enriched, Skip, Tracks
from vda.video import ClipWriter, FrameIndex, VideoInfo, read_frame_list

Rgb = NDArray[np.uint8]
Colour = tuple[int, int, int]

# Twenty seconds at 25 frames/s: it is a picture to check by, not a film. Trails are of a second and a half.
_MOST_FRAMES = 500
_TRAIL_FRAMES = 40
_PALETTE = "turbo"
_BACKGROUND, _GRID, _GREY = (24, 24, 24), (64, 64, 64), (150, 150, 150)
_MARGIN = 0.08
_GRID_LINES = 6
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Ground:
    """The part of the ground that the top view shows: ``left`` to ``right`` (x) and ``near`` to ``far`` (z)."""

    left: float
    right: float
    near: float
    far: float

    @classmethod
    def around(cls, positions: NDArray[np.float64]) -> "Ground":
        """All but the outermost positions [n, 3], and the camera."""
        x, z = np.append(positions[:, 0], 0.0), np.append(positions[:, 2], 0.0)
        (left, right), (near, far) = np.quantile(x, [0.01, 0.99]), np.quantile(z, [0.0, 0.99])
        half = max(right - left, far - near, 1e-6) * (0.5 + _MARGIN)
        middle = (left + right) / 2
        return cls(middle - half, middle + half, near - 2 * half * _MARGIN, near + 2 * half * (1 - _MARGIN))

    def pixel(self, x: float, z: float, size: int) -> tuple[int, int]:
        """Where a place is in a square picture, far things at the top."""
        right = (x - self.left) / (self.right - self.left)
        up = (z - self.near) / (self.far - self.near)
        return round(right * (size - 1)), round((1 - up) * (size - 1))


def write_track_figure(
    path: Path,
    info: VideoInfo,
    index: FrameIndex,
    tracks: Tracks,
    enriched: Enriched,
    size: tuple[int, int],
    reporter: Reporter,
) -> None:
    """Write the figure; ``size`` (width, height) is that of the image the tracks' pixels are for.

    A video has at most the first 500 frames from the first position on. Raises ``UsageError`` for another suffix,
    and where there is no position to draw.
    """
    seen = np.flatnonzero((enriched.skip == Skip.NONE) & np.isfinite(index.times_of(tracks.frame)))
    require_figure_name(path)
    if not len(seen):
        raise UsageError("No record has a position, so there is no figure to draw.", "Leave --figure out.")
    ground = Ground.around(enriched.position[seen])
    frames, counts = np.unique(tracks.frame[seen], return_counts=True)
    first = int(frames[0] if path.suffix == ".mp4" else frames[counts.argmax()])
    last = min(first + _MOST_FRAMES, int(frames[-1]) + 1) if path.suffix == ".mp4" else first + 1
    pictures = (
        _picture(with_square_pixels(frame.rgb, info.pixel_aspect), frame.index, tracks, enriched, size, ground)
        for frame in read_frame_list(info, index, index.frames[slice(*index.range_of((first, last)))])
    )
    if path.suffix == ".png":
        write_bytes(path, bytes(cv2.imencode(".png", cv2.cvtColor(next(pictures), cv2.COLOR_RGB2BGR))[1]))
        return
    with ClipWriter(path, fps=info.fps) as writer:
        for done, picture in enumerate(pictures, start=1):
            writer.write(picture)
            reporter.at(done)


def require_figure_name(path: Path) -> None:
    if path.suffix not in {".png", ".mp4"}:
        raise UsageError(f"{path} is neither .png nor .mp4.", "Give --figure a picture or a video.")


def _picture(
    rgb: Rgb, frame: int, tracks: Tracks, enriched: Enriched, size: tuple[int, int], ground: Ground
) -> Rgb:
    """The frame with its boxes, and the view from above beside it."""
    picture = rgb.copy()
    scale = np.array([rgb.shape[1] / size[0], rgb.shape[0] / size[1]])
    for row in np.flatnonzero(tracks.frame == frame).tolist():
        _draw_record(picture, row, tracks, enriched, scale)
    return beside(picture, _top_view(frame, tracks, enriched, ground, rgb.shape[0]))


def _draw_record(picture: Rgb, row: int, tracks: Tracks, enriched: Enriched, scale: NDArray[np.float64]) -> None:
    valid = enriched.skip[row] == Skip.NONE
    colour = _colour(int(tracks.track[row])) if valid else _GREY
    box, point = (np.nan_to_num(array[row], nan=-1.0) for array in (tracks.box, tracks.point))
    low, high = (np.rint(corner * scale).astype(int).tolist() for corner in (box[:2], box[2:]))
    if not np.isnan(tracks.box[row, 0]):
        cv2.rectangle(picture, low, high, colour, 2)
    if not np.isnan(tracks.point[row, 0]):
        cv2.circle(picture, np.rint(point * scale).astype(int).tolist(), 4, colour, -1)
        low = low if not np.isnan(tracks.box[row, 0]) else np.rint(point * scale).astype(int).tolist()
    unit = "" if enriched.relative else " m"
    text = f"{enriched.depth[row]:.3g}{unit}" if valid else "no depth"
    cv2.putText(picture, text, (low[0], max(low[1] - 4, 12)), _FONT, 0.5, colour, 1, cv2.LINE_AA)


def _top_view(frame: int, tracks: Tracks, enriched: Enriched, ground: Ground, size: int) -> Rgb:
    """The ground from above: the camera, a grid in metres, and each track with the way it came."""
    view = np.full((size, size, 3), _BACKGROUND, np.uint8)
    _draw_grid(view, ground, "" if enriched.relative else " m")
    recent = np.flatnonzero(
        (tracks.frame <= frame) & (tracks.frame > frame - _TRAIL_FRAMES) & (enriched.skip == Skip.NONE)
    )
    positions = enriched.position if enriched.smoothed is None else enriched.smoothed
    recent = recent[~np.isnan(positions[recent, 0])]
    for track in np.unique(tracks.track[recent]):
        rows = recent[tracks.track[recent] == track]
        rows = rows[np.argsort(tracks.frame[rows], kind="stable")]
        way = np.array([ground.pixel(positions[row, 0], positions[row, 2], size) for row in rows], np.int32)
        colour = _colour(int(track))
        if track >= 0:
            cv2.polylines(view, [way], False, colour, 1, cv2.LINE_AA)
        for row, place in zip(rows, way.tolist(), strict=True):
            if tracks.frame[row] == frame:
                cv2.circle(view, place, 5, colour, -1, cv2.LINE_AA)
    return view


def _draw_grid(view: Rgb, ground: Ground, unit: str) -> None:
    size = len(view)
    step = _round_step((ground.far - ground.near) / _GRID_LINES)
    for number in range(math.ceil(ground.near / step), math.floor(ground.far / step) + 1):
        _, y = ground.pixel(0, number * step, size)
        cv2.line(view, (0, y), (size - 1, y), _GRID, 1)
        cv2.putText(view, f"{number * step:g}{unit}", (4, y - 3), _FONT, 0.4, _GREY, 1, cv2.LINE_AA)
    for number in range(math.ceil(ground.left / step), math.floor(ground.right / step) + 1):
        x, _ = ground.pixel(number * step, 0, size)
        cv2.line(view, (x, 0), (x, size - 1), _GRID, 1)
    cv2.drawMarker(view, ground.pixel(0, 0, size), _GREY, cv2.MARKER_TRIANGLE_UP, 12, 2)


def _round_step(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)


def _colour(track: int) -> Colour:
    """A colour that stays with the track; neighbours in number are far apart in colour."""
    table = colour_table(_PALETTE)
    red, green, blue = table[(track * 97 + 40) % len(table)].tolist()
    return red, green, blue
