"""A folder with all that the pages' examples speak of, made once: a film, its scene, tracks, cameras, truth."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
from click.testing import CliRunner
from data_sets import table

from vda.camera.intrinsics import Intrinsics
from vda.cli import main
from vda.synth.clip import ClipSpec, write_cameras
from vda.synth.render import RenderedFrame, render_frames
from vda.video import ClipWriter, index_frames, probe, read_frame_list

ROOT = Path(__file__).parents[1]
# What data/README.md says of the sample.
SAMPLE = ClipSpec(220, 250, 640, 360, 25.0, "yard", "truck")
WIDTH, HEIGHT = 320, 180
# Two windows of the network.
FRAMES = 26


def make_world(here: Path) -> Path:
    for name in ("tools", "runners", "docs", "tests"):
        (here / name).symlink_to(ROOT / name)
    pictures = write_film(here / "film.mp4")
    (here / "data").mkdir()
    (here / "data" / "sample.mp4").write_bytes((here / "film.mp4").read_bytes())
    write_images(here, pictures)
    write_tracks(here)
    write_truth(here)
    write_data_set(here)
    compute(here, "data/film", "--model", "mini")
    return here


def compute(here: Path, scene: str, *options: str) -> None:
    words = ["depth", str(here / "film.mp4"), "--scene", str(here / scene), "--devices", "cpu", *options]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output


def write_film(path: Path) -> list[np.ndarray]:
    info = probe(ROOT / "data" / "sample.mp4")
    shown = read_frame_list(info, index_frames(info), range(FRAMES))
    pictures = [cv2.resize(frame.rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in shown]
    write_video(path, pictures)
    return pictures


def write_video(path: Path, pictures: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ClipWriter(path, fps=Fraction(25), options={"crf": "18", "preset": "ultrafast"}) as writer:
        for picture in pictures:
            writer.write(picture)


def write_images(here: Path, pictures: list[np.ndarray]) -> None:
    for folder in ("frames", "shots"):
        (here / folder).mkdir()
    for number, picture in enumerate(pictures[:4]):
        small = cv2.resize(picture, (160, 90))
        cv2.imwrite(str(here / "frames" / f"{number:04d}.png"), small[..., ::-1])
        channels = {"RGB": (small / 255.0).astype(np.float16)}
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, channels).write(str(here / "shots" / f"shot.{1001 + number}.exr"))
    (here / "list.txt").write_text("".join(f"frames/{number:04d}.png\n" for number in range(4)))


def write_tracks(here: Path) -> None:
    """In the pixels of the film, which is half as large as the sample: centres of pixels are whole numbers."""
    sample = json.loads((ROOT / "data" / "sample_tracks.json").read_text())
    lens = SAMPLE.world().intrinsics(WIDTH, HEIGHT)
    sample["intrinsics"] = {name: getattr(lens, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
    sample["tracks"] = [record for record in sample["tracks"] if int(record["frame"][-5:]) < FRAMES]
    for record in sample["tracks"]:
        for name in ("bbox", "contact_2d"):
            if name in record:
                record[name] = [(value + 0.5) / 2 - 0.5 for value in record[name]]
    (here / "data" / "sample_tracks.json").write_text(json.dumps(sample))
    (here / "tracks.json").write_text(json.dumps(sample))
    labels = here / "runs" / "track" / "labels"
    labels.mkdir(parents=True)
    lines: dict[int, list[str]] = {}
    mot = []
    for record in sample["tracks"]:
        frame = int(record["frame"][-5:])
        if record["detected"] and record["class"] == "person":
            left, top, right, bottom = record["bbox"]
            centre = (
                (left + right + 1) / 2 / WIDTH,
                (top + bottom + 1) / 2 / HEIGHT,
                (right - left) / WIDTH,
                (bottom - top) / HEIGHT,
            )
            lines.setdefault(frame, []).append(
                f"0 {' '.join(f'{value:.5f}' for value in centre)} {record['track_id']}"
            )
            mot.append(f"{frame + 1},{record['track_id']},{left},{top},{right - left},{bottom - top},1,1,1")
    for frame, found in lines.items():
        (labels / f"film_{frame + 1}.txt").write_text("\n".join(found) + "\n")
    (here / "gt.txt").write_text("\n".join(mot) + "\n")


def write_truth(here: Path) -> None:
    """True depth in millimetres, the camera in the forms of several programs, and a COLMAP model with points."""
    frames = list(render_frames(SAMPLE.world(), range(FRAMES), WIDTH, HEIGHT, fps=25.0, samples=1))
    lens = SAMPLE.world().intrinsics(WIDTH, HEIGHT)
    for folder in ("truth", "sensor"):
        (here / folder).mkdir()
        for frame in frames:
            code = np.where(frame.depth_m < 65, 1000 * frame.depth_m, 0).round().astype(np.uint16)
            cv2.imwrite(str(here / folder / f"{frame.index:06d}.png"), code)
    (here / "poses").mkdir()
    write_cameras(here / "poses", lens, [frame.camera_to_world for frame in frames], 25.0)
    transforms = json.loads((here / "poses" / "transforms.json").read_text())
    for frame, image in zip(frames, transforms["frames"], strict=True):
        image["file_path"] = f"images/frame_{frame.index + 1:05d}.png"  # as ns-process-data counts
    (here / "transforms.json").write_text(json.dumps(transforms))
    (here / "camera.yaml").write_text(
        "%YAML:1.0\n---\nimage_width: 320\nimage_height: 180\n"
        "camera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n"
        f"   dt: d\n   data: [ {lens.fx}, 0., {lens.cx}, 0., {lens.fy}, {lens.cy}, 0., 0., 1. ]\n"
    )
    write_colmap(here / "colmap" / "sparse" / "0", lens, frames[::5])


def write_colmap(model: Path, lens: Intrinsics, frames: list[RenderedFrame]) -> None:
    """By COLMAP's definition of its text files: world to camera, pixels counted from their corner."""
    model.mkdir(parents=True)
    camera = f"{lens.fx} {lens.fy} {lens.cx + 0.5} {lens.cy + 0.5}"
    (model / "cameras.txt").write_text(f"1 PINHOLE 320 180 {camera}\n")
    images: list[str] = []
    points: list[str] = []
    rng = np.random.default_rng(0)
    for number, frame in enumerate(frames, 1):
        turn, eye = frame.camera_to_world[:3, :3], frame.camera_to_world[:3, 3]
        seen: list[str] = []
        for y, x in zip(rng.integers(0, 180, 80), rng.integers(0, 320, 80), strict=True):
            if not np.isfinite(z := float(frame.depth_m[y, x])):
                continue
            ray = np.array([(x - lens.cx) / lens.fx, (y - lens.cy) / lens.fy, 1.0])
            place = turn @ (ray * z) + eye
            points.append(f"{len(points) + 1} {place[0]} {place[1]} {place[2]} 0 0 0 0.1 {number} {len(seen)}\n")
            seen.append(f"{x + 0.5} {y + 0.5} {len(points)}")
        w, i, j, k = quaternion(turn.T)
        shift = -turn.T @ eye
        images.append(f"{number} {w} {i} {j} {k} {shift[0]} {shift[1]} {shift[2]} 1 {frame.index:06d}.png\n")
        images.append(" ".join(seen) + "\n")
    (model / "images.txt").write_text("".join(images))
    (model / "points3D.txt").write_text("".join(points))


def quaternion(turn: np.ndarray) -> tuple[float, ...]:
    from scipy.spatial.transform import Rotation

    i, j, k, w = Rotation.from_matrix(turn).as_quat()
    return w, i, j, k


def write_data_set(here: Path) -> None:
    """Twenty films that have nothing in common."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(20):
        name = f"videos/video{number}.mp4"
        coarse = rng.integers(0, 256, (6, 9, 16, 3), dtype=np.uint8)
        write_video(here / name, [cv2.resize(picture, (64, 36)) for picture in coarse])
        rows.append({"video_path": name, "label": ("real", "fake")[number % 2]})
    table(here / "videos.csv", rows)
