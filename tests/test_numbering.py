"""Frames by the numbers in files' names: what each kind of name says, and what is refused."""

import pytest

from vda.errors import InputError
from vda.stills.numbering import number_names


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["depth_000003.png", "depth_000009.png", "depth_000012.png"], (3, 9, 12)),
        (["cam1_depth_000003.png", "cam1_depth_000009.png"], (3, 9)),
        (["9.png", "10.png"], (9, 10)),
        (["frame-000400.depth.png", "frame-000401.depth.png"], (400, 401)),
        (["0003_16bit.png", "0007_16bit.png"], (3, 7)),
        (["rgb_0003_depth_0003.exr", "rgb_0007_depth_0007.exr"], (3, 7)),
        (["sh010.0003.exr", "sh010.0007.exr"], (3, 7)),
        (["images/cam2/0005.jpg", "images/cam2/0006.jpg"], (5, 6)),
        (["a_0004.png"], (4,)),
        (["depth.png"], (0,)),
    ],
)
def test_the_number_that_varies_is_the_frame(names: list[str], frames: tuple[int, ...]) -> None:
    numbering = number_names(names[::-1], "here")
    assert numbering.frames == frames
    assert [names[::-1][place] for place in numbering.places] == names


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cam1_0001.png", "cam2_0002.png"], "2 numbers in the names in here may be the frame's"),
        (["cam1_depth_000003.png"], "2 numbers in the names in here may be the frame's"),
        (["left.png", "right.png"], "Nothing in the names in here tells"),
        (["depth_1.png", "depth_1_2.png"], "Nothing in the names in here tells"),
        (["depth_01.png", "depth_1.png"], "Several files in here have one frame's number"),
        (["left_1.png", "right_1.png"], "No number in the names in here differs"),
        (["1305031102.175304.png", "1305031102.211214.png"], "are times"),
        (["cam0_1403636579763555584.png", "cam0_1403636579813555456.png"], "are times"),
    ],
)
def test_what_tells_no_frame_is_refused_and_taken_by_order_where_asked_for(names: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        number_names(names, "here")
    assert "--by-order" in raised.value.remedy
    assert number_names(names[::-1], "here", by_order=True).frames == tuple(range(len(names)))


def test_by_order_ten_comes_after_nine() -> None:
    names = ["cam2_10_b.png", "cam2_9_a.png", "cam1_11_c.png"]
    assert number_names(names, "here", by_order=True).places == (2, 1, 0)


@pytest.mark.parametrize(
    ("names", "times_s"),
    [
        (["1305031102.175304.png", "1305031102.211214.png"], (1305031102.175304, 1305031102.211214)),
        (["0.000.png", "0.033.png", "1.001.png"], (0.0, 0.033, 1.001)),
        # EuRoC's nanoseconds, and milliseconds as phones write them.
        (["1403636579763555584.png", "1403636579813555456.png"], (1403636579.763555584, 1403636579.813555456)),
        (["IMG1700000000123.png", "IMG1700000000456.png"], (1700000000.123, 1700000000.456)),
    ],
)
def test_times_are_read_in_seconds(names: list[str], times_s: tuple[float, ...]) -> None:
    assert number_names(names, "here", timed=True).times_s == pytest.approx(times_s, abs=1e-6, rel=0)


def test_numbers_of_frames_have_no_times() -> None:
    assert number_names(["1.png", "2.png"], "here", timed=True).times_s is None
