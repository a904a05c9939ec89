"""Where the camera was in a film, by COLMAP: poses for ``vda export`` and ``vda enrich --poses``.

    pip install 'vda-toolkit[export]'
    python docs/examples/colmap_poses.py film.mp4 colmap --every 5
    vda export data/film --to ply --poses colmap/sparse/0 --output clouds

Takes every n-th frame, with the numbers that the depth images have, finds points that several frames share, and
reconstructs camera and points. It needs a camera that moves (one that only turns shows no depth) and a scene that
mostly stands still. Give the field of view where it is known: a camera that slides sideways does not tell it.
"""

import argparse
import math
import sys
from pathlib import Path

import cv2
import pycolmap

from vda.errors import VdaError
from vda.video import index_frames, probe, read_frame_list


def main() -> None:
    asked = arguments()
    try:
        count = write_images(asked.film, asked.out / "images", asked.every, asked.longest)
    except VdaError as error:
        sys.exit(f"{error.problem}\n{error.remedy}")
    model = reconstruct(asked.out, asked.overlap, asked.fov)
    if model is None:
        sys.exit(
            "No two frames show enough of the same from two places.\nTry --every 1, or a part that moves more."
        )
    found = model.num_reg_images()
    print(f"{found} of {count} frames have a pose: {asked.out}/sparse/0")
    print(f"{model.num_points3D()} points, seen {model.compute_mean_reprojection_error():.2f} pixels off")
    if found < 0.9 * count:
        print("Frames without a pose have no place in exports. A smaller --every gives more to go by.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Camera poses of a film, by COLMAP.")
    parser.add_argument("film", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=5, help="take every n-th frame")
    parser.add_argument("--longest", type=int, default=640, help="pixels on the longer side of the images")
    parser.add_argument("--fov", type=float, help="horizontal field of view in degrees, if it is known")
    parser.add_argument("--overlap", type=int, default=10, help="hold each frame against so many before it")
    return parser.parse_args()


def write_images(film: Path, folder: Path, every: int, longest: int) -> int:
    """Every n-th frame as ``frame_000000.png`` …: the numbers are the film's, as those of the depth images."""
    folder.mkdir(parents=True, exist_ok=True)
    info = probe(film)
    index = index_frames(info)
    chosen = range(0, len(index), every)
    for number, frame in zip(chosen, read_frame_list(info, index, chosen), strict=True):
        height, width = frame.rgb.shape[:2]
        scale = min(1.0, longest / max(height, width))
        size = (round(width * scale), round(height * scale))
        picture = cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"frame_{number:06d}.png"), picture[..., ::-1])
    return len(chosen)


def reconstruct(out: Path, overlap: int, fov: float | None) -> pycolmap.Reconstruction | None:
    """The largest model that comes about, written to ``sparse/0``; None where there is none."""
    database, images, sparse = out / "database.db", out / "images", out / "sparse"
    database.unlink(missing_ok=True)
    reader, mapping = pycolmap.ImageReaderOptions(), pycolmap.IncrementalPipelineOptions()
    if fov is not None:
        first = pycolmap.Bitmap.read(next(images.iterdir()), as_rgb=True)
        assert first is not None  # it was written a moment ago
        width, height = first.width, first.height
        focal = width / 2 / math.tan(math.radians(fov) / 2)
        reader.camera_params = f"{focal}, {width / 2}, {height / 2}, 0"  # of SIMPLE_RADIAL, COLMAP's default
        mapping.ba_refine_focal_length = False
    # One camera with one focal length took the film.
    pycolmap.extract_features(database, images, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader)
    pairing = pycolmap.SequentialPairingOptions(overlap=overlap)
    pycolmap.match_sequential(database, pairing_options=pairing)
    sparse.mkdir(exist_ok=True)
    models = pycolmap.incremental_mapping(database, images, sparse, options=mapping)
    if not models:
        return None
    best = max(models.values(), key=lambda model: model.num_reg_images())
    (sparse / "0").mkdir(exist_ok=True)
    best.write(sparse / "0")
    return best


if __name__ == "__main__":
    main()
