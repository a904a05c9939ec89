"""Styles under the sky: streets, fields, yards, and heaps of shapes with no meaning at all."""

from dataclasses import replace

import numpy as np

from vda.synth import furniture as f
from vda.synth import outdoors as o
from vda.synth.cameras import rotation
from vda.synth.setting import Setting, Site, daylight
from vda.synth.shapes import Shape
from vda.synth.things import Array, Motion, Thing, block

_GROUNDS = ("grass", "cloudy", "speckle", "tiles", "bricks", "planks", "marble", "leaves")


def _ground(setting: Setting, kinds: tuple[str, ...], size: float = 3000.0) -> None:
    rng = setting.rng
    colour = setting.palette.colour(0.05, 0.5, 0.8)
    material = setting.palette.paint(kinds, colour, float(np.exp(rng.uniform(np.log(0.8), np.log(6)))), 0.6, 0.1)
    setting.slab((0, -1, 0), (size, 1, size), replace(material, variation=0.35), "ground")


def _street_side(setting: Setting, side: int, edge: float, length: float) -> None:
    """Buildings in a row behind a pavement, with trees, lamps, signs and parked cars before them."""
    rng, palette = setting.rng, setting.palette
    pavement, setback = rng.uniform(2, 5), rng.choice([0.0, 0.0, rng.uniform(2, 10)])
    front = edge + pavement + setback
    z = -length * 0.3
    tall = rng.uniform(6, 28)
    while z < length:
        width, depth = rng.uniform(7, 24), rng.uniform(8, 16)
        if rng.random() < 0.85:
            house = o.building(palette, depth, tall * rng.uniform(0.5, 1.4), width)
            setting.add(house.at(side * (front + depth / 2 + rng.uniform(0, 1)), z + width / 2), solid=False)
        z += width + rng.choice([0.0, rng.uniform(0.5, 8)])
    stone = palette.paint(("tiles", "speckle", "bricks"), palette.colour(0.15, 0.5, 0.2), 1.5)
    setting.slab((side * (edge + pavement / 2), -0.1, length / 3), (pavement, 0.22, length * 2), stone, "ground")
    makers = (
        lambda: o.tree(palette, rng.uniform(3, 10)),
        lambda: o.street_lamp(palette),
        lambda: o.sign(palette),
        lambda: o.person(palette, setting.person_m),
        lambda: o.bench(palette),
        lambda: o.bush(palette, rng.uniform(0.6, 1.6)),
        lambda: f.drum(palette, rng.uniform(0.5, 1.0)),
    )
    for z in np.arange(-8, length * 0.7, rng.uniform(2.5, 8)):
        thing = makers[int(rng.integers(len(makers)))]()
        yaw = -side * np.pi / 2 + rng.normal(0, 0.3)
        setting.add(thing.at(side * (edge + rng.uniform(0.6, pavement)), z + rng.uniform(-1, 1), yaw, 0.12))


def _traffic(setting: Setting, lane: float, length: float, parked_at: float, movers: bool) -> None:
    rng, palette = setting.rng, setting.palette
    height = rng.uniform(1.4, 1.6)
    for side in (-1, 1):
        for z in np.arange(-10, length * 0.7, rng.uniform(5.5, 14)):
            if rng.random() < 0.5:
                yaw = (0 if side > 0 else np.pi) + rng.normal(0, 0.03)
                tall = height if rng.random() < 0.8 else rng.uniform(1.8, 2.8)
                setting.add(o.car(palette, tall).at(side * parked_at, z + rng.uniform(-0.5, 0.5), yaw))
        for z in np.arange(-20, length * 0.6, rng.uniform(12, 30)) if movers else ():
            car = o.car(palette, height).at(side * lane, z + rng.uniform(-3, 3), 0 if side > 0 else np.pi)
            setting.move(car, rng.uniform(2, 12), circle=False)


def _walkers(setting: Setting, edge: float, length: float) -> None:
    rng = setting.rng
    for _ in range(int(rng.integers(4, 14))):
        side = rng.choice([-1, 1])
        yaw = rng.choice([0.0, np.pi, rng.uniform(-np.pi, np.pi)])
        walker = o.person(setting.palette, setting.person_m)
        x, z = side * (edge + rng.uniform(-1.5, 2.2)), rng.uniform(2, length * 0.4)
        setting.move(walker.at(x, z, yaw, 0.12), rng.uniform(0.6, 1.8), circle=False)


def street(setting: Setting, movers: bool) -> Site:
    """A road between buildings."""
    rng, palette = setting.rng, setting.palette
    edge, length = rng.uniform(3.5, 8), rng.uniform(80, 200)
    _ground(setting, ("speckle", "cloudy", "tiles"))
    if rng.random() < 0.6:
        paint = palette.paint(colour=(0.7, 0.7, 0.65))
        for z in np.arange(-10, 70, 5.0):
            setting.slab((0, 0, z), (0.15, 0.01, 2.5), paint, "ground")
    for side in (-1, 1):
        _street_side(setting, side, edge, length)
    _traffic(setting, edge * 0.4, length, edge - 1.05, movers)
    if movers:
        _walkers(setting, edge, length)
    high = rng.random() < 0.2
    eyes = []
    for _ in range(16):
        lift = rng.uniform(3, 12) if high else rng.uniform(0.9, 2.2)
        eyes.append(np.array([rng.uniform(-0.9, 0.9) * (edge + 1.5), -lift, rng.uniform(-4, 6)]))
    targets = [
        np.array([rng.normal(0, 7), -rng.uniform(0, 4), rng.uniform(8, 60) if not high else rng.uniform(4, 25)])
        for _ in range(12)
    ]
    return Site(
        tuple(setting.things),
        daylight(palette, np.array([0, 0, 20.0]), 55.0),
        tuple(eyes),
        tuple(targets),
        free_m=2.0 if high else 60.0,
        speed=(0.4, 10.0),
        fov_deg=(28.0, 95.0),
        near_m=1.0,
        motions=("walk", "drive", "drive", "pan", "hand"),
    )


def field(setting: Setting, movers: bool) -> Site:
    """Open ground with hills, trees, rocks, fences, a house or two."""
    rng, palette = setting.rng, setting.palette
    _ground(setting, ("grass", "grass", "cloudy", "speckle", "leaves"))
    soil = palette.paint(("grass", "cloudy", "leaves"), palette.colour(0.08, 0.4, 0.8), 8.0, 0.8, 0.0)
    for _ in range(int(rng.integers(0, 8))):
        wide, far = rng.uniform(40, 400), rng.uniform(90, 700)
        size = (wide, wide * rng.uniform(0.1, 0.5), wide)
        hill = Thing("hill", (block(Shape.SPHERE, 0, -size[1] / 2, 0, size, soil),), casts=False)
        angle = rng.uniform(-1.2, 1.2)
        setting.add(hill.at(np.sin(angle) * (far + wide / 2), np.cos(angle) * (far + wide / 2)), solid=False)
    makers = (
        lambda: o.tree(palette, rng.uniform(2, 14)),
        lambda: o.tree(palette, rng.uniform(4, 10)),
        lambda: o.bush(palette, rng.uniform(0.4, 2)),
        lambda: o.rock(palette, rng.uniform(0.3, 3)),
        lambda: o.fence(palette, rng.uniform(3, 10)),
        lambda: o.bench(palette),
        lambda: o.person(palette, setting.person_m),
        lambda: f.carton(palette, rng.uniform(0.4, 2)),
        lambda: o.building(palette, rng.uniform(6, 12), rng.uniform(3, 7), rng.uniform(6, 14)),
        lambda: o.car(palette, rng.uniform(1.4, 2.4)),
    )
    for _ in range(int(rng.integers(12, 50))):
        far = float(np.exp(rng.uniform(np.log(5), np.log(90))))
        setting.scatter(makers[int(rng.integers(len(makers)))], (-far * 0.8, far * 0.8, far * 0.4, far), 1)
    if movers:
        for _ in range(int(rng.integers(2, 10))):
            x, z = rng.uniform(-6, 6), rng.uniform(4, 20)
            runner = o.person(palette, setting.person_m).at(x, z, rng.uniform(-np.pi, np.pi))
            setting.move(runner, rng.uniform(0.6, 3), circle=rng.random() < 0.6)
    drone = rng.random() < 0.2
    lifts = rng.uniform(6, 30, 16) if drone else rng.uniform(0.3, 2.5, 16)
    eyes = tuple(np.array([rng.uniform(-4, 4), -lift, rng.uniform(-3, 2)]) for lift in lifts)
    targets = tuple(np.array([rng.normal(0, 6), -rng.uniform(0, 3), rng.uniform(6, 40)]) for _ in range(12))
    light = daylight(palette, np.array([0, 0, 15.0]), 45.0)
    return Site(
        tuple(setting.things),
        light,
        eyes,
        targets,
        free_m=rng.uniform(1, 25),
        speed=(0.3, 6.0),
        fov_deg=(25.0, 95.0),
        near_m=0.8,
        motions=("walk", "drive", "truck", "pan", "orbit", "hand"),
    )


def yard(setting: Setting, movers: bool) -> Site:
    """A paved or planted yard with walls and many things, filmed at eye level or from above."""
    rng, palette = setting.rng, setting.palette
    _ground(setting, _GROUNDS)
    half = rng.uniform(5, 14)
    stone = palette.paint(("bricks", "planks", "plain", "facade", "tiles", "cloudy"))
    for yaw in rng.permutation([0.0, np.pi / 2, np.pi, -np.pi / 2])[: int(rng.integers(0, 4))]:
        spot = rotation(yaw) @ np.array([0, 0, -half - 0.2])
        wall = Thing(
            "wall", (block(Shape.BOX, 0, -0.2, 0, (half * 2, rng.uniform(1, 6), 0.3), stone),), role="wall"
        )
        setting.add(wall.at(spot[0], spot[2], yaw), solid=False)
    area = (-half + 0.7, half - 0.7, -half + 0.7, half - 0.7)
    makers = (
        lambda: f.carton(palette, rng.uniform(0.3, 1.6)),
        lambda: f.drum(palette, rng.uniform(0.3, 1.4)),
        lambda: f.ball(palette, rng.uniform(0.2, 1.2)),
        lambda: o.bush(palette, rng.uniform(0.4, 1.5)),
        lambda: o.tree(palette, rng.uniform(2, 6)),
        lambda: o.bench(palette),
        lambda: o.car(palette, rng.uniform(1.4, 2)),
        lambda: f.chair(palette),
        lambda: f.table(palette, 1.4, 0.8, 0.72),
        lambda: o.person(palette, setting.person_m),
        lambda: o.fence(palette, rng.uniform(1, 4)),
        lambda: o.street_lamp(palette),
    )
    for _ in range(int(rng.integers(8, 36))):
        setting.scatter(makers[int(rng.integers(len(makers)))], area, 1)
    if movers:
        _yard_movers(setting, half)
    lift = rng.uniform(3, 8) if rng.random() < 0.35 else rng.uniform(0.6, 1.9)
    eyes = tuple(np.array([*(rng.uniform(-0.9, 0.9, 2) * half), -lift])[[0, 2, 1]] for _ in range(20))
    targets = tuple(
        np.array([*(rng.uniform(-0.5, 0.5, 2) * half), -rng.uniform(0, 1.5)])[[0, 2, 1]] for _ in range(12)
    )
    light = daylight(palette, np.zeros(3), 16.0)
    return Site(
        tuple(setting.things),
        light,
        eyes,
        targets,
        free_m=rng.uniform(0.5, 4),
        speed=(0.2, 2.0),
        fov_deg=(30.0, 95.0),
    )


def _yard_movers(setting: Setting, half: float) -> None:
    rng, palette = setting.rng, setting.palette
    for _ in range(int(rng.integers(3, 12))):
        x, z = rng.uniform(-0.6, 0.6, 2) * half
        yaw = rng.uniform(-np.pi, np.pi)
        if rng.random() < 0.5:
            setting.move(
                o.person(palette, setting.person_m).at(x, z, yaw), rng.uniform(0.5, 2.0), circle=rng.random() < 0.6
            )
        else:
            size = rng.uniform(0.2, 0.9)
            ball = f.ball(palette, size).at(x, z, yaw)
            hop = Motion(
                rng.uniform(0.2, 1.5), 0.0, rng.uniform(0, 1.0), rng.uniform(0.4, 1.2), rng.uniform(-2, 2)
            )
            setting.add(replace(ball, motion=hop, tracked=True), solid=False)


def abstract(setting: Setting, movers: bool) -> Site:
    """Shapes of any size, turned anyhow, floating and standing, before walls or the sky: no rule to lean on."""
    rng, palette = setting.rng, setting.palette
    if rng.random() < 0.6:
        _ground(setting, _GROUNDS)
    for _ in range(int(rng.integers(0, 3))):
        wall = palette.paint(("bricks", "plain", "collage", "cloudy", "stripes", "marble", "tiles"))
        far, turn = rng.uniform(4, 12), rotation(*rng.normal(0, (0.6, 0.4, 0.3)))
        centre = turn @ np.array([0, 0, far])
        part = replace(block(Shape.BOX, 0, 0, 0, (40, 40, 0.4), wall, turn), centre=centre)
        setting.add(Thing("wall", (part,), casts=False, role="wall"), solid=False)
    for _ in range(int(rng.integers(10, 60))):
        _floating(setting, movers and rng.random() < 0.2)
    eyes = tuple(np.array([rng.normal(0, 0.8), -rng.uniform(0.3, 3.5), rng.uniform(-3, -1)]) for _ in range(16))
    targets = tuple(np.array([rng.normal(0, 1.2), -rng.uniform(0, 3.5), rng.uniform(2, 6)]) for _ in range(12))
    light = daylight(palette, np.array([0, -1.5, 4.0]), 9.0)
    return Site(
        tuple(setting.things),
        light,
        eyes,
        targets,
        free_m=rng.uniform(0.2, 1.5),
        speed=(0.1, 1.2),
        fov_deg=(30.0, 95.0),
    )


def _floating(setting: Setting, moving: bool) -> None:
    rng = setting.rng
    shape = Shape(int(rng.integers(4)))
    size = float(np.exp(rng.uniform(np.log(0.1), np.log(2.0)))) * rng.uniform(0.2, 1, 3)
    kinds = (
        "plain",
        "stripes",
        "checker",
        "spots",
        "marble",
        "cloudy",
        "collage",
        "wood",
        "bricks",
        "weave",
        "page",
    )
    material = setting.palette.paint(kinds, tile_m=float(rng.choice([0, size.max() * rng.uniform(0.2, 2)])))
    part = replace(block(shape, 0, 0, 0, tuple(size), material), turn=rotation(*rng.uniform(-3, 3, 3)))
    thing = Thing("shape", (part,), motion=_drift(setting) if moving else None, tracked=moving)
    place: Array = np.array([rng.normal(0, 2.2), rng.uniform(0, 3.5), rng.uniform(0.3, 8)])
    setting.add(thing.at(place[0], place[2], rng.uniform(-3, 3), place[1]), solid=False)


def _drift(setting: Setting) -> Motion:
    rng = setting.rng
    spin = rng.choice([0.0, rng.uniform(-1.5, 1.5)])
    return Motion(rng.uniform(0.05, 1), 0.0, rng.choice([0.0, 0.4]), rng.uniform(0.2, 1), spin)
