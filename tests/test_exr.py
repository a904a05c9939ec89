"""Depth in OpenEXR: what its own library finds in our files, and what we find in those of other programs."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vda.depthmaps.exr import ExrStyle, read_exr, write_exr
from vda.errors import InputError, UsageError

HEIGHT, WIDTH = 5, 7
DEPTH = np.linspace(0.5, 300, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
DEPTH[1, 2] = np.nan
OTHER = np.full((HEIGHT, WIDTH), 0.25, np.float32)


def written(path: Path, style: ExrStyle, rgb: np.ndarray | None = None) -> tuple[dict[str, np.ndarray], Any]:
    """What OpenEXR's own reader finds: pixels by channel, and the header."""
    write_exr(path, DEPTH, style, rgb)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels for name, channel in file.channels().items()}, dict(file.header())


@pytest.mark.parametrize(
    ("style", "channel", "number", "compression", "error"),
    [
        (ExrStyle(), "Z", np.float32, OpenEXR.ZIP_COMPRESSION, 0),
        (ExrStyle(layer="depth"), "depth.Z", np.float32, OpenEXR.ZIP_COMPRESSION, 0),
        (ExrStyle(layer="ViewLayer.Depth.Z"), "ViewLayer.Depth.Z", np.float32, OpenEXR.ZIP_COMPRESSION, 0),
        # Half a step of 11 significant bits; PXR24 leaves 16 of them (OpenEXR's technical introduction).
        (ExrStyle(type="half"), "Z", np.float16, OpenEXR.ZIP_COMPRESSION, 2**-11),
        (ExrStyle(type="half", compression="pxr24"), "Z", np.float16, OpenEXR.PXR24_COMPRESSION, 2**-11),
        (ExrStyle(compression="pxr24"), "Z", np.float32, OpenEXR.PXR24_COMPRESSION, 2**-16),
    ],
)
def test_channel_type_and_compression_are_as_asked(
    tmp_path: Path, style: ExrStyle, channel: str, number: type, compression: object, error: float
) -> None:
    channels, header = written(tmp_path / "a.exr", style)
    assert list(channels) == [channel]
    assert channels[channel].dtype == number
    assert header["compression"] == compression
    found = channels[channel].astype(np.float64)
    assert (np.isnan(found) == np.isnan(DEPTH)).all()
    assert np.nanmax(np.abs(found / DEPTH - 1)) <= error
    assert (np.nanmax(np.abs(found / DEPTH - 1)) > 0) == (error > 0)
    assert np.array_equal(read_exr(tmp_path / "a.exr"), channels[channel], equal_nan=True)


def test_the_frame_is_the_base_in_linear_light(tmp_path: Path) -> None:
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[0, 0], rgb[0, 1] = (255, 188, 0), (10, 128, 99)
    channels, header = written(tmp_path / "a.exr", ExrStyle(base="rgb", layer="depth"), rgb)
    assert list(channels) == ["B", "G", "R", "depth.Z"]
    assert channels["R"].dtype == np.float16
    # The values of IEC 61966-2-1: 188 is half of white's light, 128 a good fifth, 10 is on the straight part.
    assert [float(channels[name][0, 0]) for name in "RGB"] == pytest.approx([1, 0.5029, 0], abs=5e-4)
    assert [float(channels[name][0, 1]) for name in "RGB"] == pytest.approx([0.003035, 0.2159, 0.1248], rel=2e-3)
    assert header["chromaticities"][:2] == pytest.approx((0.64, 0.33))
    assert np.array_equal(read_exr(tmp_path / "a.exr"), DEPTH, equal_nan=True)


@pytest.mark.parametrize(
    "channels",
    [
        ["V"],
        ["Y"],
        ["depth.Z", "R", "G", "B", "A"],
        ["ViewLayer.Depth.Z", "ViewLayer.Combined.R", "ViewLayer.Combined.G", "ViewLayer.Combined.B"],
        # Normals have a Z of their own, and mist is no depth.
        ["ViewLayer.Depth.Z", "ViewLayer.Normal.X", "ViewLayer.Normal.Y", "ViewLayer.Normal.Z"],
        ["ViewLayer.Depth.Z", "ViewLayer.Mist.Z"],
        ["Z", "depth_filtered.Z"],
        ["Depth.V"],
        ["distance"],
    ],
)
def test_depth_is_found_under_the_names_other_programs_give(tmp_path: Path, channels: list[str]) -> None:
    file = OpenEXR.File({"type": OpenEXR.scanlineimage}, {channels[0]: DEPTH} | dict.fromkeys(channels[1:], OTHER))
    file.write(str(tmp_path / "a.exr"))
    assert np.array_equal(read_exr(tmp_path / "a.exr"), DEPTH, equal_nan=True)


def test_grey_colours_are_depth_and_others_are_not(tmp_path: Path) -> None:
    header = {"type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": np.stack([DEPTH] * 3, axis=-1)}).write(str(tmp_path / "grey.exr"))
    assert np.array_equal(read_exr(tmp_path / "grey.exr"), DEPTH, equal_nan=True)
    OpenEXR.File(header, {"R": DEPTH, "G": DEPTH, "B": OTHER}).write(str(tmp_path / "colour.exr"))
    with pytest.raises(InputError, match="no channel of depth, only B, G, R"):
        read_exr(tmp_path / "colour.exr")


def test_two_layers_of_depth_are_asked_about(tmp_path: Path) -> None:
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"near.Z": DEPTH, "far.Z": OTHER}).write(str(tmp_path / "a.exr"))
    with pytest.raises(InputError, match=r"several channels of depth: far.Z, near.Z"):
        read_exr(tmp_path / "a.exr")


def test_a_part_may_be_the_layer(tmp_path: Path) -> None:
    parts = [
        OpenEXR.Part({"name": "beauty", "type": OpenEXR.scanlineimage}, {"R": OTHER, "G": OTHER, "B": OTHER}),
        OpenEXR.Part({"name": "depth", "type": OpenEXR.scanlineimage}, {"Z": DEPTH}),
    ]
    OpenEXR.File(parts).write(str(tmp_path / "a.exr"))
    assert np.array_equal(read_exr(tmp_path / "a.exr"), DEPTH, equal_nan=True)


def test_what_was_not_rendered_is_no_depth(tmp_path: Path) -> None:
    """A part of the picture was rendered, and Blender writes 1e10 where it looks past everything."""
    depth = DEPTH.copy()
    depth[4, 6] = 1e10
    header = {
        "type": OpenEXR.scanlineimage,
        "dataWindow": (np.array([3, 2], np.int32), np.array([9, 6], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([11, 5], np.int32)),
    }
    OpenEXR.File(header, {"Z": depth}).write(str(tmp_path / "a.exr"))
    expected = np.full((6, 12), np.nan, np.float32)
    expected[2:6, 3:10] = DEPTH[:4]
    assert np.array_equal(read_exr(tmp_path / "a.exr"), expected, equal_nan=True)
    header |= {"dataWindow": (np.array([0, 0], np.int32), np.array([6, 4], np.int32))}
    header["displayWindow"] = header["dataWindow"]
    OpenEXR.File(header, {"Z": depth}).write(str(tmp_path / "b.exr"))
    assert np.isnan(read_exr(tmp_path / "b.exr")[4, 6])


@pytest.mark.parametrize("corner", [(16_777_221, 255), (1 << 30, 1 << 30), (-1, 5)])
def test_a_display_window_that_no_picture_has_is_refused(tmp_path: Path, corner: tuple[int, int]) -> None:
    """It costs a few bytes in the file, and 16 GiB of memory."""
    header = {
        "type": OpenEXR.scanlineimage,
        "dataWindow": (np.array([0, 0], np.int32), np.array([6, 4], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([9, 9], np.int32)),
    }
    path = tmp_path / "a.exr"
    OpenEXR.File(header, {"Z": DEPTH}).write(str(path))
    data = path.read_bytes()
    name = b"displayWindow\0box2i\0" + struct.pack("<i", 16)
    place = data.index(name) + len(name) + 8
    path.write_bytes(data[:place] + struct.pack("<2i", *corner) + data[place + 8 :])
    with pytest.raises(InputError, match=r"a\.exr"):
        read_exr(path)


def test_depth_in_whole_numbers_is_read(tmp_path: Path) -> None:
    numbers = np.arange(35, dtype=np.uint32).reshape(5, 7)
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Z": numbers}).write(str(tmp_path / "a.exr"))
    assert np.array_equal(read_exr(tmp_path / "a.exr"), numbers)


def test_what_half_floats_cannot_hold_is_refused_and_what_is_rounded_is_said() -> None:
    half = ExrStyle(type="half")
    half.require_room(65504)
    with pytest.raises(UsageError, match="reaches 70000, and half floats end at 65504"):
        half.require_room(70000)
    ExrStyle().require_room(70000)
    assert ExrStyle().remark() is None
    assert "0.049 %" in (half.remark() or "")
    assert "PXR24" in (ExrStyle(compression="pxr24").remark() or "")


@pytest.mark.parametrize("name", ["", "a\nb", "ü", "x" * 300])
def test_a_layer_has_a_name_that_others_read(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        ExrStyle(layer=name)
