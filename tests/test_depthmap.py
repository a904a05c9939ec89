"""Codes of 16 bits: half a step at most, one code for no depth, and a record that comes back."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vda.depthmaps.codes import DepthRecord, LeftOut, Quantizer
from vda.depthmaps.files import read_image
from vda.errors import InputError

numbers = st.builds(np.ldexp, st.floats(-1, 1, width=32, allow_subnormal=False), st.integers(-20, 20))


def values_of(codes: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    """The formula as ``depth.json`` states it, in the precision of the JSON."""
    return quantizer.offset + quantizer.scale * codes.astype(np.float64)


@settings(deadline=None, max_examples=200)
@given(numbers, numbers, st.integers(0, 2**32 - 1))
def test_inverse_depth_comes_back_to_within_half_a_step(low: float, span: float, seed: int) -> None:
    low, high = float(np.float32(low)), float(np.float32(low + abs(span)))
    depth = np.random.default_rng(seed).uniform(low, high, 1000).astype(np.float32)
    depth[:2] = low, high
    quantizer = Quantizer.for_range(low, high)
    codes, left_out = quantizer.encode_counted(depth)
    assert codes.min() >= 1 and left_out == LeftOut()
    # A float64 rounding of the offset is at most 1/4000 of a step, for the range is of float32 values.
    error = np.abs(values_of(codes, quantizer) - depth.astype(np.float64))
    assert error.max() <= quantizer.scale * (0.5 + 1 / 4000)
    rounding = float(np.spacing(np.abs(depth).max())) / 2
    assert np.abs(quantizer.decode(codes).astype(np.float64) - depth).max() <= error.max() + rounding


@settings(deadline=None)
@given(st.lists(st.floats(2.0**-9, 65.5, width=32), min_size=1))
def test_metres_come_back_to_within_half_a_millimetre(metres: list[float]) -> None:
    depth = np.array(metres, np.float32)
    decoded = Quantizer.millimetres().decode(Quantizer.millimetres().encode(depth))
    assert np.abs(decoded.astype(np.float64) - depth).max() <= 0.0005 + np.spacing(np.float32(65.535)) / 2


def test_the_ends_of_the_range_have_the_ends_of_the_codes() -> None:
    quantizer = Quantizer.for_range(2.0, 8.0)
    assert quantizer.encode(np.array([2, 5, 8], np.float32)).tolist() == [1, 32768, 65535]
    assert quantizer.decode(np.array([1, 32768, 65535], np.uint16)).tolist() == [2, 5, 8]


def test_a_range_far_from_nought_keeps_its_detail() -> None:
    """float32 steps near 1e6 are 1/16; a quantiser computing in float32 would merge these values."""
    depth = np.arange(1_000_000, 1_000_001, 1 / 16, dtype=np.float32)
    quantizer = Quantizer.for_range(float(depth[0]), float(depth[-1]))
    assert quantizer.decode(quantizer.encode(depth)).tolist() == depth.tolist()


@pytest.mark.parametrize("value", [0.0, 0.25, 1e-3, 123456.0])
def test_constant_depth_comes_back(value: float) -> None:
    depth = np.full((3, 4), value, np.float32)
    quantizer = Quantizer.for_range(float(depth[0, 0]), float(depth[0, 0]))
    assert (quantizer.encode(depth) == 1).all()
    assert (quantizer.decode(quantizer.encode(depth)) == depth).all()


def test_no_depth_is_code_nought_and_counted() -> None:
    depth = np.array([[np.nan, np.inf, -np.inf], [1, np.nan, 3]], np.float32)
    codes, left_out = Quantizer.for_range(1, 3).encode_counted(depth)
    assert codes.tolist() == [[0, 0, 0], [1, 0, 65535]]
    assert left_out == LeftOut(invalid=4, clipped=0)
    decoded = Quantizer.for_range(1, 3).decode(codes)
    assert np.isnan(decoded).tolist() == [[True] * 3, [False, True, False]]


def test_inverse_depth_out_of_range_takes_the_nearest_code_and_is_counted() -> None:
    codes, left_out = Quantizer.for_range(1, 3).encode_counted(np.array([0.5, 2, 9], np.float32))
    assert codes.tolist() == [1, 32768, 65535]
    assert left_out == LeftOut(invalid=0, clipped=2)


def test_metres_out_of_range_are_no_depth_and_counted() -> None:
    depth = np.array([0, 0.0004, 0.001, 65.535, 65.536, 1000, np.nan], np.float32)
    codes, left_out = Quantizer.millimetres().encode_counted(depth)
    assert codes.tolist() == [0, 0, 1, 65535, 0, 0, 0]
    assert left_out == LeftOut(invalid=1, clipped=4)
    assert left_out + LeftOut(2, 3) == LeftOut(invalid=3, clipped=7)


@pytest.mark.parametrize("odd", [(0, 0), (200, 250), (499, 399)])
@pytest.mark.parametrize(
    ("value", "code", "left_out"),
    [(np.nan, 0, LeftOut(invalid=1)), (np.inf, 0, LeftOut(invalid=1)), (1e9, 65535, LeftOut(clipped=1))],
)
def test_one_odd_pixel_of_a_large_picture_is_found_wherever_it_is(
    odd: tuple[int, int], value: float, code: int, left_out: LeftOut
) -> None:
    # Of whole numbers the codes are the numbers themselves.
    depth = (1 + np.arange(500 * 400, dtype=np.float32) % 65535).reshape(500, 400)
    expected = depth.astype(np.uint16)
    depth[odd], expected[odd] = value, code
    # Columns first, as other programs' stacks may be: the places are the picture's all the same.
    for order in (depth, np.asfortranarray(depth)):
        codes, found = Quantizer.for_range(1, 65535).encode_counted(order)
        assert np.array_equal(codes, expected)
        assert found == left_out


@pytest.mark.parametrize(("per_metre", "metres", "code"), [(1000, 2.5, 2500), (5000, 2.5, 12500), (256, 2.5, 640)])
def test_the_common_scales_of_sensors(per_metre: float, metres: float, code: int) -> None:
    assert Quantizer.per_metre(per_metre).encode(np.array([metres], np.float32)).tolist() == [code]


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1), (0, np.inf), (2, 1)])
def test_what_is_no_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="not a range"):
        Quantizer.for_range(low, high)


@pytest.mark.parametrize(("scale", "offset"), [(0, 0), (-1, 0), (np.nan, 0), (1, np.inf)])
def test_what_is_no_map_is_refused(scale: float, offset: float) -> None:
    with pytest.raises(ValueError, match="usable"):
        Quantizer("depth", "metre", scale, offset)


RECORD = DepthRecord(
    quantizer=Quantizer.for_range(0.1, 7.3),
    frames=70,
    width=848,
    height=478,
    model="vits",
    settings={"input_size": 518, "frame_range": [0, 70]},
    shots=[{"start_frame": 0, "end_frame": 70, "scale": [1.0], "shift": [0.0]}],
    missing_frames=[12],
    clipped=3,
    formats=["png16"],
    raw_window_error_steps=0.125,
)


def test_the_record_comes_back_and_says_what_codes_mean(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "depth.json")
    assert DepthRecord.read(tmp_path / "depth.json") == RECORD
    written = json.loads((tmp_path / "depth.json").read_text())
    assert (written["kind"], written["unit"], written["invalid"]) == ("inverse_depth", "relative", 0)
    assert written["offset"] + written["scale"] * 1 == pytest.approx(0.1)
    assert written["offset"] + written["scale"] * 65535 == pytest.approx(7.3)


def test_a_record_of_a_later_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "depth.json"
    RECORD.write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "invented_later": 1}))
    assert DepthRecord.read(path) == RECORD


@pytest.mark.parametrize(
    "change", [{"kind": "disparity"}, {"unit": "feet"}, {"scale": 0}, {"scale": "wide"}, {"invalid": 65535}]
)
def test_a_record_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "depth.json"
    RECORD.write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=r"depth\.json"):
        DepthRecord.read(path)


@pytest.mark.parametrize("text", ["{}", "[]", "{", ""])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "depth.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"depth\.json"):
        DepthRecord.read(path)


@pytest.mark.parametrize("size", [(1 << 20, 1 << 20), (1 << 15, (1 << 15) + 1)])
def test_an_image_larger_than_any_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    """By what its header says: OpenCV takes no side of more than 2^20 pixels, nor more than 2^30 in all."""
    header = b"IHDR" + struct.pack(">IIBBBBB", *size, 16, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(InputError, match=r"a\.png"):
        read_image(tmp_path / "a.png")
