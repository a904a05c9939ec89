"""Interlaced video comes out whole, the same frame by frame as in one go; and sizes that change are fitted in."""

from pathlib import Path

import clips
import cv2
import numpy as np
import pytest

from vda.picture.signal import Deinterlace, SignalChoice
from vda.video import (
    NotAsListed,
    index_frames,
    list_frames,
    notes_of,
    probe,
    read_frame_list,
    read_frames,
    read_listed,
)

COUNT, HEIGHT, WIDTH = 24, 64, 96
FIELDS = {"x264-params": "bff=1:keyint=8", "crf": "8"}


def sliding(time: int) -> np.ndarray:
    """A soft disc that slides to the right, 2 pixels from field to field, over stripes: uint8 [64, 96, 3]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    disc = np.exp(-(((x - 2 * time) % WIDTH - WIDTH / 2) ** 2 + (y - HEIGHT / 2) ** 2) / 200)
    grey = 60 + 20 * (x // 16 % 2) + 140 * disc
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


def combs(rgb: np.ndarray) -> float:
    """How much lines differ from those above and below."""
    lines = rgb[..., 0].astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


@pytest.fixture(scope="module")
def interlaced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fields") / "a.mp4"
    return clips.make_clip(path, range(COUNT), draw=lambda n: clips.woven(sliding, n), options=FIELDS)


def pictures(path: Path, deinterlace: Deinterlace = "auto") -> list[np.ndarray]:
    info = probe(path, SignalChoice(deinterlace))
    index = index_frames(info)
    return [frame.rgb for frame in read_frames(info, index, 0, len(index))]


def test_frames_are_as_many_and_show_one_moment_each(interlaced: Path) -> None:
    whole, woven = pictures(interlaced), pictures(interlaced, "off")
    assert len(whole) == len(woven) == COUNT
    for number in range(1, COUNT - 1):
        truth = sliding(2 * number).astype(float)
        assert combs(whole[number]) < 1.3 * combs(truth) + 0.3 < combs(woven[number]) / 2
        assert np.abs(whole[number] - truth).mean() < np.abs(woven[number] - truth).mean() / 2


def test_what_was_done_is_said(interlaced: Path) -> None:
    index = index_frames(probe(interlaced))
    assert index.interlaced == COUNT
    said: dict[Deinterlace, str] = {
        "auto": f"interlaced ({COUNT} of {COUNT} frames, by its own word): such frames are deinterlaced (bwdif)",
        "on": "Every frame is deinterlaced, as asked",
        "off": "left so, as asked",
    }
    for choice, words in said.items():
        assert words in notes_of(probe(interlaced, SignalChoice(choice)), index)[-1]


def test_any_frames_are_those_of_the_whole(interlaced: Path) -> None:
    info = probe(interlaced)
    index = index_frames(info)
    whole = pictures(interlaced)
    for start, stop in ((0, 1), (1, 2), (7, 12), (8, 9), (15, 17), (COUNT - 1, COUNT), (COUNT - 3, COUNT)):
        found = [frame.rgb for frame in read_frames(info, index, start, stop, threads=2)]
        assert np.array_equal(found, whole[start:stop])
    listed = [3, 4, 11, 20, 20, 5]
    frames = list(read_frame_list(info, index, listed))
    assert [frame.index for frame in frames] == listed
    assert np.array_equal([frame.rgb for frame in frames], [whole[place] for place in listed])


def test_frames_that_are_only_listed_have_to_be_counted(interlaced: Path) -> None:
    index = list_frames(probe(interlaced))
    assert index is not None
    for choice in (SignalChoice(), SignalChoice("on")):
        info = probe(interlaced, choice)
        with pytest.raises(NotAsListed):
            list(read_listed(info, index, [0, 1], whole=False))
    info = probe(interlaced, SignalChoice("off"))
    assert len(list(read_listed(info, index, [0, 1], whole=False))) == 2
    trusted = index_frames(probe(interlaced), trust_container=True)
    found = [frame.rgb for frame in read_frames(probe(interlaced), trusted, 0, 5)]
    assert np.array_equal(found, pictures(interlaced)[:5])


def test_progressive_frames_of_a_mixed_stream_are_left_as_they_are(tmp_path: Path) -> None:
    calm = [sliding(number) for number in range(10)]
    mixed = clips.make_joined(
        tmp_path / "a.ts", [(calm, {"crf": "8"}), ([clips.woven(sliding, n) for n in range(10)], FIELDS)]
    )
    info = probe(mixed)
    index = index_frames(info)
    assert (len(index), index.interlaced, info.interlaced) == (20, 10, False)
    whole, plain = pictures(mixed), pictures(mixed, "off")
    assert np.array_equal(whole[:10], plain[:10])
    assert all(combs(whole[place]) < combs(plain[place]) / 2 for place in range(11, 19))
    for place in (9, 10, 11, 19):
        assert np.array_equal(next(read_frames(info, index, place, place + 1)).rgb, whole[place])
    assert not np.array_equal(pictures(mixed, "on")[5], plain[5])


def test_what_says_nothing_is_deinterlaced_only_when_asked(tmp_path: Path) -> None:
    path = clips.make_clip(
        tmp_path / "a.mp4", range(8), draw=lambda n: clips.woven(sliding, n), options={"crf": "8"}
    )
    assert notes_of(probe(path), index_frames(probe(path))) == ()
    assert combs(pictures(path, "on")[4]) < combs(pictures(path)[4]) / 2


@pytest.mark.parametrize(("width", "height", "inside"), [(96, 32, (16, 48, 0, 96)), (32, 64, (0, 64, 32, 64))])
def test_other_sizes_are_fitted_in_with_black_beside_them(
    tmp_path: Path, width: int, height: int, inside: tuple[int, int, int, int]
) -> None:
    other = [np.full((height, width, 3), 200, np.uint8)] * 5
    path = clips.make_joined(tmp_path / "a.ts", [([sliding(n) for n in range(5)], {}), (other, {})])
    info = probe(path)
    index = index_frames(info)
    frames = list(read_frames(info, index, 0, 10))
    top, bottom, left, right = inside
    assert {frame.rgb.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    for frame in frames[5:]:
        picture = frame.rgb[top + 1 : bottom - 1, left + 1 : right - 1]
        assert np.abs(picture.astype(int) - 200).max() < 4
        margins = frame.rgb.copy()
        margins[top:bottom, left:right] = 0
        assert margins.max() == 0
    assert index.sizes == ((0, WIDTH, HEIGHT), (5, width, height))
    assert index.resized(range(2, 8)) == [[5, 8, width, height]]
    assert f"{width}x{height} from frame 5" in notes_of(info, index)[-1]
    assert np.array_equal(next(read_frames(info, index, 7, 8)).rgb, frames[7].rgb)


def test_other_sizes_of_the_same_shape_fill_the_picture(tmp_path: Path) -> None:
    small = [cv2.resize(sliding(n), (48, 32), interpolation=cv2.INTER_AREA) for n in range(5)]
    path = clips.make_joined(tmp_path / "a.ts", [([sliding(n) for n in range(5)], {}), (small, {"crf": "8"})])
    shown = pictures(path)[7]
    assert np.abs(shown.astype(int) - sliding(2)).mean() < 6
