"""Every kind of clip: what FFmpeg says of it is what is found, a range is the whole's, and cuts do no harm."""

import os
from pathlib import Path

import any_video
import kinds
import pytest
import robustness

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[1]
slow = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="minutes long: run by `make slow`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(autouse=True)
def cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=lambda kind: kind.name)
def test_what_is_found_is_what_ffmpeg_answers(tmp_path: Path, kind: kinds.Kind) -> None:
    row = robustness.examine(kind.make(tmp_path / kind.name))
    assert row.agrees, row
    assert kind.says in row.said
    assert bool(kind.says) == bool(row.said)


def test_the_page_has_every_kind() -> None:
    page = (ROOT / "docs" / "robustness.md").read_text()
    listed = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert set(kinds.KINDS) <= set(listed)


def test_random_ranges_equal_the_whole(folder: Path) -> None:
    done = any_video.require_ranges(folder, 2 * len(kinds.KINDS) + 40, seed=11)
    assert done["counted"] > len(kinds.KINDS)


def test_random_cuts_do_no_harm(folder: Path) -> None:
    done = any_video.require_cuts(folder, 2 * len(kinds.WHOLE), seed=12)
    assert sum(done.values()) == 2 * len(kinds.WHOLE)


@slow
@pytest.mark.parametrize("seed", range(5))
def test_many_ranges_and_cuts(folder: Path, seed: int) -> None:
    any_video.require_ranges(folder, 500, seed)
    any_video.require_cuts(folder, 200, seed)
