"""Styles with walls and a ceiling: rooms, table tops, corridors and halls."""

import numpy as np

from vda.synth import furniture as f
from vda.synth import outdoors as o
from vda.synth.cameras import rotation
from vda.synth.setting import Setting, Site, lamplight
from vda.synth.shapes import Shape
from vda.synth.things import Array, Thing, block

_FLOORS = ("planks", "tiles", "carpet", "wood", "weave", "marble", "speckle", "checker", "cloudy", "stripes")
# Three times plain, as most walls are.
_WALLS = ("plain", "plain", "plain", "cloudy", "stripes", "bricks", "tiles", "planks", "spots", "weave")


def _shell(setting: Setting, width: float, depth: float, height: float) -> tuple[Array, Array]:
    """Floor, ceiling, four walls and their skirting; returns the room's low and high corners."""
    rng, palette = setting.rng, setting.palette
    floor = palette.paint(_FLOORS, tile_m=float(np.exp(rng.uniform(np.log(0.4), np.log(2.5)))))
    ceiling = palette.paint(("plain", "tiles"), palette.colour(0.4, 0.9, 0.2), 1.2, 0.1)
    wall = palette.paint(_WALLS, palette.colour(0.2, 0.9), contrast=0.3)
    setting.slab((0, -0.2, 0), (width + 1, 0.2, depth + 1), floor, "ground")
    setting.slab((0, height, 0), (width + 1, 0.2, depth + 1), ceiling, "wall")
    skirting = palette.paint(colour=palette.colour(0.05, 0.8, 0.2))
    for yaw, across, away in _sides(width, depth):
        material = wall if rng.random() < 0.8 else palette.paint(_WALLS)
        spot = rotation(yaw) @ np.array([0, 0, -away])
        parts = [block(Shape.BOX, 0, -0.05, -0.1, (across + 0.4, height + 0.1, 0.2), material)]
        parts.append(block(Shape.BOX, 0, 0, 0.005, (across, 0.09, 0.015), skirting))
        setting.add(Thing("wall", tuple(parts), casts=False, role="wall").at(spot[0], spot[2], yaw), solid=False)
    return np.array([-width / 2, -height, -depth / 2]), np.array([width / 2, 0, depth / 2])


def _sides(width: float, depth: float) -> list[tuple[float, float, float]]:
    """Each wall as the yaw in which its furniture faces, its length, and its distance from the middle."""
    return [
        (0.0, width, depth / 2),
        (np.pi, width, depth / 2),
        (np.pi / 2, depth, width / 2),
        (-np.pi / 2, depth, width / 2),
    ]


def _furnish(setting: Setting, width: float, depth: float, height: float, density: float) -> None:
    """Fill the walls from one corner to the other; kitchens get runs of like cabinets."""
    rng = setting.rng
    kitchen = rng.random() < 0.4
    low = f.cabinet(setting.palette, 0.6, 0.86, 0.6)
    for yaw, across, away in _sides(width, depth):
        along = -across / 2 + 0.65
        run = kitchen and rng.random() < 0.6
        while along < across / 2 - 0.7:
            thing = low if run and rng.random() < 0.9 else _wall_piece(setting, height)
            corner_low, corner_high = thing.low_high
            wide, deep = corner_high[0] - corner_low[0], corner_high[2] - corner_low[2]
            if along + wide > across / 2 - 0.6:
                break
            if rng.random() < density or run:
                _against(setting, thing, yaw, along + wide / 2, away - deep / 2 - 0.03)
            _above(setting, thing, yaw, along + wide / 2, away, height, run)
            along += wide + (0.0 if run else rng.uniform(0.03, 0.8))


def _wall_piece(setting: Setting, height: float) -> Thing:
    rng, palette = setting.rng, setting.palette
    choice = rng.integers(9)
    if choice == 0:
        return f.cabinet(palette, rng.uniform(0.5, 1.2), rng.uniform(1.6, min(2.3, height - 0.05)), 0.55)
    if choice in (1, 2):
        return f.shelf(palette, rng.uniform(0.5, 1.4), rng.uniform(0.8, min(2.2, height - 0.05)), 0.3)
    if choice == 3:
        return f.sofa(palette)
    if choice == 4:
        return f.table(palette, rng.uniform(0.9, 1.7), 0.7, rng.uniform(0.7, 0.78))
    if choice == 5:
        return f.plant(palette)
    if choice == 6:
        return f.carton(palette, rng.uniform(0.3, 0.7))
    return f.cabinet(palette, rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.1), rng.uniform(0.35, 0.6))


def _against(setting: Setting, thing: Thing, yaw: float, along: float, away: float) -> Thing:
    """Stand a thing with its back to the wall, and things on it if it is low."""
    spot = rotation(yaw) @ np.array([along, 0, -away])
    placed = setting.add(thing.at(spot[0], spot[2], yaw))
    if thing.name in ("table", "cabinet") and thing.height < 1.3:
        low, high = thing.low_high
        setting.dress(placed, high[0] - low[0], high[2] - low[2] - 0.1, int(setting.rng.integers(0, 6)))
    return placed


def _above(
    setting: Setting, thing: Thing, yaw: float, along: float, away: float, height: float, run: bool
) -> None:
    """What hangs on the wall over a piece of furniture."""
    rng, palette = setting.rng, setting.palette
    if thing.height > 1.3 or rng.random() < 0.35:
        return
    if run and rng.random() < 0.5:
        hung, base = f.cabinet(palette, 0.6, 0.7, 0.35), 1.45
        away -= 0.19
    elif rng.random() < 0.3:
        hung, base = f.window(palette), rng.uniform(0.9, 1.1)
    else:
        size = rng.uniform(0.25, 0.9, 2)
        hung, base = f.picture(palette, *size), rng.uniform(1.2, max(1.25, height - size[1] - 0.2))
    if base + hung.height < height:
        spot = rotation(yaw) @ np.array([along, 0, -(away - 0.01)])
        setting.add(hung.at(spot[0], spot[2], yaw, base), solid=False)


def _table_with_chairs(setting: Setting, x: float, z: float) -> Thing:
    rng, palette = setting.rng, setting.palette
    width, depth = rng.uniform(0.8, 2.0), rng.uniform(0.6, 1.0)
    table = setting.add(
        f.table(palette, width, depth, rng.uniform(0.4, 0.78)).at(x, z, rng.uniform(-np.pi, np.pi))
    )
    setting.dress(table, width, depth, int(rng.integers(2, 14)))
    chair = f.chair(palette)
    for side in (-1, 1):
        for along in np.arange(-width / 2 + 0.35, width / 2 - 0.2, 0.6):
            if rng.random() < 0.6:
                out = depth / 2 + rng.uniform(0.05, 0.5)
                spot = table.place + rotation(table.yaw) @ np.array([along, 0, side * out])
                turn = table.yaw + (np.pi if side > 0 else 0) + rng.normal(0, 0.25)
                setting.add(chair.at(spot[0], spot[2], turn))
    return table


def _movers(setting: Setting, width: float, depth: float, height: float) -> None:
    """People, rolling balls and balloons; those that would run into something are left out later."""
    rng = setting.rng
    for _ in range(int(rng.integers(4, 12))):
        x, z, yaw = rng.uniform(-0.4, 0.4) * width, rng.uniform(-0.4, 0.4) * depth, rng.uniform(-np.pi, np.pi)
        if rng.random() < 0.5:
            walker = o.person(setting.palette, setting.person_m).at(x, z, yaw)
            setting.move(walker, rng.uniform(0.3, 1.2), rng.random() < 0.7)
        else:
            size = rng.uniform(0.12, 0.6)
            lift = float(rng.choice([0.0, rng.uniform(0.5, height - 1)]))
            toy = f.ball(setting.palette, size) if rng.random() < 0.6 else f.carton(setting.palette, size)
            setting.move(toy.at(x, z, yaw, lift), rng.uniform(0.1, 0.8), rng.random() < 0.7)


def _eyes(setting: Setting, width: float, depth: float, low: float, high: float) -> tuple[Array, ...]:
    """Places to stand, with their heads between two heights."""
    rng, eyes = setting.rng, []
    for _ in range(24):
        x, z = rng.uniform(-0.5, 0.5) * (width - 0.8), rng.uniform(-0.5, 0.5) * (depth - 0.8)
        eyes.append(np.array([x, -rng.uniform(low, high), z]))
    return tuple(eyes)


def _targets(setting: Setting) -> tuple[Array, ...]:
    """The middles of things: what somebody would film."""
    return tuple(
        thing.place - np.array([0, thing.height * setting.rng.uniform(0, 1), 0])
        for thing in setting.things
        if thing.role == "thing"
    )


def room(setting: Setting, movers: bool) -> Site:
    """A furnished room: kitchen, office, living or bedroom."""
    rng = setting.rng
    width, depth, height = rng.uniform(2.6, 6.5), rng.uniform(2.8, 7.5), rng.uniform(2.25, 3.1)
    low, high = _shell(setting, width, depth, height)
    _furnish(setting, width, depth, height, rng.uniform(0.4, 0.95))
    area = (low[0] + 1.2, high[0] - 1.2, low[2] + 1.2, high[2] - 1.2)
    if rng.random() < 0.75:
        _table_with_chairs(setting, rng.uniform(-0.15, 0.15) * width, rng.uniform(-0.15, 0.15) * depth)
    clutter = (
        lambda: f.carton(setting.palette, rng.uniform(0.15, 0.5)),
        lambda: f.ball(setting.palette, rng.uniform(0.1, 0.5)),
        lambda: f.drum(setting.palette, rng.uniform(0.15, 0.6)),
        lambda: f.floor_lamp(setting.palette),
        lambda: f.chair(setting.palette),
        lambda: f.bed(setting.palette),
        lambda: f.plant(setting.palette),
    )
    for _ in range(int(rng.integers(1, 9))):
        setting.scatter(clutter[int(rng.integers(len(clutter)))], area, 1)
    if rng.random() < 0.4:
        rug = setting.palette.paint(("stripes", "weave", "spots", "carpet", "checker"), tile_m=0)
        size = (rng.uniform(1, 2.5), 0.01, rng.uniform(0.8, 1.8))
        setting.slab((rng.uniform(-0.5, 0.5), 0, rng.uniform(-0.5, 0.5)), size, rug, "ground")
    if movers:
        _movers(setting, width, depth, height)
    return Site(
        tuple(setting.things),
        lamplight(setting.palette, low, high),
        _eyes(setting, width, depth, 0.9, 1.8),
        _targets(setting),
        free_m=rng.uniform(0.2, 0.9),
        speed=(0.1, 0.9),
        fov_deg=(45.0, 90.0),
    )


def table(setting: Setting, movers: bool) -> Site:
    """A table top and the chairs around it, filmed from close by, the room behind them."""
    rng = setting.rng
    width, depth, height = rng.uniform(2.6, 6.0), rng.uniform(2.6, 6.0), rng.uniform(2.3, 3.0)
    low, high = _shell(setting, width, depth, height)
    _furnish(setting, width, depth, height, rng.uniform(0.3, 0.9))
    desk = _table_with_chairs(setting, rng.uniform(-0.1, 0.1) * width, rng.uniform(-0.1, 0.1) * depth)
    top = desk.place - np.array([0, desk.height, 0])
    if movers:
        for _ in range(int(rng.integers(2, 7))):
            toy = f.ball(setting.palette, rng.uniform(0.06, 0.15)).at(
                top[0] + rng.uniform(-0.3, 0.3), top[2] + rng.uniform(-0.3, 0.3), 0.0, desk.height
            )
            setting.move(toy, rng.uniform(0.02, 0.2), circle=True, radius_m=0.15)
    eyes = []
    for _ in range(24):
        angle, away, lift = rng.uniform(-np.pi, np.pi), rng.uniform(0.3, 1.5), rng.uniform(0.12, 1.0)
        eyes.append(top + np.array([np.sin(angle) * away, -lift, np.cos(angle) * away]))
    return Site(
        tuple(setting.things),
        lamplight(setting.palette, low, high),
        tuple(eyes),
        tuple(top + np.array([*(rng.normal(0, 0.25, 2)), 0])[[0, 2, 1]] for _ in range(12)),
        free_m=rng.uniform(0.05, 0.4),
        speed=(0.05, 0.5),
        fov_deg=(35.0, 85.0),
        near_m=0.18,
        motions=("orbit", "hand", "truck", "walk", "hand"),
    )


def corridor(setting: Setting, movers: bool) -> Site:
    """A long, narrow room with doors, pictures and things along its sides."""
    rng = setting.rng
    width, depth, height = rng.uniform(1.6, 3.2), rng.uniform(8, 30), rng.uniform(2.2, 3.2)
    low, high = _shell(setting, width, depth, height)
    for yaw in (np.pi / 2, -np.pi / 2):
        along = -depth / 2 + 1
        while along < depth / 2 - 1:
            hung, base = (
                (f.door(setting.palette), 0.0)
                if rng.random() < 0.5
                else (f.picture(setting.palette, 0.7, 0.5), 1.3)
            )
            if rng.random() < 0.25:
                _against(setting, _wall_piece(setting, height), yaw, along, width / 2 - 0.3)
            else:
                spot = rotation(yaw) @ np.array([along, 0, -(width / 2 - 0.02)])
                setting.add(hung.at(spot[0], spot[2], yaw, base), solid=False)
            along += rng.uniform(1.2, 3)
    if movers:
        _movers(setting, width * 0.6, depth, height)
    eyes = tuple(
        np.array([rng.uniform(-0.25, 0.25) * width, -rng.uniform(0.8, 1.8), rng.uniform(-0.45, 0.1) * depth])
        for _ in range(16)
    )
    ends = tuple(
        np.array([rng.uniform(-1, 1), -rng.uniform(0.0, 1.8), depth / 2 * rng.uniform(0.2, 1)]) for _ in range(12)
    )
    light = lamplight(setting.palette, low, high)
    return Site(
        tuple(setting.things),
        light,
        eyes,
        ends,
        free_m=depth * 0.25,
        speed=(0.3, 1.6),
        motions=("walk", "walk", "hand", "pan"),
    )


def hall(setting: Setting, movers: bool) -> Site:
    """A large hall: pillars, stacks of boxes, racks, people."""
    rng, palette = setting.rng, setting.palette
    width, depth, height = rng.uniform(9, 22), rng.uniform(12, 40), rng.uniform(3.5, 8)
    low, high = _shell(setting, width, depth, height)
    area = (low[0] + 1, high[0] - 1, low[2] + 1, high[2] - 1)
    pillar = palette.paint(("plain", "bricks", "tiles", "stripes"))
    side = rng.uniform(0.3, 0.8)
    shape = Shape.BOX if rng.random() < 0.5 else Shape.CYLINDER
    setting.scatter(
        lambda: Thing("pillar", (block(shape, 0, 0, 0, (side, height, side), pillar),)),
        area,
        int(rng.integers(0, 9)),
    )
    makers = (
        lambda: f.carton(palette, rng.uniform(0.5, 2.0)),
        lambda: f.drum(palette, rng.uniform(0.5, 1.5)),
        lambda: f.shelf(palette, rng.uniform(1.5, 3.0), rng.uniform(1.5, 3.0), 0.8),
        lambda: f.table(palette, 1.6, 0.8, 0.75),
        lambda: o.person(palette, setting.person_m),
        lambda: o.bench(palette),
    )
    for _ in range(int(rng.integers(8, 30))):
        setting.scatter(makers[int(rng.integers(len(makers)))], area, 1)
    if movers:
        _movers(setting, width, depth, height)
    return Site(
        tuple(setting.things),
        lamplight(palette, low, high),
        _eyes(setting, width, depth, 1.0, rng.choice([2.0, height - 0.5])),
        _targets(setting),
        free_m=rng.uniform(0.5, 4),
        speed=(0.2, 1.6),
        fov_deg=(35.0, 95.0),
    )
