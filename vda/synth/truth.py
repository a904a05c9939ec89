"""What a perfect tracker would say: boxes, contact points, 3D positions and visibility of the things in a clip.

A world and its rendered frames go in, records in the classic track format come out. Every tracked thing is traced
once more by itself, so that its box and contact point are known where something stands before it. This file does
not know files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vda.camera.conventions import corner_to_centre
from vda.camera.intrinsics import Intrinsics, unproject
from vda.synth.raster import Parts, Viewpoint, rectangles, trace
from vda.synth.render import RenderedFrame
from vda.synth.things import Array
from vda.synth.worlds import World

_MOST_THINGS = 12
# Looks over the clip, small ones, that decide which things are worth tracking.
_PROBES = 5
# With fewer pixels, or with less of it in sight, a thing counts as not detected.
_LEAST_PIXELS = 12
_LEAST_VISIBLE = 0.25
# Of one look, summed over all of them: 29 pixels of 160 x 90.
_LEAST_SHARE = 0.002


@dataclass(frozen=True)
class Sighting:
    """One thing in one frame, in a window of the picture that holds it all: ``mask`` bool [h, w] of its pixels,
    hidden or not, its own ``depth_m``, and the window's corner in the picture."""

    mask: NDArray[np.bool_]
    depth_m: NDArray[np.float32]
    left: int
    top: int

    @property
    def box(self) -> list[float]:
        """[x1, y1, x2, y2]: the outer edges of the outermost pixels, whose centres are whole numbers."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        x, y = columns[[0, -1]] + self.left, rows[[0, -1]] + self.top
        edges: list[float] = corner_to_centre(np.array([x[0], y[0], x[1] + 1, y[1] + 1], np.float64)).tolist()
        return edges

    @property
    def contact(self) -> tuple[int, int]:
        """The pixel (x, y) where the thing meets what it stands on: the middle one of its lowest row."""
        y = int(np.flatnonzero(self.mask.any(axis=1))[-1])
        columns = np.flatnonzero(self.mask[y])
        return int(columns[len(columns) // 2]) + self.left, y + self.top

    def touches(self, camera: Intrinsics) -> bool:
        """Whether the thing reaches the picture's edge, so that its box may be cut off there."""
        x1, y1, x2, y2 = self.box
        return x1 < 0 or y1 < 0 or x2 > camera.width - 1 or y2 > camera.height - 1


class Tracker:
    """Makes the records of the chosen things of a world, frame by frame. Truth is computed on the CPU."""

    def __init__(self, world: World, intrinsics: Intrinsics, times_s: Sequence[float]) -> None:
        self._world, self._intrinsics = world, intrinsics
        self.things = _choose(world, intrinsics, times_s)
        self._parts = {index: Parts([world.things[index]]) for index in self.things}

    def objects(self) -> list[dict[str, Any]]:
        """What each track is: its number, class, true height in metres, and whether it moves."""
        things = [(index, self._world.things[index]) for index in self.things]
        return [
            {"track_id": index, "class": thing.name, "height_m": thing.height, "moving": thing.motion is not None}
            for index, thing in things
        ]

    def records(self, frame: RenderedFrame) -> list[dict[str, Any]]:
        """One classic record for each tracked thing; ``detected`` is false where too little of it can be seen."""
        return [self._record(index, frame) for index in self.things]

    def _record(self, index: int, frame: RenderedFrame) -> dict[str, Any]:
        record: dict[str, Any] = {
            "frame": f"frame_{frame.index:05d}",
            "track_id": index,
            "class": self._world.things[index].name,
            "detected": False,
        }
        sighting = self._sight(index, frame)
        if sighting is None:
            return record | {"visibility": 0.0}
        visible = frame.thing == index
        visibility = round(float(visible.sum() / sighting.mask.sum()), 4)
        record |= {"visibility": visibility, "truncated": sighting.touches(self._intrinsics)}
        if visible.sum() < _LEAST_PIXELS or visibility < _LEAST_VISIBLE:
            return record
        x, y = sighting.contact
        depth = sighting.depth_m[y - sighting.top, x - sighting.left]
        surface = unproject(self._intrinsics, np.array([[x, y]], np.float64), np.array([depth]))[0]
        base = np.linalg.inv(frame.camera_to_world) @ np.append(self._origin(index, frame.time_s), 1.0)
        return record | {
            "detected": True,
            "confidence": visibility,
            "bbox": sighting.box,
            "contact_2d": [float(x), float(y)],
            "contact_visible": bool(visible[y, x]),
            "position_3d": _xyz(surface),
            "base_3d": _xyz(base[:3]),
        }

    def _origin(self, index: int, time_s: float) -> Array:
        return self._world.things[index].pose(time_s)[1]

    def _sight(self, index: int, frame: RenderedFrame) -> Sighting | None:
        """The thing alone, traced only in the window that can hold it; None if it is nowhere in the picture."""
        placed = self._parts[index].at(frame.time_s)
        boxes = rectangles(placed, Viewpoint(frame.camera_to_world, self._intrinsics))
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        if not len(boxes):
            return None
        left, top = (int(edge) for edge in boxes[:, :2].min(axis=0))
        right, bottom = (int(edge) for edge in boxes[:, 2:].max(axis=0))
        window = self._intrinsics.cropped(left, top, right - left, bottom - top)
        depth = trace([placed], [Viewpoint(frame.camera_to_world, window)], torch.device("cpu")).depth[0].numpy()
        mask = np.isfinite(depth)
        return Sighting(mask, depth, left, top) if mask.any() else None


def _xyz(point: Array) -> dict[str, float]:
    """Metres, to the micrometre: more digits would only make the file larger."""
    return {axis: round(float(value), 6) for axis, value in zip("xyz", point, strict=True)}


def _choose(world: World, intrinsics: Intrinsics, times_s: Sequence[float]) -> tuple[int, ...]:
    """Indices of the things worth tracking: first those that move, then the ones that fill most of the picture."""
    small = intrinsics.scaled(160, max(1, round(160 * intrinsics.height / intrinsics.width)))
    parts = Parts(world.things)
    share = np.zeros(len(world.things))
    for time_s in np.linspace(times_s[0], times_s[-1], _PROBES):
        view = Viewpoint(world.camera_to_world(float(time_s)), small)
        part = trace([parts.at(float(time_s))], [view], torch.device("cpu")).part.numpy()
        seen = parts.owners[part[part >= 0]]
        share += np.bincount(seen, minlength=len(share)) / part.size
    moving = np.array([thing.tracked for thing in world.things], bool)
    solid = np.array([thing.role == "thing" and thing.casts for thing in world.things], bool)
    order = np.lexsort((-share, ~moving))
    chosen = [int(i) for i in order if solid[i] and share[i] > (0 if moving[i] else _LEAST_SHARE)]
    return tuple(sorted(chosen[:_MOST_THINGS]))
