"""Things found outdoors, and people: each function draws one, standing at the origin, facing +z. Metres."""

import numpy as np

from vda.synth.cameras import rotation
from vda.synth.shapes import Shape
from vda.synth.things import Colour, Palette, Part, Thing, beam, block

BOX, SPHERE, CYLINDER, CONE = Shape


def person(palette: Palette, height: float) -> Thing:
    """Legs in mid-step, trunk, arms and head."""
    rng, h = palette.rng, height / 1.75
    skin = palette.paint(
        colour=(rng.uniform(0.15, 0.6), rng.uniform(0.1, 0.35), rng.uniform(0.06, 0.25)), gloss=0.1
    )
    shirt = palette.paint(("plain", "stripes", "weave", "checker", "collage"), tile_m=rng.uniform(0.2, 0.6))
    trousers, hair = palette.paint(), palette.paint(colour=palette.colour(0.01, 0.3, 0.4))
    stride, swing = rng.uniform(0.02, 0.25) * h, rng.uniform(0.0, 0.25) * h
    parts = [
        beam((s * 0.09 * h, 0.04 * h, s * stride), (s * 0.08 * h, 0.85 * h, 0), 0.15 * h, trousers, CYLINDER)
        for s in (-1, 1)
    ]
    parts += [block(BOX, s * 0.09 * h, 0, s * stride + 0.04, (0.1 * h, 0.07 * h, 0.26 * h), hair) for s in (-1, 1)]
    parts.append(block(SPHERE, 0, 0.75 * h, 0, (0.42 * h, 0.75 * h, 0.27 * h), shirt))
    for side in (-1, 1):
        hand = (side * 0.26 * h, 0.8 * h, -side * swing)
        parts.append(beam((side * 0.2 * h, 1.38 * h, 0), hand, 0.09 * h, shirt, CYLINDER))
        parts.append(block(SPHERE, hand[0], hand[1] - 0.06 * h, hand[2], (0.09 * h, 0.12 * h, 0.09 * h), skin))
    parts.append(block(CYLINDER, 0, 1.4 * h, 0, (0.11 * h, 0.15 * h, 0.11 * h), skin))
    parts.append(block(SPHERE, 0, 1.5 * h, 0.01, (0.17 * h, 0.24 * h, 0.2 * h), skin))
    parts.append(block(SPHERE, 0, 1.57 * h, -0.02, (0.185 * h, 0.18 * h, 0.2 * h), hair))
    return Thing("person", tuple(parts))


def car(palette: Palette, height: float) -> Thing:
    """Body, cabin with windows, wheels and lights; the higher, the more of a van."""
    rng = palette.rng
    length, width = rng.uniform(3.6, 5.0), rng.uniform(1.65, 1.95)
    paint = palette.paint(("plain",), palette.colour(0.03, 0.8, 1.0), gloss=0.7)
    glass, rubber = (palette.paint(colour=(0.02, 0.025, 0.03), gloss=g) for g in (0.9, 0.0))
    sill, waist = 0.28, height * rng.uniform(0.5, 0.62)
    cabin = length * rng.uniform(0.45, 0.75)
    back = -length / 2 + cabin / 2 + rng.uniform(0.1, 0.6)
    parts = [
        block(BOX, 0, sill, 0, (width, waist - sill, length), paint),
        block(BOX, 0, waist, back, (width * 0.86, height - waist, cabin), paint),
        block(BOX, 0, waist + 0.05, back, (width * 0.88, (height - waist) * 0.7, cabin * 0.85), glass),
        block(BOX, 0, waist + 0.05, back, (width * 0.78, (height - waist) * 0.7, cabin * 1.02), glass),
    ]
    wheel = 0.64
    axle = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for x in (-1, 1):
        for z in (-0.31, 0.31):
            centre = np.array([x * (width / 2 - 0.09), -wheel / 2, z * length])
            parts.append(Part(CYLINDER, centre, np.array([wheel / 2, 0.11, wheel / 2]), rubber, axle))
        for z, colour in ((1, (0.9, 0.9, 0.8)), (-1, (0.6, 0.02, 0.02))):
            lamp = palette.paint(colour=colour, emission=0.3)
            parts.append(block(BOX, x * width * 0.36, sill + 0.3, z * length / 2, (0.3, 0.14, 0.04), lamp))
    return Thing("car", tuple(parts))


def _green(palette: Palette) -> Colour:
    rng = palette.rng
    green = rng.uniform(0.08, 0.35)
    return float(green * rng.uniform(0.3, 1.3)), float(green), float(green * rng.uniform(0.1, 0.5))


def tree(palette: Palette, height: float) -> Thing:
    """A conifer of stacked cones in one case out of three, otherwise a crown of many leafy blobs."""
    rng = palette.rng
    trunk = height * rng.uniform(0.15, 0.4)
    bark = palette.paint(("wood", "cloudy"), (0.15, 0.1, 0.06), 0.8)
    leaf = palette.paint(("leaves", "grass"), _green(palette), rng.uniform(0.6, 2.5), 0.8, 0.0)
    parts = [block(CYLINDER, 0, 0, 0, (height * 0.05, trunk * 1.4, height * 0.05), bark)]
    if rng.random() < 0.33:
        layers = int(rng.integers(2, 6))
        for index in range(layers):
            wide = height * rng.uniform(0.4, 0.55) * (1 - index / (layers + 1))
            base = trunk * 0.5 + (height - trunk) * index / (layers + 0.5)
            parts.append(block(CONE, 0, base, 0, (wide, (height - base) * 0.7, wide), leaf))
        return Thing("tree", tuple(parts))
    crown = height - trunk
    for _ in range(int(rng.integers(4, 12))):
        size = crown * rng.uniform(0.3, 0.7, 3)
        x, z = rng.normal(0, crown * 0.2, 2)
        parts.append(block(SPHERE, x, trunk + rng.uniform(0, crown - size[1] * 0.9), z, tuple(size), leaf))
    return Thing("tree", tuple(parts))


def bush(palette: Palette, size: float) -> Thing:
    rng = palette.rng
    leaf = palette.paint(("leaves", "grass"), _green(palette), rng.uniform(0.3, 1.0), 0.8, 0.0)
    parts = []
    for _ in range(int(rng.integers(1, 6))):
        wide = size * rng.uniform(0.4, 1.0, 3)
        x, z = rng.normal(0, size * 0.3, 2)
        parts.append(block(SPHERE, x, -wide[1] * 0.25, z, tuple(wide), leaf))
    return Thing("bush", tuple(parts))


def rock(palette: Palette, size: float) -> Thing:
    rng = palette.rng
    stone = palette.paint(("cloudy", "speckle", "marble"), palette.colour(0.1, 0.5, 0.3), size, 0.6, 0.0)
    parts = []
    for _ in range(int(rng.integers(1, 5))):
        wide = size * rng.uniform(0.4, 1.0, 3)
        x, z = rng.normal(0, size * 0.3, 2)
        turn = rotation(*rng.uniform(-0.4, 0.4, 3))
        parts.append(block(SPHERE if rng.random() < 0.7 else BOX, x, -wide[1] * 0.3, z, tuple(wide), stone, turn))
    return Thing("rock", tuple(parts))


def building(palette: Palette, width: float, height: float, depth: float) -> Thing:
    """A block with storeys of windows, a different ground floor, and a flat, pitched or stepped top."""
    rng = palette.rng
    wall = palette.paint(("facade", "facade", "facade", "bricks", "panels"), tile_m=rng.uniform(5, 14), gloss=0.1)
    parts = [block(BOX, 0, 0, 0, (width, height, depth), wall)]
    roof = palette.paint(("plain", "tiles", "bricks"), tile_m=2.0)
    kind = rng.integers(4)
    if kind == 0:
        lean, slope = rotation(0, 0, np.pi / 4), np.hypot(width, width) / 2
        parts.append(Part(BOX, np.array([0, -height, 0]), np.array([slope / 2, slope / 2, depth / 2]), roof, lean))
    elif kind == 1:
        parts.append(block(BOX, 0, height, 0, (width * 0.6, height * 0.25, depth * 0.6), wall))
    elif kind == 2:
        parts.append(block(BOX, 0, height, 0, (width + 0.6, 0.5, depth + 0.6), roof))
    if rng.random() < 0.6:
        shop = palette.paint(("collage", "panels", "plain", "tiles", "bricks"), tile_m=rng.uniform(2, 5))
        parts.append(block(BOX, 0, 0, 0, (width + 0.2, rng.uniform(2.8, 4.0), depth + 0.2), shop))
    for _ in range(int(rng.integers(0, 6))):
        base, z = rng.uniform(3, max(3.5, height - 1)), rng.uniform(-0.45, 0.45) * depth
        parts.append(block(BOX, 0, base, z, (width + rng.uniform(0.5, 2.5), 0.9, 2.2), roof))
    return Thing("building", tuple(parts))


def street_lamp(palette: Palette) -> Thing:
    height, reach = palette.rng.uniform(3.5, 9), palette.rng.uniform(0.0, 2.0)
    metal = palette.paint(colour=palette.colour(0.03, 0.4, 0.2))
    lamp = palette.paint(colour=(0.9, 0.85, 0.7), emission=0.3)
    parts = (
        block(CYLINDER, 0, 0, 0, (0.16, height, 0.16), metal),
        beam((0, height, 0), (reach, height + 0.3, 0.05), 0.1, metal, CYLINDER),
        block(BOX, reach, height + 0.2, 0, (0.6, 0.15, 0.3), lamp),
    )
    return Thing("street lamp", parts)


def sign(palette: Palette) -> Thing:
    high, size = palette.rng.uniform(1.8, 2.6), palette.rng.uniform(0.4, 0.9)
    face = palette.paint(("collage", "stripes", "plain"), palette.colour(0.2, 0.8, 1.0), 0)
    parts = (
        block(CYLINDER, 0, 0, 0, (0.07, high, 0.07), palette.paint(colour=(0.4, 0.4, 0.4))),
        block(BOX, 0, high, 0.04, (size, size * palette.rng.uniform(0.6, 1.3), 0.03), face),
    )
    return Thing("sign", parts)


def fence(palette: Palette, length: float) -> Thing:
    rng = palette.rng
    height, pitch = rng.uniform(0.8, 1.8), max(length / 40, rng.uniform(0.12, 0.6))
    wood = palette.paint(("wood", "plain"), tile_m=0.7)
    parts = [block(BOX, 0, height * f, 0, (length, 0.08, 0.04), wood) for f in (0.3, 0.8)]
    wide = pitch * rng.uniform(0.15, 0.8)
    posts = int(length / pitch)
    parts += [
        block(BOX, (i + 0.5) * pitch - length / 2, 0, 0.03, (wide, height, 0.03), wood) for i in range(posts)
    ]
    return Thing("fence", tuple(parts))


def bench(palette: Palette) -> Thing:
    wood, width = palette.paint(("wood", "planks"), tile_m=0.6), palette.rng.uniform(1.2, 2.2)
    parts = [block(BOX, 0, 0.42, z, (width, 0.04, 0.13), wood) for z in (-0.15, 0.0, 0.15)]
    parts += [block(BOX, 0, high, -0.24, (width, 0.12, 0.03), wood) for high in (0.55, 0.75)]
    parts += [block(BOX, s * width * 0.42, 0, -0.02, (0.06, 0.42, 0.4), wood) for s in (-1, 1)]
    return Thing("bench", tuple(parts))
