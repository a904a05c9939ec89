"""Every parser of the project, with valid files for it: what ``fuzz`` makes wrong and hands to it.

A target's files are written into an empty folder, one of them wrong, and ``read`` gets the folder.
"""

import gzip
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import torch
from fuzz_seeds import (
    CAMERA_EACH,
    CAMERAS,
    COLMAP,
    LABELS,
    MASKS,
    OPENCV,
    ROS,
    SEVEN,
    SIZE,
    TOPIC,
    TRACK_SEEDS,
    TRANSFORMS,
    TUM,
    Files,
    K,
    js,
)
from safetensors.torch import save

from vda.calibration.fit import load_calibration
from vda.calibration.sampling import mask_pixels
from vda.camera.files import read_camera
from vda.camera.poses import read_cameras
from vda.camera.reconstruction import read_reconstruction
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.exr import write_exr
from vda.depthmaps.files import encode_grey_png, open_stack, read_image
from vda.depthmaps.source import open_depth
from vda.exporting.written import Written
from vda.files import read_json
from vda.fvc.ledger import Record, read_records
from vda.fvc.scaledtable import read_scaled
from vda.fvc.schema import read_metadata
from vda.models.checkpoints import load_state_dict
from vda.scene.events import read_events
from vda.scene.rawwindows import check_raw_window, write_raw_window
from vda.scene.runstate import (
    ChunkAttempts,
    DeviceNotes,
    Holder,
    Order,
    Pause,
    RunFiles,
    WorkerSettings,
    WorkerState,
)
from vda.scene.scene import Scene, chunk_windows
from vda.scene.status import scene_status
from vda.stills.naming import find_images
from vda.stills.pixels import read_image as read_picture
from vda.tracks import Asked, Enriched, read_tracks, write_tracks
from vda.video import FrameIndex


@dataclass(frozen=True)
class Target:
    """``seeds`` are whole sets of files; ``wrong`` those of their names that are made wrong (empty: all)."""

    read: Callable[[Path], object]
    seeds: tuple[Files, ...]
    wrong: tuple[str, ...] = ()


def one(name: str, *contents: bytes) -> tuple[Files, ...]:
    return tuple({name: content} for content in contents)


def only(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Read the one file that there is."""
    return lambda folder: read(next(folder.iterdir()))


def written(write: Callable[[Path], object], name: str, folder: Path) -> bytes:
    write(folder / name)
    return (folder / name).read_bytes()


def array(write: Callable[..., None], *values: np.ndarray, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    write(file, *values, **named)
    return file.getvalue()


def read_and_write_tracks(path: Path) -> None:
    tracks = read_tracks(path, asked=Asked(0, size=SIZE, masks=True, positions=True))
    tracks.intrinsics(1920, 1080)
    for mask in tracks.masks.values():
        mask_pixels(mask, SIZE)
    output = path / "out" if path.is_dir() else path.with_name(f"out{path.suffix}")
    write_tracks(tracks, Enriched.empty(tracks.skip, relative=False), output)


# Depth.

DEPTH = np.linspace(1, 5, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE[1], SIZE[0])
CODES = Quantizer.for_range(1.0, 5.0).encode(DEPTH)


def depth_record(folder: Path) -> bytes:
    record = DepthRecord(
        Quantizer.for_range(1.0, 5.0),
        2,
        *SIZE,
        "mini",
        {"frame_range": [3, 5], "align": "joint"},
        [{"shot": 0, "start_frame": 3, "end_frame": 5, "scale": [1.0], "shift": [0.0]}],
        [4],
        1,
        2,
        ["png16"],
        levels={"png8": {"scale": 0.1, "offset": 1.0, "first": 1, "last": 255}},
        resized_frames=[[0, 1, 8, 6]],
        picture={"video_size": [16, 12], "max_res": 8},
        thinning={"stride": 2},
        frame_indices=[3, 5],
    )
    return written(record.write, "depth.json", folder)


def use_record(path: Path) -> None:
    record = DepthRecord.read(path)
    assert len(record.video_size) == 2 and len(record.indices) >= 0
    record.quantizer.decode(CODES)
    for form in record.levels:
        record.levels_of(form).decode(CODES)


def use_depth(path: Path) -> None:
    depth = open_depth(path, scale=1000.0, timed=True)
    for frame in {depth.frames[0], depth.frames[-1]}:
        depth.read(frame)


def use_stack(path: Path) -> None:
    stack = open_stack(path)
    for place in {0, stack.shape[0] - 1}:
        stack.frame(place)


# Scenes.


def planned_scene(folder: Path) -> dict[str, bytes]:
    """The files of a scene with a short video, split and begun."""
    from clips import make_clip

    from vda.api.pipeline import plan_scene
    from vda.splitting.stage import PlanSettings

    scene = plan_scene(make_clip(folder / "v.mp4", range(60)), folder / "scene", PlanSettings(chunks=2))
    run = {
        "model": "mini",
        "asked_model": "auto",
        "licence": "MIT",
        "weights_sha256": "0" * 64,
        "weights_path": "w",
        "weights_source": "file",
        "metric": False,
        "input_size": 32,
        "net_width": 56,
        "net_height": 28,
        "precision": "fp32",
        "precision_reason": "CPU",
        "version": "1",
        "proofs": [{"device": "cpu", "figures": {"a": 1.0}}],
    }
    stamp = {"unix_s": 1.0, "host": "h", "device": "cpu", "pid": 3, "chunk": 0}
    events = [
        {"event": "window_begun", **stamp, "sequence": 0, "k": 1},
        {"event": "paused", **stamp, "reason": "room"},
        {"event": "chunk_begun", **stamp, "model": "mini", "windows": 3, "frames": 3},
    ]
    attempts = {"1": vars(ChunkAttempts(1, 0, 2.0, ("cpu",), False, "it broke", "cpu"))}
    files = {
        "vda_windows/run.json": js(run),
        "vda_logs/events_h_cpu.jsonl": b"".join(js(event) + b"\n" for event in events),
        "vda_run/attempts.json": js(attempts),
        "vda_run/devices.json": js({"cpu": vars(DeviceNotes((("s", 1),), 2.0, 3))}),
        "vda_run/holder.json": js(vars(Holder(1, "h", 1.0, "vda_run", 2.0))),
        "vda_run/pause.json": js(vars(Pause("no room", 1.0))),
        "vda_run/recomputed.jsonl": js({"window": [0, 1], "reason": "inf"}) + b"\n",
        "vda_run/workers/a/state.json": js(vars(WorkerState("a", "cpu", 1, chunk=0, scene="s"))),
    }
    for path in scene.root.rglob("*"):
        if path.is_file() and path.suffix != ".lock":
            files[str(path.relative_to(scene.root))] = path.read_bytes()
    return files


def every_way(*reads: Callable[[], object]) -> None:
    """Do all of ``reads``, each to its end or to the project's own error."""
    from vda.errors import VdaError

    for read in reads:
        try:
            found = read()
            if isinstance(found, Iterable) and not isinstance(found, str | bytes | Mapping):
                for _ in zip(found, range(10_000), strict=False):
                    pass
        except VdaError:
            continue


def use_scene(folder: Path) -> None:
    scene = Scene(folder)
    run = RunFiles(scene.run_dir)
    every_way(
        scene.video,
        scene.film,
        scene.require_video,
        scene.picture,
        scene.run_record,
        scene.plan,
        lambda: chunk_windows(scene.plan().chunks[0]),
        lambda: scene.missing_windows(scene.plan().chunks[0]),
        lambda: scene_status(scene),
        lambda: read_events(scene),
        run.read_attempts,
        run.read_devices,
        run.holder,
        run.home,
        run.recomputed,
        lambda: WorkerState.read(run.worker("a").state_path),
    )


def use_index(path: Path) -> None:
    index = FrameIndex.load(path)
    assert len(index.times_s) == len(index.frames)
    index.resized(list(index.frames))
    assert index.duration_s >= 0 and index.frame_rate(Fraction(25)) > 0


def make_index(folder: Path) -> bytes:
    index = FrameIndex(
        pts=np.arange(6),
        time_base=Fraction(1, 25),
        keyframes=np.array([0, 3]),
        source="decoded",
        checksums=np.arange(6, dtype=np.uint32),
    )
    return written(index.save, "frame_index.npz", folder)


def make_window(folder: Path) -> bytes:
    depth = np.random.default_rng(1).random((32, 4, 6), np.float32)
    return written(lambda path: write_raw_window(path, depth, (3,), "scene 0 1"), "window_000_00001.npz", folder)


# Data sets.

TABLE = (
    "video_path,label,original_video,augmentation_idx,is_original,dup_group,platform,scene,tracks\n"
    "a.mp4,real,a,,true,g,web,,\nb.mp4,fake,a,1,false,g,web,,\n"
)
ROWS = [
    {"video_path": "a.mp4", "label": "real", "augmentation_idx": None, "n": 1.5},
    {"video_path": "b.mp4", "label": "fake"},
]
SCALED = (
    "video_path,label,frames,fps,fold,depth_path,removed\n"
    "v/a.mp4,real,30,25.0,0,d/a,\nv/b.mp4,fake,30,25.0,1,,true\n"
)


def frame_bytes(kind: str) -> bytes:
    file = io.BytesIO()
    getattr(pl.DataFrame(ROWS), f"write_{kind}")(file)
    return file.getvalue()


def ledger_line() -> bytes:
    made = Record(
        "a", 0, {"video_path": "a.mp4"}, "done", {"size": 8}, {"video": "x"}, {"a": "y"}, {"frames": 3}, ("n",)
    )
    return made.to_line()


def picture(suffix: str, deep: bool = False) -> bytes:
    rising = np.arange(SIZE[0] * SIZE[1] * 3).reshape(SIZE[1], SIZE[0], 3)
    pixels: Any = rising.astype(np.uint16 if deep else np.uint8)
    return bytes(cv2.imencode(suffix, pixels)[1])


def grey_tiff() -> bytes:
    return bytes(cv2.imencode(".tiff", CODES)[1])


def use_images(folder: Path) -> None:
    for path in find_images(folder / "list.txt").paths():
        read_picture(path)


def checkpoint() -> bytes:
    file = io.BytesIO()
    torch.save({"a.weight": torch.ones(2, 3), "b": torch.zeros(1, dtype=torch.float16)}, file)
    return file.getvalue()


def export_list(folder: Path) -> None:
    Written(folder).remove_stale()


def make_targets(folder: Path) -> dict[str, Target]:
    """All targets; their valid files are made in ``folder``, which is not needed afterwards."""
    scene = planned_scene(folder)
    record = depth_record(folder)
    exr = written(lambda path: write_exr(path, DEPTH), "d.exr", folder)
    shown = written(
        lambda path: write_exr(path, DEPTH, rgb=np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)), "p.exr", folder
    )
    stack = np.stack([DEPTH, DEPTH])
    tensors = save({"a.weight": torch.ones(2, 3), "b": torch.zeros(1, dtype=torch.float16)})
    in_place = {
        name: content
        for name, content in scene.items()
        if name in ("scene.json", "vda_chunks/chunks_metadata.json")
    }
    times = np.arange(3) / 25
    return {
        "scene": Target(use_scene, (scene,)),
        "plan": Target(
            use_scene,
            (in_place | {"frame_index.npz": scene["frame_index.npz"]},),
            ("vda_chunks/chunks_metadata.json",),
        ),
        "frame_index": Target(
            only(use_index), one("frame_index.npz", make_index(folder), scene["frame_index.npz"])
        ),
        "raw_window": Target(
            only(lambda path: check_raw_window(path).slot(0)), one("window_000_00001.npz", make_window(folder))
        ),
        "worker": Target(
            only(
                lambda path: every_way(
                    *(lambda kind=kind: kind.read(path) for kind in (Order, WorkerSettings, WorkerState))
                )
            ),
            one(
                "state.json",
                js(vars(Order(1, "s", 2))),
                js(vars(WorkerSettings("cpu", 1))),
                js(vars(WorkerState("a", "cpu", 1))),
            ),
        ),
        "depth_record": Target(only(use_record), one("depth.json", record)),
        "merged_depth": Target(
            use_depth, ({"depth.json": record, **{f"depth_00000{i}.png": encode_grey_png(CODES) for i in (3, 5)}},)
        ),
        "depth_files": Target(
            use_depth,
            (
                {"0001.exr": exr},
                {"0001.png": encode_grey_png(CODES)},
                {"0001.npy": array(np.save, DEPTH)},
                {"1.tif": grey_tiff()},
                {"depths.npz": array(np.savez, depths=stack)},
            ),
        ),
        "depth_stack": Target(
            only(use_stack),
            one("a.npz", array(np.savez, depths=stack), array(np.savez_compressed, depths=stack))
            + one("a.npy", array(np.save, stack)),
        ),
        "depth_image": Target(only(read_image), one("a.png", encode_grey_png(CODES)) + one("a.tif", grey_tiff())),
        "calibration": Target(
            only(load_calibration),
            one(
                "calibration.json",
                js(
                    {
                        "scale": 0.5,
                        "shift": 0.1,
                        "kind": "disparity",
                        "method": "known distance",
                        "r2": 0.9,
                        "residual": 0.1,
                        "samples": 4,
                        "depth": {"a": 1},
                    }
                ),
            ),
        ),
        "camera": Target(
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
            lambda path: read_cameras(path, SIZE),
            ({"transforms.json": js(TRANSFORMS)}, {"cameras.json": js(CAMERAS)}, SEVEN),
        ),
        "reconstruction": Target(
            only(lambda path: read_reconstruction(path, times)),
            (*one("a.json", js(TRANSFORMS), js(CAMERAS), js(CAMERA_EACH)), *one("a.txt", TUM)),
        ),
        "colmap": Target(lambda path: read_reconstruction(path, times, 0), (COLMAP,)),
        "tracks": Target(lambda folder: read_and_write_tracks(min(folder.glob("t.*"))), TRACK_SEEDS),
        "labels": Target(read_and_write_tracks, (LABELS,)),
        "masks": Target(
            only(lambda path: [mask_pixels(mask, SIZE) for mask in (read_json(path), [read_json(path)])]),
            one("m.json", *map(js, MASKS)),
        ),
        "table": Target(
            only(read_metadata),
            one("t.csv", TABLE.encode(), TABLE.replace(",", ";").encode("utf-16"))
            + one("t.csv.gz", gzip.compress(TABLE.encode()))
            + one("t.json", js(ROWS))
            + one("t.jsonl", b"\n".join(map(js, ROWS)))
            + one("t.parquet", frame_bytes("parquet"))
            + one("t.arrow", frame_bytes("ipc"), frame_bytes("ipc_stream")),
        ),
        "scaled_table": Target(read_scaled, one("scaled_metadata.csv", SCALED.encode())),
        "ledger": Target(read_records, ({"state/part_000000.jsonl": ledger_line() * 2},)),
        "image_list": Target(
            use_images,
            (
                {
                    "list.txt": b"# shot\nshot.1.png\nshot.2.jpg\n",
                    "shot.1.png": picture(".png"),
                    "shot.2.jpg": picture(".jpg"),
                },
            ),
        ),
        "images": Target(
            only(read_picture),
            (
                *one("a.png", picture(".png"), picture(".png", deep=True)),
                *one("a.jpg", picture(".jpg")),
                *one("a.tif", picture(".tiff"), picture(".tiff", deep=True)),
                *one("a.webp", picture(".webp")),
                *one("a.bmp", picture(".bmp")),
                *one("a.exr", shown),
            ),
        ),
        "checkpoint": Target(only(load_state_dict), one("a.safetensors", tensors) + one("a.pth", checkpoint())),
        "export_list": Target(
            export_list,
            ({"vda_export.txt": b"depth/a.png\ndepth/b.png\n", "depth/a.png": b"x"},),
            ("vda_export.txt",),
        ),
    }
