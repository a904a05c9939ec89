"""Folds: nothing that hangs together is parted, labels stay even, and leaks are seen."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from vda.cli import main
from vda.errors import InputError, UsageError
from vda.fvc.folds import check_folds, groups_of, make_folds, write_folds
from vda.fvc.schema import read_metadata

COLUMNS = ["video_path", "label", "original_video", "augmentation_idx", "is_original", "dup_group", "platform"]
ORIGINALS, AUGMENTATIONS = 298, 10


def big_table(seed: int, duplicates: int, platforms: int) -> pl.DataFrame:
    """3,278 rows; every second original is in one of ``duplicates`` random groups, some copies say so too."""
    rng = np.random.default_rng(seed)
    rows: list[tuple] = []
    for number in range(ORIGINALS):
        label, platform = ("fake" if rng.random() < 0.42 else "real"), f"site{rng.integers(platforms)}"
        group = f"d{rng.integers(duplicates)}" if rng.random() < 0.5 else None
        name = f"films/{number}.mp4"
        rows.append((name, label, None, None, True, group, platform))
        for copy in range(AUGMENTATIONS):
            own = group if rng.random() < 0.3 else None
            rows.append((f"copies/{number}_{copy}.mp4", label, name, copy, False, own, platform))
    order = rng.permutation(len(rows))
    return pl.DataFrame([rows[place] for place in order], schema=COLUMNS, orient="row", infer_schema_length=None)


def saved(table: pl.DataFrame, path: Path) -> Path:
    table.write_csv(path)
    return path


def table_of(
    folder: Path, *rows: str, header: str = "video_path,label,original_video,augmentation_idx,dup_group"
) -> Path:
    path = folder / "metadata.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


@pytest.mark.parametrize(("seed", "duplicates", "platforms"), [(0, 40, 4), (1, 20, 1), (2, 100, 8), (3, 40, 4)])
def test_nothing_is_in_two_folds_and_labels_stay_within_two_points(
    tmp_path: Path, seed: int, duplicates: int, platforms: int
) -> None:
    table = big_table(seed, duplicates, platforms)
    assert len(table) == 3278
    made = write_folds(saved(table, tmp_path / "metadata.csv"), tmp_path / "folds.parquet")
    written = pl.read_parquet(tmp_path / "folds.parquet")
    places = defaultdict(set)
    for video, original, group, fold in written.select("video_path", "original_video", "dup_group", "fold").rows():
        places[original or video].add(fold)
        if group:
            places[group].add(fold)
    assert {len(folds) for folds in places.values()} == {1}
    assert sorted(written["fold"].unique()) == [0, 1, 2, 3, 4]
    whole = table["label"].to_list().count("fake") / len(table)
    for fold in range(5):
        part = written.filter(pl.col("fold") == fold)
        assert abs(part["label"].to_list().count("fake") / len(part) - whole) < 0.02
        assert abs(len(part) - 3278 / 5) < 66
    assert made.points < 2
    assert made.remarks() == []


def test_the_same_seed_gives_the_same_folds_and_another_others(tmp_path: Path) -> None:
    checked = read_metadata(saved(big_table(0, 40, 4), tmp_path / "metadata.csv"))
    assert (make_folds(checked, 5, 0) == make_folds(checked, 5, 0)).all()
    assert (make_folds(checked, 5, 0) != make_folds(checked, 5, 1)).any()


def test_groups_are_what_hangs_together_over_any_steps(tmp_path: Path) -> None:
    path = table_of(
        tmp_path,
        "a.mp4,fake,,,one",
        "x.mp4,fake,a.mp4,0,two",
        "b.mp4,real,,,two",
        "y.mp4,real,b.mp4,3,",
        "c.mp4,real,,,",
        "d.mp4,fake,,,",
        "e.mp4,fake,./y.mp4,1,",
    )
    a, x, b, y, c, d, e = groups_of(read_metadata(path))
    assert a == x == b == y == e
    assert len({a, c, d}) == 3


def test_an_original_named_by_its_identifier_is_known_again(tmp_path: Path) -> None:
    path = table_of(tmp_path, "/far/away/a.mp4,fake,,,", "x.mp4,fake,a,0,", "b.mp4,fake,,,")
    a, x, b = groups_of(read_metadata(path))
    assert a == x != b


def test_scaled_videos_hang_together_as_what_they_were_made_of(tmp_path: Path) -> None:
    path = table_of(
        tmp_path,
        "a_scaled_original.mp4,fake,a.mp4,,a,a.mp4",
        "a_scaled_aug0.mp4,fake,a.mp4,0,a,x.mp4",
        "x_scaled_aug0.mp4,fake,x.mp4,0,x,y.mp4",
        "b_scaled_original.mp4,fake,b.mp4,,b,b.mp4",
        header="video_path,label,original_video,augmentation_idx,video_id,source_path",
    )
    a, x, y, b = groups_of(read_metadata(path))
    assert a == x == y != b


def test_rare_labels_and_platforms_are_dealt_out_without_a_warning(tmp_path: Path) -> None:
    rows = [
        f"{number}.mp4,{'odd' if number < 2 else 'fake' if number % 2 else 'real'},site{number}"
        for number in range(30)
    ]
    path = table_of(tmp_path, *rows, header="video_path,label,platform")
    assert set(make_folds(read_metadata(path), 5, 0)) == set(range(5))


def test_fewer_groups_than_folds_are_refused(tmp_path: Path) -> None:
    path = table_of(tmp_path, *(f"{number}.mp4,fake,,,{number % 3}" for number in range(30)))
    with pytest.raises(InputError, match="3 groups"):
        make_folds(read_metadata(path), 5, 0)


def test_one_huge_group_is_said(tmp_path: Path) -> None:
    rows = [
        f"{number}.mp4,{'fake' if number < 60 else 'real'},,,{'all' if number < 60 else ''}"
        for number in range(100)
    ]
    made = write_folds(table_of(tmp_path, *rows), tmp_path / "folds.csv")
    assert made.points > 2
    assert "60 of 100 rows" in made.remarks()[0]


@pytest.mark.parametrize("leak", ["x.mp4,fake,a.mp4,0,,1", "x.mp4,fake,,,one,1", "a.mp4,fake,zzz,5,,1"])
def test_folds_of_others_that_leak_are_refused_by_name(tmp_path: Path, leak: str) -> None:
    header = "video_path,label,original_video,augmentation_idx,dup_group,fold"
    path = table_of(tmp_path, "a.mp4,fake,,,one,0", "b.mp4,real,,,,1", leak, header=header)
    with pytest.raises(InputError, match=r"a\.mp4|video a|dup_group one"):
        check_folds(path)


def test_folds_that_hold_pass_the_check(tmp_path: Path) -> None:
    write_folds(saved(big_table(5, 40, 4), tmp_path / "metadata.csv"), tmp_path / "folds.csv")
    assert check_folds(tmp_path / "folds.csv").rows == tuple(
        pl.read_csv(tmp_path / "folds.csv")["fold"].value_counts().sort("fold")["count"]
    )


def test_rows_without_a_fold_are_named(tmp_path: Path) -> None:
    path = table_of(tmp_path, "a.mp4,fake,0", "b.mp4,real,", header="video_path,label,fold")
    with pytest.raises(InputError, match=r"rows without a fold: 1"):
        check_folds(path)


def test_the_table_keeps_its_other_columns_as_they_were(tmp_path: Path) -> None:
    rows = [f'{number}.mp4,0{number % 2}, x ,"a,b"' for number in range(10)]
    path = table_of(tmp_path, *rows, header="video_path,label,blank,quoted")
    write_folds(path, tmp_path / "folds.csv", folds=2)
    before, after = (pl.read_csv(name, infer_schema=False) for name in (path, tmp_path / "folds.csv"))
    assert after.drop("fold").equals(before)


def test_nothing_is_replaced_without_being_asked(tmp_path: Path) -> None:
    path = table_of(tmp_path, *(f"{number}.mp4,fake,9" for number in range(9)), header="video_path,label,fold")
    with pytest.raises(UsageError, match="already has"):
        write_folds(path, tmp_path / "folds.csv", folds=2)
    with pytest.raises(UsageError, match="there already"):
        write_folds(path, path, folds=2)
    write_folds(path, path, folds=2, overwrite=True)
    assert set(pl.read_csv(path)["fold"]) == {0, 1}


def test_the_command_writes_beside_the_metadata_and_reports(tmp_path: Path) -> None:
    path = table_of(tmp_path, *(f"{number}.mp4,{'fake' if number % 2 else 'real'},,," for number in range(20)))
    result = CliRunner().invoke(main, ["fvc", "folds", str(path), "--folds", "2", "--alone", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert [fold["rows"] for fold in report["folds"]] == [10, 10]
    written = pl.read_csv(report["path"])
    assert written.columns == ["row", "video_path", "fold"]
    assert Path(report["path"]) == tmp_path / "metadata_folds.csv"
    assert CliRunner().invoke(main, ["fvc", "folds", str(path)]).exit_code == 2
