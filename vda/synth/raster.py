"""Which part each pixel sees, and at what depth: the exact truth, by one ray through each pixel's centre.

A view and the parts' places go in; depth along the optical axis and part numbers come out. A part is tested only
against the pixels of the rectangle that holds its projection; small rectangles are computed together, as flat
arrays of pairs of part and pixel. This file does not know colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vda.camera.intrinsics import Intrinsics
from vda.synth.shapes import Shape, enter
from vda.synth.things import Array, Thing

# Nearer than any camera comes to anything: only what reaches behind the camera is cut here.
NEAR_M = 0.02
# A megabyte for each column of float32.
_PAIRS_AT_ONCE = 1 << 18
# Rectangles of more pixels are worth an operation of their own, which needs no gathering.
_LARGE = 1500
# Larger than every depth and part.
_NOTHING = torch.iinfo(torch.int64).max
# A box's eight corners, and its twelve edges: corners whose numbers differ in one bit.
_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_EDGES = np.array([[a, b] for a in range(8) for b in range(a) if bin(a ^ b).count("1") == 1])


@dataclass(frozen=True)
class Viewpoint:
    """A camera at one moment: where it stands and what its pixels are."""

    camera_to_world: Array
    intrinsics: Intrinsics


@dataclass(frozen=True)
class Placed:
    """All parts of a world at one moment, in world coordinates: P parts, float64."""

    shapes: NDArray[np.int64]  # [P]
    centres: Array  # [P, 3]
    turns: Array  # [P, 3, 3], world from part
    halves: Array  # [P, 3]


class Parts:
    """All parts of some things, numbered in the order of the things; only what moves is placed anew."""

    def __init__(self, things: Sequence[Thing]) -> None:
        counts = [len(thing.parts) for thing in things]
        parts = [part for thing in things for part in thing.parts]
        self.owners = np.repeat(np.arange(len(things)), counts)
        self._starts = np.cumsum([0, *counts])
        self._movers = [(index, thing) for index, thing in enumerate(things) if thing.motion is not None]
        self._centres = np.array([part.centre for part in parts]).reshape(-1, 3)
        self._turns = np.array([part.turn for part in parts]).reshape(-1, 3, 3)
        self._still = Placed(
            np.array([part.shape for part in parts], np.int64),
            np.empty_like(self._centres),
            np.empty_like(self._turns),
            np.array([part.half for part in parts]).reshape(-1, 3),
        )
        for index, thing in enumerate(things):
            self._put(self._still, index, thing, 0.0)

    def _put(self, placed: Placed, index: int, thing: Thing, time_s: float) -> None:
        own = slice(self._starts[index], self._starts[index + 1])
        turn, origin = thing.pose(time_s)
        placed.centres[own] = self._centres[own] @ turn.T + origin
        placed.turns[own] = turn @ self._turns[own]

    def at(self, time_s: float) -> Placed:
        """Where the parts are at a time, in seconds."""
        placed = replace(self._still, centres=self._still.centres.copy(), turns=self._still.turns.copy())
        for index, thing in self._movers:
            self._put(placed, index, thing, time_s)
        return placed


def rectangles(placed: Placed, view: Viewpoint) -> NDArray[np.int64]:
    """Left, top, right and bottom (exclusive) of the pixels each part may cover, int64 [P, 4]; empty if unseen."""
    camera, pose = view.intrinsics, view.camera_to_world
    reach = placed.turns * placed.halves[:, None, :]
    corners = placed.centres[:, None] + np.einsum("pij,cj->pci", reach, _SIGNS)
    corners = (corners - pose[:3, 3]) @ pose[:3, :3]
    a, b = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]
    # Where an edge runs through the near plane, the crossing takes the place of the corner behind it.
    share = (NEAR_M - a[..., 2:]) / np.where(a[..., 2:] == b[..., 2:], 1.0, b[..., 2:] - a[..., 2:])
    crossing = (a[..., 2] < NEAR_M) != (b[..., 2] < NEAR_M)
    points = np.concatenate([corners, a + share * (b - a)], axis=1)
    seen = np.concatenate([corners[..., 2] >= NEAR_M, crossing], axis=1)
    depth = np.where(seen, np.maximum(points[..., 2], NEAR_M), 1.0)
    x = points[..., 0] / depth * camera.fx + camera.cx
    y = points[..., 1] / depth * camera.fy + camera.cy
    size = np.array([camera.width, camera.height])
    low = np.stack([np.where(seen, v, np.inf).min(axis=1) for v in (x, y)], axis=1)
    high = np.stack([np.where(seen, v, -np.inf).max(axis=1) for v in (x, y)], axis=1)
    # The margin of a pixel covers rounding; NumPy clips infinity before the cast.
    first = np.clip(np.floor(low), 0, size).astype(np.int64)
    last = np.clip(np.ceil(high) + 1, 0, size).astype(np.int64)
    return np.concatenate([first, np.maximum(last, first)], axis=1)


def local_rays(placed: Placed, view: Viewpoint) -> NDArray[np.float32]:
    """The view's rays in each part's own coordinates: origin, and direction = base + x * right + y * down.

    float32 [P, 12]: origin, base, right, down; ``x`` and ``y`` are pixels normalised to the plane z = 1, so a
    ray's parameter is the depth along the optical axis.
    """
    pose = view.camera_to_world
    inverse = placed.turns.transpose(0, 2, 1) / placed.halves[:, :, None]
    origin = np.einsum("pij,pj->pi", inverse, pose[:3, 3] - placed.centres)
    axes = np.einsum("pij,jk->pik", inverse, pose[:3, :3])
    return np.concatenate([origin, axes[:, :, 2], axes[:, :, 0], axes[:, :, 1]], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Hits:
    """What the pixels of F frames see: ``depth`` float32 [F, H, W] (infinity: nothing), ``part`` int64 [F, H, W]
    (-1: nothing), and the ``rays`` float32 [F, P, 12] that were used."""

    depth: Tensor
    part: Tensor
    rays: Tensor


@dataclass(frozen=True)
class _Grid:
    """x of every column and y of every row on the plane z = 1."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class _Rows:
    """Pixel rows of part rectangles, for all frames at once; int64 [rows] each."""

    ray: NDArray[np.int64]  # index into the flat [F * P] rays
    part: NDArray[np.int64]
    y: NDArray[np.int64]
    left: NDArray[np.int64]
    first_pixel: NDArray[np.int64]  # flat index of the leftmost pixel
    width: NDArray[np.int64]

    def split(self) -> list["_Rows"]:
        """Runs of rows with a bounded number of pixels, so that memory stays bounded."""
        run = np.cumsum(self.width) // _PAIRS_AT_ONCE
        edges = np.flatnonzero(np.diff(run, prepend=-1, append=run[-1] + 1 if len(run) else 0))
        columns = (self.ray, self.part, self.y, self.left, self.first_pixel, self.width)
        return [_Rows(*(column[a:b] for column in columns)) for a, b in pairwise(edges)]


def _rows(boxes: NDArray[np.int64], chosen: NDArray[np.bool_], camera: Intrinsics) -> _Rows:
    """All pixel rows of the chosen rectangles; ``boxes`` int64 [F, P, 4], ``chosen`` [F, P]."""
    frame, part = np.nonzero(chosen)
    left, top, right, bottom = boxes[frame, part].T
    count = bottom - top
    entry = np.repeat(np.arange(len(part)), count)
    y = np.arange(len(entry)) - np.repeat(np.cumsum(count) - count, count) + top[entry]
    first_pixel = (frame[entry] * camera.height + y) * camera.width + left[entry]
    ray = (frame * boxes.shape[1] + part)[entry]
    return _Rows(ray, part[entry], y, left[entry], first_pixel, (right - left)[entry])


def trace(placed: list[Placed], views: list[Viewpoint], device: torch.device) -> Hits:
    """See ``Hits``. ``placed`` and ``views`` are of the same F moments; all views have one image size."""
    camera = views[0].intrinsics
    height, width = camera.height, camera.width
    boxes = np.stack([rectangles(p, v) for p, v in zip(placed, views, strict=True)])
    rays = torch.from_numpy(np.stack([local_rays(p, v) for p, v in zip(placed, views, strict=True)])).to(device)
    grid = _Grid(*normalised_axes(camera, device))
    keys = torch.full((len(views), height, width), _NOTHING, dtype=torch.int64, device=device)
    pixels = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    # In any order, for the nearest hit is a minimum (see ``_key``).
    for frame, part in zip(*np.nonzero(pixels > _LARGE), strict=True):
        shape = Shape(placed[0].shapes[part])
        _test_rectangle(shape, boxes[frame, part], int(part), rays[frame, part], grid, keys[frame])
    for shape in Shape:
        small = (pixels > 0) & (pixels <= _LARGE) & (placed[0].shapes == shape)
        for run in _rows(boxes, small, camera).split():
            _test_rows(shape, run, rays.view(-1, 12), grid, keys)
    depth = (keys >> 32).to(torch.int32).view(torch.float32)
    nothing = (keys == _NOTHING) | (depth == torch.inf)
    part = torch.where(nothing, -1, keys & 0xFFFFFFFF)
    return Hits(torch.where(nothing, torch.inf, depth), part, rays)


def normalised_axes(camera: Intrinsics, device: torch.device) -> tuple[Tensor, Tensor]:
    """x of every column and y of every row on the plane z = 1, float32 [W] and [H]."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return torch.tensor(x, dtype=torch.float32, device=device), torch.tensor(y, dtype=torch.float32, device=device)


def _key(t: Tensor, part: Tensor | int) -> Tensor:
    """Depth bits, then part: positive floats sort like their bits, so the nearest hit is a minimum of integers,
    whatever the order of the tests."""
    return (t.view(torch.int32).to(torch.int64) << 32) | part


def _test_rectangle(
    shape: Shape, box: NDArray[np.int64], part: int, ray: Tensor, grid: _Grid, keys: Tensor
) -> None:
    """Intersect one part with all pixels of its rectangle; ``keys`` int64 [H, W] keeps the nearest."""
    left, top, right, bottom = box.tolist()
    x, y = grid.x[None, left:right], grid.y[top:bottom, None]
    ox, oy, oz, bx, by, bz, rx, ry, rz, dx, dy, dz = ray.unbind(0)
    direction = ((bx + y * dx) + x * rx, (by + y * dy) + x * ry, (bz + y * dz) + x * rz)
    t = enter(shape, (ox, oy, oz), direction)
    window = keys[top:bottom, left:right]
    torch.minimum(window, _key(t, part), out=window)


def _test_rows(shape: Shape, rows: _Rows, rays: Tensor, grid: _Grid, keys: Tensor) -> None:
    """Intersect every pixel of the rows with the row's part; ``keys`` int64 [F, H, W] keeps the nearest."""
    device = rays.device
    ray, part, y, left, first, width = (
        torch.from_numpy(a).to(device)
        for a in (rows.ray, rows.part, rows.y, rows.left, rows.first_pixel, rows.width)
    )
    of_row = rays.index_select(0, ray).T
    base = of_row[3:6] + grid.y.index_select(0, y) * of_row[9:12]
    table = torch.cat([of_row[0:3], base, of_row[6:9]]).contiguous()
    row = torch.repeat_interleave(width)
    column = torch.arange(len(row), device=device) + (left - (torch.cumsum(width, 0) - width)).index_select(0, row)
    ox, oy, oz, bx, by, bz, rx, ry, rz = table.index_select(1, row).unbind(0)
    x = grid.x.index_select(0, column)
    t = enter(shape, (ox, oy, oz), (bx + x * rx, by + x * ry, bz + x * rz))
    hit = torch.nonzero(t < torch.inf).squeeze(1)
    row = row.index_select(0, hit)
    pixel = (first - left).index_select(0, row) + column.index_select(0, hit)
    key = _key(t.index_select(0, hit), part.index_select(0, row))
    keys.view(-1).scatter_reduce_(0, pixel, key, "amin")
