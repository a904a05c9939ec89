"""Faults of all kinds in a finished data set: verify names each, one run mends all, and the folder is as new."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import clips
import polars as pl
import pytest
from data_sets import content, log_of, scaled, table

from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.errors import InputError, UsageError
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.verify import verify
from vda.scene.scene import Scene

WIDTH, HEIGHT, FRAMES = 48, 32, 5
BOTH = ScaleSettings(size=32, modality="both")
slow = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="minutes long: run by `make slow`")


def sources(folder: Path, count: int, first: int = 0) -> list[dict[str, object]]:
    """``count`` videos with depth, which differ in their pictures and codes alone."""
    rows: list[dict[str, object]] = []
    for number in range(first, first + count):
        name = f"video{number:02d}"
        make_source(folder, name, number)
        rows.append({"video_path": f"{name}.mp4", "label": "fake" if number % 2 else "real", "scene": name})
    return rows


def make_source(folder: Path, name: str, seed: int) -> None:
    numbers = range(seed * 7, seed * 7 + FRAMES)
    clips.make_clip(folder / f"{name}.mp4", numbers, draw=lambda number: clips.picture(number, WIDTH, HEIGHT))
    scene = Scene(folder / name)
    scene.merged_dir.mkdir(parents=True, exist_ok=True)
    for place, number in enumerate(numbers):
        write_png16(
            scene.depth_path(place), clips.picture(number, WIDTH, HEIGHT)[..., 0].astype("uint16") * 200 + 1
        )
    DepthRecord(Quantizer.millimetres(), FRAMES, WIDTH, HEIGHT, "test").write(scene.depth_record_path)


def named(metadata: Path, folder: Path) -> str:
    """All that verify has to say, as one text; what it cannot read at all is named by its error."""
    try:
        findings = verify(metadata, folder).findings
    except InputError as error:
        return error.problem
    return "\n".join(f"{finding.kind}: {finding.name} {finding.detail}" for finding in findings)


class Victim:
    """A finished folder, and the metadata and sources it was made of, to which faults are done.

    A fault returns what verify must name: a file, or a video.
    """

    def __init__(self, place: Path, rows: list[dict[str, object]], chance: random.Random) -> None:
        self.place, self.rows, self.chance = place, rows, chance
        self.out = place / "out"
        self.spoiled: set[str] = set()

    def write(self) -> Path:
        return table(self.place / "videos.csv", self.rows)

    def _file(self, ending: str) -> Path | None:
        """An output that no other fault was done to."""
        left = [path for path in sorted(self.out.glob(f"*{ending}")) if self._stem(path) not in self.spoiled]
        if not left:
            return None
        path = self.chance.choice(left)
        self.spoiled.add(self._stem(path))
        return path

    @staticmethod
    def _stem(path: Path) -> str:
        return path.name.split("_scaled_")[0]

    def bits_of_video(self) -> str | None:
        return self._flip(self._file("_original.mp4"))

    def bits_of_depth(self) -> str | None:
        return self._flip(self._file("_depth.mkv"))

    def bits_of_record(self) -> str | None:
        return self._flip(self._file("_depth.json"))

    def _flip(self, path: Path | None) -> str | None:
        if path is None:
            return None
        data = bytearray(path.read_bytes())
        data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
        path.write_bytes(data)
        return path.stem

    def truncation(self) -> str | None:
        if (path := self._file(self.chance.choice(["_original.mp4", "_depth.mkv"]))) is None:
            return None
        path.write_bytes(path.read_bytes()[: self.chance.randrange(path.stat().st_size)])
        return path.name

    def removal(self) -> str | None:
        if (path := self._file(self.chance.choice(["_original.mp4", "_depth.mkv", "_depth.json"]))) is None:
            return None
        path.unlink()
        return path.name

    def swap(self) -> str | None:
        ending = self.chance.choice(["_original.mp4", "_depth.mkv"])
        one, two = self._file(ending), self._file(ending)
        if one is None or two is None:
            return None
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second), two.write_bytes(first)
        return two.name

    def _row(self) -> dict[str, object] | None:
        left = [row for row in self.rows if row["scene"] not in self.spoiled]
        if not left:
            return None
        row = self.chance.choice(left)
        self.spoiled.add(str(row["scene"]))
        return row

    def label(self) -> str | None:
        if (row := self._row()) is None:
            return None
        row["label"] = "real" if row["label"] == "fake" else "fake"
        return f"{row['scene']}_scaled_original.mp4 label"

    def row_gone(self) -> str | None:
        if len(self.rows) < 4 or (row := self._row()) is None:
            return None
        self.rows.remove(row)
        return f"row without metadata: {row['scene']}_scaled_original.mp4"

    def source(self) -> str | None:
        """Another video of the same name, size in pixels and count of frames, and as old as the first."""
        if (row := self._row()) is None:
            return None
        path = self.place / str(row["video_path"])
        before = path.stat()
        numbers = range(600 + self.chance.randrange(300), 1000)[:FRAMES]
        clips.make_clip(path, numbers, draw=lambda number: clips.picture(number, WIDTH, HEIGHT))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"source changed: {row['scene']}_scaled_original.mp4"

    def stale_table(self) -> str | None:
        """A joined table of before: with another number in a row, or without the row."""
        if (row := self._row()) is None:
            return None
        path = self.out / "scaled_metadata.csv"
        made = pl.read_csv(path, infer_schema=False)
        mine = pl.col("source_path").eq(pl.lit(str(row["video_path"])))
        if self.chance.random() < 0.5:
            made = made.filter(~mine)
        else:
            made = made.with_columns(
                pl.when(mine).then(pl.lit("99")).otherwise("padding_top").alias("padding_top")
            )
        made.write_csv(path)
        return f"{row['scene']}_scaled_original.mp4"


FAULTS: tuple[Callable[[Victim], str | None], ...] = (
    Victim.bits_of_video,
    Victim.bits_of_depth,
    Victim.bits_of_record,
    Victim.truncation,
    Victim.removal,
    Victim.swap,
    Victim.label,
    Victim.row_gone,
    Victim.source,
    Victim.stale_table,
)


def spoil_and_mend(place: Path, faults: int, seed: int) -> int:
    """Do ``faults`` to finished folders, a handful to each, and return how many were done."""
    chance = random.Random(seed)
    start = place / "start"
    start.mkdir()
    rows = sources(start, 12)
    scale(table(start / "videos.csv", rows), start / "out", BOTH)
    done = 0
    while done < faults:
        here = place / f"round{done}"
        shutil.copytree(start, here)
        victim = Victim(here, [dict(row) for row in rows], chance)
        expected = [name for fault in chance.sample(FAULTS, 5) if (name := fault(victim)) is not None]
        metadata = victim.write()
        said = named(metadata, victim.out)
        assert [name for name in expected if name not in said] == [], said
        scale(metadata, victim.out, BOTH)
        scale(metadata, here / "fresh", BOTH)
        assert content(victim.out) == content(here / "fresh")
        assert named(metadata, victim.out) == ""
        shutil.rmtree(here)
        done += len(expected)
    return done


def test_twenty_faults_are_named_and_mended(tmp_path: Path) -> None:
    assert spoil_and_mend(tmp_path, 20, seed=1) >= 20


@slow
def test_two_hundred_faults_are_named_and_mended(tmp_path: Path) -> None:
    assert spoil_and_mend(tmp_path, 200, seed=2) >= 200


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, Path, list[dict[str, object]]]:
    rows = sources(tmp_path, 3)
    metadata = table(tmp_path / "videos.csv", rows)
    scale(metadata, tmp_path / "out", BOTH)
    return metadata, tmp_path / "out", rows


def test_every_single_bit_of_depth_and_picture_counts(
    finished: tuple[Path, Path, list[dict[str, object]]],
) -> None:
    metadata, out, _ = finished
    chance = random.Random(0)
    for name in ("video01_scaled_original.mp4", "video01_scaled_original_depth.mkv"):
        whole = (out / name).read_bytes()
        for _ in range(10):
            data = bytearray(whole)
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            (out / name).write_bytes(data)
            assert name in named(metadata, out)
        (out / name).write_bytes(whole)
    assert named(metadata, out) == ""


def test_without_decoding_checksums_are_compared_still(
    finished: tuple[Path, Path, list[dict[str, object]]],
) -> None:
    metadata, out, _ = finished
    one, two = out / "video00_scaled_original.mp4", out / "video01_scaled_original.mp4"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second), two.write_bytes(first)
    found = verify(metadata, out, decode=False).findings
    assert [(each.kind, each.name) for each in found] == [
        ("file not as promised", path.name) for path in (one, two)
    ]


def test_depth_as_images_is_held_against_its_checksum_too(tmp_path: Path) -> None:
    settings = ScaleSettings(size=32, modality="depth", depth_format="png")
    metadata, out = table(tmp_path / "videos.csv", sources(tmp_path, 2)), tmp_path / "out"
    scale(metadata, out, settings)
    before = content(out)
    image = out / "video01_scaled_original_depth" / "depth_000002.png"
    # Another image of the same size and kind: it decodes, and is in its place.
    image.write_bytes((image.with_name("depth_000001.png")).read_bytes())
    assert named(metadata, out).startswith("file not as promised: video01_scaled_original_depth")
    assert scale(metadata, out, settings).scaled == 1
    assert content(out) == before


def test_removed_rows_are_kept_and_marked_on_request(finished: tuple[Path, Path, list[dict[str, object]]]) -> None:
    metadata, out, rows = finished
    table(metadata, rows[1:])
    result = scale(metadata, out, BOTH, keep_removed=True)
    assert (result.removed, result.kept) == (1, 2)
    assert [(row["removed"], row["metadata_row"]) for row in scaled(out)] == [
        ("true", ""),
        ("false", "0"),
        ("false", "1"),
    ]
    assert (out / "video00_scaled_original.mp4").is_file()
    assert named(metadata, out) == ""
    assert scale(metadata, out, BOTH, keep_removed=True).removed == 0
    # Back in the metadata it is a row like any other, and not scaled again.
    table(metadata, rows)
    assert scale(metadata, out, BOTH).scaled == 0
    assert {row["removed"] for row in scaled(out)} == {"false"}


def test_nothing_is_removed_where_the_run_is_refused(finished: tuple[Path, Path, list[dict[str, object]]]) -> None:
    metadata, out, rows = finished
    table(metadata, rows[1:])
    with pytest.raises(UsageError, match="size 32 became 64"):
        scale(metadata, out, ScaleSettings(size=64, modality="both"))
    assert (out / "video00_scaled_original.mp4").is_file()


def test_another_tables_folder_is_refused(
    finished: tuple[Path, Path, list[dict[str, object]]], tmp_path: Path
) -> None:
    _, out, _ = finished
    before = content(out)
    other = table(tmp_path / "others.csv", sources(tmp_path, 2, first=20))
    with pytest.raises(UsageError, match="none of its 3"):
        scale(other, out, BOTH)
    assert {name: data for name, data in content(out).items() if "scaled_state" not in name} == {
        name: data for name, data in before.items() if "scaled_state" not in name
    }


def test_names_that_change_with_other_rows_are_followed(tmp_path: Path) -> None:
    """A second ``0001.mp4`` beside the first: both are then named by more of their paths."""
    for kind in ("real", "fake"):
        (tmp_path / kind).mkdir()
        clips.make_clip(tmp_path / kind / "0001.mp4", range(4))
    rows: list[dict[str, object]] = [
        {"video_path": f"{kind}/0001.mp4", "label": kind} for kind in ("real", "fake")
    ]
    metadata, out = table(tmp_path / "videos.csv", rows[:1]), tmp_path / "out"
    scale(metadata, out, ScaleSettings(size=32))
    table(metadata, rows)
    scale(metadata, out, ScaleSettings(size=32))
    scale(metadata, tmp_path / "fresh", ScaleSettings(size=32))
    assert content(out) == content(tmp_path / "fresh")


def test_originals_may_be_put_away(finished: tuple[Path, Path, list[dict[str, object]]], tmp_path: Path) -> None:
    metadata, out, rows = finished
    (tmp_path / str(rows[0]["video_path"])).unlink()
    assert scale(metadata, out, BOTH).kept == 3
    verified = verify(metadata, out)
    assert (verified.findings, verified.unseen) == ((), 1)


def test_a_moved_source_is_not_scaled_again(
    finished: tuple[Path, Path, list[dict[str, object]]], tmp_path: Path
) -> None:
    metadata, out, rows = finished
    (tmp_path / "moved").mkdir()
    (tmp_path / "video00.mp4").rename(tmp_path / "moved" / "video00.mp4")
    table(metadata, [{**rows[0], "video_path": "moved/video00.mp4"}, *rows[1:]])
    assert scale(metadata, out, BOTH).scaled == 0
    assert scaled(out)[0]["source_path"] == "moved/video00.mp4"
    assert named(metadata, out) == ""


def test_what_a_row_does_not_make_any_more_goes(
    finished: tuple[Path, Path, list[dict[str, object]]], tmp_path: Path
) -> None:
    metadata, out, rows = finished
    times = [0, 40, 80, 300, 340]
    numbers = range(FRAMES)
    clips.make_clip(tmp_path / "video00.mp4", numbers, pts=times, time_base=clips.Fraction(1, 1000))
    scale(metadata, out, ScaleSettings(size=32), delete_existing=True)
    assert (out / "video00_scaled_original_times.json").is_file()
    clips.make_clip(tmp_path / "video00.mp4", numbers)
    scale(metadata, out, ScaleSettings(size=32))
    assert not (out / "video00_scaled_original_times.json").exists()
    assert rows and named(metadata, out) == ""


def test_a_damaged_record_is_not_believed(finished: tuple[Path, Path, list[dict[str, object]]]) -> None:
    metadata, out, _ = finished
    (part,) = (out / "scaled_state").glob("part_*.jsonl")
    part.write_text(part.read_text().replace('"label": "fake"', '"label": "real"'))
    assert "part_000000" in named(metadata, out)
    with pytest.raises(InputError, match="made again"):
        scale(metadata, out, BOTH)
    part.unlink()
    assert scale(metadata, out, BOTH).scaled == 3


def test_the_log_says_nothing_of_what_is_gone(finished: tuple[Path, Path, list[dict[str, object]]]) -> None:
    metadata, out, rows = finished
    table(metadata, rows[:2])
    assert scale(metadata, out, BOTH).removed == 1
    assert [source for source, _, _ in log_of(out)] == ["video00.mp4", "video01.mp4"]
