"""Videos of any size get their report: what cannot be measured is left out of it, and said."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip

from vda.api.pipeline import merge_scene
from vda.evaluation import report
from vda.evaluation.report import write_report
from vda.evaluation.steadiness import flicker
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.reporter import Noted
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split


def make_scene(root: Path, width: int, height: int) -> Scene:
    """A merged scene of one chunk made elsewhere: noise that moves a pixel per frame, depth that rises across."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    video = make_clip(
        root / "a.mkv", range(6), codec="ffv1", pix_fmt="bgr0", draw=lambda number: np.roll(noise, number, 1)
    )
    scene = Scene(root / "scene")
    plan = split(video, scene, PlanSettings(chunks=1, chunking="independent"))
    scene.depths_dir.mkdir()
    depth = np.broadcast_to(np.arange(1, width + 1, dtype=np.float32), (len(plan.frames), height, width))
    np.save(scene.depths_dir / "chunk_00_depths.npy", depth)
    merge(scene, MergeSettings())
    return scene


@pytest.mark.parametrize("size", [(64, 12), (1, 1), (11, 11), (4, 200), (1920, 64), (2, 3), (300, 1)])
def test_a_video_of_any_size_gets_its_report(tmp_path: Path, size: tuple[int, int]) -> None:
    told = Noted(None)
    page = write_report(make_scene(tmp_path, *size), told).read_text()
    assert "left out" not in page and told.said == []
    # A page is handed on: it names the video, and not the folders of whoever made it.
    assert "a.mkv" in page and str(tmp_path) not in page
    # One column has no range, and in a few pixels of noise no motion can be followed.
    assert ("over 5 pairs of frames" in page) == (min(size) > 8)
    assert ("Flicker was not measured" in page) == (min(size) <= 8)


@pytest.mark.parametrize("size", [(64, 12), (24, 24), (12, 200), (640, 16)])
def test_flicker_of_small_pictures_is_what_changes_along_the_motion(size: tuple[int, int]) -> None:
    width, height = size
    rows = np.random.default_rng(1).integers(0, 255, (height // 4, width // 4, 3)).astype(np.float32)
    pattern = cv2.resize(rows, size, interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    depth = np.linspace(0, 1, width, dtype=np.float32)[None].repeat(height, 0)
    moved, moved_depth = np.roll(pattern, 1, 1), np.roll(depth, 1, 1)
    spread = np.percentile(moved_depth, 98) - np.percentile(moved_depth, 2)
    (still,) = flicker([(pattern, moved, depth, moved_depth)])
    (flickering,) = flicker([(pattern, moved, depth, moved_depth + np.float32(0.2))])
    assert flickering - still == pytest.approx(0.2 / spread, rel=0.25)


def test_what_cannot_be_made_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(work: object) -> str:
        raise cv2.error("the picture has no size")

    scene, told = make_scene(tmp_path, 32, 24), Noted(None)
    monkeypatch.setitem(report._PARTS, "Flicker", broken)
    page = write_report(scene, told).read_text()
    assert "Flicker: left out of the report" in page and "the picture has no size" in page
    assert "<h2>Frames and depth</h2>" in page and "<h2>Timeline</h2>" in page
    assert [sentence.split(":")[0] for sentence in told.said] == ["Flicker"]


def test_a_report_that_cannot_be_written_does_not_fail_the_merge(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, 32, 24)
    scene.report_path.mkdir()
    told = Noted(None)
    result = merge_scene(scene, MergeSettings(overwrite=True), with_report=True, reporter=told)
    assert result.frames == 6 and told.said[-1].startswith("There is no report: ")
