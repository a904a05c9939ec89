"""From relative depth to metres: every way there finds the right ones, says how well, and is kept."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import BOARD_HEIGHT_M, Board, depth_of, tracks_of, write_depth, write_scene

from vda.calibration.choice import CalibrationChoice
from vda.calibration.fit import (
    Calibration,
    KnownDistance,
    from_known_distances,
    from_reference,
    load_calibration,
    save_calibration,
)
from vda.calibration.identity import Fingerprint
from vda.camera.choice import CameraChoice
from vda.camera.intrinsics import Intrinsics
from vda.depthmaps.codes import Quantizer
from vda.depthmaps.source import open_depth
from vda.enriching.settings import DepthChoice, EnrichSettings, Report
from vda.enriching.stage import enrich_file
from vda.errors import InputError, UsageError
from vda.tracks import Tracks, read_tracks

CAMERA = Intrinsics(320, 240, 200.0, 203.0, 165.0, 117.0, "opencv", (-0.28, 0.07, 0.001, -0.002, 0.0))
TRUTH = (0.04, 0.01)
BOARDS = [
    Board(1, -1.0, 0.0, 4.0, (0.0, 0.0, 0.4)),
    Board(2, 1.5, 0.1, 14.0, (0.0, 0.0, -0.4)),
    Board(3, 0.4, -0.2, 9.0),
]
FRAMES = 12
SIZE = (CAMERA.width, CAMERA.height)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [depth_of(CAMERA, BOARDS, frame) for frame in range(FRAMES)]


@pytest.fixture
def relative(tmp_path: Path, images: list[np.ndarray]) -> Path:
    return write_depth(tmp_path / "relative", images, TRUTH)


def known(*triples: tuple[int, int, int], images: list[np.ndarray]) -> list[KnownDistance]:
    return [KnownDistance(frame, x, y, float(images[frame][y, x])) for frame, x, y in triples]


def board_tracks(folder: Path, change: Any = lambda record: record, frames: int = FRAMES) -> Tracks:
    records = [change(record) for record in tracks_of(CAMERA, BOARDS, frames)["tracks"]]
    path = folder / "boards.json"
    path.write_text(json.dumps({"tracks": records}))
    return read_tracks(path)


def test_two_known_distances_give_scale_and_shift(relative: Path, images: list[np.ndarray]) -> None:
    points = known((0, 115, 117), (0, 300, 20), images=images)
    assert points[0].metres != points[1].metres
    found = from_known_distances(points, open_depth(relative), "inverse_depth", SIZE)
    assert (found.scale, found.shift) == pytest.approx(TRUTH, rel=1e-3)
    assert len(found.notes) == 2 and "residual" in found.notes[0]


def test_more_distances_than_two_are_fitted_and_their_residuals_told(
    relative: Path, images: list[np.ndarray]
) -> None:
    points = known((0, 115, 117), (0, 300, 20), (5, 174, 113), images=images)
    points[2] = replace(points[2], metres=points[2].metres * 1.2)
    found = from_known_distances(points, open_depth(relative), "inverse_depth", SIZE)
    # Least squares in inverse depth, worked out by hand for three points.
    values = np.array([1 / image for image in (images[0][117, 115], images[0][20, 300], images[5][113, 174])])
    design = np.stack([(values - TRUTH[1]) / TRUTH[0], np.ones(3)], axis=1)
    expected = np.linalg.solve(design.T @ design, design.T @ (1 / np.array([point.metres for point in points])))
    assert (found.scale, found.shift) == pytest.approx(tuple(expected), rel=1e-2)
    assert found.error is not None and found.error > 0.01
    assert f"{points[2].metres:g} m given" in found.notes[2]


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([(0, 300, 20), (0, 310, 30)], "one and the same"),
        ([(0, 300, 20), (0, 900, 20)], "outside the image"),
        ([(0, 300, 20), (99, 20, 20)], "no depth for the frame"),
    ],
)
def test_known_distances_that_say_nothing_are_refused(
    relative: Path, places: list[tuple[int, int, int]], words: str
) -> None:
    points = [KnownDistance(frame, x, y, 5.0 + x) for frame, x, y in places]
    with pytest.raises(InputError, match=words):
        from_known_distances(points, open_depth(relative), "inverse_depth", SIZE)


def test_distances_that_contradict_the_depth_are_refused(relative: Path, images: list[np.ndarray]) -> None:
    near, far = known((0, 115, 117), (0, 300, 20), images=images)
    swapped = [replace(near, metres=far.metres), replace(far, metres=near.metres)]
    with pytest.raises(InputError, match="nearer"):
        from_known_distances(swapped, open_depth(relative), "inverse_depth", SIZE)
    with pytest.raises(UsageError, match="One known distance"):
        from_known_distances([near], open_depth(relative), "inverse_depth", SIZE)


@pytest.mark.parametrize("text", ["", "1:2=3", "1:2,3", "a:1,2=3", "1:2,3=-4", "1:2,3=0", "1:2,3=nan"])
def test_known_distances_are_read_from_text(text: str) -> None:
    assert KnownDistance.parse("12:640,360.5=4.25") == KnownDistance(12, 640.0, 360.5, 4.25)
    with pytest.raises(UsageError):
        KnownDistance.parse(text)


def test_another_source_of_depth_gives_metres_whatever_its_size_and_its_holes(
    relative: Path, tmp_path: Path, images: list[np.ndarray]
) -> None:
    smaller = [depth_of(CAMERA.scaled(160, 120), BOARDS, frame) for frame in range(FRAMES)]
    for image in smaller:
        image[:, :40] = np.nan
        image[56:58] *= 3
    reference = open_depth(write_depth(tmp_path / "sensor", smaller))
    unit = Calibration(1.0, 0.0, "depth")
    found = from_reference(open_depth(relative), "inverse_depth", reference, unit.metres)
    assert (found.scale, found.shift) == pytest.approx(TRUTH, rel=0.01)
    with pytest.raises(InputError, match="no frame in common"):
        from_reference(
            open_depth(relative), "inverse_depth", replace(reference, frames=range(100, 112)), unit.metres
        )


def test_metres_beyond_the_calibration_are_infinite_and_holes_stay_holes() -> None:
    metres = Calibration(0.1, -0.05).metres(np.array([1.0, 0.5, 0.2, np.nan]))
    assert metres[:3].tolist() == [pytest.approx(20.0), np.inf, np.inf]
    assert np.isnan(metres[3])


@pytest.mark.parametrize("numbers", [(0.0, 1.0), (-1.0, 0.0), (float("nan"), 0.0), (1.0, float("inf"))])
def test_impossible_calibrations_are_refused(numbers: tuple[float, float]) -> None:
    with pytest.raises(InputError):
        Calibration(*numbers)


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    calibration = Calibration(0.5, -0.125, "inverse_depth", "known distances", 3, 0.01, ("a note",))
    save_calibration(calibration, tmp_path / "calibration.json")
    assert load_calibration(tmp_path / "calibration.json") == calibration
    assert load_calibration(tmp_path / "none.json") is None
    (tmp_path / "other.json").write_text('{"factor": 2}')
    with pytest.raises(InputError, match="not a calibration"):
        load_calibration(tmp_path / "other.json")


def enrich_scene(root: Path, choice: CalibrationChoice) -> tuple[Report, list[dict[str, Any]]]:
    tracks, output = root / "t.json", root / "o.json"
    tracks.write_text(json.dumps(tracks_of(CAMERA, BOARDS, FRAMES)))
    (root / "camera.json").write_text(
        json.dumps({name: getattr(CAMERA, name) for name in CAMERA.__dataclass_fields__})
    )
    settings = EnrichSettings(
        tracks,
        output,
        DepthChoice(scene=root),
        camera=CameraChoice(file=root / "camera.json"),
        calibration=choice,
        overwrite=True,
    )
    return enrich_file(settings), json.loads(output.read_text())["tracks"]


def test_the_scene_keeps_its_calibration_until_its_depth_is_another(
    tmp_path: Path, images: list[np.ndarray]
) -> None:
    scene = write_scene(tmp_path / "scene", CAMERA.width, CAMERA.height)
    write_depth(scene.merged_dir, images, TRUTH)
    points = tuple(known((0, 115, 117), (0, 300, 20), images=images))
    report, first = enrich_scene(scene.root, CalibrationChoice(distances=points))
    assert any("residual" in sentence for sentence in report.said)
    errors = [abs(record["vda_depth"] / record["truth"][2] - 1) for record in first]
    assert np.median(errors) < 0.01
    report, second = enrich_scene(scene.root, CalibrationChoice())
    assert second == first
    assert any("scene's calibration is used" in sentence for sentence in report.said)
    # The same model merged with other settings: the record says the same, the values do not.
    write_depth(scene.merged_dir, [image * np.float32(1.02) for image in images], TRUTH)
    with pytest.raises(InputError, match="other depth"):
        enrich_scene(scene.root, CalibrationChoice())


def values_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 8, (9, 30, 40)).astype(np.float32)


def test_a_fingerprint_fits_the_same_depth_whatever_it_is_stored_as() -> None:
    values = values_of(1)
    values[3, :, :20] = np.nan
    quantizer = Quantizer.for_range(0, 8)
    kept = Fingerprint.from_json(json.loads(json.dumps(Fingerprint.of(range(9), values.__getitem__).to_json())))
    decoded = quantizer.decode(quantizer.encode(values))
    assert kept.fits(Fingerprint.of(range(9), decoded.__getitem__))
    for other in (values_of(2), values * np.float32(1.01), values + np.float32(0.01)):
        assert not kept.fits(Fingerprint.of(range(9), other.__getitem__))
    assert not kept.fits(Fingerprint.of(range(8), values.__getitem__))


@pytest.mark.parametrize(
    "value", [[], {}, {"frames": [1]}, {"frames": "x", "values": 3}, {"frames": [1e400], "values": []}]
)
def test_a_fingerprint_of_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="which depth"):
        Fingerprint.from_json(value)


def test_metric_depth_needs_no_calibration_and_takes_none_that_is_kept_for_relative_depth(
    tmp_path: Path, images: list[np.ndarray]
) -> None:
    scene = write_scene(tmp_path / "scene", CAMERA.width, CAMERA.height)
    write_depth(scene.merged_dir, images)
    save_calibration(Calibration(7.0, 0.0), scene.calibration_path)
    report, records = enrich_scene(scene.root, CalibrationChoice())
    assert report.calibration is None
    assert records[0]["vda_depth"] == pytest.approx(4.0, rel=1e-3)
    # A metric model may be wrong by a factor; known sizes correct that too.
    report, records = enrich_scene(scene.root, CalibrationChoice(height=(2 * BOARD_HEIGHT_M, None)))
    assert records[0]["vda_depth"] == pytest.approx(8.0, rel=0.03)


def test_one_way_to_metres_at_a_time_and_a_reference_has_to_be_metric(
    tmp_path: Path, images: list[np.ndarray], relative: Path
) -> None:
    scene = write_scene(tmp_path / "scene", CAMERA.width, CAMERA.height)
    write_depth(scene.merged_dir, images, TRUTH)
    with pytest.raises(UsageError, match="more than one way"):
        enrich_scene(scene.root, CalibrationChoice(numbers=(1.0, 0.0), height=(1.8, None)))
    with pytest.raises(UsageError, match="not in metres"):
        enrich_scene(scene.root, CalibrationChoice(reference=relative))
    metric = write_depth(tmp_path / "metric", images)
    report, _ = enrich_scene(scene.root, CalibrationChoice(reference=metric))
    assert report.calibration is not None and report.calibration.scale == pytest.approx(TRUTH[0], rel=0.01)
