"""Things found indoors: each function draws one of random proportions, standing at the origin, facing +z.

Sizes are metres. This file does not know where they are put.
"""

import numpy as np

from vda.synth.cameras import rotation
from vda.synth.shapes import Shape
from vda.synth.things import Material, Palette, Part, Thing, beam, block

BOX, SPHERE, CYLINDER, CONE = Shape


def _timber(palette: Palette, gloss: float | None = None) -> Material:
    red = palette.rng.uniform(0.08, 0.6)
    tone = (red, red * palette.rng.uniform(0.55, 0.85), red * palette.rng.uniform(0.25, 0.7))
    colour = tone if palette.rng.random() < 0.6 else palette.colour()
    return palette.paint(("wood", "plain", "planks"), colour, palette.rng.uniform(0.4, 1.5), 0.4, gloss)


def _legs(palette: Palette, width: float, height: float, depth: float, thick: float) -> list[Part]:
    shape = BOX if palette.rng.random() < 0.6 else CYLINDER
    material = _timber(palette)
    x, z = width / 2 - thick, depth / 2 - thick
    return [block(shape, sx * x, 0, sz * z, (thick, height, thick), material) for sx in (-1, 1) for sz in (-1, 1)]


def table(palette: Palette, width: float, depth: float, height: float) -> Thing:
    """A top on legs or on a foot; round in one case out of five."""
    rng, thick = palette.rng, palette.rng.uniform(0.02, 0.06)
    top = _timber(palette)
    shape = CYLINDER if rng.random() < 0.2 else BOX
    parts = [block(shape, 0, height - thick, 0, (width, thick, depth), top)]
    if shape is CYLINDER:
        parts.append(block(CYLINDER, 0, 0, 0, (0.12, height - thick, 0.12), _timber(palette)))
        parts.append(block(CYLINDER, 0, 0, 0, (width * 0.5, 0.04, depth * 0.5), _timber(palette)))
    else:
        parts += _legs(palette, width, height - thick, depth, rng.uniform(0.04, 0.11))
    return Thing("table", tuple(parts))


def chair(palette: Palette) -> Thing:
    rng = palette.rng
    width, seat, back = rng.uniform(0.38, 0.5), rng.uniform(0.42, 0.5), rng.uniform(0.35, 0.6)
    frame = _timber(palette)
    cushion = palette.paint(("plain", "weave", "stripes", "cloudy"), tile_m=0.4)
    parts = [block(BOX, 0, seat, 0, (width, 0.05, width), cushion), *_legs(palette, width, seat, width, 0.045)]
    post = width / 2 - 0.025
    parts += [block(BOX, side * post, seat, -post, (0.045, back, 0.04), frame) for side in (-1, 1)]
    slats = int(rng.integers(1, 5))
    for index in range(slats):
        high = back * (index + 0.5) / slats
        size = (width, min(0.8 * back / slats, rng.uniform(0.05, 0.3)), 0.025)
        parts.append(block(BOX, 0, seat + high, -post, size, frame))
    return Thing("chair", tuple(parts))


def cabinet(palette: Palette, width: float, height: float, depth: float) -> Thing:
    """A body with doors or drawers on its front, each with a handle, and sometimes a top plate and a plinth."""
    rng = palette.rng
    body, door = palette.paint(gloss=None), palette.paint(("plain", "panels", "wood"), tile_m=0)
    metal = palette.paint(colour=(0.5, 0.5, 0.52), gloss=0.8)
    parts = [block(BOX, 0, 0, 0, (width, height, depth), body)]
    columns, rows = max(1, round(width / rng.uniform(0.4, 0.7))), int(rng.choice([1, 1, 2, 3]))
    wide, high = width / columns, (height - 0.1) / rows
    for column in range(columns):
        for row in range(rows):
            x, base = (column + 0.5) * wide - width / 2, 0.1 + row * high
            parts.append(block(BOX, x, base + 0.01, depth / 2, (wide - 0.012, high - 0.012, 0.02), door))
            size = (wide * 0.4, 0.012, 0.03) if rows > 1 else (0.012, 0.14, 0.03)
            shift = 0 if rows > 1 else wide * 0.4 * (-1) ** column
            parts.append(block(BOX, x + shift, base + high * 0.8, depth / 2 + 0.02, size, metal))
    if height < 1.2 and rng.random() < 0.8:
        top = palette.paint(("plain", "marble", "speckle", "wood"), tile_m=0.6)
        parts.append(block(BOX, 0, height, 0.02, (width + 0.01, 0.04, depth + 0.05), top))
    return Thing("cabinet", tuple(parts))


def shelf(palette: Palette, width: float, height: float, depth: float) -> Thing:
    """Boards between two sides, with books and boxes on them."""
    rng, wood = palette.rng, _timber(palette)
    boards = int(rng.integers(2, 6))
    parts = [block(BOX, s * (width / 2 - 0.012), 0, 0, (0.025, height, depth), wood) for s in (-1, 1)]
    parts.append(block(BOX, 0, 0, -depth / 2, (width, height, 0.012), wood))
    gap = (height - 0.03) / boards
    for board in range(boards + 1):
        parts.append(block(BOX, 0, board * gap, 0, (width, 0.025, depth), wood))
        x = -width / 2 + 0.03
        while board < boards and x < width / 2 - 0.1:
            size = (rng.uniform(0.06, min(0.45, width / 2 - x - 0.03)), gap * rng.uniform(0.3, 0.85), depth * 0.7)
            if rng.random() < 0.75:
                kinds = ("spines",) if rng.random() < 0.6 else ("plain", "collage", "panels")
                parts.append(
                    block(BOX, x + size[0] / 2, board * gap + 0.025, 0.02, size, palette.paint(kinds, tile_m=0))
                )
            x += size[0] + 0.02
    return Thing("shelf", tuple(parts))


def sofa(palette: Palette) -> Thing:
    rng = palette.rng
    width, depth = rng.uniform(0.8, 2.2), rng.uniform(0.75, 0.95)
    cloth = palette.paint(("weave", "plain", "stripes", "cloudy"), tile_m=0.5)
    seat, arm, back = rng.uniform(0.35, 0.45), rng.uniform(0.5, 0.65), rng.uniform(0.7, 0.95)
    parts = [block(BOX, 0, 0.05, 0, (width, seat - 0.05, depth), cloth)]
    parts += [block(BOX, s * width / 2, 0.05, 0, (0.16, arm, depth), cloth) for s in (-1, 1)]
    parts.append(block(BOX, 0, 0.05, -depth / 2, (width, back, 0.2), cloth))
    for _ in range(int(rng.integers(0, 4))):
        x = rng.uniform(-0.4, 0.4) * width
        pillow = palette.paint(("plain", "stripes", "checker", "spots"), tile_m=0)
        parts.append(
            block(BOX, x, seat, -depth * 0.2, (0.4, 0.36, 0.12), pillow, rotation(0, rng.uniform(0.1, 0.4)))
        )
    return Thing("sofa", tuple(parts))


def bed(palette: Palette) -> Thing:
    rng = palette.rng
    width, length = rng.uniform(0.9, 1.8), 2.0
    cloth = palette.paint(("plain", "stripes", "spots", "checker", "weave"), tile_m=rng.uniform(0.3, 1.5))
    parts = [block(BOX, 0, 0.1, 0, (width, 0.25, length), _timber(palette))]
    parts.append(block(BOX, 0, 0.35, 0.05, (width * 0.97, 0.18, length * 0.95), cloth))
    parts.append(block(BOX, 0, 0, -length / 2, (width, rng.uniform(0.6, 1.1), 0.06), _timber(palette)))
    parts.append(block(SPHERE, 0, 0.48, -length * 0.35, (width * 0.7, 0.16, 0.4), palette.paint(tile_m=0.5)))
    return Thing("bed", tuple(parts))


def floor_lamp(palette: Palette) -> Thing:
    height = palette.rng.uniform(1.2, 1.8)
    metal = palette.paint(gloss=0.6)
    shade = palette.paint(colour=(0.9, 0.8, 0.6), emission=palette.rng.uniform(0.2, 1.2))
    cap = CONE if palette.rng.random() < 0.5 else CYLINDER
    parts = [
        block(CYLINDER, 0, 0, 0, (0.3, 0.03, 0.3), metal),
        block(CYLINDER, 0, 0, 0, (0.03, height, 0.03), metal),
        block(cap, 0, height - 0.15, 0, (0.4, 0.3, 0.4), shade),
    ]
    return Thing("lamp", tuple(parts))


def plant(palette: Palette) -> Thing:
    rng, pot = palette.rng, palette.rng.uniform(0.15, 0.35)
    leaf = palette.paint(("leaves", "plain"), (0.08, rng.uniform(0.2, 0.4), 0.06), 0.3)
    parts = [block(CYLINDER, 0, 0, 0, (pot, pot, pot), palette.paint(("plain", "stripes"), tile_m=0.2))]
    for _ in range(int(rng.integers(6, 16))):
        angle, lean, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.0), rng.uniform(0.3, 1.0) * pot * 4
        turn = rotation(angle, lean)
        centre = np.array([0, -pot, 0]) + turn @ np.array([0, -length / 2, 0])
        half = np.array([rng.uniform(0.02, 0.06), length / 2, 0.008]) * (0.5 + pot * 2)
        half[1] = length / 2
        parts.append(Part(SPHERE, centre, half, leaf, turn))
    return Thing("plant", tuple(parts))


def carton(palette: Palette, size: float) -> Thing:
    width, height, depth = size * palette.rng.uniform(0.5, 1.5, 3)
    kinds = ("collage", "plain", "stripes", "wood", "speckle", "page", "panels")
    return Thing("box", (block(BOX, 0, 0, 0, (width, height, depth), palette.paint(kinds, tile_m=0)),))


def ball(palette: Palette, diameter: float) -> Thing:
    kinds = ("plain", "stripes", "checker", "spots", "marble", "cloudy", "collage")
    material = palette.paint(kinds, tile_m=diameter * palette.rng.uniform(0.3, 2))
    return Thing("ball", (block(SPHERE, 0, 0, 0, (diameter, diameter, diameter), material),))


def drum(palette: Palette, size: float) -> Thing:
    """A can, tin, bin or barrel; a cone in one case out of four."""
    rng = palette.rng
    width, height = size * rng.uniform(0.4, 1.0), size * rng.uniform(0.5, 1.6)
    shape = CONE if rng.random() < 0.25 else CYLINDER
    material = palette.paint(("plain", "stripes", "collage", "spots", "wood"), tile_m=size * rng.uniform(0.5, 2))
    return Thing("cone" if shape is CONE else "drum", (block(shape, 0, 0, 0, (width, height, width), material),))


def bottle(palette: Palette) -> Thing:
    width, height = palette.rng.uniform(0.05, 0.1), palette.rng.uniform(0.15, 0.25)
    glass = palette.paint(gloss=0.8)
    parts = [
        block(CYLINDER, 0, 0, 0, (width, height, width), glass),
        block(SPHERE, 0, height - width / 2, 0, (width, width, width), glass),
        block(CYLINDER, 0, height, 0, (width * 0.35, height * 0.45, width * 0.35), glass),
        block(
            CYLINDER,
            0,
            height * 0.2,
            0,
            (width * 1.03, height * 0.5, width * 1.03),
            palette.paint(("collage",), tile_m=0),
        ),
    ]
    return Thing("bottle", tuple(parts))


def cup(palette: Palette) -> Thing:
    width, height = palette.rng.uniform(0.07, 0.1), palette.rng.uniform(0.07, 0.12)
    glaze = palette.paint(("plain", "plain", "stripes", "spots"), tile_m=0.1, gloss=0.5)
    dark = palette.paint(colour=(0.05, 0.03, 0.02), gloss=0.3)
    parts = [
        block(CYLINDER, 0, 0, 0, (width, height, width), glaze),
        block(CYLINDER, 0, height, 0, (width * 0.85, 0.002, width * 0.85), dark),
        block(BOX, width * 0.6, height * 0.25, 0, (width * 0.4, height * 0.5, 0.012), glaze),
    ]
    return Thing("cup", tuple(parts))


def bowl(palette: Palette) -> Thing:
    """A dish with fruit on it."""
    rng, width = palette.rng, palette.rng.uniform(0.15, 0.35)
    parts = [block(CYLINDER, 0, 0, 0, (width, rng.uniform(0.02, 0.08), width), palette.paint(("plain", "wood")))]
    for _ in range(int(rng.integers(1, 7))):
        size, (x, z) = rng.uniform(0.06, 0.1), rng.uniform(-0.3, 0.3, 2) * width
        parts.append(block(SPHERE, x, 0.05, z, (size, size, size), palette.paint(("plain", "cloudy"), tile_m=0.2)))
    return Thing("bowl", tuple(parts))


def books(palette: Palette) -> Thing:
    """A pile of books, magazines or sheets, each turned a little."""
    rng, base, parts = palette.rng, 0.0, []
    for _ in range(int(rng.integers(1, 7))):
        thick = rng.choice([0.003, 0.02, 0.04])
        cover = palette.paint(("collage", "page", "plain"), tile_m=0, gloss=rng.uniform(0, 0.4))
        size = (rng.uniform(0.14, 0.24), thick, rng.uniform(0.2, 0.32))
        x, z = rng.normal(0, 0.02, 2)
        parts.append(block(BOX, x, base, z, size, cover, rotation(rng.normal(0, 0.4))))
        base += thick
    return Thing("books", tuple(parts))


def monitor(palette: Palette) -> Thing:
    rng = palette.rng
    width = rng.uniform(0.4, 0.75)
    height, foot = width * 0.58, rng.uniform(0.06, 0.15)
    case = palette.paint(colour=(0.03, 0.03, 0.035), gloss=0.3)
    screen = palette.paint(("collage", "page", "plain"), tile_m=0, emission=rng.choice([0.0, 0.5, 0.9]), gloss=0.4)
    parts = [
        block(BOX, 0, 0, 0, (width * 0.4, 0.015, 0.18), case),
        block(BOX, 0, 0, -0.03, (0.06, foot + 0.1, 0.03), case),
        block(BOX, 0, foot, 0, (width, height, 0.035), case),
        block(BOX, 0, foot + 0.015, 0.018, (width - 0.03, height - 0.03, 0.003), screen),
    ]
    return Thing("monitor", tuple(parts))


def keyboard(palette: Palette) -> Thing:
    keys = palette.paint(("keys",), tile_m=0)
    return Thing("keyboard", (block(BOX, 0, 0, 0, (0.44, 0.02, 0.14), keys),))


def desk_lamp(palette: Palette) -> Thing:
    metal = palette.paint(gloss=0.6)
    parts = [
        block(CYLINDER, 0, 0, 0, (0.16, 0.02, 0.16), metal),
        beam((0, 0, 0), (0, 0.3, -0.12), 0.015, metal, CYLINDER),
        beam((0, 0.3, -0.12), (0, 0.45, 0.12), 0.015, metal, CYLINDER),
        block(CONE, 0, 0.36, 0.14, (0.14, 0.12, 0.14), palette.paint(emission=0.3)),
    ]
    return Thing("desk lamp", tuple(parts))


def picture(palette: Palette, width: float, height: float) -> Thing:
    """Hangs on a wall behind it: its origin is the middle of its lower edge."""
    frame, image = _timber(palette), palette.paint(("collage", "cloudy", "page", "marble", "spots"), tile_m=0)
    parts = (
        block(BOX, 0, 0, 0.01, (width, height, 0.03), frame),
        block(BOX, 0, 0.03, 0.02, (width - 0.06, height - 0.06, 0.03), image),
    )
    return Thing("picture", parts, casts=False)


def door(palette: Palette) -> Thing:
    width, height = palette.rng.uniform(0.75, 1.0), palette.rng.uniform(1.95, 2.15)
    metal = palette.paint(colour=(0.6, 0.6, 0.6), gloss=0.8)
    parts = (
        block(BOX, 0, 0, 0.0, (width + 0.14, height + 0.07, 0.05), palette.paint()),
        block(BOX, 0, 0, 0.02, (width, height, 0.05), palette.paint(("panels", "plain", "wood"), tile_m=0)),
        block(BOX, width * 0.42, 1.0, 0.06, (0.03, 0.03, 0.08), metal),
    )
    return Thing("door", parts, casts=False)


def window(palette: Palette) -> Thing:
    """A bright pane in a frame, with curtains beside it in half the cases."""
    rng, width, height = palette.rng, palette.rng.uniform(0.7, 2.0), palette.rng.uniform(0.8, 1.5)
    frame = palette.paint(colour=(0.8, 0.8, 0.78))
    light = palette.paint(("cloudy", "plain", "leaves"), (0.6, 0.75, 0.9), 0, emission=rng.uniform(0.5, 2.0))
    parts = [block(BOX, 0, 0, 0, (width + 0.1, height + 0.1, 0.04), frame)]
    parts.append(block(BOX, 0, 0.05, 0.01, (width, height, 0.03), light))
    parts += [block(BOX, x * width / 4, 0.05, 0.02, (0.04, height, 0.03), frame) for x in (-1, 0, 1)]
    if rng.random() < 0.5:
        cloth = palette.paint(("plain", "stripes", "weave"), tile_m=0.5)
        for side in (-1, 1):
            for fold in range(4):
                x = side * (width / 2 + 0.05 + 0.07 * fold)
                parts.append(block(CYLINDER, x, -0.4, 0.08, (0.09, height + 0.55, 0.07), cloth))
    return Thing("window", tuple(parts), casts=False)
