"""Reading by index: whatever a file is like, a range equals the same frames read from the start."""

import dataclasses
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame

from vda.errors import UsageError, VideoError
from vda.video import (
    Frame,
    FrameIndex,
    VideoInfo,
    index_frames,
    map_frame_list,
    probe,
    read_frame_list,
    read_frames,
)
from vda.video.decoding import OpenVideo, frame_checksum

COUNT = 60
RANGES = ((0, 4), (11, 14), (12, 13), (23, 37), (35, 36), (58, 60))
OPEN_GROUPS = {"x264-params": "keyint=12:min-keyint=12:bframes=3:b-adapt=0:open-gop=1:scenecut=0"}
KINDS = {
    "open.mp4": ("libx264", "yuv420p", OPEN_GROUPS),
    "open.ts": ("libx264", "yuv420p", OPEN_GROUPS),
    "refresh.mp4": ("libx264", "yuv420p", {"x264-params": "keyint=15:intra-refresh=1:bframes=0"}),
    "hevc.mkv": ("libx265", "yuv420p", {"x265-params": "keyint=12:min-keyint=12:open-gop=1:log-level=none"}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {"g": "12", "bf": "2"}),
    "packed.avi": ("mpeg4", "yuv420p", {"g": "12", "bf": "2"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"g": "20", "lag-in-frames": "10", "cpu-used": "8"}),
    "raw.h264": ("libx264", "yuv420p", OPEN_GROUPS),
    "anim.gif": ("gif", "rgb8", {}),
}


def _indexed(path: Path, trust_container: bool = False) -> tuple[VideoInfo, FrameIndex]:
    info = probe(path)
    return info, index_frames(info, cache_dir=path.parent / "cache", trust_container=trust_container)


def _same(ours: list[Frame], theirs: list[Frame]) -> bool:
    return len(ours) == len(theirs) and all(
        (a.index, a.time_s, a.decoded) == (b.index, b.time_s, b.decoded) and np.array_equal(a.rgb, b.rgb)
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("name", list(KINDS))
def test_any_range_equals_reading_from_the_start(tmp_path: Path, name: str) -> None:
    codec, pix_fmt, options = KINDS[name]
    path = clips.make_clip(tmp_path / name, range(COUNT), codec=codec, pix_fmt=pix_fmt, options=options)
    info, index = _indexed(path)
    everything = list(read_frames(info, index, 0, COUNT))
    assert [clips.number_in(frame.rgb) for frame in everything] == list(range(COUNT))
    for start, stop in RANGES:
        assert _same(list(read_frames(info, index, start, stop, threads=1)), everything[start:stop])


def test_list_of_frames_comes_in_the_order_asked_for(tmp_path: Path) -> None:
    info, index = _indexed(clips.make_clip(tmp_path / "a.mp4", range(COUNT), options=OPEN_GROUPS))
    wanted = [30, 3, 3, 7, 59, 8, 58, 0]
    frames = list(read_frame_list(info, index, wanted))
    assert [frame.index for frame in frames] == wanted
    assert [clips.number_in(frame.rgb) for frame in frames] == wanted
    assert list(read_frame_list(info, index, [])) == []


def test_empty_range_gives_nothing(tmp_path: Path) -> None:
    info, index = _indexed(clips.make_clip(tmp_path / "a.mp4", range(5)))
    assert list(read_frames(info, index, 5, 5)) == []


def test_wrong_pictures_after_a_seek_are_noticed(tmp_path: Path) -> None:
    whole = clips.make_clip(tmp_path / "whole.mp4", range(COUNT), codec="mpeg4", options={"g": "30"})
    info, index = _indexed(clips.remux(whole, tmp_path / "lying.mp4", all_keys=True))
    everything = list(read_frames(info, index, 0, COUNT))
    believing = dataclasses.replace(index, keyframes=np.arange(COUNT))
    assert _same(list(read_frames(info, believing, 41, 44)), everything[41:44])
    # Without the checksums the decoder's own word is left: that it is no key frame.
    blind = dataclasses.replace(believing, checksums=None)
    assert _same(list(read_frames(info, blind, 41, 44)), everything[41:44])


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_a_picture_that_is_not_the_one_that_was_counted_is_refused(tmp_path: Path, threads: int | None) -> None:
    """A video was put in the place of another, or a decoder makes something else of damage every time."""
    info, index = _indexed(clips.make_clip(tmp_path / "a.mp4", range(COUNT), options={"g": "12"}))
    assert index.checksums is not None
    other = dataclasses.replace(index, checksums=index.checksums ^ (np.arange(COUNT) == 30).astype(np.uint32))
    numbers = [clips.number_in(frame.rgb) for frame in read_frames(info, other, 24, 30, threads=threads)]
    assert numbers == list(range(24, 30))
    with pytest.raises(VideoError, match=r"Frame 30 .* not the picture"):
        list(read_frames(info, other, 24, 36, threads=threads))


@pytest.mark.parametrize("trust_container", [False, True], ids=["counted", "trusted"])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "rawvideo"), ("a.avi", "msrle"), ("a.mov", "rawvideo")])
def test_a_palette_outlives_a_seek(tmp_path: Path, name: str, codec: str, trust_container: bool) -> None:
    """The decoder forgets it, and every picture is black from then on."""
    info, index = _indexed(clips.make_palette(tmp_path / name, COUNT, codec), trust_container)
    everything = list(read_frames(info, index, 0, COUNT))
    assert [clips.number_in(frame.rgb) for frame in everything] == list(range(COUNT))
    assert np.abs(everything[7].rgb.astype(int) - clips.picture(7)[:, :, :1]).max() == 0
    for start, stop in RANGES:
        assert _same(list(read_frames(info, index, start, stop)), everything[start:stop])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12", "yuv422p10le", "gbrp", "rgb24", "gray", "monow"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_picture_is_told_from_one_of_other_colours(tmp_path: Path, pix_fmt: str, channel: int) -> None:
    """A checksum of the first plane alone takes two colours of one brightness for the same."""

    def draw(number: int) -> np.ndarray:
        rgb = np.full((48, 80, 3), 128, np.uint8)
        rgb[20:, 70:, channel] = 255 * number
        return rgb

    path = clips.make_clip(tmp_path / "a.nut", range(2), draw=draw, codec="rawvideo", pix_fmt=pix_fmt)
    _, index = _indexed(path)
    assert index.checksums is not None
    assert len(set(index.checksums.tolist())) == 2


@pytest.mark.parametrize("pix_fmt", ["gray", "rgb24", "yuv420p", "gray16le"])
@pytest.mark.parametrize("size", [(64, 48), (50, 30)])
def test_a_checksum_is_that_of_what_can_be_seen(pix_fmt: str, size: tuple[int, int]) -> None:
    """PyAV's arrays are without the padding of rows, which 50 pixels have and 64 have not; zlib has the CRC-32."""
    shape = (*size[::-1], 3) if pix_fmt == "rgb24" else size[::-1]
    if pix_fmt == "yuv420p":
        shape = size[1] * 3 // 2, size[0]
    random = np.random.default_rng(5)
    if "16" in pix_fmt:
        frame = VideoFrame.from_ndarray(random.integers(0, 1 << 16, shape, np.uint16), format=pix_fmt)
    else:
        frame = VideoFrame.from_ndarray(random.integers(0, 256, shape, np.uint8), format=pix_fmt)
    assert frame_checksum(frame) == zlib.crc32(frame.to_ndarray().tobytes())


def test_repeated_and_backward_times_do_not_confuse(tmp_path: Path) -> None:
    parts = [clips.make_clip(tmp_path / f"{first}.ts", range(first, first + 30)) for first in (0, 30)]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    info, index = _indexed(path)
    for start in (0, 10, 28, 45):
        numbers = [clips.number_in(frame.rgb) for frame in read_frames(info, index, start, start + 5)]
        assert numbers == list(range(start, start + 5))


def test_damaged_video_is_the_same_for_every_number_of_threads(tmp_path: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(COUNT), codec="mpeg4", options={"g": "30", "bf": "2"})
    clips.damage(path, 40)
    info, index = _indexed(path)
    assert index.damaged
    once = list(read_frames(info, index, 0, len(index), threads=1))
    assert _same(list(read_frames(info, index, 0, len(index), threads=4)), once)
    assert _same(list(read_frames(info, index, 38, 45, threads=2)), once[38:45])


@pytest.mark.parametrize("first_refused", [0, 20, COUNT - 1])
@pytest.mark.parametrize("options", [{"g": "12", "bf": "0"}, OPEN_GROUPS], ids=["forward", "reordered"])
def test_a_file_that_only_one_thread_decodes_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_refused: int, options: dict[str, str]
) -> None:
    """Many threads are handed packets that the decoder refuses, where a single one gets the file's."""
    path = clips.make_clip(tmp_path / "a.mp4", range(COUNT), options=options)
    packets, spoilt = OpenVideo.packets, [0]

    def spoilt_for_many(source: OpenVideo) -> Iterator[Packet]:
        for number, packet in enumerate(packets(source)):
            if source.stream.thread_type.name != "NONE" and number >= first_refused:
                spoilt[0] += 1
                noise = Packet(b"\0" * packet.size)
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                packet = noise
            yield packet

    monkeypatch.setattr(OpenVideo, "packets", spoilt_for_many)
    info, index = _indexed(path)
    assert (len(index), index.damaged, spoilt[0] > 0) == (COUNT, False, True)
    for threads in (None, 1, 4):
        for start, stop in ((0, COUNT), (10, 30), (55, 60)):
            frames = list(read_frames(info, index, start, stop, threads=threads))
            assert [clips.number_in(frame.rgb) for frame in frames] == list(range(start, stop))
            assert all(frame.decoded for frame in frames)


@pytest.mark.parametrize(("start", "stop"), [(0, COUNT), (23, 30), (25, 26)])
def test_trusted_place_without_a_picture_shows_the_previous_one(tmp_path: Path, start: int, stop: int) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(COUNT), options={"g": "1"})
    clips.damage(path, 25)
    info, index = _indexed(path, trust_container=True)
    frames = list(read_frames(info, index, start, stop))
    assert [frame.index for frame in frames] == list(range(start, stop))
    assert [frame.index for frame in frames if not frame.decoded] == [25]
    numbers = [clips.number_in(frame.rgb) for frame in frames]
    assert numbers == [24 if index == 25 else index for index in range(start, stop)]


def test_trusted_places_before_the_first_picture_show_the_next_one(tmp_path: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(20), codec="mjpeg", pix_fmt="yuvj420p")
    _, index = _indexed(path, trust_container=True)
    clips.damage(path, 0)
    info = probe(path)
    frames = list(read_frames(info, index, 0, 3))
    assert [(clips.number_in(frame.rgb), frame.decoded) for frame in frames] == [(1, False), (1, True), (2, True)]


def test_trusted_places_after_the_last_picture_show_the_last_one(tmp_path: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(20), options={"g": "5", "bf": "0"})
    clips.damage(path, 19)
    info, index = _indexed(path, trust_container=True)
    for start in (0, 17, 19):
        last = list(read_frames(info, index, start, 20))[-1]
        assert (clips.number_in(last.rgb), last.decoded) == (18, False)


@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_frames_stand_upright(tmp_path: Path, clockwise_deg: int) -> None:
    path = clips.make_clip(
        tmp_path / "a.mp4", range(12), draw=lambda number: np.rot90(clips.picture(number), clockwise_deg // 90)
    )
    clips.rotate(path, clockwise_deg)
    info, index = _indexed(path)
    frames = list(read_frames(info, index, 0, 12))
    assert [clips.number_in(frame.rgb) for frame in frames] == list(range(12))
    assert {frame.rgb.shape for frame in frames} == {(48, 80, 3)}


COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (250, 250, 250))


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("ffv1", "yuv420p"),
        ("mjpeg", "yuvj420p"),
        ("ffv1", "yuv422p"),
        ("ffv1", "yuv444p10le"),
        ("ffv1", "gray"),
        ("ffv1", "bgra"),
    ],
)
def test_colours_come_out_of_every_pixel_format(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    path = clips.make_clip(
        tmp_path / "a.mkv",
        range(4),
        draw=lambda number: np.full((48, 64, 3), COLOURS[number], np.uint8),
        codec=codec,
        pix_fmt=pix_fmt,
    )
    info, index = _indexed(path)
    for frame, colour in zip(read_frames(info, index, 0, 4), COLOURS, strict=True):
        expected = np.dot(colour, (0.299, 0.587, 0.114)) if pix_fmt == "gray" else colour
        assert np.abs(frame.rgb - np.array(expected)).max() <= 4


def test_odd_sizes_and_times_above_zero(tmp_path: Path) -> None:
    path = clips.make_clip(
        tmp_path / "a.mkv",
        range(12),
        draw=lambda number: clips.picture(number, 91, 53),
        codec="ffv1",
        pts=[100 + 2 * n for n in range(12)],
        time_base=Fraction(1, 50),
    )
    info, index = _indexed(path)
    frames = list(read_frames(info, index, 5, 7))
    assert [frame.time_s for frame in frames] == pytest.approx([2.2, 2.24])
    assert frames[0].rgb.shape == (53, 91, 3)
    assert frames[0].rgb.flags.writeable
    assert frames[0].rgb.flags.c_contiguous


def test_picture_of_another_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    small = clips.make_clip(tmp_path / "small.ts", range(20))
    large = clips.make_clip(
        tmp_path / "large.ts", range(20, 40), draw=lambda number: clips.picture(number, 160, 96)
    )
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    info, index = _indexed(path)
    frames = list(read_frames(info, index, 0, 40))
    assert {frame.rgb.shape for frame in frames} == {(48, 80, 3)}
    assert [clips.number_in(frame.rgb) for frame in frames] == list(range(40))


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 6), (4, 3)])
def test_range_outside_the_video_is_refused(tmp_path: Path, start: int, stop: int) -> None:
    info, index = _indexed(clips.make_clip(tmp_path / "a.mp4", range(5)))
    with pytest.raises(UsageError, match="outside"):
        next(read_frames(info, index, start, stop))


def test_index_outside_the_video_is_refused(tmp_path: Path) -> None:
    info, index = _indexed(clips.make_clip(tmp_path / "a.mp4", range(5)))
    with pytest.raises(UsageError, match="outside"):
        next(read_frame_list(info, index, [2, 5]))


def test_changed_or_vanished_video_is_noticed(tmp_path: Path) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(5))
    info, index = _indexed(path)
    clips.make_clip(path, range(9))
    with pytest.raises(VideoError, match="bytes"):
        next(read_frames(info, index, 0, 1))
    path.unlink()
    with pytest.raises(VideoError, match="no file"):
        next(read_frames(info, index, 0, 1))


@pytest.mark.parametrize("threads", [1, 4])
def test_work_in_threads_sees_the_frames_in_their_order(tmp_path: Path, threads: int) -> None:
    info = probe(clips.make_clip(tmp_path / "a.mp4", range(40)))
    index = index_frames(info)
    wanted = [*range(5, 30), 3, 4, 39]
    plain = [(frame.index, frame.decoded, frame.rgb.tobytes()) for frame in read_frame_list(info, index, wanted)]
    worked = map_frame_list(
        lambda frame: (frame.index, frame.decoded, frame.rgb.tobytes()), info, index, wanted, threads=threads
    )
    assert [index for index, _, _ in plain] == wanted
    assert list(worked) == plain


def test_an_error_of_the_work_is_met_by_who_reads(tmp_path: Path) -> None:
    info = probe(clips.make_clip(tmp_path / "a.mp4", range(20)))

    def work(frame: Frame) -> int:
        if frame.index == 7:
            raise ValueError("seven")
        return frame.index

    results = map_frame_list(work, info, index_frames(info), range(20), threads=3)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="seven"):
        next(results)
