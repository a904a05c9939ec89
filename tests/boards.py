"""Boards standing upright in space before a wall: where they are, and the exact depth a camera sees."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vda.camera.intrinsics import Intrinsics, normalise, pixel_grid, project
from vda.depthmaps.codes import DepthRecord, Kind, Quantizer
from vda.depthmaps.codings import Coding
from vda.depthmaps.files import write_png16
from vda.picture.colours import Colours
from vda.picture.signal import SignalChoice
from vda.scene.scene import Scene
from vda.video import VideoInfo

WALL_M = 64.0
BOARD_HEIGHT_M = 1.8
BOARD_WIDTH_M = 0.9


@dataclass(frozen=True)
class Board:
    """A board of 0.9 x 1.8 m facing the camera, its centre at (x, y, z) metres in frame 0, moving by ``step``."""

    track: int
    x: float
    y: float
    z: float
    step: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def centre(self, frame: int) -> np.ndarray:
        return np.array([self.x, self.y, self.z]) + frame * np.array(self.step)


def boards_for(camera: Intrinsics) -> list[Board]:
    """Three boards spread over the picture, near and far, moving."""
    reach = camera.width / camera.fx / 2
    near = max(2.0, 3.0 / reach)
    return [
        Board(1, -0.5 * reach * near, 0.1, near, (0.02, 0.0, 0.1)),
        Board(2, 0.4 * reach * 1.5 * near, -0.1, 1.5 * near, (-0.02, 0.0, 0.0)),
        Board(3, 0.0, 0.0, 2 * near, (0.0, 0.0, -0.1)),
    ]


@cache
def _rays(camera: Intrinsics) -> np.ndarray:
    return normalise(camera, pixel_grid(camera.width, camera.height))


def depth_of(camera: Intrinsics, boards: list[Board], frame: int) -> np.ndarray:
    """Depth in metres, float32 [height, width], of the boards before a wall 64 m away."""
    rays = _rays(camera)
    depth = np.full(len(rays), WALL_M)
    for board in boards:
        x, y, z = board.centre(frame)
        hit = (np.abs(rays[:, 0] * z - x) < BOARD_WIDTH_M / 2) & (np.abs(rays[:, 1] * z - y) < BOARD_HEIGHT_M / 2)
        depth[hit] = np.minimum(depth[hit], z)
    return depth.reshape(camera.height, camera.width).astype(np.float32)


def record_of(camera: Intrinsics, board: Board, frame: int) -> dict[str, Any]:
    """A record in the classic form: the board's box in the image, around the middles of its edges."""
    centre = board.centre(frame)
    half_width, half_height = np.array([BOARD_WIDTH_M / 2, 0, 0]), np.array([0, BOARD_HEIGHT_M / 2, 0])
    edges = np.stack([centre - half_width, centre + half_width, centre - half_height, centre + half_height])
    left, right, top, bottom = project(camera, edges)
    return {
        "frame": f"frame_{frame:05d}",
        "detected": True,
        "track_id": board.track,
        "class": "board",
        "bbox": [left[0], top[1], right[0], bottom[1]],
        "truth": centre.tolist(),
    }


def tracks_of(camera: Intrinsics, boards: list[Board], frames: int) -> dict[str, Any]:
    return {"tracks": [record_of(camera, board, frame) for frame in range(frames) for board in boards]}


def write_depth(
    folder: Path,
    images: list[np.ndarray],
    relative: tuple[float, float] | None = None,
    model: str = "test",
    coding: Coding = "linear",
) -> Path:
    """Write depth images in metres as a merged folder: metres (in millimetres, where linear), or ``relative``
    inverse depth.

    ``relative`` (scale, shift) is such that 1 / metres = scale * value + shift.
    """
    folder.mkdir(parents=True, exist_ok=True)
    height, width = images[0].shape
    kind: Kind
    if relative is None:
        kind, values = "depth", images
    else:
        kind, (scale, shift) = "inverse_depth", relative
        values = [((1 / image - shift) / scale).astype(np.float32) for image in images]
    quantizer = Quantizer.for_range(float(np.nanmin(values)), float(np.nanmax(values)), coding, kind)
    if kind == "depth" and coding == "linear":
        quantizer = Quantizer.millimetres()
    for frame, value in enumerate(values):
        write_png16(folder / f"depth_{frame:06d}.png", quantizer.encode(value))
    DepthRecord(quantizer, len(images), width, height, model).write(folder / "depth.json")
    return folder


def write_scene(
    root: Path, width: int, height: int, rotation_deg: int = 0, mirrored: bool = False, pixel_aspect: str = "1"
) -> Scene:
    """A scene as far as enriching needs it: what its video is."""
    video = VideoInfo(
        path=root / "film.mp4",
        size_bytes=1,
        sha256_head_tail="",
        mtime_ns=0,
        stream_index=0,
        width=width,
        height=height,
        rotation_deg=rotation_deg,
        mirrored=mirrored,
        pixel_aspect=Fraction(pixel_aspect),
        fps=Fraction(25),
        time_base=Fraction(1, 25),
        codec="h264",
        pixel_format="yuv420p",
        claimed_frames=1,
        interlaced=False,
        choice=SignalChoice(),
        colours=Colours(),
        notes=(),
    )
    scene = Scene(root)
    scene.write_video(video)
    scene.plan_path.parent.mkdir(exist_ok=True)
    scene.plan_path.write_text("{}")
    return scene
