"""Raw windows on disk: whole or absent, small, and near enough to what the network gave."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc

from vda.errors import DamagedWindowError, StorageError
from vda.network.packing import packed
from vda.scene.rawwindows import open_raw_window, write_raw_window


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    low=st.floats(-1e3, 1e3),
    spread=st.sampled_from([0.0, 1e-4, 1.0, 80.0, 1e4]),
    height=st.integers(1, 9),
    width=st.integers(1, 11),
)
def test_values_come_back_within_half_a_step_of_18_bits(
    tmp_path_factory: pytest.TempPathFactory, seed: int, low: float, spread: float, height: int, width: int
) -> None:
    path = tmp_path_factory.mktemp("window") / "w.npz"
    depth = (low + spread * np.random.default_rng(seed).random((4, height, width))).astype(np.float32)
    write_raw_window(path, packed(depth), missing=(1, 3))
    window = open_raw_window(path)
    assert (window.shape, window.missing) == ((4, height, width), (1, 3))
    step = (float(depth.max()) - float(depth.min())) / (2**18 - 1)
    assert window.step == step
    for slot, values in enumerate(depth):
        error = np.abs(window.slot(slot).astype(np.float64) - values)
        assert error.max() <= step / 2 + np.spacing(np.abs(depth).max())
        assert window.minima[slot] - np.spacing(np.abs(depth).max()) <= window.slot(slot).min()
        assert window.slot(slot).max() <= window.maxima[slot] + np.spacing(np.abs(depth).max())


@pytest.mark.parametrize("spike", [0.0, 30.0, 1000.0])
def test_large_slots_come_back_within_half_a_step(tmp_path: Path, spike: float) -> None:
    """Of more values than are worked on at once; with steps of all heights, up to 24 bits."""
    random = np.random.default_rng(5)
    depth = random.normal(1, 0.01, (2, 90, 911)).astype(np.float32).cumsum(axis=2) / np.float32(900)
    depth[random.random(depth.shape) < 1e-3] += spike
    write_raw_window(tmp_path / "w.npz", packed(depth.astype(np.float32)))
    window = open_raw_window(tmp_path / "w.npz")
    found = np.stack([window.slot(slot) for slot in range(2)])
    bits = 18 if spike == 0 else 24
    assert window.step == pytest.approx(float(np.ptp(depth)) / (2**bits - 1))
    assert np.abs(found.astype(np.float64) - depth).max() <= window.step / 2 + np.spacing(np.abs(depth).max())
    np.testing.assert_allclose(window.maxima, found.max(axis=(1, 2)), rtol=1e-6)


def test_one_stream_is_the_same_bytes(tmp_path: Path) -> None:
    depth = np.random.default_rng(4).random((32, 40, 60), np.float32)
    write_raw_window(tmp_path / "plain", packed(depth), (3,), "who")
    write_raw_window(tmp_path / "in_one", packed(depth), (3,), "who", in_one=True)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "in_one").read_bytes()


def test_threads_make_the_same_bytes(tmp_path: Path) -> None:
    depth = np.random.default_rng(4).random((32, 40, 60), np.float32)
    write_raw_window(tmp_path / "one", packed(depth))
    with ThreadPoolExecutor(3) as pool:
        write_raw_window(tmp_path / "many", packed(depth, pool))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_a_thing_near_the_lens_does_not_coarsen_what_is_far(tmp_path: Path, share: float) -> None:
    """Inverse depth of 2 to 100 m, and some of 0.05 m: with 18 bits 50 m would be off by up to 0.096 m."""
    random = np.random.default_rng(3)
    depth = 1 / random.uniform(2, 100, (8, 60, 80)).astype(np.float32)
    depth[random.random(depth.shape) < share] = 1 / 0.05
    depth[:, 0, :] = 1 / 50
    write_raw_window(tmp_path / "w.npz", packed(depth.astype(np.float32)))
    window = open_raw_window(tmp_path / "w.npz")
    found = np.stack([window.slot(slot) for slot in range(8)])
    assert np.abs(1 / found[:, 0].astype(np.float64) - 50).max() < 0.002
    assert np.abs(found - depth).max() <= window.step / 2 + np.spacing(np.float32(20))
    assert window.minima.min() == pytest.approx(depth.min()) and window.maxima.max() == pytest.approx(20)


def test_the_same_depth_is_the_same_bytes(tmp_path: Path) -> None:
    depth = np.random.default_rng(1).random((32, 12, 16), np.float32)
    for name in ("a", "b"):
        write_raw_window(tmp_path / name, packed(depth))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_frame_takes_less_than_a_megabyte_at_518x924(tmp_path: Path) -> None:
    """Smooth depth with edges and noise of a thousandth of its range, more than the networks show."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[:518, :924].astype(np.float32)
    scene = np.sin(x / 90) + np.cos(y / 70) + (x + 2 * y > 900)
    noise = random.standard_normal((4, 518, 924)).astype(np.float32)
    noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / np.float32(3)
    depth = scene + 1e-3 * np.ptp(scene) * noise
    write_raw_window(tmp_path / "w.npz", packed(depth.astype(np.float32)))
    # Of 32 slots 22 are new frames: a frame costs 32/22 slots.
    assert (tmp_path / "w.npz").stat().st_size / 4 * 32 / 22 < 1e6


@pytest.mark.parametrize("harm", ["absent", "truncated", "flipped", "other"])
def test_damage_is_found_and_named(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "window.npz"
    write_raw_window(path, packed(np.random.default_rng(1).random((32, 12, 16), np.float32)))
    data = bytearray(path.read_bytes())
    if harm == "absent":
        path.unlink()
    elif harm == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "flipped":
        with zipfile.ZipFile(path) as archive:
            data[archive.getinfo("slot_05.npy").header_offset + 250] ^= 0xFF
        path.write_bytes(data)
    else:
        np.savez(path, a=1)
    with pytest.raises(StorageError, match=r"window\.npz"):
        open_raw_window(path).slot(5)


def test_a_window_of_another_version_is_not_called_damaged(tmp_path: Path) -> None:
    """The first form: no number of a form, and one Blosc buffer a slot."""
    path = tmp_path / "w.npz"
    slot = np.frombuffer(Blosc().encode(np.zeros(4, np.uint32)), np.uint8)
    np.savez(
        path, slot_00=slot, shape=[1, 2, 2], offset_step=[0.0, 1.0], range=[[0.0], [1.0]], missing=[], name=""
    )
    with pytest.raises(DamagedWindowError, match="another version of this program"):
        open_raw_window(path)


def with_member(path: Path, name: str, content: bytes) -> Path:
    """The archive with one member of another content, and the right checksum."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()} | {name: content}
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path


def buffer_of(size: int, count: int) -> bytes:
    """Four bytes as Blosc packs them, with other sizes in its header (c-blosc, README_HEADER.rst)."""
    data = bytearray(Blosc(cname="zstd").encode(np.zeros(4, np.uint8)))
    data[4:8], data[12:16] = size.to_bytes(4, "little"), count.to_bytes(4, "little")
    return bytes(data)


TRUE_COUNT = len(Blosc(cname="zstd").encode(np.zeros(4, np.uint8)))


@pytest.mark.parametrize(
    ("size", "count"),
    [(0xFFFFFFFF, 0), (0x7FFFFFFF, TRUE_COUNT), (4, 0xFFFF), (4, 0), (4, 16), (5, TRUE_COUNT), (0, 0)],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_slot_of_other_sizes_is_damaged(tmp_path: Path, size: int, count: int, place: int) -> None:
    path = tmp_path / "w.npz"
    write_raw_window(path, packed(np.zeros((2, 2, 2), np.float32)))
    buffers = [buffer_of(4, TRUE_COUNT)] * 2
    buffers.insert(place, buffer_of(size, count))
    array = io.BytesIO()
    np.save(array, np.frombuffer(b"".join(buffers[: max(2, place + 1)]), np.uint8))
    with_member(path, "slot_01.npy", array.getvalue())
    with pytest.raises(DamagedWindowError):
        open_raw_window(path).slot(1)


@pytest.mark.parametrize(
    "name", ["form", "shape", "offset_step", "corners", "range", "missing", "name", "slot_00"]
)
def test_a_member_that_is_no_array_is_damaged(tmp_path: Path, name: str) -> None:
    """NumPy gives it as bytes, and three of them would be a shape."""
    path = tmp_path / "w.npz"
    write_raw_window(path, packed(np.zeros((2, 2, 2), np.float32)))
    with_member(path, f"{name}.npy", b"\1\1\1")
    with pytest.raises(DamagedWindowError):
        open_raw_window(path).slot(0)
