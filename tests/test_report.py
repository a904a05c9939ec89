"""The report: what it says is what was measured, it asks the network for nothing, and a browser shows it."""

import base64
import re
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import CHROMIUM, Browser
from depth_runs import check, make_video, make_weights, run_options, vda_here
from two_chunks import HEIGHT, WIDTH, make_scene

from vda.depthmaps.source import open_depth
from vda.evaluation.report import write_report
from vda.evaluation.seams import seam_scores
from vda.evaluation.steadiness import flicker, usual_change
from vda.scene.scene import Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    found = make_scene(tmp_path_factory.mktemp("report"), jump=0.45)
    write_report(found)
    return found


def test_a_jump_between_chunks_is_scored_by_the_usual_change(scene: Scene) -> None:
    (seam,) = seam_scores(scene, scene.plan(), open_depth(scene.merged_dir))
    assert seam.frame == 18
    assert seam.before == pytest.approx((0.05 + 0.45) / 0.05, rel=0.02)
    # Nothing overlaps; the frames at the cut were fitted, and the drift inside the chunks goes on over it.
    assert seam.after == pytest.approx(1, rel=0.02)


def test_the_page_tells_what_the_merge_remarked(scene: Scene) -> None:
    page = scene.report_path.read_text()
    assert "Chunks without a frame in common were fitted by the last frame of the one" in page


def test_chunks_that_were_fitted_jumped_before(tmp_path: Path) -> None:
    mended = make_scene(tmp_path, jump=0.45, overlap=8)
    (seam,) = seam_scores(mended, mended.plan(), open_depth(mended.merged_dir))
    assert seam.after == pytest.approx(1, rel=0.1)
    assert seam.before == pytest.approx((0.05 + 0.45) / 0.05, rel=0.02)
    for file in mended.depths_dir.iterdir():
        file.unlink()
    (gone,) = seam_scores(mended, mended.plan(), open_depth(mended.merged_dir))
    assert gone.before is None


def test_steady_depth_has_no_seam(tmp_path: Path) -> None:
    smooth = make_scene(tmp_path)
    (seam,) = seam_scores(smooth, smooth.plan(), open_depth(smooth.merged_dir))
    assert seam.after == pytest.approx(1, rel=0.02)


def test_flicker_is_what_changes_along_the_motion() -> None:
    rows = np.random.default_rng(1).integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3)).astype(np.float32)
    pattern = (
        cv2.resize(rows, (WIDTH * 2, HEIGHT * 2), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    )
    depth = np.linspace(0, 1, pattern.shape[1], dtype=np.float32)[None].repeat(pattern.shape[0], 0)
    moved, moved_depth = np.roll(pattern, 3, 1), np.roll(depth, 3, 1)
    spread = np.percentile(moved_depth, 98) - np.percentile(moved_depth, 2)
    (still,) = flicker([(pattern, moved, depth, moved_depth)])
    (flickering,) = flicker([(pattern, moved, depth, moved_depth + np.float32(0.1))])
    assert still < 0.01
    assert flickering == pytest.approx(0.1 / spread, rel=0.1)
    assert usual_change(
        lambda index: np.full((2, 2), index * 0.5, np.float32), [(2, 3), (3, 4), (4, 5)]
    ) == pytest.approx(0.5)


def test_the_page_is_one_file_that_asks_for_nothing(scene: Scene) -> None:
    page = scene.report_path.read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith("data:") for source in sources)
    assert "scene &lt;1&gt;" in page and "<1>" not in page
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page
    for title in (
        "Frames and depth",
        "Scale and shift",
        "In figures",
        "Seams",
        "Flicker",
        "Timeline",
        "What was asked and used",
    ):
        assert f"<h2>{title}</h2>" in page
    assert "largest 10.0" in page
    drawings = [base64.b64decode(part) for part in re.findall(r"svg\+xml;base64,([^\"]*)", page)]
    assert "0.15 frames per second" in page  # 18 frames in 120 s
    assert any(b"GPU-1" in drawing and b"GPU-2" in drawing for drawing in drawings)
    assert len(drawings) == 3 and all(b"<svg" in drawing for drawing in drawings)
    assert not any(a == b for a, b in pairwise(drawings))


def test_a_joint_alignment_is_compared_with_the_default(tmp_path: Path) -> None:
    folder, weights = tmp_path / "scene", make_weights(tmp_path / "mini.safetensors")
    check(vda_here("split", make_video(tmp_path / "a.mp4", 70), "--scene", folder, "--devices", "cpu", "-q"))
    check(vda_here("run", folder, *run_options(weights), "--devices", "cpu", "--on", "inline", "-q"))
    scores = {}
    for align in ("sequential", "joint"):
        check(vda_here("merge", folder, "--align", align, "--overwrite", "-q"))
        page = write_report(Scene(folder)).read_text()
        scores[align] = dict(re.findall(r"(\w+): median ([\d.]+)", page.lower()))
    assert set(scores["sequential"]) == {"merged", "raw"}
    assert set(scores["joint"]) == {"joint", "sequential", "raw"}
    # Merging the other way gave that figure from the images, which have 16 bits.
    assert float(scores["joint"]["sequential"]) == pytest.approx(float(scores["sequential"]["merged"]), abs=0.02)


def test_the_page_is_the_same_when_made_again(scene: Scene) -> None:
    before = scene.report_path.read_bytes()
    write_report(scene)
    assert scene.report_path.read_bytes() == before


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1200, True)])
def test_a_browser_shows_it(scene: Scene, tmp_path: Path, width: int, dark: bool) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.resize(width, 1600, dark=dark)
        browser.open(scene.report_path.resolve().as_uri())
        shown = browser.seen()
        assert browser.errors == []
    assert shown.shape[:2] == (1600, width)
    paper = shown[5, 5].mean()
    assert paper < 60 if dark else paper > 240
    # Pictures and text are there: colours that paper and ink do not have, well down the page.
    assert (np.ptp(shown[:800].astype(int), axis=2) > 60).mean() > 0.01
