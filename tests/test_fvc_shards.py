"""Shards: read back by the package they are for, the same bytes twice, and never half there."""

import datetime
import io
import json
from pathlib import Path
from typing import Any

import av
import clips
import polars as pl
import pyarrow.parquet
import pytest
import webdataset
from click.testing import CliRunner
from data_sets import content, rows_of, table
from webdataset import tariterators

from vda.cli import main
from vda.errors import InputError
from vda.fvc.folds import write_folds
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.shards import ShardSettings, write_shards

VIDEOS, FRAMES, SIZE = 7, 5, 80
UNEVEN = [0, 40, 100, 300, 340]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos numbered in their pictures; the last one's frames are shown at uneven times. A column of words."""
    folder = tmp_path_factory.mktemp("set")
    rows = []
    for number in range(VIDEOS):
        last = number == VIDEOS - 1
        times: dict[str, Any] = {"pts": UNEVEN, "time_base": clips.Fraction(1, 1000)} if last else {}
        clips.make_clip(folder / f"v.{number}.mp4", range(number, number + FRAMES), **times)
        rows.append(
            {
                "video_path": f"v.{number}.mp4",
                "label": ("real", "fake")[number % 2],
                "actor": f"Ü{number}",
                "width": 640 + number,
            }
        )
    scale(table(folder / "videos.csv", rows), folder / "scaled", ScaleSettings(size=SIZE, method="resize"))
    return folder


def shard(made: Path, output: Path, most_samples: int = 3, **options: Any) -> list[dict[str, Any]]:
    """Write shards and read the index, with another reader than the writer."""
    write_shards(made / "scaled", output, ShardSettings(most_samples), metadata=made / "videos.csv", **options)
    return pyarrow.parquet.read_table(output / "index.parquet").to_pylist()


def read_back(path: Path) -> list[dict[str, Any]]:
    """As ``webdataset.WebDataset`` does, but for its own opening of files, which it leaves to chance to close."""
    with path.open("rb") as handle:
        return list(
            tariterators.group_by_keys(tariterators.tar_file_expander([{"url": str(path), "stream": handle}]))
        )


def first_number(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r") as container:
        return clips.number_in(next(container.decode(video=0)).to_ndarray(format="rgb24"))


def test_webdataset_reads_what_the_index_says(made: Path, tmp_path: Path) -> None:
    index = shard(made, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["000000.tar", "000001.tar", "000002.tar"]
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert labels == {"fake": 0, "real": 1}
    samples = [
        {**sample, "shard": name.name} for name in sorted(tmp_path.glob("*.tar")) for sample in read_back(name)
    ]
    assert [(sample["shard"], sample["__key__"]) for sample in samples] == [
        (row["shard"], row["key"]) for row in index
    ]
    seen = set()
    for sample, row in zip(samples, index, strict=True):
        number = first_number(sample["mp4"])
        seen.add(number)
        assert row["source_path"] == f"v.{number}.mp4" and row["actor"] == f"Ü{number}"
        # The scaled video has a width of its own, so the metadata's gets another name.
        assert row["metadata_width"] == str(640 + number) and row["width"] == "80"
        assert int(sample["cls"]) == row["label_index"] == labels[row["label"]] == 1 - number % 2
        about = json.loads(sample["json"])
        assert about["actor"] == row["actor"] and about["label"] == row["label"]
    assert seen == set(range(VIDEOS))


def test_the_index_has_the_time_of_each_frame(made: Path, tmp_path: Path) -> None:
    times = {row["source_path"]: row["times_seconds"] for row in shard(made, tmp_path)}
    assert times["v.0.mp4"] == pytest.approx([place / 25 for place in range(FRAMES)])
    assert times[f"v.{VIDEOS - 1}.mp4"] == pytest.approx([time / 1000 for time in UNEVEN])


def test_the_same_again_is_kept_and_elsewhere_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    shard(made, tmp_path / "one")
    shard(made, tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    again = write_shards(made / "scaled", tmp_path / "one", ShardSettings(3), metadata=made / "videos.csv")
    assert (again.shards, again.written) == (3, 0)


def test_damaged_missing_and_superfluous_shards_are_mended(made: Path, tmp_path: Path) -> None:
    shard(made, tmp_path)
    fresh = content(tmp_path)
    (tmp_path / "000000.tar").write_bytes((tmp_path / "000000.tar").read_bytes()[:5000])
    (tmp_path / "000002.tar").unlink()
    assert write_shards(made / "scaled", tmp_path, ShardSettings(3), metadata=made / "videos.csv").written == 2
    assert content(tmp_path) == fresh
    shard(made, tmp_path, most_samples=7)
    assert [path.name for path in tmp_path.glob("*.tar")] == ["000000.tar"]


def test_a_run_that_ended_early_goes_on(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(made, tmp_path / "whole")
    with monkeypatch.context() as patched:
        written: list[str] = []
        write = webdataset.TarWriter.write

        def failing(self: Any, sample: dict[str, Any]) -> Any:
            written.append(sample["__key__"])
            if len(written) == 5:
                raise KeyboardInterrupt
            return write(self, sample)

        patched.setattr(webdataset.TarWriter, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            shard(made, tmp_path / "parts")
    # The second shard was begun, and is not there at all.
    assert [path.name for path in (tmp_path / "parts").glob("*.tar*")] == ["000000.tar"]
    again = write_shards(made / "scaled", tmp_path / "parts", ShardSettings(3), metadata=made / "videos.csv")
    assert again.written == 2
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_no_shard_is_larger_than_asked(made: Path, tmp_path: Path) -> None:
    most = 3 * max(path.stat().st_size for path in (made / "scaled").glob("*.mp4"))
    result = write_shards(made / "scaled", tmp_path, ShardSettings(most_bytes=most))
    assert result.shards > 1
    # A tar ends with blocks of zeros, up to a record of 20.
    assert all(path.stat().st_size <= most + 20 * 512 for path in tmp_path.glob("*.tar"))


def test_no_shard_holds_two_folds(made: Path, tmp_path: Path) -> None:
    write_folds(made / "scaled" / "scaled_metadata.csv", tmp_path / "folds.csv", folds=2, alone=True)
    fold_of = {row["video_path"]: row["fold"] for row in rows_of(tmp_path / "folds.csv")}
    index = shard(made, tmp_path / "out", folds=tmp_path / "folds.csv")
    assert {row["shard"].split("-")[0] for row in index} == {"0", "1"}
    for row in index:
        assert (
            row["shard"].startswith(f"{fold_of[row['video_path']]}-") and row["part"] == fold_of[row["video_path"]]
        )


def test_the_command_says_what_it_wrote_and_refuses_another_metadata(made: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        main, ["fvc", "shards", str(made / "scaled"), "--output-dir", str(tmp_path), "--json", "-q"]
    )
    assert ran.exit_code == 0 and json.loads(ran.output)["samples"] == VIDEOS
    other = table(tmp_path / "other.csv", [{"video_path": "x.mp4", "label": "real"}] * 1)
    with pytest.raises(InputError, match="is not what"):
        write_shards(made / "scaled", tmp_path, metadata=other)


def test_files_that_are_gone_are_said_before_anything_is_written(made: Path, tmp_path: Path) -> None:
    rows = rows_of(made / "scaled" / "scaled_metadata.csv")
    gone = table(tmp_path / "scaled_metadata.csv", rows)
    with pytest.raises(InputError, match="8 files that"):
        write_shards(gone, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_columns_of_any_type_and_name_come_along(made: Path, tmp_path: Path) -> None:
    """Parquet has dates, lists and bytes, which JSON has not; names that the index needs are other columns."""
    day = datetime.date(2024, 2, 29)
    typed = pl.read_csv(made / "videos.csv").with_columns(
        day=day, raw=b"\x01\xff", score=float("nan"), tags=pl.lit([1, 2]), key=pl.lit("k"), shard=pl.lit("s"),
        label_index=pl.lit(9), times_seconds=pl.lit("t"), part=pl.lit("p"),
    )  # fmt: skip
    typed.write_parquet(tmp_path / "videos.parquet")
    folder = tmp_path / "shards"
    write_shards(made / "scaled", folder, metadata=tmp_path / "videos.parquet")
    index = pyarrow.parquet.read_table(folder / "index.parquet").to_pylist()
    assert {row["shard"] for row in index} == {"000000.tar"}
    assert {row["label_index"] for row in index} == {0, 1}
    for sample in read_back(folder / "000000.tar"):
        row = json.loads(sample["json"], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert row["day"] == "2024-02-29"
        assert (row["raw"], row["score"], row["tags"]) == ("01ff", None, [1, 2])
        assert [row[f"metadata_{name}"] for name in ("key", "shard", "label_index", "part")] == ["k", "s", 9, "p"]


def test_a_video_in_no_fold_is_refused_and_not_left_out(made: Path, tmp_path: Path) -> None:
    write_folds(made / "scaled" / "scaled_metadata.csv", tmp_path / "folds.csv", folds=2)
    rows = rows_of(tmp_path / "folds.csv")
    rows[2]["fold"] = ""
    with pytest.raises(InputError, match=r"no fold for 1 of 7 videos, such as v\.2"):
        write_shards(table(tmp_path / "holes.csv", rows), tmp_path / "shards")
