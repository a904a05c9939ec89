"""Images as a video: which are found, in what order, when they are shown, and what is read of them."""

import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip, number_in, picture
from PIL import Image
from stills import make_folder, write_light, write_picture

from vda.errors import UsageError, VideoError
from vda.stills.naming import find_images, is_sequence
from vda.video import (
    FrameIndex,
    VideoInfo,
    index_frames,
    list_frames,
    notes_of,
    probe,
    read_frame_list,
    read_frames,
)

FILM = [1001, 1002, 1003, 1005, 1006, 1010]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _film(path: Path, cache: Path, fps: Fraction | None = None) -> tuple[VideoInfo, FrameIndex]:
    info = probe(path, fps=fps)
    return info, index_frames(info, cache_dir=cache)


def _shown(path: Path, cache: Path) -> dict[int, int]:
    """The number painted into each picture, by the index that it is read with."""
    info, index = _film(path, cache)
    return {frame.index: number_in(frame.rgb) for frame in read_frame_list(info, index, index.frames)}


def test_a_folder_keeps_the_numbers_of_its_images(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "frames", [3, 10, 9, 100], "{}.png")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    assert _shown(folder, cache) == {3: 3, 9: 9, 10: 10, 100: 100}
    info = probe(folder)
    assert (info.width, info.height, info.claimed_frames, info.is_sequence) == (80, 48, 4, True)


@pytest.mark.parametrize("given", ["shot.%04d.png", "shot.####.png", "shot.%d.png", "shot.1*.png", "list.txt"])
def test_every_way_to_name_images_finds_the_same(tmp_path: Path, cache: Path, given: str) -> None:
    folder = make_folder(tmp_path, [numbers % 1000 for numbers in FILM], "other.{:04d}.png")
    make_folder(folder, FILM)
    # Paths as a shell prints them, with what editors leave: a mark, carriage returns, empty lines, a comment.
    listed = [f"shot.{number}.png" for number in FILM[:3]] + [str(folder / f"shot.{n}.png") for n in FILM[3:]]
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbf# the shot\r\n\r\n" + "\r\n".join(listed).encode())
    assert _shown(folder / given, cache) == {number: number for number in FILM}


def test_a_pattern_is_what_printf_writes(tmp_path: Path) -> None:
    names = ["a7.png", "a07.png", "a0007.png", "a00007.png", "a12345.png", "a_7.png", "xa7.png"]
    for name in names:
        write_picture(tmp_path / name, picture(0))
    assert find_images(tmp_path / "a%d.png").names == ("a7.png", "a12345.png")
    assert find_images(tmp_path / "a%04d.png").names == ("a0007.png", "a12345.png")
    assert find_images(tmp_path / "a##.png").names == ("a07.png", "a12345.png")


def test_a_list_is_taken_in_its_own_order(tmp_path: Path, cache: Path) -> None:
    make_folder(tmp_path, [5, 6, 7])
    (tmp_path / "back.txt").write_text("shot.0007.png\nshot.0005.png\nshot.0007.png\n")
    assert _shown(tmp_path / "back.txt", cache) == {0: 7, 1: 5, 2: 7}


def test_a_list_is_of_files_seen_from_where_it_lies_or_from_here(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "frames", [1, 2])
    monkeypatch.chdir(tmp_path)
    for place in (Path("list.txt"), Path("elsewhere/list.txt")):
        place.parent.mkdir(exist_ok=True)
        place.write_text("frames/shot.0001.png\nframes/shot.0002.png\n")
        assert _shown(place, cache) == {1: 1, 2: 2}


def test_one_image_is_a_video_of_one_frame_even_if_its_name_is_a_pattern(tmp_path: Path, cache: Path) -> None:
    make_folder(tmp_path, [1, 2, 3], "frame_{:05d}.png")
    alone = write_picture(tmp_path / "frame_%05d.png", picture(9))
    assert _shown(alone, cache) == {0: 9}
    assert _shown(tmp_path / "frame_00002.png", cache) == {0: 2}


@pytest.mark.parametrize(
    ("names", "given", "words"),
    [
        ([], "", "holds no images"),
        (["a1.png", "a2.jpg"], "", "several kinds: jpg, png"),
        (["left.png", "right.png"], "", "Nothing in the names"),
        (["a1_b1.png", "a1_b2.png", "a2_b1.png"], "", "2 numbers in the names"),
        (["s.-002.png", "s.-001.png", "s.0000.png"], "", "negative numbers"),
        (["a1.png"], "b%d.png", "No image is called like"),
        (["a1.png"], "gone/a%d.png", "There is no folder"),
        (["a1.png"], "a%d_%d.png", "2 places for a number"),
    ],
)
def test_what_tells_no_order_is_refused(tmp_path: Path, names: list[str], given: str, words: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(VideoError, match=words):
        probe(tmp_path / given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lists no files"),
        ("a1.png\nb.png\n", "1 of the 2 files listed"),
        ("a1.png\nn.doc\n", "n.doc, which is no"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    write_picture(tmp_path / "a1.png", picture(1))
    (tmp_path / "n.doc").write_text("")
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(VideoError, match=words):
        probe(tmp_path / "list.txt")


def test_a_container_is_none_of_it(tmp_path: Path) -> None:
    assert not is_sequence(make_clip(tmp_path / "a%04d.mp4", range(3)))
    assert not is_sequence(tmp_path / "absent.mp4")


def test_numbers_left_out_leave_their_time_empty_and_are_said(tmp_path: Path, cache: Path) -> None:
    info, index = _film(make_folder(tmp_path / "f", FILM), cache, Fraction(24))
    assert index.frames == tuple(FILM)
    assert index.times_s == pytest.approx((np.array(FILM) - 1001) / 24)
    assert index.frame_rate(info.fps) == 24
    assert "from 1001 to 1010, and 4 in between are missing (behind 1003, 1006)" in " ".join(index.notes)
    assert index.times_of(np.array([1005, 1004])) == pytest.approx([4 / 24, np.nan], nan_ok=True)
    assert index.pts_of(1010) * index.time_base == Fraction(9, 24)


def test_every_tenth_image_follows_the_one_before(tmp_path: Path, cache: Path) -> None:
    _, index = _film(make_folder(tmp_path / "f", [0, 10, 20, 40]), cache, Fraction(5))
    assert index.times_s == pytest.approx([0, 0.2, 0.4, 0.8])
    _, index = _film(make_folder(tmp_path / "g", [3, 17, 20, 90]), cache, Fraction(5))
    assert index.times_s == pytest.approx([0, 0.2, 0.4, 0.6])
    assert "without a common step" in " ".join(index.notes)


def test_the_rate_is_stated_or_said_to_be_assumed(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "f", range(4))
    assert probe(folder).fps == 25
    assert "25 a second are assumed" in " ".join(probe(folder).notes)
    assert probe(folder, fps=Fraction(30000, 1001)).notes == ()
    info, index = _film(folder, cache, Fraction(30000, 1001))
    assert (info.fps, index.frame_rate(info.fps)) == (Fraction(30000, 1001), Fraction(30000, 1001))
    # Counted again: what the cache keeps are the times at one rate.
    assert _film(folder, cache, Fraction(12))[1].times_s[3] == pytest.approx(0.25)
    light = write_light(tmp_path / "e" / "a.0001.exr", np.zeros((4, 4, 3)), fps=Fraction(24000, 1001))
    write_light(light.with_name("a.0002.exr"), np.zeros((4, 4, 3)))
    assert (probe(light.parent).fps, probe(light.parent).notes) == (Fraction(24000, 1001), ())


def test_names_that_are_times_are_the_clock(tmp_path: Path, cache: Path) -> None:
    # The first of TUM's fr1/xyz.
    times = ["1305031102.175304", "1305031102.211214", "1305031102.243211"]
    for place, time in enumerate(times):
        write_picture(tmp_path / "rgb" / f"{time}.png", picture(place))
    _, index = _film(tmp_path / "rgb", cache)
    assert index.times_s == pytest.approx([0, 0.03591, 0.067907], abs=1e-6)
    assert _shown(tmp_path / "rgb", cache) == {0: 0, 1: 1, 2: 2}
    assert _film(tmp_path / "rgb", cache, Fraction(10))[1].times_s == pytest.approx([0, 0.1, 0.2])


def test_ranges_and_single_frames_are_read_by_number(tmp_path: Path, cache: Path) -> None:
    info, index = _film(make_folder(tmp_path / "f", FILM), cache)
    assert [number_in(frame.rgb) for frame in read_frames(info, index, 1002, 1006)] == [1002, 1003, 1005]
    order = [1010, 1001, 1006, 1001]
    read = list(read_frame_list(info, index, order))
    assert [(frame.index, number_in(frame.rgb), frame.decoded) for frame in read] == [(n, n, True) for n in order]
    for strange in (1004, 0, 1011):
        with pytest.raises(UsageError, match=f"There is no frame {strange}: the frames are 1001 to 1010"):
            next(read_frame_list(info, index, [strange]))
    with pytest.raises(UsageError, match="0:5 are not in the video"):
        next(read_frames(info, index, 0, 5))


def test_an_index_is_the_same_when_it_is_read_again(tmp_path: Path, cache: Path) -> None:
    info, index = _film(make_folder(tmp_path / "f", FILM), cache)
    index.save(tmp_path / "index.npz")
    again = FrameIndex.load(tmp_path / "index.npz")
    info = VideoInfo.from_json(info.to_json())
    assert again.frames == index.frames
    assert [number_in(frame.rgb) for frame in read_frame_list(info, again, [1005])] == [1005]


def test_an_image_that_cannot_be_read_is_a_damaged_frame(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "f", range(1, 7))
    for number in (1, 4, 5):
        path = folder / f"shot.{number:04d}.png"
        path.write_bytes(path.read_bytes()[:200])
    info, index = _film(folder, cache)
    read = list(read_frame_list(info, index, index.frames))
    assert [number_in(frame.rgb) for frame in read] == [2, 2, 3, 3, 3, 6]
    assert [frame.decoded for frame in read] == [False, True, True, False, False, True]
    # A single one is what it is in a run.
    assert [number_in(frame.rgb) for frame in read_frame_list(info, index, [5])] == [3]
    assert index.damaged
    assert "3 images are damaged and cannot be read" in " ".join(index.notes)
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(VideoError, match="Of 6 images not one can be read"):
        probe(folder)


def test_another_size_is_fitted_and_said(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "f", range(3))
    write_picture(folder / "shot.0001.png", np.full((48, 40, 3), 255, np.uint8))
    info, index = _film(folder, cache)
    (frame,) = read_frame_list(info, index, [1])
    assert frame.rgb.shape == (48, 80, 3)
    assert (frame.rgb[:, 20:60] == 255).all() and (frame.rgb[:, :20] == 0).all()
    assert "40x48 from frame 1, 80x48 from frame 2" in " ".join(notes_of(info, index))
    assert index.resized(index.frames) == [[1, 2, 40, 48]]


def test_phones_photos_stand_upright(tmp_path: Path, cache: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    for number in (1, 2):
        stored = np.ascontiguousarray(np.rot90(picture(number, 160, 96)))
        Image.fromarray(stored).save(tmp_path / f"IMG_{number:04d}.JPG", exif=exif, quality=95)
    assert (probe(tmp_path).width, probe(tmp_path).height) == (160, 96)
    assert _shown(tmp_path, cache) == {1: 1, 2: 2}


def test_other_images_in_their_place_are_found_out(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "f", range(3), "a{:03d}.bmp")
    info, index = _film(folder, cache)
    # Uncompressed, so as large as before, and different in the middle alone.
    path = folder / "a001.bmp"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list(read_frame_list(info, index, [0, 2]))
    with pytest.raises(VideoError, match="is not the image that it was"):
        list(read_frame_list(info, index, [0, 1]))
    path.unlink()
    with pytest.raises(VideoError, match="There is no file"):
        list(read_frame_list(info, index, [1]))


def test_a_sequence_is_known_again_by_its_files(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", FILM)
    before = probe(folder).sha256_head_tail
    assert probe(folder / "shot.%04d.png").sha256_head_tail == before
    moved = folder.rename(tmp_path / "g")
    assert probe(moved).sha256_head_tail == before
    write_picture(moved / "shot.1002.png", picture(7))
    assert probe(moved).sha256_head_tail != before
    make_folder(moved, [1002])
    assert probe(moved).sha256_head_tail == before
    (moved / "shot.1010.png").rename(moved / "shot.1011.png")
    assert probe(moved).sha256_head_tail != before


def test_images_can_be_listed_without_being_opened(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "f", FILM)
    info = probe(folder)
    index = index_frames(info, trust_container=True, cache_dir=cache)
    assert (index.frames, index.checksums) == (tuple(FILM), None)
    assert "listed, not opened" in " ".join(index.notes)
    assert number_in(next(read_frame_list(info, index, [1006])).rgb) == 1006
    assert list_frames(info) is None


def test_names_that_are_not_utf8(tmp_path: Path, cache: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "f") + b"\xff"))
    folder.mkdir()
    for number in (1, 2):
        data = cv2.imencode(".png", np.ascontiguousarray(picture(number)[..., ::-1]))[1].tobytes()
        Path(os.fsdecode(os.fsencode(folder) + b"/\xfe%d.png" % number)).write_bytes(data)
    info, index = _film(folder, cache)
    index.save(tmp_path / "index.npz")
    again = FrameIndex.load(tmp_path / "index.npz")
    assert [number_in(frame.rgb) for frame in read_frame_list(info, again, [1, 2])] == [1, 2]


@pytest.mark.parametrize("step_s", [7, 3600, 86400])
def test_images_hours_apart_have_a_rate(tmp_path: Path, cache: Path, step_s: int) -> None:
    """A time-lapse named by its clock: the nearest fraction with a small denominator would be 0."""
    for place in range(4):
        write_picture(tmp_path / "lapse" / f"{1.6e9 + place * step_s:.6f}.png", picture(place, 40, 24))
    info, index = _film(tmp_path / "lapse", cache)
    assert info.fps == index.frame_rate(info.fps) == Fraction(1, step_s)
    assert index.times_s == pytest.approx([place * step_s for place in range(4)])
