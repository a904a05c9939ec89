"""The calculation of docs/scaling.md: its figures follow from those it starts from, windows from the planner."""

import re
from pathlib import Path

import pytest

from vda.scene.windows import window_count

PAGE = (Path(__file__).parents[1] / "docs" / "scaling.md").read_text()
UNITS = {"s": 1, "min": 60, "hours": 3600}
FRAMES = 172_800


def given(symbol: str) -> list[float]:
    """The values of a symbol in the page's first table."""
    (row,) = re.findall(rf"^\| `{symbol}` \|[^|]*\|([^|]*)\|", PAGE, re.MULTILINE)
    return [float(number) for number in re.findall(r"[\d.]+", row)]


def seconds(text: str) -> float:
    number, unit = text.split()[:2]
    return float(number) * UNITS[unit.strip(",")]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table that begins with ``heading``."""
    table = PAGE.split(heading, 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def network_ms() -> list[float]:
    (pixels,) = given("a")
    return [32 / 22 * slot * pixels for slot in given("s")]


def host_ms() -> float:
    return sum(given(symbol)[0] for symbol in "dpw")


def test_windows_are_the_planners() -> None:
    told = re.findall(r"([\d,]+) (?:frames )?at \d+(?: frames a second)? are ([\d,]+)", PAGE)
    assert len(told) == 2
    for frames, windows in told:
        assert window_count(int(frames.replace(",", ""))) == int(windows.replace(",", ""))
    assert 1500 * window_count(round(FRAMES / 1500)) == 9000
    assert window_count(300) == 14
    assert given("a")[0] == pytest.approx(924 / 518, rel=0.01)


def test_the_times_of_the_film_follow_from_the_formula() -> None:
    (again,), (start,), (cores,) = given("x"), given("t"), given("c")
    told = rows("| GPUs | chunks | vits |")
    assert [int(row[0]) for row in told] == [5, 50, 500]
    for row in told:
        gpus, chunks = int(row[0]), int(row[1])
        for cell, network in zip(row[2:4], network_ms(), strict=True):
            computing = FRAMES / gpus * max(network, host_ms() / cores) / 1e3
            more = chunks / gpus * (start + again * host_ms() / cores / 1e3)
            assert seconds(cell) == pytest.approx(computing + more, rel=0.04)
        assert float(row[5].split()[0]) == pytest.approx(100 * chunks * again / FRAMES, abs=0.5)


def test_what_the_disk_takes_follows_from_the_frames() -> None:
    sizes = {name: given(name)[0] * FRAMES / 1e3 for name in ("b", "i", "v")}
    assert sizes["b"] == pytest.approx(121, abs=0.5) and "`N * b` = 121 GB" in PAGE
    assert sizes["i"] == pytest.approx(1230, rel=0.01) and "`N * i` = 1.23 TB" in PAGE
    assert sizes["v"] == pytest.approx(34, rel=0.03)
    read = sizes["b"] * 1.27 / (32 / 22)
    assert read == pytest.approx(106, abs=0.5)
    alone = next(row for row in rows("| merging | time |") if "disk alone" in row[0])
    assert seconds(alone[1]) == pytest.approx((read + 1230) / given("B")[0], rel=0.03)


def test_the_data_sets_hours_follow_from_slots_and_frames() -> None:
    (cores,), frames = given("c"), 3e6
    (pixels,) = given("a")
    network = [10_000 * 14 * 32 * slot * pixels / 3.6e6 for slot in given("s")]
    assert network == pytest.approx([16.6, 31], rel=0.01)
    host = [frames * ms / 3.6e6 for ms in (8.4 + 4.4 + 5.3, 42, 50)]
    assert host == pytest.approx([15, 35, 42], rel=0.02)
    for row in rows("| GPUs | rows per task |"):
        gpus, size, tasks = (int(cell) for cell in row[:3])
        assert tasks == 10_000 // size
        working = (network[0] + (host[1] + host[2]) / cores) / gpus * 3600
        starts = 0 if "starts" in row[3] else tasks / gpus * given("t")[0]
        assert seconds(row[3]) == pytest.approx(working + starts, rel=0.04)
