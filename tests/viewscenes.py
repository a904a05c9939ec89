"""A scene to look at: boards before a wall, seen by a camera that walks, in a film whose pictures have numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from boards import write_depth, write_scene
from clips import make_clip, picture
from test_export import CAMERA, TRUTH, calibrate, depth_at, pose

from vda.scene.scene import Scene
from vda.video import index_frames, probe

WIDTH, HEIGHT = CAMERA.width, CAMERA.height
# Of the first frame: a corner without any depth.
HOLE = 30
# The boards' own numbers of the camera, as options of a command.
LENS = ("--fx", "120", "--fy", "121", "--cx", "81", "--cy", "58")
LABEL = "<img src=x onerror=\"document.title='owned'\"></script><!--"


def view_scene(root: Path, frames: int = 12, *, calibrated: bool = True, coding: Any = "linear") -> Scene:
    """A merged scene of relative depth, with the calibration that makes it metres."""
    scene = write_scene(root, WIDTH, HEIGHT)
    film = make_clip(
        root.parent / f"{root.name}.mp4",
        range(frames),
        draw=lambda number: picture(number, WIDTH, HEIGHT),
        options={"g": "5", "crf": "12"},
    )
    info = probe(film)
    scene.write_video(info)
    index_frames(info, cache_dir=root / "cache").save(scene.index_path)
    images = [depth_at(frame) for frame in range(frames)]
    images[0][:HOLE, :HOLE] = np.nan
    write_depth(scene.merged_dir, images, TRUTH, coding=coding)
    if calibrated:
        calibrate(scene)
    return scene


def by_formula(scene: Scene, code: int) -> float:
    """The value of a code by what ``depth.json`` says of it, as a sum that anybody can do."""
    record = json.loads(scene.depth_record_path.read_text())
    left, _, formula = record["formula"].partition(" = ")
    assert left == "value" and code >= 1
    numbers = {name: record[name] for name in ("offset", "scale", "low", "step") if name in record}
    return float(eval(formula.removesuffix(", for code >= 1"), {"__builtins__": {}}, {**numbers, "code": code}))


def write_tracks(path: Path, frames: range = range(12), *, label: str = "board", shift: float = 0.0) -> Path:
    """A box of 40 x 30 pixels from (20, 10) on, in every frame, in Ultralytics' JSON."""
    box = {"x1": 20.0 + shift, "y1": 10.0, "x2": 60.0 + shift, "y2": 40.0}
    there = [[{"name": label, "class": 0, "track_id": 7, "box": box}] if i in frames else [] for i in range(12)]
    path.write_text(json.dumps(there))
    return path


def write_poses(path: Path, frames: int = 12) -> Path:
    """The true poses as ``cameras.json`` has them."""
    numbers = {
        "width": WIDTH,
        "height": HEIGHT,
        "fx": CAMERA.fx,
        "fy": CAMERA.fy,
        "cx": CAMERA.cx,
        "cy": CAMERA.cy,
    }
    poses = [{"frame": i, "time_s": i / 25, "camera_to_world": pose(i).tolist()} for i in range(frames)]
    path.write_text(json.dumps({**numbers, "poses": poses}))
    return path
