"""A merge in parts: the very bytes of the merge in one go, whoever makes which part, when and how often."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import numpy as np
import pytest
import two_chunks
from clips import make_clip

from vda.errors import SceneError, UsageError, WorkError
from vda.machine.locks import folder_lock
from vda.merging import parts
from vda.merging.fits import PartsLeft, parts_left
from vda.merging.parts import Part, merge_part
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge, remove_intermediates
from vda.merging.workplace import PartFiles, settle
from vda.network.packing import packed
from vda.reporter import Silence
from vda.scene.scene import RunRecord, Scene, chunk_windows
from vda.scene.windowstore import WindowStore
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

pytestmark = pytest.mark.whole

FRAMES = 72
PLANS = {
    "linked": PlanSettings(chunks=2),
    "independent": PlanSettings(chunks=3, chunking="independent", overlap=8),
    "of some frames": PlanSettings(chunks=1, frames=(5, 66), stride=2),
    "cropped": PlanSettings(chunks=1, crop="4,4,72,40"),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
    return make_clip(tmp_path_factory.mktemp("film") / "a.mp4", range(FRAMES), draw=lambda n: np.roll(noise, n, 1))


def windows_scene(root: Path, video: Path, plan: PlanSettings, *, metric: bool = False, seed: int = 0) -> Scene:
    """A scene whose raw windows are made by arithmetic, each with a scale and a shift of its own."""
    scene = Scene(root)
    planned = split(video, scene, plan)
    record = RunRecord("mini", "mini", "", "0" * 64, "", "", metric, 32, 48, 32, "fp32", "", "0")
    scene.write_run(record)
    store, random = WindowStore.of(scene, record), np.random.default_rng(seed)
    y, x = np.mgrid[:32, :48].astype(np.float32)
    for chunk in planned.chunks:
        for key, window in chunk_windows(chunk):
            places = np.array(window.frame_indices)[:, None, None]
            thing = 3 * np.exp(-((x - places % 48) ** 2 + (y - 16) ** 2) / 30)
            values = random.uniform(0.7, 1.4) * (1 + 0.1 * y + 0.02 * x + thing) + random.uniform(0, 0.5)
            store.write(key, packed(values.astype(np.float32)), (4,) if key[1] == 1 else ())
    return scene


def contents(scene: Scene) -> dict[str, str]:
    """The hash of every file of the merged depth, by name; nothing else lies there."""
    files = (path for path in scene.merged_dir.rglob("*") if path.is_file())
    return {
        str(path.relative_to(scene.merged_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def copied(scene: Scene, place: Path) -> Scene:
    shutil.copytree(scene.root, place)
    return Scene(place)


def in_parts(scene: Scene, settings: MergeSettings, *parts: Part) -> None:
    for part in ("fits", *(parts or ((1, 3), (0, 3), (2, 3))), "end"):
        merge_part(scene, part, settings if part == "fits" else None)


def bytes_of_both(scene: Scene, settings: MergeSettings, tmp_path: Path, *parts: Part) -> dict[str, str]:
    """Merge the scene in one go, put it back as it was, and merge it in parts; return the files of both."""
    before = copied(scene, tmp_path / "before")
    told = merge(scene, settings).remarks
    whole = contents(scene)
    shutil.rmtree(scene.root)
    copied(before, scene.root)
    in_parts(scene, settings, *parts)
    assert contents(scene) == whole
    record = json.loads(scene.depth_record_path.read_text())
    assert all(remark in told for remark in record["remarks"])
    assert not list((scene.run_dir / "cluster").rglob("*.*"))
    return whole


CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "linked": ("linked", False, {}),
    "jointly, with stacks and a video": (
        "linked", False,
        {"align": "joint", "formats": ("png16", "png8", "exr", "npz", "npy", "mkv"), "create_video": True},
    ),
    "independent, smooth, eight bits": ("independent", False, {"align": "smooth", "formats": ("png8",)}),
    "independent, edges of the frames": ("independent", False, {"refine": "guided"}),
    "metric": ("linked", True, {"formats": ("png16", "exr")}),
    "metric, jointly": ("linked", True, {"align": "joint", "coding": "log"}),
    "in metres": ("linked", False, {"depth_scale": 1000.0, "metres": (0.2, 0.001), "formats": ("png16", "exr")}),
    "of some frames, edges": ("of some frames", False, {"refine": "guided", "formats": ("png16", "h264")}),
    "cropped, with colours, for two eyes": (
        "cropped", False, {"formats": ("exr", "png16", "sbs"), "exr": "rgb", "parallax": 3.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_are_those_of_the_merge_in_one_go(name: str, video: Path, tmp_path: Path) -> None:
    plan, metric, settings = CASES[name]
    scene = windows_scene(tmp_path / "scene", video, PLANS[plan], metric=metric)
    files = bytes_of_both(scene, MergeSettings(**settings), tmp_path)
    assert len(files) > len(scene.plan().frames)


def test_shots_are_joined_each_for_itself(video: Path, tmp_path: Path) -> None:
    shots = tmp_path / "shots.csv"
    shots.write_text("start_frame,end_frame\n0,30\n30,72\n")
    for chunking in ("linked", "independent"):
        plan = PlanSettings(chunks=2, chunking=chunking, shots=shots)
        scene = windows_scene(tmp_path / chunking / "scene", video, plan)
        bytes_of_both(scene, MergeSettings(), tmp_path / chunking)
        assert len(json.loads(scene.depth_record_path.read_text())["shots"]) == 2


def test_depth_of_other_programs_has_parts_too(tmp_path: Path) -> None:
    scene = two_chunks.make_scene(tmp_path / "made", jump=1, overlap=6, holes=3)
    shutil.rmtree(scene.merged_dir)
    bytes_of_both(scene, MergeSettings(formats=("png16", "npy")), tmp_path)


def test_formats_are_added_and_depth_is_replaced_in_parts(video: Path, tmp_path: Path) -> None:
    scene = windows_scene(tmp_path / "scene", video, PLANS["linked"])
    merge(scene, MergeSettings(create_video=True, side_by_side=True))
    for number, settings in enumerate([{"formats": ("png8", "npz")}, {"overwrite": True, "coding": "sqrt"}]):
        bytes_of_both(scene, MergeSettings(**settings), tmp_path / str(number))  # type: ignore[arg-type]


def test_an_interrupted_merge_in_one_go_leaves_nothing_behind(video: Path, tmp_path: Path) -> None:
    scene = windows_scene(tmp_path / "scene", video, PLANS["linked"])
    whole = copied(scene, tmp_path / "whole")
    merge(whole, MergeSettings())
    with pytest.raises(Killed):
        merge(scene, MergeSettings(formats=("png16", "png8")), reporter=Kill(20))
    in_parts(scene, MergeSettings())
    assert contents(scene) == contents(whole)


class Killed(Exception):
    pass


class Kill(Silence):
    """Ends the work once it has told of so many frames."""

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def at(self, done: int) -> None:
        if done >= self.frames:
            raise Killed


@pytest.fixture
def scene(video: Path, tmp_path: Path) -> Scene:
    """Fitted, and nothing more."""
    scene = windows_scene(tmp_path / "scene", video, PLANS["linked"])
    merge_part(scene, "fits", MergeSettings())
    return scene


@pytest.fixture
def right(video: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    whole = windows_scene(tmp_path / "right", video, PLANS["linked"])
    merge(whole, MergeSettings())
    yield contents(whole)


def images_of(scene: Scene) -> dict[str, tuple[int, int]]:
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in scene.merged_dir.rglob("depth_*.png")
    }


def test_a_killed_range_goes_on_where_it_was(scene: Scene, right: dict[str, str]) -> None:
    with pytest.raises(Killed):
        merge_part(scene, (0, 1), reporter=Kill(32))
    kept = images_of(scene)
    assert 32 <= len(kept) <= FRAMES
    # What was being written when the kill came.
    (next(scene.merged_dir.rglob("depth_000000.png")).parent / ".tmp-x-depth_000050.png").write_bytes(b"half")
    merge_part(scene, (0, 1))
    assert {name: images_of(scene)[name] for name in kept} == kept
    merge_part(scene, "end")
    assert contents(scene) == right


def test_a_range_that_is_told_to_end_goes_on_and_one_that_comes_no_further_fails(
    scene: Scene, right: dict[str, str]
) -> None:
    def told(after: int) -> WorkError:
        """What a range ends with that is told to end once it has asked so often: it asks for each frame."""
        asked = iter(range(after))
        with pytest.raises(WorkError) as error:
            merge_part(scene, (0, 1), should_stop=lambda: next(asked, None) is None)
        return error.value

    # Blocks of 16 frames: one is whole, the next is not.
    stopped = told(20)
    assert stopped.exit_code == 75
    assert len(list(scene.run_dir.rglob("frames_*.npz"))) == 1
    # In vain three times more than the first, and then no more; a block between begins the count anew.
    assert [told(0).exit_code for _ in range(3)] == [75] * 3
    assert told(16).exit_code == 75
    assert [told(15).exit_code for _ in range(4)] == [75, 75, 75, 1]
    assert "more time" in told(0).remedy
    merge_part(scene, (0, 1))
    merge_part(scene, "end")
    assert contents(scene) == right


def test_a_range_made_twice_at_once_is_the_same(scene: Scene, right: dict[str, str]) -> None:
    ranges: list[Part] = [(0, 1), (0, 1), (1, 2), (0, 5), (4, 5)]
    with ThreadPoolExecutor(len(ranges)) as pool:
        list(pool.map(lambda part: merge_part(scene, part), ranges))
    merge_part(scene, "end")
    assert contents(scene) == right


def test_the_end_names_what_is_missing_and_makes_nothing_of_it(scene: Scene, right: dict[str, str]) -> None:
    merge_part(scene, (0, 2))
    with pytest.raises(WorkError, match=r"40 frames .* 32 to 47"):
        merge_part(scene, "end")
    assert not scene.depth_record_path.exists()
    merge_part(scene, (1, 2))
    torn = next(scene.merged_dir.rglob("depth_000003.png"))
    torn.write_bytes(torn.read_bytes()[:-9])
    with pytest.raises(WorkError, match="no longer whole: 0 to 15"):
        merge_part(scene, "end")
    left = parts_left(scene, MergeSettings())
    assert isinstance(left, PartsLeft) and (left.missing, left.blocks, left.ranges(2)) == ((0,), 5, [0])
    torn.unlink()
    merge_part(scene, (0, 2))
    merge_part(scene, "end")
    assert contents(scene) == right


def test_fits_are_found_once_and_a_part_after_the_end_has_nothing_to_do(
    scene: Scene, right: dict[str, str]
) -> None:
    merge_part(scene, (0, 1))
    kept = images_of(scene)
    assert "already" in merge_part(scene, "fits", MergeSettings()).remarks[0]
    assert images_of(scene) == kept
    parts: list[Part] = ["end", (0, 1), "end"]
    for part in parts:
        merge_part(scene, part)
        assert contents(scene) == right


def test_an_end_killed_while_files_move_is_ended_by_the_next(
    scene: Scene, right: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_part(scene, (0, 1))
    with monkeypatch.context() as patched:
        patched.setattr("vda.merging.parts.settle", lambda folder: folder.joinpath("gone").stat())
        with pytest.raises(OSError, match="gone"):
            merge_part(scene, "end")
    merge_part(scene, "end")
    assert contents(scene) == right


def test_depth_that_is_replaced_is_whole_wherever_the_move_is_killed(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (MergeSettings(("png16", "png8"), overwrite=True, coding=coding) for coding in (None, "log"))
    scene = windows_scene(tmp_path / "scene", video, PLANS["linked"])
    whole = copied(scene, tmp_path / "whole")
    for settings in (first, second):
        merge(whole, settings)
    merge(scene, first)
    merge_part(scene, "fits", second)
    merge_part(scene, (0, 1))
    with monkeypatch.context() as patched:
        # All is made, and nothing moved.
        patched.setattr(PartFiles, "discard", lambda files: None)
        patched.setattr(parts, "settle", lambda folder: False)
        merge_part(scene, "end")
    plain = Path.replace
    # 2 x 72 images, two records.
    for kill in range(0, 2 * FRAMES + 2, 9):
        moves = iter(range(kill))
        killed = copied(scene, tmp_path / f"killed {kill}")

        def move(path: Path, place: Path, moves: Iterator[int] = moves) -> Path:
            if not path.name.startswith(".tmp-") and next(moves, None) is None:
                raise Killed
            return plain(path, place)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", move)
            with pytest.raises(Killed):
                settle(killed.merged_dir)
        settle(killed.merged_dir)
        assert contents(killed) == contents(whole), kill


def test_of_two_ends_that_no_lock_keeps_apart_the_later_takes_nothing_away(
    scene: Scene, right: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that was taken for dead ends the merge beside its successor."""

    @contextmanager
    def everybodys(*_: object) -> Iterator[bool]:
        yield True

    written, go_on, one_by_one = Event(), Event(), parts.write_record

    def held(work: Any, tally: Any) -> Any:
        record = one_by_one(work, tally)
        if current_thread() is not main_thread():
            written.set()
            assert go_on.wait(240)
        return record

    monkeypatch.setattr(parts, "exclusive_lock", everybodys)
    monkeypatch.setattr(parts, "write_record", held)
    merge_part(scene, (0, 1))
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(merge_part, scene, "end")
        assert written.wait(240)
        merge_part(scene, "end")
        go_on.set()
        with pytest.raises(SceneError, match="ended by another"):
            late.result()
    assert contents(scene) == right


CHANGES = ["windows", "options", "plan", "merge"]


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("part", [(1, 2), "end"])
def test_what_changed_since_the_fits_is_refused(scene: Scene, video: Path, changed: str, part: Part) -> None:
    merge_part(scene, (0, 2))
    given = None
    if changed == "windows":
        shutil.rmtree(scene.windows_dir)
        other = windows_scene(scene.root.parent / "other", video, PLANS["linked"], seed=1)
        shutil.copytree(other.windows_dir, scene.windows_dir)
    elif changed == "options":
        given = MergeSettings(coding="log")
    elif changed == "plan":
        other = windows_scene(scene.root.parent / "other", video, replace(PLANS["linked"], frames=(0, 70)))
        shutil.rmtree(scene.windows_dir)
        shutil.copytree(other.windows_dir, scene.windows_dir)
        shutil.copy(other.plan_path, scene.plan_path)
    elif changed == "merge":
        kept = scene.run_dir.rename(scene.root / "kept")
        merge(scene, MergeSettings())
        kept.rename(scene.run_dir)
    if changed == "windows" and part == "end":
        # Its frames are not there: the range that reads such a window refuses.
        with pytest.raises(WorkError, match="not merged yet"):
            merge_part(scene, part)
        return
    words = {
        "options": "other options",
        "windows": "computed again",
        "redone": "computed again",
        "merge": "is there",
    }
    with pytest.raises((SceneError, UsageError), match=words.get(changed, "plan or run")):
        merge_part(scene, part, given)


def test_a_range_of_a_merge_that_was_given_up_ends_and_harms_nothing(scene: Scene, right: dict[str, str]) -> None:
    class BeginAnew(Silence):
        """What another machine does, which no lock reaches."""

        def at(self, done: int) -> None:
            if done == 16:
                scene.merged_dir.joinpath("x").unlink(missing_ok=True)
                elsewhere = Scene(scene.root)
                files = scene.run_dir / "cluster" / "merge" / "fits.json"
                fits = json.loads(files.read_text())
                shutil.rmtree(files.parent)
                files.parent.mkdir()
                files.write_text(json.dumps({**fits, "token": "another"}))
                assert isinstance(parts_left(elsewhere, MergeSettings()), PartsLeft)

    with pytest.raises(SceneError, match="begun anew"):
        merge_part(scene, (0, 1), reporter=BeginAnew())
    merge_part(scene, (0, 1))
    merge_part(scene, "end")
    assert contents(scene) == right


def test_a_merge_in_one_go_gives_the_parts_up(scene: Scene, right: dict[str, str]) -> None:
    merge_part(scene, (0, 2))
    merge(scene, MergeSettings())
    assert contents(scene) == right
    assert "already" in merge_part(scene, (1, 2)).remarks[0]


def test_parts_and_other_merges_keep_each_other_waiting(scene: Scene) -> None:
    with folder_lock(scene.root, shared=True):
        merge_part(scene, (0, 2))
        for work in (lambda: merge(scene, MergeSettings()), lambda: remove_intermediates(scene)):
            with pytest.raises(SceneError, match="being merged"):
                work()
    with folder_lock(scene.root), pytest.raises(SceneError, match="being merged"):
        merge_part(scene, (1, 2))


def test_what_has_no_parts_is_refused_at_the_start(scene: Scene) -> None:
    for formats in (("npz",), ("mkv", "h264")):
        with pytest.raises(UsageError, match="nothing to share out"):
            merge_part(scene, "fits", MergeSettings(formats=formats))
    with pytest.raises(UsageError, match="no part 3 of 3"):
        merge_part(scene, (3, 3))
    (scene.run_dir / "cluster" / "merge" / "fits.json").unlink()
    parts: list[Part] = [(0, 2), "end"]
    for part in parts:
        with pytest.raises(SceneError, match="--part fits"):
            merge_part(scene, part)
