"""Procedural patterns: a kind and a seed become a tile of weights, and many tiles an atlas with mip levels.

A tile holds three weights per texel: ``first`` and ``second`` blend a material's three colours, ``shade``
multiplies the result. So one pattern serves any colours. Natural surfaces repeat without a seam. This
file does not know where in the world a pattern appears: that is the material's, not the image's business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

Field = NDArray[np.floating[Any]]
Weights = tuple[Field, Field, Field]

# Every palette begins with two clouds: one mottles all surfaces, the other is the sky's.
MODULATION_SLOT = 0
CLOUD_SLOT = 1


def noise(rng: Generator, size: int, cells: tuple[int, int], octaves: int = 5, gain: float = 0.5) -> Field:
    """Seamless value noise in [0, 1], float32 [size, size]; ``cells`` (down, across) is the coarsest octave."""
    total, weight = np.zeros((size, size), np.float32), 1.0
    for octave in range(octaves):
        rows, columns = (min(count << octave, size // 2) for count in cells)
        grid = np.pad(rng.random((rows, columns), np.float32), 2, mode="wrap")
        scale_y, scale_x = size / rows, size / columns
        big = cv2.resize(
            grid, (round(grid.shape[1] * scale_x), round(grid.shape[0] * scale_y)), interpolation=cv2.INTER_CUBIC
        )
        top, left = round(2 * scale_y), round(2 * scale_x)
        total += weight * big[top : top + size, left : left + size]
        weight *= gain
    low, high = np.percentile(total, (1, 99))
    return np.clip((total - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def _coordinates(size: int) -> tuple[Field, Field]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    v, u = np.meshgrid(axis, axis, indexing="ij")
    return u, v


def _cells(u: Field, v: Field, rows: int, columns: int, shift: float) -> tuple[Field, Field, NDArray[np.int64]]:
    """Position inside a running-bond cell, and the cell's number."""
    row = np.floor(v * rows)
    along = u * columns + row * shift
    number = row.astype(np.int64) * columns + np.floor(along).astype(np.int64) % columns
    return along % 1, (v * rows) % 1, number


def _step(value: Field, edge: float, width: float) -> Field:
    return np.clip((value - edge) / width + 0.5, 0, 1).astype(np.float32)


def _plain(rng: Generator, size: int) -> Weights:
    grain = noise(rng, size, (4, 4), 6, 0.8)
    return grain * 0.15, np.zeros_like(grain), 1 - rng.uniform(0, 0.1) * grain


def _cloudy(rng: Generator, size: int) -> Weights:
    cells = int(rng.integers(2, 9))
    first = noise(rng, size, (cells, cells), 7, rng.uniform(0.45, 0.85))
    return first, noise(rng, size, (3, 3), 6, 0.7) ** 3, 0.85 + 0.3 * (first - 0.5)


def _speckle(rng: Generator, size: int) -> Weights:
    fine = rng.random((size, size), np.float32)
    fine = gaussian_filter(fine, rng.uniform(0.6, 1.6), mode="wrap")
    fine = (fine - fine.mean()) / fine.std()
    return _step(fine, 0.3, 1.5), _step(fine, 2.0, 0.5), 0.9 + 0.1 * noise(rng, size, (3, 3))


def _bricks(rng: Generator, size: int) -> Weights:
    rows, columns = int(rng.integers(4, 9)) * 2, int(rng.integers(2, 7))
    x, y, number = _cells(*_coordinates(size), rows, columns, 0.5)
    joint = rng.uniform(0.03, 0.09)
    mortar = np.maximum(x < joint * columns / rows * 1.5, y < joint * 2).astype(np.float32)
    tone = rng.random(rows * columns + columns, np.float32)[number]
    return tone * 0.7, mortar, 0.85 + 0.3 * (noise(rng, size, (8, 8)) - 0.5)


def _tiles(rng: Generator, size: int) -> Weights:
    count = int(rng.integers(1, 7))
    x, y, number = _cells(*_coordinates(size), count, count, 0.0)
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    tone = rng.random(count * count, np.float32)[number] * rng.uniform(0, 1)
    return tone, 1 - _step(edge, rng.uniform(0.01, 0.05), 0.01), 0.92 + 0.08 * noise(rng, size, (4, 4))


def _checker(rng: Generator, size: int) -> Weights:
    u, v = _coordinates(size)
    count = 2 * int(rng.integers(1, 5))
    first = ((np.floor(u * count) + np.floor(v * count)) % 2).astype(np.float32)
    return first, np.zeros_like(first), 0.9 + 0.1 * noise(rng, size, (4, 4))


def _stripes(rng: Generator, size: int) -> Weights:
    bands = int(rng.integers(3, 24))
    edges = np.sort(rng.random(bands))
    index = np.searchsorted(edges, (np.arange(size) + 0.5) / size) % bands
    line = np.stack([rng.random(bands)[index], (rng.random(bands) < 0.2)[index]]).astype(np.float32)
    first, second = np.broadcast_to(line[:, None, :], (2, size, size))
    if rng.random() < 0.5:
        first, second = first.T, second.T
    return first, second, 0.9 + 0.1 * noise(rng, size, (4, 4))


def _carpet(rng: Generator, size: int) -> Weights:
    """Tiles of thin threads, each tile turned: the floors of offices."""
    u, v = _coordinates(size)
    threads = noise(rng, size, (2, 64), 2, 0.9)
    turned = (np.floor(u * 2) + np.floor(v * 2)) % 2 > 0
    first = np.where(turned & bool(rng.random() < 0.5), threads.T, threads).astype(np.float32)
    return _step(first, 0.5, 0.5), _step(first, 0.85, 0.2), 0.85 + 0.15 * noise(rng, size, (16, 16))


def _wood(rng: Generator, size: int) -> Weights:
    u, _ = _coordinates(size)
    warp = noise(rng, size, (2, 3), 4)
    rings = np.sin((u * int(rng.integers(4, 14)) + warp * rng.uniform(0.5, 2.0)) * 2 * np.pi)
    fibre = noise(rng, size, (2, 48), 3, 0.7)
    first = (0.35 * (rings + 1) / 2 + 0.65 * fibre).astype(np.float32)
    return first, _step(fibre, 0.95, 0.2) * 0.5, 0.9 + 0.1 * noise(rng, size, (4, 4))


def _planks(rng: Generator, size: int) -> Weights:
    columns, rows = int(rng.integers(3, 9)), int(rng.integers(1, 3))
    u, v = _coordinates(size)
    x, y, number = _cells(v, u, columns, rows, 0.37 if rows > 1 else 0.0)
    grain = noise(rng, size, (3, 64), 3, 0.7)
    tone = rng.random(columns * rows, np.float32)[number % (columns * rows)]
    gap = ((y < 0.03) | (x < 0.01)).astype(np.float32)
    return 0.5 * grain + 0.5 * tone, gap, 1 - 0.5 * gap


def _marble(rng: Generator, size: int) -> Weights:
    u, v = _coordinates(size)
    warp = noise(rng, size, (3, 3), 6, 0.6) * rng.uniform(1, 4)
    veins = np.abs(np.sin((u * int(rng.integers(1, 4)) + v * int(rng.integers(0, 3)) + warp) * np.pi))
    return veins.astype(np.float32) ** rng.uniform(0.2, 1.0), 1 - _step(veins, 0.06, 0.1), np.ones_like(u)


def _discs(rng: Generator, size: int, count: int, low: float, high: float) -> tuple[Field, Field]:
    """Random discs that wrap around, with a random tone each, and where they are."""
    tone, mask = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    for _ in range(count):
        radius = max(1, round(rng.uniform(low, high) * size))
        axes = (radius, max(1, round(radius * rng.uniform(0.4, 1))))
        x, y = (int(value) for value in rng.integers(0, size, 2))
        angle, value = float(rng.uniform(0, 180)), float(rng.uniform(0.2, 1))
        for across in (x - size, x, x + size):
            for down in (y - size, y, y + size):
                if -radius < across < size + radius and -radius < down < size + radius:
                    cv2.ellipse(tone, (across, down), axes, angle, 0, 360, value, -1)
                    cv2.ellipse(mask, (across, down), axes, angle, 0, 360, 1.0, -1)
    return tone, mask


def _spots(rng: Generator, size: int) -> Weights:
    tone, mask = _discs(rng, size, int(rng.integers(8, 40)), 0.01, 0.12)
    return mask * tone, mask * (tone > 0.8), np.ones_like(tone)


def _leaves(rng: Generator, size: int) -> Weights:
    tone, mask = _discs(rng, size, 260, 0.02, 0.05)
    depth = noise(rng, size, (6, 6), 5, 0.7)
    return tone, (1 - mask) * 0.9, 0.35 + 0.65 * depth * (0.4 + 0.6 * mask)


def _grass(rng: Generator, size: int) -> Weights:
    blades = noise(rng, size, (48, 48), 3, 0.9)
    patches = noise(rng, size, (3, 3), 5, 0.6)
    return 0.6 * blades + 0.4 * patches, _step(patches, 0.8, 0.4), 0.55 + 0.45 * blades


def _rectangles(rng: Generator, size: int, count: int) -> Weights:
    first, second = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    for _ in range(count):
        width, height = (rng.uniform(0.03, 0.5, 2) * size).astype(int) + 1
        x, y = int(rng.integers(0, size - width + 1)), int(rng.integers(0, size - height + 1))
        block = np.s_[y : y + height, x : x + width]
        first[block] = rng.random()
        second[block] = rng.random() < 0.3
    return first, second, np.ones_like(first)


def _collage(rng: Generator, size: int) -> Weights:
    """Posters, screens, covers: blocks, a picture-like patch and lines of writing."""
    first, second, shade = _rectangles(rng, size, int(rng.integers(3, 18)))
    if rng.random() < 0.5:
        half = size // 2
        y, x = (int(value) for value in rng.integers(0, half, 2))
        first[y : y + half, x : x + half] = noise(rng, half, (2, 2), 5, 0.6)
        second[y : y + half, x : x + half] = noise(rng, half, (2, 2), 4, 0.5)
    _write_lines(rng, second, int(rng.integers(0, 14)))
    return first, second, shade


def _write_lines(rng: Generator, field: Field, lines: int) -> None:
    size = len(field)
    for _ in range(lines):
        y, x = int(rng.integers(0, size - 6)), int(rng.integers(0, size // 2))
        words = rng.random(size) < 0.75
        height, length = int(rng.integers(2, 6)), int(rng.integers(size // 6, size // 2))
        field[y : y + height, x : x + length] = np.maximum(
            field[y : y + height, x : x + length], words[x : x + length].astype(np.float32)
        )


def _page(rng: Generator, size: int) -> Weights:
    second = np.zeros((size, size), np.float32)
    step = int(rng.integers(8, 16))
    for y in range(step, size - step, step):
        letters = np.repeat(rng.random(size // 3 + 1) < 0.7, 3)[:size]
        letters[: size // 10] = letters[size - int(rng.integers(size // 10, size // 3)) :] = False
        second[y : y + step // 3] = letters
    return np.zeros_like(second), second * 0.8, np.ones_like(second)


def _spines(rng: Generator, size: int) -> Weights:
    """A row of books: upright bands of many colours, with dark gaps and titles."""
    first, second, shade = (np.ones((size, size), np.float32) for _ in range(3))
    x = 0
    while x < size:
        width = int(rng.integers(size // 24, size // 8))
        top = int(rng.integers(0, size // 4))
        first[:, x : x + width], second[:, x : x + width] = rng.random(), rng.random() < 0.35
        shade[:, x : x + 2] = 0.3
        shade[:top, x : x + width] = 0.15
        middle = int(rng.integers(size // 3, size // 2))
        shade[middle : middle + size // 6, x + width // 3 : x + width // 2] = 0.5
        x += width
    return first, second, shade


def _keys(rng: Generator, size: int) -> Weights:
    x, y, number = _cells(*_coordinates(size), 5, 14, 0.3)
    gap = np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) > 0.4
    return rng.random(5 * 14, np.float32)[number] * 0.2, gap.astype(np.float32), np.ones_like(x)


def _facade(rng: Generator, size: int) -> Weights:
    """A storey grid of windows, some lit or curtained, in a plastered or banded wall."""
    rows, columns = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    x, y, number = _cells(*_coordinates(size), rows, columns, 0.0)
    wide, high = rng.uniform(0.2, 0.42), rng.uniform(0.2, 0.42)
    inside = np.maximum(np.abs(x - 0.5) / wide, np.abs(y - 0.5) / high)
    glass = (inside < 0.86) & (np.abs(x - 0.5) > 0.02)
    pane = rng.random(rows * columns, np.float32)[number]
    frame = (inside < 1) & ~glass
    first = np.where(frame, 1, 0.25 * noise(rng, size, (8, 8))).astype(np.float32)
    shade = np.where(glass, 0.25 + 0.6 * pane * (y > 0.4), 1).astype(np.float32)
    return first, glass.astype(np.float32), shade


def _weave(rng: Generator, size: int) -> Weights:
    u, v = _coordinates(size)
    count = int(rng.integers(8, 32))
    pattern = np.sin(u * count * 2 * np.pi) * np.sin(v * count * 2 * np.pi)
    return _step(pattern.astype(np.float32), 0, 0.6), np.zeros_like(u), 0.85 + 0.15 * noise(rng, size, (4, 4))


def _panels(rng: Generator, size: int) -> Weights:
    """Doors and drawers: a few raised fields with a shaded border."""
    x, y, _ = _cells(*_coordinates(size), int(rng.integers(1, 4)), int(rng.integers(1, 3)), 0.0)
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    line = np.abs(edge - rng.uniform(0.05, 0.15)) < 0.012
    return noise(rng, size, (2, 16), 4) * 0.3, np.zeros_like(x), np.where(line, 0.55, 1).astype(np.float32)


KINDS: dict[str, Callable[[Generator, int], Weights]] = {
    "plain": _plain,
    "cloudy": _cloudy,
    "speckle": _speckle,
    "bricks": _bricks,
    "tiles": _tiles,
    "checker": _checker,
    "stripes": _stripes,
    "carpet": _carpet,
    "wood": _wood,
    "planks": _planks,
    "marble": _marble,
    "spots": _spots,
    "leaves": _leaves,
    "grass": _grass,
    "collage": _collage,
    "page": _page,
    "spines": _spines,
    "keys": _keys,
    "facade": _facade,
    "weave": _weave,
    "panels": _panels,
}


@dataclass(frozen=True)
class Pattern:
    """One tile of the atlas: a name of ``KINDS`` and what its randomness starts from."""

    kind: str
    seed: int


class Atlas:
    """Tiles of ``size`` x ``size`` texels with all their mip levels in one flat tensor, on one device."""

    def __init__(self, patterns: list[Pattern], size: int, device: torch.device) -> None:
        self.size = size
        self.levels = size.bit_length() - 1
        sizes = [size >> level for level in range(self.levels)]
        self._stride = sum(edge * edge for edge in sizes)
        starts = np.cumsum([0] + [edge * edge for edge in sizes[:-1]])
        self._starts = torch.tensor(starts, dtype=torch.int64, device=device)
        tiles = [_levels(pattern, size) for pattern in patterns]
        flat = np.concatenate(tiles).view(np.int32).ravel()
        # Four bytes as one integer: gathering single words is several times faster than rows of bytes.
        self._texels = torch.from_numpy(flat).to(device)

    def sample(self, slot: Tensor, u: Tensor, v: Tensor, lod: Tensor) -> Tensor:
        """Weights float32 [N, 4] in [0, 1] at tile coordinates, bilinear in the mip level nearest to ``lod``.

        ``slot`` int64 [N]; ``u``, ``v`` float32 [N] in tiles (the pattern repeats with period 1); ``lod`` is
        log2 of the pixel's footprint in texels of the finest level.
        """
        level = lod.round().clamp(0, self.levels - 1).to(torch.int64)
        edge = self.size >> level
        start = slot * self._stride + self._starts[level]
        x, y = u * edge - 0.5, v * edge - 0.5
        left, top = x.floor(), y.floor()
        # Blending a whole weight tensor is several times faster than one column that is spread over channels.
        fx, fy = ((part.unsqueeze(1).expand(-1, 4).contiguous()) for part in (x - left, y - top))
        mask = edge - 1
        x0, y0 = left.to(torch.int64), top.to(torch.int64)
        x0, x1, y0, y1 = x0 & mask, (x0 + 1) & mask, y0 & mask, (y0 + 1) & mask
        upper = torch.lerp(self._fetch(start + y0 * edge + x0), self._fetch(start + y0 * edge + x1), fx)
        lower = torch.lerp(self._fetch(start + y1 * edge + x0), self._fetch(start + y1 * edge + x1), fx)
        return torch.lerp(upper, lower, fy) / 255

    def _fetch(self, index: Tensor) -> Tensor:
        return self._texels.index_select(0, index).view(torch.uint8).view(-1, 4).to(torch.float32)


@lru_cache(maxsize=512)
def _levels(pattern: Pattern, size: int) -> NDArray[np.uint8]:
    """All mip levels of one tile, finest first, uint8 [texels, 4]; kept, for worlds share patterns."""
    rng = np.random.default_rng(pattern.seed)
    weights = [np.clip(field, 0, 1) for field in KINDS[pattern.kind](rng, size)]
    tile = np.stack([*weights, np.zeros_like(weights[0])], axis=2).astype(np.float32)
    texels = []
    while len(tile) > 1:
        texels.append(np.round(tile * 255).astype(np.uint8).reshape(-1, 4))
        tile = tile.reshape(len(tile) // 2, 2, len(tile) // 2, 2, 4).mean(axis=(1, 3))
    return np.ascontiguousarray(np.concatenate(texels))
