"""Augmentations: picture, depth and tracks stay together, the same twice, and what follows takes them."""

import csv
import json
import unicodedata
from collections import Counter
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from data_sets import content, pictures, rows_of, scaled, table

from vda.cli import main
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.depthmaps.source import open_depth
from vda.errors import UsageError
from vda.fvc.augment import AugmentResult, AugmentSettings, augment
from vda.fvc.folds import write_folds
from vda.fvc.kinds import KINDS, alteration
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.verify import verify
from vda.reporter import Noted, Silence

WIDTH, HEIGHT, FRAMES = 96, 64, 4
# Far enough from the edges to stay in the picture whatever is drawn.
SPOTS = ((30.0, 24.0), (66.0, 40.0))
BACKGROUND, NEAR, FAR = 60, 1000, 5000
GEOMETRIC = ("rotation", "flip", "affine", "elastic", "combination")
COLOURS = ("brightness", "contrast", "saturation", "noise", "blur")


def spotted(number: int) -> np.ndarray:
    """A soft white spot on grey; the spot of odd frames is the second one."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    left, top = SPOTS[number % 2]
    spot = np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * 2.5**2))
    return np.stack([BACKGROUND + (250 - BACKGROUND) * spot] * 3, -1).round().astype(np.uint8)


def codes(number: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    left, top = SPOTS[number % 2]
    return np.where((x - left) ** 2 + (y - top) ** 2 <= 5**2, FAR, NEAR).astype(np.uint16)


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    clips.make_clip(folder / "a.mp4", range(FRAMES), draw=spotted, options={"crf": "8"})
    merged = folder / "scene" / "vda_merged_depth"
    merged.mkdir(parents=True)
    for frame in range(FRAMES):
        write_png16(merged / f"depth_{frame:06d}.png", codes(frame))
    DepthRecord(Quantizer.millimetres(), FRAMES, WIDTH, HEIGHT, "test").write(merged / "depth.json")
    records = []
    for frame in range(FRAMES):
        x, y = SPOTS[frame % 2]
        box = [x - 5, y - 5, x + 5, y + 5]
        records.append({"frame": frame, "track_id": 1, "bbox": box, "contact_2d": [x, y], "vda_depth": 5.0})
        records[-1] |= {"position_3d": {"x": 0.1, "y": 0.2, "z": 5.0}, "keypoints": [x, y, 2]}
    tracks = {"metadata": {"width": WIDTH, "height": HEIGHT}, "tracks": records}
    (folder / "tracks.json").write_text(json.dumps(tracks))
    row = {"video_path": "a.mp4", "label": "real", "scene": "scene", "tracks": "tracks.json", "source": "tv, 1998"}
    return table(folder / "videos.csv", [row])


@pytest.fixture(scope="module")
def all_ten(metadata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("augmented")
    assert augment(metadata, folder, AugmentSettings()) == AugmentResult(
        folder / "augmented_metadata.csv", rows=11, made=10, kept=0
    )
    return folder


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """The augmentations by their kinds."""
    found = rows_of(folder / "augmented_metadata.csv")
    return {json.loads(row["augmentation"])["kind"]: row for row in found if row["augmentation"]}


def bright_centre(rgb: np.ndarray) -> np.ndarray:
    """The middle of the spot, weighted by how bright it is above half way to its top."""
    grey = rgb.astype(float).mean(-1)
    weight = (grey - (grey.max() + np.median(grey)) / 2).clip(0)
    return centre(weight)


def centre(weight: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def centres(folder: Path, row: dict[str, str]) -> list[np.ndarray]:
    return [bright_centre(rgb) for rgb in pictures(folder / row["video_path"])]


@pytest.mark.parametrize("kind", GEOMETRIC)
def test_picture_depth_and_tracks_agree_where_a_thing_is(all_ten: Path, kind: str) -> None:
    row = rows(all_ten)[kind]
    depth = open_depth(all_ten / row["scene"] / "vda_merged_depth")
    records = json.loads((all_ten / row["tracks"]).read_text())["tracks"]
    seen = centres(all_ten, row)
    assert len(seen) == len(depth) == len(records) == FRAMES
    for frame, record in enumerate(records):
        far = centre(np.nan_to_num(depth.read(frame)) == FAR / 1000)
        x1, y1, x2, y2 = record["bbox"]
        for place in (far, record["contact_2d"], ((x1 + x2) / 2, (y1 + y2) / 2)):
            assert np.abs(seen[frame] - place).max() < 0.5
        # All has moved, and by the same in all frames with the same spot.
        assert np.abs(seen[frame] - SPOTS[frame % 2]).max() > 0.1
        assert np.abs(seen[frame] - seen[frame % 2]).max() < 0.05
        # What is not true of the picture any more.
        assert not {"vda_depth", "position_3d", "keypoints"} & record.keys()


def test_a_flip_and_a_rotation_are_where_arithmetic_says(all_ten: Path) -> None:
    for place, (x, y) in zip(centres(all_ten, rows(all_ten)["flip"]), SPOTS, strict=False):
        assert place == pytest.approx((WIDTH - 1 - x, y), abs=0.1)
    row = rows(all_ten)["rotation"]
    angle = np.radians(json.loads(row["augmentation"])["degrees_clockwise"])
    assert 2 <= abs(np.degrees(angle)) <= 10
    middle_x, middle_y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    for place, (x, y) in zip(centres(all_ten, row), SPOTS, strict=False):
        # Clockwise on a screen, whose y points down.
        turned_x = middle_x + (x - middle_x) * np.cos(angle) - (y - middle_y) * np.sin(angle)
        turned_y = middle_y + (x - middle_x) * np.sin(angle) + (y - middle_y) * np.cos(angle)
        assert place == pytest.approx((turned_x, turned_y), abs=0.15)


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_change_no_depth_and_no_tracks(all_ten: Path, metadata: Path, kind: str) -> None:
    row = rows(all_ten)[kind]
    depth = open_depth(all_ten / row["scene"] / "vda_merged_depth")
    for frame in range(FRAMES):
        assert np.array_equal(np.rint(depth.read(frame) * 1000), codes(frame))
    assert (all_ten / row["tracks"]).read_bytes() == (metadata.parent / "tracks.json").read_bytes()
    seen = centres(all_ten, row)
    assert all(np.abs(place - SPOTS[frame % 2]).max() < 0.3 for frame, place in enumerate(seen))


def random_picture() -> np.ndarray:
    return np.random.default_rng(1).integers(30, 220, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def test_colours_are_what_their_names_say() -> None:
    rgb = random_picture()
    made = {kind: alteration(kind, [1, 2, 3], (WIDTH, HEIGHT)) for kind in COLOURS}
    after = {kind: each.picture(rgb, 0).astype(float) for kind, each in made.items()}
    told = {name: value for each in made.values() for name, value in each.told.items()}
    assert np.abs(after["brightness"] - (rgb + 255 * told["brightness"]).clip(0, 255)).max() < 1
    assert np.abs(after["contrast"] - (127.5 + told["contrast"] * (rgb - 127.5)).clip(0, 255)).max() < 1
    grey = (rgb @ np.array([0.299, 0.587, 0.114]))[..., None]
    assert np.abs(after["saturation"] - (grey + told["saturation"] * (rgb - grey)).clip(0, 255)).max() < 1
    assert (after["noise"] - rgb).std() == pytest.approx(255 * told["noise"], rel=0.05)
    assert abs((after["noise"] - rgb).mean()) < 0.3
    reach = 2 * round(3 * told["blur_sigma"]) + 1
    blurred = cv2.GaussianBlur(rgb, (reach, reach), told["blur_sigma"], borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(after["blur"] - blurred).max() <= 1


def test_noise_differs_between_frames_and_comes_again() -> None:
    rgb = random_picture()
    noise = alteration("noise", [1], (WIDTH, HEIGHT))
    assert not np.array_equal(noise.picture(rgb, 0), noise.picture(rgb, 1))
    again = alteration("noise", [1], (WIDTH, HEIGHT))
    assert np.array_equal(noise.picture(rgb, 1), again.picture(rgb, 1))


def test_an_elastic_map_is_undone_by_looking_where_it_looked() -> None:
    """A point's place, found by rounds, must see the point that it came from: looked up in the map itself."""
    warp = alteration("elastic", [5], (WIDTH, HEIGHT)).warp
    assert warp is not None and warp.displacement is not None
    assert np.abs(warp.displacement).max() == pytest.approx(0.04 * HEIGHT, rel=1e-3)
    points = np.random.default_rng(0).uniform(5, 58, (200, 2))
    x, y = warp.points(points).astype(np.float32).T
    seen = points * 0
    for axis, grid in enumerate(np.mgrid[:HEIGHT, :WIDTH][::-1].astype(np.float32)):
        looked = grid + warp.displacement[..., axis]
        seen[:, axis] = cv2.remap(looked, x[:, None], y[:, None], cv2.INTER_LINEAR)[:, 0]
    assert np.abs(seen - points).max() < 0.05


def test_the_table_goes_into_scaling_folds_and_verify_as_it_is(all_ten: Path, tmp_path: Path) -> None:
    made = all_ten / "augmented_metadata.csv"
    assert [row["augmentation_idx"] for row in rows_of(made)] == ["", *map(str, range(10))]
    assert {row["source"] for row in rows_of(made)} == {"tv, 1998"}
    assert Counter(row["is_original"] for row in rows_of(made)) == {"true": 1, "false": 10}
    assert not verify(made, augmentations=10).findings
    result = scale(made, tmp_path / "scaled", ScaleSettings(size=48, modality="both"))
    assert (result.scaled, result.failed) == (11, {})
    names = {row["video_path"] for row in scaled(tmp_path / "scaled")}
    assert names == {"a_scaled_original.mp4", *(f"a_scaled_aug{number}.mp4" for number in range(10))}
    assert all(row["depth_path"] and row["tracks_path"] for row in scaled(tmp_path / "scaled"))


def two_originals(folder: Path) -> Path:
    for name in "ab":
        clips.make_clip(folder / f"{name}.mp4", range(3) if name == "a" else range(5, 9), draw=spotted)
    return table(
        folder / "videos.csv",
        [{"video_path": f"{name}.mp4", "label": label} for name, label in (("a", "real"), ("b", "fake"))],
    )


def test_folds_keep_augmentations_with_their_originals(tmp_path: Path) -> None:
    augment(two_originals(tmp_path), tmp_path / "out", AugmentSettings(2, kinds=("flip", "noise")))
    made = tmp_path / "out" / "augmented_metadata.csv"
    write_folds(made, tmp_path / "folds.csv", folds=2)
    homes = {(row["video_id"], row["fold"]) for row in rows_of(tmp_path / "folds.csv")}
    assert len(homes) == 2


class _Interrupted(Silence):
    def __init__(self, after: int) -> None:
        self._after = after

    def at(self, done: int) -> None:
        if done == self._after:
            raise KeyboardInterrupt


def test_interrupted_and_continued_it_is_what_it_would_have_been(tmp_path: Path) -> None:
    metadata = two_originals(tmp_path)
    settings = AugmentSettings(3, seed=7, kinds=("affine", "noise", "blur"))
    augment(metadata, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        augment(metadata, tmp_path / "parts", settings, reporter=_Interrupted(4))
    # Rows are written as they are done: two originals, and four augmentations.
    assert len(rows_of(tmp_path / "parts" / "augmented_metadata.csv")) == 6
    result = augment(metadata, tmp_path / "parts", settings)
    assert (result.made, result.kept) == (2, 4)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_damage_and_changed_sources_are_made_again(tmp_path: Path) -> None:
    metadata = two_originals(tmp_path)
    settings = AugmentSettings(2, kinds=("flip", "contrast"))
    augment(metadata, tmp_path / "out", settings)
    fresh = content(tmp_path / "out")
    (tmp_path / "out" / "a_aug1.mp4").write_bytes(b"broken")
    (tmp_path / "out" / "b_aug0.mp4").unlink()
    assert augment(metadata, tmp_path / "out", settings).made == 2
    assert {name: data for name, data in content(tmp_path / "out").items() if name.endswith("mp4")} == {
        name: data for name, data in fresh.items() if name.endswith("mp4")
    }
    clips.make_clip(tmp_path / "a.mp4", range(7), draw=spotted)
    assert augment(metadata, tmp_path / "out", settings).made == 2


def test_what_is_not_asked_for_any_more_goes(tmp_path: Path) -> None:
    metadata = two_originals(tmp_path)
    augment(metadata, tmp_path / "out", AugmentSettings(3, kinds=("flip",)))
    augment(metadata, tmp_path / "fresh", AugmentSettings(2, kinds=("flip",)))
    noted = Noted(None)
    augment(metadata, tmp_path / "out", AugmentSettings(2, kinds=("flip",)), reporter=noted)
    assert "2 augmentations that are not asked for any more were removed." in noted.said
    named = {row["video_path"] for row in rows_of(tmp_path / "out" / "augmented_metadata.csv")}
    videos = {path.name for path in (tmp_path / "out").glob("*.mp4")}
    assert videos == {path.name for path in (tmp_path / "fresh").glob("*.mp4")} and videos <= named
    assert augment(metadata, tmp_path / "out", AugmentSettings(3, kinds=("flip",))).made == 2


def test_another_seed_makes_other_pictures_and_is_refused_in_the_same_folder(tmp_path: Path) -> None:
    metadata = two_originals(tmp_path)
    augment(metadata, tmp_path / "one", AugmentSettings(1))
    augment(metadata, tmp_path / "two", AugmentSettings(1, seed=1))
    assert (tmp_path / "one" / "a_aug0.mp4").read_bytes() != (tmp_path / "two" / "a_aug0.mp4").read_bytes()
    with pytest.raises(UsageError, match="other settings: seed"):
        augment(metadata, tmp_path / "one", AugmentSettings(1, seed=1))
    more = augment(metadata, tmp_path / "one", AugmentSettings(2))
    assert (more.made, more.kept) == (2, 2)


def test_a_video_that_cannot_be_read_costs_only_its_own_rows(tmp_path: Path) -> None:
    metadata = two_originals(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    ran = CliRunner().invoke(
        main, ["fvc", "augment", str(metadata), "--output-dir", str(tmp_path / "out"), "--augmentations", "1"]
    )
    assert ran.exit_code == 1 and "1 augmentations could not be made" in ran.output
    with (tmp_path / "out" / "augmented_metadata.csv").open() as handle:
        assert [row["video_path"] for row in csv.DictReader(handle) if row["augmentation"]] == ["b_aug0.mp4"]


def test_numbers_that_are_taken_are_refused(tmp_path: Path) -> None:
    metadata = two_originals(tmp_path)
    taken = {"video_path": "b.mp4", "label": "real", "original_video": "a.mp4", "augmentation_idx": 0}
    table(metadata, [{"video_path": "a.mp4", "label": "real"}, taken])
    with pytest.raises(UsageError, match="a name that is taken, such as a_aug0"):
        augment(metadata, tmp_path / "out", AugmentSettings(2))


def test_odd_sizes_keep_their_places(tmp_path: Path) -> None:
    draw = lambda number: np.ascontiguousarray(spotted(number)[:-1, :-1])  # noqa: E731
    clips.make_clip(tmp_path / "a.mkv", range(2), draw=draw, codec="ffv1", pix_fmt="bgr0")
    augment(
        table(tmp_path / "v.csv", [{"video_path": "a.mkv", "label": "real"}]),
        tmp_path / "out",
        AugmentSettings(1, kinds=("flip",)),
    )
    made = pictures(tmp_path / "out" / "a_aug0.mp4")
    assert made.shape[1:3] == (HEIGHT, WIDTH)
    assert bright_centre(made[0]) == pytest.approx((WIDTH - 2 - SPOTS[0][0], SPOTS[0][1]), abs=0.2)


def test_there_are_ten_kinds() -> None:
    assert set(KINDS) == {*GEOMETRIC, *COLOURS} and len(KINDS) == 10


def test_paths_hold_in_the_new_table_however_they_were_stated(tmp_path: Path) -> None:
    """Windows paths, another Unicode normalisation, links and ``..`` are found by what comes next as well."""
    folder = tmp_path / "set" / "real"
    folder.mkdir(parents=True)
    for number, name in enumerate(("w.mp4", unicodedata.normalize("NFD", "é.mp4"), "9f3c.mp4", "p.mp4", "f.mp4")):
        clips.make_clip(folder / name, range(5 * number, 5 * number + 3))
    (folder / "linked.mp4").symlink_to(folder / "9f3c.mp4")
    (tmp_path / "tables").mkdir()
    named = ["D:\\set\\real\\w.mp4", "set/real/é.mp4", "set/real/linked.mp4", "../set/real/p.mp4"]
    stated = [{"video_path": path, "label": "real", "original_video": ""} for path in named]
    for original in ("linked.mp4", "../set/real/p.mp4"):
        fake = {"video_path": "set/real/f.mp4", "label": "fake", "original_video": original}
        metadata = table(tmp_path / "tables" / "videos.csv", [*stated, fake])
        out = tmp_path / f"out {original.count('.')}"
        augment(metadata, out, AugmentSettings(1, kinds=("flip",)), root=tmp_path)
        made = scale(
            out / "augmented_metadata.csv", tmp_path / f"scaled {original.count('.')}", ScaleSettings(size=32)
        )
        assert (made.scaled, made.failed) == (10, {})
        write_folds(out / "augmented_metadata.csv", tmp_path / "folds.csv", folds=2, strict=False, overwrite=True)
        home = {row["video_path"]: row["fold"] for row in rows_of(tmp_path / "folds.csv")}
        whole = next(path for path in home if path.endswith(original.removeprefix("..")))
        assert home[str(folder.parent.parent / "set/real/f.mp4")] == home[whole]


def test_how_the_table_was_read_is_said_and_may_be_stated(tmp_path: Path) -> None:
    clips.make_clip(tmp_path / "für.mp4", range(3), draw=spotted)
    path = tmp_path / "videos.csv"
    path.write_bytes("video_path,label\nfür.mp4,real\nfür.mp4,real\n".encode("cp1252"))
    noted = Noted(None)
    augment(path, tmp_path / "out", AugmentSettings(1, kinds=("flip",)), reporter=noted)
    assert "cp1252" in noted.said[0]
    assert "1 rows that say exactly" in noted.said[1]
    command = ["fvc", "augment", str(path), "--output-dir", str(tmp_path / "out"), "--encoding", "cp437"]
    assert (
        "There is no video"
        in CliRunner().invoke(main, [*command, "--kind", "flip", "--augmentations", "1"]).output
    )
