"""What ``vda fvc verify`` finds: every kind of damage to a whole set, by name, and nothing in the whole one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from clips import make_clip, picture

from vda.cli import main
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.errors import InputError, UsageError
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.verify import verify

SIDE, FRAMES = 32, 5
COLUMNS = ["video_path", "label", "original_video", "augmentation_idx", "is_original"]


def asked_for(originals: int, augmentations: int) -> pl.DataFrame:
    rows: list[tuple] = []
    for number in range(originals):
        name, label = f"films/{number:03d}.mp4", "fake" if number % 2 else "real"
        rows.append((name, label, name, None, True))
        rows += [(f"copies/{number:03d}_{copy}.mp4", label, name, copy, False) for copy in range(augmentations)]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row", infer_schema_length=None)


def depth_record(width: int = SIDE, frames: int = FRAMES) -> DepthRecord:
    return DepthRecord(Quantizer.for_range(0, 1), frames, width, SIDE, "model", formats=["png"])


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, Path]:
    """Metadata of 2 originals with 2 augmentations each, and a folder that holds them scaled, one with depth."""
    metadata, folder = tmp_path / "videos.csv", tmp_path / "scaled"
    folder.mkdir()
    asked = asked_for(2, 2)
    asked.write_csv(metadata)
    outputs = [f"{number:03d}_scaled_{part}.mp4" for number in range(2) for part in ("original", "aug0", "aug1")]
    made = asked.with_columns(
        pl.Series("video_path", outputs), width=pl.lit(SIDE), height=pl.lit(SIDE), frames=FRAMES
    )
    made = made.with_columns(video_id=pl.col("original_video").str.extract(r"(\d+)"))
    images, film = "000_scaled_original_depth", "000_scaled_aug0_depth.mkv"
    depth = [images, film, *[None] * 4]
    made = made.with_columns(
        depth_path=pl.Series(depth), tracks_path=pl.Series(["000_tracks.json", *[None] * 5], dtype=pl.String)
    )
    made.write_csv(folder / "scaled_metadata.csv")
    first = make_clip(folder / outputs[0], range(FRAMES), draw=lambda number: picture(number, SIDE, SIDE))
    for output in outputs[1:]:
        (folder / output).write_bytes(first.read_bytes())
    make_clip(
        folder / film,
        range(FRAMES),
        draw=lambda number: picture(number, SIDE, SIDE),
        codec="ffv1",
        pix_fmt="gray16le",
    )
    depth_record().write(folder / "000_scaled_aug0_depth.json")
    (folder / images).mkdir()
    for place in range(FRAMES):
        write_png16(folder / images / f"depth_{place:06d}.png", np.ones((SIDE, SIDE), np.uint16))
    depth_record().write(folder / images / "depth.json")
    (folder / "000_tracks.json").write_text("{}")
    return metadata, folder


def found(metadata: Path | None, folder: Path | None, augmentations: int | None = 2) -> list[tuple[str, str]]:
    return [(each.kind, each.name) for each in verify(metadata, folder, augmentations=augmentations).findings]


def test_the_whole_set_has_no_findings(whole: tuple[Path, Path]) -> None:
    metadata, folder = whole
    assert found(metadata, folder) == []
    assert found(folder / "scaled_metadata.csv", None) == []
    assert found(metadata, None) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def zeroed(path: Path) -> None:
    """A hole in the first picture's data: the decoder paints it over, and every frame is still there."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 700
    data[start : start + 12] = bytes(12)
    path.write_bytes(bytes(data))


def shorter(path: Path) -> None:
    make_clip(path, range(FRAMES - 1), draw=lambda number: picture(number, SIDE, SIDE))


def smaller(path: Path) -> None:
    make_clip(path, range(FRAMES), draw=lambda number: picture(number, SIDE, SIDE - 2))


VIDEO, IMAGES, DEPTH = "000_scaled_aug0", "000_scaled_original_depth", "000_scaled_aug0_depth"
NO_FILE, BROKEN, NO_ROW = "row without file", "file not as promised", "file without row"
DAMAGE: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "cut": (f"{VIDEO}.mp4", cut, BROKEN, f"{VIDEO}.mp4"),
    "zeroed": (f"{VIDEO}.mp4", zeroed, BROKEN, f"{VIDEO}.mp4"),
    "shorter": (f"{VIDEO}.mp4", shorter, BROKEN, f"{VIDEO}.mp4"),
    "smaller": (f"{VIDEO}.mp4", smaller, BROKEN, f"{VIDEO}.mp4"),
    "no video": (f"{VIDEO}.mp4", lambda path: path.write_text("no"), BROKEN, f"{VIDEO}.mp4"),
    "gone": (f"{VIDEO}.mp4", Path.unlink, NO_FILE, f"{VIDEO}.mp4"),
    "left over": ("009_scaled_aug1.mp4", Path.touch, NO_ROW, "009_scaled_aug1.mp4"),
    "left tracks": ("009_tracks.json", Path.touch, NO_ROW, "009_tracks.json"),
    "tracks cut": ("000_tracks.json", lambda path: path.write_text("{"), BROKEN, "000_tracks.json"),
    "image gone": (f"{IMAGES}/depth_000003.png", Path.unlink, BROKEN, IMAGES),
    "image cut": (f"{IMAGES}/depth_000003.png", cut, BROKEN, IMAGES),
    "depth cut": (f"{DEPTH}.mkv", cut, BROKEN, f"{DEPTH}.mkv"),
    "record gone": (f"{DEPTH}.json", Path.unlink, NO_FILE, f"{DEPTH}.json"),
    "record of other frames": (f"{DEPTH}.json", depth_record(frames=9).write, BROKEN, f"{DEPTH}.mkv"),
    "record of another size": (f"{DEPTH}.json", depth_record(width=9).write, BROKEN, f"{DEPTH}.mkv"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_found_and_named(whole: tuple[Path, Path], damage: str) -> None:
    name, harm, kind, expected = DAMAGE[damage]
    harm(whole[1] / name)
    assert found(*whole) == [(kind, expected)]


def test_what_scale_makes_is_whole(tmp_path: Path) -> None:
    metadata, folder = tmp_path / "videos.csv", tmp_path / "scaled"
    for name in ("a", "b"):
        make_clip(tmp_path / f"{name}.mp4", range(FRAMES))
    metadata.write_text("video_path,label,original_video,augmentation_idx\na.mp4,fake,,\nb.mp4,fake,a,3\n")
    scale(metadata, folder, ScaleSettings(size=32))
    assert found(metadata, folder, 1) == []
    (folder / "a_scaled_aug3.mp4").write_bytes((folder / "a_scaled_aug3.mp4").read_bytes()[:500])
    assert found(metadata, folder, 1) == [(BROKEN, "a_scaled_aug3.mp4")]


def test_without_decoding_only_absence_is_found(whole: tuple[Path, Path]) -> None:
    metadata, folder = whole
    cut(folder / "000_scaled_aug0.mp4")
    (folder / "001_scaled_aug1.mp4").unlink()
    findings = verify(metadata, folder, augmentations=2, decode=False).findings
    assert [each.name for each in findings] == ["001_scaled_aug1.mp4"]


def test_half_written_files_are_nobodys(whole: tuple[Path, Path]) -> None:
    (whole[1] / ".tmp-0-000_scaled_aug5.mp4").touch()
    assert found(*whole) == []


def without(path: Path, *outputs: str) -> None:
    table = pl.read_csv(path, infer_schema=False)
    table.filter(~pl.col("video_path").is_in(outputs)).write_csv(path)


def test_what_was_not_made_is_missing_with_its_reason(whole: tuple[Path, Path]) -> None:
    metadata, folder = whole
    without(folder / "scaled_metadata.csv", "001_scaled_original.mp4", "001_scaled_aug0.mp4")
    log = "metadata_row,source_path,video_path,state,message\n3,x,001_scaled_original.mp4,failed,Not one frame.\n"
    (folder / "scaled_log.csv").write_text(log)
    missing = [each for each in verify(metadata, folder).findings if each.kind == "video missing"]
    assert [(each.name, each.detail) for each in missing] == [
        ("001_scaled_original.mp4", "row 3, films/001.mp4: Not one frame."),
        ("001_scaled_aug0.mp4", "row 4, copies/001_0.mp4"),
    ]
    assert ("original absent", "001") in found(metadata, folder)
    assert ("augmentations incomplete", "001") in found(metadata, folder)


def test_all_is_missing_where_nothing_was_made(whole: tuple[Path, Path]) -> None:
    metadata, folder = whole
    header = (folder / "scaled_metadata.csv").read_text().split("\n")[0]
    (folder / "scaled_metadata.csv").write_text(header + "\n")
    assert verify(metadata, folder).counts()["video missing"] == 6


def test_298_originals_of_which_34_rows_are_lost(tmp_path: Path) -> None:
    table = asked_for(298, 10)
    bare, orphans = [7, 100, 297], [0, 33, 150, 296]
    lost = pl.col("original_video").is_in([f"films/{number:03d}.mp4" for number in bare]) & ~pl.col("is_original")
    lost |= pl.col("video_path").is_in([f"films/{number:03d}.mp4" for number in orphans])
    table = table.filter(~lost)
    assert len(table) == 3244
    table.write_parquet(tmp_path / "metadata.parquet")
    result = CliRunner().invoke(
        main, ["fvc", "verify", str(tmp_path / "metadata.parquet"), "--augmentations", "10"]
    )
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert [line for line in lines if "incomplete:" in line] == [
        f"augmentations incomplete: {number:03d} (0 of 10)" for number in bare
    ]
    assert [line for line in lines if "absent:" in line] == [
        f"original absent: {number:03d} (10 augmentations have no original)" for number in orphans
    ]
    assert verify(tmp_path / "metadata.parquet", augmentations=10).originals == 298


def test_the_numbers_that_are_lacking_are_named(tmp_path: Path) -> None:
    table = asked_for(3, 4).filter(~pl.col("video_path").is_in(["copies/001_0.mp4", "copies/001_2.mp4"]))
    table.write_csv(tmp_path / "metadata.csv")
    (finding,) = verify(tmp_path / "metadata.csv", augmentations=4).findings
    assert (finding.name, finding.detail) == ("001", "2 of 4, without 0, 2")


def test_too_many_augmentations_are_found_too(tmp_path: Path) -> None:
    asked_for(1, 4).write_csv(tmp_path / "metadata.csv")
    (finding,) = verify(tmp_path / "metadata.csv", augmentations=3).findings
    assert finding.detail == "4 of 3"


def test_the_command_exits_0_for_the_whole_set_and_1_for_another(whole: tuple[Path, Path]) -> None:
    metadata, folder = whole
    command = ["fvc", "verify", str(metadata), "--output-dir", str(folder), "--augmentations", "2", "--json", "-q"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["whole"] is True
    shorter(folder / "000_scaled_aug0.mp4")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert finding == {
        "kind": "file not as promised",
        "name": "000_scaled_aug0.mp4",
        "detail": f"has {FRAMES - 1} frames, not {FRAMES}",
    }


def test_long_lists_are_cut_and_that_is_said(tmp_path: Path) -> None:
    asked_for(30, 0).write_csv(tmp_path / "metadata.csv")
    command = ["fvc", "verify", str(tmp_path / "metadata.csv"), "--augmentations", "1", "--show", "3"]
    lines = CliRunner().invoke(main, command).output.splitlines()
    assert sum("0 of 1" in line for line in lines) == 3
    assert "augmentations incomplete: 27 more (--show 30, or --json)" in lines


def test_nothing_to_verify_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        verify(None)
    with pytest.raises(InputError, match="scaled_metadata"):
        verify(None, tmp_path)


def test_a_figure_that_is_no_number_is_refused(whole: tuple[Path, Path]) -> None:
    _, folder = whole
    table = pl.read_csv(folder / "scaled_metadata.csv", infer_schema=False)
    for stated in ("many", "²", "-1", "9" * 5000):
        table.with_columns(frames=pl.lit(stated)).write_csv(folder / "scaled_metadata.csv")
        with pytest.raises(InputError, match="frames"):
            verify(None, folder)
