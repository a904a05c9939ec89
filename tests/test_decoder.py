"""Decoding by a GPU, which no test has: what comes of it is the CPU's pictures, whatever the device gives."""

from collections.abc import Callable
from pathlib import Path

import clips
import numpy as np
import pytest
from av.container import InputContainer
from av.video.frame import VideoFrame

from vda.video import (
    Decoder,
    Frame,
    FrameIndex,
    VideoInfo,
    decoding,
    index_frames,
    map_frame_list,
    probe,
    read_frame_list,
)
from vda.video.decoding import as_stored, frame_checksum
from vda.video.opening import open_container

WANTED = [*range(5, 30), 3, 4, 39]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoInfo, FrameIndex]:
    options = {"x264-params": "keyint=12:min-keyint=12:bframes=2"}
    info = probe(clips.make_clip(tmp_path_factory.mktemp("film") / "a.mp4", range(40), options=options))
    return info, index_frames(info)


def pictures(film: tuple[VideoInfo, FrameIndex], decoder: Decoder) -> list[tuple[int, bytes]]:
    def work(frame: Frame) -> tuple[int, bytes]:
        return frame.index, frame.rgb.tobytes()

    return list(map_frame_list(work, *film, WANTED, threads=2, decoder=decoder))


def by_the_cpu(film: tuple[VideoInfo, FrameIndex]) -> list[tuple[int, bytes]]:
    return [(frame.index, frame.rgb.tobytes()) for frame in read_frame_list(*film, WANTED)]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A stand-in: pictures come in two planes, as NVDEC gives them, after ``spoil`` did something to them."""

    def install(
        spoil: Callable[[VideoFrame], VideoFrame] = lambda frame: frame,
        opening: Callable[[Path], InputContainer] = open_container,
    ) -> None:
        def given(frame: VideoFrame, stored: str | None) -> VideoFrame:
            return as_stored(spoil(frame.reformat(format="nv12")), stored) if stored else frame

        monkeypatch.setattr(decoding, "open_on_device", opening)
        monkeypatch.setattr(decoding, "as_stored", given)

    return install


def test_pictures_of_a_device_are_the_cpus(
    film: tuple[VideoInfo, FrameIndex], device: Callable[..., None]
) -> None:
    device()
    decoder = Decoder("gpu")
    assert pictures(film, decoder) == by_the_cpu(film)
    assert (decoder.frames, decoder.doubts) == (len(WANTED), [])


def test_from_the_first_other_picture_on_the_cpu_decodes(
    film: tuple[VideoInfo, FrameIndex], device: Callable[..., None]
) -> None:
    def spoil(frame: VideoFrame) -> VideoFrame:
        if frame.pts is not None and frame.pts == film[1].pts[17]:
            luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).copy()
            luma[100] ^= 1
            frame.planes[0].update(luma.tobytes())
        return frame

    device(spoil)
    decoder = Decoder("gpu")
    assert pictures(film, decoder) == by_the_cpu(film)
    # Frames 5 to 16 of the first run, then the runs 3:5 and 39.
    assert decoder.frames == 12 + 3
    assert decoder.doubts == ["frame 17 was not the picture that the CPU's decoder gave"]


def test_a_device_that_drops_pictures_costs_none(
    film: tuple[VideoInfo, FrameIndex], device: Callable[..., None]
) -> None:
    def spoil(frame: VideoFrame) -> VideoFrame:
        if frame.pts == film[1].pts[17]:
            frame.pts = None
        return frame

    device(spoil)
    assert pictures(film, Decoder("gpu")) == by_the_cpu(film)


def test_a_device_that_cannot_be_opened_is_asked_three_times(
    film: tuple[VideoInfo, FrameIndex], device: Callable[..., None]
) -> None:
    asked = []

    def refuse(path: Path) -> InputContainer:
        asked.append(path)
        raise PermissionError(1, "Operation not permitted")

    device(opening=refuse)
    decoder = Decoder("gpu")
    for _ in range(3):
        assert pictures(film, decoder) == by_the_cpu(film)
    assert len(asked) == 3
    assert decoder.frames == 0
    assert decoder.doubts == ["it cannot decode this film (Operation not permitted)"] * 3


def test_without_a_gpu_films_are_read_all_the_same(film: tuple[VideoInfo, FrameIndex]) -> None:
    """FFmpeg's own answer where there is none, which is most machines that run this."""
    assert pictures(film, Decoder("gpu")) == by_the_cpu(film)


@pytest.mark.parametrize(
    ("stored", "given", "largest"),
    [("yuv420p", "nv12", 255), ("yuvj420p", "nv12", 255), ("yuv420p10le", "p010le", 1023)],
)
def test_every_value_survives_the_devices_format(stored: str, given: str, largest: int) -> None:
    """What NVDEC gives for these (NVIDIA's Video Codec SDK): two planes, 10 bits in the upper ones of 16."""
    frame = VideoFrame(642, 362, stored)
    frame.color_range = 2 if stored == "yuvj420p" else 1
    for plane in frame.planes:
        values = np.arange(plane.buffer_size // (2 if largest > 255 else 1)) % (largest + 1)
        plane.update(values.astype(np.uint16 if largest > 255 else np.uint8).tobytes())
    kept = {"src_color_range": frame.color_range, "dst_color_range": frame.color_range}
    there = frame.reformat(format=given, **kept)
    back = as_stored(there, stored)
    assert (back.format.name, frame_checksum(back)) == (stored, frame_checksum(frame))
    assert (back.color_range, back.colorspace) == (frame.color_range, frame.colorspace)
