"""Clips that are written: exact where they should be, playable where they should be, whole or absent."""

import resource
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from vda.errors import StorageError, UsageError, VideoError
from vda.video import ClipWriter, index_frames, probe, read_frames, write_clip


def _pictures(path: Path) -> list[np.ndarray]:
    info = probe(path)
    index = index_frames(info, cache_dir=path.parent / "cache")
    return [frame.rgb for frame in read_frames(info, index, 0, len(index))]


def test_clip_plays_in_browsers_and_shows_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.mp4"
    write_clip(path, map(clips.picture, range(20)), fps=Fraction(30000, 1001))
    info = probe(path)
    assert (info.codec, info.pixel_format, info.fps) == ("h264", "yuv420p", Fraction(30000, 1001))
    assert [clips.number_in(rgb) for rgb in _pictures(path)] == list(range(20))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert list(path.parent.glob(".tmp-*")) == []


def test_colours_are_kept(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (250, 250, 10)]
    write_clip(tmp_path / "a.mp4", (np.full((48, 64, 3), c, np.uint8) for c in colours), fps=Fraction(5))
    for rgb, colour in zip(_pictures(tmp_path / "a.mp4"), colours, strict=True):
        assert np.abs(rgb.astype(int) - colour).max() <= 4


def test_odd_size_gets_its_last_row_and_column_twice(tmp_path: Path) -> None:
    write_clip(
        tmp_path / "a.mp4", [clips.picture(n, 91, 53) for n in range(3)], fps=Fraction(5), options={"crf": "1"}
    )
    written = _pictures(tmp_path / "a.mp4")[2].astype(int)
    assert written.shape == (54, 92, 3)
    assert np.abs(written[:53, :91] - clips.picture(2, 91, 53)).mean() < 6
    assert np.abs(written[53] - written[52]).mean() < 6


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    pts = [500, 1450, 5000, 5001, 90000]
    with ClipWriter(tmp_path / "a.mp4", fps=Fraction(30), time_base=Fraction(1, 90000)) as writer:
        for number, time in enumerate(pts):
            writer.write(clips.picture(number), pts=time)
    info = probe(tmp_path / "a.mp4")
    index = index_frames(info, cache_dir=tmp_path)
    assert index.times_s == pytest.approx((np.array(pts) - pts[0]) / 90000, abs=1e-9)


@pytest.mark.parametrize("first_s", [-95443.7, -1, 36000, 86400 * 30])
def test_a_clip_begins_at_0_whatever_the_clock(tmp_path: Path, first_s: float) -> None:
    """As players show it: negative times are hidden in mp4, and hours before the first frame are waited for."""
    path = tmp_path / "a.mp4"
    with ClipWriter(path, fps=Fraction(25), time_base=Fraction(1, 90000)) as writer:
        for number in range(20):
            writer.write(clips.picture(number), pts=round(first_s * 90000) + 3600 * number)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(800_000, abs=1000)
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(20) / 25)
    assert [clips.number_in(frame.to_ndarray(format="rgb24")) for frame in frames] == list(range(20))


@pytest.mark.parametrize("again", [100, 50])
def test_times_have_to_rise(tmp_path: Path, again: int) -> None:
    with pytest.raises(UsageError, match="step back"), ClipWriter(tmp_path / "a.mp4", fps=Fraction(10)) as writer:
        for time in (0, 100, again):
            writer.write(clips.picture(0), pts=time)


def test_sixteen_bits_are_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depth = [rng.integers(0, 1 << 16, (33, 47)).astype(np.uint16) for _ in range(4)]
    write_clip(tmp_path / "d.mkv", depth, fps=Fraction(25), codec="ffv1", pix_fmt="gray16le")
    with av.open(str(tmp_path / "d.mkv")) as container:
        read = [frame.to_ndarray() for frame in container.decode(video=0)]
        container.seek(0)
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size] == [True] * 4
    assert np.array_equal(read, depth)


def test_grey_pictures_become_colour_video(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    write_clip(tmp_path / "g.mp4", [ramp] * 3, fps=Fraction(25))
    assert np.abs(_pictures(tmp_path / "g.mp4")[1].astype(int) - ramp[:, :, None]).max() <= 6


def test_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError, match="stop"), ClipWriter(path, fps=Fraction(25)) as writer:
        writer.write(clips.picture(0))
        raise RuntimeError("stop")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.mp4", b"older")]


def test_unfitting_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shape"):
        write_clip(tmp_path / "a.mp4", [clips.picture(0), clips.picture(1, 64, 48)], fps=Fraction(25))
    with pytest.raises(UsageError, match="No picture"):
        write_clip(tmp_path / "a.mp4", [], fps=Fraction(25))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "settings"),
    [("a.mp4", {"codec": "nonsense"}), ("a.mp4", {"pix_fmt": "gray16le"}), ("a.nonsense", {})],
)
def test_what_cannot_be_encoded_is_said(tmp_path: Path, name: str, settings: dict[str, str]) -> None:
    with pytest.raises(VideoError, match="could not be encoded"):
        write_clip(tmp_path / name, [clips.picture(0)], fps=Fraction(25), **settings)
    assert list(tmp_path.iterdir()) == []


def test_sound_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a video codec"):
        write_clip(tmp_path / "a.mp4", [clips.picture(0)], fps=Fraction(25), codec="aac")


@pytest.fixture
def small_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_full_disk_is_said_and_cleared_up(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    with pytest.raises(StorageError, match="full"):
        write_clip(tmp_path / "a.mkv", [noise] * 60, fps=Fraction(25), codec="ffv1", pix_fmt="bgr0")
    assert list(tmp_path.iterdir()) == []


def test_a_frame_an_hour_is_shown_for_an_hour(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", map(clips.picture, range(3)), fps=Fraction(1, 3600))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx([0, 3600, 7200])
