"""A seed becomes a world: a style is set up, a camera is put into it, and everything in its way is removed.

Everything about a world follows from the seed, the duration and what is forced; pixels, sizes and devices do not
matter here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator

from vda.camera.intrinsics import Intrinsics
from vda.errors import UsageError
from vda.synth import indoors, open_air
from vda.synth.cameras import CameraPath, hand_shake, heading, steps, still
from vda.synth.raster import Parts, Viewpoint, trace
from vda.synth.setting import Setting, Site, gaps, without_collisions
from vda.synth.shading import Light
from vda.synth.sins import Sins, sample_sins
from vda.synth.textures import Pattern
from vda.synth.things import Array, Palette, Thing

# Each style's share of all seeds, and what sets it up.
STYLES: dict[str, tuple[float, Callable[[Setting, bool], Site]]] = {
    "room": (0.28, indoors.room),
    "table": (0.15, indoors.table),
    "corridor": (0.06, indoors.corridor),
    "hall": (0.08, indoors.hall),
    "street": (0.14, open_air.street),
    "field": (0.1, open_air.field),
    "yard": (0.09, open_air.yard),
    "abstract": (0.1, open_air.abstract),
}
MOTIONS = ("still", "hand", "walk", "drive", "truck", "orbit", "pan")

_TRIES = 10
# A look at a camera's sight: 16:9, and a hundredth of the work of a frame.
_PROBE = (48, 27)


@dataclass(frozen=True)
class World:
    """One sampled world. ``camera_to_world`` and the things' poses are functions of the time in seconds."""

    seed: int
    style: str
    motion: str
    horizontal_fov_deg: float
    camera: CameraPath
    things: tuple[Thing, ...]
    patterns: tuple[Pattern, ...]
    light: Light
    sins: Sins
    outdoors: bool

    def intrinsics(self, width: int, height: int) -> Intrinsics:
        return Intrinsics.from_fov(width, height, self.horizontal_fov_deg)

    def camera_to_world(self, time_s: float) -> Array:
        """Pose, float64 [4, 4], OpenCV axes (x right, y down, z forward)."""
        return self.camera.camera_to_world(time_s)


def sample_world(
    seed: int, duration_s: float = 4.0, style: str | None = None, motion: str | None = None, sins: bool = True
) -> World:
    """Sample a world that is sound for ``duration_s`` seconds: the same arguments give the same world.

    ``style`` is a name of ``STYLES`` and ``motion`` one of ``MOTIONS``, drawn at random if None. Raises
    ``UsageError`` for other names.
    """
    rng = np.random.default_rng(seed)
    names = list(STYLES)
    drawn = str(rng.choice(names, p=[STYLES[name][0] for name in names]))
    style = _known("style", style, names) if style else drawn
    # One clip in eight shows neither a moving thing nor, with a still camera, any motion at all.
    movers, moving_camera = rng.random() < 0.5, rng.random() < 0.75
    setting = Setting(rng, Palette(rng), person_m=float(rng.uniform(1.55, 1.9)))
    site = STYLES[style][1](setting, movers)
    site = replace(site, things=without_collisions(list(site.things), duration_s))
    moving = tuple(
        thing.pose(share * duration_s)[1] - [0, thing.height / 2, 0]
        for thing in site.things
        if thing.motion is not None
        for share in (0.3, 0.6)
    )
    # Left to chance, many a clip with moving things would not show one.
    if moving and rng.random() < 0.6:
        site = replace(site, targets=moving)
    kind = str(rng.choice(site.motions)) if moving_camera else "still"
    kind = _known("motion", motion, list(MOTIONS)) if motion else kind
    fov = float(np.exp(rng.uniform(*np.log(site.fov_deg))))
    camera, things = _point(rng, site, kind, fov, duration_s)
    return World(
        seed=seed,
        style=style,
        motion=kind,
        horizontal_fov_deg=fov,
        camera=camera,
        things=things,
        patterns=tuple(setting.palette.patterns),
        light=site.light,
        sins=sample_sins(rng) if sins else Sins(),
        outdoors=site.light.room is None,
    )


def _known(what: str, name: str, names: list[str]) -> str:
    if name not in names:
        raise UsageError(f"There is no {what} {name!r}.", f"Choose one of {', '.join(names)}.")
    return name


def _point(
    rng: Generator, site: Site, kind: str, fov: float, duration_s: float
) -> tuple[CameraPath, tuple[Thing, ...]]:
    """Try several cameras; keep the one with the best sight, and remove the things that it runs into."""
    best: tuple[float, CameraPath, tuple[Thing, ...]] | None = None
    times = np.arange(0, duration_s + 0.2, 0.2)
    for _ in range(_TRIES):
        camera = _camera(rng, site, kind)
        things, blocked = _clear(site, camera, times)
        if blocked:
            continue
        score = _sight(site, things, camera, fov, duration_s)
        if best is None or score > best[0]:
            best = score, camera, things
        if score >= 1:
            break  # good enough: the best of all would make every clip look alike
    if best is None:
        # Every path left the room: stand still where a camera was meant to stand.
        camera = replace(_camera(rng, site, "still"), start=site.eyes[0])
        best = 0.0, camera, _clear(site, camera, times)[0]
    return best[1], best[2]


def _camera(rng: Generator, site: Site, kind: str) -> CameraPath:
    start = site.eyes[int(rng.integers(len(site.eyes)))]
    target = site.targets[int(rng.integers(len(site.targets)))]
    yaw, pitch = heading(target - start)
    roll = rng.normal(0, 0.25) if rng.random() < 0.12 else rng.normal(0, 0.05)
    angles = np.array([yaw + rng.normal(0, 0.15), pitch + rng.normal(0, 0.12), roll])
    path = CameraPath(start, angles, target=target, reach=site.free_m)
    speed = float(np.exp(rng.uniform(*np.log(site.speed))))
    forward = np.array([np.sin(angles[0]), 0, np.cos(angles[0])])
    steady = hand_shake(rng, rng.uniform(0.2, 1.2)) if rng.random() < 0.5 else still(6)
    if kind == "hand":
        return replace(path, sway=hand_shake(rng, rng.uniform(0.8, 4.0)))
    if kind == "walk":
        sign = rng.choice([1, 1, -1])
        return replace(
            path, direction=sign * forward, speed=min(speed, 1.8), sway=steps(rng, rng.uniform(0.4, 1.2))
        )
    if kind == "drive":
        rates = np.array([rng.normal(0, 0.05), 0, 0])
        return replace(
            path, direction=forward, speed=speed, rates=rates, sway=hand_shake(rng, rng.uniform(0, 0.6))
        )
    if kind == "truck":
        side = np.array([forward[2], rng.normal(0, 0.15), -forward[0]]) * rng.choice([-1, 1])
        return replace(path, direction=side, speed=speed, follow=bool(rng.random() < 0.4), sway=steady)
    if kind == "orbit":
        away = max(float(np.linalg.norm((target - start)[[0, 2]])), 0.3)
        rate = float(rng.choice([-1, 1]) * min(speed / away, 0.6))
        return replace(path, follow=True, orbit_rate=rate, sway=steady)
    if kind == "pan":
        rates = rng.normal(0, (0.35, 0.12, 0.03))
        return replace(path, rates=rates, pan_limit=float(rng.uniform(0.3, 2.0)), sway=steady)
    return path


def _clear(site: Site, camera: CameraPath, times: Array) -> tuple[tuple[Thing, ...], bool]:
    """The things that never come near the camera, and whether a wall or the ground does."""
    way = np.array([camera.position(float(t)) for t in times])
    parts = Parts(site.things)
    close = gaps(parts.at(0.0), way).min(axis=0) < site.near_m
    hit = set(parts.owners[close].tolist())
    for index, thing in enumerate(site.things):
        if thing.motion is not None:
            there = np.array([thing.pose(float(t))[1] for t in times]) - [0, thing.height / 2, 0]
            hit.discard(index)
            if np.linalg.norm(there - way, axis=1).min() < site.near_m + max(thing.radius, thing.height / 2):
                hit.add(index)
    blocked = any(site.things[index].role != "thing" for index in hit)
    gone = {site.things[index].number for index in hit}
    gone |= {thing.number for thing in site.things if thing.support in gone}  # or a cup would float
    return tuple(thing for thing in site.things if thing.number not in gone), blocked


def _sight(site: Site, things: tuple[Thing, ...], camera: CameraPath, fov: float, duration_s: float) -> float:
    """How good the view is: 1 if, whenever looked, no single surface fills it and something has depth."""
    intrinsics = Intrinsics.from_fov(*_PROBE, fov)
    times = [0.0, duration_s / 2, duration_s]
    views = [Viewpoint(camera.camera_to_world(t), intrinsics) for t in times]
    parts = Parts(things)
    hits = trace([parts.at(t) for t in times], views, torch.device("cpu"))
    worst = 1.0
    for depth, part in zip(hits.depth.numpy(), hits.part.numpy(), strict=True):
        seen = depth[np.isfinite(depth)]
        if seen.size < 0.3 * depth.size:
            return 0.0
        low, high = np.percentile(seen, (5, 95))
        largest = np.bincount(part[part >= 0]).max() / part.size
        crowded = (seen < 2 * site.near_m).mean()
        worst = min(worst, high / low / 2, (1 - largest) / 0.35, (0.6 - crowded) / 0.3)
    return float(worst)
