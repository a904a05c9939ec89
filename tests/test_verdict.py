"""The verdict of the report and the index: what is named is what was put in, and the pages hang together."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner
from clips import make_clip
from two_chunks import HEIGHT, WIDTH, make_scene

from vda.cli.report import report as command
from vda.depthmaps.codes import DepthRecord
from vda.evaluation.quality import Quality, measure_quality
from vda.evaluation.report import write_report
from vda.evaluation.steadiness import Seam, flicker
from vda.evaluation.verdict import DepthVerdict, Level, built_in, judge
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

FRAMES = 60
MINI = Path(__file__).parents[1] / "docs" / "mini.md"


def film_scene(
    root: Path, *, flickers: tuple[int, ...] = (), step_at: int | None = None, chunks: int = 2
) -> Scene:
    """A merged scene of a slowly moving ramp; ``flickers`` are frames a fifth of the range off, and from
    ``step_at`` on all frames are."""
    root.mkdir(exist_ok=True)
    # Blocks that optical flow follows, moving by a pixel a frame.
    coarse = np.random.default_rng(0).integers(40, 215, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    texture = coarse.repeat(4, 0).repeat(4, 1)
    video = make_clip(root / "a <b> & c.mp4", range(FRAMES), draw=lambda number: np.roll(texture, number, 1))
    scene = Scene(root / "scene <i>")
    plan = split(video, scene, PlanSettings(chunks=chunks, chunking="independent", overlap=0))
    scene.depths_dir.mkdir()
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for chunk in plan.chunks:
        stack = []
        for frame in range(chunk.start, chunk.stop):
            stack.append(2 + y / HEIGHT + 0.001 * x + 0.002 * np.sin(frame))
            stack[-1] += 0.2 * (frame in flickers) + 0.2 * (step_at is not None and frame >= step_at)
        np.save(scene.depths_dir / f"chunk_{chunk.index:02d}_depths.npy", np.stack(stack).astype(np.float32))
    merge(scene, MergeSettings())
    return scene


def verdict_of(scene: Scene) -> DepthVerdict:
    return judge(measure_quality(scene), DepthRecord.read(scene.depth_record_path))


def test_steady_depth_is_called_so_and_nothing_is_named(tmp_path: Path) -> None:
    verdict = verdict_of(film_scene(tmp_path))
    # Chunks without a frame in common are worth a remark of the merge, and so of the verdict.
    assert verdict.words == "Steady, with a reservation, as far as it was measured" and not verdict.frames
    # Nobody knows the windows of other programs, and the verdict says that nothing is known of drift.
    [unknown] = [finding for finding in verdict.findings if finding.level == Level.UNKNOWN]
    assert "drifts" in unknown.text and "not measured" in unknown.text and "another program" in unknown.text


def test_frames_that_flicker_are_named(tmp_path: Path) -> None:
    verdict = verdict_of(film_scene(tmp_path, flickers=(17, 44)))
    assert verdict.level >= Level.SOME and verdict.words.startswith("Not quite steady")
    # A frame that is off differs from the one before, and so does the one behind it; pairs that touch count once.
    assert len(verdict.frames) == 2
    assert verdict.frames[0] in (17, 18) and verdict.frames[1] in (44, 45)


def test_a_step_is_named_by_its_frame(tmp_path: Path) -> None:
    assert verdict_of(film_scene(tmp_path, step_at=23, chunks=1)).frames == [23]


def test_seams_are_named_worst_first_and_those_that_nobody_sees_are_not() -> None:
    record = DepthRecord.__new__(DepthRecord)
    values: dict[str, float | None] = {"flicker": 0.001, "drift": 0.001, "seam": 9.0}

    def judged(*seams: Seam) -> DepthVerdict:
        object.__setattr__(record, "shots", [])
        object.__setattr__(record, "settings", {})
        object.__setattr__(record, "remarks", [])
        return judge(Quality(values, {}, seams, len(seams)), record)

    assert judged(Seam(9, 1.02, None, 0.1)).level == Level.GOOD
    bad = judged(Seam(9, 1.02, None, 0.1), Seam(31, 9.0, None, 0.5), Seam(53, 2.0, None, 0.5))
    assert bad.level == Level.BAD and bad.frames == [31, 53]
    # Held against other frames, motion looks the same.
    doubtful = judged(Seam(31, 9.0, None, 0.5, in_place=False))
    assert doubtful.level == Level.GOOD and "as far as it was measured" in doubtful.words
    assert any("cannot be told from motion" in finding.text for finding in doubtful.findings)


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [("flicker", 0.02, Level.SOME), ("flicker", 0.05, Level.BAD), ("drift", 0.05, Level.SOME),
     ("drift", 0.2, Level.BAD), ("untied", 1, Level.BAD), ("invalid", 0.5, Level.SOME), ("codes", 12, Level.SOME)],
)  # fmt: skip
def test_what_is_wrong_comes_with_what_to_do(tmp_path: Path, name: str, value: float, level: Level) -> None:
    record = DepthRecord.read(make_scene(tmp_path).depth_record_path)
    object.__setattr__(record, "remarks", [])
    good: dict[str, float | None] = {"flicker": 0.001, "drift": 0.001, "seam": 1.0}
    assert judge(Quality(good, {}), record).words == "Steady"
    verdict = judge(Quality({**good, name: value}, {}), record)
    assert verdict.level == level and verdict.words != "Steady"
    [bad] = [finding for finding in verdict.findings if finding.level == level]
    assert "--" in bad.remedy


def test_nothing_measured_is_not_judged() -> None:
    record = DepthRecord.__new__(DepthRecord)
    object.__setattr__(record, "remarks", [])
    verdict = judge(Quality({}, {"flicker": "the video is gone"}, (), 3), record)
    assert verdict.words.startswith("Not judged") and verdict.level == Level.UNKNOWN


def test_a_cut_is_no_flicker() -> None:
    random = np.random.default_rng(2)
    first, second = (random.integers(0, 255, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(2))
    depth = np.linspace(0, 1, 128, dtype=np.float32)[None].repeat(96, 0)
    assert list(flicker([(first, second, depth, depth[:, ::-1])])) == []


def test_the_built_in_model_is_said_with_its_own_figures(tmp_path: Path) -> None:
    text = built_in("mini")
    figures = re.search(r"AbsRel ([\d.]+) against the ramp's ([\d.]+)", MINI.read_text().replace("\n", " "))
    assert figures is not None and all(f"{float(figure):.2f}" in text for figure in figures.groups())
    assert "vda weights fetch vits" in text and built_in("vits") == ""
    assert "built-in model" not in write_report(make_scene(tmp_path)).read_text()


class Page(HTMLParser):
    """What a page links to, what it can be linked at, and what it would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.tags = list[str](), list[str](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")


def test_the_page_holds_together(tmp_path: Path) -> None:
    scene = film_scene(tmp_path, flickers=(17,))
    merge(scene, MergeSettings(create_video=True))
    text = write_report(scene).read_text()
    page = Page(text)
    anchors = [link for link in page.links if link.startswith("#")]
    assert anchors and {link[1:] for link in anchors} <= set(page.ids) and len(page.ids) == len(set(page.ids))
    beside = [link for link in page.links if not link.startswith(("#", "data:"))]
    assert beside and all((scene.root / unquote(link)).is_file() for link in beside)
    assert "script" not in page.tags and "Content-Security-Policy" in text and "default-src 'none'" in text
    assert "http:" not in text and "https:" not in text and str(tmp_path) not in text
    assert 'preload="none"' in text and 'type="checkbox"' in text


def test_no_folder_of_the_machine_is_in_the_page_unless_asked_for(tmp_path: Path) -> None:
    scene = film_scene(tmp_path)
    scene.video().path.unlink()
    text = write_report(scene).read_text()
    assert str(tmp_path) not in text and "a &lt;b&gt; &amp; c.mp4" in text
    assert str(tmp_path) in write_report(scene, with_paths=True).read_text()


def test_the_index_lists_scenes_worst_first_and_those_that_are_not_finished(tmp_path: Path) -> None:
    homes = tmp_path / "films"
    homes.mkdir()
    for name, scene in {
        "b good": film_scene(tmp_path / "1"),
        "a bad": film_scene(tmp_path / "2", step_at=23, chunks=1),
    }.items():
        scene.root.rename(homes / name)
    unfinished = Scene(homes / "c <begun>")
    split(make_clip(tmp_path / "c.mp4", range(5)), unfinished, PlanSettings(chunks=1))
    index = tmp_path / "pages" / "index.html"
    index.parent.mkdir()
    result = CliRunner().invoke(
        command, [str(homes), str(tmp_path / "none"), "--index", str(index), "-q", "--json"]
    )
    assert result.exit_code == 1, result.output
    told = json.loads(result.stdout)
    assert [bool(one["report"]) for one in told["scenes"]] == [True, True, False, False]
    text = index.read_text()
    page = Page(text)
    reports = [link for link in page.links if not link.startswith("data:")]
    assert [unquote(link) for link in reports] == ["../films/a bad/report.html", "../films/b good/report.html"]
    assert all((index.parent / unquote(link)).is_file() for link in reports)
    assert text.index("c &lt;begun&gt;") < text.index("a bad") < text.index("b good")
    assert "planned, 0 of 5 frames" in text and "no scene is there" in text and str(tmp_path) not in text
    again = CliRunner().invoke(command, [str(homes), "--index", str(index), "-q"])
    assert again.exit_code == 2 and index.read_text() == text
