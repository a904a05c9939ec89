"""The verdict of a report: damage put in at known frames is what it names; nothing unmeasured is good."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner
from test_quality import stepped
from two_chunks import make_scene

from vda.cli.report import report as command
from vda.depthmaps.codes import DepthRecord
from vda.evaluation.quality import FIGURES, Quality
from vda.evaluation.steadiness import Seam
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.reporting.report import write_report
from vda.reporting.verdict import Sentence, in_a_word, verdict
from vda.scene.scene import Scene


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> DepthRecord:
    return DepthRecord.read(make_scene(tmp_path_factory.mktemp("record")).depth_record_path)


def quality(**values: float | None) -> Quality:
    """Of a film in which all is well, but for ``values``."""
    well: dict[str, float | None] = {
        "seam": 1.0, "seam_median": 1.0, "flicker": 0.005, "drift": 0.0, "untied": 0, "invalid": 0.0,
        "codes": 60000, "codes_share": 0.9,
    }  # fmt: skip
    assert well.keys() == FIGURES.keys()
    why = {name: "it is not there" for name, value in values.items() if value is None}
    return Quality({**well, **values}, why, (Seam(20, 1.0, None),), 1, {7: 0.004, 9: 0.006})


def of_weight(said: list[Sentence], weight: str) -> list[Sentence]:
    return [sentence for sentence in said if sentence.weight == weight]


def test_where_all_is_well_it_says_so_and_nothing_else(record: DepthRecord) -> None:
    said = verdict(quality(), record)
    assert in_a_word(said) == "steady"
    assert {sentence.weight for sentence in said} == {"good"}


@pytest.mark.parametrize("name", ["flicker", "drift", "invalid"])
def test_what_was_not_measured_is_never_called_good(record: DepthRecord, name: str) -> None:
    found = quality(**{name: None})
    if name == "flicker":
        found = replace(found, flickers={})
    said = verdict(found, record)
    (unknown,) = of_weight(said, "unknown")
    assert "not measured: it is not there" in unknown.says
    assert in_a_word(said) == "not all measured"


def test_the_worst_frames_are_named(record: DepthRecord) -> None:
    found = replace(
        quality(flicker=0.05),
        seams=(Seam(20, 1.02, None), Seam(42, 3.0, None), Seam(64, 1.4, None)),
        seam_count=3,
        flickers={4: 0.05, 11: 0.21, 30: 0.04},
    )
    said = verdict(found, record)
    assert {sentence.frame for sentence in of_weight(said, "bad")} == {42, 11}
    assert [sentence.weight for sentence in said[:2]] == ["bad", "bad"]
    assert all(sentence.do for sentence in of_weight(said, "bad"))


@pytest.mark.parametrize("values", [{"drift": 0.2}, {"untied": 2}, {"invalid": 0.1}])
def test_other_faults_are_bad(record: DepthRecord, values: dict[str, float]) -> None:
    assert in_a_word(verdict(quality(**values), record)) == "look at it"


def test_the_built_in_model_is_called_what_it_is(record: DepthRecord) -> None:
    (note,) = of_weight(verdict(quality(), replace(record, model="mini")), "note")
    assert "ramp" in note.says
    assert "vda weights fetch vits" in note.do


class Page(HTMLParser):
    """What a page names and leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        found = dict(attrs)
        assert tag != "script"
        assert not any(name.startswith("on") for name in found)
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.names.add(found.get("id", ""))


def require_leading_somewhere(path: Path) -> list[str]:
    """Hold that links lead to places of the page or to files beside it, and return them."""
    page = Page(path.read_text())
    links = [link for link in page.links if not link.startswith("data:")]
    for link in links:
        assert "://" not in link and not link.startswith("/")
        assert link[1:] in page.names if link.startswith("#") else (path.parent / unquote(link)).is_file()
    return links


def test_a_step_that_was_put_in_is_named_and_shown(tmp_path: Path) -> None:
    """The second chunk begins at frame 18; the step is twenty times what the depth changes by."""
    scene = stepped(make_scene(tmp_path), 1.0)
    path = write_report(scene)
    assert "#frame-18" in require_leading_somewhere(path)
    said = path.read_text().split("<h2>Frames and depth</h2>")[0]
    assert 'class="bad"' in said
    assert "the depth jumps" in said


def test_the_film_is_linked_where_it_is_and_its_absence_is_said(tmp_path: Path) -> None:
    scene = make_scene(tmp_path)
    assert "no video of the depth" in write_report(scene).read_text()
    merge(scene, MergeSettings(create_video=True))
    assert "vda_merged_depth/depth_visualization.mp4" in require_leading_somewhere(write_report(scene))


@pytest.mark.parametrize("is_there", [True, False])
def test_no_path_of_the_machine_is_on_the_page(tmp_path: Path, is_there: bool) -> None:
    """Nor in the sentences that say that the video is gone."""
    scene = make_scene(tmp_path)
    video = Path(scene.read_video()["path"])
    if not is_there:
        video.unlink()
    page = write_report(scene).read_text()
    assert str(tmp_path) not in page
    assert html.escape(video.name) in page


def test_an_index_leads_to_all_the_worst_first(tmp_path: Path) -> None:
    (tmp_path / "well").mkdir()
    (tmp_path / "torn").mkdir()
    well, torn = make_scene(tmp_path / "well"), stepped(make_scene(tmp_path / "torn"), 1.0)
    (tmp_path / "a<b>").mkdir()
    index = tmp_path / "pages" / "index.html"
    given = [str(path) for path in (well.root, torn.root, tmp_path / "a<b>")]
    result = CliRunner().invoke(command, [*given, "--index", str(index), "-q"])
    assert result.exit_code == 1, "one of them has no report"
    links = require_leading_somewhere(index)
    order = [(index.parent / unquote(link)).resolve().parent for link in links]
    assert order == [torn.root.resolve(), well.root.resolve()]
    text = index.read_text()
    assert "a&lt;b&gt;" in text and "<b>" not in text
    assert "is not a scene" in text
    assert len(re.findall("<tr>", text)) == 4


def test_a_single_scene_takes_an_index_too(tmp_path: Path) -> None:
    scene = Scene(make_scene(tmp_path).root)
    result = CliRunner().invoke(command, [str(scene.root), "--index", str(tmp_path / "i.html"), "-q"])
    assert result.exit_code == 0, result.output
    assert len(require_leading_somewhere(tmp_path / "i.html")) == 1
