"""Folds: nothing that hangs together is parted, labels stay even, and leaks are seen."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from vda.cli import main
from vda.errors import InputError, UsageError, WorkError
from vda.fvc.folds import check_folds, groups_of, make_parts, write_folds
from vda.fvc.identity import identify
from vda.fvc.parts import Partition
from vda.fvc.schema import read_metadata

pytestmark = pytest.mark.whole

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


def groups_in(path: Path) -> np.ndarray:
    checked = read_metadata(path, outputs=False)
    return groups_of(checked, identify(checked, path.parent))


def folds_of(path: Path, folds: int, seed: int) -> np.ndarray:
    return make_parts(read_metadata(path, outputs=False), groups_in(path), Partition.folds(folds), seed)


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
    path = saved(big_table(0, 40, 4), tmp_path / "metadata.csv")
    assert (folds_of(path, 5, 0) == folds_of(path, 5, 0)).all()
    assert (folds_of(path, 5, 0) != folds_of(path, 5, 1)).any()


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
    a, x, b, y, c, d, e = groups_in(path)
    assert a == x == b == y == e
    assert len({a, c, d}) == 3


def test_an_original_named_by_its_identifier_is_known_again(tmp_path: Path) -> None:
    path = table_of(tmp_path, "/far/away/a.mp4,fake,,,", "x.mp4,fake,a,0,", "b.mp4,fake,,,")
    a, x, b = groups_in(path)
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
    a, x, y, b = groups_in(path)
    assert a == x == y != b


def test_rare_labels_and_platforms_are_dealt_out_without_a_warning(tmp_path: Path) -> None:
    rows = [
        f"{number}.mp4,{'odd' if number < 2 else 'fake' if number % 2 else 'real'},site{number}"
        for number in range(30)
    ]
    path = table_of(tmp_path, *rows, header="video_path,label,platform")
    assert set(folds_of(path, 5, 0)) == set(range(5))


def test_fewer_groups_than_folds_are_refused(tmp_path: Path) -> None:
    path = table_of(tmp_path, *(f"{number}.mp4,fake,,,{number % 3}" for number in range(30)))
    with pytest.raises(InputError, match="3 groups"):
        folds_of(path, 5, 0)


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


def grown(table: pl.DataFrame, originals: int) -> pl.DataFrame:
    """``table`` with new originals among its rows, three augmentations each."""
    rows: list[tuple] = []
    for number in range(originals):
        name = f"new/{number}.mp4"
        rows.append((name, ("fake", "real")[number % 2], None, None, True, None, "site0"))
        rows += [(f"new/{number}_{copy}.mp4", rows[-1][1], name, copy, False, None, "site0") for copy in range(3)]
    new = pl.DataFrame(rows, schema=table.schema, orient="row")
    return pl.concat([new[:5], table, new[5:]])


def test_kept_folds_stay_and_new_rows_come_in_evenly(tmp_path: Path) -> None:
    table = big_table(0, 40, 4)
    write_folds(saved(table, tmp_path / "a.csv"), tmp_path / "a_folds.csv")
    before = dict(pl.read_csv(tmp_path / "a_folds.csv").select("video_path", "fold").rows())
    larger = saved(grown(table, 10), tmp_path / "b.csv")
    made = write_folds(larger, tmp_path / "b_folds.csv", kept_from=tmp_path / "a_folds.csv", seed=7)
    after = dict(pl.read_csv(tmp_path / "b_folds.csv").select("video_path", "fold").rows())
    assert {name: after[name] for name in before} == before
    assert {after[f"new/{number}.mp4"] for number in range(10)} == set(range(5))
    assert made.remarks()[0] == f"{len(before)} of {len(after)} rows keep their fold, and 40 are new."


def test_a_new_row_follows_its_original_to_the_kept_fold(tmp_path: Path) -> None:
    before = table_of(tmp_path, *(f"{n}.mp4,fake,{n % 2}" for n in range(8)), header="video_path,label,fold")
    rows = [*(f"{n}.mp4,fake," for n in range(8)), *(f"x{n}.mp4,fake,./{n}.mov" for n in range(8))]
    path = tmp_path / "new.csv"
    path.write_text("\n".join(("video_path,label,original_video", *rows)))
    write_folds(path, tmp_path / "out.csv", folds=2, kept_from=before)
    folds = pl.read_csv(tmp_path / "out.csv")["fold"].to_list()
    assert folds == [n % 2 for n in range(8)] * 2


def test_kept_folds_stay_even_where_they_are_uneven(tmp_path: Path) -> None:
    before = table_of(
        tmp_path, *(f"{n}.mp4,fake,{int(n == 9)}" for n in range(10)), header="video_path,label,fold"
    )
    path = tmp_path / "new.csv"
    path.write_text("\n".join(("video_path,label", *(f"{n}.mp4,{('fake', 'real')[n > 9]}" for n in range(12)))))
    write_folds(path, tmp_path / "out.csv", folds=2, kept_from=before)
    assert pl.read_csv(tmp_path / "out.csv")["fold"].to_list()[:10] == [0] * 9 + [1]


def test_kept_folds_that_part_a_group_are_refused_with_its_rows(tmp_path: Path) -> None:
    before = table_of(tmp_path, "a.mp4,fake,0", "b.mp4,fake,1", "c.mp4,real,1", header="video_path,label,fold")
    path = tmp_path / "new.csv"
    path.write_text("video_path,label,original_video\na.mp4,fake,\nc.mp4,real,\nb.mp4,fake,a\n")
    with pytest.raises(InputError, match=r"row 0 \(fold 0\) and row 2 \(fold 1\)"):
        write_folds(path, tmp_path / "out.csv", folds=2, kept_from=before)
    assert not (tmp_path / "out.csv").exists()


def test_kept_folds_of_another_number_or_of_other_videos_are_refused(tmp_path: Path) -> None:
    before = table_of(tmp_path, "a.mp4,fake,0", "b.mp4,fake,6", header="video_path,label,fold")
    with pytest.raises(InputError, match="has 6, not only 0, 1"):
        write_folds(before, tmp_path / "out.csv", folds=2, kept_from=before, alone=True)
    path = tmp_path / "new.csv"
    path.write_text("video_path,label\nx.mp4,fake\ny.mp4,fake\n")
    with pytest.raises(InputError, match="nothing to keep"):
        write_folds(path, tmp_path / "out.csv", folds=7, kept_from=before)


def test_shares_make_train_val_and_test(tmp_path: Path) -> None:
    path = saved(big_table(3, 40, 4), tmp_path / "metadata.csv")
    made = write_folds(path, tmp_path / "out.csv", shares=(80, 10, 10))
    written = pl.read_csv(tmp_path / "out.csv")
    sizes = dict(written["split"].value_counts().rows())
    assert abs(sizes["train"] - 2622) < 66
    assert abs(sizes["val"] - 328) < 66
    assert abs(sizes["test"] - 328) < 66
    assert made.points < 2
    assert [part["split"] for part in made.to_json()["splits"]] == ["train", "val", "test"]
    assert check_folds(tmp_path / "out.csv").parts.names == ("test", "train", "val")


@pytest.mark.parametrize("shares", [(80.0, 20.0, 0.0), (1.0, -1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_shares_that_are_none_are_refused(tmp_path: Path, shares: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="no shares"):
        write_folds(table_of(tmp_path, "a.mp4,fake,,,"), tmp_path / "out.csv", shares=shares)


def test_folds_of_uneven_sizes_are_said(tmp_path: Path) -> None:
    rows = [f"{n}.mp4,{('fake', 'real')[n % 2]},,,{'all' if n < 84 else n // 2}" for n in range(100)]
    made = write_folds(table_of(tmp_path, *rows), tmp_path / "folds.csv")
    assert sorted(made.rows) == [4, 4, 4, 4, 84]
    assert made.points == 0
    (remark,) = made.remarks()
    assert "has 84 rows, not 20" in remark
    assert "84 of 100 rows" in remark


def test_a_label_that_a_fold_lacks_is_said_and_refused_where_strict(tmp_path: Path) -> None:
    path = table_of(tmp_path, *(f"{n}.mp4,{'rare' if n == 3 else 'real'},,," for n in range(20)))
    made = write_folds(path, tmp_path / "folds.csv", folds=2)
    assert len([remark for remark in made.remarks() if "labelled rare" in remark]) == 1
    asked = ["fvc", "folds", str(path), "--folds", "2", "--strict", "--output", str(tmp_path / "strict.csv")]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 1
    assert "labelled rare" in result.output
    assert not (tmp_path / "strict.csv").exists()


@pytest.mark.parametrize(
    ("original", "said"),
    [("zzz.mp4", "1 rows name 1 originals that have no row"), ("a.mp4", "several rows may be")],
)
def test_originals_that_are_no_row_or_several_are_counted_and_refused_where_strict(
    tmp_path: Path, original: str, said: str
) -> None:
    rows = ["x/a.mp4,fake,", "y/a.mp4,real,", f"c.mp4,fake,{original}", "d.mp4,real,", "e.mp4,fake,"]
    path = table_of(tmp_path, *rows, header="video_path,label,original_video")
    (remark,) = [remark for remark in write_folds(path, tmp_path / "out.csv", folds=2).remarks() if said in remark]
    assert f"{original} (in row 2)" in remark
    with pytest.raises(WorkError, match=said):
        write_folds(path, tmp_path / "strict.csv", folds=2, strict=True)
    with pytest.raises(WorkError, match=said):
        check_folds(tmp_path / "out.csv", strict=True)


def test_an_original_that_several_rows_may_be_hangs_together_with_all(tmp_path: Path) -> None:
    rows = ["x/a.mp4,fake,", "y/a.mp4,real,", "c.mp4,fake,a", "d.mp4,real,x/a.mp4", "y/e.mp4,real,"]
    x, y, c, d, e = groups_in(table_of(tmp_path, *rows, header="video_path,label,original_video"))
    assert x == y == c == d != e


def test_a_split_that_would_be_empty_is_named(tmp_path: Path) -> None:
    """Six groups are enough for three splits, but a tenth of them is none."""
    lines = [f"r{n}.mp4,real,\nf{n}.mp4,fake,r{n}.mp4\n" for n in range(6)]
    path = tmp_path / "videos.csv"
    path.write_text("video_path,label,original_video\n" + "".join(lines))
    result = CliRunner().invoke(main, ["fvc", "folds", str(path), "--shares", "80/10/10"])
    assert result.exit_code == 2
    assert "Of the 6 groups of rows that belong together, none is left for split " in result.output
    assert "too few" not in result.output


@pytest.mark.parametrize("name", ["a\0b.mp4", "x" * 300 + ".mp4"])
def test_a_kept_row_that_no_file_can_be_is_no_rows_file(tmp_path: Path, name: str) -> None:
    before = table_of(tmp_path, "a.mp4,fake,0", "b.mp4,fake,1", f"{name},fake,1", header="video_path,label,fold")
    path = tmp_path / "new.csv"
    path.write_text("video_path,label\na.mp4,fake\nb.mp4,fake\n")
    write_folds(path, tmp_path / "out.csv", folds=2, kept_from=before)
    assert pl.read_csv(tmp_path / "out.csv")["fold"].to_list() == [0, 1]
