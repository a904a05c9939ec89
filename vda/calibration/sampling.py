"""Depth at the records of a track file: robust statistics of the pixels that belong to each.

In go tracks, depth images by frame index and the rule what to look at; out come, for every record, the pixel its
position is seen at, a value, its spread and the share of valid pixels. Each depth image is read once, in frame
order, whatever the order of the records. This file does not know cameras, nor how values become metres: that is
the function handed to it.
"""

import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vda.camera.conventions import centre_to_corner, corner_to_centre, resized
from vda.errors import InputError, UsageError
from vda.records import Within, require_sound
from vda.reporter import Reporter, Silence
from vda.tracks import Skip, Tracks
from vda.tracks.records import number_of

Values = NDArray[np.float64]
Convert = Callable[[Values], Values]

# Rows and columns of places: 256 are enough for a median, whatever the size of the box.
_LATTICE = 16
# Of a mask this many are looked up: it may have a million.
_MASK_PIXELS = 4096
# Three points.
_LEAST_POLYGON = 6
# OpenCV fills with whole numbers of 32 bits, of which it keeps 16 for fractions.
_FARTHEST_PIXEL = 1 << 15
# Not the very nearest pixel, for single ones are wrong.
_NEAREST_QUANTILE = 0.05
_SURFACE_THICKNESS = 1.1
# Of normal noise: 1 over its upper quartile.
_MAD_TO_STD = 1.4826


class DepthImages(Protocol):
    """Depth by frame index: float [height, width], NaN where invalid."""

    @property
    def frames(self) -> Collection[int]: ...
    def read(self, frame: int) -> NDArray[np.floating]: ...


@dataclass(frozen=True)
class Region:
    """Which pixels belong to a record, and what is made of them.

    ``auto`` takes a window of ``window_px`` around a given point, and the inner part of the box (``inner`` of its
    width and height) where only a box is given; the position is then seen at the box's ``box_point``.
    ``statistic``: the median; a ``percentile`` (small is near); or the nearest surface, which is the median of the
    pixels not more than a tenth behind the nearest ones. ``min_share`` of the pixels have to be valid.
    """

    kind: Literal["auto", "window", "box", "mask"] = "auto"
    window_px: int = 7
    inner: float = 0.5
    box_point: Literal["center", "bottom"] = "center"
    statistic: Literal["median", "nearest", "percentile"] = "median"
    percentile: float = 20.0
    min_share: Annotated[float, Within(0, 1)] = 0.1

    def __post_init__(self) -> None:
        require_sound(self, kind="at", window_px="window")
        if self.window_px < 1 or not 0 < self.inner <= 1 or not 0 <= self.percentile <= 100:
            raise UsageError(
                f"A window of {self.window_px} pixels, an inner part of {self.inner} and a percentile of "
                f"{self.percentile} do not go together.",
                "Give a window of 1 or more, an inner part in (0, 1] and a percentile in [0, 100].",
            )


@dataclass
class Measured:
    """A row per record: ``pixel`` [N, 2] in the tracks' image, ``value``, ``spread``, ``share``, ``skip`` [N]."""

    pixel: Values
    value: Values
    spread: Values
    share: Values
    skip: NDArray[np.uint8]
    unreadable_frames: list[int]


def measure(
    tracks: Tracks,
    depth: DepthImages,
    size: tuple[int, int],
    region: Region,
    convert: Convert,
    reporter: Reporter | None = None,
) -> Measured:
    """Measure all records; ``size`` (width, height) is that of the image the tracks' pixels are for.

    ``convert`` turns values as the depth images hold them into depth, +inf where that is beyond reach, keeping
    NaN. ``reporter``, whose stage the caller began, is told how many frames are done. Frames that cannot be read
    are listed and their records skipped.
    """
    reporter = reporter or Silence()
    pixel, boxes = _places(tracks, size, region)
    skip = tracks.skip.copy()
    nothing = [np.full(len(tracks), np.nan) for _ in range(3)]
    measured = Measured(pixel, nothing[0], nothing[1], nothing[2], skip, [])
    outside = (np.abs(centre_to_corner(pixel) - np.array(size) / 2) > np.array(size) / 2).any(axis=1)
    skip[outside & (skip == Skip.NONE)] = Skip.OUTSIDE
    groups = list(_frames(tracks.frame, skip))
    images = _read_ahead(depth, [frame for frame, _ in groups], measured)
    for done, ((_, rows), image) in enumerate(zip(groups, images, strict=True), start=1):
        if image is None:
            skip[rows] = Skip.NO_DEPTH
        else:
            _measure_frame(measured, tracks, image, rows, boxes, size, region, convert)
        reporter.at(done)
    return measured


def _places(tracks: Tracks, size: tuple[int, int], region: Region) -> tuple[Values, Values]:
    """Where each record is seen, and its box cut to the image; half a box outside still shows its other half."""
    low, high = corner_to_centre(np.zeros(2)), corner_to_centre(np.array(size, np.float64))
    near, far = np.clip(tracks.box[:, :2], low, high), np.clip(tracks.box[:, 2:], low, high)
    centre = (near + far) / 2
    if region.box_point == "bottom":
        centre[:, 1] = far[:, 1]
    empty = ((far <= near).any(axis=1) & ~(tracks.box[:, :2] == tracks.box[:, 2:]).all(axis=1))[:, None]
    centre = np.where(empty, np.inf, centre)
    given = ~np.isnan(tracks.point[:, :1])
    return np.where(given, tracks.point, centre), np.concatenate([near, far], axis=1)


def _frames(frame: NDArray[np.int64], skip: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """The frames in their order, each with the rows of its records."""
    rows = np.flatnonzero(skip == Skip.NONE)
    rows = rows[np.argsort(frame[rows], kind="stable")]
    edges = np.flatnonzero(np.diff(frame[rows])) + 1
    for group in np.split(rows, edges):
        if len(group):
            yield int(frame[group[0]]), group


def _read_ahead(
    depth: DepthImages, frames: list[int], measured: Measured
) -> Iterator[NDArray[np.floating] | None]:
    """The depth images of ``frames``, None where there is none: the next is decoded while one is looked at."""
    there = frozenset(depth.frames)

    def read(frame: int) -> NDArray[np.floating] | None:
        try:
            return depth.read(frame) if frame in there else None
        except InputError:
            # One damaged image must not cost the other hundred thousand: it is counted and named in the report.
            measured.unreadable_frames.append(frame)
            return None

    with ThreadPoolExecutor(1, "depth") as reader:
        ahead = None
        for frame in frames:
            following = reader.submit(read, frame)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def _measure_frame(
    measured: Measured,
    tracks: Tracks,
    image: NDArray[np.floating],
    rows: NDArray[np.intp],
    boxes: Values,
    size: tuple[int, int],
    region: Region,
    convert: Convert,
) -> None:
    image_size = (image.shape[1], image.shape[0])
    if region.kind == "mask":
        groups: list[tuple[NDArray[np.intp], Values]] = _masked(measured, tracks, rows, size)
    else:
        by_window = ~np.isnan(tracks.point[rows, 0]) if region.kind == "auto" else region.kind == "window"
        chosen = np.broadcast_to(by_window, rows.shape)
        windows, inner = rows[chosen], rows[~chosen]
        groups = [(inner, _inner_lattice(boxes[inner], region.inner))] if len(inner) else []
        if len(windows):
            groups.append((windows, _window(measured.pixel[windows], size, image_size, region.window_px)))
    for group, places in groups:
        values, inside = _look_up(image, resized(places, size, image_size))
        _summarise(measured, group, convert(values), inside, region)


def _window(pixel: Values, size: tuple[int, int], image_size: tuple[int, int], width: int) -> Values:
    """``width`` x ``width`` depth pixels around each pixel, [n, width * width, 2] in the tracks' image."""
    steps = np.arange(width) - (width - 1) / 2
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return pixel[:, None, :] + offsets * (np.array(size) / np.array(image_size))


def _inner_lattice(boxes: Values, inner: float) -> Values:
    """A lattice over the middle of each box, [n, 256, 2]: enough for a median, whatever the size of the box."""
    steps = ((2 * np.arange(_LATTICE) + 1) / _LATTICE - 1) / 2 * inner
    lattice = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return centre[:, None, :] + lattice * extent[:, None, :]


def _masked(
    measured: Measured, tracks: Tracks, rows: NDArray[np.intp], size: tuple[int, int]
) -> list[tuple[NDArray[np.intp], Values]]:
    """Each row with the pixels of its mask; rows without one are skipped, and that is said."""
    groups = []
    for row in rows:
        places = mask_pixels(tracks.masks.get(int(row)), size)
        if len(places):
            groups.append((np.array([row]), places[None]))
        else:
            measured.skip[row] = Skip.NO_MASK
    return groups


def mask_pixels(mask: Any, size: tuple[int, int]) -> Values:
    """The pixels [n, 2] of a COCO segmentation: polygons (corner-based), or run lengths, compressed or not.

    At most 4,096 of them, evenly drawn; none for what cannot be read.
    """
    if isinstance(mask, dict) and mask.get("size") == [size[1], size[0]]:
        image = _decoded_runs(mask)
    elif isinstance(mask, list) and mask and all(map(_is_polygon, mask)):
        image = np.zeros((size[1], size[0]), np.uint8)
        corners = [np.array(part[: len(part) // 2 * 2], np.float64).reshape(-1, 2) for part in mask]
        cv2.fillPoly(image, [np.rint(corner_to_centre(part)).astype(np.int32) for part in corners], 1)
    else:
        return np.zeros((0, 2))
    y, x = np.nonzero(image)
    step = max(1, -(-len(x) // _MASK_PIXELS))
    return np.stack([x, y], axis=1)[::step].astype(np.float64)


def _is_polygon(part: Any) -> bool:
    """Whether ``part`` is three points or more, all of them numbers that a picture can have."""
    if not isinstance(part, list) or len(part) < _LEAST_POLYGON:
        return False
    numbers = [number_of(value) for value in part]
    return all(abs(number) < _FARTHEST_PIXEL for number in numbers)


def _decoded_runs(mask: dict[str, Any]) -> NDArray[np.uint8]:
    """Run lengths, column by column, beginning with the background, as COCO defines them."""
    counts, (height, width) = mask.get("counts"), mask["size"]
    if isinstance(counts, str):
        return _decoded_text(mask) if _runs_of(counts, height * width) else np.zeros((0, 0), np.uint8)
    runs = counts if isinstance(counts, list) and all(isinstance(run, int) and run >= 0 for run in counts) else []
    if sum(runs) != height * width:
        return np.zeros((0, 0), np.uint8)
    return np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8).reshape(width, height).T


def _runs_of(text: str, pixels: int) -> bool:
    """Whether compressed run lengths add up to the picture: pycocotools writes beyond its memory if they do not.

    COCO's coding: five bits per character from 48 on, the lowest first. 32 says that more follow, 16 in the last
    one is the sign. From the fourth run on a number is the difference to the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return False
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (1 << shift) if bits & 16 else 0
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return not shift and min(runs, default=-1) >= 0 and sum(runs) == pixels


def _decoded_text(mask: dict[str, Any]) -> NDArray[np.uint8]:
    try:
        from pycocotools import mask as coco_mask
    except ImportError as error:
        raise UsageError(
            "Compressed COCO masks need pycocotools.", "Install it: pip install 'vda-toolkit[tracks]'."
        ) from error
    with warnings.catch_warnings():
        # Its compiled code still calls NumPy the way version 1 wanted.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(coco_mask.decode(mask), np.uint8)


def _look_up(image: NDArray[np.floating], places: Values) -> tuple[Values, NDArray[np.bool_]]:
    """The values at the pixels nearest to ``places`` [n, k, 2], NaN outside the image, and which lie inside it.

    Nothing is interpolated: between a person and the wall behind there is no third surface.
    """
    height, width = image.shape
    x, y = np.rint(places[..., 0]), np.rint(places[..., 1])
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    columns, lines = np.where(inside, x, 0).astype(np.intp), np.where(inside, y, 0).astype(np.intp)
    return np.where(inside, image[lines, columns], np.nan).astype(np.float64), inside


def _summarise(
    measured: Measured, rows: NDArray[np.intp], values: Values, inside: NDArray[np.bool_], region: Region
) -> None:
    """Fill in ``rows`` from their ``values`` [n, k]; infinite ones are valid, and far."""
    valid = ~np.isnan(values)
    share = valid.sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    if region.statistic == "nearest":
        near = quantile(values, _NEAREST_QUANTILE)
        values = np.where(values <= near[:, None] * _SURFACE_THICKNESS, values, np.nan)
    value = quantile(values, region.percentile / 100 if region.statistic == "percentile" else 0.5)
    finite = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(invalid="ignore"):
        spread = _MAD_TO_STD * quantile(np.abs(finite - value[:, None]), 0.5)
    good = share >= max(region.min_share, np.finfo(float).tiny)
    measured.share[rows] = share
    measured.value[rows] = np.where(good & np.isfinite(value), value, np.nan)
    measured.spread[rows] = np.where(good & np.isfinite(value), spread, np.nan)
    measured.skip[rows[~good]] = Skip.FEW_VALID
    measured.skip[rows[good & np.isinf(value)]] = Skip.BEYOND_CALIBRATION


def quantile(values: Values, fraction: float) -> Values:
    """The quantile of each row of [n, k], NaN left out, with linear interpolation; NaN for rows without a number.

    Unlike ``numpy.nanquantile`` it takes +inf as far away, and rows of NaN without a warning.
    """
    ordered = np.sort(values, axis=1)
    count = (~np.isnan(ordered)).sum(axis=1)
    place = fraction * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    rows = np.arange(len(values))
    below, above = ordered[rows, low], ordered[rows, high]
    with np.errstate(invalid="ignore"):
        return np.where(place == low, below, below + (above - below) * (place - low))
