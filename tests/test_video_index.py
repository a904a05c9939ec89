"""The exact frame index: counts, times, notes and the cache."""

import os
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from reporters import Steps

from vda.errors import InputError, VideoError
from vda.video import FrameIndex, index_frames, probe, read_frames
from vda.video.rates import true_frame_rate

OPEN_GROUPS = {"x264-params": "keyint=12:min-keyint=12:bframes=3:b-adapt=0:open-gop=1:scenecut=0"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _numbers(path: Path, index: FrameIndex) -> list[int]:
    frames = read_frames(probe(path), index, 0, len(index))
    return [clips.number_in(frame.rgb) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("b.mp4", "libx264", "yuv420p", OPEN_GROUPS),
        ("b.mkv", "libx264", "yuv420p", OPEN_GROUPS),
        ("b.ts", "libx264", "yuv420p", OPEN_GROUPS),
        ("b.flv", "libx264", "yuv420p", {}),
        ("b.h264", "libx264", "yuv420p", OPEN_GROUPS),
        ("b.webm", "libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "5"}),
        ("b.avi", "mpeg4", "yuv420p", {"bf": "2"}),
        ("b.gif", "gif", "rgb8", {}),
    ],
)
def test_every_frame_is_counted_in_order(
    tmp_path: Path, cache: Path, name: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    path = clips.make_clip(tmp_path / name, range(40), codec=codec, pix_fmt=pix_fmt, options=options)
    index = index_frames(probe(path), cache_dir=cache)
    assert _numbers(path, index) == list(range(40))
    assert index.notes == ()
    assert np.diff(index.times_s) == pytest.approx(0.04, abs=0.0011)
    assert index.duration_s == pytest.approx(1.6, abs=0.0011)


def test_uneven_times_are_exact(tmp_path: Path, cache: Path) -> None:
    pts = np.cumsum(np.random.default_rng(0).integers(1001, 9009, 40)).tolist()
    path = clips.make_clip(tmp_path / "v.mkv", range(40), pts=[90 * p for p in pts], time_base=Fraction(1, 90000))
    index = index_frames(probe(path), cache_dir=cache)
    assert index.times_s == pytest.approx(np.array(pts) / 1000)


def test_frames_hidden_by_an_edit_list_do_not_count(tmp_path: Path, cache: Path) -> None:
    whole = clips.make_clip(tmp_path / "whole.mp4", range(60), options=OPEN_GROUPS)
    path = clips.remux(whole, tmp_path / "edited.mp4", shift_frames=-17)
    info = probe(path)
    index = index_frames(info, cache_dir=cache)
    assert info.claimed_frames == 60
    assert _numbers(path, index) == list(range(17, 60))
    assert "edit list" in " ".join(index.notes)


def test_damaged_packet_costs_its_frame_and_is_said(tmp_path: Path, cache: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(40), options={"g": "10"})
    clips.damage(path, 25)
    index = index_frames(probe(path), cache_dir=cache)
    assert len(index) == 39
    assert index.damaged
    assert "damaged" in " ".join(index.notes)


def test_count_of_a_damaged_video_does_not_depend_on_threads(tmp_path: Path, cache: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(60), codec="libsvtav1", options={"g": "20", "preset": "12"})
    clips.damage(path, 20)
    assert len(index_frames(probe(path), cache_dir=cache)) == _decodable(path)


@pytest.mark.parametrize("ending", ["mp4", "flv", "mkv"])
def test_cut_off_video_gives_every_frame_up_to_the_break(tmp_path: Path, cache: Path, ending: str) -> None:
    fast = {"movflags": "+faststart"} if ending == "mp4" else {}
    whole = clips.make_clip(tmp_path / f"whole.{ending}", range(100), muxer=fast)
    path = clips.cut(whole, tmp_path / f"cut.{ending}", 0.6)
    index = index_frames(probe(path), cache_dir=cache)
    assert len(index) == _decodable(path) < 90
    # Before the break nothing is missing; at the break the picture between two others may be.
    assert _numbers(path, index)[:40] == list(range(40))
    assert "cut off" in index.notes[0]


@pytest.mark.parametrize("start_s", [0, 100])
@pytest.mark.parametrize("ending", ["mkv", "webm", "mp4", "avi"])
def test_cut_off_is_said_of_what_is_and_of_nothing_else(
    tmp_path: Path, cache: Path, ending: str, start_s: int
) -> None:
    """A Matroska's duration may count from 0 or from its first frame; its bytes are there or are not."""
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(ending, "libx264")
    whole = clips.make_clip(
        tmp_path / f"whole.{ending}",
        range(75),
        codec=codec,
        options={"g": "12"},
        muxer={"movflags": "+faststart"} if ending == "mp4" else {},
        pts=[25 * start_s + number for number in range(75)] if ending in ("mkv", "webm") else None,
    )
    assert index_frames(probe(whole), cache_dir=cache).notes == ()
    for share in (0.7, 0.97):
        index = index_frames(probe(clips.cut(whole, tmp_path / f"cut.{ending}", share)), cache_dir=cache)
        assert "cut off" in index.notes[0]


def test_what_only_one_thread_decodes_is_read(tmp_path: Path, cache: Path) -> None:
    """Many threads lose what stands before damage: here that is all there is."""
    path = clips.make_clip(tmp_path / "a.mp4", range(3), codec="mpeg4", options={"g": "1"})
    clips.damage(path, 1)
    clips.damage(path, 2)
    info = probe(path)
    index = index_frames(info, cache_dir=cache, threads=8)
    assert len(index) == _decodable(path)
    assert len(list(read_frames(info, index, 0, len(index), threads=8))) == len(index)


def _decodable(path: Path) -> int:
    """Count with one decoder thread, one packet at a time: nothing is lost in a flush."""
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                count += len(packet.decode())
            except av.FFmpegError:
                continue
    return count


def test_count_is_not_repeated_until_the_file_changes(tmp_path: Path, cache: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(20))
    counts: list[int] = []
    first = index_frames(probe(path), cache_dir=cache, reporter=Steps(counts.append))
    assert counts == list(range(1, 21))
    again = index_frames(probe(path), cache_dir=cache, reporter=Steps(counts.append))
    assert counts[20:] == [20]
    assert np.array_equal(again.pts, first.pts)
    os.utime(path, ns=(1, 1))
    index_frames(probe(path), cache_dir=cache, reporter=Steps(counts.append))
    assert counts[21:] == list(range(1, 21))


def test_cache_stands_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    index_frames(probe(clips.make_clip(tmp_path / "a.mp4", range(3))))
    assert len(list((tmp_path / "xdg" / "vda").iterdir())) == 1


def test_broken_or_unwritable_cache_only_costs_time(tmp_path: Path, cache: Path) -> None:
    info = probe(clips.make_clip(tmp_path / "a.mp4", range(20)))
    index_frames(info, cache_dir=cache)
    for stored in cache.iterdir():
        stored.write_bytes(stored.read_bytes()[:100])
    assert len(index_frames(info, cache_dir=cache)) == 20
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert len(index_frames(info, cache_dir=in_the_way)) == 20


def test_index_survives_the_disk(tmp_path: Path) -> None:
    index = FrameIndex(
        np.array([5, 7, 9]),
        Fraction(1, 7),
        "decoded",
        ("Odd.",),
        np.array([0, 2]),
        np.array([1, 2, 3], np.uint32),
        True,
    )
    index.save(tmp_path / "index.npz")
    loaded = FrameIndex.load(tmp_path / "index.npz")
    for name in ("pts", "keyframes", "checksums"):
        assert np.array_equal(getattr(loaded, name), getattr(index, name))
    for name in ("time_base", "source", "notes", "damaged"):
        assert getattr(loaded, name) == getattr(index, name)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 nearly"])
def test_garbage_is_not_an_index(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a frame index"):
        FrameIndex.load(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_trusted_container_gives_the_same_times_without_decoding(tmp_path: Path, cache: Path, name: str) -> None:
    info = probe(clips.make_clip(tmp_path / name, range(40), options=OPEN_GROUPS))
    counted = index_frames(info, cache_dir=cache)
    trusted = index_frames(info, trust_container=True, cache_dir=cache)
    assert (counted.source, trusted.source) == ("decoded", "container")
    assert np.array_equal(trusted.pts, counted.pts)


def test_trusted_container_leaves_out_what_an_edit_list_hides(tmp_path: Path, cache: Path) -> None:
    whole = clips.make_clip(tmp_path / "whole.mp4", range(40), options=OPEN_GROUPS)
    path = clips.remux(whole, tmp_path / "edited.mp4", shift_frames=-17)
    index = index_frames(probe(path), trust_container=True, cache_dir=cache)
    assert _numbers(path, index) == list(range(17, 40))


def test_trusted_container_of_strung_recordings_keeps_their_order(tmp_path: Path, cache: Path) -> None:
    parts = [clips.make_clip(tmp_path / f"{first}.ts", range(first, first + 40)) for first in (0, 40)]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    index = index_frames(probe(path), trust_container=True, cache_dir=cache)
    assert _numbers(path, index) == list(range(80))


def test_stream_without_times_cannot_be_trusted(tmp_path: Path, cache: Path) -> None:
    info = probe(clips.make_clip(tmp_path / "raw.h264", range(10)))
    with pytest.raises(VideoError, match="no frame times"):
        index_frames(info, trust_container=True, cache_dir=cache)


MILLISECOND, FINE, NTSC = Fraction(1, 1000), Fraction(1, 90000), Fraction(30000, 1001)
RATES = {
    "steady": ([3003 * n for n in range(100)], FINE, Fraction(60), NTSC),
    "gap": ([3003 * n for n in range(100) if n not in (40, 41, 42)], FINE, Fraction(25), NTSC),
    "milliseconds": ([round(1000 * n / 30) for n in range(100)], MILLISECOND, Fraction(1000), Fraction(30)),
    "odd claim": (
        [round(100 * n / 29.97) for n in range(999)],
        Fraction(1, 100),
        Fraction(2997, 100),
        Fraction(2997, 100),
    ),
    "coarse clock": ([n for n in range(13) if n != 4], Fraction(1, 25), Fraction(10), Fraction(25)),
    "varying": ([0, 1, 3, 4, 6, 7, 9], Fraction(1, 30), Fraction(30), Fraction(20)),
    "strung": ([*range(50), *range(50)], Fraction(1, 24), Fraction(1), Fraction(24)),
    "single": ([7], Fraction(1, 30), Fraction(12), Fraction(12)),
}


@pytest.mark.parametrize(("pts", "time_base", "claimed", "true"), list(RATES.values()), ids=list(RATES))
def test_frame_rate_is_that_of_the_frames(
    pts: list[int], time_base: Fraction, claimed: Fraction, true: Fraction
) -> None:
    assert true_frame_rate(np.array(pts), time_base, claimed) == true
