"""What measurements leave: figures in a file with their machine and date, and the picture drawn of them."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
FIGURES, PICTURE = ROOT / "docs" / "bench" / "figures.json", ROOT / "docs" / "bench" / "figures.png"

sys.path.insert(0, str(ROOT))
from bench.figures import Figure  # noqa: E402
from bench.keeping import figures_of, keep, kept  # noqa: E402
from bench.picture import draw, margin  # noqa: E402


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_picture_in_the_manual_is_of_the_figures_beside_it() -> None:
    """``make bench-picture`` draws it."""
    assert Image.open(PICTURE).text["Source"] == sha256(FIGURES)  # type: ignore[attr-defined]
    assert "](bench/figures.png)" in (ROOT / "docs" / "performance.md").read_text()


def test_each_figure_is_of_a_measurement_that_there_is_and_of_a_machine_and_a_day() -> None:
    for name, entry in json.loads(FIGURES.read_text()).items():
        assert (ROOT / "bench" / f"{name}.py").is_file(), name
        assert {"cpu", "cores", "memory_gb", "python", "torch"} <= entry["machine"].keys()
        assert len(entry["date"]) == len("2026-11-28") and len(entry["load"]) == 2
        bounded = [figure.name for figure in figures_of(entry) if figure.bound is not None]
        assert len(set(bounded)) == len(bounded), f"{name}: the picture could not tell them apart"


def test_a_measurement_stands_in_the_place_of_its_last_one_and_leaves_the_others(tmp_path: Path) -> None:
    file, picture = tmp_path / "figures.json", tmp_path / "figures.png"
    fast, slow = Figure("speed", 4.6, "times", 2.3, "at least"), Figure("time", 6.0, "s", 3.0)
    keep("one", [fast], 0.5, file)
    keep("other", [Figure("told only", 1 / 3)], 0.5, file)
    keep("one", [slow, fast], 2.25, file)
    assert list(kept(file)) == ["one", "other"]
    assert figures_of(kept(file)["one"]) == [slow, fast]
    assert kept(file)["other"]["figures"][0]["value"] == 0.3333
    draw(file, picture)
    assert Image.open(picture).text["Source"] == sha256(file)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure("speed", 4.6, "", 2.3, "at least"), 2.0),
        (Figure("speed", 1.15, "", 2.3, "at least"), 0.5),
        (Figure("time", 1.5, "s", 3.0, "at most"), 2.0),
        (Figure("time", 6.0, "s", 3.0, "at most"), 0.5),
    ],
)
def test_a_bar_ends_where_the_figure_is_beside_its_bound(figure: Figure, expected: float) -> None:
    assert margin(figure) == pytest.approx(expected)
    assert figure.holds == (expected >= 1)
