"""A data set brought to one size: what comes out of which row, and that nothing stops it."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import clips
import pytest
from click.testing import CliRunner
from data_sets import content, data_set, log_of, pictures, rows_of, scaled, table

from vda.cli import main
from vda.errors import UsageError
from vda.fvc.rate import Rate
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import ScaleResult, scale
from vda.fvc.selection import Selection, Shard
from vda.reporter import Silence

SMALL = ScaleSettings(size=64)


def test_every_row_becomes_a_video_with_its_row(tmp_path: Path) -> None:
    clips.make_clip(tmp_path / "wide.mp4", range(5), draw=lambda number: clips.picture(number, 160, 90))
    (tmp_path / "made").mkdir()
    clips.make_clip(tmp_path / "made" / "tall.mp4", range(7), draw=lambda number: clips.picture(number, 60, 120))
    metadata = table(
        tmp_path / "videos.csv",
        [
            {"video_path": "wide.mp4", "label": "real", "platform": "web"},
            {"video_path": "made/tall.mp4", "label": "fake", "original_video": "wide.mp4", "augmentation_idx": 3},
        ],
    )
    scale(metadata, tmp_path / "out", SMALL)
    original, augmented = scaled(tmp_path / "out")
    assert original["video_path"] == "wide_scaled_original.mp4"
    assert augmented["video_path"] == "wide_scaled_aug3.mp4"
    assert (original["original_width"], original["original_height"]) == ("160", "90")
    assert (original["padding_left"], original["padding_top"]) == ("0", "14")
    assert (augmented["padding_left"], augmented["padding_top"]) == ("16", "0")
    assert (original["is_original"], augmented["is_original"]) == ("true", "false")
    assert (original["label"], original["platform"], augmented["augmentation_idx"]) == ("real", "web", "3")
    for row, count in ((original, 5), (augmented, 7)):
        found = pictures(tmp_path / "out" / row["video_path"])
        assert found.shape == (count, 64, 64, 3)
        assert int(row["frames"]) == count


def test_a_resized_video_keeps_its_aspect_and_has_even_sides(tmp_path: Path) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(3), draw=lambda number: clips.picture(number, 160, 90))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=100, method="resize"))
    assert pictures(tmp_path / "out" / "a_scaled_original.mp4").shape == (3, 56, 100, 3)


def test_bad_videos_are_told_of_and_the_others_are_made(tmp_path: Path) -> None:
    metadata = data_set(tmp_path, 1)
    clips.cut(tmp_path / "video0.mp4", tmp_path / "cut.mp4", 0.3)
    (tmp_path / "empty.mp4").write_bytes(b"")
    clips.make_sound(tmp_path / "sound.mp4")
    times = [0, 25, 30, 60, 61, 100]
    clips.make_clip(tmp_path / "uneven.mkv", range(6), pts=times, time_base=Fraction(1, 1000), codec="mpeg4")
    clips.make_clip(tmp_path / "turned.mp4", range(4))
    clips.rotate(tmp_path / "turned.mp4", 90)
    clips.make_clip(tmp_path / "odd.mkv", range(4), draw=lambda n: clips.picture(n, 81, 49), codec="ffv1")
    names = ["video0", "cut", "empty", "absent", "sound", "uneven.mkv", "turned", "odd.mkv"]
    metadata = table(
        tmp_path / "videos.csv",
        ({"video_path": name if "." in name else f"{name}.mp4", "label": "real"} for name in names),
    )
    result = scale(metadata, tmp_path / "out", SMALL)
    assert result.rows == 8
    assert (result.scaled, len(result.failed)) == (4, 4)
    told = log_of(tmp_path / "out")
    reasons = {source: message for source, state, message in told if state == "failed"}
    assert reasons.keys() == {"cut.mp4", "empty.mp4", "absent.mp4", "sound.mp4"}
    assert all(reasons.values())
    assert reasons["empty.mp4"].endswith("is empty.")
    notes = {source: message for source, state, message in told if state == "note"}
    assert "varies" in notes["uneven.mkv"] and "turned" in notes["turned.mp4"] and "81x49" in notes["odd.mkv"]
    assert {source for source, _, _ in told} == {name if "." in name else f"{name}.mp4" for name in names}
    (turned,) = [row for row in scaled(tmp_path / "out") if row["source_path"] == "turned.mp4"]
    assert (turned["original_width"], turned["original_height"]) == ("48", "80")


def test_frames_without_times_are_taken_at_thirty_a_second(tmp_path: Path) -> None:
    still = clips.make_clip(tmp_path / "still.mp4", range(9), options={"bf": "0"})
    data = bytearray(still.read_bytes())
    # The table of durations: one entry, whose frames all last for 0 ticks.
    entry = data.index(b"stts") + 12
    data[entry + 4 : entry + 8] = bytes(4)
    still.write_bytes(data)
    metadata = table(tmp_path / "videos.csv", [{"video_path": "still.mp4", "label": "real"}])
    scale(metadata, tmp_path / "out", SMALL)
    (row,) = scaled(tmp_path / "out")
    assert (row["fps"], row["frames"]) == ("30.0", "9")
    assert any("30 a second" in message for _, _, message in log_of(tmp_path / "out"))
    with av.open(str(tmp_path / "out" / row["video_path"])) as container:
        assert container.streams.video[0].average_rate == 30


def test_what_is_there_and_whole_is_kept(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path), tmp_path / "out"
    assert scale(metadata, out, SMALL).scaled == 6
    first = content(out)
    (out / "video2_scaled_original.mp4").unlink()
    (out / "video4_scaled_original.mp4").write_bytes(b"torn")
    again = scale(metadata, out, SMALL)
    assert (again.scaled, again.kept) == (2, 4)
    assert content(out) == first
    assert scale(metadata, out, SMALL).scaled == 0
    assert scale(metadata, out, SMALL, delete_existing=True).scaled == 6
    assert content(out) == first


def test_a_row_that_changed_is_told_of_anew_and_a_video_that_changed_is_made_anew(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 3), tmp_path / "out"
    scale(metadata, out, SMALL)
    metadata.write_text(metadata.read_text().replace("video1.mp4,fake", "video1.mp4,real"))
    assert scale(metadata, out, SMALL).scaled == 0
    assert [row["label"] for row in scaled(out)] == ["real", "real", "real"]
    clips.make_clip(tmp_path / "other.mp4", range(3))
    names = ["video0.mp4", "video1.mp4", "other.mp4"]
    rows = [{"video_path": name, "label": "real", "video_id": f"video{n}"} for n, name in enumerate(names)]
    table(metadata, rows)
    assert scale(metadata, out, SMALL).scaled == 1
    assert [row["frames"] for row in scaled(out)] == ["8", "8", "3"]


def test_interrupted_the_tables_have_what_was_done(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 4), tmp_path / "out"

    class Interrupting(Silence):
        def at(self, done: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scale(metadata, out, SMALL, reporter=Interrupting())
    assert len(scaled(out)) == len(log_of(out)) == 3
    assert scale(metadata, out, SMALL).kept == 3


def test_other_settings_need_another_folder_or_a_new_start(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 2), tmp_path / "out"
    scale(metadata, out, SMALL)
    with pytest.raises(UsageError, match="size 64 became 32"):
        scale(metadata, out, ScaleSettings(size=32))
    scale(metadata, out, ScaleSettings(size=32), delete_existing=True)
    assert {row["width"] for row in scaled(out)} == {"32"}


def test_shards_give_what_one_run_gives(tmp_path: Path) -> None:
    metadata = data_set(tmp_path, 7)
    scale(metadata, tmp_path / "one", SMALL)
    for index in (2, 0, 1):
        scale(metadata, tmp_path / "three", SMALL, selection=Selection(shard=Shard(index, 3)))
    one, three = content(tmp_path / "one"), content(tmp_path / "three")
    logs = {name for name in three if name.startswith("scaled_logs/")}
    assert len(logs) == 3
    assert {name: data for name, data in three.items() if name not in logs} == one


def test_a_shard_without_rows_does_nothing(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 2), tmp_path / "out"
    results = [scale(metadata, out, SMALL, selection=Selection(shard=Shard(index, 3))) for index in range(3)]
    assert [result.rows for result in results] == [0, 1, 1]
    logs = {path.name: len(rows_of(path)) for path in (out / "scaled_logs").iterdir()}
    assert logs == {"scaled_log_000000_000000.csv": 1, "scaled_log_000001_000001.csv": 1}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("total", [0, 1, 7, 60, 3278])
def test_shards_tile_the_rows(total: int, count: int) -> None:
    rows = [row for index in range(count) for row in Selection(shard=Shard(index, count)).rows(total)]
    assert rows == list(range(total))


def test_ranges_and_order_choose_rows(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 5), tmp_path / "out"
    result = scale(metadata, out, SMALL, selection=Selection(1, 4, order="reverse"))
    assert result.rows == 3
    assert [row["metadata_row"] for row in scaled(out)] == ["1", "2", "3"]
    with pytest.raises(UsageError, match="none of the 5 rows"):
        scale(metadata, out, SMALL, selection=Selection(7, 9))


def test_slurm_says_which_shard_a_task_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = data_set(tmp_path, 4)
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    arguments = ["fvc", "scale", str(metadata), "--output-dir", str(tmp_path / "out"), "--size", "64"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "Shard 1 of 2" in result.output
    assert [row["metadata_row"] for row in scaled(tmp_path / "out")] == ["2", "3"]


def test_the_command_exits_with_1_where_a_video_failed(tmp_path: Path) -> None:
    metadata = data_set(tmp_path, 2)
    (tmp_path / "video1.mp4").write_bytes(b"no video")
    arguments = ["fvc", "scale", str(metadata), "--output-dir", str(tmp_path / "out"), "--size", "64", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert '"scaled": 1' in result.output
    assert "1 of 2 videos could not be scaled" in result.output


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--make-depth"], "of no use without depth"),
        (["--method", "autoencoder"], "go together"),
        (["--fps", "10", "--stride", "2"], "not by both"),
        (["--shard", "3/3"], "no shard 3 of 3"),
        (["--shard", "0/3", "--end-idx", "2"], "as a range or as a shard"),
        (["--size", "255"], "even"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: list[str], problem: str) -> None:
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    arguments = ["fvc", "scale", str(metadata), "--output-dir", str(tmp_path / "out"), *options]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, problem in result.output) == (2, True), result.output
    assert not (tmp_path / "out").exists()


def test_paths_are_looked_for_beside_the_metadata_under_the_root_and_with_other_endings(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    clips.make_clip(here / "a.mp4", range(3))
    clips.make_clip(there / "b.mp4", range(4))
    clips.make_clip(there / "c.mkv", range(5))
    paths = [str(here / "a.mp4"), "b.mp4", "c.mp4"]
    metadata = table(here / "videos.csv", ({"video_path": path, "label": "real"} for path in paths))
    scale(metadata, tmp_path / "out", SMALL, root=there)
    assert [row["frames"] for row in scaled(tmp_path / "out")] == ["3", "4", "5"]


def test_no_row_is_lost_and_no_byte_differs_when_killed_and_divided(tmp_path: Path) -> None:
    metadata, out = data_set(tmp_path, 8, frames=12), tmp_path / "out"
    (tmp_path / "video5.mp4").write_bytes(b"no video")
    driver = Path(__file__).with_name("fvc_kills.py")
    ran = subprocess.run(
        [sys.executable, driver, metadata, out, "5", "0"], capture_output=True, text=True, check=True
    )
    hit, *codes = map(int, ran.stdout.split())
    assert hit > 0, "no process was killed"
    assert codes == [0, 0], ran.stderr
    assert content(out) == content(tmp_path / "out_whole")
    assert len(scaled(out)) == 7


def shown_numbers(path: Path) -> list[int]:
    return [clips.number_in(picture[13:51]) for picture in pictures(path)]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Rate(), list(range(12))),
        (Rate(most=5), [0, 1, 2, 3, 4]),
        (Rate(stride=3), [0, 3, 6, 9]),
        (Rate(fps=12.5), [0, 2, 4, 6, 8, 10]),
        (Rate(fps=50), [number for number in range(12) for _ in (0, 1)]),
        (Rate(fps=12.5, most=2), [0, 2]),
    ],
)
def test_frames_are_chosen_by_time(tmp_path: Path, rate: Rate, expected: list[int]) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(12), draw=lambda number: clips.picture(number, 320, 192))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=64, rate=rate))
    assert shown_numbers(tmp_path / "out" / "a_scaled_original.mp4") == expected


def test_a_rate_is_kept_where_the_videos_own_varies(tmp_path: Path) -> None:
    # Ten frames in the first half second, then two in the second one.
    times = [*range(0, 500, 50), 500, 750]
    clips.make_clip(
        tmp_path / "a.mkv",
        range(12),
        draw=lambda number: clips.picture(number, 320, 192),
        pts=times,
        time_base=Fraction(1, 1000),
        codec="mpeg4",
    )
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mkv", "label": "real"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=64, rate=Rate(fps=4)))
    assert shown_numbers(tmp_path / "out" / "a_scaled_original.mp4") == [0, 5, 10, 11]


def test_a_result_says_what_it_is() -> None:
    result = ScaleResult(Path("out"), rows=3, scaled=1, kept=1, failed={"a": "broken"})
    assert result.to_json()["metadata"] == "out/scaled_metadata.csv"
