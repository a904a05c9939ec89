"""Views of another eye: two planes whose second picture is known by arithmetic, and the published matrices."""

from collections.abc import Callable

import numpy as np
import pytest

from vda.depthmaps.codes import Quantizer
from vda.errors import UsageError
from vda.picture.framing import Box, Framing
from vda.stereo.disparity import Disparities, sharpened
from vda.stereo.packing import packed
from vda.stereo.pair import both_views
from vda.stereo.style import StereoStyle, require_encodable
from vda.stereo.warping import view

HEIGHT, WIDTH = 24, 120
LEFT, RIGHT = slice(40, 70), slice(4, 20)  # the near plane's columns and rows
BEHIND, BEFORE = 3.0, 11.0
GREEN, RED = 1, 0


def texture(seed: int, channel: int) -> np.ndarray:
    """A plane that goes on beyond the picture, of one colour in many strengths: column 0 is column -40."""
    plane = np.zeros((HEIGHT, WIDTH + 80, 3), np.uint8)
    plane[..., channel] = np.random.default_rng(seed).integers(60, 256, plane.shape[:2])
    return plane


def seen(eye_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a camera ``eye_px`` to the right sees of both planes: picture, disparities, and whether it is near.

    A camera further right by ``eye_px`` sees a plane of disparity d further left by ``eye_px * d`` pixels.
    """
    far, near = texture(1, GREEN), texture(2, RED)
    columns = np.arange(WIDTH)
    behind, before = (np.rint(columns + eye_px * plane).astype(int) for plane in (BEHIND, BEFORE))
    body = np.zeros((HEIGHT, WIDTH), bool)
    body[RIGHT] = (before >= LEFT.start) & (before < LEFT.stop)
    picture = np.where(body[..., None], near[:, before + 40], far[:, behind + 40])
    return picture, np.where(body, BEFORE, BEHIND).astype(np.float32), body


def uncovered(eye_px: float) -> np.ndarray:
    """What the other camera sees of the far plane and the first does not: behind the body, or beyond the rim."""
    _, _, body = seen(eye_px)
    origin = np.arange(WIDTH) + int(eye_px * BEHIND)
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    hidden[RIGHT] = (origin >= LEFT.start) & (origin < LEFT.stop)
    return ~body & (hidden | (origin < 0) | (origin >= WIDTH))


@pytest.mark.parametrize("eye_px", [1.0, -1.0, 2.0])
def test_two_planes_look_as_the_second_camera_sees_them(eye_px: float) -> None:
    picture, disparity, _ = seen(0)
    truth, _, body = seen(eye_px)
    made = view(picture, disparity, -eye_px)
    holes = uncovered(eye_px)
    assert 16 * 8 <= holes.sum() < 0.2 * holes.size
    np.testing.assert_array_equal(made[~holes], truth[~holes])
    # Holes show the far plane: none of the body's red, and none of the black that was in neither.
    assert (made[holes][:, RED] == 0).all() and (made[holes][:, GREEN] >= 60).all()
    assert body.any()


def test_a_hole_beside_a_narrow_gap_is_filled_with_the_gap_and_not_with_what_is_near_behind_it() -> None:
    picture = np.zeros((1, 60, 3), np.uint8)
    picture[..., RED], disparity = 200, np.full((1, 60), 9, np.float32)
    picture[0, 30:33] = (0, 150, 0)
    disparity[0, 30:33] = 1
    made = view(picture, disparity, -1.0)[0]
    # The gap opens by 8 pixels on its left, and its own 3 are covered from the right by as many.
    assert (made[21:24] == (0, 150, 0)).all() and (made[:21, RED] == 200).all() and (made[24:, RED] == 200).all()


def test_positions_are_exact_to_less_than_a_pixel() -> None:
    ramp = np.repeat(np.linspace(0, 240, 121, dtype=np.uint8)[None, :, None], 3, axis=2)  # 2 levels per pixel
    for moved in (0.5, 2.25, -3.75):
        made = view(ramp, np.full((1, 121), moved, np.float32), -1.0)[0, 10:110, 0].astype(float)
        assert made == pytest.approx(ramp[0, 10:110, 0] + 2 * moved, abs=0.51)


@pytest.mark.parametrize("share", [0.5, -0.5, 1.0, -1.0])
def test_a_slanted_surface_has_no_cracks(share: float) -> None:
    picture, disparity = np.zeros((8, 200, 3), np.uint8), np.zeros((8, 200), np.float32)
    picture[..., GREEN] = 255
    picture[:, 50:150] = (200, 0, 0)
    disparity[:, 50:150] = 2 + 0.6 * np.arange(100)
    red = view(picture, disparity, share)[..., RED] > 0
    runs = np.abs(np.diff(np.pad(red, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1) // 2
    assert (runs == 1).all()


def test_the_nearest_of_three_is_seen() -> None:
    picture, disparity = np.zeros((1, 100, 3), np.uint8), np.zeros((1, 100), np.float32)
    for place, (start, shift) in enumerate([(20, 5.0), (40, 25.0), (60, 15.0)]):
        picture[0, start : start + 10, place] = 255
        disparity[0, start : start + 10] = shift
    made = view(picture, disparity, -1.0)[0]
    # At 15-24 the first, at 15-24 the second, which is nearer, at 45-54 the third.
    assert (made[15:25] == (0, 255, 0)).all() and (made[45:55] == (0, 0, 255)).all()
    assert (made[..., 0] == 0).all()


def test_without_parallax_a_view_is_the_picture() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (9, 33, 3), np.uint8)
    depth = np.random.default_rng(4).normal(size=(9, 33)).astype(np.float32)
    for made in (view(picture, depth, 0.0), view(picture, np.zeros_like(depth), 0.5)):
        np.testing.assert_array_equal(made, picture)
    made = view(picture, np.full((9, 33), 1e-9, np.float32), -0.5)
    np.testing.assert_array_equal(made, picture)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (2, 5)])
def test_tiny_pictures_have_views(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 77, np.uint8)
    disparity = np.arange(size[0] * size[1], dtype=np.float32).reshape(size)
    assert (view(picture, disparity, 1.0) == 77).all() and (view(picture, disparity, -1.0) == 77).all()


class TestDisparities:
    def test_pixels_are_parallax_times_width_times_nearness_less_convergence(self) -> None:
        quantizer = Quantizer.for_range(0.0, 2.0)
        values = np.array([[0.5, 1.0, 1.5, 0.25, 2.0]], np.float32)
        found = Disparities.of(quantizer, (0.5, 1.5), StereoStyle(3.0, 0.25), 1000, 2)
        # 3 per cent of 1000 pixels; nearness 0, 1/2, 1, and no further beyond either end.
        expected = 30 * (np.array([[0, 0.5, 1, 0, 1]]) - 0.25)
        assert found.table[quantizer.encode(values)] == pytest.approx(expected, abs=1e-2)

    def test_what_lies_at_the_convergence_is_in_the_same_place_for_both_eyes(self) -> None:
        quantizer = Quantizer.for_range(0.0, 1.0)
        codes = quantizer.encode(np.full((4, 40), 0.25, np.float32))
        found = Disparities.of(quantizer, (0.0, 1.0), StereoStyle(5.0, 0.25), 40, 2).of_frame(codes)
        picture = np.random.default_rng(5).integers(0, 256, (4, 40, 3), np.uint8)
        for share in (0.5, -0.5):
            np.testing.assert_array_equal(view(picture, found, share), picture)

    def test_metres_become_inverse_depth_and_what_has_no_depth_is_far(self) -> None:
        quantizer = Quantizer.millimetres()
        codes = quantizer.encode(np.array([[1.0, 2.0, 4.0, np.nan]], np.float32))
        found = Disparities.of(quantizer, (0.25, 1.0), StereoStyle(1.0, 0.0), 300, 2).table[codes]
        # 1/metres is 1, 1/2, 1/4: nearness 1, 1/3, 0.
        assert found == pytest.approx(np.array([[3, 1, 0, 0]]), abs=1e-3)

    @pytest.mark.parametrize("shown", [None, (0.5, 0.5)])
    def test_without_a_range_all_is_flat(self, shown: tuple[float, float] | None) -> None:
        found = Disparities.of(Quantizer.for_range(0, 1), shown, StereoStyle(), 640, 2)
        assert not found.table.any()


class TestEdges:
    def test_a_soft_edge_becomes_a_step_just_outside_the_body(self) -> None:
        # From far (0) over 8 pixels to near (20): the body's true rim is in the middle of the slope.
        slope = np.clip((np.arange(60) - 26) * 2.5, 0, 20).astype(np.float32)
        made = sharpened(np.tile(slope, (30, 1)), 8)
        assert set(np.unique(made)) == {0.0, 20.0}
        assert 26 <= np.argmax(made[15] > 0) <= 30

    def test_a_surface_that_rises_is_left_as_it_is(self) -> None:
        slanted = np.tile(0.2 * np.arange(80, dtype=np.float32), (20, 1))
        np.testing.assert_array_equal(sharpened(slanted, 5), slanted)


class TestFrames:
    """A near body on a far ground, 200 pixels wide; 10 per cent of parallax, half of it before the screen."""

    STYLE = StereoStyle(10.0, 0.5)
    QUANTIZER = Quantizer.for_range(0.0, 1.0)

    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        picture, depth = np.full((40, 200, 3), (0, 120, 0), np.uint8), np.zeros((40, 200), np.float32)
        picture[10:30, 60:140] = (200, 0, 0)
        depth[10:30, 60:140] = 1
        return picture, depth

    def views(self, picture: np.ndarray, depth: np.ndarray, framing: Framing) -> tuple[np.ndarray, np.ndarray]:
        disparities = Disparities.of(self.QUANTIZER, (0.0, 1.0), self.STYLE, 200, 2)
        return both_views(picture, self.QUANTIZER.encode(depth), framing, disparities, self.STYLE)

    def test_bars_stay_where_they_are_and_nothing_comes_to_lie_over_them(self) -> None:
        picture, depth = self.frame()
        picture[:, :62] = picture[:, 138:] = 0
        depth[:, :62] = depth[:, 138:] = np.nan
        for made in self.views(picture, depth, Framing.of((200, 40), crop=Box(62, 0, 76, 40))):
            assert not made[:, :62].any() and not made[:, 138:].any()
            assert made[:, 62:138].any(-1).all()

    def test_what_is_laid_over_is_in_the_same_place_for_both_eyes(self) -> None:
        picture, depth = self.frame()
        overlay = np.zeros((40, 200), bool)
        overlay[15:20, 50:100:7] = True
        picture[overlay] = 255
        depth[overlay] = np.nan
        for made in self.views(picture, depth, Framing.of((200, 40), overlay=overlay)):
            white = (made > 200).all(-1)
            np.testing.assert_array_equal(white, overlay)

    def test_a_small_hole_in_the_depth_tears_nothing_and_a_large_one_is_far(self) -> None:
        picture, depth = self.frame()
        depth[18:20, 90:92] = np.nan
        left, right = self.views(picture, depth, Framing.of((200, 40)))
        # The body is moved by 5 pixels as a whole.
        assert (left[12:28, 67:143, RED] == 200).all() and (right[12:28, 57:133, RED] == 200).all()
        depth[10:30, 60:140] = np.nan
        left, right = self.views(picture, depth, Framing.of((200, 40)))
        assert (left[12:28, 57:133, RED] == 200).all() and (right[12:28, 67:143, RED] == 200).all()

    def test_a_frame_without_depth_is_flat(self) -> None:
        picture, depth = self.frame()
        for made in self.views(picture, np.full_like(depth, np.nan), Framing.of((200, 40))):
            np.testing.assert_array_equal(made, picture)


class TestPacking:
    @pytest.mark.parametrize(
        ("form", "width"), [("sbs", 2 * 34), ("half-sbs", 36), ("cross-eyed", 68), ("anaglyph", 33)]
    )
    def test_an_odd_width_keeps_both_views_apart(self, form: str, width: int) -> None:
        left, right = np.full((5, 33, 3), 200, np.uint8), np.full((5, 33, 3), 40, np.uint8)
        made = packed(form, left, right)
        assert made.shape == (5, width, 3)
        halves = {"sbs": (200, 40), "half-sbs": (200, 40), "cross-eyed": (40, 200)}.get(form)
        if halves is not None:
            assert (made[:, : width // 2] == halves[0]).all() and (made[:, width // 2 :] == halves[1]).all()

    def test_red_cyan_glasses_give_each_eye_its_own(self) -> None:
        white, black = np.full((1, 1, 3), 255, np.uint8), np.zeros((1, 1, 3), np.uint8)
        # By the matrices' row sums: 1.05, -0.148 and -0.115 of the left, -0.05, 1.147 and 1.115 of the right.
        assert packed("anaglyph", white, black).tolist() == [[[255, 0, 0]]]
        assert packed("anaglyph", black, white).tolist() == [[[0, 255, 255]]]

    def test_red_of_the_left_is_as_published(self) -> None:
        red, black = np.array([[[255, 0, 0]]], np.uint8), np.zeros((1, 1, 3), np.uint8)
        # 0.437 of linear light is 0.6937 in sRGB: 1.055 * 0.437 ** (1 / 2.4) - 0.055.
        assert packed("anaglyph", red, black).tolist() == [[[177, 0, 0]]]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: StereoStyle(parallax=-1),
        lambda: StereoStyle(parallax=11),
        lambda: StereoStyle(convergence=1.5),
        lambda: StereoStyle(convergence=float("nan")),
        lambda: StereoStyle(eyes="left"),  # type: ignore[arg-type]
        lambda: require_encodable("sbs", 8194),
    ],
)
def test_what_cannot_be_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        wrong()
