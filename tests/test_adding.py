"""Formats beside formats that are there, and results that take another's place only when they are whole."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from pictures import read_codes
from reporters import Steps
from test_merging import HEIGHT, WIDTH, Chunks, make_chunks, scenery

import vda.merging.writing
from vda.depthmaps.source import open_depth
from vda.errors import UsageError, WorkError
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

FRAMES = 20


@pytest.fixture
def chunks(tmp_path: Path) -> Chunks:
    return make_chunks(tmp_path, FRAMES, 2, 4, distort=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def formats(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "depth.json").read_text())["formats"]
    return found


class Stopped(Exception):
    """Stands for whatever ends a merge in the middle."""


@contextmanager
def stopped_at_frame(monkeypatch: pytest.MonkeyPatch, frame: int) -> Iterator[None]:
    """A merge inside dies when it has written so many frames."""
    real = vda.merging.writing.write_frames

    def stop(done: int) -> None:
        if done == frame:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(
            vda.merging.writing, "write_frames", lambda depth, outputs, _: real(depth, outputs, Steps(stop))
        )
        with pytest.raises(Stopped):
            yield


def test_a_format_comes_beside_those_that_are_there(chunks: Chunks) -> None:
    chunks.merge(formats=("png16",))
    before = contents(chunks.out)
    chunks.merge(formats=("npz", "png8"))
    after = contents(chunks.out)
    assert all(after[name] == data for name, data in before.items() if name.endswith(".png"))
    assert formats(chunks.out) == ["png16", "npz", "png8"]
    assert json.loads(after["depth.json"])["levels"]["png8"]
    exact = np.stack([open_depth(chunks.out / "depths.npz").read(index) for index in range(FRAMES)])
    assert np.abs(exact - np.stack([scenery(index) for index in range(FRAMES)])).max() < 1e-3
    assert not list(chunks.out.glob(".*"))


def test_a_video_comes_beside_depth_that_is_there_once(chunks: Chunks) -> None:
    chunks.merge()
    chunks.merge(create_video=True, colormap="turbo")
    assert (chunks.out / "depth_visualization.mp4").is_file()
    assert json.loads((chunks.out / "depth.json").read_text())["settings"]["colormap"] == "turbo"
    with pytest.raises(UsageError, match="there already"):
        chunks.merge(create_video=True)


def test_a_video_that_is_there_is_not_silently_taken_for_another(chunks: Chunks) -> None:
    chunks.merge(create_video=True, colormap="turbo")
    video = chunks.out / "depth_visualization.mp4"
    before = video.read_bytes()
    for asked in ({"colormap": "viridis"}, {"colormap": "viridis", "keep_finished": True}):
        with pytest.raises(UsageError, match="with --colormap turbo"):
            chunks.merge(formats=("png16", "npz"), create_video=True, **asked)
    # Not asked for by name, it stays, and that is said.
    kept = chunks.merge(create_video=True, keep_finished=True)
    assert any("made with --colormap turbo, and stays so" in remark for remark in kept)
    same = chunks.merge(create_video=True, colormap="turbo", keep_finished=True)
    assert not any("--colormap" in remark for remark in same)
    assert video.read_bytes() == before
    # What the sentence tells to do does it.
    video.unlink()
    chunks.merge(create_video=True, colormap="viridis")
    assert video.read_bytes() != before


def test_depth_of_other_metres_does_not_come_beside(chunks: Chunks) -> None:
    chunks.merge(depth_scale=1000, metres=(1.0, 0.0))
    assert json.loads((chunks.out / "depth.json").read_text())["settings"]["metres"] == [1.0, 0.0]
    before = contents(chunks.out)
    for asked in ({"formats": ("npz",)}, {"keep_finished": True}):
        with pytest.raises(UsageError, match="with --metres 1,0"):
            chunks.merge(depth_scale=1000, metres=(2.0, 0.0), **asked)
    assert contents(chunks.out) == before
    chunks.merge(depth_scale=1000, metres=(1.0, 0.0), formats=("npz",))
    image, stack = open_depth(chunks.out), open_depth(chunks.out / "depths.npz")
    assert image.read(3) == pytest.approx(stack.read(3), abs=0.0006)


def test_added_in_steps_or_at_once_the_files_are_the_same(chunks: Chunks, tmp_path: Path) -> None:
    for name in ("png16", "npy", "mkv", "png8"):
        chunks.merge(formats=(name,))
    at_once = Chunks(chunks.metadata, chunks.depth, tmp_path / "once")
    at_once.merge(formats=("png16", "npy", "mkv", "png8"))
    assert contents(chunks.out) == contents(at_once.out)


def test_depth_with_other_settings_is_not_added_to_what_is_there(chunks: Chunks) -> None:
    chunks.merge()
    before = contents(chunks.out)
    for path in sorted(chunks.depth.iterdir()):
        np.savez(path, depths=2 * np.load(path)["depths"])
    with pytest.raises(UsageError, match="other windows"):
        chunks.merge(formats=("npz",))
    with pytest.raises(UsageError, match="--depth-scale"):
        chunks.merge(formats=("npz",), depth_scale=1000, metres=(1.0, 0.0))
    assert contents(chunks.out) == before


@pytest.mark.parametrize("frame", [1, 7, FRAMES])
def test_what_is_to_be_replaced_is_whole_until_the_new_is(
    chunks: Chunks, monkeypatch: pytest.MonkeyPatch, frame: int
) -> None:
    chunks.merge(formats=("png16", "npz"))
    before = contents(chunks.out)
    for path in sorted(chunks.depth.iterdir()):
        np.savez(path, depths=2 * np.load(path)["depths"])
    with stopped_at_frame(monkeypatch, frame):
        chunks.merge(overwrite=True)
    left = contents(chunks.out)
    assert {name: left[name] for name in before} == before
    assert chunks.read(3) == pytest.approx(scenery(3), abs=1e-3)
    remarks = chunks.merge(overwrite=True)
    assert any("npz was there" in sentence for sentence in remarks)
    assert set(contents(chunks.out)) == set(before)
    assert chunks.read(3) == pytest.approx(2 * scenery(3), abs=1e-3)
    assert open_depth(chunks.out / "depths.npz").read(3) == pytest.approx(2 * scenery(3), abs=1e-3)


@pytest.mark.parametrize("moves", range(0, FRAMES + 3, 5))
def test_a_merge_that_dies_while_it_takes_the_place_is_ended_by_the_next(
    chunks: Chunks, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    chunks.merge()
    for path in sorted(chunks.depth.iterdir()):
        np.savez(path, depths=2 * np.load(path)["depths"])
    real, counted = Path.replace, iter(range(10_000))

    def replace(path: Path, target: Path) -> Path:
        # The writers' own files come from temporary names; what is moved does not.
        if not path.name.startswith(".tmp-") and next(counted) == moves:
            raise Stopped
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(Stopped):
            chunks.merge(overwrite=True)
    chunks.merge(keep_finished=True)
    assert chunks.read(3) == pytest.approx(2 * scenery(3), abs=1e-3)
    assert formats(chunks.out) == ["png16"] and len(list(chunks.out.glob("*.png"))) == FRAMES
    assert not list(chunks.out.glob(".*"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"colormap": "infern"}, "colour map"),
        ({"formats": ("pngs",)}, "format"),
        ({"metres": (1.0, 0.0)}, "--depth-scale"),
        ({"side_by_side": True}, "--create-video"),
        ({"depth_scale": 1000.0}, "relative"),
    ],
)
def test_a_mistyped_word_costs_nothing(chunks: Chunks, wrong: dict[str, object], words: str) -> None:
    chunks.merge(create_video=True)
    before = contents(chunks.out)
    with pytest.raises(UsageError, match=words):
        chunks.merge(**{"overwrite": True, **wrong})
    assert contents(chunks.out) == before


def grey(number: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene whose chunks another program made."""
    clip = make_clip(tmp_path / "clip.mp4", range(FRAMES), draw=grey)
    made = Scene(tmp_path / "scene")
    plan = split(clip, made, PlanSettings(chunks=2, chunking="independent", overlap=4))
    made.depths_dir.mkdir()
    for chunk in plan.chunks:
        stack = np.stack([scenery(index) for index in range(chunk.start, chunk.stop)])
        np.savez(made.depths_dir / f"chunk_{chunk.index:02d}_depths.npz", depths=stack)
    return made


def forget_chunks(scene: Scene) -> None:
    for path in scene.depths_dir.iterdir():
        path.unlink()
    scene.depths_dir.rmdir()


@pytest.mark.parametrize(("first", "added"), [("png16", "exr"), ("mkv", "exr"), ("npz", "png16")])
def test_where_windows_are_gone_formats_are_made_of_depth(scene: Scene, first: str, added: str) -> None:
    folder = merge(scene, MergeSettings(formats=(first, "npy"))).folder
    truth = [open_depth(folder / "depths.npy").read(index) for index in range(FRAMES)]
    (folder / "depths.npy").unlink()
    record = json.loads((folder / "depth.json").read_text())
    (folder / "depth.json").write_text(json.dumps({**record, "formats": [first]}))
    forget_chunks(scene)
    result = merge(scene, MergeSettings(formats=(added,), create_video=True))
    assert any("windows are gone" in sentence for sentence in result.remarks)
    found = open_depth(folder / "exr" if added == "exr" else folder)
    error = max(float(np.abs(found.read(index) - truth[index]).max()) for index in range(FRAMES))
    assert error <= 0.5 * record["scale"] + 1e-6  # and the rounding of float32
    assert (folder / "depth_visualization.mp4").is_file()


def test_formats_to_look_at_are_not_made_into_others(scene: Scene) -> None:
    merge(scene, MergeSettings(formats=("png8",)))
    forget_chunks(scene)
    with pytest.raises(WorkError, match="png8 alone"):
        merge(scene, MergeSettings(formats=("npz",)))


def test_codes_of_added_images_are_those_of_the_first(scene: Scene) -> None:
    """PNGs made again of floats have the very codes that they had when all was made at once."""
    folder = merge(scene, MergeSettings(formats=("png16", "npz"))).folder
    codes = [read_codes(folder / f"depth_{index:06d}.png") for index in range(FRAMES)]
    for index in range(FRAMES):
        (folder / f"depth_{index:06d}.png").unlink()
    record = json.loads((folder / "depth.json").read_text())
    (folder / "depth.json").write_text(json.dumps({**record, "formats": ["npz"]}))
    forget_chunks(scene)
    merge(scene, MergeSettings(formats=("png16",)))
    again = [read_codes(folder / f"depth_{index:06d}.png") for index in range(FRAMES)]
    assert all((old == new).all() for old, new in zip(codes, again, strict=True))
