"""Depth of part of a picture: the network sees what a video of that part alone would show, and nothing moves."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from depth_runs import check, depth_digest, make_weights, run_options, vda
from pictures import read_codes

import vda as library
from vda.errors import SceneError, UsageError
from vda.picture.framing import Box, limited
from vda.splitting.stage import PlanSettings

FRAMES = 40
WIDTH, HEIGHT = 96, 64


def busy(number: int) -> np.ndarray:
    """RGB uint8 [64, 96, 3]: blocks of 4 x 4 pixels that move by one pixel a frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] // 4
    x = x + number // 4
    return np.stack([x * 53 % 200 + 30, y * 71 % 200 + 30, (x + 2 * y) * 29 % 200 + 30], -1).astype(np.uint8)


def lossless(path: Path, draw: object, frames: int = FRAMES) -> Path:
    return make_clip(path, range(frames), draw=draw, codec="ffv1", pix_fmt="bgr0")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "mini.safetensors")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lossless(tmp_path_factory.mktemp("film") / "film.mkv", busy)


def compute(video: Path, scene: Path, weights: Path, *options: object) -> Path:
    settings = [*run_options(weights), "--on", "inline", "--devices", "cpu", "-q"]
    check(vda("depth", video, "--scene", scene, *settings, *options))
    return scene


def codes(scene: Path, frame: int) -> np.ndarray:
    return read_codes(scene / "vda_merged_depth" / f"depth_{frame:06d}.png")


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((1920, 1080), 1280, (1280, 720)),
        ((1080, 1920), 1280, (720, 1280)),
        ((1440, 1080), 500, (500, 375)),
        ((640, 360), 1280, (640, 360)),
        ((640, 360), None, (640, 360)),
        ((4000, 10), 64, (64, 1)),
    ],
)
def test_the_longer_side_is_at_most_what_was_asked(
    size: tuple[int, int], longest: int | None, expected: tuple[int, int]
) -> None:
    assert limited(size, longest) == expected


def test_a_box_keeps_the_pixels_that_lie_in_it_as_a_whole() -> None:
    # At half the size pixel k is made of pixels 2 k and 2 k + 1.
    assert Box(3, 10, 90, 40).at_size((96, 64), (48, 32)) == Box(2, 5, 44, 20)
    assert Box(3, 10, 90, 41).at_size((96, 64), (96, 64)) == Box(3, 10, 90, 41)


@pytest.fixture(scope="module")
def small(film: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small") / "scene"
    return compute(film, root, weights, "--max-res", 48, "--chunks", 1, "--side-by-side")


class TestMaxRes:
    def test_depth_is_that_of_the_video_made_smaller(self, small: Path, weights: Path, tmp_path: Path) -> None:
        def halved(number: int) -> np.ndarray:
            blocks = busy(number).reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).astype(int)
            return ((blocks.sum((1, 3)) + 2) // 4).astype(np.uint8)

        other = compute(lossless(tmp_path / "half.mkv", halved), tmp_path / "scene", weights, "--no-video")
        assert depth_digest(small) == depth_digest(other)
        assert codes(small, 0).shape == (32, 48)

    def test_chunks_do_not_change_a_byte(self, small: Path, film: Path, weights: Path, tmp_path: Path) -> None:
        other = compute(film, tmp_path / "scene", weights, "--max-res", 48, "--chunks", 3, "--no-video")
        assert depth_digest(small) == depth_digest(other)

    def test_the_record_says_both_sizes(self, small: Path) -> None:
        record = json.loads((small / "vda_merged_depth" / "depth.json").read_text())
        assert (record["width"], record["height"]) == (48, 32)
        assert record["picture"]["video_size"] == [WIDTH, HEIGHT]
        assert record["picture"]["max_res"] == 48
        assert "96 x 64" in (small / "report.html").read_text()

    def test_tracks_keep_the_videos_coordinates(self, small: Path, tmp_path: Path) -> None:
        record = {"frame": "frame_00030", "detected": True, "confidence": 1.0, "contact_2d": [80.5, 20.5]}
        tracks = {"metadata": {}, "intrinsics": {"fx": 100, "fy": 100, "cx": 47.5, "cy": 31.5}, "tracks": [record]}
        (tmp_path / "tracks.json").write_text(json.dumps(tracks))
        # The pixel at 80.5, 20.5 of 96 x 64 is in column 40 and row 10 of 48 x 32.
        value = library.open_depth(small)[30][10, 40]
        # Without its scene the depth is known by its record alone.
        alone = Path(shutil.copytree(small / "vda_merged_depth", tmp_path / "alone"))
        for scene, folder in ((small, None), (None, alone)):
            output = tmp_path / f"from_{scene is None}.json"
            library.enrich(
                scene,
                tracks=tmp_path / "tracks.json",
                output=output,
                depth_dir=folder,
                allow_relative=True,
                at="window",
                window=1,
            )
            made = json.loads(output.read_text())["tracks"][0]
            depth = 1 / value
            assert made["vda_depth_relative"] == pytest.approx(depth, rel=1e-4)
            # x = (u - cx) / fx * z, by the pinhole camera at the video's size.
            assert made["vda_position_relative"]["x"] == pytest.approx((80.5 - 47.5) / 100 * depth, rel=1e-4)

    def test_cameras_are_for_the_depth_images(self, small: Path, tmp_path: Path) -> None:
        library.export(small, to="cameras", output=tmp_path / "out", fx=100.0, fy=100.0)
        text = (tmp_path / "out" / "cameras.json").read_text()
        assert '"width": 48' in text
        assert '"width": 96' not in text

    def test_going_on_needs_no_option_and_another_one_is_refused(
        self, small: Path, film: Path, weights: Path
    ) -> None:
        compute(film, small, weights, "--no-video")
        with pytest.raises(SceneError, match="max-res 48 became 64"):
            library.plan(film, small, max_res=64, devices="cpu")

    def test_what_is_no_size_is_refused(self) -> None:
        with pytest.raises(UsageError, match="at most 8 pixels"):
            PlanSettings(max_res=8)
        with pytest.raises(UsageError, match="Clips are cut out with whole pictures"):
            PlanSettings(max_res=640, extract=True)
