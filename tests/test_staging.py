"""A video on a node's own disk: copied once, resumed, checked, and gone with its last reader."""

import os
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import clips
import pytest

from vda.cluster import staging
from vda.cluster.staging import staged, staging_place
from vda.errors import UsageError
from vda.files import exclusive_lock
from vda.reporter import Silence
from vda.scene.scene import STAGED, Scene
from vda.video import VideoInfo, probe

Usage = namedtuple("Usage", "total used free")


class Heard(Silence):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def film(tmp_path: Path) -> VideoInfo:
    (tmp_path / "shared").mkdir()
    return probe(clips.make_clip(tmp_path / "shared" / "a.mp4", range(6)))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "local").mkdir()
    return tmp_path / "local"


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("*") if path.is_file())


def folder_of(film: VideoInfo, place: Path) -> Path:
    return place / f"vda-staged-{os.getuid()}" / film.sha256_head_tail[:32]


def test_many_readers_have_one_copy_and_the_last_removes_it(film: VideoInfo, place: Path) -> None:
    heard, together = Heard(), Barrier(4)

    def read(_number: int) -> tuple[Path, int]:
        with ExitStack() as ends:
            copy = ends.enter_context(staged(film, place, heard))
            assert copy.read_bytes() == film.path.read_bytes()
            together.wait(240)
            return copy, copy.stat().st_ino

    with ThreadPoolExecutor(4) as readers:
        copies = set(readers.map(read, range(4)))
    assert len(copies) == 1 and film.path not in {path for path, _ in copies}
    assert len([line for line in heard.said if "is copied to" in line]) == 1
    assert left(place) == []


def test_a_scene_reads_the_copy_of_its_own_video_alone(
    film: VideoInfo, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path / "scene")
    scene.root.mkdir()
    scene.write_video(film)
    with staged(film, place) as copy:
        assert scene.require_video().path == copy
    assert STAGED not in os.environ and scene.require_video().path == film.path
    monkeypatch.setenv(STAGED, str(clips.make_clip(tmp_path / "other.mp4", range(5))))
    assert scene.require_video().path == film.path


def begun(film: VideoInfo, place: Path, data: bytes) -> Path:
    """What a killed task left of a copy."""
    with staged(film, place) as copy:
        name = f"{copy.name}.part-{staging._boot()}"
    part = folder_of(film, place) / name
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    return part


def test_a_copy_that_was_killed_goes_on_where_it_was(film: VideoInfo, place: Path) -> None:
    whole = film.path.read_bytes()
    inode = begun(film, place, whole[: len(whole) // 2]).stat().st_ino
    with staged(film, place) as copy:
        assert (copy.stat().st_ino, copy.read_bytes()) == (inode, whole)


def test_a_copy_that_is_another_film_is_not_read(film: VideoInfo, place: Path) -> None:
    begun(film, place, b"something else of some length")
    heard = Heard()
    with staged(film, place, heard) as path:
        assert path == film.path
    assert "is not that video" in heard.said[-1]
    assert left(place) == []


def test_without_room_the_shared_file_is_read(
    film: VideoInfo, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: Usage(1 << 40, 0, (1 << 30) + film.size_bytes - 1))
        with staged(film, place, heard) as path:
            assert path == film.path and STAGED not in os.environ
    assert "free, and a copy needs" in heard.said[-1]
    with staged(film, place) as path:
        assert path != film.path


def test_whoever_comes_next_removes_what_nobody_reads(film: VideoInfo, place: Path) -> None:
    root = place / f"vda-staged-{os.getuid()}"
    for name in ("dead", "living"):
        (root / name / "users").mkdir(parents=True)
        (root / name / "film.mp4").write_bytes(b"1")
        (root / name / "users" / "1").touch()
    with exclusive_lock(root / "living" / "users" / "1"), staged(film, place):
        assert sorted(path.name for path in root.iterdir()) == sorted([folder_of(film, place).name, "living"])


def test_whoever_is_asked_to_stop_copies_nothing(film: VideoInfo, place: Path) -> None:
    with staged(film, place, should_stop=lambda: True) as path:
        assert path == film.path


def test_a_folder_that_others_see_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert staging_place(str(place)) == place
    monkeypatch.setenv("SLURM_TMPDIR", str(place))
    assert staging_place("auto") == place
    monkeypatch.setattr(staging, "is_on_network", lambda _path: True)
    with pytest.raises(UsageError, match="save nothing"):
        staging_place(str(place))
