"""From a frame to the network's input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded import REFERENCE, pattern_frame

from vda.errors import UsageError
from vda.network import net_size, to_network
from vda.network.preprocess import Preparer


def test_sizes_are_those_of_the_public_implementation() -> None:
    for width, height, input_size, *expected in REFERENCE["net_size"].tolist():
        assert list(net_size(width, height, input_size)) == expected, (width, height, input_size)


@pytest.mark.parametrize(
    ("width", "height", "input_size", "expected"),
    [
        # Halves of a patch: 12.5 goes to 12, 13.5 to 14, 14.5 to 14, 17.5 to 18.
        (175, 140, 140, (168, 140)),
        (189, 140, 140, (196, 140)),
        (203, 140, 140, (196, 140)),
        (245, 140, 140, (252, 140)),
        # A side rounded below the input size takes the next multiple.
        (100, 100, 75, (84, 84)),
        (100, 100, 78, (84, 84)),
        # 16:9 and a little more is not elongated; 1.781 is.
        (1780, 1000, 518, (924, 518)),
        (1781, 1000, 518, (924, 518)),
        (2000, 1000, 518, (924, 462)),
        # Elongated, int(size * 1.777 / 2) is 91, half way from 6 to 7 patches; then 105, from 7 to 8.
        (2000, 1000, 103, (168, 84)),
        (2000, 1000, 119, (224, 112)),
        # A sliver keeps one patch; the longer side follows the frame's shape.
        (2000, 10, 70, (2800, 14)),
    ],
)
def test_ties_round_to_even(width: int, height: int, input_size: int, expected: tuple[int, int]) -> None:
    assert net_size(width, height, input_size) == expected


@settings(deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 1200), st.sampled_from([14, 16]))
def test_sizes_are_multiples_of_the_patch(width: int, height: int, input_size: int, patch: int) -> None:
    across, down = net_size(width, height, input_size, patch)
    assert across % patch == down % patch == 0
    assert min(across, down) >= patch
    assert net_size(height, width, input_size, patch) == (down, across)


@settings(deadline=None)
@given(st.integers(100, 9000), st.floats(1, 1.77), st.integers(1, 1200))
def test_the_shorter_side_is_the_first_multiple_from_the_input_size(
    shorter: int, ratio: float, input_size: int
) -> None:
    assert net_size(round(shorter * ratio), shorter, input_size)[1] == -(-input_size // 14) * 14


@pytest.mark.parametrize("input_size", [0, -14])
def test_an_input_size_that_is_not_positive_is_refused(input_size: int) -> None:
    with pytest.raises(UsageError, match="not positive"):
        net_size(640, 480, input_size)


@pytest.mark.parametrize(
    ("name", "width", "height", "input_size"),
    [("up", 96, 64, 70), ("down", 480, 270, 140), ("portrait", 360, 640, 98)],
)
def test_pixels_are_those_of_the_public_implementation(
    name: str, width: int, height: int, input_size: int
) -> None:
    image = to_network(pattern_frame(height, width), *net_size(width, height, input_size))
    assert image.dtype == np.float32 and image.flags.c_contiguous
    np.testing.assert_allclose(image[:, ::7, ::7], REFERENCE[f"preprocess_{name}"], rtol=0, atol=3e-5)


def test_a_frame_of_the_network_s_size_is_only_normalised() -> None:
    image = to_network(np.full((14, 28, 3), (0, 255, 51), np.uint8), 28, 14)
    expected = np.array([(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225])
    np.testing.assert_allclose(image, np.broadcast_to(expected[:, None, None], (3, 14, 28)), rtol=0, atol=1e-6)


def test_one_preparer_takes_pictures_of_any_size_and_hands_out_images_of_their_own() -> None:
    prepare = Preparer(42, 28)
    pictures = [pattern_frame(*size) for size in ((36, 64), (90, 160), (36, 64))]
    images = [prepare(picture) for picture in pictures]
    for picture, image in zip(pictures, images, strict=True):
        assert np.array_equal(image, to_network(picture, 42, 28))


def test_a_crop_is_prepared_as_its_copy() -> None:
    crop = pattern_frame(90, 160)[7:77, 11:131]
    assert np.array_equal(to_network(crop, 42, 28), to_network(crop.copy(), 42, 28))
