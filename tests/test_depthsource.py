"""Files of depth, written and read back: by this project and by others' readers, whole or not there."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from pictures import read_codes

from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import NpzWriter, open_stack, read_png16, write_png16
from vda.depthmaps.source import open_depth
from vda.errors import InputError, StorageError, UsageError

FRAMES = np.random.default_rng(0).uniform(0.5, 9, (4, 6, 8)).astype(np.float32)


def write_scene(folder: Path, first: int = 0) -> Quantizer:
    """A merged folder of ``FRAMES``, the last of which has no depth."""
    quantizer = Quantizer.for_range(0.5, 9)
    for index, frame in enumerate(FRAMES):
        codes = quantizer.encode(frame) if index < 3 else np.zeros(frame.shape, np.uint16)
        write_png16(folder / f"depth_{first + index:06d}.png", codes)
    record = DepthRecord(quantizer, 4, 8, 6, "vits", settings={"frame_range": [first, first + 4]})
    record.write(folder / "depth.json")
    return quantizer


def write_npz(path: Path, frames: np.ndarray = FRAMES) -> None:
    with NpzWriter(path, (len(frames), *frames.shape[1:])) as npz:
        for frame in frames:
            npz.write(frame)


def test_png16_comes_back_and_other_readers_see_the_same(tmp_path: Path) -> None:
    codes = np.arange(6 * 8, dtype=np.uint16).reshape(6, 8) * 1365
    write_png16(tmp_path / "depth.png", codes)
    assert (read_png16(tmp_path / "depth.png") == codes).all()
    assert (read_codes(tmp_path / "depth.png") == codes).all()
    assert [path.name for path in tmp_path.iterdir()] == ["depth.png"]


def test_a_merged_folder_gives_floats_by_frame_index(tmp_path: Path) -> None:
    quantizer = write_scene(tmp_path, first=100)
    source = open_depth(tmp_path)
    assert list(source.frames) == [100, 101, 102, 103]
    assert source.record is not None and source.record.quantizer == quantizer
    assert np.abs(source.read(102) - FRAMES[2]).max() <= quantizer.scale / 2 + 1e-6
    assert np.isnan(source.read(103)).all()
    assert 104 not in source
    with pytest.raises(InputError, match="104"):
        source.read(104)


def test_a_streamed_npz_is_one_that_numpy_reads(tmp_path: Path) -> None:
    write_npz(tmp_path / "depths.npz")
    with np.load(tmp_path / "depths.npz") as archive:
        assert archive["depths"].dtype == np.float32
        assert (archive["depths"] == FRAMES).all()
    assert zipfile.ZipFile(tmp_path / "depths.npz").testzip() is None


def test_an_npz_beside_its_record_has_the_videos_frame_indices(tmp_path: Path) -> None:
    write_scene(tmp_path, first=100)
    for image in tmp_path.glob("*.png"):
        image.unlink()
    write_npz(tmp_path / "depths.npz")
    for path in (tmp_path, tmp_path / "depths.npz"):
        source = open_depth(path)
        assert list(source.frames) == [100, 101, 102, 103]
        assert (source.read(101) == FRAMES[1]).all()


def test_an_interrupted_npz_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), NpzWriter(tmp_path / "depths.npz", FRAMES.shape) as npz:
        npz.write(FRAMES[0])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_npz_with_too_few_frames_or_of_another_size_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 of 4"), NpzWriter(tmp_path / "depths.npz", FRAMES.shape) as npz:
        npz.write(FRAMES[0])
    with pytest.raises(ValueError, match="frame 0"), NpzWriter(tmp_path / "depths.npz", FRAMES.shape) as npz:
        npz.write(FRAMES[0].T)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError), NpzWriter(tmp_path / "file" / "depths.npz", FRAMES.shape):
        pass
    with pytest.raises(StorageError):
        write_png16(tmp_path / "file" / "depth.png", np.zeros((2, 2), np.uint16))


@pytest.mark.parametrize("key", ["depths", "depth", "depth_map", "arr_0"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_stacks_by_other_programs_are_read_in_any_order(
    tmp_path: Path, save: Callable[..., None], key: str
) -> None:
    path = tmp_path / "stack.npz"
    save(path, camera=np.eye(3), **{key: FRAMES.astype(np.float64)})
    source = open_depth(path)
    assert len(source) == 4
    for frame in (3, 0, 2, 1):
        assert (source.read(frame) == FRAMES[frame]).all()


def test_a_stack_is_neither_loaded_nor_held_in_memory(tmp_path: Path) -> None:
    write_npz(tmp_path / "depths.npz")
    np.save(tmp_path / "depths.npy", FRAMES)
    for path in (tmp_path / "depths.npz", tmp_path / "depths.npy"):
        frame = open_stack(path).frame(1)
        assert (frame == FRAMES[1]).all()
        # The frame alone: no view of the whole stack, loaded or mapped.
        assert frame.base is None or frame.base.size == frame.size
        assert not isinstance(frame.base, np.memmap)


def test_a_stack_in_columns_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "stack.npz", depths=np.asfortranarray(FRAMES))
    assert (open_depth(tmp_path / "stack.npz").read(2) == FRAMES[2]).all()


def test_one_frame_is_a_stack_of_one(tmp_path: Path) -> None:
    np.save(tmp_path / "frame.npy", FRAMES[0])
    assert (open_depth(tmp_path / "frame.npy").read(0) == FRAMES[0]).all()


def test_a_folder_of_arrays_is_read_by_the_numbers_in_the_names(tmp_path: Path) -> None:
    for index, frame in enumerate(FRAMES):
        np.save(tmp_path / f"frame_{10 * index}.npy", frame)
    source = open_depth(tmp_path)
    assert sorted(source.frames) == [0, 10, 20, 30]
    assert (source.read(20) == FRAMES[2]).all()


def test_a_chunk_folder_with_one_stack_is_that_stack(tmp_path: Path) -> None:
    np.savez(tmp_path / "chunk_00_depths.npz", depths=FRAMES)
    assert list(open_depth(tmp_path).frames) == [0, 1, 2, 3]


def test_names_with_times_are_taken_in_order_where_that_is_asked_for(tmp_path: Path) -> None:
    for index, name in enumerate(("1305031102.160407", "1305031102.194330", "1305031102.226738")):
        write_png16(tmp_path / f"{name}.png", np.full((2, 3), 1000 * (index + 1), np.uint16))
    with pytest.raises(InputError, match=r"are times \(1305031102.160407\).*--by-order"):
        open_depth(tmp_path, scale=5000)
    source = open_depth(tmp_path, scale=5000, by_order=True)
    assert list(source.frames) == [0, 1, 2]
    assert source.read(2).max() == pytest.approx(0.6)


def test_thinned_names_with_two_numbers_are_told_by_the_one_that_varies(tmp_path: Path) -> None:
    for frame in (3, 9, 12):
        write_png16(tmp_path / f"cam1_depth_{frame}.png", np.full((2, 3), 1000 * frame, np.uint16))
    source = open_depth(tmp_path, scale=1000)
    assert list(source.frames) == [3, 9, 12]
    assert [float(source.read(frame).max()) for frame in source.frames] == [3, 9, 12]


def test_a_sensors_images_need_a_scale_and_have_two_codes_for_none(tmp_path: Path) -> None:
    write_png16(tmp_path / "frame-000007.depth.png", np.array([[0, 1500, 65535]], np.uint16))
    assert open_depth(tmp_path, scale=1000).read(7)[0] == pytest.approx([np.nan, 1.5, np.nan], nan_ok=True)
    with pytest.raises(UsageError, match="whole numbers"):
        open_depth(tmp_path).read(7)
    for scale in (0, -1000, np.nan, np.inf):
        with pytest.raises(UsageError, match="not possible"):
            open_depth(tmp_path, scale=scale)


def test_floats_in_tiff_and_exr_are_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "frame_3.tif"), FRAMES[0])
    assert (open_depth(tmp_path / "frame_3.tif").read(3) == FRAMES[0]).all()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": FRAMES[1]}).write(str(tmp_path / "frame_4.exr"))
    assert (open_depth(tmp_path / "frame_4.exr").read(4) == FRAMES[1]).all()


def test_what_is_not_finite_is_no_depth(tmp_path: Path) -> None:
    np.save(tmp_path / "frame.npy", np.array([[1, np.inf, np.nan]], np.float32))
    assert np.isnan(open_depth(tmp_path / "frame.npy").read(0)).tolist() == [[False, True, True]]


def damage_png(folder: Path) -> Path:
    write_png16(folder / "depth.png", np.arange(4000, dtype=np.uint16).reshape(50, 80))
    whole = (folder / "depth.png").read_bytes()
    (folder / "depth.png").write_bytes(whole[: len(whole) // 2])
    return folder / "depth.png"


def damage_npz(folder: Path) -> Path:
    write_npz(folder / "depths.npz")
    whole = (folder / "depths.npz").read_bytes()
    (folder / "depths.npz").write_bytes(whole[: len(whole) // 2])
    return folder / "depths.npz"


def damage_compressed_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "depths.npz", depths=FRAMES)
    damaged = bytearray((folder / "depths.npz").read_bytes())
    damaged[300:340] = bytes(40)
    (folder / "depths.npz").write_bytes(damaged)
    return folder / "depths.npz"


def short_npy(folder: Path) -> Path:
    np.save(folder / "depths.npy", FRAMES)
    whole = (folder / "depths.npy").read_bytes()
    (folder / "depths.npy").write_bytes(whole[:-10])
    return folder / "depths.npy"


def pickled_npy(folder: Path) -> Path:
    np.save(folder / "depths.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return folder / "depths.npy"


def npz_of_something_else(folder: Path) -> Path:
    np.savez(folder / "depths.npz", poses=np.eye(4))
    return folder / "depths.npz"


def colour_stack(folder: Path) -> Path:
    np.save(folder / "depths.npy", np.zeros((2, 3, 4, 3)))
    return folder / "depths.npy"


def colour_image(folder: Path) -> Path:
    cv2.imwrite(str(folder / "depth.png"), np.zeros((4, 4, 3), np.uint8))
    return folder / "depth.png"


def empty_file(folder: Path) -> Path:
    (folder / "depth.png").touch()
    return folder / "depth.png"


def text_called_exr(folder: Path) -> Path:
    (folder / "depth.exr").write_text("not EXR")
    return folder / "depth.exr"


def exr_of_colour(folder: Path) -> Path:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"R": FRAMES[0]}).write(str(folder / "depth.exr"))
    return folder / "depth.exr"


def a_video(folder: Path) -> Path:
    (folder / "film.mp4").touch()
    return folder / "film.mp4"


def nothing(folder: Path) -> Path:
    return folder / "nowhere"


def empty_folder(folder: Path) -> Path:
    return folder


def record_alone(folder: Path) -> Path:
    write_scene(folder)
    for image in folder.glob("*.png"):
        image.unlink()
    return folder


@pytest.mark.parametrize(
    "make",
    [
        damage_png,
        damage_npz,
        damage_compressed_npz,
        short_npy,
        pickled_npy,
        npz_of_something_else,
        colour_stack,
        colour_image,
        empty_file,
        text_called_exr,
        exr_of_colour,
        a_video,
        nothing,
        empty_folder,
        record_alone,
    ],
)
def test_what_is_not_depth_is_named(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError) as raised:
        open_depth(path, scale=1000).read(0)
    assert str(path) in raised.value.problem
    assert raised.value.remedy


def test_a_visualization_is_not_taken_for_depth(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "depth_000000.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="8 bits"):
        read_png16(tmp_path / "depth_000000.png")
