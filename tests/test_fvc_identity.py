"""Who is who: data sets whose truth is known by how they are made, named in every way, and leaks put into them."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vda.errors import InputError
from vda.fvc.folds import check_folds, groups_of, write_folds
from vda.fvc.identity import identify
from vda.fvc.leaks import find_leaks
from vda.fvc.schema import read_metadata

pytestmark = pytest.mark.whole

FOLDS = 3
# Ways to name films/part/<stem>.mp4 of a table in a folder, with the id "id-<number>".
WAYS: dict[str, Callable[[Path, str, int], str]] = {
    "as it is": lambda folder, stem, number: f"films/part/{stem}.mp4",
    "dot": lambda folder, stem, number: f"./films/part/{stem}.mp4",
    "there and back": lambda folder, stem, number: f"films/../films//part/{stem}.mp4",
    "absolute": lambda folder, stem, number: f"{folder}/films/part/{stem}.mp4",
    "absolute elsewhere": lambda folder, stem, number: f"/mnt/disk/films/part/{stem}.mp4",
    "part of the path": lambda folder, stem, number: f"part/{stem}.mp4",
    "name": lambda folder, stem, number: f"{stem}.mp4",
    "stem": lambda folder, stem, number: stem,
    "other suffix": lambda folder, stem, number: f"films/part/{stem}.MOV",
    "other disk, other suffix": lambda folder, stem, number: f"D:\\data\\films\\part\\{stem}.avi",
    "windows": lambda folder, stem, number: f"films\\part\\{stem}.mp4",
    "decomposed": lambda folder, stem, number: unicodedata.normalize("NFD", f"films/part/{stem}.mp4"),
    "decomposed name": lambda folder, stem, number: unicodedata.normalize("NFD", f"{stem}.mp4"),
    "id": lambda folder, stem, number: f"id-{number}",
    "id with suffix": lambda folder, stem, number: f"id-{number}.mp4",
}


@dataclass(frozen=True)
class Made:
    """A table and its truth: ``family`` of every row."""

    table: pl.DataFrame
    family: list[int]


def made(folder: Path, families: list[list[str]], order: list[int], absent: frozenset[int]) -> Made:
    """An original for each family, but for those ``absent``, and a fake for each way in it, in a given order."""
    rows: list[tuple[str | None, ...]] = []
    truth: list[int] = []
    for number, ways in enumerate(families):
        stem = f"vidéo{number}"
        if number not in absent:
            rows.append((f"films/part/{stem}.mp4", "real", None, f"id-{number}"))
            truth.append(number)
        for place, way in enumerate(ways):
            named = WAYS[way](folder, stem, number)
            rows.append((f"fakes/x{number}_{place}.mp4", "fake", named, f"fake-{number}-{place}"))
            truth.append(number)
    shuffled = [place for place in order if place < len(rows)]
    columns = ["video_path", "label", "original_video", "video_id"]
    table = pl.DataFrame([rows[place] for place in shuffled], schema=columns, orient="row")
    return Made(table, [truth[place] for place in shuffled])


@st.composite
def families_of(draw: st.DrawFn, ways: tuple[str, ...] = tuple(WAYS)) -> tuple[list[list[str]], list[int]]:
    families = draw(st.lists(st.lists(st.sampled_from(ways), min_size=1, max_size=3), min_size=3, max_size=6))
    return families, draw(st.permutations(range(4 * len(families))))


def saved(folder: Path, table: pl.DataFrame) -> Path:
    path = folder / "metadata.csv"
    table.write_csv(path)
    return path


def partition(numbers: list[int] | np.ndarray) -> set[frozenset[int]]:
    places = defaultdict(set)
    for row, number in enumerate(numbers):
        places[int(number)].add(row)
    return {frozenset(rows) for rows in places.values()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identity")


@settings(max_examples=60, deadline=None)
@given(families_of())
def test_every_way_of_naming_an_original_finds_it(folder: Path, drawn: tuple[list[list[str]], list[int]]) -> None:
    truth = made(folder, *drawn, frozenset())
    checked = read_metadata(saved(folder, truth.table), outputs=False)
    identities = identify(checked, folder)
    assert partition(groups_of(checked, identities)) == partition(truth.family)
    assert not identities.absent
    assert not identities.several


@settings(max_examples=25, deadline=None)
@given(families_of())
def test_no_family_is_parted_and_the_check_agrees(folder: Path, drawn: tuple[list[list[str]], list[int]]) -> None:
    truth = made(folder, *drawn, frozenset())
    write_folds(saved(folder, truth.table), folder / "folds.csv", folds=FOLDS, overwrite=True)
    folds = pl.read_csv(folder / "folds.csv")["fold"]
    places = defaultdict(set)
    for family, fold in zip(truth.family, folds, strict=True):
        places[family].add(fold)
    assert all(len(found) == 1 for found in places.values())
    check_folds(folder / "folds.csv")


@settings(max_examples=60, deadline=None)
@given(families_of(), st.data())
def test_the_check_sees_every_row_that_is_parted_from_its_family(
    folder: Path, drawn: tuple[list[list[str]], list[int]], data: st.DataObject
) -> None:
    truth = made(folder, *drawn, frozenset())
    row = data.draw(st.integers(0, len(truth.family) - 1))
    # Folds by the truth alone: none of the code that is tested takes part.
    folds = [family % FOLDS for family in truth.family]
    check_folds(saved(folder, truth.table.with_columns(fold=pl.Series(folds))))
    folds[row] = (folds[row] + 1) % FOLDS
    with pytest.raises(InputError, match="lie in more than one part"):
        check_folds(saved(folder, truth.table.with_columns(fold=pl.Series(folds))))


PATHS = ("as it is", "dot", "absolute elsewhere", "part of the path", "name", "stem", "other suffix", "windows")


@settings(max_examples=25, deadline=None)
@given(families_of(PATHS))
def test_siblings_of_an_original_without_a_row_meet_too(
    folder: Path, drawn: tuple[list[list[str]], list[int]]
) -> None:
    families, order = drawn
    truth = made(folder, families, order, frozenset(range(len(families))))
    checked = read_metadata(saved(folder, truth.table), outputs=False)
    identities = identify(checked, folder)
    assert partition(groups_of(checked, identities)) == partition(truth.family)
    assert sorted(row for original in identities.absent for row in original.rows) == list(range(len(checked)))


paths = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "./", "/", "../", "C:\\", "x\\"]),
    st.sampled_from(["", "x/", "y/", "x/y/"]),
    st.sampled_from(["a", "a.mp4", "a.mov", "b.mp4", "b.MP4", "a.b.mp4"]),
)
statements = st.tuples(
    paths, st.none() | paths, st.none() | st.sampled_from(["a", "b", "a.mp4"]), st.sampled_from([None, None, "g"])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(statements, min_size=2, max_size=7))
def test_the_check_and_the_making_agree_on_names_of_any_kind(rows: list[tuple]) -> None:
    columns = ["video_path", "original_video", "stated_id", "dup_group"]
    table = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    groups = groups_of(table, identify(table, Path("/x")))
    assert find_leaks(table, [str(group) for group in groups], Path("/x")) == []
    # What states the same file, original, id or group is together, whatever else there is.
    for column in columns:
        for value in table[column].drop_nulls().unique():
            assert len(set(groups[(table[column] == value).fill_null(False).to_numpy()])) == 1


def test_the_layout_of_a_well_known_challenge_is_not_parted(folder: Path) -> None:
    rows: list[tuple[str | None, ...]] = []
    for number in range(60):
        rows.append((f"train/o{number:02d}.mp4", "REAL", None, f"o{number:02d}"))
        rows += [
            (f"train/f{number:02d}{copy}.mp4", "FAKE", f"o{number:02d}.mp4", f"f{number:02d}{copy}")
            for copy in range(3)
        ]
    columns = ["video_path", "label", "original_video", "video_id"]
    path = saved(folder, pl.DataFrame(rows, schema=columns, orient="row").sample(fraction=1, shuffle=True, seed=3))
    write_folds(path, folder / "folds.csv", overwrite=True, strict=True)
    table = pl.read_csv(folder / "folds.csv")
    fold = dict(table.select(pl.col("video_path").str.extract(r"/(.*)\."), "fold").rows())
    assert sum(fold[f"o{n:02d}"] != fold[f"f{n:02d}{copy}"] for n in range(60) for copy in range(3)) == 0
    parted = table.with_columns(fold=pl.when(pl.col("video_id") == "f170").then(9).otherwise("fold"))
    with pytest.raises(InputError, match="o17"):
        check_folds(saved(folder, parted))


@pytest.mark.parametrize(
    "named", ["real/0001.mp4", "real\\0001.mp4", "D:\\set\\real\\0001.mp4", "/set/real/0001.mov"]
)
def test_real_beside_fake_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, named: str) -> None:
    rows = [("real/0001.mp4", "real", None), ("fake/0001.mp4", "fake", None), ("swapped.mp4", "fake", named)]
    path = saved(tmp_path, pl.DataFrame(rows, schema=["video_path", "label", "original_video"], orient="row"))
    checked = read_metadata(path, outputs=False)
    real, fake, swapped = groups_of(checked, identify(checked, tmp_path))
    assert real == swapped != fake


def test_a_fake_of_its_originals_name_does_not_count_as_its_original(tmp_path: Path) -> None:
    rows = [("real/1.mp4", "real", None), ("a/1.mp4", "fake", "1.mp4"), ("b/1.mp4", "fake", "1.mp4")]
    path = saved(tmp_path, pl.DataFrame(rows, schema=["video_path", "label", "original_video"], orient="row"))
    identities = identify(read_metadata(path, outputs=False), tmp_path)
    assert identities.original_of == {1: 0, 2: 0}
    assert not identities.several


def test_a_link_and_what_it_leads_to_are_one(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "linked").symlink_to("films")
    rows = [("films/a.mp4", "real", None), ("b.mp4", "fake", "linked/a.mp4"), ("linked/a.mp4", "real", None)]
    path = saved(tmp_path, pl.DataFrame(rows, schema=["video_path", "label", "original_video"], orient="row"))
    checked = read_metadata(path, outputs=False)
    assert len(set(groups_of(checked, identify(checked, tmp_path)))) == 1
