"""Depth of part of a picture: the network sees what a video of that part alone would show, and nothing moves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip, with_bars
from depth_runs import check, depth_digest, make_weights, run_options, vda_here
from pictures import read_codes

import vda as library
from vda.errors import InputError, SceneError, UsageError
from vda.picture.framing import Box, Framing, limited
from vda.picture.overlay import read_overlay
from vda.reporter import Noted
from vda.scene.chunks import plan_linked
from vda.scene.picturechoice import PictureChoice
from vda.scene.scene import Scene
from vda.splitting.pictures import look_for_bars
from vda.splitting.settings import PlanSettings

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
    check(vda_here("depth", video, "--scene", scene, *settings, *options))
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
        with pytest.raises(UsageError, match="--max-res 8 is not possible"):
            PlanSettings(max_res=8)
        with pytest.raises(UsageError, match="Clips are cut out with whole pictures"):
            PlanSettings(max_res=640, extract=True)


BARS = {"left": 8, "top": 12, "right": 14, "bottom": 20}
BARRED = (BARS["left"] + WIDTH + BARS["right"], BARS["top"] + HEIGHT + BARS["bottom"])
INSIDE = (slice(BARS["top"], BARS["top"] + HEIGHT), slice(BARS["left"], BARS["left"] + WIDTH))


@pytest.fixture(scope="module")
def plain(film: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compute(film, tmp_path_factory.mktemp("plain") / "scene", weights, "--no-video")


@pytest.fixture(scope="module")
def barred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lossless(tmp_path_factory.mktemp("barred") / "barred.mkv", with_bars(busy, **BARS, text=True))


@pytest.fixture(scope="module")
def cropped(barred: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cropped") / "scene"
    return compute(barred, root, weights, "--crop", "auto", "--chunks", 1, "--side-by-side")


class TestCrop:
    def test_depth_between_the_bars_is_that_of_the_film_without_them(self, cropped: Path, plain: Path) -> None:
        for frame in (0, 17, FRAMES - 1):
            made = codes(cropped, frame)
            assert made.shape == (BARRED[1], BARRED[0])
            assert np.array_equal(made[INSIDE], codes(plain, frame))
            made[INSIDE] = 0
            assert not made.any()

    def test_chunks_do_not_change_a_byte(self, cropped: Path, barred: Path, weights: Path, tmp_path: Path) -> None:
        box = f"{BARS['left']},{BARS['top']},{WIDTH},{HEIGHT}"
        other = compute(barred, tmp_path / "scene", weights, "--crop", box, "--chunks", 3, "--no-video")
        assert depth_digest(cropped) == depth_digest(other)

    def test_chunks_of_their_own_are_cropped_too(self, barred: Path, weights: Path, tmp_path: Path) -> None:
        options = ["--chunking", "independent", "--overlap", 8, "--chunks", 2, "--no-video"]
        made = codes(compute(barred, tmp_path / "scene", weights, "--crop", "auto", *options), 20)
        assert made[INSIDE].all()
        made[INSIDE] = 0
        assert not made.any()

    def test_the_record_and_the_report_say_it(self, cropped: Path) -> None:
        record = json.loads((cropped / "vda_merged_depth" / "depth.json").read_text())
        assert record["picture"]["crop"] == "auto"
        assert record["picture"]["boxes"] == [[BARS["left"], BARS["top"], WIDTH, HEIGHT]]
        assert record["invalid_pixels"] == FRAMES * (BARRED[0] * BARRED[1] - WIDTH * HEIGHT)
        assert "8,12,96,64 (left, top, width, height)" in (cropped / "report.html").read_text()

    def test_tracks_keep_the_videos_coordinates(self, cropped: Path, tmp_path: Path) -> None:
        places = {"inside": [40.0, 30.0], "in a bar": [40.0, 4.0]}
        records = [{"frame": "frame_00010", "detected": True, "contact_2d": place} for place in places.values()]
        tracks = {"metadata": {}, "intrinsics": {"fx": 90, "fy": 90, "cx": 58.5, "cy": 47.5}, "tracks": records}
        (tmp_path / "tracks.json").write_text(json.dumps(tracks))
        output = tmp_path / "out.json"
        options = {"at": "window", "window": 1, "allow_relative": True}
        library.enrich(cropped, tracks=tmp_path / "tracks.json", output=output, **options)  # type: ignore[arg-type]
        inside, outside = json.loads(output.read_text())["tracks"]
        depth = 1 / library.open_depth(cropped)[10][30, 40]
        assert inside["vda_depth_relative"] == pytest.approx(depth, rel=1e-4)
        assert inside["vda_position_relative"]["x"] == pytest.approx((40 - 58.5) / 90 * depth, rel=1e-4)
        assert "vda_depth_relative" not in outside

    def test_with_max_res_the_depth_is_that_of_both(self, barred: Path, weights: Path, tmp_path: Path) -> None:
        made = codes(compute(barred, tmp_path / "s", weights, "--crop", "auto", "--max-res", 59, "--no-video"), 5)
        assert made.shape == (48, 59)
        # Half the size: columns 8 .. 104 become 4 .. 52, rows 12 .. 76 become 6 .. 38.
        assert made[6:38, 4:52].all()
        made[6:38, 4:52] = 0
        assert not made.any()

    def test_each_shot_has_its_own_bars(self, weights: Path, tmp_path: Path) -> None:
        def changing(number: int) -> np.ndarray:
            if number >= 40:
                return with_bars(busy, top=10, bottom=10)(number)
            return with_bars(lambda n: busy(n)[:, 8:-8], left=8, right=8, top=10, bottom=10)(number)

        video, scene = lossless(tmp_path / "two.mkv", changing, 70), Scene(tmp_path / "scene")
        library.plan(video, scene.root, devices="cpu")
        shots, said = [(0, 40), (40, 70)], Noted(None)
        whole = PictureChoice((WIDTH, HEIGHT + 20))
        choice = look_for_bars(whole, "auto", *scene.film(), [range(*shot) for shot in shots], said)
        assert choice.boxes == (Box(8, 10, WIDTH - 16, HEIGHT), Box(0, 10, WIDTH, HEIGHT))
        scene.write_plan(plan_linked(70, 3, shots=shots), {}, picture=choice)
        settings = [*run_options(weights), "--on", "inline", "--devices", "cpu", "-q"]
        check(vda_here("run", scene.root, *settings))
        check(vda_here("merge", scene.root, "-q"))
        for frame, box in ((39, choice.boxes[0]), (40, choice.boxes[1])):
            made = codes(scene.root, frame)
            assert made[box.places].all()
            made[box.places] = 0
            assert not made.any()

    def test_a_shot_too_dark_to_tell_has_the_films_bars(self, tmp_path: Path) -> None:
        def dim(number: int) -> np.ndarray:
            y, x = np.mgrid[:HEIGHT, :WIDTH]
            dark = (number >= 40) & (np.hypot(x - 48, y - 32) > 20)
            return np.where(dark[..., None], 0, busy(number)).astype(np.uint8)

        video, scene = lossless(tmp_path / "dim.mkv", with_bars(dim, top=10, bottom=10), 60), tmp_path / "scene"
        library.plan(video, scene, devices="cpu")
        shots = [range(0, 20), range(20, 40), range(40, 60)]
        whole = PictureChoice((WIDTH, HEIGHT + 20))
        choice = look_for_bars(whole, "auto", *Scene(scene).film(), shots, Noted(None))
        assert choice.boxes == (Box(0, 10, WIDTH, HEIGHT),)

    def test_bars_are_said_with_the_option_that_keeps_them_out(self, barred: Path, tmp_path: Path) -> None:
        said = Noted(None)
        library.plan(barred, tmp_path / "scene", devices="cpu", reporter=said)
        assert any("--crop auto, or --crop 8,12,96,64" in sentence for sentence in said.said)
        assert Scene(tmp_path / "scene").picture().is_whole
        silent = Noted(None)
        library.plan(barred, tmp_path / "other", devices="cpu", crop="off", reporter=silent)
        assert not any("bars" in sentence for sentence in silent.said)

    def test_going_on_needs_no_option_and_another_one_is_refused(self, cropped: Path, barred: Path) -> None:
        library.plan(barred, cropped, devices="cpu")
        library.plan(barred, cropped, devices="cpu", crop="auto")
        for crop in ("off", "8,12,96,64"):
            with pytest.raises(SceneError, match=f"crop auto became {crop}"):
                library.plan(barred, cropped, devices="cpu", crop=crop)

    @pytest.mark.parametrize("crop", ["", "all", "1,2,3", "1,2,30,x", "0,0,8,64", "-1,0,40,40", "0,0,40,1e3"])
    def test_what_is_no_crop_is_refused(self, crop: str) -> None:
        with pytest.raises(UsageError):
            PlanSettings(crop=crop)

    def test_a_crop_beyond_the_picture_is_refused(self, film: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="not within the picture, which is 96x64"):
            library.plan(film, tmp_path / "scene", crop="10,0,90,64", devices="cpu")
        assert not (tmp_path / "scene").exists()

    def test_clips_have_whole_pictures(self) -> None:
        for options in ({"crop": "auto"}, {"mask": Path("mask.png")}):
            with pytest.raises(UsageError, match="Clips are cut out with whole pictures"):
                PlanSettings(extract=True, **options)


LOGO = (slice(40, 52), slice(60, 84))


def mask_image(path: Path, scale: int = 1, places: tuple[slice, slice] = LOGO) -> Path:
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[places] = 255
    cv2.imwrite(str(path), image.repeat(scale, 0).repeat(scale, 1))
    return path


def with_logo(seed: int) -> Callable[[int], np.ndarray]:
    def draw(number: int) -> np.ndarray:
        picture = busy(number)
        picture[LOGO] = np.random.default_rng(seed + number).integers(0, 256, (12, 24, 3))
        return picture

    return draw


@pytest.fixture(scope="module")
def masked(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked")
    options = ["--mask", mask_image(folder / "mask.png"), "--chunks", 1, "--no-video"]
    return compute(lossless(folder / "logo.mkv", with_logo(1)), folder / "scene", weights, *options)


class TestMask:
    def test_what_is_masked_has_no_say_and_no_depth(self, masked: Path, weights: Path, tmp_path: Path) -> None:
        """Another logo, a mask of another size, three chunks: the same bytes."""
        mask = mask_image(tmp_path / "mask.png", scale=2)
        video = lossless(tmp_path / "other.mkv", with_logo(1000))
        other = compute(video, tmp_path / "scene", weights, "--mask", mask, "--chunks", 3, "--no-video")
        assert depth_digest(masked) == depth_digest(other)
        made = codes(masked, 9)
        assert not made[LOGO].any()
        made[LOGO] = 1
        assert made.all()

    def test_the_filling_is_opencvs(self, masked: Path, weights: Path, tmp_path: Path) -> None:
        def inpainted(number: int) -> np.ndarray:
            image = np.zeros((HEIGHT, WIDTH), np.uint8)
            image[LOGO] = 255
            return np.asarray(cv2.inpaint(with_logo(1)(number), image, 3, cv2.INPAINT_TELEA), np.uint8)

        other = compute(lossless(tmp_path / "f.mkv", inpainted), tmp_path / "scene", weights, "--no-video")
        record, reference = (
            json.loads((scene / "vda_merged_depth" / "depth.json").read_text()) for scene in (masked, other)
        )
        assert (record["scale"], record["offset"]) == (reference["scale"], reference["offset"])
        made, whole = codes(masked, 9), codes(other, 9)
        assert np.array_equal(made[made > 0], whole[made > 0])

    def test_a_bar_is_not_filled_in_with(self, tmp_path: Path) -> None:
        """A mask across the lower edge of the picture: what is filled in is made of the picture."""
        overlay = read_overlay(mask_image(tmp_path / "mask.png"), (WIDTH, HEIGHT))
        framing = Framing.of((WIDTH, HEIGHT), None, Box(0, 0, WIDTH, 48), overlay)
        grey = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        grey[48:] = 0
        grey[LOGO] = 255
        # Telea's weights err by a few steps; the bar is 120 darker, the logo 135 lighter.
        assert np.abs(framing.seen(grey).astype(int) - 120).max() <= 5

    def test_another_mask_is_refused_and_the_same_one_is_not(self, masked: Path, tmp_path: Path) -> None:
        video = masked.parent / "logo.mkv"
        library.plan(video, masked, devices="cpu", mask=mask_image(tmp_path / "same.png", scale=3))
        other = mask_image(tmp_path / "other.png", places=(slice(0, 9), slice(0, 9)))
        with pytest.raises(SceneError, match=r"mask \w+ became"):
            library.plan(video, masked, devices="cpu", mask=other)

    def test_a_mask_that_was_changed_in_the_scene_is_refused(self, film: Path, tmp_path: Path) -> None:
        scene = Scene(tmp_path / "scene")
        library.plan(film, scene.root, devices="cpu", mask=mask_image(tmp_path / "mask.png"))
        mask_image(scene.mask_path, places=(slice(0, 9), slice(0, 9)))
        with pytest.raises(SceneError, match="not the one that the scene was planned with"):
            scene.framings([0])
        scene.mask_path.unlink()
        with pytest.raises(InputError, match="cannot be read"):
            scene.framings([0])

    def test_an_alpha_channel_and_16_bits_are_read(self, tmp_path: Path) -> None:
        image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        image[..., :3] = 255
        image[LOGO] = 255
        cv2.imwrite(str(tmp_path / "alpha.png"), image)
        cv2.imwrite(str(tmp_path / "deep.png"), image[..., 3].astype(np.uint16) * 257)
        expected = np.zeros((HEIGHT, WIDTH), bool)
        expected[LOGO] = True
        for name in ("alpha.png", "deep.png"):
            assert np.array_equal(read_overlay(tmp_path / name, (WIDTH, HEIGHT)), expected)

    @pytest.mark.parametrize("wrong", ["shape", "empty", "all", "no image", "absent"])
    def test_what_is_no_mask_is_refused(self, film: Path, tmp_path: Path, wrong: str) -> None:
        path = tmp_path / "mask.png"
        image = np.full((HEIGHT, HEIGHT if wrong == "shape" else WIDTH), 255 * (wrong == "all"), np.uint8)
        if wrong == "no image":
            path.write_bytes(b"no image")
        elif wrong != "absent":
            cv2.imwrite(str(path), image)
        with pytest.raises((UsageError, InputError)):
            library.plan(film, tmp_path / "scene", mask=path, devices="cpu")
        assert not (tmp_path / "scene").exists()
