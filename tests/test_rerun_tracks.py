"""Tracks in a recording: of any format in the picture and, once enriched, in space. Read back by rerun itself."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_export
from test_export import calibrate, colmap, run, transforms

from vda.cli.export import export as export_command
from vda.errors import InputError, UsageError
from vda.scene.scene import Scene
from vda.tracks import Asked

scene = test_export.scene
PLACE = {"vda_valid": True, "vda_position_3d": {"x": 0.5, "y": 0.25, "z": 5.0}}
COCO: dict[str, Any] = {
    "images": [{"id": 11, "frame_id": 0, "width": 320, "height": 240}, {"id": 13, "frame_id": 2}],
    "annotations": [{"id": 1, "image_id": 13, "bbox": [20, 40, 60, 80], "track_id": 7, "category_id": 1}],
    "categories": [{"id": 1, "name": "person"}],
}
BOX = {"x1": 10.0, "y1": 20.0, "x2": 40.0, "y2": 60.0}
ULTRALYTICS = [[], [], [{"name": "person", "class": 0, "track_id": 7, "box": BOX}]]


def write(folder: Path, name: str, *, enriched: bool) -> Path:
    path = folder / f"{name}.json"
    more = PLACE if enriched else {}
    coco = {**COCO, "annotations": [{**COCO["annotations"][0], **more}]}
    value: Any = coco if name == "coco" else [[], [], [{**ULTRALYTICS[2][0], **more}]]
    path.write_text(json.dumps(value))
    return path


def logged(path: Path, entity: str, component: str) -> list[Any]:
    """What rerun itself finds in the recording: frame and value, for each frame where something is."""
    reader = pytest.importorskip("rerun.chunk").RrdReader(path)
    found = []
    for chunk in reader.stream():
        if str(chunk.entity_path).strip("/") == entity:
            table = chunk.to_record_batch()
            column = next((name for name in table.schema.names if name.endswith(component)), None)
            if column is not None:
                rows = zip(table["frame"].to_pylist(), table[column].to_pylist(), strict=True)
                found += [(frame, value) for frame, value in rows if value]
    return found


@pytest.mark.parametrize("name", ["coco", "ultralytics"])
def test_boxes_are_drawn_and_places_stand_in_space(scene: Scene, tmp_path: Path, name: str) -> None:
    calibrate(scene)
    tracks = write(tmp_path, name, enriched=True)
    report = run(scene, "rerun", tmp_path / "a.rrd", poses=transforms(tmp_path), tracks=tracks, stride=8)
    assert any("1 of 1 records" in said for said in report.said)
    ((frame, centres),) = logged(tmp_path / "a.rrd", "world/camera/image/boxes", "Boxes2D:centers")
    # COCO's box is from (20, 40) to (80, 120) of 320x240, counted from the corner: half of that here.
    corner = {"coco": (25.0, 40.0), "ultralytics": (25.0, 40.0)}[name]
    assert frame == 2
    assert np.array(centres[0]) == pytest.approx(np.array(corner) - 0.5)
    ((frame, places),) = logged(tmp_path / "a.rrd", "world/tracks", "Points3D:positions")
    matrix = test_export.pose(2)
    assert np.array(places[0]) == pytest.approx(matrix[:3, :3] @ [0.5, 0.25, 5.0] + matrix[:3, 3], rel=1e-6)


@pytest.mark.parametrize("name", ["coco", "ultralytics"])
def test_tracks_without_places_are_drawn_and_said(scene: Scene, tmp_path: Path, name: str) -> None:
    calibrate(scene)
    tracks = write(tmp_path, name, enriched=False)
    report = run(scene, "rerun", tmp_path / "a.rrd", poses=transforms(tmp_path), tracks=tracks, stride=8)
    assert any("no places in space" in said and "vda enrich" in said for said in report.said)
    assert len(logged(tmp_path / "a.rrd", "world/camera/image/boxes", "Boxes2D:centers")) == 1


def test_metres_are_not_put_into_a_world_of_another_unit(scene: Scene, tmp_path: Path) -> None:
    tracks = write(tmp_path, "coco", enriched=True)
    report = run(scene, "rerun", tmp_path / "a.rrd", poses=colmap(tmp_path), tracks=tracks, stride=8)
    assert report.unit == "reconstruction"
    assert any("not in metres" in said for said in report.said)


def test_what_a_file_does_not_say_of_itself_can_be_said(scene: Scene, tmp_path: Path) -> None:
    """A table that begins with frame 1, of an image twice as large as the video: the sentence names the option."""
    tracks = tmp_path / "tracks.csv"
    tracks.write_text("shot,tracker_id,x_min,y_min,x_max,y_max\n1,7,20,40,80,120\n3,7,40,40,100,120\n")
    calibrate(scene)
    asked = Asked(frame_field="shot", size=(320, 240))
    with pytest.raises(InputError, match="from 0 or from 1") as caught:
        run(scene, "rerun", tmp_path / "a.rrd", poses=transforms(tmp_path), tracks=tracks, asked=asked)
    options = {param.opts[0] for param in export_command.params}
    assert "--frame-base" in caught.value.remedy
    assert {"--frame-base", "--frame-field", "--track-format", "--track-size"} <= options
    asked = replace(asked, frame_base=1)
    run(scene, "rerun", tmp_path / "a.rrd", poses=transforms(tmp_path), tracks=tracks, asked=asked, stride=8)
    centres = logged(tmp_path / "a.rrd", "world/camera/image/boxes", "Boxes2D:centers")
    # Pixels are counted from their middles: 50 of 320 is 50.5 / 2 - 0.5 of 160.
    assert [frame for frame, _ in centres] == [0, 2]
    assert np.allclose(centres[0][1], [[24.75, 39.75]])


def test_what_tells_of_a_track_file_is_refused_without_one(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none are given"):
        run(scene, "rerun", tmp_path / "a.rrd", poses=transforms(tmp_path), asked=Asked(frame_base=1))
