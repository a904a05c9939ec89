"""The files of a scene to be made wrong: plans, records, windows, events, lists of shots, what workers leave."""

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from clips import make_clip
from fuzz_seeds import js
from fuzz_target import SIZE, Files, Target, array, content, every_way, one, only, written
from stills import make_folder

from vda.api.pipeline import plan_scene
from vda.cli.types import CROP, FRAME_RANGE, SCALE_AND_SHIFT, SHARD, SHARES, DepthScale
from vda.cli.types import SIZE as SIZE_TYPE
from vda.compute.computer import known_fit
from vda.compute.ladder import MemoryFit
from vda.compute.precision import Proof, Verdict
from vda.compute.trial import TrialRequest, read_proof
from vda.errors import DeviceError
from vda.fvc.selection import Shard
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge_chunks
from vda.network.packing import packed
from vda.picture.overlay import read_overlay
from vda.scene.events import read_events
from vda.scene.picturechoice import PictureChoice, read_crop
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
from vda.scene.scene import RunRecord, Scene, chunk_windows
from vda.scene.status import scene_status
from vda.splitting.settings import PlanSettings
from vda.splitting.shotlist import is_found, read_shot_list
from vda.video import FrameIndex

RUN: dict[str, Any] = {
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
    "proofs": [
        {"id": "cpu", "device": "CPU", "failed": {}, "figures": {"fp16": {"is_finite": True, "scale": 1.0}}}
    ],
}
PLAN, VIDEO = "vda_chunks/chunks_metadata.json", "scene.json"
EVENTS = "vda_logs/events_h_cpu.jsonl"
FRAMES = range(60)

# A scene.


def planned(folder: Path, source: Path, **settings: Any) -> dict[str, bytes]:
    """The files of the scene that is planned of ``source``."""
    return content(plan_scene(source, folder, PlanSettings(**settings)).root)


def begun() -> dict[str, bytes]:
    """What a run leaves in a scene."""
    stamp = {"unix_s": 1.0, "host": "h", "device": "cpu", "pid": 3, "chunk": 0}
    events = [
        {"event": "window_begun", **stamp, "sequence": 0, "k": 1},
        {"event": "paused", **stamp, "reason": "room"},
        {"event": "chunk_begun", **stamp, "model": "mini", "windows": 3, "frames": 3},
    ]
    attempts = {"1": vars(ChunkAttempts(1, 0, 2.0, ("cpu",), False, "it broke", "cpu"))}
    return {
        "vda_windows/run.json": js(RUN),
        EVENTS: b"".join(js(event) + b"\n" for event in events),
        "vda_run/attempts.json": js(attempts),
        "vda_run/devices.json": js({"cpu": vars(DeviceNotes((("s", 1),), 2.0, 3))}),
        "vda_run/holder.json": js(vars(Holder(1, "h", 1.0, "vda_run", 2.0))),
        "vda_run/pause.json": js(vars(Pause("no room", 1.0))),
        "vda_run/recomputed_node.jsonl": js({"window": [0, 1], "problem": "inf", "instead": "fp32"}) + b"\n",
        "vda_run/workers/a/state.json": js(vars(WorkerState("a", "cpu", 1, chunk=0, scene="s"))),
    }


def use_scene(folder: Path) -> object:
    scene = Scene(folder)
    run = RunFiles(scene.run_dir)
    return every_way(
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


def use_picture(folder: Path) -> object:
    """Which part of the pictures is computed of each shot."""
    scene = Scene(folder)
    plan, choice = scene.plan(), scene.picture()
    shots = range(min(len(plan.shots), 50))
    scene.framings(shots)
    return choice.to_json(), [plan.frame(place) for place in range(min(len(plan.frames), 50))]


def use_events(folder: Path) -> object:
    scene = Scene(folder)
    scene_status(scene)
    return list(read_events(scene))


# Its parts.


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
    return written(
        lambda path: write_raw_window(path, packed(depth), (3,), "scene 0 1"), "window_000_00001.npz", folder
    )


def use_worker(path: Path) -> object:
    kinds = (Order, WorkerSettings, WorkerState)
    return every_way(*(partial(kind.read, path) for kind in kinds), lambda: known_fit(path))


def use_trial(path: Path) -> object:
    try:
        return TrialRequest.read(path) if path.name == "trial.json" else read_proof(path)
    except DeviceError as error:  # what a proof may be
        return str(error)


def trial(folder: Path) -> tuple[Files, ...]:
    request = TrialRequest(
        "scene",
        RunRecord(**{**RUN, "proofs": ()}),
        Verdict("CPU", ("fp16", "fp32"), {"bf16": "it is slow"}),
        (0, 1),
    )
    figures = {"is_finite": True, "is_constant": False, "mean_difference": 0.1, "p99_difference": None}
    figures |= {"scale": 1.0, "shift": 0.0, "seconds": 1.0, "fp32_seconds": 2.0}
    proof = {**asdict(Proof("CPU", {"bf16": "no"})), "figures": {"fp16": figures}}
    return (
        {"trial.json": written(request.write, "trial.json", folder)},
        {"proof.json": js({"proof": proof})},
        {"proof.json": js({"problem": "It is wrong.", "remedy": "Mend it."})},
    )


# What is given to a plan.

SHOTS = (
    b"shot,start_frame,end_frame,start_seconds,found_by\n0,0,20,0.000,first frame\n1,20,60,0.800,PySceneDetect\n"
)
SCENES = (
    b"Timecode List:,00:00:00.800\n"
    b"Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame,End Timecode\n"
    b"1,1,00:00:00.000,0.000,20,00:00:00.800\n2,21,00:00:00.800,0.800,60,00:00:02.400\n"
)


def use_shots(path: Path) -> object:
    is_found(path)
    return read_shot_list(path, FRAMES)


def mask(suffix: str, *shape: int, kind: Any = np.uint8) -> bytes:
    pixels = np.zeros(shape, kind)
    pixels[: shape[0] // 2] = np.iinfo(kind).max
    return bytes(cv2.imencode(suffix, pixels)[1])


def masks() -> tuple[Files, ...]:
    width, height = SIZE
    whole = (mask(".png", height, width, more) for more in (1, 3, 4))
    return (
        *one("m.png", *whole, mask(".png", 3 * height, 3 * width, 1, kind=np.uint16)),
        *one("m.tif", mask(".tiff", height, width, 3)),
        *one("m.jpg", mask(".jpg", height, width, 3)),
    )


def use_typed(path: Path) -> object:
    """What stands behind an option, in every form that options take."""
    text = path.read_bytes().decode(errors="surrogateescape")
    types = (SIZE_TYPE, CROP, FRAME_RANGE, SHARD, SHARES, SCALE_AND_SHIFT, DepthScale())
    values = [read for kind in types if (read := _converted(kind, text)) is not None]
    return [
        *values,
        *every_way(lambda: PictureChoice((1920, 1080)).cropped(read_crop(text)).framing(), _shard(text)),
    ]


def _converted(kind: click.ParamType, text: str) -> object:
    try:
        return kind.convert(text, None, None)
    except click.UsageError:
        return None


def _shard(text: str) -> Any:
    index, _, count = text.partition("/")
    return lambda: Shard.of_slurm_task({"SLURM_PROCID": index, "SLURM_NTASKS": count})


# Plans and depth of other programs.


def foreign() -> Files:
    """A classic plan, with the depth that another program made of its chunks."""
    depth = np.linspace(1, 5, 12 * SIZE[0] * SIZE[1], dtype=np.float32).reshape(12, SIZE[1], SIZE[0])
    stacks = [array(np.savez, depths=part) for part in (depth[:8], depth[4:])]
    chunks = [
        {"chunk_id": i, "global_start_frame": 4 * i, "global_end_frame": 4 * i + 8, "num_frames": 8,
         "keep_start_local": 0 if i == 0 else 2, "keep_end_local": 8 if i else 6, "gpu_assignment": i}
        for i in range(2)
    ]  # fmt: skip
    video = {"total_frames": 12, "width": SIZE[0], "height": SIZE[1], "fps": 25.0}
    plan = {"video_info": video, "num_chunks": 2, "overlap_frames": 4, "chunks": chunks}
    return {
        "plan.json": js(plan),
        "depth/chunk_00_depths.npz": stacks[0],
        "depth/chunk_01_depths.npz": stacks[1],
    }


def merge_foreign(folder: Path) -> object:
    return merge_chunks(folder / "plan.json", folder / "depth", folder / "out", MergeSettings(overwrite=True))


def scene_targets(folder: Path) -> Mapping[str, Target]:
    clip = make_clip(folder / "v.mp4", FRAMES)
    scene = planned(folder / "scene", clip, chunks=2) | begun()
    in_place = {name: scene[name] for name in (VIDEO, PLAN)}
    counted = in_place | {"frame_index.npz": scene["frame_index.npz"]}
    (folder / "shots.csv").write_bytes(SHOTS)
    (folder / "mask.png").write_bytes(mask(".png", 48, 80, 1))
    parts = planned(
        folder / "parts", clip, shots=folder / "shots.csv", crop="0,8,80,32", mask=folder / "mask.png", max_res=64
    )
    thinned = planned(folder / "thinned", make_folder(folder / "images", range(3, 63)), stride=2)
    return {
        "scene": Target(
            "all records of a scene (`scene/scene`, `scene/runstate`, `scene/status`)", use_scene, (scene,)
        ),
        "plan": Target(
            "`chunks_metadata.json` (`scene/planfile`, `scene/chunks`)", use_scene, (counted,), (PLAN,)
        ),
        "picture": Target(
            "the same with shots, crop and mask, and of images that are thinned (`scene/picturechoice`)",
            use_picture,
            (parts, thinned),
            (PLAN, VIDEO),
        ),
        "events": Target(
            "`events_*.jsonl` (`scene/events`)", use_events, (counted | {EVENTS: scene[EVENTS]},), (EVENTS,)
        ),
        "frame_index": Target(
            "`frame_index.npz` (`video/index`)",
            only(use_index),
            one("frame_index.npz", make_index(folder), scene["frame_index.npz"], thinned["frame_index.npz"]),
        ),
        "raw_window": Target(
            "`window_*.npz` (`scene/rawwindows`)",
            only(lambda path: check_raw_window(path).slot(0)),
            one("window_000_00001.npz", make_window(folder)),
        ),
        "worker": Target(
            "orders, settings, heartbeats and memory of workers (`scene/runstate`, `compute/computer`)",
            only(use_worker),
            one(
                "state.json",
                js(vars(Order(1, "s", 2))),
                js(vars(WorkerSettings("cpu", 1))),
                js(vars(WorkerState("a", "cpu", 1))),
                js(asdict(MemoryFit(2, 3))),
            ),
        ),
        "trial": Target("`trial.json`, `proof.json` (`compute/trial`)", only(use_trial), trial(folder)),
        "shots": Target(
            "lists of shots (`splitting/shotlist`)",
            only(use_shots),
            one("s.csv", SHOTS, SCENES, SHOTS.replace(b",", b";")),
        ),
        "mask": Target(
            "images for `--mask` (`picture/overlay`)", only(lambda path: read_overlay(path, SIZE)), masks()
        ),
        "typed": Target(
            "no file: crops, sizes, ranges, shares and shards as they are typed (`cli/types`)",
            only(use_typed),
            one(
                "v.txt",
                b"0,138,1920,804",
                b"auto",
                b"1920x1080",
                b"0:250",
                b"0/3",
                b"80/10/10",
                b"0.01,0.02",
                b"mm",
            ),
        ),
        "foreign": Target(
            "plans and depth of other programs (`merging/stage`, `joining/chunkdepths`)",
            merge_foreign,
            (foreign(),),
        ),
    }
