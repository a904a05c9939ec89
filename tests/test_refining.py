"""Guided refinement: the paper's equations written out, a frame's edges found in soft depth, and merges."""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip
from numpy.typing import NDArray
from pictures import read_codes
from reporters import Steps

from vda.errors import UsageError, VdaError
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge, merge_chunks
from vda.refining.guided import GuidedFilter
from vda.refining.guides import Guides
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

RADIUS, EPSILON = 2, 1e-3


def by_the_paper(depth: NDArray[np.float64], guide: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equations 19 to 21 of He, Sun and Tang (2013), window by window; windows hold known pixels alone."""
    height, width = depth.shape
    known = np.isfinite(depth)

    def window(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(0, y - RADIUS), y + RADIUS + 1), slice(max(0, x - RADIUS), x + RADIUS + 1)

    lines = np.full((height, width, 4), np.nan)
    for y, x in zip(*np.nonzero(known), strict=True):
        inside = window(y, x)
        colours, values = guide[inside][known[inside]], depth[inside][known[inside]]
        mean, mean_value = colours.mean(axis=0), values.mean()
        spread = (colours - mean).T @ (colours - mean) / len(values) + EPSILON * np.eye(3)
        slope = np.linalg.solve(spread, (colours * values[:, None]).mean(axis=0) - mean * mean_value)
        lines[y, x] = [*slope, mean_value - slope @ mean]
    found = np.full(depth.shape, np.nan)
    for y, x in zip(*np.nonzero(known), strict=True):
        line = np.nanmean(lines[window(y, x)].reshape(-1, 4), axis=0)
        found[y, x] = line[:3] @ guide[y, x] + line[3]
    return np.clip(found, np.nanmin(depth), np.nanmax(depth))


@pytest.mark.parametrize("holes", [False, True])
def test_the_filter_is_the_papers(holes: bool) -> None:
    generator = np.random.default_rng(1)
    picture = generator.integers(0, 256, (14, 19, 3), np.uint8)
    depth = (5 + generator.random((14, 19))).astype(np.float32)
    if holes:
        depth[:3, :5] = np.nan
        depth[9, 10] = np.nan
    found = GuidedFilter(RADIUS, EPSILON)(depth, picture)
    assert found == pytest.approx(by_the_paper(depth.astype(np.float64), picture / 255), abs=1e-5, nan_ok=True)


def test_depth_of_one_value_and_none_at_all_stay_as_they_are() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8)
    for value in (3.5, np.nan):
        depth = np.full((30, 40), value, np.float32)
        assert np.array_equal(GuidedFilter()(depth, picture), depth, equal_nan=True)


@pytest.mark.parametrize("size", [(120, 160), (540, 720)])
def test_a_soft_edge_becomes_the_frames_edge(size: tuple[int, int]) -> None:
    """The soft step lies a little beside the picture's; where depth is halfway it must lie on it."""
    height, width = size
    edge, soft = width // 2, width / 40
    columns = np.arange(width)
    depth = np.tile((1 / (1 + np.exp(-(columns - edge - soft / 3) / soft))).astype(np.float32), (height, 1))
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[:, edge:] = (200, 120, 40)
    found = GuidedFilter(side=120)(depth, picture)[height // 2]
    halfway = np.interp(0.5, np.sort(found), columns)
    assert halfway == pytest.approx(edge - 0.5, abs=max(1.0, height / 120))
    assert np.abs(np.diff(found)).max() > 5 * np.abs(np.diff(depth[0])).max()


def test_nothing_leaves_the_range_nor_gets_depth_that_had_none() -> None:
    generator = np.random.default_rng(3)
    depth = np.asarray(cv2.GaussianBlur(generator.random((90, 120)), (0, 0), 3), np.float32)
    depth[40:50, 20:60] = np.nan
    found = GuidedFilter(side=45)(depth, generator.integers(0, 256, (90, 120, 3), np.uint8))
    assert (np.isnan(found) == np.isnan(depth)).all()
    assert np.nanmin(found) >= np.nanmin(depth)
    assert np.nanmax(found) <= np.nanmax(depth)


class Film:
    """Counts how often reading begins."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self, frames: Sequence[int]) -> Iterator[np.ndarray]:
        self.begun += 1
        return (np.full((2, 2, 3), frame, np.uint8) for frame in frames)


def test_frames_are_the_ones_that_were_asked_for_in_any_order() -> None:
    film, frames = Film(), range(10, 250, 3)
    guides = Guides(frames, film)
    asked = list(frames)
    random.Random(4).shuffle(asked)
    assert all((guides(index) == index).all() for index in itertools.chain(asked, asked))


def test_a_pool_that_asks_in_order_reads_once() -> None:
    film, frames = Film(), range(200)
    guides = Guides(frames, film)
    with ThreadPoolExecutor(2) as pool:
        assert all(
            (picture == index).all() for index, picture in zip(frames, pool.map(guides, frames), strict=True)
        )
    assert film.begun == 1


FRAMES, WIDTH, HEIGHT = 18, 64, 48


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright square that wanders before a dark ground."""

    def picture(number: int) -> np.ndarray:
        drawn = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        drawn[12:36, 10 + number : 34 + number] = (220, 180, 90)
        return drawn

    return make_clip(tmp_path_factory.mktemp("video") / "clip.mp4", range(FRAMES), draw=picture)


def soft_depth(index: int) -> NDArray[np.float32]:
    square = np.zeros((HEIGHT, WIDTH), np.float32)
    square[12:36, 10 + index : 34 + index] = 1
    return np.asarray(cv2.GaussianBlur(square, (0, 0), 4) + 1, np.float32)


def scene_of(root: Path, video: Path, chunks: int = 2) -> Scene:
    scene = Scene(root)
    plan = split(video, scene, PlanSettings(chunks=chunks, chunking="independent", overlap=4 * (chunks > 1)))
    scene.depths_dir.mkdir()
    for chunk in plan.chunks:
        stack = np.stack([soft_depth(index) for index in range(chunk.start, chunk.stop)])
        np.savez(scene.depths_dir / f"chunk_{chunk.index:02d}_depths.npz", depths=stack)
    return scene


def images(scene: Scene) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in scene.merged_dir.glob("*.png")}


@pytest.fixture(scope="module")
def refined(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = scene_of(tmp_path_factory.mktemp("refined") / "scene", video)
    merge(scene, MergeSettings(refine="guided"))
    return scene


def steepest(codes: NDArray[np.uint16]) -> tuple[int, float]:
    """Where the middle row rises most, and by what share of the range."""
    row = codes[HEIGHT // 2].astype(float)
    return int(np.argmax(np.diff(row))), float(np.diff(row).max() / np.ptp(row))


def test_merged_depth_has_the_frames_edges_and_says_so(refined: Scene) -> None:
    for index in (0, 7, 17):
        before, after = steepest_of(soft_depth(index)), steepest(read_codes(image(refined, index)))
        # The film's colours are stored at half its size: its own edges are a pixel wide.
        assert abs(after[0] - (9 + index)) <= 1
        assert after[1] > 2 * before
    assert json.loads(refined.depth_record_path.read_text())["settings"]["refine"] == "guided"


def steepest_of(depth: NDArray[np.float32]) -> float:
    row = depth[HEIGHT // 2]
    return float(np.diff(row).max() / np.ptp(row))


def image(scene: Scene, index: int) -> Path:
    return scene.merged_dir / f"depth_{index:06d}.png"


class Stopped(Exception):
    """Stands for whatever ends a merge in the middle."""


def test_an_interrupted_merge_goes_on_and_one_without_is_not_taken_for_it(
    refined: Scene, video: Path, tmp_path: Path
) -> None:
    scene = scene_of(tmp_path / "scene", video)

    def stop(done: int) -> None:
        if done == 7:
            raise Stopped

    for refine in ("none", "guided"):
        with pytest.raises(Stopped):
            merge(scene, MergeSettings(refine=refine), reporter=Steps(stop))
    merge(scene, MergeSettings(refine="guided"))
    assert images(scene) == images(refined)


def test_formats_are_added_to_refined_depth_as_it_is(refined: Scene, video: Path, tmp_path: Path) -> None:
    scene = scene_of(tmp_path / "scene", video)
    merge(scene, MergeSettings(refine="guided"))
    result = merge(scene, MergeSettings(formats=("npz",)))
    assert any("--refine guided" in remark for remark in result.remarks)
    codes, values = read_codes(image(scene, 5)), np.load(scene.merged_dir / "depths.npz")["depths"][5]
    record = json.loads(scene.depth_record_path.read_text())
    assert values == pytest.approx(record["offset"] + record["scale"] * codes, abs=record["scale"] * 0.51)
    plain = scene_of(tmp_path / "plain", video)
    merge(plain, MergeSettings())
    with pytest.raises(UsageError, match="--refine none"):
        merge(plain, MergeSettings(formats=("npz",), refine="guided"))


def test_without_the_film_nothing_is_refined(video: Path, tmp_path: Path) -> None:
    film = tmp_path / "gone.mp4"
    film.write_bytes(video.read_bytes())
    scene = scene_of(tmp_path / "scene", film)
    film.unlink()
    with pytest.raises(VdaError, match=r"gone\.mp4"):
        merge(scene, MergeSettings(refine="guided"))
    assert not scene.merged_dir.exists()
    # Said before any depth is looked at, so that nobody waits for windows to be fitted.
    for path in scene.depths_dir.iterdir():
        path.write_bytes(b"no depth")
    with pytest.raises(VdaError, match=r"gone\.mp4"):
        merge(scene, MergeSettings(refine="guided"))
    with pytest.raises(UsageError, match="needs the video"):
        merge_chunks(scene.plan_path, scene.depths_dir, tmp_path / "out", MergeSettings(refine="guided"))
