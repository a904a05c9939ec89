"""The table of a data set's videos: what is taken, what is refused, and which rows are named."""

import importlib
import io
from pathlib import Path

import polars as pl
import pytest

import vda.fvc
from vda.errors import InputError, UsageError
from vda.fvc.paths import depth_name, scaled_name, tracks_name, video_id
from vda.fvc.schema import read_metadata

OPTIONAL = {"original_video", "augmentation_idx", "is_original", "dup_group", "platform", "scene", "tracks"}
PLAIN = "video_path,label\na.mp4,fake\nb.mp4,real\n"


def read(folder: Path, text: str) -> pl.DataFrame:
    path = folder / "metadata.csv"
    path.write_text(text)
    return read_metadata(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, text)
    return caught.value.problem


def test_two_columns_are_enough(tmp_path: Path) -> None:
    table = read(tmp_path, PLAIN)
    assert set(table.columns) >= OPTIONAL
    assert table["row"].to_list() == [0, 1]
    assert table["is_original"].to_list() == [True, True]
    assert table["augmentation_idx"].to_list() == [None, None]
    assert table["dup_group"].to_list() == [None, None]
    assert table["video_id"].to_list() == ["a", "b"]


def test_columns_nobody_knows_keep_their_values(tmp_path: Path) -> None:
    table = read(tmp_path, "video_path,views,label\na.mp4,007,fake\nb.mp4,,real\n")
    assert table["views"].to_list() == ["007", None]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".feather", ".data"])
@pytest.mark.parametrize("form", ["csv", "parquet", "ipc", "ipc_stream"])
def test_a_table_is_known_by_its_content(tmp_path: Path, suffix: str, form: str) -> None:
    path = tmp_path / f"metadata{suffix}"
    table = pl.DataFrame({"video_path": ["a.mp4", "b.mp4"], "label": [0, 1], "is_original": [True, False]})
    table = table.with_columns(augmentation_idx=pl.Series([None, 3.0]))
    getattr(table, f"write_{form}")(path)
    found = read_metadata(path)
    assert found["label"].to_list() == ["0", "1"]
    assert found["is_original"].to_list() == [True, False]
    assert found["augmentation_idx"].to_list() == [None, 3]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_seen(tmp_path: Path, separator: str) -> None:
    assert read(tmp_path, PLAIN.replace(",", separator))["label"].to_list() == ["fake", "real"]


@pytest.mark.parametrize("number", ["-1", "", "0", "nan"])
def test_an_original_may_be_numbered_in_any_way_if_it_says_so(tmp_path: Path, number: str) -> None:
    table = read(
        tmp_path, f"video_path,label,is_original,augmentation_idx\na.mp4,1,True,{number}\nx.mp4,1,False,0\n"
    )
    assert table["augmentation_idx"].to_list() == [None, 0]


def test_who_says_nothing_is_an_original_unless_numbered(tmp_path: Path) -> None:
    table = read(tmp_path, "video_path,label,augmentation_idx\na.mp4,1,-1\nb.mp4,1,\nc.mp4,1,0\n")
    assert table["is_original"].to_list() == [True, True, False]


@pytest.mark.parametrize("labels", ["fake real", "0 1", "true false", "0_real 1_fake", "falsch écht"])
def test_labels_are_words_or_numbers(tmp_path: Path, labels: str) -> None:
    one, two = labels.split()
    assert read(tmp_path, f"video_path,label\na.mp4,{one}\nb.mp4,{two}\n")["label"].to_list() == [one, two]


@pytest.mark.parametrize("label", ["", "  ", "nan", "None", "0.5", "-1", "?", "n/a", "clips/a.mp4"])
def test_what_is_no_label_is_named_with_its_row(tmp_path: Path, label: str) -> None:
    problem = refused(tmp_path, f"video_path,label\na.mp4,fake\nb.mp4,real\nc.mp4,{label}\n")
    assert "label" in problem
    assert "1 row (row 2" in problem


def test_numbers_among_words_are_no_labels(tmp_path: Path) -> None:
    problem = refused(tmp_path, "video_path,label\na.mp4,fake\nb.mp4,1\nc.mp4,real\n")
    assert "a number among words" in problem
    assert "1 row (row 1: '1')" in problem


def test_one_label_in_two_spellings_is_refused(tmp_path: Path) -> None:
    problem = refused(tmp_path, "video_path,label\na.mp4,fake\nb.mp4,Fake\nc.mp4,fake\nd.mp4,real\n")
    assert "1 row (row 1: 'Fake')" in problem


def test_two_rows_of_one_output_are_both_named(tmp_path: Path) -> None:
    problem = refused(tmp_path, "video_path,label,video_id\nx/a.mp4,fake,a\nb.mp4,fake,\nx/a.mkv,real,a\n")
    assert "2 rows (row 0: 'a_scaled_original.mp4', row 2: 'a_scaled_original.mp4')" in problem


def test_a_column_of_ids_tells_videos_of_one_name_apart(tmp_path: Path) -> None:
    table = read(tmp_path, "video_path,label,video_id\nx/video.mp4,fake,one\ny/video.mp4,fake,two\n")
    assert table["video_id"].to_list() == ["one", "two"]


@pytest.mark.parametrize("name", ["../a", ".a", "a/b"])
def test_an_id_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    assert "row 0" in refused(tmp_path, f"video_path,label,video_id\na.mp4,fake,{name}\n")


def test_tracks_of_two_rows_are_not_written_to_one_file(tmp_path: Path) -> None:
    text = "video_path,label,video_id,augmentation_idx,tracks\na.mp4,1,a,2,t.json\nb.mp4,1,a_aug2,,u.json\n"
    assert "a_aug2_tracks.json" in refused(tmp_path, text)


def test_many_rows_are_counted_and_a_handful_named(tmp_path: Path) -> None:
    rows = "".join(f"{number}.mp4,\n" for number in range(100))
    problem = refused(tmp_path, f"video_path,label\na.mp4,fake\n{rows}")
    assert "100 rows (row 1, row 2, row 3, row 4, row 5, ...)" in problem


@pytest.mark.parametrize(
    ("header", "row", "complaint"),
    [
        ("augmentation_idx", "x", "no whole number"),
        ("augmentation_idx", "1.5", "no whole number"),
        ("is_original", "maybe", "neither true nor false"),
        ("is_original", "false", "no number of 0 or more"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, header: str, row: str, complaint: str) -> None:
    problem = refused(tmp_path, f"video_path,label,{header}\na.mp4,fake,\nb.mp4,real,{row}\n")
    assert complaint in problem
    assert "1 row (row 1" in problem


def test_several_complaints_come_at_once(tmp_path: Path) -> None:
    problem = refused(tmp_path, "video_path,label,is_original\n,fake,\nb.mp4,,\nc.mp4,real,maybe\n")
    assert all(f"row {row}" in problem for row in range(3))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    problem = refused(tmp_path, "video_path,class\na.mp4,fake\n")
    assert "label" in problem
    assert "video_path, class" in problem


def test_a_column_of_lists_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.parquet"
    pl.DataFrame({"video_path": ["a.mp4"], "label": [["fake", "real"]]}).write_parquet(path)
    with pytest.raises(InputError, match="label"):
        read_metadata(path)


def cut(write: str) -> bytes:
    buffer = io.BytesIO()
    getattr(pl.DataFrame({"video_path": ["a.mp4"] * 50, "label": ["fake"] * 50}), write)(buffer)
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"video_path,label\n",
        b"video_path,label\na,b,c,d\n",
        b"\x00" * 99,
    ]
    + [cut(write) for write in ("write_parquet", "write_ipc", "write_ipc_stream")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="metadata"):
        read_metadata(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        read_metadata(tmp_path / "absent.csv")


def test_names_are_made_of_the_original() -> None:
    assert video_id("cut/a_aug3.mp4", "films/a.mov") == "a"
    assert video_id("films/a.mov", None) == "a"
    assert video_id("films/a.b.mov", None) == "a.b"
    assert video_id("cut/a.mp4", "id.17") == "id.17"
    assert scaled_name("a", None) == "a_scaled_original.mp4"
    assert scaled_name("a", 3) == "a_scaled_aug3.mp4"
    assert depth_name("a", 3) == "a_scaled_aug3_depth.mkv"
    assert tracks_name("a", None) == "a_tracks.json"


def test_without_its_packages_the_stage_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pandera" else name)
    with pytest.raises(UsageError, match=r"pandera.*pip install 'vda-toolkit\[fvc\]'"):
        importlib.reload(vda.fvc)
