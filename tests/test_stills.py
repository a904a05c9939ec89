"""One image file to RGB: colours that other programs wrote, every way up, whole or refused."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from stills import write_light, write_picture

from vda.errors import VideoError
from vda.stills.pixels import fitted, read_image

# Of each a level in the middle of what 16 bits can tell, so that rounding down and rounding differ.
COLOURS = np.array([[[0, 127, 255], [1, 128, 254]], [[200, 17, 3], [64, 99, 180]]], np.uint8)
# Which of a picture's corners EXIF 2.32 says the stored rows and columns begin at: what undoes each of the eight.
STORED = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown),
    7: lambda shown: shown[::-1, ::-1].transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.TIFF"])
def test_eight_bits_come_out_as_they_were_written(tmp_path: Path, name: str) -> None:
    assert np.array_equal(read_image(write_picture(tmp_path / name, COLOURS)), COLOURS)


def test_lossless_webp_and_a_palette(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.webp", lossless=True)
    Image.fromarray(COLOURS).quantize(4).save(tmp_path / "p.png")
    assert np.array_equal(read_image(tmp_path / "a.webp"), COLOURS)
    assert np.array_equal(read_image(tmp_path / "p.png"), COLOURS)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_rounded(tmp_path: Path, name: str) -> None:
    # 257 steps of 16 bits to one of 8: up to 128 on either side belong to it.
    deep = COLOURS.astype(np.int32) * 257 + np.array([-128, 0, 128])
    path = write_picture(tmp_path / name, deep.clip(0, 65535).astype(np.uint16))
    assert np.array_equal(read_image(path), COLOURS)


def test_grey_of_one_eight_and_sixteen_bits(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 255], [255, 0, 7]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey > 100).save(tmp_path / "1.png")
    assert cv2.imwrite(str(tmp_path / "16.png"), grey.astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / "8.png"), np.stack([grey] * 3, axis=-1))
    assert np.array_equal(read_image(tmp_path / "16.png"), np.stack([grey] * 3, axis=-1))
    assert np.array_equal(read_image(tmp_path / "1.png")[..., 0], np.where(grey > 100, 255, 0))


@pytest.mark.parametrize(("name", "depth"), [("a.png", np.uint8), ("a.png", np.uint16), ("a.tif", np.uint16)])
def test_alpha_is_dropped_and_colours_stay(tmp_path: Path, name: str, depth: type[np.unsignedinteger]) -> None:
    alpha = np.array([[[0], [1]], [[100], [255]]], np.uint8)
    scale = np.iinfo(depth).max // 255
    path = write_picture(tmp_path / name, (np.dstack([COLOURS, alpha]).astype(np.uint32) * scale).astype(depth))
    assert np.array_equal(read_image(path), COLOURS)


def test_light_is_shown_by_srgbs_formula(tmp_path: Path) -> None:
    # IEC 61966-2-1: half of the light is 188 of 255, a fifth 124; 0.002 lies on the line at the foot of the curve.
    light = np.array([[[0.0, 0.5, 1.0], [0.2, 0.002, 7.0], [-1.0, np.nan, np.inf]]])
    expected = [[[0, 188, 255], [124, 7, 255], [0, 0, 255]]]
    assert read_image(write_light(tmp_path / "a.exr", light)).tolist() == expected
    assert cv2.imwrite(str(tmp_path / "f.tif"), light[..., ::-1].astype(np.float32))
    assert read_image(tmp_path / "f.tif").tolist() == expected


def test_exr_is_shown_over_its_display_window(tmp_path: Path) -> None:
    import OpenEXR

    path = tmp_path / "crop.exr"
    header = {"dataWindow": (np.array([1, 1], "i"), np.array([2, 1], "i"))}
    header["displayWindow"] = (np.array([0, 0], "i"), np.array([3, 2], "i"))
    OpenEXR.File(header, {"RGB": np.ones((1, 2, 3), np.float32)}).write(str(path))
    shown = read_image(path)
    assert shown[..., 0].tolist() == [[0, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 0]]


def test_exr_of_depth_alone_is_no_picture(tmp_path: Path) -> None:
    import OpenEXR

    OpenEXR.File({}, {"Z": np.ones((2, 2), np.float32)}).write(str(tmp_path / "z.exr"))
    with pytest.raises(VideoError, match="no channels R, G and B, nor Y; it has Z"):
        read_image(tmp_path / "z.exr")


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "16.png", "16.tif"])
def test_exif_says_which_way_up(tmp_path: Path, stored: int, form: str) -> None:
    shown = np.zeros((32, 48, 3), np.uint8)
    shown[:16, :24] = 255  # the corner that tells the eight ways apart, with the sides' lengths
    shown[:16, 24:] = 100
    exif = Image.Exif()
    exif[0x0112] = stored
    path = tmp_path / f"a.{form}"
    if form == "16.tif":
        grey = np.ascontiguousarray(STORED[stored](shown)[..., 0].astype(np.uint16) * 257)
        Image.fromarray(grey).save(path, tiffinfo={0x0112: stored})
    elif form == "16.png":
        path = write_picture(tmp_path / "a.png", STORED[stored](shown).astype(np.uint16) * 257)
        _add_exif(path, exif)
    else:
        Image.fromarray(np.ascontiguousarray(STORED[stored](shown))).save(path, form, exif=exif)
    read = read_image(path).astype(int)
    assert read.shape == shown.shape
    assert np.abs(read[4:-4, 4:-4] - shown[4:-4, 4:-4]).mean() < 4


def _add_exif(path: Path, exif: Image.Exif) -> None:
    """Put EXIF into a PNG as its extension of 2017 has it: a chunk eXIf behind the header."""
    import struct
    import zlib

    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk + data[33:])


@pytest.mark.parametrize("form", ["a.jpg", "a.png", "a.webp", "a.exr", "16.png", "16.tif"])
def test_a_file_cut_short_is_no_picture(tmp_path: Path, form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    path = tmp_path / form
    if form == "a.exr":
        write_light(path, noise / 255)
    elif form.startswith("16"):
        write_picture(path, noise.astype(np.uint16) * 257)
    else:
        Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for share in (0.0, 0.01, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(VideoError, match=r"cannot be read as an image|could not be read as EXR"):
            read_image(path)


def test_several_pictures_in_a_file_are_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(COLOURS)] * 3
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(VideoError, match="holds 3 pictures"):
        read_image(tmp_path / "a.tif")


def test_another_size_is_fitted_with_black_around() -> None:
    white = np.full((20, 20, 3), 255, np.uint8)
    wide = fitted(white, 80, 40)
    assert wide.shape == (40, 80, 3)
    assert (wide[:, 20:60] == 255).all() and (wide[:, :20] == 0).all() and (wide[:, 60:] == 0).all()
    assert fitted(white, 20, 20) is white


def test_bytes_that_are_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(io.BytesIO(b"no image at all" * 9).getvalue())
    with pytest.raises(VideoError, match="cannot be read as an image"):
        read_image(tmp_path / "a.png")
