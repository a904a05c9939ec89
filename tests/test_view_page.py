"""The page of ``vda view`` in a browser: clicked, dragged and looked at.

Skipped where there is no Chromium; ``.ci/run`` installs one where it can.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from pictures import read_codes
from viewscenes import LABEL, TRUTH, by_formula, view_scene, write_tracks

from vda.api.looking import view_settings
from vda.scene.scene import Scene
from vda.viewing.door import Door
from vda.viewing.stage import keep_view, open_view

pytest.importorskip("viser")
pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is on the path: apt-get install chromium"),
]
LENS: Any = {"fx": 120.0, "fy": 121.0, "cx": 81.0, "cy": 58.0}
FRAMES = 12
SIZE = (800, 700)
# Far more looks than any machine needs: they end a test whose page never comes to anything.
MOST_LOOKS = 200
# They take more than a second, in which a recording that plays goes on.
STILL_LOOKS = 12


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Its name and the label of its tracks are HTML, and would give the page another title."""
    scene = view_scene(tmp_path_factory.mktemp("view") / "<img src=x onerror=document.title='owned'>", FRAMES)
    write_tracks(scene.root / "tracks_3d.json", label=LABEL)
    return scene


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def door(scene: Scene) -> Iterator[Door]:
    with open_view(view_settings(scene.root, **LENS)) as found:
        yield found


@pytest.fixture(scope="module")
def loaded(browser: Browser, door: Door) -> Browser:
    # Small, for every pixel of the cloud is drawn by arithmetic.
    browser.resize(*SIZE)
    browser.open(door.url)
    browser.wait("document.body.dataset.shown === '0' && document.body.dataset.cloud === '0'")
    return browser


@pytest.fixture
def page(loaded: Browser) -> Browser:
    """The page as it was when it was opened: all tests look at one, for a cloud takes seconds to begin."""
    loaded.resize(*SIZE)
    loaded.evaluate("stop(), lay(false), byId('things').checked = true, go(0)")
    loaded.wait("document.body.dataset.shown === '0' && document.body.dataset.cloud === '0'")
    return loaded


def told(browser: Browser) -> dict[str, str]:
    return browser.evaluate("({...document.getElementById('value').dataset})")


def cloud(browser: Browser) -> np.ndarray:
    """The middle of the cloud's frame, which viser's own panels leave free."""
    seen = browser.seen("#cloud").astype(float)
    height, width = seen.shape[:2]
    return seen[height // 5 : -height // 5, width // 2 : -width // 8]


def until(look: Callable[[], np.ndarray], is_it: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Look until what is seen is what is waited for."""
    for _ in range(MOST_LOOKS):
        if is_it(seen := look()):
            return seen
    raise AssertionError("it was never seen")


def has_points(seen: np.ndarray) -> bool:
    """Whether a good part of a region is not of the colour that most of it is."""
    background = np.median(seen.reshape(-1, 3), axis=0)
    return bool((np.abs(seen - background).max(axis=2) > 40).mean() > 0.03)


def looks_like(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.abs(one - other).mean()) < 0.5


def is_still(look: Callable[[], np.ndarray]) -> np.ndarray:
    """What is seen as soon as several looks agree: the cloud fades in, and a busy machine draws frames twice."""
    before, agreed = look(), 0

    def same(now: np.ndarray) -> bool:
        nonlocal before, agreed
        agreed, before = agreed + 1 if float(np.abs(before - now).mean()) < 0.05 else 0, now
        return agreed >= STILL_LOOKS

    return until(look, same)


class TestServed:
    @pytest.mark.parametrize("pane", ["#picture", "#depth"])
    def test_the_value_under_the_pointer_is_that_of_the_formula(
        self, page: Browser, scene: Scene, pane: str
    ) -> None:
        codes = read_codes(scene.depth_path(0))
        for x, y in ((80, 60), (159, 119), (40, 70), (123, 64)):
            page.move(*page.place(pane, (x + 0.5) / 160, (y + 0.5) / 120))
            found = told(page)
            assert (int(found["x"]), int(found["y"])) == (x, y)
            assert int(found["code"]) == codes[y, x] != 0
            value = by_formula(scene, int(codes[y, x]))
            metres = 1 / (TRUTH[0] * value + TRUTH[1])
            assert float(found["value"]) == pytest.approx(value, rel=1e-6)
            assert float(found["length"]) == pytest.approx(metres, rel=1e-6)
            words = page.evaluate("document.getElementById('value').textContent")
            assert f"{float(f'{metres:.5g}'):g} m".split(".")[0] in words and f"x {x}, y {y}" in words
            [shown] = re.findall(r"([\d.]+) m\b", words)
            assert float(shown) == pytest.approx(metres, rel=1e-4)

    def test_where_there_is_no_depth_it_says_so(self, page: Browser) -> None:
        page.move(*page.place("#depth", 5.5 / 160, 5.5 / 120))
        found = told(page)
        assert (found["code"], found["value"]) == ("0", "")
        assert "no depth (invalid)" in page.evaluate("document.getElementById('value').textContent")

    def test_the_depth_is_seen_near_bright_and_holes_grey(self, page: Browser, scene: Scene) -> None:
        page.click(*page.place("#things"))
        seen = page.seen("#depth").astype(int)
        codes = read_codes(scene.depth_path(0))
        height, width = seen.shape[:2]
        at = [(round((y + 0.5) * height / 120), round((x + 0.5) * width / 160)) for x, y in ((120, 20), (45, 58))]
        wall, board = (seen[place].sum() for place in at)
        assert codes[58, 45] > codes[20, 120] and board > wall + 100
        np.testing.assert_allclose(seen[height // 10, width // 10], (96, 96, 96), atol=3)

    def test_a_drag_of_the_slider_goes_through_the_film(self, page: Browser, scene: Scene) -> None:
        page.drag(page.place("#time", 0.01), page.place("#time", 0.995))
        page.wait(f"document.body.dataset.shown === '{FRAMES - 1}'")
        page.wait(f"document.body.dataset.cloud === '{FRAMES - 1}'")
        assert page.evaluate("document.getElementById('when').value").startswith(f"frame {FRAMES - 1} ")
        page.move(*page.place("#depth", 80.5 / 160, 60.5 / 120))
        assert int(told(page)["code"]) == read_codes(scene.depth_path(FRAMES - 1))[60, 80]

    def test_play_ends_at_the_last_frame(self, page: Browser) -> None:
        page.click(*page.place("#play"))
        page.wait(f"document.body.dataset.shown === '{FRAMES - 1}'")
        page.wait("document.getElementById('play').getAttribute('aria-label') === 'play'")

    def test_a_click_wipes_one_over_the_other_and_a_drag_moves_the_edge(self, page: Browser) -> None:
        page.click(*page.place("#things"))
        frame, depth = (page.seen(pane).astype(int) for pane in ("#picture", "#depth"))
        page.click(*page.place("#over"))
        assert page.evaluate("getComputedStyle(document.getElementById('right')).display") == "none"
        for share in (0.25, 0.75):
            page.drag(page.place("#picture", 0.5, 0.9), page.place("#picture", share, 0.9))
            assert abs(page.evaluate("document.getElementById('wipe').value / 1000") - share) < 0.02
            both = page.seen("#picture").astype(int)

            def near(whole: np.ndarray, x: float, both: np.ndarray = both) -> float:
                places = [(int(0.3 * one.shape[0]), int(x * one.shape[1])) for one in (both, whole)]
                return float(np.abs(both[places[0]] - whole[places[1]]).max())

            assert near(frame, share - 0.1) < 30 and near(depth, share + 0.1) < 30

    def test_the_cloud_is_there_and_turns_when_it_is_dragged(self, page: Browser) -> None:
        until(lambda: cloud(page), has_points)
        before = is_still(lambda: cloud(page))
        page.drag(page.place("#cloud", 0.5, 0.5), page.place("#cloud", 0.54, 0.52))
        until(lambda: cloud(page), lambda now: np.abs(now - before).mean() > 3)
        assert has_points(is_still(lambda: cloud(page)))

    def test_names_do_nothing_and_nobody_else_is_asked(self, page: Browser, door: Door, scene: Scene) -> None:
        assert page.evaluate("document.title") == scene.root.name
        assert page.evaluate("document.images.length") == 0
        assert page.evaluate("document.getElementById('count').textContent") == "1 here"
        assert page.errors == []
        mine = (door.url, door.url.replace("http", "ws"))
        assert len(page.asked) > 8 and all(url.startswith(mine) for url in page.asked)

    def test_nothing_is_cut_off_and_dark_is_dark(self, page: Browser) -> None:
        for width, dark in ((390, False), (390, True), (1400, False), (1400, True)):
            page.resize(width, 500, dark=dark, phone=width < 600)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("byId('value').getBoundingClientRect().right") <= width
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == dark


def open_kept(browser: Browser, scene: Scene) -> None:
    browser.renew()
    browser.resize(*SIZE)
    browser.open((scene.root.parent / "kept.html").as_uri())
    browser.wait("document.body.dataset.shown === '0' && document.body.dataset.cloud === '0'")


class TestKept:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def kept(cls, scene: Scene, browser: Browser) -> None:
        path = scene.root.parent / "kept.html"
        kept = keep_view(view_settings(scene.root, export=path, export_frames=4, **LENS))
        assert (kept.frames, kept.of) == (4, FRAMES)
        open_kept(browser, scene)

    def test_it_opens_from_a_file_and_asks_nobody(self, browser: Browser, scene: Scene) -> None:
        assert browser.asked == [(scene.root.parent / "kept.html").as_uri()]
        assert browser.errors == []

    def test_values_are_those_of_the_frames_that_were_kept(self, browser: Browser, scene: Scene) -> None:
        browser.drag(browser.place("#time", 0.01), browser.place("#time", 0.995))
        browser.wait("document.body.dataset.shown === '3'")
        browser.move(*browser.place("#depth", 50.5 / 160, 70.5 / 120))
        code = int(read_codes(scene.depth_path(FRAMES - 1))[70, 50])
        assert int(told(browser)["code"]) == code
        assert float(told(browser)["value"]) == pytest.approx(by_formula(scene, code), rel=1e-6)

    def test_its_cloud_goes_with_the_slider(self, browser: Browser, scene: Scene) -> None:
        open_kept(browser, scene)
        until(lambda: cloud(browser), has_points)
        seen = {0: is_still(lambda: cloud(browser))}
        browser.click(*browser.place("#time", 0.995))
        until(lambda: cloud(browser), lambda now: np.abs(now - seen[0]).mean() > 3)
        seen[3] = is_still(lambda: cloud(browser))
        for share, place in ((0.01, 0), (0.995, 3)):
            browser.click(*browser.place("#time", share))
            browser.wait(f"document.body.dataset.cloud === '{place}'")
            until(lambda: cloud(browser), partial(looks_like, seen[place]))
            # viser would play on by itself, a frame a second, and show another one by now.
            for _ in range(STILL_LOOKS):
                assert looks_like(seen[place], cloud(browser))


def test_facts_are_plain_json(door: Door, browser: Browser) -> None:
    browser.open(door.url + "facts.json")
    assert json.loads(browser.evaluate("document.body.innerText"))["frames"] == list(range(FRAMES))
