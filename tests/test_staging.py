"""A video on a node's own disk: copied once, resumed, checked, and gone with its last reader."""

import json
import os
import platform
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import clips
import pytest

from vda.cluster import staging
from vda.cluster.lease import Lease
from vda.cluster.staging import Reader, staged, staging_place, sweep
from vda.cluster.taskfiles import TaskName, read_copies
from vda.errors import UsageError
from vda.machine.locks import exclusive_lock
from vda.reporter import Silence
from vda.scene.runstate import RunFiles
from vda.scene.scene import STAGED, Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
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


def known(scene: Scene) -> list[tuple[str, str, bool]]:
    """What the scene knows of copies: the node, the folder there, and whether it is read."""
    return [(copy.host, copy.folder, copy.is_read) for copy in read_copies(scene).values()]


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


class TestCopiesThatAreAwaited:
    """Chunks of a scene wait for a task: the copy stays, for an engine with one GPU begins the next one then."""

    @pytest.fixture
    def scene(self, film: VideoInfo, tmp_path: Path) -> Scene:
        """Four chunks; none is computed, and those after the first are at work on other machines."""
        scene = Scene(tmp_path / "scene")
        assert len(split(film.path, scene, PlanSettings(chunks=4)).chunks) == 4
        for chunk in (1, 2, 3):
            assert Lease.on(RunFiles(scene.run_dir), chunk, TaskName(f"slurm 9_{chunk}", "n2")).take() is None
        return scene

    @pytest.fixture
    def film(self, tmp_path: Path) -> VideoInfo:
        (tmp_path / "shared").mkdir()
        return probe(clips.make_clip(tmp_path / "shared" / "a.mp4", range(120)))

    @pytest.fixture
    def kept(self, scene: Scene, film: VideoInfo, place: Path) -> Path:
        """A copy that a task on the first chunk left, which ended before its time."""
        with staged(film, place, reader=Reader(scene, 0)) as copy:
            assert known(scene) == [(platform.node(), str(copy.parent), True)]
        assert copy.is_file() and known(scene) == [(platform.node(), str(copy.parent), False)]
        return copy

    def test_it_stays_for_the_chunk_that_waits_and_is_read_again(
        self, scene: Scene, film: VideoInfo, place: Path, kept: Path
    ) -> None:
        inode = kept.stat().st_ino
        with staged(film, place, reader=Reader(scene, 0)) as copy:
            assert (copy, copy.stat().st_ino) == (kept, inode)

    @pytest.mark.parametrize("is_read", [False, True])
    def test_of_those_that_nobody_reads_no_more_are_kept_than_chunks_wait(
        self, scene: Scene, film: VideoInfo, place: Path, is_read: bool
    ) -> None:
        other = scene.run_dir / "cluster" / "staged" / "n7-1.json"
        other.parent.mkdir(parents=True)
        other.write_text(json.dumps({"host": "n7", "folder": "/local/1", "is_read": is_read}))
        with staged(film, place, reader=Reader(scene, 0)):
            pass
        assert bool(left(place)) == is_read
        assert ("n7", "/local/1", is_read) in known(scene) and len(known(scene)) == 1 + is_read

    def test_once_all_that_is_missing_is_at_work_elsewhere_it_goes(
        self, scene: Scene, place: Path, kept: Path
    ) -> None:
        sweep(place)
        assert kept.is_file()
        assert Lease.on(RunFiles(scene.run_dir), 0, TaskName("slurm 9_0", "n2")).take() is None
        sweep(place)
        assert left(place) == [] and known(scene) == []

    def test_what_cannot_be_noted_is_not_left(self, scene: Scene, film: VideoInfo, place: Path) -> None:
        with staged(film, place, reader=Reader(scene, 0)) as copy:
            assert copy != film.path
            shutil.rmtree(scene.run_dir / "cluster" / "staged")
            (scene.run_dir / "cluster" / "staged").touch()
        assert left(place) == []

    @pytest.mark.parametrize("end", ["stopped", "gone", "forgotten"])
    def test_what_nobody_will_read_goes_with_the_next_task_there(
        self, scene: Scene, film: VideoInfo, place: Path, kept: Path, tmp_path: Path, end: str
    ) -> None:
        other = probe(clips.make_clip(tmp_path / "shared" / "b.mp4", range(5)))
        with staged(other, place):
            assert kept.is_file()
        if end == "stopped":
            RunFiles(scene.run_dir).stop_path.touch()
        elif end == "gone":
            shutil.rmtree(scene.root)
        else:
            for path in kept.parent.joinpath("scenes").iterdir():
                os.utime(path, (0, 0))
        with staged(other, place):
            assert not kept.exists()
        assert left(place) == [] and known(scene) == []


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
