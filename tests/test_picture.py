"""How a picture is shown: all eight ways to lay it down, and pixels that are not square."""

from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest

from vda.camera.choice import CameraChoice, CameraSetting, choose_camera, fit_to_video
from vda.camera.intrinsics import Intrinsics, project
from vda.fvc.geometry import Geometry
from vda.fvc.likeness import mark_of
from vda.picture.upright import with_square_pixels
from vda.reporter import Noted, Silence
from vda.video import ClipWriter, VideoInfo, index_frames, probe, read_frames

# ISO/IEC 14496-12, the track header's matrix: a, b, c and d of all turns and mirrors.
EIGHT = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
         (-1, 0, 0, 1), (0, -1, -1, 0), (1, 0, 0, -1), (0, 1, 1, 0)]  # fmt: skip
# PAL in 16:9, as ITU-R BT.601 players take it.
WIDE = Fraction(64, 45)


def stored_of(shown: np.ndarray, axes: tuple[int, int, int, int]) -> np.ndarray:
    """The picture whose pixel (p, q), moved to (a p + c q, b p + d q) and into the frame, gives ``shown``."""
    a, b, c, d = axes
    height, width = shown.shape[:2] if a else shown.shape[1::-1]
    q, p = np.mgrid[:height, :width]
    x, y = a * p + c * q, b * p + d * q
    return shown[y - y.min(), x - x.min()]


def mirrors(number: int) -> list[np.ndarray]:
    picture = clips.picture(number)
    return [picture[::-1], picture[:, ::-1], picture[::-1, ::-1]]


@pytest.mark.parametrize("axes", EIGHT)
def test_every_display_matrix_is_applied_as_players_do(tmp_path: Path, axes: tuple[int, int, int, int]) -> None:
    path = clips.make_clip(
        tmp_path / "a.mp4", range(3), draw=lambda number: stored_of(clips.picture(number), axes)
    )
    clips.orient(path, axes)
    info = probe(path)
    assert (info.width, info.height) == (80, 48)
    assert VideoInfo.from_json(info.to_json()) == info
    assert len(info.notes) == (axes != (1, 0, 0, 1))
    for number, frame in enumerate(read_frames(info, index_frames(info), 0, 3)):
        assert clips.number_in(frame.rgb) == number
        away = [
            np.abs(frame.rgb.astype(int) - other).mean() for other in (clips.picture(number), *mirrors(number))
        ]
        assert 2 * away[0] < min(away[1:])


@pytest.mark.parametrize("axes", [(0.7071, 0.7071, -0.7071, 0.7071), (1, 0.5, 0, 1), (0, 0, 0, 0)])
def test_other_angles_stay_as_stored_and_are_said(tmp_path: Path, axes: tuple[float, float, float, float]) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(3))
    clips.orient(path, axes)
    info = probe(path)
    assert (info.width, info.height, info.rotation_deg, info.mirrored) == (80, 48, 0, False)
    assert "no quarter turn" in info.notes[0]
    assert [clips.number_in(frame.rgb) for frame in read_frames(info, index_frames(info), 0, 3)] == [0, 1, 2]


def test_likeness_looks_at_mirrored_videos_as_they_are_shown(tmp_path: Path) -> None:
    plain = clips.make_clip(tmp_path / "a.mp4", range(60))
    axes = (-1, 0, 0, 1)
    turned = clips.make_clip(
        tmp_path / "b.mp4", range(60), draw=lambda number: stored_of(clips.picture(number), axes)
    )
    one = mark_of(turned)
    clips.orient(turned, axes)
    shown, other = mark_of(turned), mark_of(plain)
    assert one is not None and shown is not None and other is not None
    assert (shown.signs != other.signs).mean() < 0.05 < (one.signs != other.signs).mean()


def test_pixels_that_are_not_square_are_told_with_the_video(tmp_path: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(3), pixel_aspect=WIDE)
    info = probe(path)
    assert (info.width, info.height, info.pixel_aspect) == (80, 48, WIDE)
    assert VideoInfo.from_json(info.to_json()).pixel_aspect == WIDE
    assert "(64:45): 80x48 is displayed as 114x48" in info.notes[0]
    clips.rotate(path, 90)
    assert (probe(path).width, probe(path).height, probe(path).pixel_aspect) == (48, 80, 1 / WIDE)


def test_a_clip_is_written_with_its_pixels_shape(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "a.mp4", fps=Fraction(25), pixel_aspect=WIDE) as writer:
        writer.write(clips.picture(0))
    assert probe(tmp_path / "a.mp4").pixel_aspect == WIDE


def test_a_model_that_embeds_sees_the_displayed_shape() -> None:
    pal, column = np.zeros((576, 720, 3), np.uint8), np.zeros((576, 352, 3), np.uint8)
    assert with_square_pixels(pal, WIDE).shape == (576, 1024, 3)
    assert with_square_pixels(column, Fraction(1, 2)).shape == (1152, 352, 3)
    assert with_square_pixels(pal, Fraction(1)) is pal


def test_scaled_videos_have_the_shape_that_is_displayed() -> None:
    # 720x576 with 64:45 is 1024x576, which is 16:9: 256x144.
    letterbox = Geometry.letterbox((720, 576), 256, WIDE)
    assert (letterbox.inner, letterbox.top) == ((256, 144), 56)
    assert Geometry.resize((720, 576), 256, WIDE).inner == (256, 144)
    # Of 352x576 with 24:11 the displayed width is the longer side, not the stored height.
    assert Geometry.letterbox((352, 576), 256, Fraction(24, 11)).inner == (256, 192)
    corners = np.array([[-0.5, -0.5], [719.5, 575.5]])
    assert letterbox.points(corners).tolist() == [[-0.5, 55.5], [255.5, 199.5]]
    # Tracks of a tracker that saw square pixels land in the same places.
    square = letterbox.seen_at((1024, 576))
    assert square.points(np.array([[1023.5, 575.5]])).tolist() == [[255.5, 199.5]]


def test_one_length_is_more_pixels_along_their_shorter_side() -> None:
    setting = CameraSetting(pixel_aspect=WIDE)
    told = Noted(None)
    square = Intrinsics.from_fov(1024, 576, 60)
    for choice in (CameraChoice(fov_deg=60, setting=setting), CameraChoice(assume_fov=True, setting=setting)):
        camera = choose_camera(None, choice, (720, 576), told)
        assert (camera.fx, camera.fy) == pytest.approx((square.fx * 720 / 1024, square.fy))
    camera = choose_camera(None, CameraChoice((500.0, None, None, None), setting=setting), (720, 576), told)
    assert camera.fy == pytest.approx(500 * 64 / 45)
    # A camera for the displayed picture is that of the stored one, with its width made smaller.
    assert fit_to_video(square, (720, 576), setting, told).fx == pytest.approx(square.fx * 720 / 1024)
    sizes = CameraChoice((square.fx, None, None, None), (1024, 576), setting=setting)
    assert choose_camera(None, sizes, (720, 576), told).fy == pytest.approx(square.fy)


def test_a_mirrored_camera_sees_mirrored_points_at_mirrored_pixels() -> None:
    camera = Intrinsics(640, 480, 500, 510, 300, 250, "opencv", (-0.2, 0.05, 0.004, -0.003, 0.01))
    points = np.array([[0.3, -0.2, 1.0], [-0.4, 0.35, 1.2]])
    seen, mirrored = project(camera, points), project(camera.mirrored(), points * [-1, 1, 1])
    assert mirrored == pytest.approx(seen * [-1, 1] + [639, 0])


def test_a_camera_for_the_stored_picture_is_mirrored_and_turned_with_it() -> None:
    camera = Intrinsics(640, 480, 500, 510, 300, 250)
    setting = CameraSetting(rotation_deg=90, mirrored=True)
    shown = fit_to_video(camera, (480, 640), setting, Silence())
    # Mirrored, (x, y) is at (639 - x, y); turned clockwise, at (479 - y, 639 - x).
    point = np.array([[0.1, 0.2, 1.0]])
    x, y = project(camera, point)[0]
    assert project(shown, np.array([[-0.2, -0.1, 1.0]]))[0] == pytest.approx([479 - y, 639 - x])
