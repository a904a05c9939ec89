"""Films to judge joining by: true depth of synthetic worlds or of an RGB-D clip, and what befalls each film.

In: a style, a camera's motion and a seed, or a folder of depth images. Out: true depth in metres, small, of 2,200
frames. This file does not know how windows are distorted or joined.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import torch

from vda.joining.align import Float32Array
from vda.synth.raster import Parts, Viewpoint, trace
from vda.synth.worlds import sample_world

FRAMES: Final = 2_200
FPS: Final = 25.0
WIDTH, HEIGHT = 64, 36
# Frames that are traced together; more would only take memory.
_BATCH: Final = 8

Fault = Literal["black", "fog", "noise"]
World = tuple[str, str, int]

CORRIDOR, CORRIDOR_2 = ("corridor", "walk", 1), ("corridor", "truck", 2)
ROOM, ROOM_2, ROOM_3 = ("room", "pan", 1), ("room", "orbit", 2), ("room", "walk", 3)
YARD, YARD_2, HALL = ("yard", "drive", 1), ("yard", "orbit", 2), ("hall", "walk", 1)


@dataclass(frozen=True)
class Film:
    """``worlds`` follow each other in equal parts, with a cut between them; ``faults`` are (what, start, stop).

    ``field`` and ``noise`` are how much a window differs (see ``distortion``). ``anchor`` is the deviation of the
    log scale of what a window has for the first frame, and ``lasting`` its correlation from a window to the next.
    """

    name: str
    worlds: tuple[World, ...]
    faults: tuple[tuple[Fault, int, int], ...] = ()
    field: float = 0.02
    noise: float = 0.015
    anchor: float = 0.0
    lasting: float = 0.0

    @property
    def broken(self) -> frozenset[int]:
        """The frames that hold nothing."""
        return frozenset(frame for _, start, stop in self.faults for frame in range(start, stop))


def films() -> list[Film]:
    """What the table is made of; each is another draw of distortions."""
    plain = [
        Film(_name(world), (world,)) for world in (CORRIDOR, CORRIDOR_2, ROOM, ROOM_2, ROOM_3, YARD, YARD_2, HALL)
    ]
    by_name = {film.worlds[0]: film for film in plain}
    noise: tuple[tuple[Fault, int, int], ...] = (("noise", 1000, 1060),)
    changed = [
        *_like(by_name, (CORRIDOR, ROOM, YARD, HALL), "first frame 30 % off", anchor=0.3),
        *_like(by_name, (CORRIDOR, ROOM, YARD), "60 frames of noise", faults=noise),
        *_like(by_name, (CORRIDOR_2, ROOM_2), "90 frames black", faults=(("black", 700, 790),)),
        *_like(by_name, (YARD_2, ROOM_3), "100 frames of fog", faults=(("fog", 900, 1000),)),
        *_like(by_name, (HALL,), "begins black", faults=(("black", 0, 20),)),
        *_like(by_name, (CORRIDOR, ROOM), "30 % off, and noise", anchor=0.3, faults=noise),
        *_like(by_name, (CORRIDOR_2, ROOM_2, YARD_2, HALL), "strong fields", field=0.06, noise=0.03),
        *_like(by_name, (CORRIDOR, YARD), "strong fields, 30 % off", field=0.06, noise=0.03, anchor=0.3),
        *_like(by_name, (ROOM,), "first frame wanders by 5 %", anchor=0.05, lasting=0.97),
        *_like(by_name, (HALL,), "first frame wanders by 30 %", anchor=0.3, lasting=0.97),
    ]
    cuts = [Film("corridor, cut to yard", (CORRIDOR, YARD)), Film("yard, cut to room", (YARD, ROOM))]
    wanders = _like(by_name, (CORRIDOR, YARD, ROOM), "first frame wanders by 30 %", anchor=0.3, lasting=0.97)
    return [*plain, *changed, *cuts, *wanders]


def _name(world: World) -> str:
    style, motion, _ = world
    return f"{style}, {motion}"


def _like(by_name: dict[World, Film], worlds: tuple[World, ...], what: str, **changes: object) -> Iterator[Film]:
    for world in worlds:
        film = by_name[world]
        yield replace(film, name=f"{film.name}: {what}", **changes)  # type: ignore[arg-type]


def true_depth(film: Film, kept: Path | None) -> Float32Array:
    """Return metres ``[frames, height, width]``, infinite for sky; ``kept`` is a folder to keep it in."""
    share = FRAMES // len(film.worlds)
    return np.concatenate([_world_depth(world, kept)[:share] for world in film.worlds])


def _world_depth(world: World, kept: Path | None) -> Float32Array:
    path = None if kept is None else kept / f"{'_'.join(map(str, world))}_{FRAMES}.npy"
    if path is not None and path.is_file():
        return np.asarray(np.load(path), np.float32)
    depth = _traced(world)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, depth)
    return depth


def _traced(world: World) -> Float32Array:
    style, motion, seed = world
    made = sample_world(seed, FRAMES / FPS, style, motion)
    parts, camera = Parts(made.things), made.intrinsics(WIDTH, HEIGHT)
    depth = []
    for start in range(0, FRAMES, _BATCH):
        times = [frame / FPS for frame in range(start, min(start + _BATCH, FRAMES))]
        views = [Viewpoint(made.camera_to_world(time), camera) for time in times]
        depth.append(trace([parts.at(time) for time in times], views, torch.device("cpu")).depth.numpy())
    return np.concatenate(depth).astype(np.float32)


def clip_depth(folder: Path) -> Float32Array:
    """Return the depth (16-bit PNG, millimetres) below ``folder``, shown to and fro: NaN where there is none."""
    paths = sorted(path for path in folder.rglob("*.png") if "depth" in str(path.relative_to(folder)))
    if not paths:
        raise SystemExit(f"There is no depth below {folder}.")
    frames = []
    for path in paths:
        codes = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        small = cv2.resize(codes, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        frames.append(np.where((small > 0) & (small < 65535), small / np.float32(1000), np.float32(np.nan)))
    there_and_back = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    return np.stack([frames[there_and_back[index % len(there_and_back)]] for index in range(FRAMES)])
