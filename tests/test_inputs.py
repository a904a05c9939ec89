"""What a command was given, as videos: folders of films, globs, lists."""

from pathlib import Path

import pytest

from vda.errors import UsageError, VideoError
from vda.splitting.inputs import find_videos
from vda.splitting.stage import scene_root


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for name in (
        "films/b.mp4",
        "films/a.MOV",
        "films/a.srt",
        "films/.c.mp4",
        "one/1.png",
        "one/2.png",
        "two/1.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "films" / "list.txt").write_text("b.mp4\na.MOV\n")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "videos"),
    [
        (["films/b.mp4", "absent.mp4"], ["films/b.mp4", "absent.mp4"]),
        (["films"], ["films/a.MOV", "films/b.mp4"]),
        (["films/*.mp4", "films/b.mp4"], ["films/b.mp4"]),
        (["films/*"], ["films/a.MOV", "films/b.mp4"]),
        (["films/list.txt"], ["films/b.mp4", "films/a.MOV"]),
        (["one"], ["one"]),
        (["one/*.png"], ["one/*.png"]),
        (["one/%d.png", "two/####.jpg"], ["one/%d.png", "two/####.jpg"]),
        (["*/1.*"], ["one/1.*", "two/1.*"]),
        (["[ot]*"], ["one", "two"]),
    ],
)
def test_folders_globs_and_lists_are_the_films_in_them(films: Path, given: list[str], videos: list[str]) -> None:
    assert find_videos([films / name for name in given]) == [films / name for name in videos]


def test_what_may_be_two_things_is_asked_about(films: Path) -> None:
    with pytest.raises(UsageError, match=r"2 images were given one by one") as given:
        find_videos([films / "one/1.png", films / "one/2.png"])
    assert str(films / "one" / "*.png") in given.value.remedy
    (films / "films" / "cover.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="both 2 videos and 1 images"):
        find_videos([films / "films"])
    with pytest.raises(VideoError, match="Nothing is called like"):
        find_videos([films / "films" / "*.avi"])
    with pytest.raises(VideoError, match="neither videos nor images"):
        find_videos([films / "films" / "*.srt"])


@pytest.mark.parametrize(
    ("video", "name"),
    [
        ("films/b.mp4", "b"),
        ("...mp4", "...mp4"),
        ("one", "one"),
        ("one/", "one"),
        ("one/*.png", "one"),
        ("one/%04d.png", "one"),
        ("one/shot.####.exr", "shot"),
        ("one/shot_010.%04d.exr", "shot_010"),
        ("films/list.txt", "list"),
    ],
)
def test_a_scene_is_called_after_its_video(films: Path, video: str, name: str) -> None:
    assert scene_root(films / video, None) == Path("data") / name
