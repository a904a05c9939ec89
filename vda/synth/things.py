"""Parts and what is composed of them: the vocabulary in which worlds are written.

A part is one stretched unit shape with a material; a thing is a rigid group of parts with a name, a place and
perhaps a motion. This file does not know styles, cameras or light.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vda.synth.cameras import rotation
from vda.synth.shapes import Shape
from vda.synth.textures import KINDS, Pattern

Array = NDArray[np.float64]
Colour = tuple[float, float, float]

# Few, so that a tile that was baked for one world is there for the next: 21 kinds make 336 tiles.
_PATTERN_SEEDS = 16
# What a world may have in its atlas; after that, patterns are used again.
_MOST_PATTERNS = 26


@dataclass(frozen=True)
class Material:
    """How a surface looks. Colours are linear light; ``tile_m`` is the pattern's period in metres, 0 to stretch
    one tile over each face; ``variation`` is how much large blotches change the shade; ``emission`` is light of
    its own."""

    slot: int
    colours: tuple[Colour, Colour, Colour]
    tile_m: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)
    gloss: float = 0.0
    variation: float = 0.0
    emission: float = 0.0


@dataclass(frozen=True)
class Part:
    """A unit shape stretched by ``half`` (x, y, z), turned by ``turn`` [3, 3], moved to ``centre``; metres."""

    shape: Shape
    centre: Array
    half: Array
    material: Material
    turn: Array = field(default_factory=lambda: np.eye(3))


@dataclass(frozen=True)
class Motion:
    """Of a thing, relative to its place: along its yaw at ``speed``, on a circle of ``radius`` if that is not 0;
    bouncing ``bounce_m`` high, ``bounce_hz`` times a second; spinning at ``spin`` radians a second."""

    speed: float = 0.0
    radius: float = 0.0
    bounce_m: float = 0.0
    bounce_hz: float = 1.0
    spin: float = 0.0


@dataclass(frozen=True)
class Thing:
    """A rigid group of parts. Its origin is where it touches what it stands on, y = 0 there, up is negative y.

    ``number`` is its own on its setting, ``support`` the number of the thing it stands on (-1: the ground).
    """

    name: str
    parts: tuple[Part, ...]
    place: Array = field(default_factory=lambda: np.zeros(3))
    yaw: float = 0.0
    motion: Motion | None = None
    tracked: bool = False
    casts: bool = True
    role: Literal["thing", "wall", "ground"] = "thing"
    number: int = -1
    support: int = -1

    def pose(self, time_s: float) -> tuple[Array, Array]:
        """World from thing at a time: rotation [3, 3] and translation [3]."""
        if self.motion is None:
            return rotation(self.yaw), self.place
        yaw, place = self.yaw, self.place
        if self.motion.radius:
            # The circle's tangent is the heading, so a walker never moves sideways.
            turned = self.motion.speed / self.motion.radius * time_s
            centre = place + rotation(yaw) @ np.array([self.motion.radius, 0, 0])
            yaw = yaw + turned
            place = centre - rotation(yaw) @ np.array([self.motion.radius, 0, 0])
        else:
            place = place + rotation(yaw) @ np.array([0, 0, self.motion.speed * time_s])
        lift = self.motion.bounce_m * abs(np.sin(np.pi * self.motion.bounce_hz * time_s))
        return rotation(yaw + self.motion.spin * time_s), place - np.array([0, lift, 0])

    @property
    def low_high(self) -> tuple[Array, Array]:
        """The bounding box of the parts in the thing's own coordinates: two float64 [3]."""
        reach = [np.abs(part.turn) @ part.half for part in self.parts]
        low = np.min([part.centre - r for part, r in zip(self.parts, reach, strict=True)], axis=0)
        high = np.max([part.centre + r for part, r in zip(self.parts, reach, strict=True)], axis=0)
        return low, high

    @property
    def radius(self) -> float:
        """Of the circle on the ground around the origin that holds the thing."""
        low, high = self.low_high
        reach = np.maximum(np.abs(low), np.abs(high))
        return float(np.hypot(reach[0], reach[2]))

    @property
    def height(self) -> float:
        low, _ = self.low_high
        return float(-low[1])

    def at(self, x: float, z: float, yaw: float = 0.0, height: float = 0.0) -> "Thing":
        """The same thing standing somewhere, ``height`` metres above the ground."""
        return replace(self, place=np.array([x, -height, z]), yaw=yaw)

    def scaled(self, factor: float) -> "Thing":
        parts = tuple(replace(p, centre=p.centre * factor, half=p.half * factor) for p in self.parts)
        return replace(self, parts=parts)


def block(
    shape: Shape,
    x: float,
    base: float,
    z: float,
    size: Sequence[float],
    material: Material,
    turn: Array | None = None,
) -> Part:
    """A part by its base: ``size`` is full width, height and depth; its underside is ``base`` above the origin."""
    half = np.array(size, np.float64) / 2
    centre = np.array([x, -(base + half[1]), z])
    return Part(shape, centre, half, material, np.eye(3) if turn is None else turn)


def beam(start: Sequence[float], end: Sequence[float], width: float, material: Material, shape: Shape) -> Part:
    """A rod between two points given as x, height, z."""
    a, b = (np.array([p[0], -p[1], p[2]], np.float64) for p in (start, end))
    axis = (b - a) / np.linalg.norm(b - a)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    turn = np.stack([side, axis, np.cross(side, axis)], axis=1)
    half = np.array([width, np.linalg.norm(b - a), width]) / 2
    return Part(shape, (a + b) / 2, half, material, turn)


class Palette:
    """Chooses a world's materials: it owns the patterns used so far, and the random numbers."""

    def __init__(self, rng: Generator) -> None:
        self.rng = rng
        self.patterns = [Pattern("cloudy", int(rng.integers(_PATTERN_SEEDS))) for _ in range(2)]
        self._warmth = rng.uniform(-0.08, 0.08)
        self._saturation = rng.uniform(0.4, 1.1)

    def pattern(self, kinds: Sequence[str]) -> int:
        """Slot of a pattern of one of these kinds: mostly one the world has already."""
        kind = str(self.rng.choice(list(kinds)))
        known = [slot for slot, pattern in enumerate(self.patterns) if slot > 1 and pattern.kind == kind]
        if known and (self.rng.random() < 0.5 or len(self.patterns) >= _MOST_PATTERNS):
            return int(self.rng.choice(known))
        self.patterns.append(Pattern(kind, int(self.rng.integers(_PATTERN_SEEDS))))
        return len(self.patterns) - 1

    def colour(self, low: float = 0.03, high: float = 0.8, saturation: float | None = None) -> Colour:
        """A random colour in linear light, between dark and bright."""
        # Most of what people make is nearly grey or brownish, and a few things are vivid.
        amount = (
            saturation if saturation is not None else self.rng.choice([0.15, 0.3, 0.5, 1.2]) * self._saturation
        )
        bright = np.exp(self.rng.uniform(np.log(low), np.log(high)))
        hue = self.rng.dirichlet((4.0, 3.4, 3.0)) * 3
        tint = 1 + amount * (hue - 1) + self._warmth * np.array([1, 0, -1])
        red, green, blue = np.clip(bright * tint, 0.01, 0.95)
        return float(red), float(green), float(blue)

    def near(self, colour: Colour, spread: float) -> Colour:
        """A colour like another one: brighter or darker by up to ``spread``, a little off in hue."""
        factor = np.exp(self.rng.uniform(-spread, spread)) * np.exp(self.rng.normal(0, spread / 6, 3))
        red, green, blue = np.clip(np.array(colour) * factor, 0.005, 0.95)
        return float(red), float(green), float(blue)

    def paint(
        self,
        kinds: Sequence[str] = ("plain",),
        colour: Colour | None = None,
        tile_m: float | None = None,
        contrast: float = 0.5,
        gloss: float | None = None,
        emission: float = 0.0,
    ) -> Material:
        """A material with a pattern of one of ``kinds``; in one case out of eight, of any kind at all."""
        rng = self.rng
        surprise = tile_m != 0 and rng.random() < 0.12
        base = self.colour() if colour is None else colour
        second = self.near(base, contrast) if rng.random() < 0.75 else self.colour()
        third = self.near(base, contrast * 2) if rng.random() < 0.5 else self.colour()
        return Material(
            slot=self.pattern(tuple(KINDS) if surprise else kinds),
            colours=(base, second, third),
            tile_m=float(np.exp(rng.uniform(np.log(0.3), np.log(3.0)))) if tile_m is None else tile_m,
            offset=(float(rng.random()), float(rng.random())) if tile_m != 0 else (0.5, 0.5),
            gloss=float(rng.random() ** 3 * 0.8) if gloss is None else gloss,
            variation=float(rng.uniform(0, 0.4)) if tile_m != 0 else 0.0,
            emission=emission,
        )
