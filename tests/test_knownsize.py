"""Known sizes to metres: through a lens, from above, with feet hidden or bodies blurred, with a shift or none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import BOARD_HEIGHT_M, Board, depth_of, tracks_of, write_depth

from vda.calibration.choice import CalibrationChoice, choose_calibration
from vda.calibration.fit import Calibration
from vda.calibration.knownsize import from_known_size
from vda.camera.intrinsics import Intrinsics, pixel_grid
from vda.depthmaps.source import open_depth
from vda.errors import InputError, UsageError
from vda.reporter import Silence
from vda.synth.clip import ClipSpec
from vda.synth.render import render_frames
from vda.tracks import Tracks, read_tracks

CAMERA = Intrinsics(320, 240, 200.0, 203.0, 165.0, 117.0, "opencv", (-0.28, 0.07, 0.001, -0.002, 0.0))
TRUTH = (0.04, 0.01)
BOARDS = [
    Board(1, -1.0, 0.0, 4.0, (0.0, 0.0, 0.4)),
    Board(2, 1.5, 0.1, 14.0, (0.0, 0.0, -0.4)),
    Board(3, 0.4, -0.2, 9.0),
]
FRAMES = 12


@pytest.fixture
def relative(tmp_path: Path) -> Path:
    return write_depth(tmp_path / "relative", [depth_of(CAMERA, BOARDS, frame) for frame in range(FRAMES)], TRUTH)


def read(folder: Path, records: list[dict[str, Any]]) -> Tracks:
    path = folder / "tracks.json"
    path.write_text(json.dumps({"tracks": records}))
    return read_tracks(path)


def board_tracks(folder: Path, change: Any = lambda record: record) -> Tracks:
    return read(folder, [change(record) for record in tracks_of(CAMERA, BOARDS, FRAMES)["tracks"]])


def test_known_sizes_give_metres_through_the_lens(tmp_path: Path, relative: Path) -> None:
    tracks = board_tracks(tmp_path)
    found = from_known_size(BOARD_HEIGHT_M, None, tracks, open_depth(relative), "inverse_depth", CAMERA)
    assert (found.scale, found.shift) == pytest.approx(TRUTH, rel=0.02)
    assert found.samples == len(tracks)


def test_boxes_cut_by_somebody_in_front_hardly_matter(tmp_path: Path, relative: Path) -> None:
    """A quarter of the boxes show two thirds of their board only: by them it would be half as far again."""

    def cut(record: dict[str, Any]) -> dict[str, Any]:
        frame, box = int(record["frame"][-5:]), record["bbox"]
        return record if frame % 4 else {**record, "bbox": [*box[:3], box[3] - (box[3] - box[1]) / 3]}

    found = from_known_size(
        BOARD_HEIGHT_M, None, board_tracks(tmp_path, cut), open_depth(relative), "inverse_depth", CAMERA
    )
    metres = found.metres(np.array([(1 / z - TRUTH[1]) / TRUTH[0] for z in (4.0, 9.0, 14.0)]))
    assert metres == pytest.approx([4.0, 9.0, 14.0], rel=0.03)


def test_a_known_size_is_of_one_class(tmp_path: Path, relative: Path) -> None:
    def doors(record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "class": "door"} if record["track_id"] == 2 else record

    tracks, depth = board_tracks(tmp_path, doors), open_depth(relative)
    assert from_known_size(BOARD_HEIGHT_M, "board", tracks, depth, "inverse_depth", CAMERA).samples == 2 * FRAMES
    with pytest.raises(InputError, match="class 'tree'") as caught:
        from_known_size(BOARD_HEIGHT_M, "tree", tracks, depth, "inverse_depth", CAMERA)
    assert "board" in caught.value.remedy


def test_where_all_is_at_one_depth_the_shift_is_zero_and_that_is_said(tmp_path: Path) -> None:
    boards = [Board(1, -1.0, 0.0, 6.0), Board(2, 1.0, 0.0, 6.0)]
    depth = open_depth(write_depth(tmp_path / "flat", [depth_of(CAMERA, boards, 0)], (0.05, 0.0)))
    path = tmp_path / "t.json"
    path.write_text(json.dumps(tracks_of(CAMERA, boards, 1)))
    found = from_known_size(BOARD_HEIGHT_M, None, read_tracks(path), depth, "inverse_depth", CAMERA)
    assert (found.scale, found.shift) == (pytest.approx(0.05, rel=0.02), 0.0)
    assert any("shift cannot be told" in note for note in found.notes)


# A camera 4 m above a plane, looking down; people are upright cylinders of 1.75 m. Truth is by intersecting rays.
HIGH = Intrinsics(480, 360, 360.0, 360.0, 239.5, 179.5)
ABOVE_M, TALL_M, RADIUS_M = 4.0, 1.75, 0.15


def seen_from_above(pitch_deg: float, people: list[tuple[float, float]]) -> tuple[np.ndarray, list[list[float]]]:
    """Depth [360, 480] of the plane and of people at (x, z) on it; each one's box, as if nobody hid another."""
    pitch = np.radians(pitch_deg)
    rays = np.concatenate([(pixel_grid(480, 360) - [239.5, 179.5]) / 360.0, np.ones((480 * 360, 1))], axis=1)
    level = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    x, y, z = (rays @ level.T).T
    with np.errstate(divide="ignore"):
        depth = np.where(y > 0, ABOVE_M / y, np.inf)
    boxes = []
    for centre_x, centre_z in people:
        a, b = x**2 + z**2, x * centre_x + z * centre_z
        root = b**2 - a * (centre_x**2 + centre_z**2 - RADIUS_M**2)
        front = (b - np.sqrt(np.maximum(root, 0))) / a
        hit = (root > 0) & (front > 0) & (front * y < ABOVE_M) & (front * y > ABOVE_M - TALL_M)
        depth = np.where(hit, np.minimum(depth, front), depth)
        rows, columns = np.nonzero(hit.reshape(360, 480))
        boxes.append([columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5])
    return depth.reshape(360, 480).astype(np.float32), boxes


def crowd(pitch_deg: float) -> list[tuple[float, float]]:
    """Four people on the plane, spread over the picture whichever way the camera looks."""
    below = np.radians(max(pitch_deg, 19.0) + np.array([6.0, -1.0, -6.0, -9.0]))
    return [(across * z, z) for across, z in zip((-0.1, 0.2, -0.3, 0.05), ABOVE_M / np.tan(below), strict=True)]


def walk(folder: Path, pitch_deg: float, frames: int = 6) -> tuple[Tracks, Path, np.ndarray]:
    """Tracks, a folder of inverse depth of scale 0.2, and the distances of the people along the optical axis."""
    images, records, distances = [], [], []
    pitch = np.radians(pitch_deg)
    for frame in range(frames):
        people = [(x + 0.1 * frame, z * (1 + 0.01 * frame)) for x, z in crowd(pitch_deg)]
        distances += [z * np.cos(pitch) + ABOVE_M * np.sin(pitch) for _, z in people]
        image, boxes = seen_from_above(pitch_deg, people)
        images.append(np.where(np.isfinite(image), image, 200.0))
        records += [
            {"frame": f"frame_{frame:05d}", "detected": True, "track_id": track, "class": "person", "bbox": box}
            for track, box in enumerate(boxes)
        ]
    return read(folder, records), write_depth(folder / "depth", images, (0.2, 0.0)), np.array(distances)


def furthest_off(found: Calibration, metres: np.ndarray) -> float:
    return float(np.abs(found.metres(1 / metres / 0.2) / metres - 1).max())


@pytest.mark.parametrize("pitch_deg", [5, 20, 35, 45])
def test_a_camera_that_looks_down_is_allowed_for(tmp_path: Path, pitch_deg: float) -> None:
    tracks, depth, metres = walk(tmp_path, pitch_deg)
    given = from_known_size(TALL_M, None, tracks, open_depth(depth), "inverse_depth", HIGH, pitch_deg)
    found = from_known_size(TALL_M, None, tracks, open_depth(depth), "inverse_depth", HIGH)
    assert "as given" in given.notes[0]
    assert "By the boxes" in found.notes[0]
    assert furthest_off(given, metres) < 0.04
    assert furthest_off(found, metres) < 0.04


def test_taken_as_level_it_would_be_wrong(tmp_path: Path) -> None:
    tracks, depth, metres = walk(tmp_path, 45)
    level = from_known_size(TALL_M, None, tracks, open_depth(depth), "inverse_depth", HIGH, 0.0)
    assert furthest_off(level, metres) > 0.15


def people_before(folder: Path, boxes: list[list[float]], *extra: dict[str, Any]) -> Tracks:
    records = [
        {"frame": "frame_00000", "detected": True, "track_id": track, "class": "person", "bbox": box}
        for track, box in enumerate(boxes)
    ]
    return read(folder, [*records, *extra])


def test_somebody_whose_feet_are_hidden_does_not_count(tmp_path: Path) -> None:
    """A wall at 6 m covers the lower half of the one at 12 m: depth there is the wall's, by half too near."""
    image, boxes = seen_from_above(5.0, [(-1.5, 12.0), (0.0, 8.0), (2.5, 10.0)])
    left, top, right, bottom = boxes[0]
    wall = [left - 20, (top + bottom) / 2 - 10, right + 20, bottom + 30]
    image[round(wall[1]) : round(wall[3]), round(wall[0]) : round(wall[2])] = 6.0
    depth = open_depth(write_depth(tmp_path / "depth", [np.where(np.isfinite(image), image, 200.0)], (0.2, 0.0)))
    record = {"frame": "frame_00000", "detected": True, "track_id": 9, "class": "wall", "bbox": wall}
    found = from_known_size(
        TALL_M, "person", people_before(tmp_path, boxes, record), depth, "inverse_depth", HIGH, 5.0
    )
    assert found.samples == 2
    assert furthest_off(found, np.array([8.0, 10.0, 12.0])) < 0.03


def test_where_all_feet_are_hidden_the_middles_have_to_do(tmp_path: Path) -> None:
    image, boxes = seen_from_above(5.0, [(-1.0, 8.0), (2.0, 11.0)])
    walls = []
    for left, _, right, bottom in boxes:
        wall = [left - 5, bottom - 4, right + 5, bottom + 20]
        image[round(wall[1]) : round(wall[3]), round(wall[0]) : round(wall[2])] = 5.0
        walls.append({"frame": "frame_00000", "detected": True, "track_id": 9, "class": "wall", "bbox": wall})
    depth = open_depth(write_depth(tmp_path / "depth", [np.where(np.isfinite(image), image, 200.0)], (0.2, 0.0)))
    found = from_known_size(
        TALL_M, "person", people_before(tmp_path, boxes, *walls), depth, "inverse_depth", HIGH, 5.0
    )
    assert furthest_off(found, np.array([8.0, 11.0])) < 0.04


def test_bodies_that_the_depth_does_not_show_are_measured_at_their_feet(tmp_path: Path) -> None:
    people = [(-1.0, 8.0), (2.0, 11.0), (0.5, 14.0)]
    nobody, _ = seen_from_above(5.0, [])
    _, boxes = seen_from_above(5.0, people)
    depth = open_depth(write_depth(tmp_path / "depth", [np.where(np.isfinite(nobody), nobody, 200.0)], (0.2, 0.0)))
    found = from_known_size(TALL_M, None, people_before(tmp_path, boxes), depth, "inverse_depth", HIGH, 5.0)
    assert furthest_off(found, np.array([8.0, 11.0, 14.0])) < 0.06


def test_of_an_endless_video_some_frames_are_looked_at(tmp_path: Path) -> None:
    asked: set[int] = set()

    class Same:
        frames = range(5000)

        def read(self, frame: int) -> np.ndarray:
            asked.add(frame)
            return np.full((24, 32), 6.0)

    box = {"detected": True, "track_id": 1, "bbox": [100.0, 60.0, 130.0, 120.9]}
    tracks = read(tmp_path, [{**box, "frame": f"frame_{frame:05d}"} for frame in range(5000)])
    found = from_known_size(1.8, None, tracks, Same(), "depth", Intrinsics(320, 240, 203.0, 203.0, 160.0, 120.0))
    assert {0, 4999} <= asked
    assert len(asked) == 1000
    assert found.scale == pytest.approx(1.0, rel=1e-3)


def test_a_pitch_without_a_size_is_refused(tmp_path: Path, relative: Path) -> None:
    choice = CalibrationChoice(numbers=(1.0, 0.0), pitch_deg=20.0)
    with pytest.raises(UsageError, match="--known-size"):
        choose_calibration(
            choice,
            open_depth(relative),
            "inverse_depth",
            board_tracks(tmp_path),
            CAMERA,
            (CAMERA.width, CAMERA.height),
            None,
            Silence(),
        )


class Relative:
    """Depth images in metres, as relative inverse depth in memory."""

    def __init__(self, images: dict[int, np.ndarray], scale: float, shift: float) -> None:
        self.frames = list(images)
        self._images, self._scale, self._shift = images, scale, shift

    def read(self, frame: int) -> np.ndarray:
        return (1 / self._images[frame] - self._shift) / self._scale


def test_the_samples_people_give_the_right_metres() -> None:
    """The clip of data/README.md: its true depth made relative, and only the height of its people known."""
    world = ClipSpec(220, 250, 640, 360, 25.0, "yard", "truck").world()
    frames = render_frames(world, range(0, 250, 25), 320, 180, fps=25.0, samples=1)
    depth = Relative({frame.index: frame.depth_m for frame in frames}, 0.8, 0.004)
    sample = Path(__file__).parents[1] / "data" / "sample_tracks.json"
    camera = json.loads(sample.read_text())["intrinsics"]
    lens = Intrinsics(640, 360, *(camera[name] for name in ("fx", "fy", "cx", "cy")))
    found = from_known_size(1.755, "person", read_tracks(sample), depth, "inverse_depth", lens)
    metres = np.array([4.0, 8.0, 12.0, 18.0])
    assert found.metres((1 / metres - 0.004) / 0.8) == pytest.approx(metres, rel=0.05)
