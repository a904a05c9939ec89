"""A set to fill: things are put on it without standing in one another. What a style makes of it is a site.

This file does not know what any style looks like.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator

from vda.synth import furniture as f
from vda.synth.cameras import rotation
from vda.synth.raster import Parts, Placed
from vda.synth.shading import Lamp, Light, Sky
from vda.synth.shapes import Shape
from vda.synth.things import Array, Colour, Material, Motion, Palette, Thing, block

Area = tuple[float, float, float, float]  # low x, high x, low z, high z


@dataclass(frozen=True)
class Site:
    """What a style makes of its setting: things, light, and where a camera makes sense.

    ``eyes`` are places to stand, ``targets`` places worth looking at (both world coordinates [3]); ``free_m`` is
    how far a camera may move, ``pitch_deg`` and ``fov_deg`` ranges; ``near_m`` is closer than any sight should be.
    """

    things: tuple[Thing, ...]
    light: Light
    eyes: tuple[Array, ...]
    targets: tuple[Array, ...]
    free_m: float
    speed: tuple[float, float]
    fov_deg: tuple[float, float] = (40.0, 90.0)
    near_m: float = 0.35
    motions: tuple[str, ...] = ("walk", "truck", "orbit", "pan", "hand")


@dataclass
class Setting:
    """Things so far, the circles they take on the ground, and the palette they are painted from.

    All people of a world are ``person_m`` tall, so that one known size holds for all of them.
    """

    rng: Generator
    palette: Palette
    things: list[Thing] = field(default_factory=list)
    circles: list[tuple[float, float, float]] = field(default_factory=list)
    person_m: float = 1.75

    def add(self, thing: Thing, solid: bool = True, support: int = -1) -> Thing:
        thing = replace(thing, number=len(self.things), support=support)
        self.things.append(thing)
        if solid:
            self.circles.append((thing.place[0], thing.place[2], thing.radius))
        return thing

    def free(self, x: float, z: float, radius: float) -> bool:
        return all(np.hypot(x - a, z - b) > radius + r for a, b, r in self.circles)

    def spot(self, area: Area, radius: float, tries: int = 12) -> tuple[float, float] | None:
        """A random free place in the area, or None if none was found."""
        for _ in range(tries):
            x, z = self.rng.uniform(area[0], area[1]), self.rng.uniform(area[2], area[3])
            if self.free(x, z, radius):
                return float(x), float(z)
        return None

    def scatter(self, make: Callable[[], Thing], area: Area, count: int) -> None:
        """Up to ``count`` new things at free places, turned anyhow."""
        for _ in range(count):
            thing = make()
            spot = self.spot(area, thing.radius)
            if spot:
                self.add(thing.at(*spot, yaw=self.rng.uniform(-np.pi, np.pi)))

    def slab(self, centre: Sequence[float], size: Sequence[float], material: Material, role: str) -> Thing:
        """A block of ground or wall: ``centre`` is x, the underside's height, z; ``size`` width, height, depth."""
        part = block(Shape.BOX, centre[0], centre[1], centre[2], size, material)
        slab = Thing(role, (part,), casts=False, role="ground" if role == "ground" else "wall")
        return self.add(slab, solid=False)

    def dress(self, top: Thing, width: float, depth: float, count: int) -> None:
        """Small things on a table or cabinet, at its place and height."""
        taken: list[tuple[float, float, float]] = []
        for _ in range(count):
            thing = self._trinket()
            # A monitor may reach over the edge of a narrow board, as it does in life.
            radius = min(thing.radius, 0.2)
            x, z = (self.rng.uniform(-1, 1) * max(0.0, size / 2 - radius) for size in (width, depth))
            if all(np.hypot(x - a, z - b) > radius + r for a, b, r in taken):
                taken.append((x, z, radius))
                spot = top.place + rotation(top.yaw) @ np.array([x, 0, z])
                turn = top.yaw + self.rng.normal(0, 0.5)
                self.add(thing.at(spot[0], spot[2], turn, top.height - top.place[1]), False, top.number)

    def _trinket(self) -> Thing:
        makers = (f.cup, f.bottle, f.bowl, f.books, f.books, f.books, f.keyboard, f.monitor, f.desk_lamp)
        sized = (f.carton, f.drum, f.ball)
        choice, size = int(self.rng.integers(len(makers) + len(sized) + 1)), self.rng.uniform(0.06, 0.25)
        if choice < len(makers):
            return makers[choice](self.palette)
        if choice == len(makers):
            return f.plant(self.palette).scaled(0.5)
        return sized[choice - len(makers) - 1](self.palette, size)

    def move(self, thing: Thing, speed: float, circle: bool, radius_m: float = 1.0) -> Thing:
        """Set a thing in motion, straight on or on a circle of about ``radius_m`` to either side."""
        radius = radius_m * self.rng.uniform(0.4, 3) * self.rng.choice([-1, 1]) if circle else 0.0
        return self.add(replace(thing, motion=Motion(speed, float(radius)), tracked=True), solid=False)


def gaps(placed: Placed, points: Array) -> Array:
    """Distance from points [N, 3] to the box around each part, float64 [N, P]; 0 inside."""
    offset = points[:, None] - placed.centres
    own = np.einsum("pji,npj->npi", placed.turns, offset)
    return np.linalg.norm(np.maximum(np.abs(own) - placed.halves, 0), axis=2)


def without_collisions(things: list[Thing], duration_s: float) -> tuple[Thing, ...]:
    """Leave out moving things that run into standing or earlier moving ones at any time of the clip."""
    # A quarter of a second is half a step: nothing passes through anything in between.
    times = np.arange(0, duration_s + 0.25, 0.25)
    kept = [thing for thing in things if thing.motion is None]
    placed = Parts([thing for thing in kept if thing.role != "ground"]).at(0.0)
    tracks: list[tuple[float, Array]] = []
    for thing in (thing for thing in things if thing.motion is not None):
        path = np.array([thing.pose(float(t))[1] for t in times])
        shares = (0.3, 0.7) if thing.height > 2 * thing.radius else (0.5,)
        body = np.concatenate([path - [0, share * thing.height, 0] for share in shares])
        # Less than half of its height, or what it stands on would be in its way.
        room = 0.6 * min(thing.radius, thing.height / 2)
        apart = all(np.linalg.norm(path - other, axis=1).min() > 0.8 * (thing.radius + r) for r, other in tracks)
        if apart and (len(placed.shapes) == 0 or gaps(placed, body).min() > room):
            kept.append(thing)
            tracks.append((thing.radius, path))
    return tuple(kept)


def daylight(palette: Palette, focus: Array, extent_m: float) -> Light:
    """Sun or overcast sky with haze, for a world of ``extent_m`` around ``focus``."""
    rng = palette.rng
    azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.2, 1.4)
    away = np.array([np.cos(height) * np.sin(azimuth), -np.sin(height), np.cos(height) * np.cos(azimuth)])
    # Without clear shadows a model must live on other cues: a third of all days are overcast.
    overcast = rng.random() < 0.3
    strength = rng.uniform(0.05, 0.25) if overcast else rng.uniform(0.5, 1.1)
    low_sun = np.exp(-height * 3)
    sun = strength * np.array([1.0, 1 - 0.35 * low_sun, 1 - 0.6 * low_sun])
    grey = rng.uniform(0.4, 0.9)
    zenith = np.array([grey] * 3) if overcast else np.array([0.12, 0.28, 0.62]) * rng.uniform(0.5, 1.4)
    horizon = zenith * 0.4 + 0.6 * rng.uniform(0.5, 1.0) * np.array(
        [1, 0.95 - 0.2 * low_sun, 0.95 - 0.4 * low_sun]
    )
    ambient = (zenith + horizon) / 2 * rng.uniform(0.6, 1.0)
    cloud = float(rng.uniform(0.7, 1.2))
    sky = Sky(_rgb(zenith), _rgb(horizon), (cloud, cloud, cloud), float(rng.choice([0, rng.uniform(0.2, 0.9)])))
    lamp = Lamp(focus + away * 40 * extent_m, focus, _rgb(sun), 1 / 40)
    haze = float("inf") if rng.random() < 0.35 else float(np.exp(rng.uniform(np.log(40), np.log(2000))))
    return Light(lamp, (), _rgb(ambient), _rgb(ambient * rng.uniform(0.25, 0.5)), sky, haze)


def lamplight(palette: Palette, low: Array, high: Array) -> Light:
    """A ceiling lamp, a second light without shadows, and much light from all sides, in a room."""
    rng = palette.rng
    warm = np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.05)])
    middle = (low + high) / 2
    x, z = (rng.uniform(low[a] * 0.6 + middle[a] * 0.4, high[a] * 0.6 + middle[a] * 0.4) for a in (0, 2))
    # Below the ceiling, so that the ceiling itself is lit at a grazing angle.
    ceiling = np.array([x, low[1] + 0.15, z])
    floor = np.array([x, 0.0, z])
    key = Lamp(ceiling, floor, _rgb(warm * rng.uniform(0.25, 0.8)), 3.0, fades=True)
    side = np.array([low[0] + 0.3, rng.uniform(-2.0, -1.0), rng.uniform(low[2], high[2])])
    fill = Lamp(side, middle, _rgb(np.array([0.8, 0.9, 1.0]) * rng.uniform(0, 0.4)), 1.0, fades=True)
    ambient = rng.uniform(0.25, 0.6) * (0.5 * warm + 0.5)
    plain = Sky((0.5, 0.6, 0.7), (0.7, 0.7, 0.7), (1.0, 1.0, 1.0), 0.0)
    return Light(key, (fill,), _rgb(ambient), _rgb(ambient * rng.uniform(0.5, 0.9)), plain, room=(low, high))


def _rgb(values: Array) -> Colour:
    red, green, blue = (float(v) for v in np.clip(values, 0, 4))
    return red, green, blue
