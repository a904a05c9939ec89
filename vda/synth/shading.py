"""Light: from what a pixel sees to its colour in linear light.

One lamp casts shadows (the sun is a lamp very far away), others fill in; the sky and the ground light from above
and below; haze swallows with distance. Shadows come from a depth image seen from the lamp. Nothing here changes
the truth: this file does not know how depth is found.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vda.camera.conventions import middle
from vda.camera.intrinsics import Intrinsics
from vda.synth.cameras import heading, rotation
from vda.synth.raster import Hits, Parts, Viewpoint, normalised_axes, trace
from vda.synth.shapes import normals
from vda.synth.textures import CLOUD_SLOT, MODULATION_SLOT, Atlas
from vda.synth.things import Array, Colour, Thing

# A lamp's depth image is as much work as a picture of its size. Only colours depend on it, so it may be coarse.
SHADOW_SIZE = 512


@dataclass(frozen=True)
class Lamp:
    """A light at ``position`` shining on ``focus``; ``spread`` is the tangent of half the angle its shadow image
    covers. ``colour`` is the light that arrives there; with ``fades`` it falls with the distance squared."""

    position: Array
    focus: Array
    colour: Colour
    spread: float
    fades: bool = False

    def view(self) -> Viewpoint:
        pose = np.eye(4)
        pose[:3, :3] = rotation(*heading(self.focus - self.position))
        pose[:3, 3] = self.position
        focal = SHADOW_SIZE / 2 / self.spread
        size = (SHADOW_SIZE, SHADOW_SIZE)
        return Viewpoint(pose, Intrinsics(*size, focal, focal, *middle(size).tolist()))


@dataclass(frozen=True)
class Sky:
    """Colours at the zenith, at the horizon and of clouds; ``cover`` is the share of the sky that clouds take."""

    zenith: Colour
    horizon: Colour
    cloud: Colour
    cover: float


@dataclass(frozen=True)
class Light:
    """All that lights a world. ``haze_m`` is the distance at which haze has swallowed all but 1/e (infinity:
    none); ``room`` (low and high corner) darkens the corners of a room."""

    key: Lamp
    fills: tuple[Lamp, ...]
    above: Colour
    below: Colour
    sky: Sky
    haze_m: float = float("inf")
    room: tuple[Array, Array] | None = None


class Materials:
    """The materials of all parts as one table on the device: 18 columns of float32 [P], and pattern slots [P]."""

    def __init__(self, things: tuple[Thing, ...], device: torch.device) -> None:
        rows, slots, shapes = [], [], []
        for part in (part for thing in things for part in thing.parts):
            material = part.material
            # Unit coordinates run from -1 to 1, so half a tile each way is one tile over the face.
            stretch = np.full(3, 0.5)
            if material.tile_m:
                stretch = part.half / material.tile_m
                if part.shape != 0:
                    # A whole number of tiles around, or there would be a seam at the back.
                    stretch[0] = stretch[2] = max(1.0, round(np.pi * part.half[0] / material.tile_m)) / np.pi
            colours = [channel for colour in material.colours for channel in colour]
            texel = stretch.mean() / part.half.mean()
            rows.append(
                [*stretch, *material.offset, *colours, material.gloss, material.variation, material.emission]
            )
            rows[-1].append(texel)
            slots.append(material.slot)
            shapes.append(int(part.shape))
        self.table = torch.tensor(np.array(rows, np.float32).T.copy(), device=device)
        self.slots = torch.tensor(slots, device=device)
        self.shapes = torch.tensor(shapes, device=device)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of vectors [3, N], spelt out: PyTorch's reductions over a leading dimension are many times slower."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(vectors: Tensor) -> Tensor:
    return vectors / _dot(vectors, vectors).sqrt()


@dataclass(frozen=True)
class Surface:
    """What N pixels see: where it is from the eye, unit normals and reflected share of light, float32 [3, N] each;
    gloss and light of its own, [N] each."""

    from_eye: Tensor
    normal: Tensor
    albedo: Tensor
    gloss: Tensor
    emission: Tensor


class Shader:
    """Colours the pixels of one world. What stands still is lit once; only moving things are lit every frame."""

    def __init__(self, things: tuple[Thing, ...], light: Light, atlas: Atlas, device: torch.device) -> None:
        self._light, self._atlas, self._device = light, atlas, device
        self._materials = Materials(things, device)
        self._lamp_view = light.key.view()
        self._last_moving: tuple[float, Tensor] | None = None
        casting = [thing for thing in things if thing.casts]
        self._movers = Parts([thing for thing in casting if thing.motion])
        self._still_shadow = self._shadow(Parts([thing for thing in casting if not thing.motion]), 0.0)

    def _moving_shadow(self, time_s: float) -> Tensor:
        # A frame that is rendered in bands asks for the same moment again and again.
        if self._last_moving is None or self._last_moving[0] != time_s:
            self._last_moving = time_s, self._shadow(self._movers, time_s)
        return self._last_moving[1]

    def _shadow(self, parts: Parts, time_s: float) -> Tensor:
        """Depth from the key lamp, float32 [SHADOW_SIZE, SHADOW_SIZE]."""
        return trace([parts.at(time_s)], [self._lamp_view], self._device).depth[0]

    def colours(self, hits: Hits, views: list[Viewpoint], times: list[float], turns: Tensor) -> Tensor:
        """Linear light float32 [F, H, W, 3]; ``turns`` float32 [F, P, 9] is world from unit part for normals."""
        _, height, width = hits.depth.shape
        columns, rows = normalised_axes(views[0].intrinsics, self._device)
        x, y = columns.repeat(height), rows.repeat_interleave(width)
        images = []
        for index, view in enumerate(views):
            pose = torch.tensor(view.camera_to_world, dtype=torch.float32, device=self._device)
            ray = pose[:3, 0:1] * x + pose[:3, 1:2] * y + pose[:3, 2:3]
            image = torch.empty_like(ray)
            part = hits.part[index].view(-1)
            seen, unseen = (torch.nonzero(mask).squeeze(1) for mask in (part >= 0, part < 0))
            if len(unseen):
                image[:, unseen] = self._sky(ray.index_select(1, unseen))
            if len(seen):
                part, depth, ray, x_seen, y_seen = (
                    values.index_select(-1, seen) for values in (part, hits.depth[index].view(-1), ray, x, y)
                )
                own_ray = hits.rays[index].T.contiguous().index_select(1, part)
                local = own_ray[0:3] + depth * (own_ray[3:6] + x_seen * own_ray[6:9] + y_seen * own_ray[9:12])
                turn = turns[index].T.contiguous().index_select(1, part)
                surface = self._surface(part, local, turn, depth, ray, 1 / view.intrinsics.fx)
                image[:, seen] = self._lit(surface, pose[:3, 3:4], times[index])
            images.append(image)
        return torch.stack(images).view(-1, 3, height, width).permute(0, 2, 3, 1)

    def _surface(
        self, part: Tensor, local: Tensor, turn: Tensor, depth: Tensor, ray: Tensor, pixel: float
    ) -> Surface:
        """What is at points ``local`` [3, N] of the parts; ``pixel`` is a pixel's size at depth 1."""
        own = normals(self._materials.shapes.index_select(0, part), (local[0], local[1], local[2]))
        axes = (turn[3 * i] * own[0] + turn[3 * i + 1] * own[1] + turn[3 * i + 2] * own[2] for i in range(3))
        normal = _unit(torch.stack(tuple(axes)))
        facing = (_dot(normal, ray) / _dot(ray, ray).sqrt()).abs().clamp(0.05, 1)
        table = self._materials.table.index_select(1, part)
        albedo = self._albedo(part, table, local, own, depth * pixel / facing.sqrt())
        return Surface(depth * ray, normal, albedo, gloss=table[14], emission=table[16])

    def _albedo(
        self, part: Tensor, table: Tensor, local: Tensor, own: tuple[Tensor, ...], footprint: Tensor
    ) -> Tensor:
        """The pattern's three weights applied to the material's three colours, float32 [3, N]."""
        u, v = self._tile_coordinates(part, table, local, own)
        slot = self._materials.slots.index_select(0, part)
        lod = torch.log2((footprint * table[17] * self._atlas.size).clamp(min=1e-3))
        weight = self._atlas.sample(slot, u, v, lod).T
        colour = torch.lerp(table[5:8], table[8:11], weight[0])
        colour = torch.lerp(colour, table[11:14], weight[1])
        blotch = self._atlas.sample(torch.full_like(slot, MODULATION_SLOT), u * 0.173, v * 0.173, lod - 2.5)[:, 0]
        return colour * weight[2] * (1 + table[15] * (2 * blotch - 1))

    def _tile_coordinates(
        self, part: Tensor, table: Tensor, local: Tensor, own: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        nx, ny, nz = (axis.abs() for axis in own)
        flat = self._materials.shapes.index_select(0, part) == 0
        x, y, z = local[0] * table[0], local[1] * table[1], local[2] * table[2]
        side, top = (nx > ny) & (nx > nz), (ny >= nx) & (ny > nz)
        around = torch.atan2(local[0], local[2]) * table[0] * 0.5
        cap = ~flat & (nx + nz < 1e-6)
        u = torch.where(flat | cap, torch.where(flat & side, z, x), around)
        v = torch.where((flat & top) | cap, z, y)
        return u + table[3], v + table[4]

    def _lit(self, surface: Surface, eye: Tensor, time_s: float) -> Tensor:
        """Light that reaches the eye at ``eye`` [3, 1] from the surface, [3, N]."""
        light, position = self._light, surface.from_eye + eye
        up = (0.5 - 0.5 * surface.normal[1]).unsqueeze(0)
        above, below = (self._column(colour) for colour in (light.above, light.below))
        # What faces up gets the sky's light, what faces down the ground's: half-way shades in between.
        total = torch.lerp(below, above, up) * self._openness(position)
        length = _dot(surface.from_eye, surface.from_eye).sqrt()
        gleam = torch.zeros_like(total)
        for lamp in (light.key, *light.fills):
            diffuse, shine = self._lamp_light(lamp, surface, position, length)
            if lamp is light.key:
                arriving = self._unshadowed(position, surface.normal, time_s)
                diffuse, shine = diffuse * arriving, shine * arriving
            total, gleam = total + diffuse, gleam + shine
        colour = surface.albedo * (total + surface.emission) + surface.gloss * gleam
        if np.isfinite(light.haze_m):
            colour = torch.lerp(self._column(light.sky.horizon), colour, torch.exp(-length / light.haze_m))
        return colour

    def _column(self, colour: Colour) -> Tensor:
        return torch.tensor(colour, device=self._device).unsqueeze(1)

    def _openness(self, position: Tensor) -> Tensor:
        """How much of the ambient light reaches a point, float32 [N]: corners of a room are darker."""
        open_ = 1 - 0.35 * torch.exp(position[1] / 0.25).clamp(max=1)
        if self._light.room is not None:
            low, high = self._light.room
            for axis in range(3):
                for bound, sign in ((float(low[axis]), 1.0), (float(high[axis]), -1.0)):
                    if axis == 1 and sign < 0:
                        continue
                    open_ = open_ * (1 - 0.3 * torch.exp(-(sign * (position[axis] - bound)).clamp(min=0) / 0.3))
        return open_

    def _lamp_light(self, lamp: Lamp, surface: Surface, position: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Diffuse light and mirror-like shine that arrive from a lamp, [3, N] each, shadows left aside."""
        to_lamp = torch.tensor(lamp.position, dtype=torch.float32, device=self._device).unsqueeze(1) - position
        distance = _dot(to_lamp, to_lamp).sqrt()
        to_lamp = to_lamp / distance
        colour = self._column(lamp.colour)
        if lamp.fades:
            # Softened by 1, or what is next to the lamp would be thousands of times too bright.
            reach = float(np.linalg.norm(lamp.focus - lamp.position))
            colour = colour * (2 / (1 + (distance / reach) ** 2))
        diffuse = colour * _dot(surface.normal, to_lamp).clamp(min=0)
        shine = _dot(surface.normal, _unit(to_lamp - surface.from_eye / length)).clamp(min=0)
        for _ in range(5):
            shine = shine * shine
        return diffuse, colour * shine

    def _unshadowed(self, position: Tensor, normal: Tensor, time_s: float) -> Tensor:
        """Share of the key lamp's light that arrives, float32 [N], with soft edges."""
        lamp, view = self._light.key, self._lamp_view
        map_ = self._still_shadow
        if len(self._movers.owners):
            map_ = torch.minimum(map_, self._moving_shadow(time_s))
        pose = torch.tensor(view.camera_to_world, device=self._device)
        distance = float(np.linalg.norm(lamp.focus - lamp.position))
        texel = 2 * lamp.spread * distance / SHADOW_SIZE
        # Lifting the point off its surface by two texels keeps it from shadowing itself.
        lifted = position + normal * (2 * texel)
        turn, eye = pose[:3, :3].T, pose[:3, :3].T @ pose[:3, 3]
        seen = [_dot(lifted, turn[axis].float()) - eye[axis].float() for axis in range(3)]
        focal, middle = view.intrinsics.fx, view.intrinsics.cx
        u, v = (seen[axis] / seen[2].clamp(min=1e-3) * focal + middle for axis in (0, 1))
        outside = (u < 1) | (u > SHADOW_SIZE - 2) | (v < 1) | (v > SHADOW_SIZE - 2) | (seen[2] <= 0)
        u, v = u.clamp(0, SHADOW_SIZE - 2), v.clamp(0, SHADOW_SIZE - 2)
        left, top = u.floor(), v.floor()
        index = (top * SHADOW_SIZE + left).to(torch.int64)
        flat, limit = map_.view(-1), seen[2] - texel
        corner = [
            (flat.index_select(0, index + step) > limit).float() for step in (0, 1, SHADOW_SIZE, SHADOW_SIZE + 1)
        ]
        upper, lower = torch.lerp(corner[0], corner[1], u - left), torch.lerp(corner[2], corner[3], u - left)
        return torch.where(outside, torch.ones_like(u), torch.lerp(upper, lower, v - top))

    def _sky(self, ray: Tensor) -> Tensor:
        """Colour of the sky along rays [3, N]: a gradient, clouds on a plane far above, and the sun's glow."""
        sky = self._light.sky
        way = _unit(ray)
        high = (-way[1]).clamp(min=0)
        colour = torch.lerp(self._column(sky.horizon), self._column(sky.zenith), high.sqrt())
        if sky.cover > 0:
            u, v = (way[axis] / (high + 0.08) * 0.12 for axis in (0, 2))
            slot = torch.full((ray.shape[1],), CLOUD_SLOT, dtype=torch.int64, device=self._device)
            weight = self._atlas.sample(slot, u, v, torch.full_like(u, 0.6))[:, 0]
            mask = ((weight - 1 + sky.cover) * 3).clamp(0, 1) * (high * 8).clamp(max=1)
            colour = torch.lerp(colour, self._column(sky.cloud), mask)
        to_sun = torch.tensor(self._light.key.position - self._light.key.focus, dtype=torch.float32)
        glow = _dot(way, _unit(to_sun.to(self._device).unsqueeze(1))).clamp(min=0)
        return colour + self._column(self._light.key.colour) * (0.25 * glow**24 + 3 * (glow > 0.9995))
