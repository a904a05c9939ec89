"""Times: odd clocks made to rise, B-frames where the container knows none, and clocks that begin anywhere."""

from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest

from vda.video import FrameIndex, VideoInfo, index_frames, probe, read_frames
from vda.video.rates import rising_times

# Two seconds of a rate that varies, in milliseconds.
UNEVEN = np.cumsum(np.random.default_rng(3).integers(20, 60, 50)).tolist()


def indexed(path: Path, trust_container: bool = False) -> tuple[VideoInfo, FrameIndex]:
    info = probe(path)
    return info, index_frames(info, cache_dir=path.parent / "cache", trust_container=trust_container)


def numbers(info: VideoInfo, index: FrameIndex, start: int = 0, stop: int | None = None) -> list[int]:
    frames = list(read_frames(info, index, start, len(index) if stop is None else stop))
    assert all(frame.decoded for frame in frames)
    return [clips.number_in(frame.rgb) for frame in frames]


@pytest.mark.parametrize(
    ("stored", "shown", "set_back"),
    [
        ([0, 40, 80], [0, 40, 80], ()),
        ([-80, -40, 0], [-80, -40, 0], ()),
        ([0, 35, 90, 90, 170, 200], [0, 35, 90, 91, 170, 200], ()),  # one doubled time
        ([0, 40, 80, 70, 160, 200], [0, 40, 80, 81, 160, 200], ()),  # one that steps back
        ([0, 40, 80, 80], [0, 40, 80, 81], ()),  # the last one doubled
        ([0, 40, 90000, 120, 160, 200], [0, 40, 41, 120, 160, 200], ()),  # one far ahead
        ([0, 40, 9000, 9040, 9080], [0, 40, 9000, 9040, 9080], ()),  # a gap is a gap
        ([0, 40, 80, 0, 40, 80, 120], [0, 40, 80, 120, 160, 200, 240], (3,)),  # a second recording
        ([500, 540, 580, 0, 40], [500, 540, 580, 620, 660], (3,)),  # a short one
        ([0] * 8 + [40, 80], [0, 1, 2, 3, 4, 5, 6, 7, 40, 80], None),  # a clock that stands still
    ],
)
def test_times_are_made_to_rise(stored: list[int], shown: list[int], set_back: tuple[int, ...] | None) -> None:
    rising, places = rising_times(np.array(stored))
    assert (np.diff(rising) > 0).all()
    if set_back is not None:
        assert (rising.tolist(), places) == (shown, set_back)
    elif places:
        assert np.diff(rising).max() <= 40


@pytest.mark.parametrize("wrong", [17, 48, 49])
def test_one_doubled_time_costs_one_tick(tmp_path: Path, wrong: int) -> None:
    """Frames behind it keep theirs: with a frame's length for it, all that follows would be shown too late."""
    pts = [*UNEVEN[:wrong], UNEVEN[wrong - 1], *UNEVEN[wrong + 1 :]]
    path = clips.make_clip(tmp_path / "a.mkv", range(50), codec="ffv1", pts=pts, time_base=Fraction(1, 1000))
    info, index = indexed(path)
    right = np.array(UNEVEN) / 1000
    assert np.delete(index.times_s, wrong) == pytest.approx(np.delete(right, wrong))
    assert index.times_s[wrong] - right[wrong - 1] == pytest.approx(float(info.time_base))
    assert "do not rise" in " ".join(index.notes)
    assert numbers(info, index) == list(range(50))
    assert numbers(info, index, wrong - 3, wrong + 1) == list(range(wrong - 3, wrong + 1))


def test_a_clock_that_jumps_back_is_said(tmp_path: Path) -> None:
    parts = [clips.make_clip(tmp_path / f"{first}.ts", range(first, first + 30)) for first in (0, 30)]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    _, index = indexed(path)
    assert index.times_s - index.times_s[0] == pytest.approx(np.arange(60) / 25)
    assert index.duration_s == pytest.approx(60 / 25)
    assert any("jumps back" in note and "30" in note for note in index.notes)


B_FRAMES = {
    "mpeg4.avi": lambda path: clips.make_clip(path, range(50), codec="mpeg4", options={"bf": "2", "g": "20"}),
    "packed.avi": lambda path: clips.make_packed(path, 50, b_frames=1),
    "packed2.avi": lambda path: clips.make_packed(path, 50, b_frames=2),
    "h264.avi": lambda path: clips.make_clip(path, range(50), options={"bf": "2", "g": "20"}),
    "none.avi": lambda path: clips.make_clip(path, range(50), options={"bf": "0", "g": "20"}),
}


@pytest.mark.parametrize("trust_container", [False, True], ids=["counted", "trusted"])
@pytest.mark.parametrize("name", list(B_FRAMES))
def test_frames_between_others_are_timed_in_avi(tmp_path: Path, name: str, trust_container: bool) -> None:
    """AVI stores a place per packet and nothing else: fifty frames at 25 a second are two seconds."""
    info, index = indexed(B_FRAMES[name](tmp_path / name), trust_container)
    assert np.diff(index.times_s) == pytest.approx(0.04)
    assert (index.frame_rate(info.fps), index.duration_s) == (25, pytest.approx(2))
    assert numbers(info, index) == list(range(50))
    for start in (1, 19, 21, 33, 47):
        assert numbers(info, index, start, start + 3) == list(range(start, start + 3))
    assert not [note for note in index.notes if "sample table" not in note]


@pytest.mark.parametrize("first_s", [36000, 95443.7177 - 0.5])
@pytest.mark.parametrize("trust_container", [False, True], ids=["counted", "trusted"])
def test_a_clock_may_begin_anywhere_and_wrap(tmp_path: Path, first_s: float, trust_container: bool) -> None:
    """MPEG-TS counts 90,000 to the second in 33 bits, so that its clock begins again after 26.5 hours."""
    first = round(first_s * 90000)
    path = clips.make_clip(
        tmp_path / "a.ts",
        range(60),
        options={"g": "12", "bf": "2"},
        pts=[first + 3600 * number for number in range(60)],
        time_base=Fraction(1, 90000),
    )
    info, index = indexed(path, trust_container)
    assert np.diff(index.times_s) == pytest.approx(0.04)
    assert numbers(info, index) == list(range(60))
    assert numbers(info, index, 5, 30) == list(range(5, 30))
    assert numbers(info, index, 40, 44) == list(range(40, 44))
