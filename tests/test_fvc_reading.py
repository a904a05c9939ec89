"""Tables as people have them: forms, encodings, separators, paths and names."""

import csv
import gzip
import io
import json
import unicodedata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from vda.cli import main
from vda.errors import InputError
from vda.fvc.folds import write_folds
from vda.fvc.paths import Places
from vda.fvc.reading import read_columns
from vda.fvc.scaledtable import read_scaled
from vda.fvc.schema import read_metadata
from vda.reporter import Noted

PLAIN = "video_path,label\nà/é.mp4,fake\nb.mp4,real\n"
ROWS = [("à/é.mp4", "fake"), ("b.mp4", "real")]


def read(folder: Path, content: bytes, **asked: Any) -> list[tuple]:
    path = folder / "metadata.csv"
    path.write_bytes(content)
    return read_metadata(path, **asked).select("video_path", "label").rows()


@pytest.mark.parametrize(
    "content",
    [
        PLAIN + "\n\n",
        PLAIN + ",\n,\n",
        PLAIN + "   \n",
        "\n" + PLAIN,
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", "\t"),
        "sep=;\r\n" + PLAIN.replace(",", ";"),
        '"sep=|"\n' + PLAIN.replace(",", "|"),
        PLAIN.replace("video_path,label", "Video Path, LABEL "),
        PLAIN.replace("video_path,label", "VIDEO-PATH,Label"),
        "".join(line + ",,\n" for line in PLAIN.splitlines()),
        'video_path;label;note\nà/é.mp4;fake;"a;\n""b"""\nb.mp4;real\n',
        '{"video_path": "à/é.mp4", "label": "fake"}\n\n{"label": "real", "video_path": "b.mp4", "n": [1]}\n',
        ' [{"video_path": "à/é.mp4",\n"label": "fake"},\n{"label": "real", "video_path": "b.mp4"}]',
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_texts_of_every_form_are_the_same_table(tmp_path: Path, content: str, packed: bool) -> None:
    data = content.encode()
    assert read(tmp_path, gzip.compress(data) if packed else data) == ROWS


@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [("utf-8-sig", False), ("utf-16", False), ("utf-32", False), ("utf-16-le", True), ("utf-16-be", True),
     ("cp1252", True)],
)  # fmt: skip
def test_encodings_are_known_or_guessed_and_said(tmp_path: Path, encoding: str, guessed: bool) -> None:
    noted = Noted(None)
    assert read(tmp_path, PLAIN.encode(encoding), reporter=noted) == ROWS
    assert [encoding in sentence and "--encoding" in sentence for sentence in noted.said] == [True] * guessed


def test_a_stated_encoding_has_the_last_word(tmp_path: Path) -> None:
    russian = PLAIN.replace("à/é", "фильм").encode("cp1251")
    assert read(tmp_path, russian, encoding="cp1251")[0] == ("фильм.mp4", "fake")
    with pytest.raises(InputError, match="no encoding"):
        read(tmp_path, russian, encoding="klingon")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"video_path,label\na.mp4,fake\nb.mp4,real,c\n", "line 3, column 3"),
        (b'video_path,label\na.mp4,fake\nb.mp4,"real\nc.mp4,real\n', "line 3, column 7"),
        (b'video_path,label\r\na.mp4,"fa"ke\r\n', "line 2, column 7"),
        (b'sep=;\nvideo_path;label\na.mp4;"fa"ke\n', "line 3, column 7"),
        (b"video_path,label,label\na.mp4,fake,real\n", "column 3"),
        (b'{"video_path": "a.mp4", "label": "x"}\n{"video_path": "b", "label" "x"}\n', "line 2, column 29"),
        (b'{"video_path": "a.mp4", "label": "x"}\n[1]\n', "line 2, column 1"),
        (b'{"video_path": "a.mp4", "label": "x", "label": "y"}\n', "'label' more than once"),
        (b'[{"video_path": "a.mp4"},\n{"video_path" "b"}]', "line 2, column 15"),
        (b'[{"video_path": "a.mp4", "label": "x"}, 7]', "element 1"),
        (b"video_path,label\na.mp4,fake\nb\x81.mp4,real\n", "line 3, column 2 is not cp1252"),
        (b"PK\x03\x04\x14\x00", "Excel"),
        # Its name holds its bytes, of which some would be the time of day.
        (gzip.compress(PLAIN.encode(), mtime=0)[:-9], "metadata"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(tmp_path: Path, content: bytes, place: str) -> None:
    with pytest.raises(InputError, match=place):
        read(tmp_path, content)


def test_one_column_by_two_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'Label', 'label'"):
        read(tmp_path, b"video_path,Label,label\na.mp4,fake,real\n")


def test_rows_that_say_exactly_what_others_do_are_dropped_and_said(tmp_path: Path) -> None:
    noted = Noted(None)
    content = b"video_path,label,n\na.mp4,fake,1\nb.mp4,real,1\na.mp4,fake,1\nc.mp4,real,\nc.mp4,real,\n"
    assert [path for path, _ in read(tmp_path, content, reporter=noted)] == ["a.mp4", "b.mp4", "c.mp4"]
    assert "2 rows that say exactly" in noted.said[0]
    assert "(2, 4, counted from 0)" in noted.said[0]


cells = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from(',;"\n'), max_size=9
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5, unique=True),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_another_writer_writes_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], separator: str, end: str
) -> None:
    held = io.StringIO(newline="")
    writer = csv.writer(held, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b", "c"), *rows, ("x", "y", "z")])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(held.getvalue().encode())
    expected = dict.fromkeys([*rows, ("x", "y", "z")])
    assert read_columns(path).rows() == [tuple(cell or None for cell in row) for row in expected]


def test_json_lines_keep_their_types_and_long_numbers(tmp_path: Path) -> None:
    lines = [
        {
            "video_path": "a.mp4",
            "label": 1,
            "is_original": True,
            "views": 3,
            "n": 1,
            "id": 100000000000000000000000000000000000000000000000000000000000,
        },
        {"video_path": "b.mp4", "label": 0, "is_original": False, "augmentation_idx": 2, "n": 0.5, "tags": ["x"]},
    ]
    path = tmp_path / "videos.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    table = read_columns(path)
    assert table["views"].to_list() == [3, None]
    assert table["n"].to_list() == [1.0, 0.5]
    assert table["id"].to_list() == ["100000000000000000000000000000000000000000000000000000000000", None]
    assert read_metadata(path)["augmentation_idx"].to_list() == [None, 2]


@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.json", "m.jsonl", "m.csv.gz", "m.jsonl.gz", "m.parquet"])
def test_folds_are_written_in_the_form_that_they_came_in(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"video_path": [f"{n}.mp4" for n in range(6)], "label": ["a", "b"] * 3})
    write_folds_of = tmp_path / "plain.csv"
    table.write_csv(write_folds_of)
    write_folds(write_folds_of, tmp_path / name, folds=2)
    result = CliRunner().invoke(main, ["fvc", "folds", str(tmp_path / name), "--folds", "2", "--overwrite"])
    assert result.exit_code == 0, result.output
    written = tmp_path / name.replace("m.", "m_folds.")
    if name == "m.json":
        assert len(json.loads(written.read_text())) == 6
    assert (written.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert read_columns(written).select(pl.col("fold").cast(pl.Int64))["fold"].n_unique() == 2
    first = written.read_bytes()
    CliRunner().invoke(main, ["fvc", "folds", str(tmp_path / name), "--folds", "2", "--overwrite"])
    assert written.read_bytes() == first


@pytest.mark.parametrize(
    "stated",
    ["clips\\real\\1.mp4", "C:\\data\\clips\\real\\1.mp4", "C:/data/clips/real/1.mp4", "D:\\clips\\real\\1.avi",
     "\\\\server\\share\\clips\\real\\1.mp4"],
)  # fmt: skip
def test_paths_of_windows_are_found_and_named_as_what_they_are(tmp_path: Path, stated: str) -> None:
    video = tmp_path / "clips" / "real" / "1.mp4"
    video.parent.mkdir(parents=True)
    video.touch()
    assert Places(tmp_path / "m.csv").video(stated) == video
    assert Places(Path("elsewhere/m.csv"), tmp_path).video(stated) == video
    with pytest.raises(InputError, match="Windows path"):
        Places(Path("elsewhere/m.csv")).video(stated)


@pytest.mark.parametrize("stated", ["é" * 128 + ".mp4", "a" * 254, "a/" * 2048, "a\0b"])
def test_a_path_that_no_file_can_have_is_no_files(tmp_path: Path, stated: str) -> None:
    places = Places(tmp_path / "m.csv", tmp_path)
    with pytest.raises(InputError, match="no video"):
        places.video(stated)
    with pytest.raises(InputError, match="no scene"):
        places.other("scene", stated)


def test_of_a_windows_path_the_last_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "1.mp4").touch()
    with pytest.raises(InputError, match="Windows path"):
        Places(tmp_path / "m.csv").video("C:\\data\\fake\\1.mp4")


COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "é.mp4"), unicodedata.normalize("NFD", "é.mp4")


@pytest.mark.parametrize(("disk", "stated"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_in_another_normalisation_are_found(tmp_path: Path, disk: str, stated: str) -> None:
    (tmp_path / disk).touch()
    assert Places(tmp_path / "m.csv").video(stated).samefile(tmp_path / disk)


def ids(folder: Path, *rows: str, header: str = "video_path,label,original_video,augmentation_idx") -> list[str]:
    path = folder / "metadata.csv"
    path.write_text("\n".join((header, *rows)))
    return read_metadata(path)["video_id"].to_list()


def test_ids_are_the_shortest_ends_of_paths_that_tell_rows_apart(tmp_path: Path) -> None:
    rows = [
        "set/real/1.mp4,real,,",
        "set/fake/1.mp4,fake,,",
        "x.mp4,real,set/real/1.mp4,0",
        "set/real/2.mp4,real,,",
    ]
    assert ids(tmp_path, *rows) == ["real_1", "fake_1", "real_1", "2"]


def test_fakes_without_a_number_are_named_by_themselves_where_they_must(tmp_path: Path) -> None:
    assert ids(tmp_path, "v/o.mp4,real,,", "v/f.mp4,fake,o.mp4,", "v/g.mp4,fake,o.mp4,") == ["o", "f", "g"]
    # Nothing forces this one to, and its name has always been this.
    assert ids(tmp_path, "v/f.mp4,fake,o.mp4,") == ["o"]


def test_ids_of_windows_paths_are_their_names(tmp_path: Path) -> None:
    assert ids(tmp_path, "C:\\d\\a.mp4,real,,", "x.mp4,real,D:\\e\\a.mp4,0") == ["a", "a"]


def test_ids_that_meet_those_of_other_originals_get_longer_too(tmp_path: Path) -> None:
    """Fakes are numbered by themselves in many sets, so that each original has a fake called like another."""
    rows = ["real/1.mp4,real,,", "real/2.mp4,real,,"]
    rows += [f"fake/{n}.mp4,fake,real/{n % 2 + 1}.mp4," for n in range(1, 7)]
    assert ids(tmp_path, *rows) == ["real_1", "real_2", *(f"fake_{n}" for n in range(1, 7))]


def test_files_that_differ_in_their_suffix_alone_are_told_apart_by_it(tmp_path: Path) -> None:
    assert ids(tmp_path, "a/1.avi,real,,", "a/1.mov,fake,,", "a/2.mp4,fake,,") == ["1_avi", "1_mov", "2"]


def test_a_folder_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["fvc", "folds", "."])
    assert result.exit_code == 2
    assert "could not be read as a table" in result.output


@pytest.mark.parametrize("label", ["²", "9" * 5000])
def test_a_label_that_int_does_not_take_is_a_word(tmp_path: Path, label: str) -> None:
    (tmp_path / "t.csv").write_text(f"video_path,label,frames,fps\na.mp4,{label},3,25\nb.mp4,1,3,25\n")
    assert read_scaled(tmp_path / "t.csv").labels == ("1", label)


def test_films_that_are_images_are_dealt_out_like_others(tmp_path: Path) -> None:
    """A folder and a pattern have no bytes of their own to be compared."""
    names = ["a", "b", "shot.####.png", "shot.%04d.png"]
    for name in names[:2]:
        (tmp_path / name).mkdir()
    rows = "".join(f"{name},{'real' if place % 2 else 'fake'}\n" for place, name in enumerate(names))
    (tmp_path / "m.csv").write_text(f"video_path,label\n{rows}")
    write_folds(tmp_path / "m.csv", tmp_path / "folds.csv", folds=2)
    assert sorted(pl.read_csv(tmp_path / "folds.csv")["video_path"]) == sorted(names)


@pytest.mark.parametrize(
    ("frames", "fps", "name"), [("9" * 12, "25", "a"), ("3", "inf", "a"), ("3", "25", "a" * 300)]
)
def test_a_scaled_video_that_cannot_be_is_refused(tmp_path: Path, frames: str, fps: str, name: str) -> None:
    (tmp_path / "t.csv").write_text(f"video_path,label,frames,fps\n{name},real,{frames},{fps}\n")
    with pytest.raises(InputError, match="frames"):
        read_scaled(tmp_path / "t.csv")
