"""When the frames of a scaled video are shown, where reading can start in it, and what it is called."""

import json
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from click.testing import CliRunner
from data_sets import pictures, scaled, table

from vda.cli import main
from vda.fvc.rate import Rate
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale

# Ten frames in the first half second, then two in the second one: milliseconds.
UNEVEN = [*range(0, 500, 50), 500, 750]


def uneven(folder: Path, times: list[int]) -> Path:
    clips.make_clip(
        folder / "a.mkv",
        range(len(times)),
        draw=lambda number: clips.picture(number, 320, 192),
        pts=times,
        time_base=Fraction(1, 1000),
        codec="mpeg4",
    )
    return table(folder / "videos.csv", [{"video_path": "a.mkv", "label": "real"}])


def stored_times(path: Path) -> list[float]:
    """As PyAV reads them from the file."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return [time for time in times if time is not None]


def test_the_rate_of_uneven_frames_is_their_mean_and_their_times_lie_beside_them(tmp_path: Path) -> None:
    scale(uneven(tmp_path, UNEVEN), tmp_path / "out", ScaleSettings(size=64))
    (row,) = scaled(tmp_path / "out")
    # 11 steps in 0.75 s; the last of 12 frames is taken to last as the others do on average.
    assert float(row["fps"]) == pytest.approx(11 / 0.75, abs=1e-6)
    assert float(row["duration_seconds"]) == pytest.approx(12 * 0.75 / 11, abs=1e-6)
    assert row["is_vfr"] == "true"
    beside = json.loads((tmp_path / "out" / row["times_path"]).read_text())
    assert beside["times_seconds"] == pytest.approx([time / 1000 for time in UNEVEN])
    assert beside["original_frames"] == list(range(12))
    assert stored_times(tmp_path / "out" / row["video_path"]) == pytest.approx(beside["times_seconds"])


def test_the_rate_with_a_gap_is_the_mean_too(tmp_path: Path) -> None:
    """Nineteen of twenty steps are equal: players call that 25 a second, and over the whole it is fewer."""
    scale(uneven(tmp_path, [*range(0, 760, 40), 2000]), tmp_path / "out", ScaleSettings(size=64))
    (row,) = scaled(tmp_path / "out")
    assert float(row["fps"]) == pytest.approx(19 / 2.0, abs=1e-6)


def test_a_clock_that_jumps_back_goes_on_evenly(tmp_path: Path) -> None:
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.ts", "label": "real"}])
    clips.make_clip(tmp_path / "first.ts", range(5), options={"bf": "0"})
    clips.make_clip(tmp_path / "second.ts", range(5, 10), options={"bf": "0"})
    parts = [(tmp_path / name).read_bytes() for name in ("first.ts", "second.ts")]
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    scale(metadata, tmp_path / "out", ScaleSettings(size=64))
    (row,) = scaled(tmp_path / "out")
    assert (float(row["fps"]), row["times_path"]) == (25, "")
    assert stored_times(tmp_path / "out" / row["video_path"]) == pytest.approx(np.arange(10) / 25, abs=1e-4)


def test_even_frames_need_no_times_beside_them(tmp_path: Path) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(10), fps=Fraction(30000, 1001))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=64))
    (row,) = scaled(tmp_path / "out")
    assert (row["fps"], row["is_vfr"], row["times_path"]) == ("29.97003", "false", "")
    assert float(row["duration_seconds"]) == pytest.approx(10 * 1001 / 30000, abs=1e-6)


def test_a_varying_rate_is_made_constant_on_request(tmp_path: Path) -> None:
    scale(uneven(tmp_path, UNEVEN), tmp_path / "out", ScaleSettings(size=64, rate=Rate(cfr=True)))
    (row,) = scaled(tmp_path / "out")
    assert (row["is_vfr"], row["times_path"]) == ("false", "")
    shown = stored_times(tmp_path / "out" / row["video_path"])
    assert np.diff(shown) == pytest.approx(np.full(len(shown) - 1, 1 / float(row["fps"])), abs=1e-3)
    numbers = [clips.number_in(picture[13:51]) for picture in pictures(tmp_path / "out" / row["video_path"])]
    for time, number in zip(shown, numbers, strict=True):
        nearest = min(abs(time - at / 1000) for at in UNEVEN)
        assert abs(time - UNEVEN[number] / 1000) == pytest.approx(nearest, abs=2e-3)


@pytest.mark.parametrize("gop", [1, 5, 12])
def test_reading_can_start_at_every_so_many_frames(tmp_path: Path, gop: int) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(40))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    scale(metadata, tmp_path / "out", ScaleSettings(size=64, gop=gop))
    with av.open(str(tmp_path / "out" / "a_scaled_original.mp4")) as container:
        keys = [place for place, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys[0] == 0
    assert max(np.diff([*keys, 40])) <= gop


def test_quality_is_traded_for_size(tmp_path: Path) -> None:
    clips.make_clip(tmp_path / "a.mp4", range(20))
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    sizes = []
    for crf in (5, 20, 35):
        scale(metadata, tmp_path / f"out{crf}", ScaleSettings(size=64, crf=crf))
        sizes.append((tmp_path / f"out{crf}" / "a_scaled_original.mp4").stat().st_size)
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 2 * sizes[2]


def test_names_too_long_for_a_disk_are_cut_and_stay_apart(tmp_path: Path) -> None:
    """Of 198 bytes, as video platforms give them, and as long as a disk can hold; some end in the same way."""
    names = ["x" * 194 + ".mp4", "y" * 250 + ".mp4", "y" * 249 + "z.mp4", "ä" * 120 + ".mp4", "short.mp4"]
    for name in names:
        clips.make_clip(tmp_path / name, range(3))
    metadata = table(tmp_path / "videos.csv", ({"video_path": name, "label": "real"} for name in names))
    result = scale(metadata, tmp_path / "out", ScaleSettings(size=64))
    assert (result.scaled, result.failed) == (5, {})
    made = [row["video_path"] for row in scaled(tmp_path / "out")]
    assert len(set(made)) == 5 and all((tmp_path / "out" / name).is_file() for name in made)
    assert made[4] == "short_scaled_original.mp4"
    assert all(name.startswith(source[:60]) for name, source in zip(made, names[:4], strict=False))
    assert max(len(name.encode()) for name in made) <= 255
    assert next(row["video_id"] for row in scaled(tmp_path / "out")) == "x" * 194
    assert scale(metadata, tmp_path / "out", ScaleSettings(size=64)).kept == 5


@pytest.mark.parametrize("fps", ["nan", "inf", "1e9", "1e-9"])
@pytest.mark.parametrize("command", ["scale", "embed"])
def test_rates_that_no_video_has_are_refused_before_anything_is_made(
    tmp_path: Path, command: str, fps: str
) -> None:
    out = tmp_path / "out"
    named = ["--model", str(tmp_path)] if command == "embed" else []
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    result = CliRunner().invoke(
        main, ["fvc", command, str(metadata), "--output-dir", str(out), "--fps", fps, *named]
    )
    assert result.exit_code == 2
    assert "0.001 to 1000" in result.output
    assert not out.exists()
