"""Where pixels land, in which colours, and that depth is never mixed."""

from pathlib import Path

import av
import clips
import cv2
import data_sets
import numpy as np
import pytest

from vda.camera.intrinsics import Intrinsics, project
from vda.errors import InputError, UsageError
from vda.fvc.geometry import Geometry
from vda.fvc.pictures import scale_codes, scale_picture
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale


@pytest.mark.parametrize(
    ("source", "inner", "left", "top"),
    [
        ((1920, 1080), (256, 144), 0, 56),
        ((1080, 1920), (144, 256), 56, 0),
        ((640, 480), (256, 192), 0, 32),
        ((161, 121), (256, 192), 0, 32),
        ((64, 64), (256, 256), 0, 0),
        ((4000, 3), (256, 1), 0, 127),
    ],
)
def test_a_letterbox_keeps_the_aspect_in_the_middle(
    source: tuple[int, int], inner: tuple[int, int], left: int, top: int
) -> None:
    geometry = Geometry.letterbox(source, 256)
    assert (geometry.inner, geometry.left, geometry.top) == (inner, left, top)
    assert geometry.left + geometry.inner[0] + geometry.padding["right"] == 256
    assert geometry.top + geometry.inner[1] + geometry.padding["bottom"] == 256


@pytest.mark.parametrize("size", [0, 15, 255])
def test_sizes_that_no_video_has_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="even"):
        ScaleSettings(size=size)


def test_points_keep_their_place_in_the_picture() -> None:
    """A pixel's corner is half a pixel from its centre, before and after."""
    geometry = Geometry.letterbox((640, 320), 160)
    corners = np.array([[-0.5, -0.5], [639.5, 319.5]])
    assert geometry.points(corners).tolist() == [[-0.5, 39.5], [159.5, 119.5]]
    assert geometry.boxes(corners.reshape(1, 4)).tolist() == [[-0.5, 39.5, 159.5, 119.5]]


def test_a_camera_sees_the_same_points_at_the_mapped_pixels() -> None:
    camera = Intrinsics(641, 363, 500.0, 510.0, 301.5, 190.25, "opencv", (0.1, -0.05, 0.002, 0.001))
    points = np.array([[0.1, -0.2, 2.0], [1.0, 0.5, 4.0], [-0.7, 0.3, 1.9]])
    for geometry in (Geometry.letterbox((641, 363), 256), Geometry.resize((641, 363), 100)):
        mapped = geometry.points(project(camera, points))
        np.testing.assert_allclose(project(geometry.camera(camera), points), mapped, atol=1e-9)


def test_what_is_for_another_picture_is_refused() -> None:
    geometry = Geometry.letterbox((640, 360), 256)
    assert geometry.seen_at((1280, 720)).inner == geometry.inner
    with pytest.raises(InputError, match="640x480"):
        geometry.seen_at((640, 480))


def crossing(image: np.ndarray, dark: int, bright: int) -> tuple[float, float]:
    """Where the four quarters of ``image`` (dark and bright in turn) meet, in pixels, with a share of a pixel."""
    height, width = image.shape
    share = (image.astype(float) - dark) / (bright - dark)
    return width - 0.5 - share[height // 4].sum(), height - 0.5 - share[:, width // 4].sum()


def quarters(width: int, height: int, x: int, y: int) -> np.ndarray:
    """Pixels right of column ``x``, or below row ``y``, but not both, are True."""
    return (np.arange(width) >= x)[None] ^ (np.arange(height) >= y)[:, None]


@pytest.mark.parametrize("size", [(640, 480), (161, 121), (1080, 1920), (96, 54)])
def test_a_corner_lands_where_arithmetic_says_in_colour_and_depth_alike(size: tuple[int, int]) -> None:
    width, height = size
    x, y = width * 5 // 8, height * 6 // 11
    marked = quarters(width, height, x, y)
    for geometry in (Geometry.letterbox(size, 256), Geometry.resize(size, 128)):
        # The corner lies between pixels: half a pixel before the centre of (x, y).
        ((expected_x, expected_y),) = geometry.points(np.array([[x - 0.5, y - 0.5]]))
        # Levels with room for what bicubic interpolation adds at an edge.
        rgb = scale_picture(geometry, np.repeat(np.where(marked, 180, 60)[..., None].astype(np.uint8), 3, axis=2))
        codes = scale_codes(geometry, np.where(marked, 5000, 1000).astype(np.uint16))
        rows = slice(geometry.top, geometry.top + geometry.inner[1])
        columns = slice(geometry.left, geometry.left + geometry.inner[0])
        for image, levels, tolerance in ((rgb[..., 1], (60, 180), 0.1), (codes, (1000, 5000), 0.51)):
            found_x, found_y = crossing(image[rows, columns], *levels)
            assert abs(found_x + geometry.left - expected_x) <= tolerance
            assert abs(found_y + geometry.top - expected_y) <= tolerance


def test_depth_is_never_mixed_and_nothing_becomes_valid() -> None:
    random = np.random.default_rng(0)
    codes = random.choice(np.array([0, 7, 900, 65535], np.uint16), (97, 151))
    for size in (64, 256):
        geometry = Geometry.letterbox((151, 97), size)
        scaled = scale_codes(geometry, codes)
        assert scaled.shape == (size, size)
        assert set(np.unique(scaled)) <= {0, 7, 900, 65535}
        picture = np.zeros((size, size), bool)
        picture[geometry.top : geometry.top + geometry.inner[1]] = True
        assert not scaled[~picture].any()
        # Each pixel is the one whose area its centre lies in.
        for place in ((0, 0), (geometry.inner[0] - 1, geometry.inner[1] - 1), (geometry.inner[0] // 3, 5)):
            at = (np.array(place) + 0.5) * (151, 97) / geometry.inner
            expected = codes[int(at[1]), int(at[0])]
            assert scaled[geometry.top + place[1], geometry.left + place[0]] == expected


def chart(seed: int) -> np.ndarray:
    """RGB uint8 [768, 1024, 3]: patches of the primaries and of random colours."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    patches[0] = [[255 * (code >> bit & 1) for bit in range(3)] for code in range(8)]
    return np.kron(patches, np.ones((128, 128, 1), np.uint8))


@pytest.mark.parametrize("seed", range(3))
def test_colours_are_those_of_opencvs_own_resize(tmp_path: Path, seed: int) -> None:
    picture = chart(seed)
    expected = np.zeros((256, 256, 3), np.uint8)
    expected[32:224] = cv2.resize(picture, (256, 192), interpolation=cv2.INTER_AREA)
    clips.make_clip(tmp_path / "chart.mkv", range(5), draw=lambda _: picture, codec="ffv1", pix_fmt="bgr0")
    metadata = data_sets.table(tmp_path / "videos.csv", [{"video_path": "chart.mkv", "label": "real"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=256))
    path = tmp_path / "out" / "chart_scaled_original.mp4"
    with av.open(str(path)) as container:
        read = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    video = cv2.VideoCapture(str(path))
    also = np.stack([video.read()[1][..., ::-1] for _ in range(5)])
    # Between patches H.264's halved chroma mixes; a patch is 32 pixels wide.
    inside = np.zeros((32, 32), bool)
    inside[4:-4, 4:-4] = True
    inside = np.pad(np.tile(inside, (6, 8)), ((32, 32), (0, 0)))
    for found in (read, also):
        assert np.abs(found.astype(int) - expected)[:, inside].max() <= 2
