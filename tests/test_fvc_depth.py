"""Depth and tracks beside the picture: the same pixels, the same metres, whatever is wrong with one row."""

import errno
import fcntl
import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import pytest
from data_sets import content, log_of, pictures, scaled, table
from stills import make_folder

from vda.api.pipeline import RunSettings, plan_scene
from vda.api.todepth import depth as compute
from vda.camera.intrinsics import Intrinsics, project, unproject
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.depthmaps.source import open_depth
from vda.errors import UsageError
from vda.fvc.makedepth import DepthMaker
from vda.fvc.paths import Places
from vda.fvc.rate import Rate
from vda.fvc.request import Item, ScaleSettings
from vda.fvc.scale import ScaleResult, scale
from vda.merging.settings import MergeSettings
from vda.reporter import Silence
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings

WIDTH, HEIGHT, FRAMES = 160, 90, 6
BOTH = ScaleSettings(size=64, modality="both")


def with_depth(folder: Path, name: str = "a", frames: int = FRAMES) -> Path:
    """A video and its scene, with depth in millimetres: a step from 1 m to 3 m, and a square without depth."""
    video = clips.make_clip(
        folder / f"{name}.mp4", range(frames), draw=lambda number: clips.picture(number, WIDTH, HEIGHT)
    )
    scene = plan_scene(video, folder / f"{name}_scene")
    for frame in range(frames):
        write_png16(scene.depth_path(frame), codes_of(frame))
    DepthRecord(Quantizer.millimetres(), frames, WIDTH, HEIGHT, "test").write(scene.depth_record_path)
    return scene.root


def codes_of(frame: int) -> np.ndarray:
    codes = np.full((HEIGHT, WIDTH), 1000 + frame, np.uint16)
    codes[:, WIDTH // 2 :] = 3000 + frame
    codes[20:40, 30:70] = 0
    return codes


def grey(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])


def one_row(folder: Path, **columns: object) -> Path:
    return table(folder / "videos.csv", [{"video_path": "a.mp4", "label": "real", "scene": "a_scene", **columns}])


def test_depth_comes_pixel_for_pixel_with_the_picture(tmp_path: Path) -> None:
    with_depth(tmp_path)
    scale(one_row(tmp_path), tmp_path / "out", BOTH)
    (row,) = scaled(tmp_path / "out")
    depth = grey(tmp_path / "out" / row["depth_path"])
    assert depth.dtype == np.uint16
    assert depth.shape == pictures(tmp_path / "out" / row["video_path"]).shape[:3] == (FRAMES, 64, 64)
    inner = depth[:, 14:50]
    assert not depth[:, :14].any() and not depth[:, 50:].any()
    for frame in range(FRAMES):
        assert set(np.unique(inner[frame])) == {0, 1000 + frame, 3000 + frame}
    assert (inner[:, :, 32:] >= 3000).all() and (inner[:, :, :32] < 3000).all()
    # 20..40 of 90 rows and 30..70 of 160 columns, at 0.4 of their size.
    rows, columns = np.nonzero(inner[0] == 0)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (8, 16, 12, 28)
    about = json.loads((tmp_path / "out" / "a_scaled_original_depth.json").read_text())
    assert (about["scale"], about["unit"], about["frames"], about["width"]) == (0.001, "metre", FRAMES, 64)


def test_images_have_the_rate_that_their_scene_was_planned_with(tmp_path: Path) -> None:
    make_folder(tmp_path / "images", range(1001, 1001 + FRAMES), side=WIDTH)
    scene = plan_scene(tmp_path / "images", tmp_path / "a_scene", PlanSettings(fps=50))
    for number in range(1001, 1001 + FRAMES):
        write_png16(scene.depth_path(number), np.full((96, WIDTH), 1000, np.uint16))
    numbers = list(range(1001, 1001 + FRAMES))
    record = DepthRecord(Quantizer.millimetres(), FRAMES, WIDTH, 96, "test", frame_indices=numbers)
    record.write(scene.depth_record_path)
    scale(one_row(tmp_path, video_path="images"), tmp_path / "out", BOTH)
    (row,) = scaled(tmp_path / "out")
    assert float(row["fps"]) == 50
    assert "25 a second" not in (tmp_path / "out" / "scaled_log.csv").read_text()


def test_depth_as_images_is_read_back_as_depth(tmp_path: Path) -> None:
    with_depth(tmp_path)
    settings = ScaleSettings(size=64, modality="depth", depth_format="png", rate=Rate(stride=2))
    scale(one_row(tmp_path), tmp_path / "out", settings)
    (row,) = scaled(tmp_path / "out")
    assert row["video_path"] == row["depth_path"]
    source = open_depth(tmp_path / "out" / row["depth_path"])
    assert list(source.frames) == [0, 1, 2]
    assert source.read(2)[30, 60] == pytest.approx(3.004)
    assert np.isnan(source.read(2)[0, 0])
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_rows_without_usable_depth_are_told_of(tmp_path: Path) -> None:
    with_depth(tmp_path, "a")
    with_depth(tmp_path, "b", frames=5)
    for name in ("c", "d"):
        clips.make_clip(tmp_path / f"{name}.mp4", range(4))
    plan_scene(tmp_path / "d.mp4", tmp_path / "d_scene")
    scenes = {"a": "a_scene", "b": "a_scene", "c": "", "d": "d_scene"}
    metadata = table(
        tmp_path / "videos.csv",
        ({"video_path": f"{name}.mp4", "label": "real", "scene": scene} for name, scene in scenes.items()),
    )
    result = scale(metadata, tmp_path / "out", BOTH)
    assert result.scaled == 1
    reasons = {source: message for source, state, message in log_of(tmp_path / "out") if state == "failed"}
    assert "another video" in reasons["b.mp4"]
    assert "names no scene" in reasons["c.mp4"]
    assert "no merged depth" in reasons["d.mp4"]


def test_a_video_whose_depth_ends_too_early_leaves_nothing_behind(tmp_path: Path) -> None:
    root = with_depth(tmp_path)
    (root / "vda_merged_depth" / "depth_000004.png").unlink()
    result = scale(one_row(tmp_path), tmp_path / "out", BOTH)
    assert "no depth of frame 4" in result.failed["a_scaled_original.mp4"]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"scaled_log.csv", "scaled_metadata.csv", "scaled_state"}


def test_depth_that_is_not_there_is_computed_for_all_videos_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        clips.make_clip(tmp_path / f"{name}.mp4", range(3))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    names = ("a", "broken", "b")
    metadata = table(tmp_path / "videos.csv", ({"video_path": f"{name}.mp4", "label": "real"} for name in names))
    run = RunSettings(model="mini", input_size=56, devices="cpu", on="inline", threads=1)
    maker = DepthMaker(tmp_path / "out" / "scenes", Places(metadata), run, Silence())
    result = scale(metadata, tmp_path / "out", BOTH, maker=maker)
    assert result.scaled == 2
    assert "cannot be opened" in result.failed["broken_scaled_original.mp4"]
    compute([tmp_path / "a.mp4"], [tmp_path / "alone"], run, MergeSettings())
    alone, made = open_depth(tmp_path / "alone" / "vda_merged_depth"), tmp_path / "out" / "scenes"
    assert (open_depth(made / "a_scaled_original" / "vda_merged_depth").read(1) == alone.read(1)).all()
    assert all(grey(tmp_path / "out" / row["depth_path"]).any() for row in scaled(tmp_path / "out"))


def made_depth(metadata: Path, out: Path, input_size: int | None, **options: object) -> ScaleResult:
    run = RunSettings(model="mini", input_size=input_size, devices="cpu", on="inline", threads=1)
    maker = DepthMaker(out / "scenes", Places(metadata), run, Silence())
    return scale(metadata, out, BOTH, maker=maker, **options)  # type: ignore[arg-type]


def test_each_depth_is_computed_by_one_of_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        clips.make_clip(tmp_path / f"{name}.mp4", range(3))
    metadata = table(tmp_path / "videos.csv", ({"video_path": f"{name}.mp4", "label": "real"} for name in "ab"))
    made_depth(metadata, tmp_path / "alone", 56)
    planned, computed = DepthMaker._planned, list[str]()

    def planning(self: DepthMaker, item: Item, *others: Any) -> Scene:
        computed.append(item.name)
        return planned(self, item, *others)

    monkeypatch.setattr(DepthMaker, "_planned", planning)
    with ThreadPoolExecutor(2) as both:
        results = [both.submit(made_depth, metadata, tmp_path / "out", 56) for _ in range(2)]
        assert sum(result.result().scaled for result in results) == 2
    assert sorted(computed) == ["a_scaled_original.mp4", "b_scaled_original.mp4"]
    files = [content(tmp_path / folder) for folder in ("out", "alone")]
    made = [{name: data for name, data in each.items() if not name.startswith("scenes/")} for each in files]
    assert made[0] == made[1]


@pytest.mark.parametrize("locks", [None, errno.ENOLCK], ids=["always", "ENOLCK"])
def test_depth_where_no_locks_are_kept_is_refused_before_anything_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: int | None
) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(3))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])

    def given(_handle: object, command: int, record: bytes) -> bytes:
        if locks is not None:
            raise OSError(locks, os.strerror(locks))
        return struct.pack("hhqqi4x", fcntl.F_UNLCK, 0, 0, 0, 0) if command == fcntl.F_OFD_GETLK else record

    monkeypatch.setattr(fcntl, "fcntl", given)
    with pytest.raises(UsageError, match="keeps no locks"):
        made_depth(metadata, tmp_path / "out", 56)
    assert not list(tmp_path.glob("out/scenes/*"))


def test_depth_of_two_kinds_does_not_come_into_one_table(tmp_path: Path) -> None:
    for name in ("a", "b"):
        clips.make_clip(tmp_path / f"{name}.mp4", range(3))
    out = tmp_path / "out"
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    made_depth(metadata, out, 56)
    about = json.loads((out / "a_scaled_original_depth.json").read_text())
    assert (about["model"], about["settings"]["input_size"]) == ("mini", 56)
    assert {"weights_sha256", "precision"} <= about["settings"].keys()
    table(metadata, [{"video_path": f"{name}.mp4", "label": "real"} for name in ("a", "b")])
    with pytest.raises(UsageError, match="input size 56 became 70") as refused:
        made_depth(metadata, out, 70)
    assert "--delete-existing" in refused.value.remedy
    assert len(scaled(out)) == 1
    # What is not stated is as it was.
    assert made_depth(metadata, out, 56).scaled == 1
    made_depth(metadata, out, 70, delete_existing=True)
    sizes = [json.loads((out / row["depth_path"]).with_suffix(".json").read_text()) for row in scaled(out)]
    assert [about["settings"]["input_size"] for about in sizes] == [70, 70]


def test_scenes_of_two_kinds_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    rows = []
    for name, model in (("a", "one"), ("b", "another")):
        root = with_depth(tmp_path, name)
        DepthRecord(Quantizer.millimetres(), FRAMES, WIDTH, HEIGHT, model).write(Scene(root).depth_record_path)
        rows.append({"video_path": f"{name}.mp4", "label": "real", "scene": root.name})
    with pytest.raises(UsageError, match="model one became another"):
        scale(table(tmp_path / "videos.csv", rows), tmp_path / "out", BOTH)
    assert not list((tmp_path / "out").glob("*.mkv"))


CAMERA = Intrinsics(WIDTH, HEIGHT, 140.0, 140.0, 79.5, 44.5)


def track_file(path: Path, places: np.ndarray, depths: np.ndarray) -> Path:
    """Classic tracks of one thing: at pixel ``places`` [N, 2], so far away, enriched."""
    positions = unproject(CAMERA, places, depths)
    records = [
        {
            "frame": f"frame_{number:05d}",
            "bbox": [x - 5, y - 10, x + 5, y],
            "contact_2d": [x, y],
            "name": "kept as it is",
            "vda_depth": depth,
            "vda_position_3d": dict(zip("xyz", position, strict=True)),
        }
        for number, ((x, y), depth, position) in enumerate(
            zip(places.tolist(), depths.tolist(), positions.tolist(), strict=True)
        )
    ]
    intrinsics = {name: getattr(CAMERA, name) for name in ("fx", "fy", "cx", "cy")}
    metadata = {"width": WIDTH, "height": HEIGHT, "who": "somebody"}
    path.write_text(json.dumps({"metadata": metadata, "intrinsics": intrinsics, "tracks": records}))
    return path


def thing(number: int) -> tuple[int, int]:
    return 30 + 15 * number, 20 + 8 * number


def with_thing(number: int) -> np.ndarray:
    """A white square of 9 pixels on grey, centred where ``thing`` says."""
    x, y = thing(number)
    rgb = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    rgb[y - 4 : y + 5, x - 4 : x + 5] = 250
    return rgb


@pytest.mark.parametrize("settings", [ScaleSettings(size=128), ScaleSettings(size=256, method="resize")])
def test_tracks_in_3d_project_onto_the_things_in_the_scaled_picture(
    tmp_path: Path, settings: ScaleSettings
) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(FRAMES), draw=with_thing)
    places = np.array([thing(number) for number in range(FRAMES)], float)
    track_file(tmp_path / "tracks.json", places, np.linspace(2, 5, FRAMES))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real", "tracks": "tracks.json"}])
    scale(metadata, tmp_path / "out", settings)
    (row,) = scaled(tmp_path / "out")
    assert row["tracks_path"] == "a_tracks.json"
    found = json.loads((tmp_path / "out" / "a_tracks.json").read_text())
    size = int(row["width"]), int(row["height"])
    assert (found["metadata"]["width"], found["metadata"]["height"]) == size
    camera = Intrinsics(*size, **found["intrinsics"])
    shown = pictures(tmp_path / "out" / row["video_path"])
    for number, record in enumerate(found["tracks"]):
        position = np.array([[record["vda_position_3d"][axis] for axis in "xyz"]])
        (pixel,) = project(camera, position)
        np.testing.assert_allclose(pixel, record["contact_2d"], atol=1e-3)
        weights = shown[number, ..., 1].astype(float).clip(100) - 100
        y, x = np.indices(weights.shape)
        centre = (x * weights).sum() / weights.sum(), (y * weights).sum() / weights.sum()
        np.testing.assert_allclose(pixel, centre, atol=0.15)
        assert record["bbox"][3] == record["contact_2d"][1]
        assert (record["name"], record["frame"]) == ("kept as it is", f"frame_{number:05d}")
    assert [record["vda_depth"] for record in found["tracks"]] == pytest.approx(np.linspace(2, 5, FRAMES))
    assert found["metadata"]["who"] == "somebody"


def test_tracks_say_which_frame_of_the_scaled_video_theirs_is(tmp_path: Path) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(FRAMES), draw=with_thing)
    places = np.array([thing(number) for number in range(FRAMES)], float)
    track_file(tmp_path / "tracks.json", places, np.full(FRAMES, 2.0))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real", "tracks": "tracks.json"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=128, rate=Rate(stride=2)))
    found = json.loads((tmp_path / "out" / "a_tracks.json").read_text())
    assert [record["scaled_frame"] for record in found["tracks"]] == [0, None, 1, None, 2, None]


def test_coco_tracks_are_mapped_from_the_corner_of_the_image(tmp_path: Path) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(2), draw=with_thing)
    images = [{"id": number, "frame_id": number, "width": WIDTH, "height": HEIGHT} for number in range(2)]
    boxes = [{"id": 1, "image_id": 1, "bbox": [16, 10, 32, 20], "segmentation": [[0, 0, 160, 0, 160, 90]]}]
    boxes[0] |= {"area": 640, "keypoints": [21, 31, 2, 0, 0, 0], "num_keypoints": 1}
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": boxes}))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real", "tracks": "coco.json"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=80))
    found = json.loads((tmp_path / "out" / "a_tracks.json").read_text())
    # Half the size, 17 pixels further down: 45 of 80 rows in the middle.
    assert found["annotations"][0]["bbox"] == [8, 22, 16, 10]
    assert found["annotations"][0]["segmentation"] == [[0, 17, 80, 17, 80, 62]]
    assert found["annotations"][0]["area"] == 160
    # Pixels' centres: (21 + 1/2) / 2 - 1/2. What is not labelled has no place to be mapped.
    assert found["annotations"][0]["keypoints"] == [10.25, 32.25, 2, 0, 0, 0]
    assert found["images"][0]["width"] == found["images"][0]["height"] == 80
    assert found["info"]["scaled"]["padding"] == {"left": 0, "top": 17, "right": 0, "bottom": 18}
