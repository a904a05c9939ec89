"""The four unit shapes: where a ray enters them, and which way their surface faces.

Rays and points come in a part's own coordinates, where every part is a unit shape: box [-1, 1]^3, sphere of
radius 1, cylinder of radius 1 around y in [-1, 1], cone with its apex at y = -1 and a base of radius 1 at y = 1.
An affine map does not change the ray's parameter, so a part may be stretched into any ellipsoid or beam. This
file does not know what a part is made of, nor where it stands.
"""

from enum import IntEnum

import torch
from torch import Tensor

Vector = tuple[Tensor, Tensor, Tensor]


class Shape(IntEnum):
    BOX = 0
    SPHERE = 1
    CYLINDER = 2
    CONE = 3


def enter(shape: Shape, origin: Vector, direction: Vector) -> Tensor:
    """Ray parameter at which ``origin + t * direction`` enters the unit shape, float32 [N]; infinity if it misses.

    Only entries in front of the origin count: a ray that starts inside a shape does not see it.
    """
    if shape is Shape.BOX:
        near, far = _slabs(origin, direction)
    else:
        # Starting at the point nearest to the centre keeps the quadratics well conditioned in float32.
        shift = -_dot(origin, direction) / _dot(direction, direction)
        close = (
            origin[0] + shift * direction[0],
            origin[1] + shift * direction[1],
            origin[2] + shift * direction[2],
        )
        near, far = _ROUND[shape](close, direction)
        near, far = near + shift, far + shift
    hit = (near < far) & (near > 0)
    return torch.where(hit, near, torch.inf)


def _dot(a: Vector, b: Vector) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _slab(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    # A direction of 0 gives infinities, which the minima and maxima take as they should; on the very face it gives
    # NaN, which counts as a miss.
    inverse = direction.reciprocal()
    one, other = (origin + 1).neg() * inverse, (origin - 1).neg() * inverse
    return torch.minimum(one, other), torch.maximum(one, other)


def _slabs(origin: Vector, direction: Vector) -> tuple[Tensor, Tensor]:
    near, far = _slab(origin[0], direction[0])
    for axis in (1, 2):
        low, high = _slab(origin[axis], direction[axis])
        near, far = torch.maximum(near, low), torch.minimum(far, high)
    return near, far


def _sphere(origin: Vector, direction: Vector) -> tuple[Tensor, Tensor]:
    half = ((1 - _dot(origin, origin)) / _dot(direction, direction)).sqrt()  # NaN where it misses
    return -half, half


def _quadratic(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The roots of a t^2 + 2 b t + c, ascending where a > 0; NaN where there are none."""
    root = (b * b - a * c).sqrt()
    inverse = a.reciprocal()
    return (-b - root) * inverse, (-b + root) * inverse


def _cylinder(origin: Vector, direction: Vector) -> tuple[Tensor, Tensor]:
    (x, y, z), (dx, dy, dz) = origin, direction
    # A ray along the axis has no side entry; the floor on ``a`` gives it an endless interval instead of 0/0.
    a = (dx * dx + dz * dz).clamp(min=1e-20)
    near, far = _quadratic(a, x * dx + z * dz, x * x + z * z - 1)
    low, high = _slab(y, dy)
    return torch.maximum(near, low), torch.minimum(far, high)


def _cone(origin: Vector, direction: Vector) -> tuple[Tensor, Tensor]:
    """x^2 + z^2 <= ((y + 1) / 2)^2, the lower nappe of it: the slab in y cuts the upper one away."""
    (x, y, z), (dx, dy, dz) = origin, direction
    a = dx * dx + dz * dz - dy * dy / 4
    b = x * dx + z * dz - (y + 1) * dy / 4
    one, other = _quadratic(a, b, x * x + z * z - (y + 1) ** 2 / 4)
    near, far = torch.minimum(one, other), torch.maximum(one, other)
    # Steeper than the cone itself, a ray is inside one nappe from a root on to infinity: the lower one is y's way.
    steep, down = a < 0, dy > 0
    near, far = (
        torch.where(steep, torch.where(down, far, -torch.inf), near),
        torch.where(steep, torch.where(down, torch.inf, near), far),
    )
    low, high = _slab(y, dy)
    return torch.maximum(near, low), torch.minimum(far, high)


_ROUND = {Shape.SPHERE: _sphere, Shape.CYLINDER: _cylinder, Shape.CONE: _cone}


def normals(shape: Tensor, point: Vector) -> Vector:
    """Outward normals (of any length) at surface points, in the part's own coordinates.

    ``shape`` is an integer tensor [N] of ``Shape`` values, ``point`` three float32 [N].
    """
    x, y, z = point
    ax, ay, az = x.abs(), y.abs(), z.abs()
    box, sphere, cone = shape == Shape.BOX, shape == Shape.SPHERE, shape == Shape.CONE
    radius = (x * x + z * z).sqrt()
    cap = torch.where(cone, y > 0.999, ay > radius) & ~sphere & ~box
    face_x, face_z = (ax >= ay) & (ax >= az), (az > ax) & (az >= ay)
    side_y = torch.where(sphere, y, torch.where(cone, -(y + 1) / 4, torch.zeros_like(y)))
    zero = torch.zeros_like(x)
    round_y = torch.where(cap, y, side_y)
    nx = torch.where(box, torch.where(face_x, x, zero), torch.where(cap, zero, x))
    ny = torch.where(box, torch.where(face_x | face_z, zero, y), round_y)
    nz = torch.where(box, torch.where(face_z, z, zero), torch.where(cap, zero, z))
    return nx, ny, nz
