"""Every parser of the project, with valid files for it: what ``fuzz`` makes wrong and hands to it.

A target's files are written into an empty folder, one of them wrong, and ``read`` gets the folder.
"""

import io
from pathlib import Path

import numpy as np
import torch
from fuzz_depth import depth_targets
from fuzz_films import film_targets
from fuzz_scenes import scene_targets
from fuzz_seeds import (
    CAMERA_EACH,
    CAMERAS,
    COLMAP,
    LABELS,
    MASKS,
    OPENCV,
    ROS,
    SEVEN,
    TOPIC,
    TRACK_SEEDS,
    TRANSFORMS,
    TUM,
    K,
    js,
)
from fuzz_sets import set_targets
from fuzz_target import SIZE, Files, Target, content, one, only
from safetensors.torch import save

from vda.calibration.sampling import mask_pixels
from vda.camera.files import read_camera
from vda.camera.poses import read_cameras
from vda.camera.reconstruction import read_reconstruction
from vda.exporting.written import Written
from vda.files import read_json
from vda.models.checkpoints import load_state_dict
from vda.tracks import Asked, Enriched, read_tracks, write_tracks

TIMES = np.arange(3) / 25


def read_and_write_tracks(path: Path) -> None:
    tracks = read_tracks(path, asked=Asked(0, size=SIZE, masks=True, positions=True))
    tracks.intrinsics(1920, 1080)
    for mask in tracks.masks.values():
        mask_pixels(mask, SIZE)
    output = path / "out" if path.is_dir() else path.with_name(f"out{path.suffix}")
    write_tracks(tracks, Enriched.empty(tracks.skip, relative=False), output)


def checkpoint() -> bytes:
    file = io.BytesIO()
    torch.save({"a.weight": torch.ones(2, 3), "b": torch.zeros(1, dtype=torch.float16)}, file)
    return file.getvalue()


def colmap_binary(folder: Path) -> Files:
    """The same model as COLMAP itself writes it."""
    import pycolmap

    text, binary = folder / "text", folder / "binary"
    for name, data in COLMAP.items():
        text.mkdir(exist_ok=True)
        (text / name).write_bytes(data)
    binary.mkdir()
    pycolmap.Reconstruction(str(text)).write_binary(str(binary))
    return content(binary)


def export_list(folder: Path) -> None:
    Written(folder).remove_stale()


def camera_targets(folder: Path) -> dict[str, Target]:
    return {
        "camera": Target(
            "camera files: OpenCV, ROS, COLMAP, nerfstudio, Open3D, a matrix (`camera/files`)",
            only(lambda path: read_camera(path, 1, SIZE)),
            one("k.yaml", OPENCV.encode(), ROS.encode(), (TOPIC * 2).encode())
            + one(
                "k.json",
                js(TRANSFORMS),
                js({"width": 8, "height": 6, "intrinsic_matrix": [50, 0, 0, 0, 50, 0, 3.5, 2.5, 1]}),
                js({"camera_matrix": K, "dist_coeffs": [[0.1, 0, 0, 0]], "image_size": [8, 6]}),
                js({"fx": 50, "fy": 50, "cx": 3, "cy": 2, "width": 8, "height": 6, "k1": 0.1}),
            )
            + one("k.txt", COLMAP["cameras.txt"], b"50 0 3.5\n0 50 2.5\n0 0 1\n"),
        ),
        "poses": Target(
            "poses: `transforms.json`, `cameras.json`, 7-Scenes (`camera/poses`)",
            lambda path: read_cameras(path, SIZE),
            ({"transforms.json": js(TRANSFORMS)}, {"cameras.json": js(CAMERAS)}, SEVEN),
        ),
        "reconstruction": Target(
            "moving cameras in JSON, TUM trajectories (`camera/reconstruction`, `camera/posed`)",
            only(lambda path: read_reconstruction(path, TIMES)),
            (*one("a.json", js(TRANSFORMS), js(CAMERAS), js(CAMERA_EACH)), *one("a.txt", TUM)),
        ),
        "colmap": Target(
            "COLMAP models, text and binary (`camera/reconstruction`, `camera/colmapbinary`)",
            lambda path: read_reconstruction(path, TIMES, 0),
            (COLMAP, colmap_binary(folder)),
        ),
    }


def track_targets() -> dict[str, Target]:
    return {
        "tracks": Target(
            "tracks of all formats, `seqinfo.ini`, what enriching left beside them (`tracks`)",
            lambda folder: read_and_write_tracks(min(folder.glob("t.*"))),
            TRACK_SEEDS,
        ),
        "labels": Target("folders of label files (`tracks/ultralytics`)", read_and_write_tracks, (LABELS,)),
        "masks": Target(
            "masks in tracks (`calibration/sampling`)",
            only(lambda path: [mask_pixels(mask, SIZE) for mask in (read_json(path), [read_json(path)])]),
            one("m.json", *map(js, MASKS)),
        ),
    }


def make_targets(folder: Path) -> dict[str, Target]:
    """All targets; their valid files are made in ``folder``, which is not needed afterwards."""
    tensors = save({"a.weight": torch.ones(2, 3), "b": torch.zeros(1, dtype=torch.float16)})
    return {
        **film_targets(folder),
        **scene_targets(folder),
        **depth_targets(folder),
        **camera_targets(folder),
        **track_targets(),
        **set_targets(folder),
        "checkpoint": Target(
            "checkpoints (`models/declared`, `models/checkpoints`)",
            only(load_state_dict),
            one("a.safetensors", tensors) + one("a.pth", checkpoint()),
        ),
        "export_list": Target(
            "`vda_export.txt` (`exporting/written`)",
            export_list,
            ({"vda_export.txt": b"depth/a.png\ndepth/b.png\n", "depth/a.png": b"x"},),
            ("vda_export.txt",),
        ),
    }
