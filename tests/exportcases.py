"""Films of a known room in many shapes, and what other programs make of their exports, in metres of the world.

The room is that of ``test_export``: two boards before a wall, all standing upright at known depths. What a camera
sees of it is computed from OpenCV's lens formula; what a program reads is computed as that program does.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import clips
import cv2
import numpy as np
import pytest
from boards import write_depth
from scipy.spatial.transform import Rotation
from test_export import BOARDS, UNIT, WALL_M, pose

from vda.calibration.fit import Calibration, save_calibration
from vda.camera.choice import CameraChoice
from vda.depthmaps.codings import Coding
from vda.scene.scene import Scene
from vda.video import ClipWriter, index_frames, probe

FRAMES = 6
Points = np.ndarray
_EXACT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-10)


@dataclass(frozen=True)
class Lens:
    """A camera for images of 160 x 120, or 120 x 160, with OpenCV's k1 k2 p1 p2, or its fisheye's k1 to k4."""

    fx: float = 120.0
    fy: float = 121.0
    cx: float = 81.0
    cy: float = 58.0
    bends: tuple[float, ...] = ()
    size: tuple[int, int] = (160, 120)
    fisheye: bool = False

    @property
    def matrix(self) -> np.ndarray:
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    def rays(self) -> np.ndarray:
        """Directions (x, y, 1) of all pixels [height, width, 3]: Newton's method on OpenCV's forward formula."""
        width, height = self.size
        pixels = np.stack(np.meshgrid(np.arange(float(width)), np.arange(float(height))), axis=-1).reshape(-1, 2)
        plane = (pixels - [self.cx, self.cy]) / [self.fx, self.fy]
        for _ in range(60 if self.bends else 0):
            plane = plane - (self._seen(plane) - pixels) / [self.fx, self.fy]
        return np.concatenate([plane, np.ones((len(plane), 1))], axis=1).reshape(height, width, 3)

    def _seen(self, plane: np.ndarray) -> np.ndarray:
        """Where points of the plane z = 1 are seen, by OpenCV."""
        if self.fisheye:
            return np.asarray(cv2.fisheye.distortPoints(plane[:, None], self.matrix, np.array(self.bends)))[:, 0]
        points = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
        return cv2.projectPoints(points, np.zeros(3), np.zeros(3), self.matrix, np.array(self.bends))[0][:, 0]

    def depth(self, frame: int) -> np.ndarray:
        """Exact z of boards and wall, float32 [height, width], from the frame's pose."""
        matrix = pose(frame)
        rays, eye = self.rays() @ matrix[:3, :3].T, matrix[:3, 3]
        depth = (WALL_M - eye[2]) / rays[..., 2]
        for board in BOARDS:
            steps = (board.z - eye[2]) / rays[..., 2]
            hit = eye + rays * steps[..., None]
            inside = (np.abs(hit[..., 0] - board.x) < 0.45) & (np.abs(hit[..., 1] - board.y) < 0.9)
            depth = np.where(inside & (steps < depth), steps, depth)
        return depth.astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A film: the ``lens`` of each frame, which frames have depth, what the user gives, the poses' unit; depth in
    codes of ``coding``, and ``relative`` to metres as ``write_depth`` has it.
    """

    lens: Callable[[int], Lens]
    poses: Callable[[Path, "Case"], Path]
    options: dict[str, Any] = field(default_factory=dict)
    camera: Callable[[Path], CameraChoice] = lambda folder: CameraChoice()
    with_depth: tuple[int, ...] = tuple(range(FRAMES))
    posed: tuple[int, ...] = tuple(range(FRAMES))
    turned_deg: int = 0
    unit: float = 1.0
    coding: Coding = "linear"
    relative: tuple[float, float] | None = None


def build(folder: Path, case: Case) -> Scene:
    """The scene of a case: its video, index, and depth."""
    width, height = case.lens(0).size
    video = folder / "video.mp4"
    stored = (height, width) if case.turned_deg else (width, height)
    with ClipWriter(video, fps=Fraction(10), options={"crf": "10"}) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((stored[1], stored[0], 3), 30 * frame + 20, np.uint8))
    if case.turned_deg:
        clips.rotate(video, case.turned_deg)
    scene = Scene(folder / "scene")
    info = probe(video)
    scene.write_video(info)
    scene.plan_path.parent.mkdir(parents=True, exist_ok=True)
    scene.plan_path.write_text("{}")
    index_frames(info).save(scene.index_path)
    depth = [case.lens(frame).depth(frame) for frame in range(FRAMES)]
    write_depth(scene.merged_dir, depth, case.relative, coding=case.coding)
    if case.relative is not None:
        save_calibration(Calibration(*case.relative), scene.calibration_path)
    for frame in set(range(FRAMES)) - set(case.with_depth):
        (scene.merged_dir / f"depth_{frame:06d}.png").unlink()
    return scene


def transforms(folder: Path, case: Case) -> Path:
    """True poses and cameras as nerfstudio has them."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    frames = []
    for frame in case.posed:
        lens = case.lens(frame)
        numbers = {"fl_x": lens.fx, "fl_y": lens.fy, "cx": lens.cx + 0.5, "cy": lens.cy + 0.5}
        bends = dict(zip(("k1", "k2", "p1", "p2"), lens.bends, strict=False))
        size = {"w": lens.size[0], "h": lens.size[1]}
        matrix = {"transform_matrix": (pose(frame) @ flip).tolist()}
        frames.append({"file_path": f"images/frame_{frame:05d}.png", **numbers, **bends, **size, **matrix})
    path = folder / "transforms.json"
    path.write_text(json.dumps({"camera_model": "OPENCV", "frames": frames}))
    return path


def rig(folder: Path, case: Case) -> Path:
    """A COLMAP model of two cameras side by side, in a unit of its own, with points of boards and wall."""
    random = np.random.default_rng(4)
    wall = np.stack([random.uniform(-8, 8, 80), random.uniform(-6, 6, 80), np.full(80, WALL_M)], axis=1)
    near = [[b.x + dx, b.y + dy, b.z] for b in BOARDS for dx in (-0.3, 0, 0.3) for dy in (-0.7, -0.2, 0.2, 0.7)]
    world = np.concatenate([wall, near])
    model = folder / "model"
    model.mkdir()
    lens = case.lens(0)
    (model / "cameras.txt").write_text(f"1 PINHOLE 160 120 {lens.fx} {lens.fy} {lens.cx + 0.5} {lens.cy + 0.5}\n")
    images: list[str] = []
    tracks: dict[int, list[str]] = {i: [] for i in range(len(world))}
    for frame in case.posed:
        inverse = np.linalg.inv(pose(frame))
        local = world @ inverse[:3, :3].T + inverse[:3, 3]
        seen = local[:, :2] / local[:, 2:] * [lens.fx, lens.fy] + [lens.cx, lens.cy]
        depth = lens.depth(frame)
        points: list[str] = []
        for i, (x, y) in enumerate(seen):
            if 1 <= x < 158 and 1 <= y < 118 and abs(depth[round(y), round(x)] - local[i, 2]) < 0.05:
                tracks[i].append(f"{frame + 1} {len(points)}")
                points.append(f"{x + 0.5} {y + 0.5} {i + 1}")
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        for number, (side, aside) in enumerate((("left", 0.0), ("right", -0.5))):
            shift = " ".join(map(str, (inverse[:3, 3] + [aside, 0, 0]) * UNIT))
            name = f"{side}/{frame:04d}.jpg"
            images.append(f"{frame + 1 + 100 * number} {w} {x} {y} {z} {shift} 1 {name}\n")
            images.append(f"{' '.join(points) if not number else ''}\n")
    (model / "images.txt").write_text("".join(images))
    lines = [
        f"{i + 1} {' '.join(map(str, world[i] * UNIT))} 9 9 9 0.1 {' '.join(seen)}\n"
        for i, seen in tracks.items()
        if seen
    ]
    (model / "points3D.txt").write_text("".join(lines))
    return model


def to_surface(points: Points) -> np.ndarray:
    """Metres from points of the world to the nearest board, or the wall."""
    gaps = [np.abs(points[:, 2] - WALL_M)]
    for board in BOARDS:
        beyond = np.maximum(np.abs(points - [board.x, board.y, board.z]) - [0.45, 0.9, 0], 0)
        gaps.append(np.linalg.norm(beyond, axis=1))
    return np.min(gaps, axis=0)


def _image(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None, path
    return found


def _unprojected(depth: np.ndarray, numbers: Any, to_world: np.ndarray) -> Points:
    """Pixels with depth as a pinhole (fx fy cx cy, from the corner) sees them, in the world."""
    fx, fy, cx, cy = numbers
    rows, columns = np.nonzero(depth > 0)
    z = depth[rows, columns]
    local = np.stack([(columns + 0.5 - cx) / fx * z, (rows + 0.5 - cy) / fy * z, z], axis=1)
    return local @ to_world[:3, :3].T + to_world[:3, 3]


def read_ply(folder: Path, case: Case) -> Iterator[Points]:
    plyfile = pytest.importorskip("plyfile")
    for path in sorted(folder.glob("*.ply")):
        vertices = plyfile.PlyData.read(path)["vertex"]
        yield np.stack([vertices[axis] for axis in "xyz"], axis=1)


def read_nerfstudio(folder: Path, case: Case) -> Iterator[Points]:
    """Depth by 0.001, cameras along -z with y up; a lens is undone with OpenCV, as nerfstudio does."""
    told = json.loads((folder / "transforms.json").read_text())
    for frame in told["frames"]:
        of = {**told, **frame}
        depth = _image(folder / frame["depth_file_path"]) * 0.001
        matrix = np.array([[of["fl_x"], 0, of["cx"]], [0, of["fl_y"], of["cy"]], [0, 0, 1]])
        bends = np.array([of.get(name, 0.0) for name in ("k1", "k2", "p1", "p2", "k3")])
        rows, columns = np.nonzero(depth > 0)
        pixels = np.stack([columns, rows], axis=1)[:, None] + 0.5
        plane = cv2.undistortPoints(pixels, matrix, bends, criteria=_EXACT)[:, 0]
        local = np.concatenate([plane, np.ones((len(plane), 1))], axis=1) * depth[rows, columns][:, None]
        to_world = np.array(frame["transform_matrix"])
        yield local * [1, -1, -1] @ to_world[:3, :3].T + to_world[:3, 3]


def read_splatting(folder: Path, case: Case) -> Iterator[Points]:
    """The trainer's own cameras, or those that came with undistorted images."""
    params = json.loads((folder / "sparse/0/depth_params.json").read_text())
    own = _colmap_cameras(folder / "sparse/0") if case.options.get("undistort") else {}
    for stem, fit in params.items():
        codes = _image(folder / "depths" / f"{stem}.png")
        frame = int("".join(c for c in stem.split("/")[-1] if c.isdigit()))
        lens, matrix = case.lens(frame), pose(frame)
        numbers: Any = (lens.fx, lens.fy, lens.cx + 0.5, lens.cy + 0.5)
        if stem in own:
            numbers, matrix = own[stem][0].params, own[stem][1]
        else:
            matrix = _in_unit(matrix, case.unit)
        yield _unprojected(1 / (codes / 65536 * fit["scale"] + fit["offset"]), numbers, matrix)


def _in_unit(to_world: np.ndarray, unit: float) -> np.ndarray:
    scaled = to_world.copy()
    scaled[:3, 3] *= unit
    return scaled


def read_tum(folder: Path, case: Case) -> Iterator[Points]:
    """Depth by 5000, poses and camera (fx fy cx cy k1 k2 p1 p2 k3, OpenCV's pixels) by the files."""
    poses = {row[0]: row[1:] for row in np.loadtxt(folder / "groundtruth.txt", ndmin=2)}
    told = folder / "calibration.txt"
    for line in (folder / "associations.txt").read_text().splitlines():
        time, name = float(line.split()[0]), line.split()[3]
        to_world = np.eye(4)
        to_world[:3, :3] = Rotation.from_quat(poses[time][3:]).as_matrix()
        to_world[:3, 3] = poses[time][:3]
        lens = case.lens(round(time * 10))
        # There is no room for several cameras: who has a zoom knows it himself.
        own = [lens.fx, lens.fy, lens.cx, lens.cy, 0.0, 0.0, 0.0, 0.0]
        fx, fy, cx, cy, *bends = np.loadtxt(told).tolist() if told.is_file() else own
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        depth = _image(folder / name) / 5000
        rows, columns = np.nonzero(depth > 0)
        pixels = np.stack([columns, rows], axis=1)[:, None].astype(np.float64)
        plane = cv2.undistortPoints(pixels, matrix, np.array(bends or [0.0] * 4), criteria=_EXACT)[:, 0]
        local = np.concatenate([plane, np.ones((len(plane), 1))], axis=1) * depth[rows, columns][:, None]
        yield local @ to_world[:3, :3].T + to_world[:3, 3]


def read_rerun(path: Path, case: Case) -> Iterator[Points]:
    reader = pytest.importorskip("rerun.chunk").RrdReader(path)
    for chunk in reader.stream():
        table = chunk.to_record_batch()
        name = next((name for name in table.schema.names if name.endswith("Points3D:positions")), None)
        if name is not None and str(chunk.entity_path).strip("/") == "world/cloud":
            yield from (np.array(points, np.float64) for points in table[name].to_pylist())


def _colmap_cameras(model: Path) -> dict[str, tuple[Any, np.ndarray]]:
    """Parameters and camera to world of each image, by its name without ending, as pycolmap reads them."""
    pycolmap = pytest.importorskip("pycolmap")
    found = pycolmap.Reconstruction(str(model))
    return {
        image.name.rsplit(".", 1)[0]: (
            found.cameras[image.camera_id],
            np.linalg.inv(np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]])),
        )
        for image in found.images.values()
    }


def _seen_by_colmap(folder: Path, model: str, read: Callable[[str], np.ndarray]) -> Iterator[Points]:
    for stem, (camera, to_world) in _colmap_cameras(folder / model).items():
        depth = read(stem)
        rows, columns = np.nonzero(depth > 0)
        plane = camera.cam_from_img(np.stack([columns, rows], axis=1) + 0.5)
        local = np.concatenate([plane, np.ones((len(plane), 1))], axis=1) * depth[rows, columns][:, None]
        yield local @ to_world[:3, :3].T + to_world[:3, 3]


def read_colmap(folder: Path, case: Case) -> Iterator[Points]:
    return _seen_by_colmap(folder, "sparse/0", lambda stem: _image(folder / "depth" / f"{stem}.tiff"))


def read_dn_splatter(folder: Path, case: Case) -> Iterator[Points]:
    return _seen_by_colmap(
        folder, "colmap/sparse/0", lambda stem: np.load(folder / "mono_depth" / f"{stem}_aligned.npy")
    )


READERS: dict[str, Callable[[Path, Case], Iterator[Points]]] = {
    "ply": read_ply,
    "nerfstudio": read_nerfstudio,
    "colmap": read_colmap,
    "dn-splatter": read_dn_splatter,
    "gaussian-splatting": read_splatting,
    "tum": read_tum,
    "rerun": read_rerun,
}
