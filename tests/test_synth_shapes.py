"""Depth of single parts against formulas written by hand and against searching along rays."""

import math

import numpy as np
import pytest
import torch

from vda.camera.intrinsics import Intrinsics, pixel_grid
from vda.synth.cameras import rotation
from vda.synth.raster import Hits, Parts, Viewpoint, trace
from vda.synth.shapes import Shape, enter, normals
from vda.synth.things import Material, Part, Thing

CAMERA = Intrinsics.from_fov(32, 18, 70)
GREY = Material(0, ((0.5, 0.5, 0.5),) * 3)
CPU = torch.device("cpu")


def rays() -> np.ndarray:
    """Directions (x, y, 1) through the pixels' centres, [H, W, 3]."""
    xy = (pixel_grid(CAMERA.width, CAMERA.height) - [CAMERA.cx, CAMERA.cy]) / [CAMERA.fx, CAMERA.fy]
    return np.concatenate([xy, np.ones((len(xy), 1))], axis=1).reshape(CAMERA.height, CAMERA.width, 3)


def look(*parts: Part, pose: np.ndarray | None = None) -> Hits:
    pose = np.eye(4) if pose is None else pose
    return trace([Parts([Thing("part", parts)]).at(0.0)], [Viewpoint(pose, CAMERA)], CPU)


@pytest.mark.parametrize("tilt_deg", [10.0, 35.0, 80.0])
def test_the_ground_is_where_the_plane_formula_has_it(tilt_deg: float) -> None:
    height, tilt = 1.6, math.radians(tilt_deg)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation(0.3, -tilt, 0.0), [4.0, -height, -7.0]
    ground = Part(Shape.BOX, np.array([0, 0.5, 0]), np.array([2000, 0.5, 2000]), GREY)
    depth = look(ground, pose=pose).depth[0].numpy()
    # A ray (x, y, 1) of a camera tilted down falls by y cos + sin while it advances by 1.
    fall = rays()[..., 1] * math.cos(tilt) + math.sin(tilt)
    expected = height / np.where(fall > 0, fall, np.nan)
    near = expected < 500
    assert near.mean() > 0.3
    np.testing.assert_allclose(depth[near], expected[near], rtol=2e-6)
    assert np.isinf(depth[fall <= 0]).all()


@pytest.mark.parametrize(
    ("centre", "radius"), [((0.1, -0.2, 2.0), 0.7), ((8.0, -3.0, 60.0), 9.0), ((0, 0, 0.3), 0.05)]
)
def test_a_sphere_is_where_the_quadratic_formula_has_it(centre: tuple[float, ...], radius: float) -> None:
    c = np.array(centre)
    depth = look(Part(Shape.SPHERE, c, np.full(3, radius), GREY)).depth[0].numpy()
    d = rays()
    along, length = d @ c, (d * d).sum(axis=-1)
    under = along**2 - length * (c @ c - radius**2)
    inside = under > 1e-4 * length * radius**2
    expected = (along - np.sqrt(np.maximum(under, 0))) / length
    assert inside.sum() > 20
    np.testing.assert_allclose(depth[inside], expected[inside], rtol=1e-5)
    assert np.isinf(depth[under < -1e-4 * length * radius**2]).all()


def is_inside(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Whether points [..., 3] in a part's own coordinates are in the unit shape, by its definition."""
    x, y, z = np.moveaxis(points, -1, 0)
    radius = np.hypot(x, z)
    if shape is Shape.BOX:
        return np.abs(points).max(axis=-1) <= 1
    if shape is Shape.SPHERE:
        return (points**2).sum(axis=-1) <= 1
    return (np.abs(y) <= 1) & (radius <= (1 if shape is Shape.CYLINDER else (y + 1) / 2))


@pytest.mark.parametrize("shape", list(Shape))
def test_any_stretched_and_turned_part_is_where_a_search_along_the_ray_finds_it(shape: Shape) -> None:
    rng = np.random.default_rng(int(shape))
    compared = 0
    for _ in range(5):
        part = Part(
            shape,
            np.array([*rng.normal(0, 0.4, 2), rng.uniform(2.5, 4)]),
            rng.uniform(0.2, 1.1, 3),
            GREY,
            rotation(*rng.uniform(-3, 3, 3)),
        )
        depth = look(part).depth[0].numpy()
        t = np.linspace(0.3, 6.0, 2001)
        places = rays()[..., None, :] * t[:, None]
        found = is_inside(shape, (places - part.centre) @ part.turn / part.half)
        hit, first = found.any(axis=-1), t[found.argmax(axis=-1)]
        # The search sees what is at least a step thick, up to a step late.
        step = t[1] - t[0]
        assert np.isfinite(depth[hit]).all()
        assert ((first - depth)[hit] > -1e-4).all()
        assert ((first - depth)[hit] < step + 1e-4).all()
        assert np.isinf(depth[~hit]).mean() > 0.98
        compared += hit.sum()
    assert compared > 200


@pytest.mark.parametrize("shape", list(Shape))
def test_normals_point_out_of_the_shape_at_right_angles(shape: Shape) -> None:
    rng = np.random.default_rng(0)
    origin = rng.normal(size=(400, 3))
    origin *= 4 / np.linalg.norm(origin, axis=1, keepdims=True)
    aim = rng.uniform(-0.5, 0.5, (400, 3)) - origin
    points, normal = surface(shape, origin, aim)
    beside, normal_beside = surface(shape, origin, aim + rng.normal(0, 0.01, (400, 3)))
    hit = np.isfinite(points).all(axis=1)
    assert hit.sum() > 100
    assert not is_inside(shape, (points + 0.02 * normal)[hit]).any()
    assert is_inside(shape, (points - 0.02 * normal)[hit]).mean() > 0.95
    one_face = hit & ((normal * normal_beside).sum(axis=1) > 0.99)
    along = (beside - points)[one_face]
    slope = (along * normal[one_face]).sum(axis=1) / np.linalg.norm(along, axis=1)
    assert np.median(np.abs(slope)) < 0.02


def axes(vectors: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, y, z = torch.tensor(vectors, dtype=torch.float32).unbind(1)
    return x, y, z


def surface(shape: Shape, origin: np.ndarray, aim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter the unit shape, and unit normals there; NaN where they miss."""
    t = enter(shape, axes(origin), axes(aim)).numpy().astype(float)
    points = origin + aim * np.where(np.isfinite(t), t, np.nan)[:, None]
    own = normals(torch.full((len(t),), int(shape)), axes(points))
    normal = torch.stack(own).T.numpy().astype(float)
    return points, normal / np.linalg.norm(normal, axis=1, keepdims=True)


def test_the_nearest_of_several_parts_is_seen_whatever_their_order() -> None:
    near = Part(Shape.BOX, np.array([0.0, 0, 2]), np.array([0.3, 0.3, 0.1]), GREY)
    far = Part(Shape.BOX, np.array([0.0, 0, 5]), np.array([9.0, 9, 0.1]), GREY)
    small = Part(Shape.SPHERE, np.array([0.8, 0.0, 3.0]), np.full(3, 0.2), GREY)
    one, other = look(near, far, small), look(small, far, near)
    assert torch.equal(one.depth, other.depth)
    middle = (0, CAMERA.height // 2, CAMERA.width // 2)
    assert one.part[middle] == 0
    assert other.part[middle] == 2
    assert one.depth[middle].item() == pytest.approx(1.9)
    assert (one.part == 2).sum() > 0


def test_a_part_around_the_camera_or_behind_it_is_not_seen() -> None:
    around = Part(Shape.SPHERE, np.zeros(3), np.full(3, 2.0), GREY)
    behind = Part(Shape.BOX, np.array([0.0, 0, -3]), np.ones(3), GREY)
    hits = look(around, behind)
    assert torch.isinf(hits.depth).all()
    assert (hits.part == -1).all()
