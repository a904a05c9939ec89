"""Records that are JSON but have another shape: refused in the project's words, with the file's name."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip

from vda.api.pipeline import plan_scene
from vda.calibration.fit import load_calibration
from vda.camera.files import read_camera
from vda.camera.posed import read_cameras_json
from vda.depthmaps.codes import DepthRecord
from vda.errors import VdaError
from vda.records import ShapeError, filled
from vda.scene.runstate import Holder, Order, Pause, RunFiles, WorkerSettings, WorkerState
from vda.scene.scene import Scene
from vda.video import VideoInfo

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
    with pytest.raises(VdaError, match=name):
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


@pytest.mark.parametrize("value", NO_NUMBER)
def test_what_is_no_whole_number_is_none(value: object) -> None:
    with pytest.raises(ShapeError):
        filled(int, value)


def test_types_come_out_as_they_are_named() -> None:
    assert filled(dict[str, tuple[int, ...]], {"a": [1, 2]}) == {"a": (1, 2)}
    assert filled(Fraction, "30000/1001") == Fraction(30000, 1001)
    assert filled(float | None, None) is None
    with pytest.raises(ShapeError, match=r"it\[1\]"):
        filled(list[float], [1, float("inf")])
