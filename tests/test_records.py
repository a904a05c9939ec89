"""Records that are JSON but have another shape: refused in the project's words, with the file's name."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip

from vda.api.pipeline import plan_scene
from vda.calibration.fit import load_calibration
from vda.camera.files import read_camera
from vda.camera.posed import read_cameras_json
from vda.compute.trial import TrialRequest, read_proof
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.errors import InputError, VdaError
from vda.fvc.clipreading import clip_times
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge_chunks
from vda.records import FilePath, InnerPath, ShapeError, filled, is_count
from vda.scene.chunks import plan_linked
from vda.scene.planfile import plan_metadata
from vda.scene.runstate import Holder, Order, Pause, RunFiles, WorkerSettings, WorkerState
from vda.scene.scene import Scene
from vda.tracks.textfiles import added_columns
from vda.video import FrameIndex, VideoInfo

SHAPES = ["[]", "{}", "3", "null", '"text"', "[[]]", '{"a": []}', "1" * 400, "[" * 100_000, "1e999", "NaN", "\xff"]
HUGE = 10**300
NO_NUMBER: list[object] = [True, "3", None, [], {}, 1.5, HUGE, -HUGE]

READERS: dict[str, Callable[[Path], object]] = {
    "depth.json": DepthRecord.read,
    "calibration.json": load_calibration,
    "camera.json": read_camera,
    "cameras.json": read_cameras_json,
    "attempts.json": lambda path: RunFiles(path.parent).read_attempts(),
    "devices.json": lambda path: RunFiles(path.parent).read_devices(),
    "proof.json": read_proof,
    "trial.json": TrialRequest.read,
    "chunks_metadata.json": lambda path: merge_chunks(path, path.parent, path.parent / "out", MergeSettings()),
    "a.txt.vda.json": lambda path: added_columns(path.with_name("a.txt")),
    "a_times.json": clip_times,
    **{f"{kind.__name__}.json": kind.read for kind in (Holder, Order, Pause, WorkerSettings, WorkerState)},
}
# Nothing failed yet, and nothing is known of any device.
EMPTY_IS_SOUND = {"attempts.json", "devices.json"}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", SHAPES, ids=lambda text: text[:9])
def test_another_shape_is_refused_in_words(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    if text == "{}" and name in EMPTY_IS_SOUND:
        return
    # A plan of other programs is known by what it says and not by its path.
    with pytest.raises(VdaError, match="plan|could not be read" if name == "chunks_metadata.json" else name):
        READERS[name](tmp_path / name)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    return plan_scene(make_clip(folder / "v.mp4", range(40)), folder / "scene")


@pytest.mark.parametrize("text", SHAPES, ids=lambda text: text[:9])
@pytest.mark.parametrize(
    ("name", "read"), [("video_path", Scene.film), ("plan_path", Scene.plan), ("run_path", Scene.run_record)]
)
def test_a_scenes_records_of_another_shape_are_refused(
    scene: Scene, name: str, read: Callable[[Scene], object], text: str
) -> None:
    path = getattr(scene, name)
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="latin-1")
    try:
        with pytest.raises(VdaError):
            read(scene)
    finally:
        path.unlink() if before is None else path.write_bytes(before)


@pytest.mark.parametrize("key", ["size_bytes", "width", "height", "fps", "time_base", "path", "notes"])
def test_each_number_of_a_video_is_held_to_its_range(scene: Scene, key: str) -> None:
    record: dict[str, Any] = json.loads(scene.video_path.read_text())
    wrong: tuple[object, ...] = (None, {}, HUGE, -1, [3])
    for value in wrong:
        with pytest.raises(ShapeError, match=key):
            VideoInfo.from_json({**record, key: value})
    with pytest.raises(ShapeError, match=f"{key} is missing"):
        VideoInfo.from_json({name: value for name, value in record.items() if name != key})


WRONG_PARTS: list[dict[str, object]] = [
    {"shots": [{}]},
    {"shots": [3]},
    {"shots": [{"start_frame": 0, "end_frame": HUGE}]},
    {"shots": [{"start_frame": 0, "end_frame": 8, "scale": "1", "shift": []}]},
    {"shots": [{"start_frame": 0, "end_frame": 8, "chunks": [{"start_frame": 0}]}]},
    {"settings": {"frame_range": [0]}},
    {"settings": {"frame_range": 3}},
    {"settings": {"frame_range": [-1, 8]}},
    {"settings": {"net_width": []}},
    {"picture": {"video_size": [8, 0]}},
    {"picture": {"boxes": [[0, 0, 8]]}},
    {"picture": {"boxes": {"0": 1}}},
    {"picture": {"crop": 3}},
    {"thinning": {"stride": 0}},
    {"thinning": {"fps": "3"}},
    {"levels": {"png8": {"scale": 1}}},
    {"levels": {"png8": {"scale": 0, "offset": 0, "first": 1, "last": 255}}},
    {"levels": {"png8": {"scale": 1, "offset": 0, "first": 1, "last": HUGE}}},
    {"frame_indices": [0]},
    {"frame_indices": [0, 0, 1, 2, 3, 4, 5, 6]},
    {"missing_frames": [-1]},
    {"resized_frames": [[0, 1]]},
    {"pixel_aspect": "0"},
    {"pixel_aspect": "1/0"},
]


@pytest.mark.parametrize("wrong", WRONG_PARTS, ids=str)
def test_each_part_of_a_depth_record_is_held_to_its_shape(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "depth.json"
    DepthRecord(Quantizer.millimetres(), 8, 8, 8).write(path)
    assert DepthRecord.read(path).frames == 8
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    with pytest.raises(VdaError, match=next(iter(wrong))):
        DepthRecord.read(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"proof": {"device": 3}},
        {"proof": {"device": "cpu", "failed": {"fp8": "no"}}},
        {"proof": {"device": "cpu", "figures": {"fp16": {"is_finite": 1}}}},
        {"problem": "It is broken."},
        {"problem": [], "remedy": {}},
    ],
    ids=str,
)
def test_a_proof_that_is_none_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    (tmp_path / "proof.json").write_text(json.dumps(wrong))
    with pytest.raises(InputError, match=r"proof\.json"):
        read_proof(tmp_path / "proof.json")


def test_proofs_in_a_run_are_held_to_their_shape(scene: Scene) -> None:
    proof = {"id": "cpu", "device": "CPU", "failed": {}, "figures": {"fp16": {"is_finite": True, "scale": 1.0}}}
    names = ("model", "asked_model", "licence", "weights_sha256", "weights_path", "weights_source")
    texts = dict.fromkeys((*names, "precision", "precision_reason", "version"), "x")
    sides = dict.fromkeys(("input_size", "net_width", "net_height"), 28)
    scene.run_path.parent.mkdir(exist_ok=True)
    try:
        for proofs, is_sound in (([proof], True), ([{}], False), ([{**proof, "failed": []}], False), ([3], False)):
            record: dict[str, Any] = {**texts, **sides, "metric": False, "proofs": proofs}
            scene.run_path.write_text(json.dumps(record))
            if is_sound:
                assert scene.run_record() is not None
                continue
            with pytest.raises(InputError, match=r"run\.json"):
                scene.run_record()
    finally:
        scene.run_path.unlink()


@pytest.mark.parametrize("video", [[], 3, {"width": "8"}, {"fps": HUGE}, {"height": -1}], ids=str)
def test_what_a_foreign_plan_says_of_its_video_is_held_to_its_shape(tmp_path: Path, video: Any) -> None:
    plan = plan_metadata(plan_linked(64, 1), {})
    plan["video_info"] = {**plan["video_info"], **video} if isinstance(video, dict) else video
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(VdaError, match="plan"):
        merge_chunks(tmp_path / "plan.json", tmp_path, tmp_path / "out", MergeSettings())


@pytest.mark.parametrize(
    "text", [*SHAPES, '{"time_base": "1/25", "source": "guessed"}'], ids=lambda text: text[:9]
)
def test_a_frame_index_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "frame_index.npz"
    np.savez(path, facts=text, pts=np.arange(3))
    with pytest.raises(InputError, match="frame_index"):
        FrameIndex.load(path)


@pytest.mark.parametrize("name", ["pts", "crc32", "keyframes", "numbers", "files", "checksums", "other"])
def test_the_arrays_of_a_frame_index_have_a_row_a_frame(tmp_path: Path, name: str) -> None:
    path = tmp_path / "frame_index.npz"
    FrameIndex(np.arange(3), Fraction(1, 25), "decoded", sizes=((0, 8, 8),)).save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    assert len(FrameIndex.load(path)) == 3
    for wrong in (np.zeros((3, 2), np.int64), np.float64(3), np.array([0.5, 1, 2]), np.array([None, 1, 2])):
        np.savez(path, **{**arrays, name: wrong})
        with pytest.raises(InputError, match="frame_index"):
            FrameIndex.load(path)


@pytest.mark.parametrize("value", NO_NUMBER)
def test_what_is_no_whole_number_is_none(value: object) -> None:
    with pytest.raises(ShapeError):
        filled(int, value)


def test_types_come_out_as_they_are_named() -> None:
    assert filled(dict[str, tuple[int, ...]], {"a": [1, 2]}) == {"a": (1, 2)}
    assert filled(Fraction, "30000/1001") == Fraction(30000, 1001)
    assert filled(float | None, None) is None
    with pytest.raises(ShapeError, match=r"name in it"):
        filled(dict[InnerPath, str], {"../../home": ""})
    with pytest.raises(ShapeError, match=r"it\[1\]"):
        filled(list[float], [1, float("inf")])


@pytest.mark.parametrize("path", ["é" * 128, "a/" + "b" * 256, "a/" * 2048, "a\0b", "\ud800"])
def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path, path: str) -> None:
    """Names of Linux have 255 bytes at most and paths 4095; asking for a longer one is an error of the system."""
    for kind in (FilePath, InnerPath, Path):
        with pytest.raises(ShapeError):
            filled(kind, path)
    holder = {"pid": 1, "host": "h", "since": 1.0, "home": path}
    (tmp_path / "holder.json").write_text(json.dumps(holder))
    with pytest.raises(InputError, match="home"):
        RunFiles(tmp_path).home()


@pytest.mark.parametrize("path", ["é" * 127 + "x", "a/" * 2047 + "b", "caf\udce9"])
def test_a_path_that_a_file_can_have_is_read(path: str) -> None:
    assert filled(FilePath, path) == path and filled(Path, path) == Path(path)


@pytest.mark.parametrize(
    ("text", "is_one"), [("0", 1), ("9" * 18, 1), ("9" * 5000, 0), ("²", 0), ("-1", 0), ("", 0)]
)
def test_what_int_refuses_is_no_count(text: str, is_one: bool) -> None:
    assert is_count(text) == bool(is_one)


def test_an_index_of_frames_that_are_ages_apart_is_refused(tmp_path: Path) -> None:
    for years, is_sound in ((60, True), (70, False)):
        pts = np.array([0, round(years * 365.25 * 86400 * 25)])
        FrameIndex(pts, Fraction(1, 25), "decoded").save(tmp_path / "frame_index.npz")
        if is_sound:
            assert FrameIndex.load(tmp_path / "frame_index.npz").frame_rate(Fraction(25)) > 0
            continue
        with pytest.raises(InputError, match="years"):
            FrameIndex.load(tmp_path / "frame_index.npz")
